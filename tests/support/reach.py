"""Who reaches whom: servers of this process in containers' network namespaces, and clients anywhere in a lab.

A server answers with its name and the address that it sees as the client's, and remembers it: what is *heard* counts
too, not only what is answered.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

from support.daemon import Sampand
from support.http import ask as request
from support.images import BUSYBOX
from support.netlab import Box, Netlab, Space
from support.processes import wait_for
from support.town import Servers

SOON_S = 0.25  # what isn't answered by then was dropped; an answer takes a millisecond
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Try:
    """Somebody at an address and port."""

    who: str  # "outside", "host" or a container
    address: str
    port: int
    kind: str = "tcp"

    def __str__(self) -> str:
        return f"{self.who} at {self.address}:{self.port}/{self.kind}"


class Place:
    """A sampand in a lab's host; its containers by name, servers in them."""

    def __init__(self, lab: Netlab, *, shows_frames: bool = False, flags: tuple[str, ...] = ()) -> None:
        """With ``shows_frames`` bridges show frames to rules, as where dockerd or Kubernetes loaded br_netfilter."""
        self.lab, self.host, self.outside = lab, lab.host, lab.outside
        self.shows_frames = shows_frames
        show_frames(lab, shown=shows_frames)
        self.sampand = Sampand(*flags, space=lab.host)
        self.engine = self.sampand.engine
        self.boxes: dict[str, Space] = {"host": lab.host, "outside": lab.outside}
        self.servers = Servers()

    def __enter__(self) -> Place:
        self.sampand.__enter__()
        self.engine.load_busybox()
        return self

    def __exit__(self, *error: Any) -> None:
        self.servers.close()
        for box in self.boxes.values():
            if isinstance(box, Box):  # the others are the lab's
                box.close()
        self.sampand.__exit__(*error)

    def network(self, name: str, *args: str) -> None:
        """``docker network create``."""
        self.engine.ok("network", "create", *args, name)

    def run(self, name: str, *args: str, serve: tuple[int, ...] = (80,)) -> Space:
        """Run a container that sleeps; serve TCP and UDP at ports in it."""
        self.engine.ok("run", "-d", "--name", name, *args, BUSYBOX, "sleep", "100000")
        return self.serve(name, *serve)

    def serve(self, name: str, *ports: int, address: str = "::", kinds: str = "tu") -> Space:
        """Serve at ports of a container that runs, of the host or of outside."""
        if name not in self.boxes:
            self.boxes[name] = Box(name, int(self.engine.look(name, "{{.State.Pid}}")))
        for port in ports:
            self.servers.add(self.boxes[name], port, address, kinds)
        return self.boxes[name]

    def get(self, path: str) -> Any:
        """GET of the API."""
        status, answer = request(self.engine.host, "GET", path)
        assert status == 200, answer
        return answer

    def verdicts(self, name: str) -> list[dict[str, str]]:
        """What ``sampan port --explain`` is made of."""
        return explain(self.engine.host, name)

    def ask(self, one: Try, wait_s: float = PATIENCE_S) -> str:
        """What a server says. OSError when none does; ConnectionRefusedError when nobody listens."""
        family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
        kind = socket.SOCK_STREAM if one.kind == "tcp" else socket.SOCK_DGRAM
        with self.boxes[one.who].call(socket.socket, family, kind) as client:
            client.settimeout(wait_s)
            client.connect((one.address, one.port))
            if one.kind == "udp":
                client.send(b"?")
            said = client.recv(200).decode()
            if not said:
                raise ConnectionResetError
            return said

    def reaches(self, one: Try, said: str) -> None:
        """AssertionError when what answers isn't ``said``, or nothing does."""
        try:
            answer = self.ask(one)
        except OSError as error:
            raise AssertionError(f"{one}: {error}, not {said}") from error
        assert answer == said, one

    def blocked(self, one: Try) -> None:
        """AssertionError when a server answers, or only hears of it."""
        before = len(self.servers.seen)
        with contextlib.suppress(OSError):
            raise AssertionError(f"{one} reaches {self.ask(one, SOON_S)}")
        assert self.servers.seen[before:] == [], f"{one} is heard"

    def wait_for(self, what: Any, why: str) -> None:
        """Wait until something is so."""
        wait_for(what, why, PATIENCE_S)


def explain(host: str, name: str) -> list[dict[str, str]]:
    """GET /sampan/v1/containers/{name}/ports, which has no version before it."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(host.removeprefix("unix://"))
    connection.request("GET", f"/sampan/v1/containers/{name}/ports")
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    assert answer.status == 200, raw
    found: list[dict[str, str]] = json.loads(raw)
    return found


def show_frames(lab: Netlab, *, shown: bool) -> None:
    """Have bridges show frames to rules, or not, where this kernel can."""
    for key in ("iptables", "ip6tables"):
        with contextlib.suppress(FileNotFoundError):  # no br_netfilter
            lab.host.sysctl(f"bridge/bridge-nf-call-{key}", str(int(shown)))


def attack(lab: Netlab, *subnets: str) -> None:
    """Give outside routes to subnets of the host, and to 127.0.0.1 there."""
    for one in subnets:
        lab.outside.batch(f"route add {one} via {lab.HOST6 if ':' in one else lab.HOST4}")
    lab.outside.sysctl("ipv4/conf/eth0/route_localnet", "1")
    lab.outside.batch("route del local 127.0.0.0/8 dev lo table local", "route del local 127.0.0.1 dev lo table local")
    lab.outside.batch(f"route add 127.0.0.1/32 via {lab.HOST4} src {lab.OUTSIDE4}")
