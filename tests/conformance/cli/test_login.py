"""`sampan login` and `logout` beside `docker`'s: what they print, ask the daemon, and leave in config.json.

The daemon is a fake: a real one would need a registry, and it is the client that is looked at.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.fakedaemon import PASSWORD, TOKEN, FakeDaemon
from support.images import need
from support.processes import Process, descendants, wait_for
from support.terminal import Terminal

HELPER = """#!/bin/sh
read -r text
echo "$1 $text" >> "$HOME/calls"
[ "$1" = get ] && { cat "$HOME/kept" 2>/dev/null || { echo credentials not found in native keychain; exit 1; }; }
exit 0
"""


class Side:
    """One client with a home of its own."""

    def __init__(self, program: Sequence[str], home: Path, daemon: FakeDaemon) -> None:
        self.program, self.home, self.daemon = program, home, daemon
        self.config = home / ".docker" / "config.json"
        self.config.parent.mkdir(parents=True)
        for name, text in (
            ("docker-credential-fake", HELPER),
            ("docker-credential-bad", "#!/bin/sh\necho it broke; exit 3\n"),
        ):
            (home / name).write_text(text)
            (home / name).chmod(0o755)
        self.environ = {"PATH": f"{home}:/usr/bin:/bin", "HOME": str(home), "DOCKER_HOST": daemon.host, "TERM": "dumb"}
        self.environ |= {"PYTHONPATH": str(Path(__file__).parents[3] / "src"), "LANG": "C.UTF-8"}

    def run(self, *argv: str, stdin: str = "") -> tuple[Any, ...]:
        """What it printed and its code, what it asked, what is in config.json then, and what the helper was told."""
        self.daemon.asked.clear()
        done = subprocess.run(
            [*self.program, *argv],
            input=stdin,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        printed = (done.stdout + "\n----\n" + done.stderr).replace(str(self.home), "~").replace("docker", "sampan")
        asked = [body for _path, body in self.daemon.asked]
        kept = json.loads(self.config.read_text()) if self.config.exists() else None
        calls = self.home / "calls"
        told = set(calls.read_text().splitlines()) if calls.exists() else set()
        return done.returncode, printed, asked, kept, {_plain(line) for line in told}


def _plain(line: str) -> str:
    verb, _, text = line.partition(" ")
    return f"{verb} {sorted(json.loads(text).items())}" if verb == "store" else line


class Both:
    """docker and sampan; `same` has each do the same from the same config.json on."""

    def __init__(self, docker: Side, sampan: Side) -> None:
        self.docker, self.sampan = docker, sampan

    def same(self, *argv: str, stdin: str = "", config: object = None) -> tuple[Any, ...]:
        for side in (self.docker, self.sampan):
            if config is not None:
                side.config.write_text(json.dumps(config))
        expected, got = self.docker.run(*argv, stdin=stdin), self.sampan.run(*argv, stdin=stdin)
        assert got == expected
        return got


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "s.sock") as one:
        yield one


@pytest.fixture
def both(tmp_path: Path, daemon: FakeDaemon) -> Both:
    docker = Side([need("docker", "docker-cli")], tmp_path / "docker", daemon)
    return Both(docker, Side([sys.executable, "-m", "sampan.cli.main"], tmp_path / "sampan", daemon))


def test_a_password_goes_to_the_daemon_and_into_the_file(both: Both) -> None:
    code, _, asked, kept, _ = both.same("login", "-u", "me", "-p", PASSWORD, "shop.example:5000")
    assert code == 0 and asked == [{"username": "me", "password": PASSWORD, "serveraddress": "shop.example:5000"}]
    assert kept["auths"].keys() == {"shop.example:5000"}
    assert oct(both.sampan.config.stat().st_mode & 0o777) == "0o600"
    both.same("login", "shop.example:5000")  # with what is kept
    both.same("login", "-u", "me", "--password-stdin", "https://shop.example/v1/", stdin=f"{PASSWORD}\r\n")
    both.same("login", "-u", "me", "-p", PASSWORD)
    both.same("login", "-u", "me", "-p", PASSWORD, "docker.io")
    both.same("login")
    for server in ("shop.example", "shop.example", "https://shop.example:5000/x"):
        both.same("logout", server)
    assert both.same("logout")[3] == {"auths": {}}


REFUSED = [
    (["-u", "me", "--password-stdin", "shop"], "wrong\n"),
    (["-u", "me", "-p", "wrong", "shop"], ""),
    (["--password-stdin", "shop"], "x"),
    (["-u", "me", "-p", "x", "--password-stdin", "shop"], "x"),
    (["-u", "me", "--password-stdin", "shop"], ""),
    (["-u", "me", "shop"], ""),
    (["-p", "x", "shop"], ""),
    (["shop"], ""),
    ([], ""),
    (["-u", "", "-p", ""], ""),
    (["-u", "", "shop"], ""),
]


@pytest.mark.parametrize(("argv", "stdin"), REFUSED)
def test_what_is_refused_leaves_nothing(both: Both, argv: list[str], stdin: str) -> None:
    code, *_, kept, told = both.same("login", *argv, stdin=stdin)
    assert code == 1 and kept is None and not told


def test_kept_credentials_that_no_longer_do(both: Both) -> None:
    bad = {"auths": {"shop": {"auth": "bWU6YmFk"}}}
    code, printed, _, kept, _ = both.same("login", "shop", config=bad)
    assert code == 1 and "Stored credentials invalid or expired" in printed and kept == bad


def test_an_identity_token_is_kept_in_the_passwords_place(both: Both, daemon: FakeDaemon) -> None:
    daemon.token = TOKEN
    *_, kept, _ = both.same("login", "-u", "me", "-p", PASSWORD, "shop", config={})
    assert kept == {"auths": {"shop": {"auth": "bWU6", "identitytoken": TOKEN}}}
    both.same("login", "shop")


def test_a_helper_keeps_them(both: Both, daemon: FakeDaemon) -> None:
    helpers = {"credHelpers": {"shop": "fake"}}
    *_, kept, told = both.same("login", "-u", "me", "-p", PASSWORD, "shop", config=helpers)
    assert kept == {**helpers, "auths": {"shop": {}}} and len(told) == 1
    daemon.token = TOKEN
    both.same("login", "-u", "me", "-p", PASSWORD, "shop")
    both.same("logout", "shop")
    for side in (both.docker, both.sampan):
        (side.home / "kept").write_text(json.dumps({"ServerURL": "shop", "Username": "me", "Secret": PASSWORD}))
    assert both.same("login", "shop")[0] == 0


@pytest.mark.parametrize("helper", ["bad", "nope"])
def test_a_helper_that_fails(both: Both, helper: str) -> None:
    code, *_, kept, _ = both.same("login", "-u", "me", "-p", PASSWORD, "shop", config={"credsStore": helper})
    assert code == 1 and kept == {"credsStore": helper}
    answer = both.sampan.run("logout", "shop")
    assert answer[0] == 0 and "WARNING: could not erase credentials:\nshop: error erasing" in answer[1]


def test_a_file_that_is_no_json_is_not_lost(both: Both) -> None:
    both.sampan.config.write_text('{"auths": {')
    done = subprocess.run(
        [*both.sampan.program, "login", "-u", "me", "-p", PASSWORD, "shop"],
        env=both.sampan.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Error saving credentials: Error parsing config file" in done.stderr
    assert both.sampan.config.read_text() == '{"auths": {'


def test_docker_and_sampan_use_one_anothers_file(both: Both) -> None:
    both.docker.run("login", "-u", "me", "-p", PASSWORD, "shop")
    both.sampan.config.write_text(both.docker.config.read_text())
    assert both.sampan.run("login", "shop")[2] == [{"username": "me", "password": PASSWORD, "serveraddress": "shop"}]
    both.sampan.run("login", "-u", "you", "-p", PASSWORD, "other")
    both.docker.config.write_text(both.sampan.config.read_text())
    assert both.docker.run("login", "other")[2] == [{"username": "you", "password": PASSWORD, "serveraddress": "other"}]


ASKED = [
    (["shop"], ["me", PASSWORD], "Username: me\r\nPassword: \r\n", True),
    (["-u", "me", "shop"], [PASSWORD], "Password: \r\n", True),
    (["-p", PASSWORD, "shop"], ["me"], "Username: me\r\n", True),
    (["shop"], [""], "Username: \r\nError: Non-null Username Required\r\n", False),
    (["shop"], ["me", ""], "Username: me\r\nPassword: \r\nError: Password Required\r\n", False),
]


@pytest.mark.parametrize(("argv", "typed", "text", "good"), ASKED)
def test_a_terminal_is_asked_and_shows_no_password(
    both: Both, argv: list[str], typed: list[str], text: str, good: bool
) -> None:
    for side in (both.docker, both.sampan):
        with Terminal([*side.program, "login", *argv], side.environ, 24, 80) as terminal:
            for line, prompt in zip(typed, re.findall("Username: |Password: ", text), strict=True):
                terminal.expect(prompt.encode())
                terminal.send(line.encode() + b"\n")
            code = terminal.wait()
            shown = terminal.output.decode()
        assert text in shown and code == (0 if good else 1)
        assert shown.count(PASSWORD) == 0 and ("Login Succeeded" in shown) == good


def reads_stdin(process: Process) -> bool:
    """Whether it is in read(2) of descriptor 0: a signal before that would be seen only behind it."""
    try:
        return Path(f"/proc/{process.pid}/syscall").read_text().startswith("0 0x0 ")
    except OSError:
        return False


def test_the_terminal_is_left_as_it_was_when_asking_is_broken_off(both: Both) -> None:
    script = f"{' '.join(both.sampan.program)} login -u me shop; stty -a | grep -o ' echo ' && echo loud"
    with Terminal(["sh", "-c", f"trap : INT; {script}"], both.sampan.environ, 24, 80) as terminal:
        terminal.expect(b"Password: ")
        wait_for(lambda: any(map(reads_stdin, descendants(terminal.pid))), "it waits for the password")
        terminal.send(b"\x03")
        terminal.expect(b"loud")


def test_the_number_of_servers(both: Both) -> None:
    for command in ("login", "logout"):
        answer = both.sampan.run(command, "a", "b")
        assert answer[0] == 1 and f"'sampan {command}' requires at most 1 argument" in answer[1]


def test_help(both: Both) -> None:
    for command in ("login", "logout"):
        both.same(command, "--help")


def test_no_credentials_are_in_the_arguments_of_a_helper(both: Both) -> None:
    script = '#!/bin/sh\ntr "\\0" " " < /proc/$$/cmdline >> "$HOME/line"; cat > /dev/null\n'
    (both.sampan.home / "docker-credential-fake").write_text(script)
    both.sampan.config.write_text('{"credsStore": "fake"}')
    both.sampan.run("login", "-u", "me", "--password-stdin", "shop", stdin=PASSWORD)
    line = (both.sampan.home / "line").read_text()
    assert "store" in line and PASSWORD not in line
    assert os.listdir(both.sampan.config.parent) == ["config.json"]
