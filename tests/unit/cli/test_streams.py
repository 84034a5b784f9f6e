"""Carrying streams: input that ends or fails, output that is slow, terminals that are put back."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.terminal import Terminal

CARRY = """
    import socket, sys
    from sampan.api.client.client import Stream
    from sampan.cli.main import GLOBAL_FLAGS
    from sampan.cli.parser import parse
    from sampan.cli.session import Session
    from sampan.cli.streams import Carrier, Detached
    descriptor, tty = int(sys.argv[1]), sys.argv[2] == "tty"
    sock = socket.socket(fileno=descriptor)
    session = Session(parse(GLOBAL_FLAGS, ["-D"]), {})
    carrier = Carrier(session, Stream(sock, b"", multiplexed=not tty), tty=tty, stdin=True)
    carrier.start()
    try:
        carrier.finish()
    except Detached as error:
        print(error)
"""


def _program() -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(CARRY)]


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    """The daemon's end and the client's."""
    return socket.socketpair()


def _start(pair: tuple[socket.socket, socket.socket], **streams: object) -> "subprocess.Popen[bytes]":
    ours = pair[1]
    argv = [*_program(), str(ours.fileno()), "plain"]
    process = subprocess.Popen(argv, pass_fds=[ours.fileno()], **streams)  # type: ignore[call-overload]
    ours.close()
    return process


def _read_to_end(theirs: socket.socket) -> bytes:
    theirs.settimeout(10)
    data = b""
    while piece := theirs.recv(65536):
        data += piece
    return data


def test_input_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    process = _start(pair, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"abc")
    process.stdin.close()
    assert _read_to_end(pair[0]) == b"abc"
    pair[0].sendall(bytes.fromhex("01000000000000026f6b 0200000000000001 65"))
    pair[0].close()
    assert process.stdout is not None
    assert process.stderr is not None
    assert (process.stdout.read(), process.stderr.read(), process.wait(10)) == (b"ok", b"e", 0)


def test_input_that_can_not_be_read_has_ended(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    write_only = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    process = _start(pair, stdin=write_only, stderr=subprocess.PIPE)
    os.close(write_only)
    assert _read_to_end(pair[0]) == b""
    pair[0].close()
    assert process.wait(10) == 0
    assert process.stderr is not None
    assert b"Bad file descriptor" in process.stderr.read()


def test_non_blocking_streams(pair: tuple[socket.socket, socket.socket]) -> None:
    """A descriptor that somebody else made non-blocking: we wait, and lose nothing."""
    in_reader, in_writer = os.pipe()
    out_reader, out_writer = os.pipe()
    for descriptor in (in_reader, out_writer):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)
    process = _start(pair, stdin=in_reader, stdout=out_writer, stderr=subprocess.DEVNULL)
    os.close(in_reader)
    os.close(out_writer)
    payload = os.urandom(500_000)
    os.write(in_writer, b"late")
    os.close(in_writer)
    assert _read_to_end(pair[0]) == b"late"
    pair[0].settimeout(None)
    frame = b"\1\0\0\0" + len(payload).to_bytes(4, "big") + payload
    data, position = b"", 0
    pair[0].setblocking(False)
    while len(data) < len(payload):
        if position < len(frame):
            with suppress(BlockingIOError):
                position += pair[0].send(frame[position : position + 50_000])
        data += os.read(out_reader, 1000) if position > 100_000 else b""
    pair[0].close()
    assert data == payload
    assert process.wait(10) == 0
    os.close(out_reader)


def _terminal(pair: tuple[socket.socket, socket.socket]) -> Terminal:
    ours = pair[1]
    os.set_inheritable(ours.fileno(), True)
    terminal = Terminal([*_program(), str(ours.fileno()), "tty"], os.environ)
    ours.close()
    return terminal


def _is_raw(pid: int) -> bool:
    done = subprocess.run(["stty", "-a", "-F", f"/proc/{pid}/fd/0"], capture_output=True, text=True, check=False)
    return "-icanon" in done.stdout


def test_detach_keys_end_it(pair: tuple[socket.socket, socket.socket]) -> None:
    with _terminal(pair) as terminal:
        pair[0].sendall(b"prompt$")
        terminal.expect(rb"prompt\$")
        terminal.send(b"a\x10")
        terminal.send(b"b\x10\x11")
        assert _read_to_end(pair[0]) == b"a\x10b"
        terminal.expect(b"read escape sequence")
        assert terminal.wait() == 0


def test_a_signal_puts_the_terminal_back(pair: tuple[socket.socket, socket.socket]) -> None:
    with _terminal(pair) as terminal:
        pair[0].sendall(b"prompt$")
        terminal.expect(rb"prompt\$")
        limit = time.monotonic() + 10
        while not _is_raw(terminal.pid):
            assert time.monotonic() < limit
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.expect(b"ExitStatus")
        assert terminal.wait() == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_taken_by_connections(closed: str) -> None:
    command = f"{sys.executable} -m sampan.cli.main -H unix:///nonexistent ps {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
