"""docker logs."""

import re
import time

import pytest

from support.engine import Engine
from support.images import BUSYBOX

TEN = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done"


@pytest.fixture
def ended(engine: Engine) -> str:
    """A container that printed ten lines and ended."""
    container = engine.start(BUSYBOX, "sh", "-c", TEN + "; echo oops >&2")
    engine.ok("wait", container)
    return container


def test_streams_keep_apart(engine: Engine, ended: str) -> None:
    answer = engine.docker("logs", ended)
    assert answer.out.splitlines() == [f"line {n}" for n in range(1, 11)]
    assert answer.err == "oops\n"


@pytest.mark.parametrize(("tail", "count"), [("0", 0), ("3", 3), ("all", 11), ("100", 11), ("-1", 11)])
def test_tail(engine: Engine, ended: str, tail: str, count: int) -> None:
    answer = engine.docker("logs", "--tail", tail, ended)
    assert len((answer.out + answer.err).splitlines()) == count


def test_timestamps(engine: Engine, ended: str) -> None:
    lines = engine.docker("logs", "-t", ended).out.splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d+", line) for line in lines)


def test_since_and_until(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sh", "-c", "echo one; sleep 1.2; echo two")
    engine.ok("wait", container)
    first, second = (line.split()[0] for line in engine.ok("logs", "-t", container).splitlines())
    assert engine.ok("logs", "--since", second, container) == "two"
    assert engine.ok("logs", "--until", first, container) == "one"
    assert engine.ok("logs", "--since", first, container) == "one\ntwo"
    assert engine.ok("logs", "--since", "1h", container) == "one\ntwo"
    assert engine.ok("logs", "--until", "1h", container) == ""
    assert engine.ok("logs", "--since", str(int(time.time()) + 3600), container) == ""


def test_follow_ends_with_the_container(engine: Engine) -> None:
    container = engine.start("-i", BUSYBOX, "sh", "-c", "echo before; read go; echo after")
    with engine.open("logs", "-f", container) as cli:
        assert cli.stdout
        assert cli.stdout.readline() == b"before\n"
        assert engine.docker("attach", container, stdin=b"go\n").code == 0
        out, _ = cli.communicate(timeout=30)
    assert (cli.returncode, out) == (0, b"after\n")


def test_follow_from_the_tail(engine: Engine) -> None:
    container = engine.start("-i", BUSYBOX, "sh", "-c", "seq 100; read go; echo end")
    with engine.open("logs", "-f", "--tail", "1", container) as cli:
        assert cli.stdout
        assert cli.stdout.readline() == b"100\n"
        engine.docker("attach", container, stdin=b"go\n")
        assert cli.communicate(timeout=30)[0] == b"end\n"


def test_follow_of_an_ended_container_ends(engine: Engine, ended: str) -> None:
    assert len(engine.docker("logs", "-f", ended).out.splitlines()) == 10


def test_bytes_are_kept_and_a_last_line_without_newline_too(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "printf", r'\344\n\001\t\\ "quoted" <&> \nno newline')
    engine.ok("wait", container)
    assert engine.docker("logs", container).raw.endswith(b'\x01\t\\ "quoted" <&> \nno newline')


def test_long_lines_are_whole(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    engine.ok("wait", container)
    assert engine.docker("logs", container).out == "x" * 100_000 + "\nend\n"


def test_no_log_driver(engine: Engine) -> None:
    container = engine.start("--log-driver", "none", BUSYBOX, "echo", "unheard")
    engine.ok("wait", container)
    refused = engine.docker("logs", container)
    assert refused.code == 1 and "configured logging driver does not support reading" in refused.err


def test_rotation_keeps_the_newest(engine: Engine) -> None:
    container = engine.start("--log-opt", "max-size=20k", "--log-opt", "max-file=2", BUSYBOX, "seq", "5000")
    engine.ok("wait", container)
    lines = engine.ok("logs", container).splitlines()
    assert lines == [str(n) for n in range(5001 - len(lines), 5001)]
    assert 50 < len(lines) < 1000


def test_logs_go_on_over_restarts(engine: Engine, ended: str) -> None:
    engine.ok("start", ended)
    engine.ok("wait", ended)
    assert len(engine.docker("logs", ended).out.splitlines()) == 20


def test_a_missing_container(engine: Engine) -> None:
    refused = engine.docker("logs", "nosuchcontainer")
    assert refused.code == 1 and "No such container: nosuchcontainer" in refused.err
