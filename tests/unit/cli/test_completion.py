"""What the shells are told could come next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.cli import main
from sampan.cli.table import GROUPS, TOP
from support.recorder import API_VERSION, Recorder


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recorder")
    Recorder(str(directory / "d.sock"))
    return {"HOME": str(directory), "DOCKER_HOST": f"unix://{directory}/d.sock", "DOCKER_API_VERSION": API_VERSION}


SHELLS = [f"{shell}\tGenerate the autocompletion script for {shell}" for shell in ("bash", "fish", "zsh")]
# as `docker __complete` answers, with what its daemon has
CASES = [
    ("network r", ["rm\tRemove one or more networks", ":4"]),
    ("network remove ", ["lan", ":4"]),
    ("network rm lan ", ["lan", ":4"]),
    ("network connect ", ["lan", ":4"]),
    ("network connect --ip 1.2.3.4 lan ", ["web", ":4"]),
    ("network connect lan web ", [":0"]),
    ("network create --sub", ["--subnet\tSubnet in CIDR format that represents a network segment", ":4"]),
    ("network create --subnet ", [":0"]),
    ("network create --config-from ", ["lan", ":4"]),
    ("run --network ", ["lan", ":4"]),
    ("run -itd b", ["busybox:1", "busybox:2", ":4"]),
    ("run busybox:1 -", [":0"]),
    ("run -v ", [":0"]),
    ("rm -f web w", ["web", ":4"]),
    ("inspect ", ["busybox:1", "busybox:2", "lan", "web", ":4"]),
    ("-H", ["-H\tDaemon socket to connect to", ":4"]),
    ("--debug --host unix:///nowhere network rm ", [":4"]),
    ("--config ", [":0"]),
    ("nosuch ", [":4"]),
    ("network nosuch ", [":4"]),
    ("completion ", [*SHELLS, ":4"]),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_candidates(environ, capfd, monkeypatch, line, expected) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", API_VERSION)
    assert main.run(["__complete", *line.split(" ")], environ) == 0
    assert capfd.readouterr().out.splitlines() == expected


def test_every_command_is_offered(environ, capfd) -> None:
    for words in ([], [""]):
        main.run(["__complete", *words], environ)
        offered = [line.partition("\t")[0] for line in capfd.readouterr().out.splitlines()]
        assert offered == [*sorted({*TOP, *GROUPS}), ":4"]


LINES = [("sampan network r", "rm"), ("sampan run busybox:", "1 2"), ("sampan network rm --force ", "lan")]


@pytest.mark.parametrize(("line", "replies"), LINES)
def test_in_bash(environ, tmp_path, line, replies) -> None:
    """The script itself, as Bash calls it."""
    program = tmp_path / "sampan"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sampan.cli.main "$@"\n')
    program.chmod(0o755)
    script = 'source <(sampan completion bash); COMP_LINE=$1 COMP_POINT=${#1}; _sampan; echo "${COMPREPLY[*]}"'
    path = f"{tmp_path}:{os.environ['PATH']}"
    variables = environ | {"PATH": path, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", script, "bash", line], env=variables, capture_output=True, text=True, check=True, timeout=20
    )
    assert (done.stdout, done.stderr) == (f"{replies}\n", "")
