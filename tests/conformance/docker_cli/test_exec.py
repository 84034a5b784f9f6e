"""docker exec."""

import pytest

from support.engine import Engine
from support.images import BUSYBOX
from support.processes import wait_for


@pytest.fixture
def container(engine: Engine) -> str:
    """A container that sleeps."""
    return engine.start("-e", "FROM=container", "-w", "/tmp", BUSYBOX, "sleep", "1000")


def test_output_and_exit_code(engine: Engine, container: str) -> None:
    answer = engine.docker("exec", container, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (answer.code, answer.out, answer.err) == (3, "out\n", "err\n")


def test_environment_user_and_directory(engine: Engine, container: str) -> None:
    assert engine.ok("exec", "-e", "MORE=exec", container, "sh", "-c", "echo $FROM $MORE $PWD") == "container exec /tmp"
    assert engine.ok("exec", "-u", "app", "-w", "/etc", container, "sh", "-c", "id -un; pwd").split() == ["app", "/etc"]


def test_it_shares_the_container(engine: Engine, container: str) -> None:
    assert engine.ok("exec", container, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline") == "sleep 1000"
    assert engine.ok("exec", container, "cat", "/proc/1/cgroup") == engine.ok(
        "exec", container, "cat", "/proc/self/cgroup"
    )


def test_capabilities_as_the_container(engine: Engine, container: str) -> None:
    show = ["sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status"]
    assert engine.ok("exec", container, *show).split() == ["CapEff:", "00000000a80425fb", "Seccomp:", "2"]
    privileged = engine.ok("exec", "--privileged", container, *show).split()
    assert int(privileged[1], 16) > 0xA80425FB


def test_detached(engine: Engine, container: str) -> None:
    assert engine.ok("exec", "-d", container, "sh", "-c", "echo done > /tmp/flag") == ""
    wait_for(lambda: engine.docker("exec", container, "cat", "/tmp/flag").line == "done", "the detached exec's file")


@pytest.mark.parametrize(
    ("command", "codes", "words"),
    [
        ("nosuchprogram", (126, 127), "executable file not found in $PATH"),  # 126 by dockerd 26, 127 later
        ("/etc/plain", (126,), "permission denied"),
    ],
)
def test_a_command_that_cannot_start(
    engine: Engine, container: str, command: str, codes: tuple[int, ...], words: str
) -> None:
    answer = engine.docker("exec", container, command)
    assert answer.code in codes and words in answer.out + answer.err


def test_an_unknown_user(engine: Engine, container: str) -> None:
    answer = engine.docker("exec", "-u", "nobodyknows", container, "true")
    assert (
        answer.code == 126
        and "unable to find user nobodyknows: no matching entries in passwd file" in answer.out + answer.err
    )


def test_a_killed_command(engine: Engine, container: str) -> None:
    assert engine.docker("exec", container, "sh", "-c", "kill -9 $$").code == 137


def test_a_stopped_container_refuses(engine: Engine, container: str) -> None:
    engine.ok("kill", container)
    refused = engine.docker("exec", container, "true")
    assert refused.code == 1 and f"container {container} is not running" in refused.err


def test_a_missing_container(engine: Engine) -> None:
    refused = engine.docker("exec", "nosuchcontainer", "true")
    assert refused.code == 1 and "No such container: nosuchcontainer" in refused.err


def test_execs_end_with_the_container(engine: Engine, container: str) -> None:
    with engine.open("exec", container, "sh", "-c", "echo up; sleep 1000") as cli:
        assert cli.stdout
        assert cli.stdout.readline() == b"up\n"
        engine.ok("kill", container)
        cli.communicate(timeout=30)
    assert cli.returncode == 137


def test_a_relative_directory(engine: Engine, container: str) -> None:
    answer = engine.docker("exec", "-w", "rel", container, "pwd")
    assert answer.code == 126 and "Cwd must be an absolute path" in answer.out + answer.err
