"""What the firewall lets through and what not, tried packet by packet; and that no rule of it could be left out.

Every requirement is a function that fails when it isn't met. `test_holds` runs them all, `test_needs` takes one rule
away and wants the requirement that the rule is for to fail.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from sampan.linux import conntrack
from sampan.linux.netlink import NETLINK_NETFILTER, Socket
from sampan.network import ruleset
from sampan.network.model import Publication
from support.netlab import Space, netlab
from support.town import BACK, DESIRED, FAR4, FAR6, SOON_S, Town, chains_of, elements_of

HOST4, HOST6 = "192.0.2.2", "2001:db8:1::2"


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with netlab() as lab, contextlib.closing(Town(lab)) as one:
        yield one


@pytest.fixture(scope="module")
def filtered_town() -> Iterator[Town]:
    """One whose bridges show their frames to the rules."""
    with netlab() as lab, contextlib.closing(Town(lab, bridge_netfilter=True)) as one:
        yield one


# --- requirements ----------------------------------------------------------------------------------------------------


def masquerades_ipv4(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.reaches(town["a1"], "192.0.2.1", 80, f"outside {HOST4}", kind)
    town.reaches(town["b2"], "192.0.2.1", 80, f"outside {HOST4}")


def masquerades_ipv6(town: Town) -> None:
    town.reaches(town["a1"], "2001:db8:1::1", 80, f"outside {HOST6}")


def leaves_routed_networks_as_they_are(town: Town) -> None:
    town.reaches(town["r1"], "192.0.2.1", 80, "outside 172.21.0.2")


def isolates_networks(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.blocked(town["a1"], "172.18.0.2", 80, kind)
    town.blocked(town["b1"], "172.17.0.2", 80)
    town.blocked(town["a1"], "172.21.0.2", 80)
    town.reaches(town["a1"], "172.17.0.3", 80, "a2 172.17.0.2")


def joins_subnets_of_a_network(town: Town) -> None:
    town.reaches(town["b1"], "172.28.0.2", 80, "b2 172.18.0.2")


def internal_reaches_nobody(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.blocked(town["i1"], "192.0.2.1", 80, kind)
    town.blocked(town["i1"], "172.17.0.2", 80)
    town.blocked(town["i1"], "2001:db8:1::1", 80)
    town.blocked(town["i1"], HOST4, 8080)
    town.blocked(town["i1"], "172.19.0.1", 8080)


def nobody_reaches_internal(town: Town) -> None:
    """Not even by a translation that the host's owner made."""
    for space in (town.outside, town["a1"]):
        town.blocked(space, "172.19.0.2", 80, "udp")
    with other_table(
        town, "nat hook prerouting priority -110", f"ip daddr {HOST4} udp dport 9999 dnat ip to 172.19.0.2:80"
    ):
        town.blocked(town.outside, HOST4, 9999, "udp")


def internal_reaches_the_host_by_its_bridge_only(town: Town) -> None:
    town.reaches(town["i1"], "172.19.0.1", 7000, "host 172.19.0.2")
    town.reaches(town["i1"], "fd00:3::1", 7000, "host fd00:3::2")
    town.blocked(town["i1"], HOST4, 7000)
    town.blocked(town["i1"], "172.17.0.1", 7000)
    town.blocked(town["i1"], HOST6, 7000)


def internal_reaches_no_relay(town: Town) -> None:
    town.blocked(town["i1"], "fd00:3::1", 8084)


def quiet_is_closed_within(town: Town) -> None:
    """Also for the unlinked port of a linked container, and whatever way a packet takes."""
    town.blocked(town["q1"], "172.20.0.3", 81)
    town.blocked(town["q1"], "172.20.0.3", 80, "udp")
    town.blocked(town["q2"], "172.20.0.2", 80)


def links_open_one_port(town: Town) -> None:
    town.reaches(town["q1"], "172.20.0.3", 80, "q2 172.20.0.2")
    links_open_one_port_of_an_internal_network(town)


def links_open_one_port_of_an_internal_network(town: Town) -> None:
    town.reaches(town["h1"], "172.22.0.3", 80, "h2 172.22.0.2")
    town.blocked(town["h2"], "172.22.0.2", 80)


def quiet_reaches_published(town: Town) -> None:
    """With bridge_netfilter a translated frame for the same bridge is bridged, and its ports are isolated: the one
    thing that doesn't work there.
    """
    if not town.bridge_netfilter:
        town.reaches(town["q1"], HOST4, 8086, "q2 172.20.0.1")
    town.reaches(town["q1"], "192.0.2.1", 80, f"outside {HOST4}")


