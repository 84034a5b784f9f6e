"""The Engine API by bytes: order of head and body, streams that are taken over, nonsense."""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from support.engine import LABEL
from support.http import ask
from support.images import BUSYBOX, busybox_archive


class Wire:
    """A connection to the engine."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(host.removeprefix("unix://"))
        self.pending = b""

    def say(self, method: str, path: str, body: bytes | None = None, *fields: str, behind: bytes = b"") -> "Wire":
        """Send one request, and `behind` in the same write."""
        lines = [f"{method} /v1.45{path} HTTP/1.1", "Host: d", *fields]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b"") + behind)
        return self

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and header fields, in small letters."""
        while b"\r\n\r\n" not in self.pending:
            self.pending += self._more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])

    def _more(self) -> bytes:
        data = self.sock.recv(1 << 16)
        assert data, f"the connection ended after {self.pending!r}"
        return data

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self.pending) < size:
            self.pending += self._more()
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def answer(self) -> tuple[int, bytes]:
        """An answer with a length."""
        status, fields = self.head()
        return status, self.exactly(int(fields.get("content-length", "0")))

    def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.exactly(1)
        return self.exactly(int(line, 16) + 2)[:-2]

    def frame(self) -> tuple[int, bytes]:
        """The next frame of a multiplexed stream: (1 or 2, bytes)."""
        stream, size = struct.unpack(">BxxxI", self.exactly(8))
        return stream, self.exactly(size)

    def rest(self) -> bytes:
        """All up to the end."""
        while data := self.sock.recv(1 << 16):
            self.pending += data
        return self.pending


@pytest.fixture
def wire(host: str) -> Iterator[Wire]:
    """One connection."""
    one = Wire(host)
    yield one
    one.sock.close()


@pytest.fixture
def make(host: str) -> Iterator["Maker"]:
    """Makes containers, and removes them."""
    maker = Maker(host)
    yield maker
    for made in maker.made:
        ask(host, "DELETE", f"/containers/{made}?force=1")


class Maker:
    """`make(["cmd"])` creates a container and returns its id."""

    def __init__(self, host: str) -> None:
        self.host, self.made = host, []

    def __call__(self, command: list[str], **config: object) -> str:
        body = {"Image": BUSYBOX, "Cmd": command, "Labels": {LABEL: "api"}, "HostConfig": {"NetworkMode": "none"}}
        status, answer = ask(self.host, "POST", "/containers/create", body | config)
        assert status == 201, answer
        self.made.append(answer["Id"])
        return str(answer["Id"])

    def start(self, ref: str) -> None:
        """Start it."""
        assert ask(self.host, "POST", f"/containers/{ref}/start")[0] == 204


