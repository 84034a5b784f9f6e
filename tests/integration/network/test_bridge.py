"""Bridges in a lab, with `ip` as the oracle."""

import os
from collections.abc import Iterator

import pytest

from sampan.linux.netlink import NetlinkError
from sampan.linux.rtnetlink import Rtnetlink
from sampan.network import bridge
from sampan.network.model import OPTION_BRIDGE_NAME, OPTION_ICC, OPTION_MTU, Network, Pool
from support.netlab import Netlab, netlab
from support.places import network

DUAL = network("a", "172.18.0.0/16", "172.28.0.0/24", "fd00:1::/64")
PLAIN = network("b", "172.19.0.0/16")
INNER = network("c", "172.20.0.0/16", "fd00:2::/64", internal=True)
IPV6_SETTINGS = ("disable_ipv6", "accept_ra", "accept_dad")


@pytest.fixture
def host(lab: Netlab) -> Iterator[Rtnetlink]:
    """The door to the lab's host; the test's thread is in it."""
    with lab.host.inside(), Rtnetlink() as door:
        yield door


def seen(lab: Netlab, name: str) -> dict:
    """What `ip` says of a link and its addresses, or {}."""
    return next((link for link in lab.host.ip("address") if link.get("ifname") == name), {})


def test_what_is_made(lab: Netlab, host: Rtnetlink) -> None:
    made = bridge.ensure(host, DUAL)
    link = seen(lab, "br-aaaaaaaaaaaa")
    assert (link["ifindex"], link["mtu"], link["address"]) == (made.index, 1500, "02:42:ac:12:00:01")
    assert link["linkinfo"]["info_kind"] == "bridge" and "UP" in link["flags"]
    addresses = [(one["local"], one["prefixlen"]) for one in link["addr_info"] if one["scope"] == "global"]
    assert addresses == [("172.18.0.1", 16), ("172.28.0.1", 24), ("fd00:1::1", 64)]
    assert made.changed[0] == "made br-aaaaaaaaaaaa"
    assert (made.name, made.mtu, made.forwarding) == ("br-aaaaaaaaaaaa", 1500, ("eth0",))
    assert bridge.ours(host).keys() == {DUAL.id}


def test_what_is_right_is_not_touched(lab: Netlab, host: Rtnetlink) -> None:
    for one in (DUAL, PLAIN, INNER):
        bridge.ensure(host, one)
        before = lab.host.run("ip", "-d", "a")
        again = bridge.ensure(host, one)
        assert (again.changed, again.forwarding, again.forwarding_ipv6) == ((), (), ())
        assert lab.host.run("ip", "-d", "a").split("gc_timer")[0] == before.split("gc_timer")[0]


def test_forwarding_only_where_it_is_needed(lab: Netlab, host: Rtnetlink) -> None:
    lab.host.batch("link add idle type veth peer name idle2", "link set idle up")
    bridge.ensure(host, PLAIN)
    forwarding = {
        name: lab.host.sysctl(f"ipv4/conf/{name}/forwarding") for name in ("all", "eth0", "idle", PLAIN.bridge)
    }
    assert forwarding == {"all": "0", "eth0": "1", "idle": "0", PLAIN.bridge: "1"}
    assert lab.host.sysctl("ipv6/conf/all/forwarding") == "0"


def test_an_internal_network_is_not_routed(lab: Netlab, host: Rtnetlink) -> None:
    lab.host.sysctl("ipv4/ip_forward", "1")  # by the owner of the machine
    made = bridge.ensure(host, INNER)
    assert (made.forwarding, made.forwarding_ipv6) == ((), ())
    for key in ("forwarding", "route_localnet"):
        assert lab.host.sysctl(f"ipv4/conf/{INNER.bridge}/{key}") == "0"
    assert lab.host.sysctl("ipv4/conf/all/forwarding") == "1"


