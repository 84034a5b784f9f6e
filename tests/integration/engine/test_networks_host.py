"""Networks on a host that is somebody's: its forwarding, rules, ports and MTU. Each test has a host of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator

import pytest

from support.cache import find_program
from support.images import BUSYBOX
from support.netlab import Netlab, netlab
from support.reach import Place, Try, attack

HOST4, HOST6, OUT4, OUT6 = Netlab.HOST4, Netlab.HOST6, Netlab.OUTSIDE4, Netlab.OUTSIDE6
FAR4 = "198.51.100.1"
SINGLE_SWITCHES = os.path.exists("/proc/sys/net/ipv6/conf/all/force_forwarding")


@pytest.fixture
def place(lab: Netlab) -> Iterator[Place]:
    with Place(lab) as one:
        yield one


@pytest.fixture
def lab() -> Iterator[Netlab]:
    with netlab() as one:
        yield one


def add_far(place: Place) -> None:
    """Another neighbour, beyond the host: outside reaches it only if the host is a router for others."""
    lab = place.lab
    far = place.boxes["far"] = lab.space("far")
    lab.host.batch(
        f"link add eth1 type veth peer name eth0 netns {far.path}",
        "address add 198.51.100.2/24 dev eth1",
        "link set eth1 up",
    )
    far.batch(f"address add {FAR4}/24 dev eth0", "link set eth0 up", "route add default via 198.51.100.2")
    lab.outside.batch(f"route add 198.51.100.0/24 via {HOST4}")
    place.servers.add(far, 80)


def others(place: Place) -> str:
    """All rules but Sampan's, without what counts."""
    listed = json.loads(place.host.run("nft", "-j", "list", "ruleset"))["nftables"]
    kept = [one for one in listed if all(item.get("table", item.get("name")) != "sampan" for item in one.values())]
    return re.sub(r'"(packets|bytes)": \d+', "", json.dumps(kept))


def opened(place: Place) -> set[str]:
    """The interfaces on which the host is kept from being a router."""
    listed = json.loads(place.host.run("nft", "-j", "list", "set", "inet", "sampan", "opened"))["nftables"]
    return set(next(one["set"] for one in listed if "set" in one).get("elem", ()))


# --- forwarding ------------------------------------------------------------------------------------------------------


def test_forwarding_is_switched_on_where_it_is_needed_and_for_nobody_else(place: Place) -> None:
    add_far(place)
    place.run("web", "-p", "8080:80")
    assert place.host.sysctl("ipv4/ip_forward") == "0"
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.reaches(Try("web", FAR4, 80), "far 198.51.100.2")
    place.blocked(Try("outside", FAR4, 80))
    assert place.host.sysctl("ipv4/conf/eth0/forwarding") == "1"


def test_a_router_stays_one(place: Place) -> None:
    add_far(place)
    place.host.sysctl("ipv4/ip_forward", "1")
    place.run("web", "-p", "8080:80")
    assert opened(place) == set()
    place.reaches(Try("outside", FAR4, 80), f"far {OUT4}")
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")


def test_a_host_that_becomes_a_router_is_not_hampered(place: Place) -> None:
    add_far(place)
    place.run("web", "-p", "8080:80")
    assert opened(place) == {"eth0", "eth1"}
    place.host.sysctl("ipv4/ip_forward", "1")
    place.wait_for(lambda: opened(place) == set(), "the guard goes")
    place.reaches(Try("outside", FAR4, 80), f"far {OUT4}")
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")


def test_forwarding_that_is_switched_off_comes_back_for_containers_only(place: Place) -> None:
    add_far(place)
    place.host.sysctl("ipv4/ip_forward", "1")
    place.run("web", "-p", "8080:80")
    place.host.sysctl("ipv4/ip_forward", "0")
    place.wait_for(lambda: place.host.sysctl("ipv4/conf/eth0/forwarding") == "1", "containers get their way back")
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.reaches(Try("web", FAR4, 80), "far 198.51.100.2")
    assert opened(place) == {"eth0", "eth1"}
    place.blocked(Try("outside", FAR4, 80))