def containers_miss_the_loopback_of_the_host(town: Town) -> None:
    town.blocked(town["a1"], "127.0.0.1", 7001)
    town.blocked(town["a1"], "127.0.0.1", 7001, "udp")


def containers_cannot_pose_as_the_loopback(town: Town) -> None:
    """The kernel itself refuses an own address as a source, unless accept_local says otherwise."""
    town.host.sysctl("ipv4/conf/sampan0/accept_local", "1")
    before = len(town.servers.seen)
    with raw_sender(town["a1"]) as one:
        one.sendto(udp_packet("127.0.0.1", "172.17.0.1", 7000), ("172.17.0.1", 0))
    town.reaches(town["a1"], "172.17.0.1", 7000, "host 172.17.0.2", "udp")  # came by the same way, later
    assert ("host", "127.0.0.1") not in town.servers.seen[before:]


def published_to_outside_ipv4(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.reaches(town.outside, HOST4, 8080, "a1 192.0.2.1", kind)


def published_to_outside_ipv6(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.reaches(town.outside, HOST6, 8080, "a1 2001:db8:1::1", kind)


def published_on_one_address(town: Town) -> None:
    town.reaches(town.outside, HOST4, 8081, "a1 192.0.2.1")
    town.blocked(town.far, "198.51.100.2", 8081)


def published_on_one_address_ipv6(town: Town) -> None:
    town.reaches(town.outside, HOST6, 8081, "a1 2001:db8:1::1")
    town.blocked(town.far, "2001:db8:2::2", 8081)


def published_to_containers(town: Town) -> None:
    town.reaches(town["b1"], HOST4, 8080, "a1 172.18.0.2")
    town.reaches(town["b1"], "172.18.0.1", 8080, "a1 172.18.0.2")
    town.reaches(town["r1"], HOST4, 8080, "a1 172.21.0.2", "udp")


def published_to_its_own_network(town: Town) -> None:
    town.reaches(town["a2"], HOST4, 8080, "a1 172.17.0.1")
    town.reaches(town["a1"], HOST4, 8080, "a1 172.17.0.1")
    town.reaches(town["a1"], "172.17.0.1", 8080, "a1 172.17.0.1", "udp")


def published_to_its_own_network_ipv6(town: Town) -> None:
    town.reaches(town["a2"], HOST6, 8080, "a1 fd00:1::1")
    town.reaches(town["a1"], HOST6, 8080, "a1 fd00:1::1")


def published_to_another_network_of_the_container(town: Town) -> None:
    town.reaches(town["b1"], HOST4, 8085, "both 172.17.0.1")


def published_to_the_host(town: Town) -> None:
    town.reaches(town.host, HOST4, 8080, f"a1 {HOST4}")
    town.reaches(town.host, HOST6, 8080, f"a1 {HOST6}")
    town.reaches(town.host, "172.17.0.1", 8083, "a1 172.17.0.1")


def published_to_the_loopback(town: Town) -> None:
    for kind in ("tcp", "udp"):
        town.reaches(town.host, "127.0.0.1", 8080, "a1 172.17.0.1", kind)
    town.reaches(town.host, "127.0.0.1", 8082, "a1 172.17.0.1")
    town.reaches(town.host, "127.0.0.77", 8080, "a1 172.17.0.1")


def published_to_the_loopback_ipv6(town: Town) -> None:
    """With bridge_netfilter the relay has it."""
    if town.bridge_netfilter:
        return
    for kind in ("tcp", "udp"):
        town.reaches(town.host, "::1", 8080, "a1 fd00:1::1", kind)


def leaves_the_loopback_to_the_relay(town: Town) -> None:
    """Asked for where a translated ::1 would get lost."""
    town.firewall.relay_loopback(True)
    try:
        town.reaches(town.host, "::1", 8080, "relay ::1")
        town.reaches(town.host, HOST6, 8080, f"a1 {HOST6}")
    finally:
        town.firewall.relay_loopback(False)


def loopback_ports_stay_in_the_host(town: Town) -> None:
    """A neighbour that routes 127.0.0.1 to the host, a container that does, and the host's other addresses."""
    for port in (8080, 8082):
        for kind in ("tcp", "udp"):
            town.blocked(town.outside, "127.0.0.1", port, kind)
            town.blocked(town["a1"], "127.0.0.1", port, kind)
    town.blocked(town.outside, HOST4, 8082)
    town.blocked(town["b1"], "172.18.0.1", 8082)


def bridge_ports_stay_in_the_host_ipv4(town: Town) -> None:
    """A port published on a bridge's address is for containers; outside has a route to it."""
    town.reaches(town["b1"], "172.17.0.1", 8083, "a1 172.18.0.2")
    town.blocked(town.outside, "172.17.0.1", 8083)
    town.blocked(town.outside, "172.17.0.1", 7000)


def bridge_ports_stay_in_the_host_ipv6(town: Town) -> None:
    town.blocked(town.outside, "fd00:1::1", 8083)


def outside_reaches_no_container_by_route(town: Town) -> None:
    """Not even the container's own port behind a published one."""
    for kind in ("tcp", "udp"):
        for address in ("172.17.0.2", "172.18.0.2", "172.20.0.3", "172.21.0.2", "fd00:1::2"):
            town.blocked(town.outside, address, 80, kind)


def routes_for_nobody_ipv4(town: Town) -> None:
    town.blocked(town.outside, FAR4, 80, "udp")


def routes_for_nobody_ipv6(town: Town) -> None:
    town.blocked(town.outside, FAR6, 80, "udp")
    town.blocked(town.far, "2001:db8:1::1", 80, "udp")


def leaks_nothing_untranslated(town: Town) -> None:
    """A reset of no connection is invalid to conntrack, so masquerading passes it over."""
    with town.outside.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as heard:
        heard.settimeout(SOON_S)
        with raw_sender(town["a1"]) as one:
            one.sendto(tcp_reset("172.17.0.2", "192.0.2.1"), ("192.0.2.1", 0))
        with contextlib.suppress(TimeoutError):
            while packet := heard.recv(2000):
                assert packet[12:16] != bytes([172, 17, 0, 2]), "an untranslated packet left"


REQUIREMENTS = [
    masquerades_ipv4,
    masquerades_ipv6,
    leaves_routed_networks_as_they_are,
    isolates_networks,
    joins_subnets_of_a_network,
    internal_reaches_nobody,
    nobody_reaches_internal,
    internal_reaches_the_host_by_its_bridge_only,
    internal_reaches_no_relay,
    quiet_is_closed_within,
    links_open_one_port,
    quiet_reaches_published,
    containers_miss_the_loopback_of_the_host,
    containers_cannot_pose_as_the_loopback,
    published_to_outside_ipv4,
    published_to_outside_ipv6,
    published_on_one_address,
    published_on_one_address_ipv6,
    published_to_containers,
    published_to_its_own_network,
    published_to_its_own_network_ipv6,
    published_to_another_network_of_the_container,
    published_to_the_host,
    published_to_the_loopback,
    published_to_the_loopback_ipv6,
    leaves_the_loopback_to_the_relay,
    loopback_ports_stay_in_the_host,
    bridge_ports_stay_in_the_host_ipv4,
    bridge_ports_stay_in_the_host_ipv6,
    outside_reaches_no_container_by_route,
    routes_for_nobody_ipv4,
    routes_for_nobody_ipv6,
    leaks_nothing_untranslated,
]
OWN_KINDS = ("local", "broadcast", "multicast")
# chain, rule: the requirement that isn't met without it
NEEDED = [
    ("early", "ip daddr 127.0.0.0/8 iifname @bridges drop", containers_miss_the_loopback_of_the_host),
    ("early", "ip saddr 127.0.0.0/8 iifname @bridges drop", containers_cannot_pose_as_the_loopback),
    ("early", 'ip daddr @guarded4 iifname != "lo" iifname != @bridges drop', bridge_ports_stay_in_the_host_ipv4),
    ("early", 'ip6 daddr @guarded6 iifname != "lo" iifname != @bridges drop', bridge_ports_stay_in_the_host_ipv6),
    ("publish", "dnat ip to ip daddr . meta l4proto . th dport map @bound4", published_on_one_address),
    ("publish", "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4", published_to_outside_ipv4),
    ("publish", "dnat ip6 to ip6 daddr . meta l4proto . th dport map @bound6", published_on_one_address_ipv6),
    ("publish", "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6", published_to_outside_ipv6),
    ("prerouting", "ip daddr 127.0.0.0/8 return", loopback_ports_stay_in_the_host),
    ("prerouting", "fib daddr type local goto publish", published_to_containers),
    ("output", "ip6 daddr @relaying return", leaves_the_loopback_to_the_relay),
    ("output", "fib daddr type local goto publish", published_to_the_host),
    ("input", "iifname @internal meta l4proto . th dport @relayed drop", internal_reaches_no_relay),
    (
        "input",
        f"iifname @internal {' '.join(f'fib daddr . iif type != {kind}' for kind in OWN_KINDS)} drop",
        internal_reaches_the_host_by_its_bridge_only,
    ),
    ("quiet", "ct state established,related accept", links_open_one_port_of_an_internal_network),
    ("quiet", "ct status dnat accept", quiet_reaches_published),
    ("quiet", "ip saddr . ip daddr . meta l4proto . th dport @links4 accept", links_open_one_port),
    ("quiet", "drop", quiet_is_closed_within),
    ("foreign", "meta nfproto ipv4 iifname @opened drop", routes_for_nobody_ipv4),
    ("foreign", "meta nfproto @routers drop", routes_for_nobody_ipv6),
    (
        "forward",
        "ct state established,related iifname != @internal oifname != @internal accept",
        masquerades_ipv4,
    ),
    ("forward", "iifname != @bridges oifname != @bridges goto foreign", routes_for_nobody_ipv4),
    ("forward", "iifname . oifname @same accept", joins_subnets_of_a_network),
    ("forward", "iifname . oifname @quiet goto quiet", links_open_one_port),
    ("forward", "iifname @internal drop", internal_reaches_nobody),
    ("forward", "oifname @internal drop", nobody_reaches_internal),
    ("forward", "ct state invalid drop", leaks_nothing_untranslated),
    ("forward", "ct status dnat accept", published_to_outside_ipv4),
    ("forward", "oifname @bridges drop", isolates_networks),
    ("postrouting", "oifname @bridges ip saddr 127.0.0.0/8 masquerade", published_to_the_loopback),
    ("postrouting", "oifname @bridges ip6 saddr ::1 masquerade", published_to_the_loopback_ipv6),
    ("postrouting", "ct status dnat ip saddr . ip daddr @hairpin4 masquerade", published_to_its_own_network),
    ("postrouting", "ip saddr @masqueraded4 oifname != @bridges masquerade", masquerades_ipv4),
    ("postrouting", "ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade", published_to_its_own_network_ipv6),
    ("postrouting", "ip6 saddr @masqueraded6 oifname != @bridges masquerade", masquerades_ipv6),
]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.__name__)
def test_holds(town: Town, requirement: Callable[[Town], None]) -> None:
    requirement(town)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.__name__)
