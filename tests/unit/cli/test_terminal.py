"""Detach keys, raw mode, signal names."""

import os
import pty
import signal
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.signals import signal_name
from sampan.cli.terminal import DETACH_KEYS, DetachFilter, RawTerminal, parse_keys

KEYS = [("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"), ("ctrl-a,b", b"\x01b")]


@pytest.mark.parametrize(("text", "keys"), KEYS)
def test_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-A", "ab", "", "ctrl-p,", "é"])
def test_bad_keys(text: str) -> None:
    with pytest.raises(ValueError, match="Unknown character"):
        parse_keys(text)


TYPED = [
    ([b"ls\n"], b"ls\n", False),
    ([b"ls\x10\x11rest"], b"ls", True),
    ([b"\x10", b"\x11"], b"", True),
    ([b"\x10", b"x"], b"\x10x", False),
    ([b"\x10\x10\x11"], b"\x10", True),
    ([b"\x10\x10"], b"\x10", False),
]


@pytest.mark.parametrize(("pieces", "passed", "detached"), TYPED)
def test_detach_filter(pieces: list[bytes], passed: bytes, detached: bool) -> None:
    keys = DetachFilter(DETACH_KEYS)
    assert b"".join(keys.feed(piece) for piece in pieces) == passed
    assert keys.detached == detached


@given(st.lists(st.binary(max_size=5)))
def test_nothing_is_lost_without_the_keys(pieces: list[bytes]) -> None:
    typed = b"".join(pieces).replace(b"\x10", b"p") + b"."
    keys = DetachFilter(b"\x10\x11\x12")
    assert b"".join(keys.feed(piece.replace(b"\x10", b"p")) for piece in pieces) + keys.feed(b".") == typed


def test_raw_mode_is_left_as_it_was() -> None:
    parent, child = pty.openpty()
    try:
        before = termios.tcgetattr(child)
        terminal = RawTerminal(child)
        terminal.enter()
        assert not termios.tcgetattr(child)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        terminal.leave()
        terminal.leave()
        assert termios.tcgetattr(child) == before
    finally:
        os.close(parent)
        os.close(child)


def test_raw_mode_of_what_is_no_terminal() -> None:
    reader, writer = os.pipe()
    RawTerminal(reader).enter()
    os.close(reader)
    os.close(writer)


NAMES = [
    (signal.SIGTERM, "TERM"),
    (signal.SIGWINCH, "WINCH"),
    (signal.SIGRTMIN, "RTMIN"),
    (signal.SIGRTMIN + 3, "RTMIN+3"),
]


@pytest.mark.parametrize(("number", "name"), NAMES)
def test_signal_names(number: int, name: str) -> None:
    assert signal_name(number) == name
