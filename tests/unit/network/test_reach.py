"""Who reaches the ports of a container, without others' rules and with them known."""

from dataclasses import replace

import pytest

from sampan.linux.nftdump import ChainFacts, Ruleset
from sampan.linux.nftexpr import DROP
from sampan.network import reach
from sampan.network.explain import Others
from sampan.network.model import OPTION_HOST_BINDING, OPTION_ICC, OPTION_MASQUERADE, Publication
from sampan.network.ports import Binding
from sampan.network.reach import Ports, Survey
from sampan.network.ruleset import Link
from support.places import endpoint, network

FRONT = network("a", "172.18.0.0/16", "fd00:1::/64", name="front")
BACK = network("b", "172.19.0.0/16", name="back")
INNER = network("c", "172.20.0.0/16", name="inner", internal=True)
QUIET = network("d", "172.21.0.0/16", name="quiet", options={OPTION_ICC: "false"})
LAN = network("e", "10.0.0.0/24", name="lan", driver="macvlan", options={"parent": "eth7"})
EVERY = (FRONT, BACK, INNER, QUIET, LAN)
NOBODY = Others(Ruleset((), (), ()))
UPLINKS = {4: ("eth0", "192.0.2.2"), 6: ("eth0", "2001:db8::2")}
PLAIN = Survey(NOBODY, UPLINKS, {4: False, 6: False})
FRAMES = Survey(NOBODY, UPLINKS, {4: True, 6: True})
DROPS = Others(Ruleset((ChainFacts("ip", "filter", "FORWARD", 1, "forward", "filter", 0, DROP),), (), ()))


def on(one, host_ip: str = "0.0.0.0") -> Ports:
    place = (one, endpoint(one, 2))
    published = reach.targeted([place], [Publication("", "tcp", host_ip, 8080, 80)])
    return Ports([place], published, [(80, "tcp"), (90, "tcp")])


def told(ports: Ports, seen: Survey = PLAIN, links: tuple[Link, ...] = ()) -> dict[tuple[str, str, str], str]:
    return {(one.port, one.published, one.who): one.answer for one in reach.verdicts(ports, EVERY, seen, links)}


def test_everybody_is_told_of() -> None:
    public, direct = ("80/tcp", "0.0.0.0:8080"), ("90/tcp", "")
    found = told(on(BACK))
    assert {who: answer for (*port, who), answer in found.items() if tuple(port) == public} == {
        "other machines": "yes",
        "this machine by 192.0.2.2": "yes",
        "this machine by 127.0.0.1": "yes",
        "containers of front, back, quiet": "yes",
        "containers of inner": "no",
        "itself": "yes",
    }
    assert {who: answer for (*port, who), answer in found.items() if tuple(port) == direct} == {
        "containers of back by 172.19.0.2": "yes",
        "this machine by 172.19.0.2": "yes",
        "other machines by 172.19.0.2": "no",
        "containers of other networks by 172.19.0.2": "no",
    }


@pytest.mark.parametrize(
    ("seen", "links", "beside", "itself"),
    [
        (PLAIN, (), "no", "yes"),
        (FRAMES, (), "no", "no"),
        (PLAIN, (Link("172.21.0.9", "172.21.0.2", "tcp", 90),), "only some", "yes"),
        (PLAIN, (Link("172.21.0.9", "172.21.0.2", "udp", 90),), "no", "yes"),
    ],
)
def test_without_traffic_within(seen: Survey, links: tuple[Link, ...], beside: str, itself: str) -> None:
    found = told(on(QUIET), seen, links)
    assert found["90/tcp", "", "containers of quiet by 172.21.0.2"] == beside
    assert found["80/tcp", "0.0.0.0:8080", "itself"] == itself


@pytest.mark.parametrize(("shows", "beside"), [(PLAIN, "yes"), (FRAMES, "no")])
def test_others_rules_count_within_a_network_only_where_they_see_frames(shows: Survey, beside: str) -> None:
    found = told(on(BACK), replace(shows, others=DROPS))
    assert found["90/tcp", "", "containers of back by 172.19.0.2"] == beside
    assert found["90/tcp", "", "this machine by 172.19.0.2"] == "yes"
    assert found["80/tcp", "0.0.0.0:8080", "other machines"] == "no"
    assert found["80/tcp", "0.0.0.0:8080", "this machine by 127.0.0.1"] == "yes"


def test_ipv6_is_told_where_it_is_spoken() -> None:
    whos = {who for _, published, who in told(on(FRONT, "::")) if published}
    assert whos == {
        "other machines", "this machine by 2001:db8::2", "this machine by ::1", "containers of front", "itself",
    }  # fmt: skip
    relayed = {who for _, published, who in told(on(BACK, "::")) if published}
    assert "itself" not in relayed


def test_what_cannot_be_read_is_not_known() -> None:
    found = told(on(BACK), replace(PLAIN, others=replace(NOBODY, legacy=("filter",))))
    assert found["80/tcp", "0.0.0.0:8080", "other machines"] == "can't tell"
    assert found["80/tcp", "0.0.0.0:8080", "containers of inner"] == "no"


def test_macvlan_is_beside_the_host() -> None:
    place = (LAN, endpoint(LAN, 2))
    found = told(Ports([place], (), [(80, "tcp")]))
    assert {who: answer for (_, _, who), answer in found.items()} == {
        "machines on eth7 by 10.0.0.2": "yes",
        "this machine by 10.0.0.2": "no",
    }


def test_the_hosts_network() -> None:
    rows = reach.of_host_network([(80, "tcp")], PLAIN)
    assert [(one.who, one.answer) for one in rows] == [("other machines", "yes"), ("this machine", "yes")]


BOUND = network("f", "172.22.0.0/16", name="bound", options={OPTION_HOST_BINDING: "192.0.2.2"})
ROUTED = network("f", "172.22.0.0/16", name="routed", options={OPTION_MASQUERADE: "false"})
BINDING = Binding("tcp", 80, "", 8080, 8080)


@pytest.mark.parametrize(
    ("one", "binding", "addresses"),
    [
        (BACK, BINDING, ["0.0.0.0", "::"]),
        (BACK, replace(BINDING, host_ip="127.0.0.1"), ["127.0.0.1"]),
        (BACK, replace(BINDING, host_ip="0.0.0.0"), ["0.0.0.0"]),
        (BOUND, BINDING, ["192.0.2.2"]),
        (BOUND, replace(BINDING, host_ip="::"), ["::"]),
        (ROUTED, BINDING, ["0.0.0.0", "::"]),
        (INNER, BINDING, []),
        (LAN, BINDING, []),
    ],
)
def test_what_will_be_published_is_foreseen(one, binding: Binding, addresses: list[str]) -> None:
    found = reach.foresee([reach.unplaced(one)], [binding])
    assert [each.host_ip for each in found] == addresses
    assert all(each.target_ipv4 for each in found)


def test_warnings_are_given_for_what_others_drop_only() -> None:
    seen = replace(PLAIN, others=DROPS)
    both = reach.foresee([reach.unplaced(BACK)], [BINDING])
    found = reach.warnings(Ports([reach.unplaced(BACK)], both), EVERY, seen)
    assert len(found) == 1 and "0.0.0.0:8080/tcp" in found[0]  # [::] is relayed
    assert reach.warnings(Ports([reach.unplaced(BACK)], both), EVERY, PLAIN) == []
    local = reach.foresee([reach.unplaced(BACK)], [replace(BINDING, host_ip="127.0.0.1")])
    assert reach.warnings(Ports([reach.unplaced(BACK)], local), EVERY, seen) == []