def test_the_guard_outlives_sampand(place: Place) -> None:
    add_far(place)
    place.run("web", "-p", "8080:80")
    place.sampand.kill()
    place.blocked(Try("outside", FAR4, 80))
    place.sampand.start()
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.blocked(Try("outside", FAR4, 80))
    assert opened(place) == {"eth0", "eth1"}
    place.sampand.kill()
    place.host.sysctl("ipv4/ip_forward", "1")  # by somebody, meanwhile
    place.sampand.start()
    place.wait_for(lambda: opened(place) == set(), "the guard goes")
    place.reaches(Try("outside", FAR4, 80), f"far {OUT4}")


def test_a_link_that_comes_later_leads_back_too(place: Place) -> None:
    place.run("web")
    add_far(place)
    place.wait_for(lambda: place.host.sysctl("ipv4/conf/eth1/forwarding") == "1", "the new link is found")
    place.reaches(Try("web", FAR4, 80), "far 198.51.100.2")
    place.blocked(Try("outside", FAR4, 80))


@pytest.mark.skipif(not SINGLE_SWITCHES, reason="IPv6 forwarding of single links: from Linux 6.17 on")
def test_forwarding_of_ipv6(place: Place) -> None:
    place.network("six", "--ipv6", "--subnet", "fd60::/64")
    place.run("web", "--network", "six", "-p", "8080:80")
    assert place.host.sysctl("ipv6/conf/all/forwarding") == "0"
    place.reaches(Try("outside", HOST6, 8080), f"web {OUT6}")
    assert "ipv6" in place.host.run("nft", "list", "set", "inet", "sampan", "routers")
    place.host.sysctl("ipv6/conf/all/forwarding", "1")
    place.wait_for(
        lambda: "ipv6" not in place.host.run("nft", "list", "set", "inet", "sampan", "routers"), "the guard goes"
    )


# --- the rules of others ---------------------------------------------------------------------------------------------

PLAIN = """table inet filter {
 chain input { type filter hook input priority 0; policy accept; tcp dport 22 accept comment "mine"
 }
 chain forward { type filter hook forward priority 0; policy drop;
 }
}
"""


def test_a_rule_that_drops_what_is_published_is_named(place: Place) -> None:
    place.host.run("nft", "-f", "-", stdin=PLAIN)
    before = others(place)
    answer = place.engine.docker("run", "-d", "--name", "web", "-p", "8080:80", BUSYBOX, "sleep", "1000")
    said = "port 0.0.0.0:8080/tcp is published, but nobody outside reaches it: table inet filter, chain forward, policy"
    assert answer.code == 0 and f"WARNING: {said}" in answer.err
    place.serve("web", 80)
    place.blocked(Try("outside", HOST4, 8080))
    assert said in place.sampand.log.read_text()
    warnings = place.get("/containers/web/json")["State"]["Warnings"]
    assert len(warnings) == 1 and warnings[0].startswith(said)
    rows = {row["Who"]: row for row in place.verdicts("web") if row["Published"] == "0.0.0.0:8080"}
    assert rows["other machines"]["Verdict"] == "no" and "chain forward, policy" in rows["other machines"]["Rule"]
    assert rows["this machine by 127.0.0.1"]["Verdict"] == "yes"
    place.reaches(Try("host", "127.0.0.1", 8080), "web 172.17.0.1")
    remedy = warnings[0].partition("; to let it in: nft ")[2].strip("'")
    assert others(place) == before
    place.host.run("nft", remedy)
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.engine.ok("rm", "-f", "web")
    assert "Warnings" not in place.get(f"/containers/{place.engine.create(BUSYBOX)}/json")["State"]


def test_start_warns_too(place: Place) -> None:
    place.engine.ok("create", "--name", "web", "-p", "8080:80", BUSYBOX, "sleep", "1000")
    place.host.run("nft", "-f", "-", stdin=PLAIN)
    answer = place.engine.sampan("start", "web")
    assert (answer.code, answer.out) == (0, "web\n")
    assert "WARNING: port 0.0.0.0:8080/tcp is published, but nobody outside reaches it" in answer.err
    answer = place.engine.sampan("run", "-d", "-P", "--expose", "80", BUSYBOX, "sleep", "1000")
    assert "WARNING: port 0.0.0.0:(any port)/tcp is published, but nobody outside reaches it" in answer.err


