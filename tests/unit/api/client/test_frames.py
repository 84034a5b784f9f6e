"""Multiplexed streams taken apart, whatever pieces they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.client.errors import ClientError, ProtocolError
from sampan.api.client.frames import STDERR, STDOUT, Demultiplexer


def frame(stream: int, payload: bytes) -> bytes:
    """A frame as the daemon writes it."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


class Sink:
    """Collects what the demultiplexer writes."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, bytes]] = []
        self.demultiplexer = Demultiplexer(self._write)

    def _write(self, stream: int, pieces: list[memoryview]) -> None:
        self.writes.append((stream, b"".join(pieces)))

    def feed(self, *chunks: bytes) -> None:
        """Feed chunks one after another."""
        for chunk in chunks:
            self.demultiplexer.feed(memoryview(chunk))

    def stream(self, number: int) -> bytes:
        """All that went to one stream."""
        return b"".join(data for stream, data in self.writes if stream == number)


FRAMES = [
    ("01000000 00000003 68690a", [(STDOUT, b"hi\n")]),
    ("02000000 00000001 78", [(STDERR, b"x")]),
    ("00000000 00000001 78", [(STDOUT, b"x")]),
    ("01000000 00000000", []),
    ("01000000 00000001 61 01000000 00000001 62 02000000 00000001 63", [(STDOUT, b"ab"), (STDERR, b"c")]),
]


@pytest.mark.parametrize(("octets", "writes"), FRAMES)
def test_frames(octets: str, writes: list[tuple[int, bytes]]) -> None:
    sink = Sink()
    sink.feed(bytes.fromhex(octets))
    sink.demultiplexer.finish()
    assert sink.writes == writes


@given(
    st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(max_size=40)), max_size=12),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_any_cuts(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data, sink, position, turn = b"".join(frame(*one) for one in frames), Sink(), 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        sink.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    sink.demultiplexer.finish()
    for stream in (STDOUT, STDERR):
        assert sink.stream(stream) == b"".join(payload for number, payload in frames if number == stream)


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"Unrecognized input header: 104"):
        Sink().feed(b"hello, this is no frame")


def test_the_daemon_s_own_error() -> None:
    sink = Sink()
    with pytest.raises(ClientError, match=r"^error from daemon in stream: disk on fire$"):
        sink.feed(frame(STDOUT, b"before"), frame(3, b"disk on fire"))
    assert sink.stream(STDOUT) == b"before"


@pytest.mark.parametrize("cut", [3, 9])
def test_a_torn_end(cut: int) -> None:
    sink = Sink()
    sink.feed(frame(STDOUT, b"hello")[:cut])
    with pytest.raises(ProtocolError, match=r"unexpected EOF"):
        sink.demultiplexer.finish()
