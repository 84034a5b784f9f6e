"""A lab with bridges, containers that are only namespaces, and servers in them: what the firewall's tests look at.

::

    outside 192.0.2.1 ── eth0 ─ host ─ eth1 ── far 198.51.100.1      host forwards nothing of its own accord
                                 ├─ sampan0    front   172.17.0.0/16 fd00:1::/64   a1 .2, a2 .3, both .9
                                 ├─ br-back    back    172.18.0.0/16, 172.28.0.0/24  b1 .2, both .9; b2 172.28.0.2
                                 ├─ br-inner   inner   172.19.0.0/16 fd00:3::/64   i1 .2   internal
                                 ├─ br-quiet   quiet   172.20.0.0/16               q1 .2, q2 .3   no traffic within
                                 └─ br-routed  routed  172.21.0.0/16               r1 .2   not masqueraded

Servers answer with the address that they see as the client's and remember it. ``outside`` routes everything that it
        should
not reach to the host, 127.0.0.1 too; so does the container a1. Containers that break in have such routes as well.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Iterator

from sampan.network import ruleset
from sampan.network.firewall import Firewall
from sampan.network.model import OPTION_BRIDGE_NAME, OPTION_ICC, OPTION_MASQUERADE, Network, Pool, Publication
from sampan.network.ruleset import Desired, Detour, Link
from support.netlab import Netlab, Space

SOON_S = 0.25  # what isn't answered by then was dropped; an answer takes a millisecond
PATIENCE_S = 10.0
FAR4, FAR6 = "198.51.100.1", "2001:db8:2::1"


def network(letter: str, name: str, *subnets: str, internal: bool = False, **options: str) -> Network:
    """A network of the bridge driver whose gateways are .1 and ::1."""
    pools = [Pool(one, str(first_address(one))) for one in subnets]
    return Network(
        letter * 64,
        name,
        ipv4=tuple(pool for pool in pools if ":" not in pool.subnet),
        ipv6=tuple(pool for pool in pools if ":" in pool.subnet),
        internal=internal,
        options=options if name == "bridge" else {OPTION_BRIDGE_NAME: f"br-{name}", **options},
    )


def first_address(subnet: str) -> str:
    """The gateway's address in a subnet."""
    base = subnet.partition("/")[0]
    return f"{base}1" if ":" in base else base.rpartition(".")[0] + ".1"


FRONT = network("a", "bridge", "172.17.0.0/16", "fd00:1::/64")
BACK = network("b", "back", "172.18.0.0/16", "172.28.0.0/24")
INNER = network("c", "inner", "172.19.0.0/16", "fd00:3::/64", internal=True)
QUIET = network("d", "quiet", "172.20.0.0/16", **{OPTION_ICC: "false"})
ROUTED = network("e", "routed", "172.21.0.0/16", **{OPTION_MASQUERADE: "false"})
HUSHED = network("f", "hushed", "172.22.0.0/16", internal=True, **{OPTION_ICC: "false"})
NETWORKS = (FRONT, BACK, INNER, QUIET, ROUTED, HUSHED)

