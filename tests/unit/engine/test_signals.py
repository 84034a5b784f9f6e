"""Signals by number and name; the texts and the limits are dockerd 26.1's."""

import pytest

from sampan.engine import signals
from sampan.engine.errors import BadParameter

SIGNALS = [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigterm", 15), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("64", 64)]


@pytest.mark.parametrize(("text", "number"), SIGNALS)
def test_a_signal(text: str, number: int) -> None:
    assert signals.parse(text) == number and signals.can_be_sent(number)


@pytest.mark.parametrize("text", ["0", "FOO", "", "RTMIN+40", "9" * 30])
def test_a_signal_that_is_none(text: str) -> None:
    with pytest.raises(BadParameter, match="invalid signal"):
        signals.parse(text)


@pytest.mark.parametrize("text", ["99", "65", "-1", "32", "33"])
def test_a_signal_that_linux_has_not(text: str) -> None:
    assert not signals.can_be_sent(signals.parse(text))