def test_ipv6_is_off_without_and_deaf_to_routers_with(lab: Netlab, host: Rtnetlink) -> None:
    for one, expected in ((PLAIN, ["1", "1", "1"]), (DUAL, ["0", "0", "0"])):
        bridge.ensure(host, one)
        assert [lab.host.sysctl(f"ipv6/conf/{one.bridge}/{key}") for key in IPV6_SETTINGS] == expected
    assert not [one for one in seen(lab, PLAIN.bridge)["addr_info"] if one["family"] == "inet6"]


def test_ipv6_forwarding_leaves_the_hosts_own_router_alone(lab: Netlab, host: Rtnetlink) -> None:
    made = bridge.ensure(host, DUAL)
    if os.path.exists("/proc/sys/net/ipv6/conf/all/force_forwarding"):
        assert made.forwarding_ipv6 == ("eth0",) and lab.host.sysctl("ipv6/conf/eth0/accept_ra") == "1"
        assert lab.host.sysctl(f"ipv6/conf/{DUAL.bridge}/force_forwarding") == "1"
    else:
        assert made.forwarding_ipv6 == ("all",) and lab.host.sysctl("ipv6/conf/eth0/accept_ra") == "2"


def test_the_one_switch_of_older_kernels(lab: Netlab, host: Rtnetlink, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = bridge.sysctl.exists
    monkeypatch.setattr(bridge.sysctl, "exists", lambda key: "force_forwarding" not in key and exists(key))
    assert bridge.ensure(host, DUAL).forwarding_ipv6 == ("all",)
    assert lab.host.sysctl("ipv6/conf/eth0/accept_ra") == "2"
    assert bridge.ensure(host, DUAL).changed == ()


def test_without_inter_container_traffic_the_bridge_answers_for_linked_ones(lab: Netlab, host: Rtnetlink) -> None:
    quiet = network("d", "172.21.0.0/16", options={OPTION_ICC: "false"})
    bridge.ensure(host, quiet)
    assert lab.host.sysctl(f"ipv4/conf/{quiet.bridge}/proxy_arp_pvlan") == "1"


def test_the_mtu_follows_the_uplink() -> None:
    with netlab(mtu=1400) as lab, lab.host.inside(), Rtnetlink() as host:
        assert bridge.ensure(host, PLAIN).mtu == seen(lab, PLAIN.bridge)["mtu"] == 1400
        lab.host.batch("link set eth0 mtu 1300")
        assert bridge.ensure(host, PLAIN).changed == ("set link 3: MTU 1300",)
        assert seen(lab, PLAIN.bridge)["mtu"] == 1300
        given = network("e", "172.22.0.0/16", options={OPTION_MTU: "9000"})
        assert bridge.ensure(host, given).mtu == seen(lab, given.bridge)["mtu"] == 9000


def test_the_mtu_stays_when_the_last_port_goes(lab: Netlab, host: Rtnetlink) -> None:
    lab.host.batch("link set eth0 mtu 1400")
    bridge.ensure(host, PLAIN)
    lab.host.batch(f"link add port mtu 1400 master {PLAIN.bridge} type veth peer other", "link del port")
    assert seen(lab, PLAIN.bridge)["mtu"] == 1400


UPLINKS = [
    ([], 1500),
    (["route change default via 192.0.2.1 mtu 1350"], 1350),
    (["link add tun type veth peer tun2", "link set tun mtu 1420 up", "address add 10.1.0.2/24 dev tun",
      "route add 0.0.0.0/1 via 10.1.0.1", "route add 128.0.0.0/1 via 10.1.0.1"], 1420),  # as OpenVPN does
    (["link add six type veth peer six2", "link set six mtu 1281 up", "address add fd77::2/64 dev six nodad",
      "route add ::/1 via fd77::1", "route add 2000::/4 via fd77::1"], 1281),
    (["route del default", "route del ::/0", "link set eth0 mtu 1300"], 1500),
    (["link set eth0 mtu 9000"], 9000),
]  # fmt: skip


@pytest.mark.parametrize(("commands", "mtu"), UPLINKS)
def test_the_uplinks_mtu(lab: Netlab, host: Rtnetlink, commands: list[str], mtu: int) -> None:
    lab.host.batch(*commands)
    assert bridge.uplink_mtu(host) == mtu


def test_what_others_changed_is_put_right(lab: Netlab, host: Rtnetlink) -> None:
    bridge.ensure(host, DUAL)
    name = DUAL.bridge
    lab.host.batch(
        f"address del 172.18.0.1/16 dev {name}",
        f"address add 10.66.0.1/24 dev {name}",
        f"link set {name} mtu 1300 down",
    )
    lab.host.sysctl("ipv4/ip_forward", "1")
    lab.host.sysctl("ipv4/ip_forward", "0")  # forwarding of every link is off now
    changed = bridge.ensure(host, DUAL)
    assert changed.forwarding == ("eth0",)
    found = {one["local"] for one in seen(lab, name)["addr_info"] if one["scope"] == "global"}
    assert found == {"172.18.0.1", "172.28.0.1", "fd00:1::1"}
    assert seen(lab, name)["mtu"] == 1500 and "UP" in seen(lab, name)["flags"]
    assert bridge.ensure(host, DUAL).changed == ()


def test_a_bridge_of_the_users_is_used_and_kept(lab: Netlab, host: Rtnetlink) -> None:
    own = network("e", "172.22.0.0/16", options={OPTION_BRIDGE_NAME: "mine"})
    lab.host.batch("link add mine mtu 1300 type bridge", "address add 10.66.0.1/24 dev mine")
    mac = seen(lab, "mine")["address"]
    assert bridge.ensure(host, own).mtu == 1300
    link = seen(lab, "mine")
    found = [one["local"] for one in link["addr_info"] if one["family"] == "inet"]
    assert (found, link["mtu"], link["address"]) == (["10.66.0.1", "172.22.0.1"], 1300, mac)
    assert bridge.remove(host, own) is False and seen(lab, "mine")


def test_a_bridge_that_a_kill_left_unmarked_is_ours(lab: Netlab, host: Rtnetlink) -> None:
    lab.host.batch(f"link add {PLAIN.bridge} type bridge")
    bridge.ensure(host, PLAIN)
    assert bridge.ours(host).keys() == {PLAIN.id} and bridge.ensure(host, PLAIN).changed == ()
    assert bridge.remove(host, PLAIN) is True


def test_removing(lab: Netlab, host: Rtnetlink) -> None:
    bridge.ensure(host, PLAIN)
    impostor = Network("f" * 64, "x", options={OPTION_BRIDGE_NAME: PLAIN.bridge})
    assert bridge.remove(host, impostor) is False
    assert (bridge.remove(host, PLAIN), bridge.remove(host, PLAIN)) == (True, False)
    assert seen(lab, PLAIN.bridge) == {}


def test_names(lab: Netlab, host: Rtnetlink) -> None:
    default = network("0", "172.17.0.0/16", name="bridge")
    assert bridge.ensure(host, default).name == "sampan0"
    with pytest.raises(bridge.NotABridge, match=r"^existing interface eth0 is not a bridge$"):
        bridge.ensure(host, network("1", "10.5.0.0/24", options={OPTION_BRIDGE_NAME: "eth0"}))


def test_a_network_without_gateways(lab: Netlab, host: Rtnetlink) -> None:
    bare = Network("9" * 64, "bare", ipv4=(Pool("10.5.0.0/24"),))
    bridge.ensure(host, bare)
    assert seen(lab, bare.bridge)["addr_info"] == [] and seen(lab, bare.bridge)["address"] == "02:42:99:99:99:99"


def test_a_refusal_names_the_network(lab: Netlab, host: Rtnetlink) -> None:
    bad = Network("9" * 64, "bad", ipv4=(Pool("10.5.0.0/24", "10.5.0.1"),), options={OPTION_MTU: "70000"})
    with pytest.raises(
        NetlinkError, match=r"network bad: add bridge br-999999999999: .*mtu greater than device maximum"
    ):
        bridge.ensure(host, bad)
    assert seen(lab, bad.bridge) == {}
