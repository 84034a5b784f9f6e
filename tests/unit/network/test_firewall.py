"""The firewall as data: which elements come of networks and publications, and that chains never change."""

from __future__ import annotations

import pytest

from sampan.network import ruleset
from sampan.network.model import OPTION_BRIDGE_NAME, OPTION_ICC, OPTION_MASQUERADE, Network, Pool, Publication
from sampan.network.ruleset import Desired, Detour, Elements, Link

ID = "a1b2c3d4e5f6" + "0" * 52
BRIDGE = "br-a1b2c3d4e5f6"


def shown(elements: Elements) -> dict[str, list[str]]:
    """Elements as nft(8) writes them."""
    return {name: [ruleset.SETS[name].show(one) for one in listed] for name, listed in elements.items()}


def network(*, internal: bool = False, ipv6: bool = False, driver: str = "bridge", **options: str) -> Network:
    pools6 = (Pool("fd00:1::/64", "fd00:1::1"),) if ipv6 else ()
    return Network(
        ID, "n", driver, ipv4=(Pool("172.18.0.0/16", "172.18.0.1"),), ipv6=pools6, internal=internal, options=options
    )


PLAIN = {
    "bridges": [f'"{BRIDGE}"'],
    "same": [f'"{BRIDGE}" . "{BRIDGE}"'],
    "hairpin4": ["172.18.0.0/16 . 172.18.0.0/16"],
}
GUARDED = {"guarded4": ["172.18.0.0/16"]}
MASQUERADED = {"masqueraded4": ["172.18.0.0/16"]}
NETWORKS = [
    (network(), PLAIN | GUARDED | MASQUERADED),
    (network(internal=True), PLAIN | GUARDED | {"internal": [f'"{BRIDGE}"']}),
    (network(**{OPTION_MASQUERADE: "false"}), PLAIN),
    (network(**{OPTION_MASQUERADE: "0"}), PLAIN),
    (network(**{OPTION_MASQUERADE: "1", OPTION_ICC: "true"}), PLAIN | GUARDED | MASQUERADED),
    (
        network(**{OPTION_ICC: "false"}),
        {name: listed for name, listed in (PLAIN | GUARDED | MASQUERADED).items() if name != "same"}
        | {"quiet": [f'"{BRIDGE}" . "{BRIDGE}"']},
    ),
    (
        network(ipv6=True),
        PLAIN
        | GUARDED
        | MASQUERADED
        | {
            "hairpin6": ["fd00:1::/64 . fd00:1::/64"],
            "guarded6": ["fd00:1::/64"],
            "masqueraded6": ["fd00:1::/64"],
        },
    ),
    (network(driver="macvlan"), {}),
    (network(driver="host"), {}),
]


@pytest.mark.parametrize(("one", "expected"), NETWORKS)
def test_networks(one: Network, expected: dict[str, list[str]]) -> None:
    assert shown(ruleset.of_network(one)) == expected


def test_subnets_of_one_network_answer_each_other_directly() -> None:
    one = Network(ID, "n", ipv4=(Pool("10.1.0.0/24"), Pool("10.2.0.0/24")), options={OPTION_BRIDGE_NAME: "mine"})
    found = shown(ruleset.of_network(one))
    assert found["bridges"] == ['"mine"']
    assert found["hairpin4"] == [
        "10.1.0.0/24 . 10.1.0.0/24",
        "10.1.0.0/24 . 10.2.0.0/24",
        "10.2.0.0/24 . 10.1.0.0/24",
        "10.2.0.0/24 . 10.2.0.0/24",
    ]


def publication(protocol: str, host_ip: str, *, ipv4: str = "172.18.0.2/16", ipv6: str = "") -> Publication:
    return Publication("s", protocol, host_ip, 8080, 80, ipv4, ipv6)


