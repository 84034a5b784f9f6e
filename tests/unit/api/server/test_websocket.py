"""WebSocket frames as tables of (value, bytes), and an attach through them."""

import asyncio
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.server.websocket import BINARY, CLOSE, PING, TEXT, Deframer, FrameError, frame

from .fake import Bench, request
from .test_http import run

SERVER = [
    (BINARY, b"", "8200"),
    (TEXT, b"Hello", "810548656c6c6f"),  # RFC 6455, 5.7
    (BINARY, b"x" * 126, "827e007e" + "78" * 126),
    (BINARY, b"x" * 65536, "827f0000000000010000" + "78" * 65536),
]
CLIENT = [
    ("818537fa213d7f9f4d5158", [(TEXT, b"Hello")]),  # RFC 6455, 5.7
    ("018300000000486f6c" + "808200000000 6c6f", [(TEXT, b"Hol"), (BINARY, b"lo")]),
    ("8280 00000000", [(BINARY, b"")]),
    ("8980 00000000", [(PING, b"")]),
    ("8882 00000000 03e8", [(CLOSE, b"\x03\xe8")]),
]
BROKEN = ["8105" + "00" * 5, "c185" + "00" * 9, "89fe0100" + "00" * 300, "0980" + "00" * 4]


@pytest.mark.parametrize(("opcode", "payload", "wire"), SERVER)
def test_frame(opcode: int, payload: bytes, wire: str) -> None:
    assert frame(opcode, payload).hex() == wire


@pytest.mark.parametrize(("wire", "expected"), CLIENT)
def test_deframe(wire: str, expected: list[tuple[int, bytes]]) -> None:
    assert list(Deframer().feed(bytes.fromhex(wire))) == expected


@pytest.mark.parametrize("wire", BROKEN)
def test_broken_frames(wire: str) -> None:
    with pytest.raises(FrameError):
        list(Deframer().feed(bytes.fromhex(wire)))


def masked(payload: bytes, key: bytes = b"\x11\x22\x33\x44", opcode: int = BINARY) -> bytes:
    """A frame as a client sends it."""
    head = bytearray(frame(opcode, payload)[: -len(payload) or None])
    head[1] |= 0x80
    return bytes(head) + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_frames_in_pieces(payloads: list[bytes], step: int) -> None:
    wire = b"".join(masked(payload) for payload in payloads)
    deframer = Deframer()
    pieces = [wire[start : start + step] for start in range(0, len(wire), step)]
    got = b"".join(part for piece in pieces for _, part in deframer.feed(piece))
    assert got == b"".join(payloads)


HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
TARGET = "/v1.45/containers/c/attach/ws?stdin=1&stdout=1"


def test_attach(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("GET", TARGET, None, *HANDSHAKE) + masked(b"early"))
            status, fields = await wire.head()
            assert (status, fields["sec-websocket-accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".lower())
            sock, _ = await bench.engine.taken.get()
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(sock, 99) == b"early"
            wire.say(masked(b"more") + masked(b"?", opcode=PING))
            assert await loop.sock_recv(sock, 99) == b"more"
            assert await wire.reader.readexactly(3) == bytes.fromhex("8a013f")
            sock.send(b"out")
            assert await wire.reader.readexactly(5) == b"\x82\x03out"
            sock.shutdown(socket.SHUT_WR)
            assert await wire.rest() == bytes.fromhex("880203e8")
            sock.close()
            assert bench.engine.calls[0][1][1]["framed"] is False

    run(body())


REFUSED = [
    ((), 400),
    (HANDSHAKE[:3], 400),
    (HANDSHAKE[:2] + HANDSHAKE[3:], 426),
    ((*HANDSHAKE, "Origin: http://elsewhere.example"), 403),
]


@pytest.mark.parametrize(("fields", "status"), REFUSED)
def test_refused(tmp_path: Path, fields: tuple[str, ...], status: int) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            assert (await bench.ask("GET", TARGET, None, *fields))[0] == status
            assert not bench.engine.calls

    run(body())
