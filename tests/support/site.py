"""An engine in a network: sampand in a lab's ``host``, or the daemon that SAMPAN_TEST_HOST names where it is.

Servers of this process stand in containers' namespaces (support/town.py): they say their name and whom they see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from support import town
from support.daemon import Sampand
from support.engine import LABEL, Answer, Engine, docker_or_skip
from support.images import BUSYBOX
from support.netlab import Space, netlab
from support.town import SOON_S, Servers


class Site:
    """The engine, the namespaces around it, and what tests make there."""

    def __init__(self, engine: Engine, host: Space, outside: Space | None, servers: Servers) -> None:
        self.engine, self.host, self.outside, self.servers = engine, host, outside, servers
        self._mine = ("--label", f"{LABEL}={engine.token}")
        self._spaces: list[Space] = []

    def run(self, *args: str) -> Answer:
        """``docker run --rm`` with ``args``, to its end."""
        return self.engine.docker("run", "--rm", *self._mine, *args)

    def sh(self, script: str, *flags: str) -> str:
        """What a shell script prints in a container made with ``flags``."""
        answer = self.run(*flags, BUSYBOX, "sh", "-c", script)
        assert answer.code == 0, answer.err
        return answer.line

    def sleeper(self, name: str, *flags: str) -> str:
        """Start a container that sleeps; its name is made unique and returned."""
        name = f"{name}-{self.engine.token}"
        self.engine.ok(
            "run", "-d", *self._mine, "--stop-signal", "KILL", "--name", name, *flags, BUSYBOX, "sleep", "1000"
        )
        return name

    def create(self, *args: str) -> str:
        """``docker create`` with ``args``; returns the container's ID."""
        return self.engine.ok("create", *self._mine, *args)

    def network(self, name: str, *flags: str) -> str:
        """Make a network; its name is made unique and returned."""
        name = f"{name}-{self.engine.token}"
        self.engine.ok("network", "create", *self._mine, *flags, name)
        return name

    def inside(self, container: str, script: str) -> str:
        """What a shell script prints in a running container."""
        return self.engine.ok("exec", container, "sh", "-c", script)

    def space(self, container: str) -> Space:
        """The network namespace of a running container."""
        one = Space(container, int(self.engine.look(container, "{{.State.Pid}}")))
        self._spaces.append(one)
        return one

    def serve(self, container: str, port: int = 80, kinds: str = "tu") -> None:
        """Answer at a port of a running container."""
        self.servers.add(self.space(container), port, kinds=kinds)

    def place(self, container: str, network: str = "bridge") -> dict[str, Any]:
        """What inspect says of a container's place on a network."""
        facts: dict[str, Any] = json.loads(self.engine.look(container, "{{json .NetworkSettings.Networks}}"))[network]
        return facts

    def address(self, container: str, network: str = "bridge") -> str:
        """Its IPv4 address."""
        return str(self.place(container, network)["IPAddress"])

    def finds(self, container: str, name: str) -> set[str]:
        """The addresses of a name as a container's resolver knows them; empty when there is none."""
        answer = self.engine.docker("exec", container, "nslookup", name)
        lines = [line.split() for line in answer.out.splitlines()]
        found = {line[-1] for line in lines if line and line[0].startswith("Address") and "127.0.0.11" not in line[-1]}
        return {one for one in found if not one.endswith(":53")}

    @staticmethod
    def ask(space: Space, address: str, port: int, kind: str = "tcp") -> str:
        """What a server says: its name and the client's address; "" when nothing answers."""
        try:
            return town.ask(space, address, port, kind, 2.0)
        except OSError:
            return ""

    @staticmethod
    def silent(space: Space, address: str, port: int, kind: str = "tcp") -> bool:
        """Whether nothing answers within a quarter of a second."""
        try:
            return not town.ask(space, address, port, kind, SOON_S)
        except OSError:
            return True

    def clean(self) -> None:
        """Remove the containers and networks of the test."""
        while self._spaces:
            self._spaces.pop().close()
        self.engine.clean()
        for name in self.engine.ok("network", "ls", "-q", "--filter", f"label={LABEL}={self.engine.token}").split():
            self.engine.ok("network", "rm", name)


@contextmanager
def site(mtu: int = 1500, *, world: bool = False) -> Iterator[Site]:
    """A site for the body, with the image BUSYBOX; ``world``: its uplink leads to the internet."""
    docker_or_skip()
    with ExitStack() as stack:
        servers = Servers()
        stack.callback(servers.close)
        named = os.environ.get("SAMPAN_TEST_HOST")
        if named:
            engine, outside = Engine(named, is_peer=True), None
            stack.callback(engine.close)
            host = Space("host", engine.pid)
            stack.callback(host.close)
        else:
            lab = stack.enter_context(netlab(mtu))
            if world:
                lab.open_world()
            host, outside = lab.host, lab.outside
            engine = stack.enter_context(Sampand(space=host)).engine
        engine.load_busybox()
        yield Site(engine, host, outside, servers)