def test_holds_with_bridge_netfilter(filtered_town: Town, requirement: Callable[[Town], None]) -> None:
    requirement(filtered_town)


@pytest.mark.parametrize(("chain", "rule", "requirement"), NEEDED, ids=lambda one: getattr(one, "__name__", one))
def test_needs(town: Town, chain: str, rule: str, requirement: Callable[[Town], None]) -> None:
    with town.with_table(without(chain, rule)), pytest.raises(AssertionError):
        requirement(town)


def test_every_rule_is_needed() -> None:
    rules = [(chain.name, rule.text) for chain in ruleset.chains() for rule in chain.rules]
    assert rules == [(chain, rule) for chain, rule, _ in NEEDED]


def test_needs_detours(town: Town) -> None:
    with town.with_table(ruleset.table(replace(DESIRED, detours=()))), pytest.raises(AssertionError):
        published_to_another_network_of_the_container(town)


@pytest.mark.parametrize(
    "requirement",
    [
        isolates_networks,
        internal_reaches_nobody,
        nobody_reaches_internal,
        outside_reaches_no_container_by_route,
        loopback_ports_stay_in_the_host,
        bridge_ports_stay_in_the_host_ipv4,
        containers_miss_the_loopback_of_the_host,
        published_to_outside_ipv4,
    ],
    ids=lambda one: one.__name__,
)
def test_holds_on_a_router(town: Town, requirement: Callable[[Town], None]) -> None:
    """Where the host forwards for everybody, and takes what is for 127.0.0.1 from everywhere."""
    town.host.sysctl("ipv4/ip_forward", "1")
    town.host.sysctl("ipv4/conf/all/route_localnet", "1")
    try:
        requirement(town)
    finally:
        town.host.sysctl("ipv4/ip_forward", "0")
        town.host.sysctl("ipv4/conf/all/route_localnet", "0")
        for one in ("eth0", *(net.bridge for net in DESIRED.networks)):
            town.host.sysctl(f"ipv4/conf/{one}/forwarding", "1")