STDIN = {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


def test_waits_head_comes_before_the_exit(wire: Wire, make: Maker) -> None:
    ref = make(["sh", "-c", "exit 7"])
    status, _ = wire.say("POST", f"/containers/{ref}/wait?condition=next-exit").head()
    assert status == 200
    make.start(ref)
    assert json.loads(wire.chunk()) == {"StatusCode": 7}
    assert wire.chunk() == b""


def test_wait_for_the_removal(host: str, wire: Wire, make: Maker) -> None:
    ref = make(["true"], HostConfig={"NetworkMode": "none", "AutoRemove": True})
    assert wire.say("POST", f"/containers/{ref}/wait?condition=removed").head()[0] == 200
    make.start(ref)
    assert json.loads(wire.chunk()) == {"StatusCode": 0}
    assert ask(host, "GET", f"/containers/{ref}/json")[0] == 404


docker_loses_them = pytest.mark.skipif(
    "SAMPAN_TEST_HOST" in os.environ,
    reason="dockerd 26.1 drops what it has read behind a request that it takes over",
)


@docker_loses_them
def test_attach_with_stdin_sent_before_the_answer(wire: Wire, make: Maker) -> None:
    """What comes right behind the request's head belongs to the stream; so does the end of it."""
    ref = make(["cat"], **STDIN)
    data = b"".join(b"%06d\n" % number for number in range(20_000))
    wire.say("POST", f"/containers/{ref}/attach?stream=1&stdin=1&stdout=1&stderr=1", None, *UPGRADE, behind=data[:5000])
    status, fields = wire.head()
    assert (status, fields["content-type"]) == (101, "application/vnd.docker.multiplexed-stream")
    make.start(ref)
    wire.sock.sendall(data[5000:])
    wire.sock.shutdown(socket.SHUT_WR)
    got = b""
    while len(got) < len(data):
        stream, part = wire.frame()
        assert stream == 1
        got += part
    assert got == data
    assert wire.rest() == b""


def test_attach_without_upgrade_is_a_raw_answer(wire: Wire, make: Maker) -> None:
    ref = make(["sh", "-c", "echo out; echo err >&2"])
    status, fields = wire.say("POST", f"/containers/{ref}/attach?stream=1&stdout=1&stderr=1").head()
    assert (status, fields["content-type"]) == (200, "application/vnd.docker.raw-stream")
    assert "transfer-encoding" not in fields
    make.start(ref)
    assert sorted([wire.frame(), wire.frame()]) == [(1, b"out\n"), (2, b"err\n")]
    assert wire.rest() == b""


def test_attach_to_nobody(wire: Wire) -> None:
    wire.say("POST", "/containers/nobody/attach?stream=1&stdout=1", None, *UPGRADE)
    assert wire.head()[0] == 404
    assert wire.rest() == b"No such container: nobody\r\n"


@docker_loses_them
@pytest.mark.parametrize("tty", [False, True])
def test_exec_takes_the_connection_over(host: str, make: Maker, wire: Wire, tty: bool) -> None:
    ref = make(["sleep", "1000"])
    make.start(ref)
    body = {"Cmd": ["sh", "-c", "read a; echo got $a"], "AttachStdin": True, "AttachStdout": True, "Tty": tty}
    _, made = ask(host, "POST", f"/containers/{ref}/exec", body)
    start = json.dumps({"Detach": False, "Tty": tty}).encode()
    wire.say("POST", f"/exec/{made['Id']}/start", start, *UPGRADE, behind=b"early\n")
    status, fields = wire.head()
    kind = "raw" if tty else "multiplexed"
    assert (status, fields["content-type"]) == (101, f"application/vnd.docker.{kind}-stream")
    answer = wire.rest()
    assert answer.endswith(b"got early\r\n" if tty else b"\x01\0\0\0\0\0\0\x0agot early\n")


def test_logs_come_as_they_are_written(wire: Wire, make: Maker) -> None:
    ref = make(["sh", "-c", "echo one; read a; echo two"], **STDIN)
    make.start(ref)
    status, fields = wire.say("GET", f"/containers/{ref}/logs?follow=1&stdout=1").head()
    assert (status, fields["content-type"]) == (200, "application/vnd.docker.multiplexed-stream")
    assert wire.chunk() == b"\x01\0\0\0\0\0\0\x04one\n"
    other = Wire(make.host).say("POST", f"/containers/{ref}/attach?stream=1&stdin=1", None, *UPGRADE)
    assert other.head()[0] == 101
    other.sock.sendall(b"\n")
    assert wire.chunk() == b"\x01\0\0\0\0\0\0\x04two\n"
    assert wire.chunk() == b""
    other.sock.close()


def test_a_load_is_asked_to_go_on(wire: Wire) -> None:
    archive = busybox_archive().read_bytes()
    fields = ("Content-Type: application/x-tar", f"Content-Length: {len(archive)}", "Expect: 100-continue")
    assert wire.say("POST", "/images/load?quiet=1", None, *fields).head()[0] == 100
    wire.sock.sendall(archive)
    assert wire.head()[0] == 200
    assert b"Loaded image: sampan-test/busybox:1" in wire.chunk()


def test_a_load_in_chunks(wire: Wire) -> None:
    archive = busybox_archive().read_bytes()
    wire.say("POST", "/images/load?quiet=1", None, "Content-Type: application/x-tar", "Transfer-Encoding: chunked")
    for start in range(0, len(archive), 100_003):
        part = archive[start : start + 100_003]
        wire.sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    wire.sock.sendall(b"0\r\n\r\n")
    assert wire.head()[0] == 200
    assert b"Loaded image" in wire.chunk()


def test_a_broken_archive_is_an_error_in_the_stream(wire: Wire) -> None:
    wire.say("POST", "/images/load", None, "Content-Type: application/x-tar", "Content-Length: 5", behind=b"abcde")
    assert wire.head()[0] == 200
    message = json.loads(wire.chunk())
    assert message["error"] == message["errorDetail"]["message"]
    assert wire.chunk() == b""
    assert wire.say("GET", "/_ping").answer() == (200, b"OK")


def test_half_an_archive_and_gone(host: str) -> None:
    archive = busybox_archive().read_bytes()
    one = Wire(host)
    one.say("POST", "/images/load", None, "Content-Type: application/x-tar", f"Content-Length: {len(archive)}")
    one.sock.sendall(archive[: len(archive) // 2])
    one.sock.close()
    assert ask(host, "GET", "/_ping")[0] == 200


NONSENSE = [b"nonsense\r\n\r\n", b"\x16\x03\x01\x00\xa5\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 2_000_000]


@pytest.mark.parametrize("sent", NONSENSE)
def test_nonsense_is_refused_and_forgotten(host: str, wire: Wire, sent: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may be refused while it is being said
        wire.sock.sendall(sent)
    with contextlib.suppress(ConnectionResetError):
        wire.rest()
    assert wire.pending.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert ask(host, "GET", "/_ping")[0] == 200


def test_pipelined_pings(wire: Wire) -> None:
    for _ in range(50):
        wire.say("GET", "/_ping")
    assert [wire.answer() for _ in range(50)] == [(200, b"OK")] * 50
