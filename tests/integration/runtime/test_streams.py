"""Attached clients, terminals and the log: what goes in comes out, once, whole, and nobody waits who need not."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import threading
from pathlib import Path

from sampan.runtime.supervisor import Attachment, Monitor

from .conftest import PATIENCE_S, Runtime, alive, read_all, read_until, wait_for


def entries(path: Path) -> list[tuple[str, str]]:
    """The log as (stream, text)."""
    return [(entry["stream"], entry["log"]) for entry in map(json.loads, path.read_text().splitlines())]


def attach(runtime: Runtime, monitor: Monitor, **wanted: object) -> socket.socket:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    runtime.run(monitor.attach(Attachment(theirs, **{"stdout": True, "stderr": True, "framed": False, **wanted})))
    return ours


def test_streams_go_to_the_log_by_name(runtime: Runtime) -> None:
    monitor = runtime.start(runtime.spec("sh", "-c", "echo out; echo err >&2; printf rest"))
    runtime.end(monitor)
    logged = entries(runtime.home / f"{monitor.id}.log")
    assert sorted(logged) == [("stderr", "err\n"), ("stdout", "out\n"), ("stdout", "rest")]


def test_frames(runtime: Runtime) -> None:
    ours, theirs = socket.socketpair()
    client = Attachment(theirs, stdout=True, stderr=True, framed=True)
    monitor = runtime.start(runtime.spec("sh", "-c", "echo hi"), attach=[client])
    assert read_all(ours) == bytes.fromhex("0100000000000003") + b"hi\n"
    runtime.end(monitor)


def test_a_large_input_comes_back_unharmed(runtime: Runtime) -> None:
    """Both directions at once, far more than any buffer on the way holds, and the end of input by half-close."""
    block = os.urandom(1 << 20)
    monitor, client = runtime.attached(runtime.spec("cat"), stdin=True)

    def feed() -> None:
        for _ in range(64):
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=feed)
    thread.start()
    digest, size = hashlib.sha256(), 0
    while piece := client.recv(1 << 20):
        digest.update(piece)
        size += len(piece)
    thread.join()
    assert size == 64 << 20
    assert digest.digest() == hashlib.sha256(block * 64).digest()
    assert runtime.end(monitor).code == 0


def test_bytes_behind_the_request_head_are_input(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("cat"), stdin=True, client={"early": b"early "})
    client.sendall(b"late")
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"early late"
    runtime.end(monitor)


def test_a_client_that_sends_and_goes_is_read_to_the_end(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "sleep 0.2; wc -c"), stdin=True)
    client.sendall(b"x" * 300_000)  # more than a pipe holds
    client.close()
    runtime.end(monitor)
    assert entries(runtime.home / f"{monitor.id}.log") == [("stdout", "300000\n")]


def test_input_that_nobody_reads_does_not_reset_the_client(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("echo", "done"), stdin=True)
    with contextlib.suppress(BrokenPipeError):  # it may be gone already
        client.sendall(b"x" * 100_000)
    assert read_all(client) == b"done\n"  # and no ECONNRESET
    runtime.end(monitor)


def test_a_slow_client_holds_the_program_up_and_the_log_has_all(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "seq 1 400000; echo end"))
    size = len(read_all(client))  # begins to read when the program has long filled every buffer
    runtime.end(monitor)
    assert size == sum(len(f"{number}\n") for number in range(1, 400_001)) + 4


def test_an_absent_client_holds_nobody_up(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "read x; seq 1 400000"), stdin=True)
    client.sendall(b"go\n")
    client.close()
    assert runtime.end(monitor).code == 0


def test_a_client_that_never_reads_does_not_delay_the_exit(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("sh", "-c", "head -c 600000 /dev/zero"))
    assert runtime.end(monitor).code == 0
    assert len(read_all(client)) == 600_000  # it gets the rest all the same


def test_a_second_client_joins_and_leaves(runtime: Runtime) -> None:
    monitor, first = runtime.attached(runtime.spec("cat"), stdin=True)
    first.sendall(b"one\n")
    read_until(first, b"one\n")
    second = attach(runtime, monitor)
    first.sendall(b"two\n")
    read_until(first, b"two\n")
    assert read_until(second, b"two\n") == b"two\n"
    second.close()
    first.sendall(b"three\n")
    read_until(first, b"three\n")
    first.shutdown(socket.SHUT_WR)
    runtime.end(monitor)


def test_a_terminal(runtime: Runtime) -> None:
    spec = runtime.spec("sh", "-c", "tty; stty size; read line; echo got $line; stty size", terminal=True)
    monitor, client = runtime.attached(spec, stdin=True, console_size=(33, 99))
    read_until(client, b"33 99\r\n")
    runtime.run(monitor.resize(44, 111))
    client.sendall(b"hello\n")
    text = read_all(client)
    assert b"got hello\r\n44 111\r\n" in text
    assert runtime.end(monitor).code == 0


def test_a_terminal_gives_its_last_words(runtime: Runtime) -> None:
    for _ in range(5):
        monitor, client = runtime.attached(runtime.spec("sh", "-c", "seq 1 500", terminal=True), stdin=True)
        assert read_all(client).endswith(b"499\r\n500\r\n")
        runtime.end(monitor)


def test_a_program_that_closes_its_terminal_is_still_heard(runtime: Runtime) -> None:
    spec = runtime.spec(
        "sh", "-c", "exec >/dev/null 2>&1 </dev/null; sleep 0.1; echo back >/dev/console", terminal=True
    )
    monitor, client = runtime.attached(spec, stdin=True)
    assert b"back" in read_all(client)
    runtime.end(monitor)


def test_detach_keys(runtime: Runtime) -> None:
    keys = b"\x10\x11"  # ctrl-p, ctrl-q
    monitor, client = runtime.attached(runtime.spec("cat", terminal=True), stdin=True, client={"detach_keys": keys})
    client.sendall(b"a\x10b\n")  # half the sequence, broken off: it is input
    read_until(client, b"b\r\n")
    client.sendall(b"\x10")
    client.sendall(b"\x11")
    read_all(client)
    assert not monitor.exit.done()
    runtime.run(monitor.signal(9))
    runtime.end(monitor)


def test_following_the_log_over_rotation(runtime: Runtime) -> None:
    launch = runtime.prepare(runtime.spec("sh", "-c", "read x; seq 1 3000"), open_stdin=True, stdin_once=True)
    launch.log.max_size, launch.log.max_file = 50_000, 10
    monitor = runtime.run(runtime.supervisor.launch(launch))

    async def follow() -> list[int]:
        generations, first = [], True
        async for mark in monitor.follow():
            generations.append(mark.generation)
            if mark.descriptor is not None:
                os.close(mark.descriptor)
            if first:
                ours, theirs = socket.socketpair()
                await monitor.attach(Attachment(theirs, stdin=True, framed=False))
                ours.sendall(b"go\n")
                ours.close()
                first = False
        return generations

    generations = runtime.run(follow())
    runtime.end(monitor)
    assert sorted(set(generations)) == list(range(max(generations) + 1))  # every file was announced
    assert max(generations) >= 3


def test_a_client_that_dies_after_the_exit_lets_the_monitor_go(runtime: Runtime) -> None:
    monitor, client = runtime.attached(runtime.spec("head", "-c", "800000", "/dev/zero"))
    runtime.end(monitor)
    assert os.path.exists(f"/proc/{monitor.pid}")  # it holds what the client has not read
    client.close()
    wait_for(lambda: not alive(monitor.pid))


def test_others_who_go_on_writing_do_not_delay_the_exit(runtime: Runtime) -> None:
    """A program can pass its output to somebody outside, here by a pipe of the host's, and be gone."""
    fifo = runtime.home / "shared"
    fifo.mkdir()
    spec = runtime.spec("sh", "-c", "exec 3>&1; cat /shared/go; sleep 0.05")
    spec["mounts"].append({"destination": "/shared", "type": "bind", "source": str(fifo)})
    os.mkfifo(fifo / "go")
    monitor = runtime.start(spec)
    outside = os.open(f"/proc/{monitor.init_pid}/fd/1", os.O_WRONLY)  # as if it had been sent over a socket
    writer = subprocess.Popen(["/bin/busybox", "yes"], stdout=outside)
    os.close(outside)
    (fifo / "go").write_text("")
    try:
        assert runtime.end(monitor).code == 0
    finally:
        writer.kill()
        writer.wait()
