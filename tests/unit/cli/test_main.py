"""The program from outside: exit codes, where texts go, the daemon that is started, and what is imported on the way."""

import os
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sampan.cli import daemon_start
from sampan.cli.errors import CommandError
from sampan.cli.main import run
from sampan.cli.overview import group_help, root_help
from sampan.cli.table import GROUPS, HIDDEN_GROUPS, TOP

Captured = pytest.CaptureFixture[str]
NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/d.sock", "HOME": "/nonexistent"}

ENDS = [
    ([], 0, "", "Usage:  sampan [OPTIONS] COMMAND\n"),
    (["--help"], 0, "Usage:  sampan [OPTIONS] COMMAND\n", ""),
    (["-h"], 0, "Usage:", "Flag shorthand -h has been deprecated, use --help\n"),
    (["-v"], 0, "Sampan version ", ""),
    (["help", "run"], 0, "Usage:  sampan run [OPTIONS] IMAGE", ""),
    (["help", "container", "ps"], 0, "Usage:  sampan container ls [OPTIONS]\n", ""),
    (["help", "nonsense"], 1, "", "unknown help topic: nonsense\n"),
    (["container"], 0, "", "Usage:  sampan container COMMAND\n"),
    (["container", "run", "--help"], 0, "Usage:  sampan container run [OPTIONS] IMAGE", ""),
    (["ps", "-h"], 0, "Flag shorthand -h has been deprecated, use --help\nUsage:  sampan ps", ""),
    (["nonsense"], 1, "", "sampan: unknown command: sampan nonsense\n\nRun 'sampan --help' for more information\n"),
    (
        ["container", "nonsense"],
        1,
        "",
        "sampan: unknown command: sampan container nonsense\n\nUsage:  sampan container\n",
    ),
    (["--nonsense"], 125, "", "unknown flag: --nonsense\n\nUsage:  sampan [OPTIONS] COMMAND [ARG...]\n"),
    (["container", "--nonsense", "ls"], 125, "", "unknown flag: --nonsense\n\nUsage:  sampan container\n"),
    (
        ["run", "--nonsense"],
        125,
        "",
        "unknown flag: --nonsense\n\nUsage:  sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]\n",
    ),
    (["-l", "x", "ps"], 1, "", "Unable to parse logging level: x\n"),
    (
        ["ps"],
        1,
        "",
        "Cannot connect to the Docker daemon at unix:///nonexistent/d.sock. Is the docker daemon running?\n",
    ),
    (["-H", "tcp://127.0.0.1:1", "ps"], 1, "", "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the"),
    (["-c", "other", "ps"], 1, "", "sampan: cannot use context other\n  because  "),
    (["--tls", "ps"], 1, "", "sampan: cannot connect with TLS\n  because  "),
    (["run", "-it", "x"], 1, "", "the input device is not a TTY\n"),
    (["run", "--pull", "x", "y"], 125, "", "sampan: invalid pull option: 'x': must be one of "),
]


@pytest.mark.parametrize(("argv", "code", "out", "err"), ENDS)
def test_ends(argv: list[str], code: int, out: str, err: str, capfd: Captured) -> None:
    with open(os.devnull) as null:
        saved = os.dup(0)
        os.dup2(null.fileno(), 0)
        try:
            assert run(argv, NOWHERE) == code
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    captured = capfd.readouterr()
    assert captured.out.startswith(out)
    assert captured.err.startswith(err)
    assert bool(captured.out) == bool(out)


def test_every_command_is_there_and_has_help(capfd: Captured) -> None:
    names = [[name] for name in TOP] + [[group, name] for group in GROUPS for name in GROUPS[group][1]]
    for name in names:
        assert run([*name, "--help"], NOWHERE) == 0
        captured = capfd.readouterr()
        assert captured.out.startswith(f"Usage:  sampan {' '.join(name)}")
    assert all(f"  {name:<11} " in root_help() for name in {*TOP, *GROUPS} - HIDDEN_GROUPS)
    assert all(f"  {name:<11} " in group_help(group) for group in GROUPS for name in GROUPS[group][1])


def test_other_names_of_commands() -> None:
    for _summary, commands, others in GROUPS.values():
        assert set(others.values()) <= set(commands)


SLOW = ("argparse", "asyncio", "dataclasses", "email", "http", "msgspec", "pathlib", "shutil", "socket", "subprocess")
SLOW += ("threading", "typing", "urllib")


@pytest.mark.parametrize("argv", [["run", "x"], ["exec", "a", "b"], ["ps"]])
def test_nothing_slow_is_imported_on_the_way(argv: list[str]) -> None:
    program = f"""
        import sys
        from sampan.cli.main import run
        run({argv!r}, {NOWHERE!r})
        print(*sorted(set({SLOW!r}) & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def _fake_interpreter(directory: Path, script: str) -> str:
    """A program in the interpreter's place, started with sampand's arguments."""
    path = directory / "python"
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(script))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_daemon_is_started_outside_of_our_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "s.sock"
    script = f"""
        import os, socket, sys
        listener = socket.socket(socket.AF_UNIX)
        listener.bind({str(path)!r})
        listener.listen()
        print(os.getsid(0) != {os.getsid(0)}, os.getppid() != {os.getpid()}, os.getcwd(), *sys.argv[1:], flush=True)
        listener.accept()
    """
    monkeypatch.setattr(sys, "executable", _fake_interpreter(tmp_path, script))
    told: list[str] = []
    daemon_start.start_daemon(str(path), os.environ, told.append)
    log = path.parent / "sampand.log"
    assert log.read_text() == "True True / -P -m sampan.daemon.main\n"
    assert told[-1].endswith(f"its log is {log}")


def test_a_daemon_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_start, "GRACE_S", 0.05)
    monkeypatch.setattr(sys, "executable", _fake_interpreter(tmp_path, "raise SystemExit('no data root')"))
    path = tmp_path / "s.sock"
    (tmp_path / "sampand.log").write_text("of an earlier life\n")
    with pytest.raises(CommandError) as caught:
        daemon_start.start_daemon(str(path), os.environ, lambda _: None)
    text = str(caught.value)
    assert text.startswith(f"sampan: sampand, the daemon, does not answer at unix://{path}\n  because  ")
    assert "no data root" in text
    assert "earlier life" not in text
    assert "\n  try      sampand -D" in text


def test_a_daemon_that_another_started_meanwhile_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", _fake_interpreter(tmp_path, ""))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen()
        daemon_start.start_daemon(str(tmp_path / "s.sock"), os.environ, lambda _: None)


def test_where_the_daemon_can_not_be_started(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=r"^sampan: cannot start sampand, the daemon\n  because  .*\n  try      "):
        daemon_start.start_daemon(str(tmp_path / "file" / "s.sock"), os.environ, lambda _: None)
