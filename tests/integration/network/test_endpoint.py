"""Sandboxes plugged into networks, in a lab, with `ip` as the oracle and packets as the proof."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sampan.linux.netlink import NetlinkError
from sampan.linux.rtnetlink import Rtnetlink, new_macvlan, new_veth
from sampan.network import bridge, endpoint, parent
from sampan.network.endpoint import choose_default
from sampan.network.model import OPTION_ICC, OPTION_MTU, Network
from support.netlab import Netlab, Space, netlab
from support.places import endpoint as place
from support.places import network

PLAIN = network("a", "172.18.0.0/16")
DUAL = network("b", "172.19.0.0/16", "fd00:1::/64")
INNER = network("c", "172.20.0.0/16", "fd00:2::/64", internal=True)
SIX = network("d", "fd00:3::/64")


@pytest.fixture
def host(lab: Netlab) -> Iterator[Rtnetlink]:
    """The door to the lab's host; the test's thread is in it."""
    with lab.host.inside(), Rtnetlink() as door:
        yield door


def interface(space: Space, name: str) -> dict:
    """What `ip` says of an interface with its global addresses, or {}."""
    for link in space.ip("address"):
        if link.get("ifname") == name:
            addresses = [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"]
            return {**link, "addresses": addresses}
    return {}


def defaults(space: Space) -> list[tuple[str, str]]:
    """The default routes, (gateway, interface), of both families."""
    found = space.ip("route", "show", "default") + space.ip("-6", "route", "show", "default")
    return [(route.get("gateway", ""), route["dev"]) for route in found]


# --- plugging into bridges -------------------------------------------------------------------------------------------


def test_an_interface_as_docker_makes_it(lab: Netlab, host: Rtnetlink) -> None:
    box, wanted = lab.space("box"), place(DUAL, 2)
    made = endpoint.plug(host, box.fd, DUAL, wanted, default_ipv4=True, default_ipv6=True)
    assert made == replace(wanted, interface="eth0", mac="02:42:ac:13:00:02")
    seen = interface(box, "eth0")
    assert seen["addresses"] == ["172.19.0.2/16", "fd00:1::2/64"] and seen["address"] == made.mac
    assert "UP" in seen["flags"] and all(
        "tentative" not in one for one in seen["addr_info"] if one["scope"] == "global"
    )
    assert defaults(box) == [("172.19.0.1", "eth0"), ("fd00:1::1", "eth0")]
    end = interface(lab.host, wanted.host_link)
    assert (end["master"], end["addresses"], end["mtu"]) == (DUAL.bridge, [], 1500) and end["addr_info"] == []
    assert endpoint.plugged(host)[wanted.id].name == wanted.host_link


def test_ipv6_is_off_where_there_is_none(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    assert box.sysctl("ipv6/conf/eth0/disable_ipv6") == "1" and box.sysctl("ipv6/conf/default/disable_ipv6") == "0"
    assert [one["family"] for one in interface(box, "eth0")["addr_info"]] == ["inet"]
    assert defaults(box) == [("172.18.0.1", "eth0")]


def test_ipv6_alone(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = endpoint.plug(host, box.fd, SIX, place(SIX, 2), default_ipv6=True)
    assert made.mac.startswith("02:42:") and interface(box, "eth0")["address"] == made.mac
    assert defaults(box) == [("fd00:3::1", "eth0")] and box.reaches("fd00:3::1")
    assert box.sysctl("ipv6/conf/eth0/accept_ra") == "0"


def test_a_given_mac_address_is_told_to_neighbours(lab: Netlab, host: Rtnetlink) -> None:
    first, second, watcher = lab.space("first"), lab.space("second"), lab.space("watcher")
    endpoint.plug(host, watcher.fd, PLAIN, place(PLAIN, 9))
    one = endpoint.plug(host, first.fd, PLAIN, place(PLAIN, 2, mac="02:00:00:00:00:01", mac_given=True))
    assert watcher.reaches("172.18.0.2")
    endpoint.unplug(host, [one])
    other = replace(place(PLAIN, 2, mac="02:00:00:00:00:02"), id="e" * 64)
    endpoint.plug(host, second.fd, PLAIN, other)
    assert interface(second, "eth0")["address"] == "02:00:00:00:00:02"
    neighbours = {one["dst"]: one.get("lladdr") for one in watcher.ip("neighbour")}
    assert neighbours["172.18.0.2"] == "02:00:00:00:00:02"


def test_interfaces_are_numbered(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    box.batch("link add eth1 type veth peer name other")  # the container's own
    names = [endpoint.plug(host, box.fd, one, place(one, 2)).interface for one in (PLAIN, DUAL, INNER)]
    assert names == ["eth0", "eth2", "eth3"]
    endpoint.unplug(host, [place(DUAL, 2)])
    assert endpoint.plug(host, box.fd, SIX, place(SIX, 2)).interface == "eth2"
    assert endpoint.plug(host, box.fd, DUAL, place(DUAL, 2, interface="wan7")).interface == "wan7"
    assert defaults(box) == []


def test_the_mtu_follows_the_uplink_or_the_option() -> None:
    with netlab(mtu=1400) as lab, lab.host.inside(), Rtnetlink() as host:
        box, jumbo = lab.space("box"), network("e", "172.22.0.0/16", options={OPTION_MTU: "9000"})
        endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
        endpoint.plug(host, box.fd, jumbo, place(jumbo, 2))
        assert [interface(box, name)["mtu"] for name in ("eth0", "eth1")] == [1400, 9000]
        lab.outside.batch("route add 172.18.0.0/16 via 192.0.2.2")
        assert box.status("busybox", "ping", "-c1", "-W3", "-s", str(1400 - 28), lab.OUTSIDE4) == 0


def test_packets_between_two_sandboxes_and_the_outside(lab: Netlab, host: Rtnetlink) -> None:
    one, two = lab.space("one"), lab.space("two")
    for number, space in ((2, one), (3, two)):
        endpoint.plug(host, space.fd, DUAL, place(DUAL, number), default_ipv4=True, default_ipv6=True)
    bridge.ensure(host, DUAL)
    lab.outside.batch("route add 172.19.0.0/16 via 192.0.2.2", "route add fd00:1::/64 via 2001:db8:1::2")
    for address in ("172.19.0.3", "fd00:1::3", "172.19.0.1", "fd00:1::1", lab.OUTSIDE4, lab.OUTSIDE6, lab.HOST4):
        assert one.reaches(address), address
    assert lab.outside.reaches("172.19.0.2") and lab.outside.reaches("fd00:1::2")
    assert talk(two, one, "172.19.0.3") == talk(two, one, "fd00:1::3") == b"hello"


def talk(server: Space, client: Space, address: str) -> bytes:
    """What arrives at the client of what the server says, over TCP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.call(socket.socket, family) as ear, client.call(socket.socket, family) as mouth:
        ear.bind((address, 0))
        ear.listen()
        mouth.settimeout(5)
        mouth.connect((address, ear.getsockname()[1]))
        with ear.accept()[0] as line:
            line.sendall(b"hello")
        return mouth.recv(99)


