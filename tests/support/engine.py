"""An engine under test, seen by its clients: sampand, or a Docker daemon that a test is first proven on."""

import itertools
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cache import find_program
from support.http import ask
from support.images import BUSYBOX, busybox_archive, need
from support.processes import wait_for
from support.terminal import Terminal

API_VERSION = "1.45"  # what dockerd 26.1, the peer, speaks
LABEL = "sampan.test"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client printed and its exit code."""

    code: int
    out: str
    err: str
    raw: bytes  # standard output, undecoded

    @property
    def line(self) -> str:
        """Standard output without the blanks around it."""
        return self.out.strip()


class Engine:
    """Clients of the engine at ``host``; remembers nothing but a token that marks what it made there."""

    def __init__(self, host: str, *, is_peer: bool = False) -> None:
        self.host = host
        self.is_peer = is_peer
        self.token = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._config = tempfile.TemporaryDirectory(prefix="sampan-cli-")

    @property
    def environment(self) -> dict[str, str]:
        """The clients' environment: this engine, an empty configuration, nothing of the user's."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "SAMPAN_"))}
        named = {"DOCKER_HOST": self.host, "DOCKER_API_VERSION": API_VERSION, "DOCKER_CONFIG": self._config.name}
        return {**kept, **named, "SAMPAN_HOST": self.host, "TERM": "xterm", "LC_ALL": "C.UTF-8"}

    @property
    def root(self) -> Path:
        """The root directory as the daemon sees it (a peer may live in a tree of its own)."""
        return Path(f"/proc/{self.pid}/root") if self.is_peer else Path("/")

    @property
    def pid(self) -> int:
        """The daemon's process, by asking its socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.host.removeprefix("unix://"))
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])

    def name(self) -> str:
        """A container name nobody else uses."""
        return f"t{self.token}-{next(self._numbers)}"

    def argv(self, *args: str) -> list[str]:
        """The docker CLI's command line for ``args``."""
        return [need("docker", "docker.io"), *args]

    def docker(
        self, *args: str, stdin: bytes | None = None, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> Answer:
        """Run the docker CLI to its end."""
        return self._call(self.argv(*args), stdin, timeout, env)

    def ok(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Run the docker CLI, expect success, return its output without the blanks around it."""
        answer = self.docker(*args, stdin=stdin, timeout=timeout)
        assert answer.code == 0, f"docker {' '.join(args)}: exit {answer.code}\n{answer.out}{answer.err}"
        return answer.line

    def sampan(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> Answer:
        """Run Sampan's own CLI to its end."""
        return self._call([str(Path(sys.executable).with_name("sampan")), *args], stdin, timeout, None)

    def _call(self, argv: Sequence[str], stdin: bytes | None, timeout: float, env: Mapping[str, str] | None) -> Answer:
        given: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            argv, capture_output=True, env={**self.environment, **(env or {})}, timeout=timeout, check=False, **given
        )
        return Answer(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.stdout
        )

    def marked(self, verb: str, *args: str) -> list[str]:
        """Arguments of ``docker run`` or ``create`` without a network, labelled for clean-up."""
        return [verb, "--network", "none", "--label", f"{LABEL}={self.token}", *args]

    def run(
        self, *args: str, stdin: bytes | None = None, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> Answer:
        """``docker run --network none`` with ``args``."""
        return self.docker(*self.marked("run", *args), stdin=stdin, timeout=timeout, env=env)

    def start(self, *args: str) -> str:
        """``docker run -d`` with ``args``; returns the container's ID."""
        return self.ok(*self.marked("run", "-d", *args)).splitlines()[-1]

    def create(self, *args: str) -> str:
        """``docker create`` with ``args``; returns the container's ID."""
        return self.ok(*self.marked("create", *args)).splitlines()[-1]

    def open(self, *args: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """The docker CLI with pipes, still running."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(*args), stdin=stdin, stdout=pipe, stderr=pipe, env=self.environment)

    def terminal(self, *args: str, rows: int = 24, columns: int = 80) -> Terminal:
        """The docker CLI on a terminal of its own."""
        return Terminal(self.argv(*args), self.environment, rows, columns)

    def look(self, ref: str, template: str) -> str:
        """One fact of ``docker inspect``, by Go template."""
        return self.ok("inspect", "-f", template, ref)

    def load_busybox(self) -> None:
        """Have the image BUSYBOX."""
        if self.docker("image", "inspect", BUSYBOX).code:
            self.ok("load", "-i", str(busybox_archive()))

    def _mine(self) -> list[str]:
        status, rows = ask(self.host, "GET", "/containers/json?all=1")
        assert status == 200, rows
        return [row["Id"] for row in rows if (row.get("Labels") or {}).get(LABEL) == self.token]

    def clean(self) -> None:
        """Remove the containers that this object's run, start and create made, and wait until they are gone."""
        for container in self._mine():
            status, why = ask(self.host, "DELETE", f"/containers/{container}?force=1&v=1")
            assert status in (204, 404, 409), f"{container}: {why}"  # 409: an exit with --rm removes it already
        wait_for(lambda: not self._mine(), "the test's containers go away")

    def close(self) -> None:
        """Clean up here and there."""
        self.clean()
        self._config.cleanup()


def docker_or_skip() -> str:
    """The docker CLI, or a skip that says how to get it."""
    path = find_program("docker")
    if path is None:
        pytest.skip("no docker CLI, and it could not be installed: apt-get install docker.io")
    return path
