"""Names on networks; how dockerd 26.1 answers was asked of it."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.network.model import Endpoint, Network, Pool
from sampan.network.names import Names, fits, form

FRONT = Network("f" * 64, "front", ipv4=(Pool("10.1.0.0/24", "10.1.0.1"),))
BACK = Network("b" * 64, "back", ipv4=(Pool("10.2.0.0/24", "10.2.0.1"),), internal=True)
BOTH = Network(
    "d" * 64,
    "both",
    ipv4=(Pool("10.3.0.0/24", "10.3.0.1"),),
    ipv6=(Pool("fd00::/64", "fd00::1"),),
    enable_ipv6=True,
)
DEFAULT = Network("e" * 64, "bridge", ipv4=(Pool("172.17.0.0/16", "172.17.0.1"),))


def place(network: Network, sandbox: str, address: str, *names: str, ipv6: str = "", **more: object) -> Endpoint:
    identity = f"{network.name}-{sandbox}"
    return Endpoint(identity, network.id, sandbox, ipv4=address, ipv6=ipv6, dns_names=names, **more)  # type: ignore[arg-type]


@pytest.fixture
def names() -> Names:
    one = Names()
    for network in (FRONT, BACK, BOTH, DEFAULT):
        one.add_network(network)
    one.put(place(FRONT, "web", "10.1.0.2/24", "web", "www", "0123456789ab"))
    one.put(place(FRONT, "web2", "10.1.0.3/24", "web2", "www"))
    one.put(place(BACK, "web", "10.2.0.2/24", "web"))
    one.put(place(BACK, "db", "10.2.0.3/24", "db", "MyDB"))
    one.put(place(BOTH, "six", "10.3.0.2/24", "six", ipv6="fd00::2/64"))
    one.put(place(BOTH, "four", "10.3.0.3/24", "four"))
    one.put(place(DEFAULT, "old", "172.17.0.2/16", "old"))
    return one


def ask(names: Names, sandbox: str, name: str, version: int = 4) -> list[str] | None:
    found = names.resolve(sandbox, form(name), version)
    return None if found is None else [str(ip_address(packed)) for packed in found]


ANSWERS = [
    ("web", "web", 4, ["10.1.0.2"]),  # on both of its networks: the one that isn't internal answers
    ("db", "web", 4, ["10.2.0.2"]),
    ("web", "db", 4, ["10.2.0.3"]),
    ("web2", "db", 4, None),  # isolated: not on that network
    ("web2", "web", 4, ["10.1.0.2"]),
    ("web2", "www", 4, ["10.1.0.2", "10.1.0.3"]),
    ("web2", "0123456789ab", 4, ["10.1.0.2"]),
    ("web2", "WEB.", 4, ["10.1.0.2"]),
    ("web", "mydb", 4, ["10.2.0.3"]),
    ("web", "web.front", 4, ["10.1.0.2"]),
    ("web", "web.back", 4, ["10.2.0.2"]),
    ("web2", "web.back", 4, None),
    ("web2", "web.nowhere", 4, None),
    ("web2", "web.Front", 4, ["10.1.0.2"]),
    ("web2", "web", 6, []),  # there, without an address of the family
    ("four", "six", 6, ["fd00::2"]),
    ("six", "four", 6, []),
    ("six", "nobody", 6, None),
    ("old", "old", 4, None),  # the default bridge has no names
    ("stranger", "web", 4, None),
    ("web", "", 4, None),
    ("web", "front", 4, None),
]


@pytest.mark.parametrize(("sandbox", "name", "version", "expected"), ANSWERS)
def test_what_a_sandbox_finds(names: Names, sandbox: str, name: str, version: int, expected: list[str] | None) -> None:
    assert ask(names, sandbox, name, version) == expected


def reverse(names: Names, sandbox: str, address: str) -> bytes | None:
    return names.reverse(sandbox, ip_address(address).packed)


def test_reverse_look_ups(names: Names) -> None:
    assert reverse(names, "web2", "10.1.0.2") == b"web.front"
    assert reverse(names, "web", "10.2.0.3") == b"db.back"
    assert reverse(names, "four", "fd00::2") == b"six.both"
    for sandbox, address in (
        ("web2", "10.2.0.3"),
        ("web", "10.1.0.1"),
        ("old", "172.17.0.2"),
        ("stranger", "10.1.0.2"),
    ):
        assert reverse(names, sandbox, address) is None


def test_a_renamed_container_is_found_by_its_new_name_only(names: Names) -> None:
    names.put(place(FRONT, "web", "10.1.0.2/24", "fresh", "www", "0123456789ab"))
    assert ask(names, "web2", "fresh") == ["10.1.0.2"] and ask(names, "web2", "web") is None
    assert ask(names, "web2", "www") == ["10.1.0.3", "10.1.0.2"]
    assert reverse(names, "web2", "10.1.0.2") == b"fresh.front"


def test_a_container_that_left_is_found_no_more(names: Names) -> None:
    names.drop("front-web")
    names.drop("front-web")
    assert ask(names, "web2", "web") is None and ask(names, "web2", "www") == ["10.1.0.3"]
    assert ask(names, "web", "www") is None  # it doesn't see that network any more
    assert reverse(names, "web2", "10.1.0.2") is None


def test_a_link_is_seen_by_its_sandbox_only_and_hides_a_container(names: Names) -> None:
    names.put(place(FRONT, "c", "10.1.0.4/24", "c", links=("web2:www", "web", "gone:lost")))
    assert ask(names, "c", "www") == ["10.1.0.3"]
    assert ask(names, "c", "www.front") == ["10.1.0.3"]
    assert ask(names, "c", "web") == ["10.1.0.2"]
    assert ask(names, "c", "lost") is None
    assert ask(names, "web", "lost") is None and ask(names, "web2", "www") == ["10.1.0.2", "10.1.0.3"]


def test_priority_decides_which_network_answers(names: Names) -> None:
    names.put(place(BACK, "web", "10.2.0.2/24", "web", priority=5))
    assert ask(names, "web", "web") == ["10.2.0.2"]


def test_names_and_networks_with_dots(names: Names) -> None:
    dotted = replace(FRONT, id="9" * 64, name="c.d")
    names.add_network(dotted)
    names.put(replace(place(dotted, "x", "10.9.0.2/24", "a.b"), id="x"))
    for name in ("a.b", "a.b.c.d"):
        assert ask(names, "x", name) == ["10.9.0.2"]
    assert ask(names, "x", "a") is None and ask(names, "x", "a.b.c") is None
    assert reverse(names, "x", "10.9.0.2") == b"a.b.c.d"


def test_a_name_that_no_packet_can_carry_does_no_harm(names: Names) -> None:
    names.put(place(FRONT, "long", "10.1.0.5/24", "x" * 200, "ok", "a..b", ""))
    assert ask(names, "web", "ok") == ["10.1.0.5"] and ask(names, "web", "x" * 200) is None
    assert reverse(names, "web", "10.1.0.5") == b"ok.front"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", True), ("", False), ("a" * 63, True), ("a" * 64, False), ("a..b", False), (".".join(["a" * 61] * 5), False)],
)
def test_what_fits_in_a_packet(name: str, expected: bool) -> None:
    assert fits(name.encode()) is expected


def test_a_removed_network_takes_its_places_along(names: Names) -> None:
    names.remove_network(FRONT.id)
    names.remove_network(FRONT.id)
    assert ask(names, "web2", "web") is None and ask(names, "web", "web") == ["10.2.0.2"]
    with pytest.raises(KeyError):
        names.put(place(FRONT, "web", "10.1.0.2/24", "web"))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.sampled_from(["a", "b", "A", "c"])), max_size=30))
def test_the_tables_are_those_of_who_is_there(steps: list[tuple[bool, int, str]]) -> None:
    names, there = Names(), {}
    names.add_network(FRONT)
    for arrives, number, name in steps:
        one = place(FRONT, f"s{number}", f"10.1.0.{number + 2}/24", name)
        if arrives:
            names.put(one)
            there.pop(one.id, None)
            there[one.id] = one
        else:
            names.drop(one.id)
            there.pop(one.id, None)
    for name in ("a", "b", "c"):
        expected = [one.ipv4.partition("/")[0] for one in there.values() if one.dns_names[0].lower() == name]
        for one in there.values():
            assert ask(names, one.sandbox_id, name) == (expected or None)