def test_without_inter_container_traffic_ports_are_isolated(lab: Netlab, host: Rtnetlink) -> None:
    quiet = network("e", "172.22.0.0/16", options={OPTION_ICC: "false"})
    one, two = lab.space("one"), lab.space("two")
    endpoint.plug(host, one.fd, quiet, place(quiet, 2))
    endpoint.plug(host, two.fd, quiet, place(quiet, 3))
    [link] = lab.host.ip("link", "show", place(quiet, 2).host_link)
    assert link["linkinfo"]["info_slave_data"]["isolated"] is True
    assert one.reaches("172.22.0.1")


# --- default routes --------------------------------------------------------------------------------------------------


def test_the_default_route_moves_when_networks_come_and_go(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    first = endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    second = endpoint.plug(host, box.fd, DUAL, place(DUAL, 2), default_ipv4=True, default_ipv6=True)
    assert defaults(box) == [("172.19.0.1", "eth1"), ("fd00:1::1", "eth1")]
    endpoint.unplug(host, [second])
    assert defaults(box) == []
    assert endpoint.set_default(box.fd, (PLAIN, first), None) == ("set route 0.0.0.0/0 via 172.18.0.1",)
    assert endpoint.set_default(box.fd, (PLAIN, first), None) == ()
    assert defaults(box) == [("172.18.0.1", "eth0")]
    again = endpoint.plug(host, box.fd, DUAL, second)
    assert len(endpoint.set_default(box.fd, (DUAL, again), (DUAL, again))) == 2
    assert defaults(box) == [("172.19.0.1", "eth1"), ("fd00:1::1", "eth1")]
    assert len(endpoint.set_default(box.fd, None, None)) == 2 and defaults(box) == []


def test_an_internal_network_gives_none(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = endpoint.plug(host, box.fd, INNER, place(INNER, 2), default_ipv4=True, default_ipv6=True)
    assert defaults(box) == [] and box.reaches("172.20.0.1")
    assert endpoint.set_default(box.fd, (INNER, made), (INNER, made)) == ()


def test_a_route_of_the_containers_own_is_no_default_of_ours(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    box.batch("route add 10.0.0.0/8 via 172.18.0.9", "route add default via 172.18.0.8 metric 7 proto static")
    assert endpoint.set_default(box.fd, (PLAIN, made), None) == ()
    endpoint.set_default(box.fd, None, None)
    assert [(one["dst"], one["gateway"]) for one in box.ip("route") if "gateway" in one] == [
        ("default", "172.18.0.8"),
        ("10.0.0.0/8", "172.18.0.9"),
    ]


ZEBRA, ADA = replace(PLAIN, name="zebra"), replace(network("e", "172.22.0.0/16"), name="ada")
CHOICES = [
    ([], (None, None)),
    ([(ZEBRA, {}), (ADA, {})], ("ada", None)),
    ([(ZEBRA, {"priority": 5}), (ADA, {})], ("zebra", None)),
    ([(ZEBRA, {}), (ADA, {}), (DUAL, {})], ("net-b", "net-b")),  # as dockerd 26.1: IPv6 goes before the name
    ([(INNER, {"priority": 9}), (ZEBRA, {})], ("zebra", None)),
    ([(SIX, {}), (ZEBRA, {})], ("zebra", "net-d")),
]


@pytest.mark.parametrize(("members", "names"), CHOICES)
def test_who_has_the_default_routes(members: list[tuple[Network, dict]], names: tuple[str | None, str | None]) -> None:
    chosen = choose_default([(one, place(one, 2, **more)) for one, more in members])
    assert tuple(found and found[0].name for found in chosen) == names


# --- going away, and being repaired ----------------------------------------------------------------------------------


def test_many_are_unplugged_at_the_price_of_one(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = [endpoint.plug(host, box.fd, PLAIN, place(PLAIN, number)) for number in range(2, 22)]
    assert endpoint.plugged(host).keys() == {one.id for one in made}
    endpoint.unplug(host, made[1:])
    assert endpoint.plugged(host).keys() == {made[0].id} and [one["ifname"] for one in box.ip("link")] == ["lo", "eth0"]
    endpoint.unplug(host, made)
    assert endpoint.plugged(host) == {}
    endpoint.unplug(host, made)


def test_the_end_of_a_namespace_takes_its_interfaces(lab: Netlab, host: Rtnetlink) -> None:
    gone = Space("gone")
    endpoint.plug(host, gone.fd, PLAIN, place(PLAIN, 2))
    gone.close()
    limit = time.monotonic() + 10
    while endpoint.plugged(host):  # the kernel does it some time later, and tells nobody who isn't listening
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize("half", ["made", "unmarked"])
def test_what_a_kill_left_is_finished_or_replaced(lab: Netlab, host: Rtnetlink, half: str) -> None:
    box, one = lab.space("box"), place(PLAIN, 2, interface="eth0", mac="02:42:ac:12:00:02")
    base = bridge.ensure(host, PLAIN)
    host.apply([new_veth(one.host_link, "eth0", netns=box.fd, master=base.index, mtu=1500, mac=one.mac)])
    if half == "made":
        lab.host.batch(f"link set {one.host_link} up alias '{endpoint._ALIAS}{one.id}'")
    done = endpoint.restore(host, box.fd, PLAIN, one, default_ipv4=True)
    assert done[0] == "finish eth0 on net-a"
    assert interface(box, "eth0")["addresses"] == ["172.18.0.2/16"] and defaults(box) == [("172.18.0.1", "eth0")]
    assert box.reaches("172.18.0.1") and endpoint.plugged(host).keys() == {one.id}
    assert endpoint.restore(host, box.fd, PLAIN, one, default_ipv4=True) == ()


def test_what_is_left_of_another_namespace_is_replaced(lab: Netlab, host: Rtnetlink) -> None:
    old, new = lab.space("old"), lab.space("new")
    endpoint.plug(host, old.fd, PLAIN, place(PLAIN, 2))
    made = endpoint.plug(host, new.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    assert interface(old, "eth0") == {} and new.reaches("172.18.0.1") and made.interface == "eth0"


def test_a_link_of_another_endpoint_is_never_taken(lab: Netlab, host: Rtnetlink) -> None:
    box, one = lab.space("box"), place(PLAIN, 2)
    twin = replace(place(PLAIN, 3), id=one.id[:7] + "f" * 57)  # the same host_link
    endpoint.plug(host, lab.space("other").fd, PLAIN, one)
    with pytest.raises(NetlinkError, match=f"network net-a: add veth {one.host_link} with eth0: File exists"):
        endpoint.plug(host, box.fd, PLAIN, twin)
    assert endpoint.plugged(host).keys() == {one.id} and interface(box, "eth0") == {}


def test_a_bridge_that_went_is_made_again_with_its_ports(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    lab.host.batch(f"link delete {PLAIN.bridge}")
    assert endpoint.restore(host, box.fd, PLAIN, made) == (f"attach {made.host_link} to {PLAIN.bridge} again",)
    assert box.reaches("172.18.0.1")


def test_what_a_container_changed_of_its_own_is_left(lab: Netlab, host: Rtnetlink) -> None:
    box = lab.space("box")
    made = endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2), default_ipv4=True)
    box.batch("address add 10.3.0.1/24 dev eth0", "route del default", "link set eth0 mtu 1300")
    assert endpoint.restore(host, box.fd, PLAIN, made, default_ipv4=True) == ()
    assert defaults(box) == [] and "10.3.0.1/24" in interface(box, "eth0")["addresses"]


def test_connections_live_through_a_restore(lab: Netlab, host: Rtnetlink) -> None:
    one, two = lab.space("one"), lab.space("two")
    made = [endpoint.plug(host, space.fd, PLAIN, place(PLAIN, 2 + n)) for n, space in enumerate((one, two))]
    with one.call(socket.socket) as ear, two.call(socket.socket) as mouth:
        ear.bind(("172.18.0.2", 0))
        ear.listen()
        mouth.connect(ear.getsockname())
        with ear.accept()[0] as line:
            bridge.ensure(host, PLAIN)
            for space, which in zip((one, two), made, strict=True):
                assert endpoint.restore(host, space.fd, PLAIN, which) == ()
            line.sendall(b"still here")
            mouth.settimeout(5)
            assert mouth.recv(99) == b"still here"


@pytest.mark.parametrize("bad", [{"ipv4": "172.18.0.2/99"}, {"ipv6": "fd00::1/64", "mac": "ff:ff:ff:ff:ff:ff"}])
def test_nothing_half_made_is_left(lab: Netlab, host: Rtnetlink, bad: dict[str, str]) -> None:
    box = lab.space("box")
    with pytest.raises((NetlinkError, OSError)):
        endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2, **bad))
    assert endpoint.plugged(host) == {} and [one["ifname"] for one in box.ip("link")] == ["lo"]
    assert os.readlink("/proc/thread-self/ns/net") == os.readlink(lab.host.path)


CAMPAIGN = """
import json, os, sys
from sampan.linux.rtnetlink import Rtnetlink
from sampan.network import endpoint
from support.places import endpoint as place, network
netns, one = int(sys.argv[1]), network("a", "172.18.0.0/16")
with Rtnetlink() as host:
    print("go", flush=True)
    for number in range(2, 200):
        endpoint.plug(host, netns, one, place(one, number, interface=f"eth{number}"), default_ipv4=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_and_repaired(lab: Netlab, host: Rtnetlink) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for turn in range(6):
        box = lab.space(f"box{turn}")
        with subprocess.Popen(
            [sys.executable, "-c", CAMPAIGN, str(box.fd)], pass_fds=[box.fd], stdout=subprocess.PIPE, env=environment
        ) as victim:
            victim.stdout.readline()
            time.sleep(0.003 + turn * 0.0071)  # the moment is what is being tried
            victim.send_signal(signal.SIGKILL)
        numbers = range(2, 2 + len(endpoint.observe(box.fd).links))
        made = [place(PLAIN, number, interface=f"eth{number}") for number in numbers]
        for one in made:
            endpoint.restore(host, box.fd, PLAIN, one, default_ipv4=True)
            assert endpoint.restore(host, box.fd, PLAIN, one, default_ipv4=True) == ()
            assert interface(box, one.interface)["addresses"] == [one.ipv4]
        endpoint.unplug(host, made)
        assert endpoint.plugged(host) == {}


@pytest.mark.slow
def test_a_bridge_takes_1023_ports(lab: Netlab, host: Rtnetlink) -> None:
    base, box = bridge.ensure(host, PLAIN), lab.space("box")
    host.apply([new_veth(f"p{n}", f"q{n}", master=base.index) for n in range(bridge.PORTS)])
    with pytest.raises(bridge.BridgeFull, match="bridge br-aaaaaaaaaaaa is full: the kernel lets 1023 containers"):
        endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2))
    assert interface(box, "eth0") == {} and endpoint.plugged(host) == {}
    host.delete_links([f"p{n}" for n in range(bridge.PORTS)])
    endpoint.plug(host, box.fd, PLAIN, place(PLAIN, 2))


# --- macvlan and ipvlan ----------------------------------------------------------------------------------------------


def vlan(driver: str, letter: str = "f", **options: str) -> Network:
    """A network on the lab's uplink."""
    return network(letter, "192.0.2.0/24", "2001:db8:1::/64", driver=driver, options={"parent": "eth0", **options})


def need(space: Space, kind: str) -> None:
    """Skip where the kernel has no links of this kind."""
    more = {"vlan": "link eth0 type vlan id 9", "dummy": "type dummy"}.get(kind, f"link eth0 type {kind}")
    if space.status("ip", "link", "add", "probe", *more.split()):
        pytest.skip(f"this kernel has no {kind}")
    space.batch("link delete probe")


@pytest.mark.parametrize("mode", ["", "bridge", "private", "vepa", "passthru"])
def test_macvlan(lab: Netlab, host: Rtnetlink, mode: str) -> None:
    need(lab.host, "macvlan")
    one, box = vlan("macvlan", **({"macvlan_mode": mode} if mode else {})), lab.space("box")
    made = endpoint.plug(host, box.fd, one, place(one, 0x77), default_ipv4=True, default_ipv6=True)
    seen = interface(box, "eth0")
    assert seen["linkinfo"]["info_data"]["mode"] == (mode or "bridge") and seen["address"] == made.mac
    assert seen["addresses"] == ["192.0.2.119/24", "2001:db8:1::77/64"]
    assert defaults(box) == [("192.0.2.1", "eth0"), ("2001:db8:1::1", "eth0")]
    assert box.reaches(lab.OUTSIDE4) and lab.outside.reaches("2001:db8:1::77")
    assert endpoint.restore(host, box.fd, one, made) == ()
    assert endpoint.unplug_inside(box.fd, "eth0") is True and endpoint.unplug_inside(box.fd, "eth0") is False
    assert parent.remove(host, one) is False and interface(lab.host, "eth0")
    eth0 = lab.host.ip("link", "show", "eth0")[0]["ifindex"]
    host.apply([new_macvlan(f"mv{made.id[:12]}", eth0, mode or "bridge", netns=box.fd)])  # a kill came before its name
    assert endpoint.restore(host, box.fd, one, made) == ("plug into net-f",)
    assert [link["ifname"] for link in box.ip("link")] == ["lo", "eth0"]


@pytest.mark.parametrize(("mode", "way"), [("", "192.0.2.1"), ("l2", "192.0.2.1"), ("l3", ""), ("l3s", "")])
def test_ipvlan(lab: Netlab, host: Rtnetlink, mode: str, way: str) -> None:
    need(lab.host, "ipvlan")
    one, box = vlan("ipvlan", **({"ipvlan_mode": mode} if mode else {})), lab.space("box")
    made = endpoint.plug(host, box.fd, one, place(one, 0x77), default_ipv4=True, default_ipv6=True)
    seen = interface(box, "eth0")
    assert seen["linkinfo"]["info_data"]["mode"] == (mode or "l2")
    assert seen["address"] == made.mac == interface(lab.host, "eth0")["address"]
    assert defaults(box) == [(way, "eth0"), ("2001:db8:1::1" if way else "", "eth0")]
    lab.outside.batch("neighbour replace 192.0.2.119 lladdr " + made.mac + " dev eth0")
    assert box.reaches(lab.OUTSIDE4)


def test_a_vlan_of_a_link_is_made_and_removed(lab: Netlab, host: Rtnetlink) -> None:
    need(lab.host, "vlan")
    one, box = vlan("macvlan", parent="eth0.10"), lab.space("box")
    endpoint.plug(host, box.fd, one, place(one, 0x77), default_ipv4=True)
    [link] = lab.host.ip("link", "show", "eth0.10")
    assert link["linkinfo"]["info_data"]["id"] == 10 and "UP" in link["flags"]
    lab.outside.batch("link add link eth0 name eth0.10 type vlan id 10", "link set eth0.10 up")
    lab.outside.batch("address add 192.0.2.200/32 dev eth0.10", "route add 192.0.2.119 dev eth0.10 src 192.0.2.200")
    assert lab.outside.reaches("192.0.2.119") or box.reaches("192.0.2.200")
    assert (parent.remove(host, one), parent.remove(host, one)) == (True, False)
    assert interface(lab.host, "eth0.10") == {}


@pytest.mark.parametrize("internal", [False, True])
def test_without_a_parent_there_is_a_dummy(lab: Netlab, host: Rtnetlink, internal: bool) -> None:
    need(lab.host, "dummy")
    one = network(
        "f", "10.9.0.0/24", driver="macvlan", internal=internal, options={"parent": "eth0"} if internal else {}
    )
    spaces = [lab.space("one"), lab.space("two")]
    for number, space in enumerate(spaces, 2):
        endpoint.plug(host, space.fd, one, place(one, number), default_ipv4=True)
    assert spaces[0].reaches("10.9.0.3") and interface(lab.host, "dm-ffffffffffff")
    assert defaults(spaces[0]) == ([] if internal else [("10.9.0.1", "eth0")])
    assert parent.remove(host, one) is True


BAD_PARENTS = [
    ({"parent": "nope"}, "invalid subinterface vlan name nope, example formatting is eth0.10"),
    ({"parent": "nope.10"}, "-o parent interface was not found on the host: nope"),
    ({"parent": "eth0.5000"}, "vlan id must be between 1-4094, received: 5000"),
    ({"parent": "eth0.x"}, "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
    ({"parent": "lo"}, "loopback interface is not a valid macvlan parent link"),
    (
        {"macvlan_mode": "weird"},
        "requested macvlan mode 'weird' is not valid, 'bridge' mode is the macvlan driver default",
    ),
]


@pytest.mark.parametrize(("options", "words"), BAD_PARENTS)
def test_parents_that_docker_refuses(lab: Netlab, host: Rtnetlink, options: dict[str, str], words: str) -> None:
    with pytest.raises(parent.NetworkError) as caught:
        parent.ensure(host, vlan("macvlan", **options))
    assert str(caught.value) == words and len(lab.host.ip("link")) == 2


# --- time ------------------------------------------------------------------------------------------------------------


def test_plugging_takes_few_exchanges(lab: Netlab, host: Rtnetlink, monkeypatch: pytest.MonkeyPatch) -> None:
    from sampan.linux import netlink

    sent = []
    send = netlink.Socket._send
    monkeypatch.setattr(
        netlink.Socket, "_send", lambda self, data, what: (sent.append(what), send(self, data, what))[1]
    )
    bridge.ensure(host, DUAL)
    box = lab.space("box")
    sent.clear()
    endpoint.plug(host, box.fd, DUAL, place(DUAL, 2, interface="eth0"), default_ipv4=True)
    assert len(sent) == 5, sent