PUBLICATIONS = (
    Publication("a1", "tcp", "0.0.0.0", 8080, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", "::", 8080, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "udp", "0.0.0.0", 8080, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "udp", "::", 8080, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", Netlab.HOST4, 8081, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", Netlab.HOST6, 8081, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", "127.0.0.1", 8082, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "udp", "127.0.0.1", 8082, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", "172.17.0.1", 8083, 80, "172.17.0.2", "fd00:1::2"),
    Publication("a1", "tcp", "fd00:1::1", 8083, 80, "172.17.0.2", "fd00:1::2"),
    Publication("b1", "tcp", "::", 8084, 80, "172.18.0.2", ""),  # relayed
    Publication("both", "tcp", "0.0.0.0", 8085, 80, "172.17.0.9", ""),
    Publication("q2", "tcp", "0.0.0.0", 8086, 81, "172.20.0.3", ""),
)
DESIRED = Desired(
    NETWORKS,
    PUBLICATIONS,
    links=(Link("172.20.0.2", "172.20.0.3", "tcp", 80), Link("172.22.0.2", "172.22.0.3", "tcp", 80)),
    detours=(Detour("172.18.0.0/16", "172.17.0.9"),),
    opened=frozenset({"eth0"}),
    opened_ipv6=True,
)


class Servers:
    """Servers of TCP and UDP; ``seen`` has (server, client's address) of everything that came."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ, "")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def add(self, space: Space, port: int, address: str = "::", kinds: str = "tu", name: str = "") -> None:
        """Serve TCP (t) and UDP (u) at a port in a namespace."""
        for kind in kinds:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            one = space.call(socket.socket, family, socket.SOCK_STREAM if kind == "t" else socket.SOCK_DGRAM)
            if name:  # a relay serves IPv6 only
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address, port))
            if kind == "t":
                one.listen(64)
            self._selector.register(one, selectors.EVENT_READ, name or space.name)

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._stopped:
                    return
                with contextlib.suppress(OSError):  # a client that gave up
                    self._answer(key.fileobj, key.data)

    def _answer(self, one: socket.socket, name: str) -> None:
        if one.type == socket.SOCK_STREAM:
            connection, peer = one.accept()
            with connection:
                client = peer[0].removeprefix("::ffff:")
                self.seen.append((name, client))
                connection.sendall(f"{name} {client}".encode())
        else:
            _, peer = one.recvfrom(2048)
            client = peer[0].removeprefix("::ffff:")
            self.seen.append((name, client))
            one.sendto(f"{name} {client}".encode(), peer)


def ask(space: Space, address: str, port: int, kind: str = "tcp", wait_s: float = PATIENCE_S) -> str:
    """What a server says: its name and the client's address that it sees. OSError when nothing does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with space.call(socket.socket, family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as one:
        one.settimeout(wait_s)
        one.connect((address, port))
        if kind == "udp":
            one.send(b"?")
        said = one.recv(200).decode()
        if not said:
            raise ConnectionResetError
        return said


class Town:
    """The lab, its containers by name, and the firewall."""

    def __init__(self, lab: Netlab, *, bridge_netfilter: bool = False) -> None:
        """With ``bridge_netfilter`` the host shows bridged frames to its rules, as dockerd and Kubernetes want it."""
        self.lab, self.host, self.outside = lab, lab.host, lab.outside
        self.bridge_netfilter = bridge_netfilter
        for key in ("iptables", "ip6tables"):
            with contextlib.suppress(FileNotFoundError):  # no br_netfilter in this kernel
                self.host.sysctl(f"bridge/bridge-nf-call-{key}", str(int(bridge_netfilter)))
        self.host.sysctl("ipv6/conf/default/accept_dad", "0")  # addresses work at once
        self.servers = Servers()
        try:
            self.containers: dict[str, Space] = {}
            self._bridges()
            self._containers()
            self._far()
            self._attacker()
            self._serve()
            self.firewall = Firewall(lab.host.fd)
            self.firewall.converge(DESIRED)
        except BaseException:
            self.servers.close()
            raise

    def close(self) -> None:
        self.firewall.close()
        self.servers.close()

    def __getitem__(self, name: str) -> Space:
        return self.containers[name]

    @staticmethod
    def ask(space: Space, address: str, port: int, kind: str = "tcp", wait_s: float = PATIENCE_S) -> str:
        """The same as the function."""
        return ask(space, address, port, kind, wait_s)

    def blocked(self, space: Space, address: str, port: int, kind: str = "tcp") -> None:
        """AssertionError when a server answers, or only hears of it."""
        before = len(self.servers.seen)
        try:
            said = self.ask(space, address, port, kind, SOON_S)
        except OSError:
            said = ""
        assert not said, f"{space.name} reaches {address}:{port}/{kind}: {said}"
        assert self.servers.seen[before:] == [], f"{space.name} is heard at {address}:{port}/{kind}"

    def reaches(self, space: Space, address: str, port: int, said: str, kind: str = "tcp") -> None:
        """AssertionError when what answers isn't ``said``, or nothing does."""
        try:
            answer = self.ask(space, address, port, kind, 1.0)
        except OSError as error:
            raise AssertionError(f"{space.name} doesn't reach {address}:{port}/{kind}: {error}") from error
        assert answer == said, f"{space.name} reaches {address}:{port}/{kind}"

    @contextlib.contextmanager
    def with_table(self, table: ruleset.Table) -> Iterator[None]:
        """Another table of the same name for the body."""
        batch = ruleset.nftables.Batch(table.family, table.name)
        batch.replace(table)
        batch.commit(self.firewall._socket, "a test")
        try:
            yield
        finally:
            self.firewall.converge(DESIRED)

    def _bridges(self) -> None:
        for index, one in enumerate(NETWORKS):
            self.host.batch(f"link add {one.bridge} type bridge", f"link set {one.bridge} up")
            for pool in one.ipv4 + one.ipv6:
                flags = " nodad" if ":" in pool.subnet else ""
                self.host.batch(f"address add {pool.gateway}/{pool.prefix} dev {one.bridge}{flags}")
            if one.ipv6:
                self.host.batch(f"route add local ::1/128 dev {one.bridge} table local metric {4096 + index}")
            for key in ("forwarding", "route_localnet"):
                self.host.sysctl(f"ipv4/conf/{one.bridge}/{key}", "1")
        for one in (QUIET, HUSHED):
            self.host.sysctl(f"ipv4/conf/{one.bridge}/proxy_arp_pvlan", "1")
            self.host.sysctl(f"ipv4/neigh/{one.bridge}/proxy_delay", "0")

    def _containers(self) -> None:
        for name, address, *more in (
            ("a1", "172.17.0.2/16", "fd00:1::2/64"),
            ("a2", "172.17.0.3/16", "fd00:1::3/64"),
            ("both", "172.17.0.9/16"),
            ("b1", "172.18.0.2/16"),
            ("b2", "172.28.0.2/24"),
            ("i1", "172.19.0.2/16", "fd00:3::2/64"),
            ("q1", "172.20.0.2/16"),
            ("q2", "172.20.0.3/16"),
            ("r1", "172.21.0.2/16"),
            ("h1", "172.22.0.2/16"),
            ("h2", "172.22.0.3/16"),
        ):
            self.containers[name] = self.lab.space(name)
            self.containers[name].sysctl("ipv6/conf/default/accept_dad", "0")
            self._plug(name, 0, address, *more)
        self._plug("both", 1, "172.18.0.9/16")

    def _plug(self, name: str, index: int, *addresses: str) -> None:
        space, link = self.containers[name], f"v{name}{index}"
        one = next(net for net in NETWORKS if any(pool.contains(addresses[0]) for pool in net.ipv4))
        self.host.batch(
            f"link add {link} type veth peer name eth{index} netns {space.path}",
            f"link set {link} master {one.bridge}",
            f"link set {link} up",
            f"link set dev {link} type bridge_slave hairpin on",
        )
        if one in (QUIET, HUSHED):
            self.host.batch(f"link set dev {link} type bridge_slave isolated on")
        flags = {True: " nodad", False: ""}
        space.batch(*(f"address add {one} dev eth{index}{flags[':' in one]}" for one in addresses))
        space.batch(f"link set eth{index} up")
        if index == 0:
            space.batch(*(f"route add {'::/0' if ':' in a else 'default'} via {one.gateway(a)}" for a in addresses))

    def _far(self) -> None:
        self.far = self.lab.space("far")
        self.host.batch(
            f"link add eth1 type veth peer name eth0 netns {self.far.path}",
            "address add 198.51.100.2/24 dev eth1",
            "address add 2001:db8:2::2/64 dev eth1 nodad",
            "link set eth1 up",
        )
        self.far.batch(f"address add {FAR4}/24 dev eth0", f"address add {FAR6}/64 dev eth0 nodad", "link set eth0 up")
        self.far.batch("route add default via 198.51.100.2", "route add ::/0 via 2001:db8:2::2")
        self.host.sysctl("ipv4/conf/eth0/forwarding", "1")
        self.host.sysctl("ipv6/conf/all/forwarding", "1")

    def _attacker(self) -> None:
        """Routes to what they should not reach, for outside and for the containers."""
        self.outside.batch("route add 172.16.0.0/12 via 192.0.2.2", "route add fd00::/16 via 2001:db8:1::2")
        self.outside.batch("route add 198.51.100.0/24 via 192.0.2.2", "route add 2001:db8:2::/64 via 2001:db8:1::2")
        for space, via in ((self.outside, "192.0.2.2"), (self["a1"], "172.17.0.1")):
            space.sysctl("ipv4/conf/eth0/route_localnet", "1")
            space.batch(
                "route del local 127.0.0.0/8 dev lo table local", "route del local 127.0.0.1 dev lo table local"
            )
            source = "192.0.2.1" if space is self.outside else "172.17.0.2"
            space.batch(f"route add 127.0.0.1/32 via {via} src {source}")

    def _serve(self) -> None:
        for space in (*self.containers.values(), self.outside, self.far):
            self.servers.add(space, 80)
        self.servers.add(self["q2"], 81)
        self.servers.add(self.host, 7000)
        self.servers.add(self.host, 7001, "127.0.0.1")
        for port in (8080, 8084):
            self.servers.add(self.host, port, name="relay")


def chains_of(text: str) -> str:
    return text[text.index("\tchain ") :]


def elements_of(town: Town) -> dict[str, list[str]]:
    """The elements of Sampan's sets, as nft shows them."""
    found = {}
    for one in json.loads(town.host.run("nft", "-j", "list", "table", "inet", "sampan"))["nftables"]:
        for kind in ("set", "map"):
            if "elem" in one.get(kind, {}):
                quoted = "ifname" in one[kind]["type"]
                found[one[kind]["name"]] = sorted(shown(element, quoted) for element in one[kind]["elem"])
    return found


def shown(element: object, quoted: bool) -> str:
    match element:
        case [key, data]:
            return f"{shown(key, quoted)} : {shown(data, quoted)}"
        case {"elem": {"val": key}}:  # with what it has counted
            return shown(key, quoted)
        case {"concat": parts}:
            return " . ".join(shown(part, quoted) for part in parts)
        case {"prefix": {"addr": address, "len": size}}:
            return f"{address}/{size}"
        case str() if quoted:
            return f'"{element}"'
        case _:
            return str(element)
