"""Debian's docker-registry, run for a test in the network namespace of a sampand, with a directory of its own.

``HTPASSWD`` lets the user ``tester`` in with the password ``secret`` (bcrypt, as the registry wants it).
"""

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cache import find_program
from support.netlab import Space
from support.processes import wait_for

USER, PASSWORD = "tester", "secret"
HTPASSWD = f"{USER}:$2b$04$SSQnYmizU.ASpoS8WRVsauJlcOd00WvDt5lM5bG8sMzzrtfb60OiK\n"
START_S = 15.0


class Registry:
    """One registry at 127.0.0.1:PORT of a namespace, or at another address of it."""

    def __init__(
        self,
        space: Space,
        port: int = 5000,
        *,
        address: str = "127.0.0.1",
        password: bool = False,
        token: dict[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """``token``: the registry's settings of a token server; ``tls``: certificate and key."""
        program = find_program("docker-registry")
        if program is None:
            pytest.skip("docker-registry is not installed (tests/support/packages)")
        self.program = program
        self.space, self.address, self.port = space, address, port
        self.host = f"{address}:{port}"
        self.home = Path(tempfile.mkdtemp(prefix="registry-", dir="/tmp"))
        self.log = self.home / "log"
        self.tls = tls
        config = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.home / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host} | ({"tls": {"certificate": str(tls[0]), "key": str(tls[1])}} if tls else {}),
        }
        if password:
            (self.home / "htpasswd").write_text(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.home / "htpasswd")}}
        if token:
            config["auth"] = {"token": token}
        (self.home / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Registry":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = self.space.popen(
                str(self.program), "serve", str(self.home / "config.yml"), stdout=log, stderr=log
            )
        wait_for(self._listens, "the registry listens", START_S)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            self.space.call(_connect, (self.address, self.port))
            return True
        return False

    def stop(self) -> None:
        """End it; its data stay."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def empty(self) -> None:
        """Forget all that was pushed."""
        self.stop()
        shutil.rmtree(self.home / "data", ignore_errors=True)
        self.start()

    def requests(self) -> list[str]:
        """Method and path of every request so far, in order."""
        lines = [line for line in self.log.read_text().splitlines() if '"' in line and " HTTP/1." in line]
        return [line.split('"')[1].rpartition(" ")[0] for line in lines if not line.startswith("time=")]


def _connect(address: tuple[str, int]) -> None:
    import socket

    socket.create_connection(address, 2).close()


@contextlib.contextmanager
def registry(space: Space, port: int = 5000, **more: object) -> Iterator[Registry]:
    """A registry for the body."""
    with Registry(space, port, **more) as one:  # type: ignore[arg-type]
        yield one
