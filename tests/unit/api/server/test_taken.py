"""Attach and exec: the head, the hand-over of the socket, and that no byte is lost."""

import asyncio
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from .fake import Bench, Refused, request
from .test_http import run

UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")
RAW, MULTIPLEXED = "application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"

HEADS = [
    ("/v1.45/containers/c/attach?stream=1", UPGRADE, False, (101, MULTIPLEXED)),
    ("/v1.45/containers/c/attach?stream=1", UPGRADE, True, (101, RAW)),
    ("/v1.41/containers/c/attach?stream=1", UPGRADE, False, (101, RAW)),
    ("/v1.45/containers/c/attach?stream=1", (), False, (200, RAW)),
]


@pytest.mark.parametrize(("target", "fields", "terminal", "expected"), HEADS)
def test_the_head(
    tmp_path: Path, target: str, fields: tuple[str, ...], terminal: bool, expected: tuple[int, str]
) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.terminal = terminal
            wire = (await bench.wire()).say(request("POST", target, None, *fields))
            status, head = await wire.head()
            assert (status, head["content-type"]) == expected
            assert (head.get("upgrade"), head.get("connection")) == (("tcp", "upgrade") if fields else (None, None))
            sock, early = await bench.engine.taken.get()
            assert early == b""
            sock.sendall(b"out")
            sock.shutdown(socket.SHUT_WR)
            assert await wire.rest() == b"out"
            wire.say(b"in")  # the other direction lives on
            wire.writer.write_eof()
            sock.setblocking(True)
            assert (sock.recv(9), sock.recv(9)) == (b"in", b"")
            sock.close()

    run(body())


def test_exec_start_reads_its_body_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(request("POST", "/exec/e/start", b'{"Tty":true,"Detach":false}', *UPGRADE) + b"early")
            status, head = await wire.head()
            assert (status, head["content-type"]) == (101, RAW)
            sock, early = await bench.engine.taken.get()
            assert early == b"early"
            sock.close()

    run(body())


def test_a_detached_exec_keeps_its_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(request("POST", "/exec/e/start", b'{"Detach":true}') + request("GET", "/_ping"))
            assert (await wire.answer())[0] == 200
            assert await wire.answer() == (200, b"OK")

    run(body())


def test_a_client_that_vanishes_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "sampan.api")

    async def body() -> None:
        async with Bench(tmp_path) as bench:
            attach = bench.engine.attach

            async def slow(ref: str, **rest: Any) -> Any:
                plan = await attach(ref, **rest)
                await bench.engine.gate.wait()
                return plan

            monkeypatch.setattr(bench.engine, "attach", slow)
            wire = (await bench.wire()).say(request("POST", "/containers/c/attach?stream=1", None, *UPGRADE))
            while not bench.engine.calls:
                await asyncio.sleep(0.001)
            wire.writer.close()
            await wire.writer.wait_closed()
            bench.engine.gate.set()
            while not caplog.records:
                await asyncio.sleep(0.001)
        (record,) = caplog.records
        assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
        assert "the client has left" in record.getMessage()

    run(body())


def test_attach_is_refused_in_plain_text(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.error = Refused("No such container: c", 404)
            wire = (await bench.wire()).say(request("POST", "/containers/c/attach", None, *UPGRADE))
            assert await wire.rest() == (
                b"HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
                b"No such container: c\r\n"
            )

    run(body())


def test_exec_is_refused_in_json(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.error = Refused("No such exec instance: e", 404)
            wire = (await bench.wire()).say(request("POST", "/exec/e/start", b"{}", *UPGRADE))
            assert await wire.answer() == (404, b'{"message":"No such exec instance: e"}\n')

    run(body())


@pytest.mark.parametrize("round_", range(20))
def test_a_flood_behind_the_head_arrives_whole(tmp_path: Path, round_: int) -> None:
    """The client pushes as fast as it can from the first byte on; what the stream's owner gets must be exactly that."""
    data = b"".join(b"%07d\n" % number for number in range(100_000))
    ask = request("POST", "/containers/c/attach?stream=1&stdin=1", None, *UPGRADE)

    def push(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            whole, step = ask + data, 1 + round_ * 997
            for start in range(0, len(whole), step if round_ else len(whole)):
                sock.sendall(whole[start : start + (step if round_ else len(whole))])
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    def drain(sock: socket.socket) -> bytes:
        sock.setblocking(True)
        parts = list(iter(lambda: sock.recv(1 << 16), b""))
        sock.close()
        return b"".join(parts)

    async def body() -> None:
        async with Bench(tmp_path) as bench:
            pusher = threading.Thread(target=push, args=(bench.path,))
            pusher.start()
            sock, early = await bench.engine.taken.get()
            got = early + await asyncio.to_thread(drain, sock)
            await asyncio.to_thread(pusher.join)
            assert got == data

    run(body())


@pytest.mark.parametrize("client", ["docker-sdk-python/7.1.0", "Docker-Client/28.2.2 (linux)"])
def test_docker_py_gets_the_head_alone(tmp_path: Path, client: str) -> None:
    """It would lose what it reads together with the head: nothing comes before it has read that."""

    async def body() -> None:
        async with Bench(tmp_path) as bench:
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(str(bench.path))
            raw.sendall(request("POST", "/v1.45/containers/c/attach?stream=1", None, *UPGRADE, f"User-Agent: {client}"))
            await asyncio.sleep(0.1)
            assert bench.engine.taken.empty() == client.startswith("docker-sdk")
            assert raw.recv(4096, socket.MSG_DONTWAIT).startswith(b"HTTP/1.1 101 ")
            sock, _ = await asyncio.wait_for(bench.engine.taken.get(), 5)
            sock.close()
            raw.close()

    run(body())