def test_routers_route_on(town: Town) -> None:
    """What was forwarded before Sampan came is forwarded still."""
    town.host.sysctl("ipv4/conf/eth1/forwarding", "1")
    town.firewall.guard_forwarding((), False)
    try:
        town.reaches(town.outside, FAR4, 80, "far 192.0.2.1")
        town.reaches(town.outside, FAR6, 80, "far 2001:db8:1::1")
    finally:
        town.host.sysctl("ipv4/conf/eth1/forwarding", "0")
        town.firewall.guard_forwarding(DESIRED.opened, True)
    routes_for_nobody_ipv4(town)


# --- the table in the kernel -----------------------------------------------------------------------------------------


def test_nft_shows_what_was_planned(town: Town) -> None:
    shown = town.host.run("nft", "list", "table", "inet", "sampan")
    planned = ruleset.table(DESIRED).text
    assert chains_of(shown) == chains_of(planned)
    assert elements_of(town) == {
        name: sorted(ruleset.SETS[name].show(one) for one in elements)
        for name, elements in (ruleset.table(DESIRED).elements or {}).items()
    }


def test_other_tables_are_untouched(town: Town) -> None:
    with other_table(town, "filter hook forward priority 5", "ip daddr 203.0.113.0/24 counter drop"):
        before = town.host.run("nft", "list", "table", "inet", "others")
        town.firewall.converge(DESIRED)
        town.firewall.remove()
        town.firewall.converge(DESIRED)
        assert town.host.run("nft", "list", "table", "inet", "others") == before


