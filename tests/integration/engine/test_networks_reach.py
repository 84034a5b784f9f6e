"""Who reaches whom, on a real sampand: its host and a neighbour of it are network namespaces (support/netlab.py).

Everything is tried where bridges show frames to rules (br_netfilter, as beside dockerd or Kubernetes), where they
don't, and where the host is strict about source addresses (rp_filter, as hardened hosts are).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.netlab import Netlab, netlab
from support.reach import SOON_S, Place, Try, attack

HOST4, HOST6, OUT4, OUT6 = Netlab.HOST4, Netlab.HOST6, Netlab.OUTSIDE4, Netlab.OUTSIDE6
FRONT = ("172.30.0.0/16", "fd30::/64")
QUIET_OPTION = "com.docker.network.bridge.enable_icc=false"
ROUTED_OPTION = "com.docker.network.bridge.enable_ip_masquerade=false"
BOUND_OPTION = f"com.docker.network.bridge.host_binding_ipv4={HOST4}"


@pytest.fixture(scope="module", params=["routed", "frames shown", "strict"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    frames = request.param == "frames shown"
    if frames and not os.path.exists("/proc/sys/net/bridge"):
        pytest.skip("this kernel has no br_netfilter")
    with netlab() as lab, Place(lab, shows_frames=frames) as one:
        for link in ("all", "default", "eth0") if request.param == "strict" else ():
            lab.host.sysctl(f"ipv4/conf/{link}/rp_filter", "1")
        _people(one)
        yield one


def _people(one: Place) -> None:
    """Containers of every kind of network, servers in them, and a neighbour with routes to all of it."""
    one.network("front", "--subnet", FRONT[0], "--ipv6", "--subnet", FRONT[1])
    one.network("back", "--subnet", "172.31.0.0/16")
    one.network("inner", "--internal", "--subnet", "172.29.0.0/16")
    one.network("quiet", "--subnet", "172.28.0.0/16", "-o", QUIET_OPTION)
    one.network("routed", "--subnet", "172.27.0.0/16", "-o", ROUTED_OPTION)
    one.network("bound", "--subnet", "172.26.0.0/16", "-o", BOUND_OPTION)
    published = ("8080:80", "8080:80/udp", f"{HOST4}:8081:80", "127.0.0.1:8082:80", "[::1]:8083:80", "8099:99")
    ports = [text for port in published for text in ("-p", port)]
    one.run("web", "--network", "front", *ports, "--expose", "90", serve=(80, 90))
    one.run("peer", "--network", "front")
    one.run("plain", "--network", "back", "-p", "8084:80", "-p", "8084:80/udp")
    one.run("other", "--network", "back")
    one.run("inner1", "--network", "inner", "-p", "8085:80")
    one.run("inner2", "--network", "inner")
    one.run("quiet2", "--network", "quiet", "-p", "8086:81", "--expose", "80", serve=(80, 81, 82))
    one.run("quiet1", "--network", "quiet", "--link", "quiet2:friend")
    one.run("quiet3", "--network", "quiet")
    one.run("routed1", "--network", "routed", "-p", "8087:80", serve=(80, 90))
    one.run("bound1", "--network", "bound", "-p", "8088:80")
    one.serve("host", 7000)
    one.serve("host", 7001, address="127.0.0.1")
    one.serve("outside", 80)
    attack(one.lab, *(f"172.{number}.0.0/16" for number in range(26, 32)), FRONT[1])


REACHED = [
    # published, from outside: the client keeps its address
    (Try("outside", HOST4, 8080), f"web {OUT4}"),
    (Try("outside", HOST4, 8080, "udp"), f"web {OUT4}"),
    (Try("outside", HOST6, 8080), f"web {OUT6}"),
    (Try("outside", HOST6, 8080, "udp"), f"web {OUT6}"),
    (Try("outside", HOST4, 8081), f"web {OUT4}"),
    (Try("outside", HOST4, 8084), f"plain {OUT4}"),
    (Try("outside", HOST6, 8084), "plain 172.31.0.1"),  # relayed: it has no IPv6
    (Try("outside", HOST4, 8086), f"quiet2 {OUT4}"),
    (Try("outside", HOST4, 8087), f"routed1 {OUT4}"),
    (Try("outside", HOST4, 8088), f"bound1 {OUT4}"),
    # from the host: by its own address, by loopback
    (Try("host", HOST4, 8080), f"web {HOST4}"),
    (Try("host", HOST6, 8080), f"web {HOST6}"),
    (Try("host", HOST4, 8081), f"web {HOST4}"),
    (Try("host", "127.0.0.1", 8080), "web 172.30.0.1"),
    (Try("host", "127.0.0.1", 8080, "udp"), "web 172.30.0.1"),
    (Try("host", "127.0.0.1", 8082), "web 172.30.0.1"),
    (Try("host", "::1", 8084), "plain 172.31.0.1"),
    (Try("host", "::1", 8084, "udp"), "plain 172.31.0.1"),
    (Try("host", "172.30.0.2", 90), "web 172.30.0.1"),
    # from containers: the same network, another one, itself
    (Try("peer", "172.30.0.2", 80), "web 172.30.0.3"),
    (Try("peer", "172.30.0.2", 90), "web 172.30.0.3"),
    (Try("peer", "fd30::2", 80), "web fd30::3"),
    (Try("peer", HOST4, 8080), "web 172.30.0.1"),  # hairpin: the answer has to come this way
    (Try("peer", HOST6, 8080), "web fd30::1"),
    (Try("peer", HOST4, 8080, "udp"), "web 172.30.0.1"),
    (Try("other", HOST4, 8080), "web 172.31.0.3"),
    (Try("other", HOST4, 8080, "udp"), "web 172.31.0.3"),
    (Try("quiet1", HOST4, 8080), "web 172.28.0.3"),
    (Try("web", HOST4, 8080), "web 172.30.0.1"),
    (Try("web", HOST6, 8080), "web fd30::1"),
    (Try("plain", HOST4, 8084), "plain 172.31.0.1"),
    (Try("inner1", "172.29.0.3", 80), "inner2 172.29.0.2"),
    (Try("quiet1", "172.28.0.2", 80), "quiet2 172.28.0.3"),  # linked
    # to outside: masqueraded, or not
    (Try("web", OUT4, 80), f"outside {HOST4}"),
    (Try("web", OUT6, 80), f"outside {HOST6}"),
    (Try("web", OUT4, 80, "udp"), f"outside {HOST4}"),
    (Try("routed1", OUT4, 80), "outside 172.27.0.2"),
    (Try("web", "172.30.0.1", 7000), "host 172.30.0.2"),
    (Try("inner1", "172.29.0.1", 7000), "host 172.29.0.2"),
]

BLOCKED = [
    # outside names containers' addresses, and 127.0.0.1
    *(Try("outside", address, 90) for address in ("172.30.0.2", "fd30::2", "172.27.0.2")),
    *(Try("outside", address, 80) for address in ("172.30.0.2", "172.29.0.2", "172.28.0.2", "172.27.0.2")),
    Try("outside", "172.30.0.2", 80, "udp"),
    Try("outside", "172.30.0.1", 7000),
    *(Try("outside", "127.0.0.1", port) for port in (8080, 8082, 7001, 7000)),
    Try("outside", HOST4, 8082),
    Try("outside", HOST6, 8083),
    Try("outside", HOST4, 8085),  # internal
    Try("outside", HOST6, 8088),  # published on one IPv4 address
    Try("outside", HOST6, 8081),
    # the host
    Try("host", "127.0.0.1", 8081),
    Try("host", "127.0.0.1", 8088),
    Try("host", "127.0.0.1", 8083),
    Try("host", HOST4, 8082),
    # containers: other networks, the host's loopback
    Try("other", "172.30.0.2", 80),
    Try("other", "172.30.0.2", 90),
    Try("peer", "172.31.0.2", 80),
    Try("other", "172.29.0.2", 80),
    *(Try(who, "172.30.0.2", 80) for who in ("inner1", "quiet1", "routed1")),
    *(Try("inner1", HOST4, port) for port in (8080, 7000)),
    Try("inner1", OUT4, 80),
    *(Try("peer", address, 7001) for address in ("172.30.0.1", HOST4)),
    Try("peer", HOST4, 8082),
    Try("quiet1", "172.28.0.2", 82),
    Try("quiet3", "172.28.0.2", 80),
    Try("quiet3", "172.28.0.2", 80, "udp"),
    Try("quiet2", "172.28.0.3", 80),
]


@pytest.mark.parametrize(("one", "said"), REACHED, ids=str)
def test_reached(place: Place, one: Try, said: str) -> None:
    place.reaches(one, said)


@pytest.mark.parametrize("one", [Try("host", "::1", 8080), Try("host", "::1", 8080, "udp"), Try("host", "::1", 8083)])
def test_loopback_of_ipv6(place: Place, one: Try) -> None:
    """Translated by the kernel, but where bridges show IPv6 frames to rules: there the relay has it."""
    place.reaches(one, "web 172.30.0.1" if place.shows_frames else "web fd30::1")


def test_published_where_there_is_no_traffic_within(place: Place) -> None:
    """Frames that are shown to rules don't leave the bridge, and its ports are isolated, a container's from itself."""
    itself, another = Try("quiet2", HOST4, 8086), Try("quiet3", HOST4, 8086)
    if place.shows_frames:
        place.blocked(itself)
        place.blocked(another)
    else:
        place.reaches(itself, "quiet2 172.28.0.1")
        place.reaches(another, "quiet2 172.28.0.1")


@pytest.mark.parametrize("one", BLOCKED, ids=str)
def test_blocked(place: Place, one: Try) -> None:
    place.blocked(one)


def test_the_hosts_loopback_is_out_of_reach_by_name_too(place: Place) -> None:
    """A container that routes 127.0.0.1 to the host reaches nothing there, published or not."""
    box = place.boxes["other"]
    box.sysctl("ipv4/conf/eth0/route_localnet", "1")
    box.batch("route del local 127.0.0.0/8 dev lo table local", "route del local 127.0.0.1 dev lo table local")
    box.batch("route add 127.0.0.1/32 via 172.31.0.1 src 172.31.0.3")
    try:
        for port in (7001, 7000, 8080, 8082):
            place.blocked(Try("other", "127.0.0.1", port))
    finally:
        box.batch("route del 127.0.0.1/32", "route add local 127.0.0.0/8 dev lo table local")


@pytest.mark.parametrize("one", [Try(*at, 8099) for at in (
    ("outside", HOST4), ("outside", HOST6), ("host", HOST4), ("host", "127.0.0.1"), ("peer", HOST4), ("web", HOST4),
)], ids=str)  # fmt: skip
def test_a_port_refuses_when_nobody_listens(place: Place, one: Try) -> None:
    with pytest.raises(ConnectionRefusedError):
        place.ask(one)


def test_a_port_accepts_as_soon_as_the_application_does(place: Place) -> None:
    place.serve("web", 99, kinds="t")
    place.reaches(Try("outside", HOST4, 8099), f"web {OUT4}")
    place.reaches(Try("host", "127.0.0.1", 8099), "web 172.30.0.1")
    place.reaches(Try("host", "::1", 8099), "web 172.30.0.1" if place.shows_frames else "web fd30::1")


WORDS = {True: "yes", False: "no"}
AUDIENCES = {"other machines": "outside", "this machine": "host", "itself": "", "containers of back": "other"}


@pytest.mark.parametrize("name", ["web", "plain", "quiet2", "routed1", "bound1"])
def test_what_is_explained_is_what_happens(place: Place, name: str) -> None:
    rows = place.verdicts(name)
    tried = 0
    for row in rows:
        one = _try_of(name, row)
        if one is not None:
            try:
                happened = place.ask(one, SOON_S).startswith(name)
            except OSError:
                happened = False
            assert row["Verdict"] == WORDS[happened], (row, one)
            tried += 1
    assert tried >= 5


def _try_of(name: str, row: dict[str, str]) -> Try | None:
    """Who is meant by a row, and where they'd go; None for several, or where no server is."""
    port, _, kind = row["Port"].partition("/")
    who, _, by = row["Who"].partition(" by ")
    someone = AUDIENCES.get(who) if who != "itself" else name
    if someone is None or port == "99" or (not row["Published"] and not by):
        return None
    if not row["Published"]:
        return Try(someone, by, int(port), kind)
    address, _, number = row["Published"].rpartition(":")
    address = address.strip("[]")
    given = {"0.0.0.0": HOST4, "::": HOST6}.get(address, address)
    return Try(someone, by or given, int(number), kind)
