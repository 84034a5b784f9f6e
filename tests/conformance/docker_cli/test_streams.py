"""Standard streams through run, attach and exec: bytes unharmed, ends seen, signals passed on."""

import hashlib
import itertools
import os
import signal
import subprocess
import threading

import pytest

from support.engine import Engine
from support.images import BUSYBOX

MIB = 1 << 20


def pump(engine: Engine, args: list[str], total: int) -> tuple[int, str, str]:
    """Feed ``total`` bytes to a docker command, hash what comes back; exit code, digest sent, digest received."""
    block = os.urandom(MIB)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with engine.open(*args, stdin=subprocess.PIPE) as cli:

        def feed() -> None:
            assert cli.stdin
            for number in range(total // MIB):
                piece = number.to_bytes(8, "big") + block[8:]
                sent.update(piece)
                cli.stdin.write(piece)
            cli.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        assert cli.stdout
        while chunk := cli.stdout.read(MIB):
            received.update(chunk)
        feeder.join()
    return cli.returncode, sent.hexdigest(), received.hexdigest()


@pytest.mark.parametrize("size", [pytest.param(64, id="64MB"), pytest.param(1024, id="1GB", marks=pytest.mark.slow)])
def test_bytes_go_through_run_and_back(engine: Engine, size: int) -> None:
    code, sent, received = pump(engine, engine.marked("run", "-i", "--rm", BUSYBOX, "cat"), size * MIB)
    assert (code, received) == (0, sent)


def test_bytes_go_through_exec_and_back(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sleep", "1000")
    code, sent, received = pump(engine, ["exec", "-i", container, "cat"], 64 * MIB)
    assert (code, received) == (0, sent)


def test_the_end_of_stdin_arrives_and_output_goes_on(engine: Engine) -> None:
    script = "cat; echo after the end; echo error >&2"
    answer = engine.run("-i", "--rm", BUSYBOX, "sh", "-c", script, stdin=b"last line, no newline")
    assert (answer.out, answer.err) == ("last line, no newlineafter the end\n", "error\n")


def test_stdin_is_empty_without_i(engine: Engine) -> None:
    assert engine.run("--rm", BUSYBOX, "sh", "-c", "cat; echo end", stdin=b"ignored").out == "end\n"


def test_much_output_of_a_short_life_is_whole(engine: Engine) -> None:
    answer = engine.run("--rm", BUSYBOX, "seq", "200000")
    assert answer.out == "".join(f"{n}\n" for n in range(1, 200001))


def test_attach_joins_a_running_container(engine: Engine) -> None:
    container = engine.start("-i", BUSYBOX, "sh", "-c", "read line; echo got $line; exit 4")
    with engine.open("attach", container, stdin=subprocess.PIPE) as cli:
        assert cli.stdin and cli.stdout
        cli.stdin.write(b"words\n")
        cli.stdin.flush()
        assert cli.stdout.read() == b"got words\n"
        assert cli.wait(30) == 4


def test_two_attached_clients_see_the_same(engine: Engine) -> None:
    container = engine.start("-i", BUSYBOX, "sh", "-c", "while read word; do echo got $word; done")
    with (
        engine.open("attach", container, stdin=subprocess.PIPE) as writer,
        engine.open("attach", "--no-stdin", container) as reader,
    ):
        assert writer.stdin and writer.stdout and reader.stdout
        arrived = threading.Event()
        counts = itertools.count()

        def speak() -> None:  # until the reader, who may come late, has heard something
            while not arrived.wait(0.05):
                writer.stdin.write(f"{next(counts)}\n".encode())
                writer.stdin.flush()

        speaker = threading.Thread(target=speak)
        speaker.start()
        line = reader.stdout.readline()
        arrived.set()
        speaker.join()
        assert line.startswith(b"got ")
        wait_for_line(writer.stdout, line.strip())
        engine.ok("kill", container)


def test_start_attached(engine: Engine) -> None:
    container = engine.create("-i", BUSYBOX, "sh", "-c", "cat; exit 5")
    answer = engine.docker("start", "-ai", container, stdin=b"fed\n")
    assert (answer.code, answer.out) == (5, "fed\n")


def wait_for_line(stream: object, word: bytes) -> None:
    """Read lines of a pipe until one has ``word``."""
    for line in stream:  # type: ignore[attr-defined]
        if word in line:
            return
    raise AssertionError(f"{word!r} never came")


def test_signals_are_passed_on(engine: Engine) -> None:
    script = "trap 'echo caught; exit 143' TERM; echo ready; while :; do sleep 0.1; done"
    with engine.open(*engine.marked("run", "--rm", BUSYBOX, "sh", "-c", script)) as cli:
        wait_for_line(cli.stdout, b"ready")
        cli.send_signal(signal.SIGTERM)
        out, _ = cli.communicate(timeout=30)
    assert (cli.returncode, out) == (143, b"caught\n")


def test_without_sig_proxy_the_container_stays(engine: Engine) -> None:
    name = engine.name()
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    flags = ["--sig-proxy=false", "--name", name]
    with engine.open(*engine.marked("run", *flags, BUSYBOX, "sh", "-c", script)) as cli:
        wait_for_line(cli.stdout, b"ready")
        cli.send_signal(signal.SIGTERM)
        engine.ok("exec", name, "sh", "-c", "kill -0 1")
        cli.kill()
    assert engine.look(name, "{{.State.Running}}") == "true"


def test_a_closed_pipe_ends_the_program_not_the_daemon(engine: Engine) -> None:
    with engine.open(*engine.marked("run", "--rm", BUSYBOX, "sh", "-c", "yes | head -n 1000000")) as cli:
        assert cli.stdout
        assert cli.stdout.read(4) == b"y\ny\n"
        cli.kill()
    assert engine.ok("version", "-f", "{{.Server.Version}}")