def test_others_keep_their_say(town: Town) -> None:
    with other_table(town, "filter hook forward priority 0", "tcp dport 80 drop"):
        town.blocked(town.outside, HOST4, 8080)
    published_to_outside_ipv4(town)


def test_converging_opens_nothing_for_a_moment(town: Town) -> None:
    """A neighbour keeps sending to a container's unpublished port while the table is replaced again and again."""
    before, stop = len(town.servers.seen), threading.Event()
    with town.outside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as one:

        def flood() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    one.sendto(b"?", ("172.21.0.2", 80))

        thread = threading.Thread(target=flood)
        thread.start()
        for _ in range(50):
            town.firewall.converge(DESIRED)
        stop.set()
        thread.join()
    assert town.servers.seen[before:] == []


def test_connections_live_through_converging(town: Town) -> None:
    with town["a1"].call(socket.create_server, ("172.17.0.2", 8000)) as server:
        published = Publication("a1", "tcp", "0.0.0.0", 8000, 8000, "172.17.0.2")
        town.firewall.publish([published])
        with town.outside.call(socket.create_connection, (HOST4, 8000), 5) as client:
            connection = server.accept()[0]
            town.firewall.converge(DESIRED)
            client.sendall(b"still here")
            connection.settimeout(5)
            assert connection.recv(100) == b"still here"
            connection.close()
    town.blocked(town.outside, HOST4, 8000)


def test_a_port_comes_and_goes(town: Town) -> None:
    one = Publication("b1", "tcp", "0.0.0.0", 8500, 80, "172.18.0.2/16")
    town.blocked(town.outside, HOST4, 8500)
    town.firewall.publish([one])
    town.firewall.publish([one])  # again: nothing happens
    town.reaches(town.outside, HOST4, 8500, "b1 192.0.2.1")
    gone = Publication("b1", "tcp", "0.0.0.0", 8501, 80, "172.18.0.2")
    assert town.firewall.unpublish([gone, one])  # the first was never there
    town.firewall.unpublish([one])
    town.blocked(town.outside, HOST4, 8500)


def test_whether_a_port_has_served_is_known(town: Town) -> None:
    """So that what the kernel tracks is walked through for those only that have."""
    ports = [Publication("b1", "tcp", HOST4 if i else "0.0.0.0", 8700 + i, 80, "172.18.0.2") for i in range(3)]
    town.firewall.publish(ports)
    town.reaches(town.outside, HOST4, 8701, "b1 192.0.2.1")
    assert [town.firewall.unpublish([one]) for one in ports] == [False, True, False]
    town.firewall.converge(replace(DESIRED, publications=(*DESIRED.publications, *ports[:1])))
    assert town.firewall.unpublish(ports[:1])  # it may have, before the table was replaced
    town.firewall.converge(DESIRED)


