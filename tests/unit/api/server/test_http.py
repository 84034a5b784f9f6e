"""HTTP at its edges, through real sockets."""

import asyncio
import os
import socket
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from sampan.api.server import connection as connection_module
from sampan.api.server.http import AddressTaken, listen_tcp, listen_unix

from .fake import Bench, Refused, request

PING = request("GET", "/_ping")


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; ten seconds are a hang."""
    asyncio.run(asyncio.wait_for(coroutine, 10))


def test_ping_has_dockers_headers(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            status, fields = await (await bench.wire()).say(PING).head()
            assert status == 200
            assert fields["api-version"] == "1.51"
            assert fields["docker-experimental"] == "false"
            assert fields["ostype"] == "linux"
            assert fields["server"].startswith("sampan/")
            assert fields["builder-version"] == "1"
            assert fields["swarm"] == "inactive"
            assert fields["cache-control"] == "no-cache, no-store, must-revalidate"
            assert fields["content-length"] == "2"

    run(body())


def test_head_has_no_body_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(request("HEAD", "/_ping") + request("HEAD", "/nope") + PING)
            assert (await wire.head())[0] == 200
            assert (await wire.head())[0] == 404
            assert await wire.answer() == (200, b"OK")

    run(body())


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say((PING + request("GET", "/nope")) * 500)
            for _ in range(500):
                assert await wire.answer() == (200, b"OK")
                assert (await wire.answer())[0] == 404

    run(body())


def test_a_request_in_single_bytes(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            for byte in request("POST", "/containers/create", b'{"Image":"x"}'):
                wire.say(bytes([byte]))
                await asyncio.sleep(0)
            assert (await wire.answer())[0] == 201

    run(body())


def test_half_a_head_runs_into_the_deadline(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path, head_timeout=0.05) as bench:
            for start in (b"G", b"PRI * H", b"GET /_ping HTTP/1.1\r\nHost: d\r\n"):
                assert await (await bench.wire()).say(start).rest() == b""

    run(body())


def test_an_idle_connection_has_no_deadline(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path, head_timeout=0.02) as bench:
            wire = (await bench.wire()).say(PING)
            await wire.answer()
            await asyncio.sleep(0.06)
            assert await wire.say(PING).answer() == (200, b"OK")

    run(body())


NONSENSE = [
    (b"nonsense\r\n\r\n", b"400 Bad Request"),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00", b"400 Bad Request"),
    (b"\x00" * 100, b"400 Bad Request"),
    (b"GET /_ping HTTP/1.1\r\n\r\n", b"400 Bad Request: missing required Host header"),
    (b"GET /_ping HTTP/1.1\r\nHost: d\r\nX y: 1\r\n\r\n", b"400 Bad Request"),
    (b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: \x00\r\n\r\n", b"400 Bad Request"),
    (b"POST /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: abc\r\n\r\n", b"400 Bad Request"),
    (b"POST /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
    (b"POST /_ping HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\n", b"501 Not Implemented"),
    (b"GET /_ping HTTP/3.7\r\nHost: d\r\n\r\n", b"505 HTTP Version Not Supported: unsupported protocol version"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505 HTTP Version Not Supported: HTTP/2 is not spoken here"),
    (b"GET /_ping HTTP/1.1\r\nHost: d\r\nExpect: 200-ok\r\n\r\n", b"417 Expectation Failed"),
    (b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 1_200_000, b"431 Request Header Fields Too Large"),
]


@pytest.mark.parametrize(("sent", "line"), NONSENSE)
def test_what_is_no_request_is_refused_as_gos_server_does(
    tmp_path: Path, sent: bytes, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            answer = await (await bench.wire()).say(sent).rest()
            assert answer.startswith(b"HTTP/1.1 " + line + b"\r\n")
            assert b"Connection: close" in answer
            assert answer.endswith(line)
            assert await bench.ask("GET", "/_ping") == (200, b"OK")

    run(body())
    assert not caplog.records


def test_a_client_that_leaves_in_the_head_or_the_body_leaves_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            whole = request("POST", "/containers/create", b'{"Image":"x"}')
            for length in range(0, len(whole) - 1, 7):
                wire = (await bench.wire()).say(whole[:length])
                wire.close()
            wire = (await bench.wire()).say(whole[:-3])
            wire.writer.write_eof()
            assert (await wire.answer())[0] == 400
            while bench.server.connections:
                await asyncio.sleep(0.001)
            assert not bench.engine.calls

    run(body())
    assert not caplog.records


def test_a_half_closed_client_still_gets_its_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(PING + PING)
            wire.writer.write_eof()
            assert await wire.answer() == (200, b"OK")
            assert await wire.answer() == (200, b"OK")
            assert await wire.rest() == b""

    run(body())


def test_http_10_is_closed_after_its_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            assert (await (await bench.wire()).say(b"GET /_ping HTTP/1.0\r\n\r\n").rest()).endswith(b"\r\n\r\nOK")

    run(body())


def test_continue_is_sent_when_the_body_is_wanted(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            raw = request("POST", "/images/load", b"12345", "Content-Type: application/x-tar", "Expect: 100-continue")
            wire = (await bench.wire()).say(raw[:-5])
            assert (await wire.head())[0] == 100
            wire.say(b"12345")
            assert (await wire.head())[0] == 200
            assert await wire.chunk() == b'{"stream":"5"}\n'

    run(body())


def test_a_body_that_is_refused_unseen_is_not_asked_for(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(request("POST", "/nope", b"x", "Expect: 100-continue")[:-1])
            status, fields = await wire.head()
            assert (status, fields["connection"]) == (404, "close")

    run(body())


def test_a_small_unread_body_does_not_cost_the_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("POST", "/nope", b"x" * 100_000) + PING)
            assert (await wire.answer())[0] == 404
            assert await wire.answer() == (200, b"OK")

    run(body())


def test_a_large_unread_body_does_and_the_answer_is_seen(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("POST", "/nope", b"x" * 4_000_000))
            assert (await wire.answer())[0] == 404
            assert await wire.rest() == b""

    run(body())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_streams_with_back_pressure(tmp_path: Path, chunked: bool) -> None:
    size, piece = 32 << 20, b"x" * (1 << 16)

    async def send(wire: Any) -> None:
        for _ in range(size // len(piece)):
            wire.say(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await wire.writer.drain()
        wire.say(b"0\r\n\r\n" if chunked else b"")

    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.load_step.set()
            wire = await bench.wire()
            length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
            wire.say(request("POST", "/images/load", None, length, "Content-Type: application/x-tar"))
            sender = asyncio.create_task(send(wire))
            await asyncio.sleep(0.05)  # the sender must still be stuck then; it can't get further in any time
            assert not sender.done()
            (served,) = bench.server.connections
            assert served._body is not None
            assert served._body.size <= connection_module.BODY_BUFFER + connection_module.READ_SIZE
            bench.engine.gate.set()
            await sender
            await wire.head()
            assert await wire.chunk() == b'{"stream":"%d"}\n' % size

    run(body())


def test_broken_chunks_are_an_error_and_the_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            head = request(
                "POST", "/containers/create", None, "Transfer-Encoding: chunked", "Content-Type: application/json"
            )
            wire = (await bench.wire()).say(head + b"zz\r\n{}\r\n0\r\n\r\n")
            assert (await wire.answer())[0] == 400
            assert await wire.rest() == b""

    run(body())


def test_json_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = await bench.wire()
            wire.say(
                request("POST", "/containers/create", b"{", "Content-Length: 99999999")[:-1].replace(
                    b"Content-Length: 1\r\n", b""
                )
            )
            assert await wire.answer() == (413, b'{"message":"http: request body too large"}\n')

    run(body())


def test_waits_head_goes_out_before_the_exit(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("POST", "/containers/c/wait"))
            status, fields = await wire.head()
            assert (status, fields["content-type"]) == (200, "application/json")
            bench.engine.gate.set()
            assert await wire.chunk() == b'{"StatusCode":7}\n'
            assert await wire.chunk() == b""
            assert await wire.say(PING).answer() == (200, b"OK")

    run(body())


@pytest.mark.parametrize("half", [False, True])
def test_an_endless_stream_ends_with_its_client(tmp_path: Path, half: bool) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("GET", "/events"))
            await wire.head()
            assert b'"Action":"0"' in await wire.chunk()
            if half:
                wire.writer.write_eof()
            else:
                wire.close()
            await bench.engine.ended.wait()

    run(body())


def test_a_stream_waits_for_a_slow_reader(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.gate.set()
            wire = (await bench.wire()).say(request("GET", "/events"))
            await wire.head()
            (served,) = bench.server.connections
            while served._drained is None:
                await asyncio.sleep(0.001)
            for number in range(20_000):
                assert b'"Action":"%d"' % number in await wire.chunk()

    run(body())


def test_a_change_goes_on_without_its_client(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            wire = (await bench.wire()).say(request("POST", "/containers/c/kill"))
            while not bench.engine.calls:
                await asyncio.sleep(0.001)
            (served,) = bench.server.connections
            wire.close()
            while not served._eof:
                await asyncio.sleep(0.001)
            bench.engine.gate.set()
            await bench.engine.ended.wait()

    run(body())


def test_the_caller_is_known(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            await bench.ask("POST", "/v1.45/containers/c/stop?t=3&signal=INT")
            ((what, (ref, rest)),) = bench.engine.calls
            assert (what, ref, rest["timeout"], rest["signal"]) == ("stop", "c", 3, "INT")
            by = rest["by"]
            assert (by.what, by.pid, by.uid) == ("POST /containers/c/stop", os.getpid(), os.getuid())
            assert by.comm == Path("/proc/self/comm").read_text().rstrip("\n")

    run(body())


def test_an_error_of_the_engine_and_one_of_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            bench.engine.error = Refused("No such container: c", 404)
            assert await bench.ask("POST", "/containers/c/start") == (404, b'{"message":"No such container: c"}\n')
            bench.engine.error = Refused("", 304)
            assert await bench.ask("POST", "/containers/c/start") == (304, b"")
            assert not caplog.records
            bench.engine.error = KeyError("oops")
            assert await bench.ask("POST", "/containers/c/start") == (500, b'{"message":"\'oops\'"}\n')

    run(body())
    assert "Traceback" in caplog.text


def test_the_server_closes_idle_and_running_connections(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            idle, busy = await bench.wire(), await bench.wire()
            await idle.say(PING).answer()
            await busy.say(request("GET", "/events")).head()
            await bench.server.close(grace=0.01)
            assert await idle.rest() == b""
            await busy.rest()
            assert bench.engine.ended.is_set()

    run(body())


def test_tcp_and_several_listeners(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            listener = listen_tcp("127.0.0.1", 0)
            port = listener.getsockname()[1]
            await bench.server.add(listener)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("POST", "/containers/c/stop"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            assert bench.engine.calls[0][1][1]["by"].pid == 0
            writer.close()
            assert await bench.ask("GET", "/_ping") == (200, b"OK")

    run(body())


def test_the_unix_socket_is_guarded_and_a_dead_ones_place_taken(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    first = listen_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(AddressTaken):
        listen_unix(path)
    first.close()
    listen_unix(path).close()
    plain = tmp_path / "plain"
    plain.write_text("mine")
    with pytest.raises(FileExistsError):
        listen_unix(plain)
    assert plain.read_text() == "mine"


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    async def body() -> None:
        async with Bench(tmp_path) as bench:
            await bench.ask("GET", "/_ping")
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(50):
                await bench.ask("GET", "/_ping")
                wire = (await bench.wire()).say(request("POST", "/containers/c/attach?stream=1"))
                sock, _ = await bench.engine.taken.get()
                sock.close()
                await wire.rest()
                wire.close()
            while bench.server.connections:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            assert len(os.listdir("/proc/self/fd")) <= before + 1
            assert isinstance(sock, socket.socket)

    run(body())