def test_forward_as_dockerd_leaves_it(place: Place) -> None:
    if find_program("iptables-nft") is None:
        pytest.skip("needs iptables-nft (Debian: iptables)")
    place.host.run("iptables-nft", "-P", "FORWARD", "DROP")
    place.host.run("iptables-nft", "-A", "FORWARD", "-o", "docker0", "-j", "ACCEPT")
    answer = place.engine.docker("run", "-d", "--name", "web", "-p", "8080:80", BUSYBOX, "sleep", "1000")
    assert "table ip filter, chain FORWARD, policy (iptables) drops it (forward)" in answer.err
    warned = place.engine.docker("run", "-d", "-p", "127.0.0.1:8081:80", BUSYBOX, "sleep", "1000")
    assert warned.err == ""


LETS_THROUGH = [
    "table inet filter {\n}\n",
    PLAIN.replace("policy drop", "policy accept"),
    PLAIN.replace("policy drop;", "policy drop; ct state established,related accept; oifname sampan0 accept"),
]


@pytest.mark.parametrize("text", LETS_THROUGH)
def test_nothing_is_said_where_it_gets_through(place: Place, text: str) -> None:
    place.host.run("nft", "-f", "-", stdin=text)
    answer = place.engine.docker("run", "-d", "--name", "web", "-p", "8080:80", BUSYBOX, "sleep", "1000")
    assert (answer.code, answer.err) == (0, "")
    place.serve("web", 80)
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")


def test_the_rules_of_others_are_never_touched(place: Place) -> None:
    place.host.run("nft", "-f", "-", stdin=PLAIN)
    before = others(place)
    place.network("six", "--ipv6", "--subnet", "fd60::/64")
    place.run("web", "--network", "six", "-p", "8080:80")
    place.engine.ok("network", "connect", "bridge", "web")
    assert others(place) == before
    place.sampand.restart()
    assert others(place) == before
    place.engine.ok("rm", "-f", "web")
    place.engine.ok("network", "rm", "six")
    assert others(place) == before


def test_a_ruleset_that_is_flushed_comes_back(place: Place) -> None:
    """`systemctl restart nftables` flushes everybody's rules."""
    attack(place.lab, "172.17.0.0/16")
    place.run("web", "-p", "8080:80", serve=(80, 90))
    place.blocked(Try("outside", "172.17.0.2", 90))
    before = place.host.run("nft", "list", "table", "inet", "sampan")
    place.host.run("nft", "flush", "ruleset")
    place.wait_for(lambda: "sampan" in place.host.run("nft", "list", "tables"), "the table is back")
    assert place.host.run("nft", "list", "table", "inet", "sampan") == before
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.blocked(Try("outside", "172.17.0.2", 90))
    place.wait_for(lambda: "deleted the firewall's table" in place.sampand.log.read_text(), "it is told")


# --- ports -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_a_taken_port_is_refused_before_the_start(place: Place, kind: str, options: int) -> None:
    with place.host.call(socket.socket, socket.AF_INET, options) as taken:
        taken.bind((HOST4, 8080))
        if kind == "tcp":
            taken.listen()
        answer = place.engine.docker("run", "--name", "web", "-p", f"8080:80/{kind}", BUSYBOX, "touch", "/ran")
    assert answer.code == 125
    assert f"failed to bind host port 0.0.0.0:8080/{kind}: address already in use (process {os.getpid()}," in answer.err
    state = place.get("/containers/web/json")["State"]
    assert (state["Status"], state["StartedAt"]) == ("created", "0001-01-01T00:00:00Z")
    assert place.get("/containers/web/json")["NetworkSettings"]["IPAddress"] == ""
    place.engine.ok("start", "-a", "web")  # it is free now


def test_another_containers_port_is_refused(place: Place) -> None:
    place.run("web", "-p", "8080:80")
    answer = place.engine.docker("run", "--name", "other", "-p", f"{HOST4}:8080:80", BUSYBOX, "true")
    assert answer.code == 125 and f"Bind for {HOST4}:8080 failed: port is already allocated" in answer.err
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.engine.ok("run", "--rm", "-p", "8080:80/udp", BUSYBOX, "true")


def test_a_port_is_free_again_at_the_end(place: Place) -> None:
    place.run("web", "-p", "8080:80")
    place.reaches(Try("outside", HOST4, 8080), f"web {OUT4}")
    place.engine.ok("rm", "-f", "web")
    place.blocked(Try("outside", HOST4, 8080))
    place.wait_for(lambda: _can_bind(place, 8080), "the port is free")
    place.servers.add(place.host, 8080)
    place.reaches(Try("outside", HOST4, 8080), f"host {OUT4}")


