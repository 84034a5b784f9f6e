"""The filters of clean-ups."""

import time

import pytest

from sampan.engine import pruning
from sampan.engine.errors import BadParameter, Conflict, Internal

LABELS = {"a": "1", "b": ""}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True), ({"label": ["a"]}, True), ({"label": ["a=1"]}, True), ({"label": ["a=2"]}, False),
        ({"label": ["a", "c"]}, False), ({"label!": ["a"]}, False), ({"label!": ["c"]}, True),
        ({"label!": ["a=2"]}, True), ({"label!": ["a", "b"]}, False), ({"label!": ["a", "c"]}, True),
        ({"label": ["a"], "label!": ["b="]}, False), ({"label": [], "label!": []}, True),
    ],
)  # fmt: skip
def test_labels(filters: dict[str, list[str]], passes: bool) -> None:
    assert pruning.labelled(LABELS, filters) is passes


def test_moments() -> None:
    assert pruning.moment({}) is None
    assert pruning.moment({"until": ["1700000000"]}) == 1_700_000_000_000_000_000
    hour_ago = pruning.moment({"until": ["1h"]})
    assert hour_ago is not None and abs(time.time_ns() - hour_ago - 3600 * 10**9) < 10**10
    with pytest.raises(BadParameter, match=r"^more than one until filter specified$"):
        pruning.moment({"until": ["1h", "2h"]})
    with pytest.raises(Internal, match=r'^failed to parse value as time or duration: "x"$'):
        pruning.moment({"until": ["x"]}, Internal)


def test_flags() -> None:
    assert pruning.flag({}, "dangling", default=True) is True
    assert pruning.flag({"dangling": ["0"]}, "dangling", default=True) is False
    assert pruning.flag({"dangling": ["true", "true"]}, "dangling", default=False) is True
    for values, shown in ((["x"], "x"), (["true", "false"], "false true"), (["T"], "T")):
        with pytest.raises(BadParameter, match=rf"^invalid filter 'dangling=\[{shown}\]'$"):
            pruning.flag({"dangling": values}, "dangling", default=True)


def test_unknown_filters() -> None:
    pruning.check({"label": ["x"]}, pruning.COMMON)
    with pytest.raises(BadParameter, match=r"^invalid filter 'foo'$"):
        pruning.check({"foo": []}, pruning.COMMON)


def test_one_at_a_time_and_free_again_after_a_failure() -> None:
    one = pruning.OneAtATime()
    with (
        one.run("image"),
        one.run("container"),
        pytest.raises(Conflict, match=r"^a prune operation is already running$"),
        one.run("image"),
    ):
        raise AssertionError
    with pytest.raises(KeyError), one.run("image"):
        raise KeyError
    with one.run("image"):
        pass
