"""Two clients, one daemon: `docker` and `sampan` against sampand, or against the daemon named by SAMPAN_PEER."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.images import busybox_archive, need

API_VERSION = "1.45"  # what dockerd 26.1 speaks
IMAGE = "clitest/busybox:1"
RUNNING = "clitest-running"
ENDED = "clitest-ended"
_SAMPAN = [sys.executable, "-m", "sampan.cli.main"]


class Result:
    """How a client ended: what it wrote and its code. The program's own name is written `sampan` in both."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.out = _neutral(done.stdout)
        self.err = _neutral(done.stderr)
        self.code = done.returncode

    def __repr__(self) -> str:
        return f"code {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


def _neutral(text: bytes) -> str:
    return text.decode(errors="surrogateescape").replace("docker", "sampan").replace("Docker", "Sampan")


class Clients:
    """Runs `docker` and `sampan`, each with the same arguments."""

    def __init__(self, host: str, docker: str, home: Path) -> None:
        self.docker_program = [docker]
        self.sampan_program = _SAMPAN
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TZ": "Asia/Shanghai", "LANG": "C.UTF-8"}
        self.environ |= {"DOCKER_HOST": host, "DOCKER_API_VERSION": API_VERSION}
        self.environ |= {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    def _run(self, program: Sequence[str], argv: Sequence[str], stdin: bytes) -> Result:
        done = subprocess.run(
            [*program, *argv], input=stdin, env=self.environ, capture_output=True, timeout=60, check=False
        )
        return Result(done)

    def docker(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run Docker's client."""
        return self._run(self.docker_program, argv, stdin)

    def sampan(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run ours."""
        return self._run(self.sampan_program, argv, stdin)

    def same(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run both and compare; again if they differ, because "3 seconds ago" may turn into 4 in between."""
        for _ in range(10):
            expected = self.docker(*argv, stdin=stdin)
            got = self.sampan(*argv, stdin=stdin)
            if _orderly(argv, got) == _orderly(argv, expected):
                break
        assert _orderly(argv, got) == _orderly(argv, expected)
        return got

    def alike(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run both and compare with 64 and 12 digit IDs left out: for what makes something new each time."""
        expected = self.docker(*argv, stdin=stdin)
        got = self.sampan(*argv, stdin=stdin)
        assert _without_ids(repr(got)) == _without_ids(repr(expected))
        return got


def _orderly(argv: Sequence[str], result: Result) -> str:
    """A result to compare. Docker's client shows the names of one image in the order of a Go map: in any."""
    if argv[0] in {"images", "image"} and "inspect" not in argv:
        return "\n".join(sorted(repr(result).splitlines()))
    return repr(result)


def _without_ids(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b", "<id>", text)


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """The clients, with an image, a running container and an ended one; removed afterwards."""
    host = os.environ.get("SAMPAN_PEER") or request.getfixturevalue("shared_sampand").engine.host
    both = Clients(host, need("docker", "docker-cli"), tmp_path_factory.mktemp("home"))
    loaded = both.docker("load", stdin=busybox_archive().read_bytes())
    assert loaded.code == 0, loaded
    both.docker("tag", "sampan-test/busybox:1", IMAGE)
    both.docker("rm", "-f", RUNNING, ENDED)
    script = "echo out; echo err >&2; printf partial; exec sleep 1000"
    label = ("--label", "a.b-c=x", "--label", "d=e f")
    assert both.docker("run", "-d", "--net=none", "--name", RUNNING, *label, IMAGE, "sh", "-c", script).code == 0
    both.docker("run", "--net=none", "--name", ENDED, "-v", "/tmp:/t:ro", IMAGE, "sh", "-c", "exit 3")
    yield both
    both.docker("rm", "-f", RUNNING, ENDED)
    both.docker("rmi", IMAGE)
