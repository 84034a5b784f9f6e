"""A sampand in a lab and its containers on networks, as the tests of crashes look at them: from all sides at once.

`Sea.faults` holds the database's rows, the host's links, the firewall's elements and the held ports against the
containers that run: after whatever happened they must say the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sqlite3
import struct
from collections.abc import Iterator
from typing import Any

from sampan.linux import netlink, nftdump
from sampan.linux.netlink import NETLINK_NETFILTER, Socket
from support.doom import Doomed
from support.http import ask
from support.images import BUSYBOX
from support.netlab import Netlab
from support.processes import wait_for

ECHO = ("nc", "-ll", "-p", "80", "-e", "cat")  # echoes on port 80, to many
ANSWER_S = 5.0
ADDRESSES = ("IPAddress", "GlobalIPv6Address")


class Sea:
    """One daemon in ``lab.host``."""

    def __init__(self, daemon: Doomed, lab: Netlab) -> None:
        self.daemon, self.lab = daemon, lab
        self.pids: dict[str, int] = {}  # of the containers that `run` started, to look at them while sampand is away

    # The API

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request."""
        return ask(self.daemon.engine.host, method, path, body)

    def ok(self, method: str, path: str, body: object = None) -> Any:
        """One request that must succeed."""
        status, answer = self.ask(method, path, body)
        assert status < 400, f"{method} {path}: {status} {answer}"
        return answer

    def network(self, name: str, subnet: str = "", **more: Any) -> str:
        """Make a network; its id."""
        ipam = {"Config": [{"Subnet": subnet}]} if subnet else {}
        return str(self.ok("POST", "/networks/create", {"Name": name, "IPAM": ipam, **more})["Id"])

    def create(self, *command: str, name: str = "", **rest: Any) -> str:
        """Make a container, see `body`; its id."""
        query = f"?name={name}" if name else ""
        return str(self.ok("POST", f"/containers/create{query}", self.body(*command, **rest))["Id"])

    @staticmethod
    def body(
        *command: str,
        network: str = "bridge",
        ports: dict[str, str] | None = None,
        address: str = "",
        host: dict[str, Any] | None = None,
        **config: Any,
    ) -> dict[str, Any]:
        """Return a request for a container; ``ports``: container's → host's, "" for any."""
        published = {port: [{"HostPort": one}] for port, one in (ports or {}).items()}
        wanted = {"IPAMConfig": {"IPv4Address": address}} if address else {}
        return {
            "Image": BUSYBOX,
            "Cmd": list(command or ECHO),
            "ExposedPorts": {port: {} for port in published},
            "HostConfig": {"NetworkMode": network, "PortBindings": published, **(host or {})},
            "NetworkingConfig": {"EndpointsConfig": {network: wanted}} if wanted else {},
            **config,
        }

    def run(self, *command: str, **rest: Any) -> str:
        """Make and start one."""
        one = self.create(*command, **rest)
        self.ok("POST", f"/containers/{one}/start")
        self.pids[one] = self.inspect(one)["State"]["Pid"]
        return one

    def inspect(self, one: str) -> dict[str, Any]:
        """All of a container."""
        return dict(self.ok("GET", f"/containers/{one}/json"))

    def places(self, one: str) -> dict[str, str]:
        """Its addresses by network."""
        networks = self.inspect(one)["NetworkSettings"]["Networks"]
        return {name: place["IPAddress"] for name, place in networks.items()}

    def address(self, one: str) -> str:
        """Its first address."""
        return next(iter(self.places(one).values()))

    def shown(self, one: str) -> Any:
        """What inspect and ps tell of its network."""
        listed = next(row for row in self.ok("GET", "/containers/json?all=1") if row["Id"] == one)
        return self.inspect(one)["NetworkSettings"], listed["Ports"], listed["NetworkSettings"]

    # From outside and inside

    def connect(self, port: int, address: str = Netlab.HOST4) -> socket.socket:
        """Connect from outside, to a port of the host."""
        with self.lab.outside.inside():
            return socket.create_connection((address, port), timeout=ANSWER_S)

    @contextlib.contextmanager
    def inside(self, one: str) -> Iterator[None]:
        """Run the body with this thread in a container's network namespace."""
        descriptor = os.open(f"/proc/{self.pids[one]}/ns/net", os.O_RDONLY)
        try:
            with netlink.inside(descriptor):
                yield
        finally:
            os.close(descriptor)

    def question(self, one: str, name: str) -> socket.socket:
        """Ask a container's resolver for a name's IPv4 addresses; the answer is read by `answer`."""
        with self.inside(one):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(ANSWER_S)
        client.connect(("127.0.0.11", 53))
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        client.send(b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01")
        return client

    def names(self, one: str, name: str) -> list[str]:
        """The addresses that a container finds under a name."""
        return answer(self.question(one, name))

    # The truth

    def rows(self, sql: str) -> list[Any]:
        """Rows of the database."""
        with contextlib.closing(sqlite3.connect(self.daemon.data / "state.db")) as connection:
            return connection.execute(sql).fetchall()

    def links(self, kind: str = "veth") -> dict[str, str]:
        """The host's links of a kind, by name: their alias; without the uplink."""
        found = self.lab.host.ip("link", "show", "type", kind)
        return {one["ifname"]: one.get("ifalias", "") for one in found if one["ifname"] != "eth0"}

    def published(self) -> set[tuple[int, str]]:
        """The host's ports that the firewall leads to containers: port and IPv4 address."""
        with self.lab.host.inside(), Socket(NETLINK_NETFILTER) as one:
            sets = [item for item in nftdump.read_ruleset(one).sets if item.table == "sampan"]
        elements = [element for item in sets if item.name in ("ports4", "bound4") for element in item.elements]
        return {(int.from_bytes(one.first[-4:-2], "big"), socket.inet_ntoa(one.data[:4])) for one in elements}

    def plugged(self) -> dict[str, Any]:
        """What inspect says of the running containers with a network namespace that is plugged into networks, by id."""
        running = {row["Id"]: self.inspect(row["Id"]) for row in self.ok("GET", "/containers/json")}
        modes = {one: facts["HostConfig"]["NetworkMode"] for one, facts in running.items()}
        alone = {one for one, mode in modes.items() if mode in ("none", "host") or mode.startswith("container:")}
        return {one: facts for one, facts in running.items() if one not in alone}

    def faults(self) -> list[str]:
        """Return what doesn't fit together; wait until it is empty where something goes on behind the answer."""
        own = self.plugged()
        found = []
        sandboxes = {row[0] for row in self.rows("SELECT id FROM sandboxes")}
        if sandboxes != set(own):
            found.append(f"sandboxes {short(sandboxes)}, running {short(own)}")
        return found + self.place_faults(own) + self.port_faults(own) + self.inner_faults(own)

    def place_faults(self, own: dict[str, Any]) -> list[str]:
        """Rows and links of endpoints against what is shown."""
        found = []
        listed = [place for facts in own.values() for place in networks_of(facts).values()]
        endpoints = {place["EndpointID"] for place in listed}
        kept = {row[0] for row in self.rows("SELECT id FROM endpoints")}
        if kept != endpoints:
            found.append(f"endpoints kept {short(kept)}, shown {short(endpoints)}")
        given = {(row[0], row[1]) for row in self.rows("SELECT network_id, address FROM addresses")}
        shown = [(place["NetworkID"], place[key]) for place in listed for key in ADDRESSES if place[key]]
        if given != set(shown) or len(shown) != len(set(shown)):
            found.append(f"addresses kept {sorted(given)}, shown {sorted(shown)}")
        drivers = {row["Id"]: row["Driver"] for row in self.ok("GET", "/networks")}
        wanted = {place["EndpointID"] for place in listed if drivers.get(place["NetworkID"]) == "bridge"}
        there = {alias.rpartition(" ")[2] for alias in self.links().values()}
        if there != wanted:
            found.append(f"host ends {short(there)} {sorted(self.links())}, endpoints {short(wanted)}")
        strangers = {alias.rpartition(" ")[2] for alias in self.links("bridge").values()} - set(drivers)
        if strangers:
            found.append(f"bridges of networks that are not there: {short(strangers)}")
        return found

    def port_faults(self, own: dict[str, Any]) -> list[str]:
        """The firewall's elements and the held sockets against what is shown."""
        found = []
        published = self.published()
        reachable = {port for facts in own.values() if networks_of(facts) for port in ports_of(facts)}
        if {port for port, _ in published} != reachable or len(published) != len(reachable):
            found.append(f"ports in the firewall {sorted(published)}, shown {sorted(reachable)}")
        addresses = {place["IPAddress"] for facts in own.values() for place in networks_of(facts).values()}
        found += [f"port {port} leads to {target}, nobody's" for port, target in published if target not in addresses]
        ports = {port for facts in own.values() for port in ports_of(facts)}
        if self.held() != ports:
            found.append(f"ports held {sorted(self.held())}, shown {sorted(ports)}")
        return found

    def inner_faults(self, own: dict[str, Any]) -> list[str]:
        """What the containers' own namespaces have against what is shown."""
        found = []
        for one, facts in own.items():
            shown = {place["IPAddress"] for place in networks_of(facts).values()}
            argv = ("nsenter", "-t", str(facts["State"]["Pid"]), "-n", "ip", "-j", "-4", "address")
            listed = self.lab.host.run(*argv, check=False)
            if not listed.startswith("["):
                found.append(f"container {one[:12]} is said to run: {listed}")
                continue
            has = {a["local"] for link in json.loads(listed) for a in link["addr_info"] if link["ifname"] != "lo"}
            if has != shown:
                found.append(f"container {one[:12]} has {sorted(has)}, shown {sorted(shown)}")
        return found

    def held(self) -> set[int]:
        """The host's ports that the monitors hold sockets of."""
        found = set()
        for monitor in self.daemon.monitors():
            with contextlib.suppress(FileNotFoundError):  # it has ended
                for entry in os.scandir(f"/proc/{monitor.pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(entry.path).startswith("socket:"):
                            found.add(port_behind(monitor.pid, int(entry.name)))
        return found - {0}


def port_behind(pid: int, number: int) -> int:
    """The port of another process's socket, if it is bound to one that isn't a resolver's; else 0."""
    pidfd = os.pidfd_open(pid)
    try:
        descriptor = pidfd_getfd(pidfd, number)
    finally:
        os.close(pidfd)
    with socket.socket(fileno=descriptor) as one:
        if one.family not in (socket.AF_INET, socket.AF_INET6):
            return 0
        name = one.getsockname()
    return 0 if name[0] == "127.0.0.11" else int(name[1])


def pidfd_getfd(pidfd: int, number: int) -> int:
    """pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    got = libc.syscall(438, pidfd, number, 0)
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return int(got)


def answer(client: socket.socket) -> list[str]:
    """Read the addresses of an answer to `Sea.question`."""
    with client:
        packet = client.recv(4096)
    assert packet[3] & 15 in (0, 2, 3), f"code {packet[3] & 15}"  # 2: not ours, and nobody outside to ask
    count, place = struct.unpack_from("!H", packet, 6)[0], 12
    while packet[place]:
        place += packet[place] + 1
    place += 5
    found = []
    for _ in range(count):
        kind, _klass, _ttl, size = struct.unpack_from("!HHIH", packet, place + 2)
        if kind == 1:
            found.append(socket.inet_ntoa(packet[place + 12 : place + 12 + size]))
        place += 12 + size
    return sorted(found)


def settled(sea: Sea) -> None:
    """Wait until rows, links, firewall and held ports say what the containers do."""
    faults: list[str] = []

    def fit() -> bool:
        faults[:] = sea.faults()
        return not faults

    try:
        wait_for(fit, "all fits together")
    except AssertionError as error:
        raise AssertionError("\n".join(faults)) from error


def echo(client: socket.socket, text: bytes) -> bytes:
    """Send a line; what comes back."""
    client.sendall(text)
    return client.recv(len(text))


def networks_of(facts: dict[str, Any]) -> dict[str, Any]:
    """A container's places by network."""
    return dict(facts["NetworkSettings"]["Networks"])


def ports_of(facts: dict[str, Any]) -> set[int]:
    """The host's ports that lead to it."""
    bound = facts["NetworkSettings"]["Ports"] or {}
    return {int(one["HostPort"]) for listed in bound.values() for one in listed or []}


def short(ids: Any) -> list[str]:
    """Ids that can be read."""
    return sorted(one[:12] for one in ids)
