"""Entries from lines, and lines as `docker logs` prints them."""

import pytest

from sampan.logs.decode import Output, Wanted, decode, entries, parse_time, render, select
from sampan.logs.format import stamp

ONE = b'{"log":"a\\n","stream":"stdout","time":"2024-01-02T03:04:05.6Z"}\n'
TWO = b'{"log":"\\u003cb\xc3\xa9\\n","stream":"stderr","attrs":{"b":"x y","a":"1"},"time":"2024-01-02T03:04:06Z"}\n'
T1, T2 = 1_704_164_645_600_000_000, 1_704_164_646_000_000_000


def test_lines_are_decoded() -> None:
    assert entries(decode(ONE + TWO)) == [(T1, "stdout", b"a\n"), (T2, "stderr", "<bé\n".encode())]


TORN = [
    b'{"log":"lost","stream":"std\n',
    b"\n",
    b"\0\0\0\0\n",
    b"17\n",
    b'{"log":"no time","stream":"stdout"}\n',
    b'{"log":7,"stream":"stdout","time":"x"}\n',
    b"{\n",
    b'"\n',
    b"\xff\n",
]


@pytest.mark.parametrize("torn", TORN)
def test_what_is_no_entry_is_left_out(torn: bytes) -> None:
    assert [line[2] for line in decode(ONE + torn + TWO)] == [b"a\n", "<bé\n".encode()]


def test_bytes_of_a_foreign_writer_are_replaced() -> None:
    line = b'{"log":"\xff\\ud800","stream":"stdout","time":"x"}\n'
    assert [(text, parse_time(time)) for time, _, text, _ in decode(line)] == [("\ufffd?".encode(), 0)]


@pytest.mark.parametrize("time_ns", [0, 1, T1, T1 + 1, T2, 1_999_999_999_999_999_999])
def test_times_are_read_as_they_are_written(time_ns: int) -> None:
    assert parse_time(stamp(time_ns).decode()) == time_ns


@pytest.mark.parametrize(
    "text", ["", "x", "2024-01-02T03:04:05+02:00", "2024-13-02T03:04:05Z", "2024-01-02T03:04:05.xZ"]
)
def test_what_is_no_time_is_0(text: str) -> None:
    assert parse_time(text) == 0


RENDERED = [
    (Output(), b"\x01\0\0\0\0\0\0\x02a\n\x02\0\0\0\0\0\0\x05<b\xc3\xa9\n"),
    (Output(framed=False), b"a\n<b\xc3\xa9\n"),
    (
        Output(framed=False, timestamps=True),
        b"2024-01-02T03:04:05.600000000Z a\n2024-01-02T03:04:06.000000000Z <b\xc3\xa9\n",
    ),
    (Output(framed=False, details=True), b" a\na=1,b=x+y <b\xc3\xa9\n"),
    (
        Output(framed=False, timestamps=True, details=True),
        b"2024-01-02T03:04:05.600000000Z  a\n2024-01-02T03:04:06.000000000Z a=1,b=x+y <b\xc3\xa9\n",
    ),
]


@pytest.mark.parametrize(("output", "printed"), RENDERED)
def test_lines_are_printed_as_docker_does(output: Output, printed: bytes) -> None:
    assert render(decode(ONE + TWO), output) == printed


SELECTED = [
    (Wanted(), [b"1", b"2", b"3"], False),
    (Wanted(stderr=False), [b"1", b"3"], False),
    (Wanted(stdout=False), [b"2"], False),
    (Wanted(stdout=False, stderr=False), [], False),
    (Wanted(since_ns=T1 + 1), [b"2", b"3"], False),
    (Wanted(until_ns=T1 + 1), [b"1", b"2"], True),
    (Wanted(until_ns=T1 + 2), [b"1", b"2", b"3"], False),
    (Wanted(since_ns=T1 + 1, until_ns=T1 + 1, stdout=False), [b"2"], True),
    (Wanted(until_ns=0), [], True),
]


@pytest.mark.parametrize(("wanted", "texts", "ended"), SELECTED)
def test_lines_are_selected(wanted: Wanted, texts: list[bytes], ended: bool) -> None:
    times = [stamp(T1 + n).decode() for n in range(3)]
    lines = [(times[0], "stdout", b"1", None), (times[1], "stderr", b"2", None), (times[2], "stdout", b"3", None)]
    kept, over = select(lines, wanted)
    assert ([line[2] for line in kept], over) == (texts, ended)
