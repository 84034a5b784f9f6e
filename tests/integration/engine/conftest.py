"""Containers of an engine in a daemon of its own, spoken to over its socket."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.daemon import Sampand
from support.http import ask
from support.images import BUSYBOX

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def engine(sampand: Sampand) -> Iterator["Client"]:
    """A daemon for one test, with busybox."""
    sampand.engine.load_busybox()
    return Client(sampand)


class Client:
    """Requests to one daemon; a plain one, so that nothing hides what is on the wire."""

    def __init__(self, daemon: Sampand) -> None:
        self.daemon = daemon

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; (status, decoded JSON or text)."""
        return ask(self.daemon.engine.host, method, path, body)

    def ok(self, method: str, path: str, body: object = None) -> Any:
        """One request that must succeed."""
        status, answer = self.ask(method, path, body)
        assert status < 400, f"{method} {path}: {status} {answer}"
        return answer

    def create(self, *command: str, name: str | None = None, host: dict[str, Any] | None = None, **config: Any) -> str:
        """Make a container without a network."""
        body = {"Image": BUSYBOX, "Cmd": list(command), **config, "HostConfig": {"NetworkMode": "none", **(host or {})}}
        query = f"?name={name}" if name else ""
        return str(self.ok("POST", f"/containers/create{query}", body)["Id"])

    def run(self, *command: str, **rest: Any) -> str:
        """Make and start one."""
        container = self.create(*command, **rest)
        self.ok("POST", f"/containers/{container}/start")
        return container

    def state(self, container: str) -> dict[str, Any]:
        """The state that inspect shows."""
        found: dict[str, Any] = self.ok("GET", f"/containers/{container}/json")["State"]
        return found