PUBLICATIONS = [
    (publication("tcp", "0.0.0.0"), {"ports4": ["tcp . 8080 : 172.18.0.2 . 80"]}, False),
    (publication("sctp", "0.0.0.0", ipv6="fd00::2/64"), {"ports4": ["sctp . 8080 : 172.18.0.2 . 80"]}, False),
    (publication("udp", "127.0.0.1"), {"bound4": ["127.0.0.1 . udp . 8080 : 172.18.0.2 . 80"]}, False),
    (publication("tcp", "::", ipv6="fd00::2/64"), {"ports6": ["tcp . 8080 : fd00::2 . 80"]}, False),
    (publication("tcp", "::1", ipv6="fd00::2"), {"bound6": ["::1 . tcp . 8080 : fd00::2 . 80"]}, False),
    (publication("tcp", "::"), {"relayed": ["tcp . 8080"]}, True),
    (publication("udp", "::1"), {}, True),
    (publication("sctp", "::"), {}, False),
    (publication("tcp", "0.0.0.0", ipv4="", ipv6="fd00::2/64"), {}, False),
    (publication("tcp", "::", ipv4=""), {}, False),
]


@pytest.mark.parametrize(("one", "expected", "relayed"), PUBLICATIONS)
def test_publications(one: Publication, expected: dict[str, list[str]], relayed: bool) -> None:
    assert shown(ruleset.of_publication(one)) == expected
    assert ruleset.is_relayed(one) == relayed


def test_the_relay_may_have_the_loopback() -> None:
    both = {"ipv6": "fd00::2/64"}
    asked = [publication("tcp", address, **both) for address in ("::", "::1", "2001:db8::1", "127.0.0.1", "0.0.0.0")]
    assert [ruleset.is_relayed(one, relay_loopback=True) for one in asked] == [True, True, False, False, False]
    assert shown(ruleset.of_relay(True)) == {"relaying": ["::1"]}
    assert ruleset.of_relay(False) == {}


def test_links_and_detours() -> None:
    assert shown(ruleset.of_link(Link("10.0.0.2", "10.0.0.3", "tcp", 80))) == {
        "links4": ["10.0.0.2 . 10.0.0.3 . tcp . 80"]
    }
    assert shown(ruleset.of_detour(Detour("10.1.0.0/24", "10.2.0.2"))) == {"hairpin4": ["10.1.0.0/24 . 10.2.0.2"]}
    assert shown(ruleset.of_detour(Detour("fd01::/64", "fd02::2"))) == {"hairpin6": ["fd01::/64 . fd02::2"]}


def test_forwarding_that_was_off() -> None:
    assert shown(ruleset.of_forwarding(["eth1", "eth0"], True)) == {"opened": ['"eth0"', '"eth1"'], "routers": ["ipv6"]}
    assert ruleset.of_forwarding([], False) == {"opened": ()}


def test_a_table_has_every_element_once() -> None:
    one, port = network(), publication("tcp", "0.0.0.0")
    table = ruleset.table(Desired((one, one), (port, port)))
    assert shown(table.elements or {}) == {
        "opened": [],
        **PLAIN,
        **GUARDED,
        **MASQUERADED,
        "ports4": ["tcp . 8080 : 172.18.0.2 . 80"],
    }


def test_chains_are_the_same_whatever_there_is() -> None:
    empty, full = ruleset.table(Desired()), ruleset.table(Desired((network(),), (publication("tcp", "::"),)))
    assert empty.chains == full.chains == ruleset.chains()
    assert empty.sets == full.sets


def test_every_set_is_asked_and_exists() -> None:
    text = " ".join(rule.text for chain in ruleset.chains() for rule in chain.rules)
    asked = {word.removeprefix("@") for word in text.split() if word.startswith("@")}
    assert asked == set(ruleset.SETS)


def test_every_jump_has_its_chain() -> None:
    names = {chain.name for chain in ruleset.chains()}
    words = [rule.text.split() for chain in ruleset.chains() for rule in chain.rules]
    assert {one[one.index("goto") + 1] for one in words if "goto" in one} <= names
