"""Query parameters are read as dockerd reads them."""

from typing import Any

import pytest

from sampan.api.server.query import Query, QueryError, parse_time

S = 1_000_000_000

FLAGS = [("a=1", True), ("a=true", True), ("a=True", True), ("a=yes", True), ("a=x", True)]
FLAGS += [("a=", False), ("a=0", False), ("a=no", False), ("a=FALSE", False), ("a=none", False), ("a=%200%20", False)]
FLAGS += [("", False), ("a", False), ("b=1", False)]


@pytest.mark.parametrize(("raw", "expected"), FLAGS)
def test_flags(raw: str, expected: bool) -> None:
    assert Query(raw).flag("a") is expected


def test_texts() -> None:
    query = Query("a=1&b=x%20y+z&a=2&c&%64=e")
    assert (query.text("a"), query.text("b"), query.text("c"), query.text("d")) == ("1", "x y z", "", "e")
    assert (query.text("e"), query.text("e", "-"), query.all("a"), query.all("e")) == ("", "-", ["1", "2"], [])
    assert "a" in query
    assert "e" not in query


NUMBERS: list[tuple[str, Any]] = [("", None), ("n=", None), ("n=0", 0), ("n=-1", -1), ("n=+7", 7), ("n=10", 10)]


@pytest.mark.parametrize(("raw", "expected"), NUMBERS)
def test_numbers(raw: str, expected: int | None) -> None:
    assert Query(raw.replace("+", "%2B")).number("n") == expected


@pytest.mark.parametrize("text", ["abc", "1.5", "0x1", "1_0", "٣", " 1", "9" * 30])
def test_no_numbers(text: str) -> None:
    with pytest.raises(QueryError, match=r"strconv\.Atoi: parsing .*: invalid syntax"):
        Query(f"n={text}").number("n")


@pytest.mark.parametrize(("raw", "shown"), [("a=%zz", "%zz"), ("a=%", "%"), ("a=%4", "%4"), ("%%%", "%%%")])
def test_broken_escapes(raw: str, shown: str) -> None:
    with pytest.raises(QueryError) as error:
        Query(raw)
    assert str(error.value) == f'invalid URL escape "{shown}"'


FILTERS = [
    ("", {}),
    ("{}", {}),
    ('{"label":["a","b=c"]}', {"label": ["a", "b=c"]}),
    ('{"label":{"a":true,"b=c":true}}', {"label": ["a", "b=c"]}),
    ('{"label":[]}', {"label": []}),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
def test_filters(text: str, expected: dict[str, list[str]]) -> None:
    assert Query(f"filters={text}").filters() == expected


@pytest.mark.parametrize("text", ["abc", "[]", '"x"', '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}', "{", "\ud800"])
def test_no_filters(text: str) -> None:
    with pytest.raises(QueryError, match="invalid filter"):
        Query(f"filters={text}").filters()


TIMES = [
    ("0", 0),
    ("1700000000", 1700000000 * S),
    ("1700000000.123456789", 1700000000 * S + 123456789),
    ("1700000000.5", 1700000000 * S + 500_000_000),
    ("-1.5", -1 * S - 500_000_000),
    ("2023-11-14T22:13:20Z", 1700000000 * S),
    ("2023-11-14T22:13:20.000000001Z", 1700000000 * S + 1),
    ("2023-11-15T00:13:20.25+02:00", 1700000000 * S + 250_000_000),
    ("2023-11-14T22:13:20", 1700000000 * S),
    ("2023-11-14T22:13", 1699999980 * S),
    ("2023-11-14", 1699920000 * S),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["abc", "1.", "1.2.3", "2023-13-14", "10m", "1700000000.1234567890", "9" * 40])
def test_no_times(text: str) -> None:
    with pytest.raises(QueryError):
        parse_time(text)