def _can_bind(place: Place, port: int) -> bool:
    with contextlib.suppress(OSError), place.host.call(socket.socket) as one:
        one.bind(("0.0.0.0", port))
        return True
    return False


def test_sctp_is_published_as_the_others(place: Place) -> None:
    """The rule is there. That packets follow it was tried in a machine whose kernel has SCTP."""
    place.engine.ok("run", "-d", "--name", "web", "-p", "8080:80/sctp", BUSYBOX, "sleep", "1000")
    assert place.engine.ok("port", "web").splitlines()[0] == "80/sctp -> 0.0.0.0:8080"
    published = place.host.run("nft", "list", "map", "inet", "sampan", "ports4")
    assert "sctp . 8080 counter packets 0 bytes 0 : 172.17.0.2 . 80" in published


# --- links of the host -----------------------------------------------------------------------------------------------


def test_the_mtu_follows_the_uplink() -> None:
    with netlab(mtu=1400) as lab, Place(lab) as place:
        place.network("mine")
        place.network("given", "-o", "com.docker.network.driver.mtu=1300")
        for number, name in enumerate(("bridge", "mine", "given")):
            box = place.run(f"web{number}", "--network", name)
            mtu = 1300 if name == "given" else 1400
            assert box.ip("link", "show", "eth0")[0]["mtu"] == mtu
        bridges = {one["ifname"]: one["mtu"] for one in lab.host.ip("link", "show", "type", "bridge")}
        assert sorted(bridges.values()) == [1300, 1400, 1400] and bridges["sampan0"] == 1400


def test_macvlan_is_on_the_parents_network(place: Place) -> None:
    place.network("lan", "-d", "macvlan", "--subnet", "192.0.2.0/24", "--gateway", OUT4, "--ip-range", "192.0.2.64/26",
                  "-o", "parent=eth0")  # fmt: skip
    place.serve("outside", 80)
    place.run("web", "--network", "lan", "-p", "8080:80")
    address = place.engine.look("web", "{{.NetworkSettings.Networks.lan.IPAddress}}")
    assert address == "192.0.2.64"
    place.reaches(Try("outside", address, 80), f"web {OUT4}")
    place.reaches(Try("web", OUT4, 80), f"outside {address}")
    place.blocked(Try("host", address, 80))  # macvlan: a parent doesn't reach its links
    place.blocked(Try("outside", HOST4, 8080))  # nothing is published
    place.run("web2", "--network", "lan")
    place.reaches(Try("web2", address, 80), "web 192.0.2.65")
    rows = {row["Who"]: row["Verdict"] for row in place.verdicts("web")}
    assert rows == {f"machines on eth0 by {address}": "yes", f"this machine by {address}": "no"}
    place.engine.ok("rm", "-f", "web", "web2")
    assert [one["ifname"] for one in place.host.ip("link", "show", "type", "macvlan")] == []


def test_explaining_what_has_no_network_of_its_own(place: Place) -> None:
    place.engine.ok("run", "-d", "--name", "alone", "--network", "none", "--expose", "80", BUSYBOX, "sleep", "1000")
    assert [(row["Port"], row["Who"], row["Verdict"]) for row in place.verdicts("alone")] == [
        ("80/tcp", "others", "no")
    ]
    place.engine.ok("run", "-d", "--name", "host", "--network", "host", "--expose", "80", BUSYBOX, "sleep", "1000")
    assert {row["Verdict"] for row in place.verdicts("host")} == {"yes"}
    place.host.run("nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; }; "
                   "add rule inet filter input iifname eth0 tcp dport 80 drop")  # fmt: skip
    rows = {row["Who"]: row for row in place.verdicts("host")}
    assert {name: row["Verdict"] for name, row in rows.items()} == {"other machines": "no", "this machine": "yes"}
    place.run("web", "-p", "8080:80")
    place.engine.ok("run", "-d", "--name", "guest", "--network", "container:web", BUSYBOX, "sleep", "1000")
    assert place.verdicts("guest") == place.verdicts("web")
    place.engine.ok("stop", "-t", "0", "web")
    answer = place.engine.sampan("port", "--explain", "web")
    assert answer.code == 1 and "is not running" in answer.err