def test_a_network_comes_and_goes(town: Town) -> None:
    town.firewall.remove_network(BACK)
    town.firewall.remove_network(BACK)
    with pytest.raises(AssertionError):
        masquerades_ipv4(town)
    town.firewall.add_network(BACK)
    town.firewall.add_network(BACK)
    masquerades_ipv4(town)
    assert elements_of(town)["bridges"] == sorted(f'"{one.bridge}"' for one in DESIRED.networks)


def test_ports_are_added_within_a_millisecond(town: Town) -> None:
    """With a thousand others there. The median, and thrice the budget, for the machine's sake."""
    many = [Publication("a1", "tcp", "0.0.0.0", 20000 + i, 80, "172.17.0.2") for i in range(1000)]
    town.firewall.publish(many)
    took = []
    for i in range(50):
        one = Publication("a1", "udp", "0.0.0.0", 30000 + i, 80, "172.17.0.2")
        begun = time.perf_counter()
        town.firewall.publish([one])
        took.append(time.perf_counter() - begun)
    town.firewall.converge(DESIRED)
    assert sorted(took)[25] < 0.003


def test_datagrams_of_before_and_after_are_forgotten(town: Town) -> None:
    """Rules are asked for the first datagram of a flow only."""
    one = Publication("b1", "udp", "0.0.0.0", 8600, 80, "172.18.0.2")
    with (
        town.outside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as client,
        Socket(NETLINK_NETFILTER, town.host.fd) as netfilter,
    ):
        client.settimeout(5)
        client.connect((HOST4, 8600))
        town.servers.add(town.host, 8600, "0.0.0.0", "u")
        client.send(b"before")
        assert client.recv(100) == b"host 192.0.2.1"
        town.firewall.publish([one])
        assert conntrack.forget_untranslated(netfilter, 4, socket.IPPROTO_UDP, 8600, "198.51.100.2") == 0
        assert conntrack.forget_untranslated(netfilter, 4, socket.IPPROTO_UDP, 8600) == 1
        client.send(b"now")
        assert client.recv(100) == b"b1 192.0.2.1"
        town.firewall.unpublish([one])
        assert conntrack.forget_addresses(netfilter, ["172.18.0.2"]) >= 1
        assert conntrack.forget_addresses(netfilter, ["172.18.0.2"]) == 0
        client.send(b"after")
        assert client.recv(100) == b"host 192.0.2.1"


# --- helpers ---------------------------------------------------------------------------------------------------------


def without(chain: str, text: str) -> ruleset.Table:
    """The planned table less one rule."""
    table = ruleset.table(DESIRED)
    chains = [
        replace(one, rules=tuple(rule for rule in one.rules if (one.name, rule.text) != (chain, text)))
        for one in table.chains
    ]
    assert sum(len(one.rules) for one in chains) == sum(len(one.rules) for one in table.chains) - 1
    return replace(table, chains=tuple(chains))


@contextlib.contextmanager
def other_table(town: Town, base: str, rule: str) -> Iterator[None]:
    """Somebody else's table for the body."""
    town.host.run("nft", f"table inet others {{ chain c {{ type {base}; policy accept; {rule}; }}; }}")
    try:
        yield
    finally:
        town.host.run("nft", "delete table inet others")


def raw_sender(space: Space) -> socket.socket:
    """A socket that sends whole IPv4 packets."""
    return space.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def ip_header(source: str, target: str, protocol: int, size: int) -> bytes:
    """An IPv4 header; the kernel fills in the checksum."""
    addresses = socket.inet_aton(source), socket.inet_aton(target)
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + size, 0, 0, 64, protocol, 0, *addresses)


def udp_packet(source: str, target: str, port: int) -> bytes:
    return ip_header(source, target, 17, 9) + struct.pack(">HHHH", 5000, port, 9, 0) + b"?"


def tcp_reset(source: str, target: str) -> bytes:
    segment = struct.pack(">HHIIBBHHH", 5000, 80, 1, 1, 0x50, 0x04, 0, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">BBH", 0, 6, len(segment))
    total = sum(struct.unpack(f">{len(pseudo + segment) // 2}H", pseudo + segment))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return ip_header(source, target, 6, len(segment)) + segment[:16] + struct.pack(">H", checksum) + segment[18:]
