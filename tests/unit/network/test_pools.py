"""Subnets and addresses; the texts and the order are dockerd 26.1's, asked of it."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.network import pools
from sampan.network.errors import (
    AddressInUse,
    AddressOutside,
    BadConfig,
    CannotReserve,
    NetworkError,
    NoAddressLeft,
    NoPoolLeft,
    PoolOverlap,
    Refused,
)
from sampan.network.model import Network, Pool
from sampan.network.pools import Range, Surroundings

S = "10.77.0.0/16"


def config(**one: object) -> tuple[Pool, ...]:
    names = {"subnet": "Subnet", "gateway": "Gateway", "ip_range": "IPRange", "aux": "AuxiliaryAddresses"}
    return pools.parse_config([{names[key]: value for key, value in one.items()}])


BAD = [
    (config(subnet="10.77.0.5/16"), "invalid subnet 10.77.0.5/16: it should be 10.77.0.0/16"),
    (config(gateway="10.77.0.5"), "invalid subnet : invalid CIDR block notation"),
    (config(), "invalid subnet : invalid CIDR block notation"),
    (config(subnet="10.77.0.0/33"), "invalid subnet 10.77.0.0/33: invalid CIDR block notation"),
    (config(subnet="10.77.0.0"), "invalid subnet 10.77.0.0: invalid CIDR block notation"),
    (config(subnet="10.77.0.0/255.255.0.0"), "invalid subnet 10.77.0.0/255.255.0.0: invalid CIDR block notation"),
    (
        config(subnet=S, gateway="10.78.0.1"),
        "invalid gateway 10.78.0.1: parent subnet 10.77.0.0/16 doesn't contain this address",
    ),
    (config(subnet=S, gateway="bogus"), "invalid gateway bogus: invalid address"),
    (config(subnet="10.77.0.0/24", gateway="010.77.0.1"), "invalid gateway 010.77.0.1: invalid address"),
    (config(subnet=S, gateway="fd00::1"), "invalid gateway fd00::1: parent subnet is an IPv4 block"),
    (
        config(subnet=S, ip_range="10.78.0.0/24"),
        "invalid ip-range 10.78.0.0/24: parent subnet 10.77.0.0/16 doesn't contain ip-range",
    ),
    (
        config(subnet=S, ip_range="10.0.0.0/8"),
        "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.77.0.0/16",
    ),
    (config(subnet=S, ip_range="10.77.1.1/24"), "invalid ip-range 10.77.1.1/24: it should be 10.77.1.0/24"),
    (config(subnet=S, ip_range="bogus"), "invalid ip-range bogus: invalid CIDR block notation"),
    (config(subnet=S, ip_range="fd00::/64"), "invalid ip-range fd00::/64: parent subnet is an IPv4 block"),
    (
        config(subnet=S, aux={"x": "10.78.0.1", "y": "bogus", "z": "fd00::1"}),
        (
            "* invalid auxiliary address x: parent subnet 10.77.0.0/16 doesn't contain this address\n"
            "* invalid auxiliary address y: invalid address\n"
            "* invalid auxiliary address z: parent subnet is an IPv4 block"
        ),
    ),
    (
        config(subnet=S, ip_range="10.77.9.0/24", gateway="bad", aux={"x": "bad"}) + config(subnet="bad"),
        (
            "* invalid gateway bad: invalid address\n* invalid auxiliary address x: invalid address\n"
            "* invalid subnet bad: invalid CIDR block notation"
        ),
    ),
]


@pytest.mark.parametrize(("wishes", "text"), BAD, ids=range(len(BAD)))
def test_wrong_wishes_are_refused_in_dockers_words(wishes: tuple[Pool, ...], text: str) -> None:
    with pytest.raises(BadConfig) as refused:
        pools.check_config(wishes, enable_ipv6=False)
    assert str(refused.value) == f"invalid network config:\n{text}"
    assert refused.value.status == 400


def test_an_ipv6_subnet_of_a_network_without_ipv6_is_not_looked_at() -> None:
    pools.check_config(config(subnet="fd00:7::1/64"), enable_ipv6=False)
    with pytest.raises(BadConfig):
        pools.check_config(config(subnet="fd00:7::1/64"), enable_ipv6=True)
    ipv4, ipv6 = pools.plan(config(subnet="fd00:7::1/64"), Surroundings(), enable_ipv6=False)
    assert [pool.subnet for pool in ipv4] == ["172.17.0.0/16"] and ipv6 == ()


def plan(*wishes: Pool, around: Surroundings = Surroundings(), driver: str = "bridge") -> tuple[Pool, ...]:  # noqa: B008
    pools.check_config(wishes, enable_ipv6=True)
    ipv4, ipv6 = pools.plan(wishes, around, enable_ipv6=any(":" in wish.subnet for wish in wishes), driver=driver)
    return ipv4 + ipv6


MADE = [
    (config(subnet=S), Pool(S, "10.77.0.1")),
    (config(subnet=S, ip_range="10.77.5.0/24"), Pool(S, "10.77.5.0", "10.77.5.0/24")),  # yes, .0: dockerd's choice
    (config(subnet=S, ip_range="10.77.9.0/24", gateway="10.77.0.1"), Pool(S, "10.77.0.1", "10.77.9.0/24")),
    (config(subnet="10.78.0.0/31"), Pool("10.78.0.0/31", "10.78.0.0")),
    (config(subnet="10.78.0.0/32"), Pool("10.78.0.0/32", "10.78.0.0")),
    (config(subnet="10.78.0.0/30", aux={"a": "10.78.0.2"}), Pool("10.78.0.0/30", "10.78.0.1", aux={"a": "10.78.0.2"})),
]


@pytest.mark.parametrize(("wishes", "pool"), MADE)
def test_a_pool_is_completed_as_dockerd_does(wishes: tuple[Pool, ...], pool: Pool) -> None:
    assert plan(*wishes) == (pool,)


def test_an_ipv6_pool_is_written_in_its_canonical_form() -> None:
    found = plan(*config(subnet="FD00:7:0::/64", gateway="FD00:7:0:0::00AA"))
    assert found == (Pool("172.17.0.0/16", "172.17.0.1"), Pool("fd00:7::/64", "fd00:7::aa"))


NOT_HAD = [
    (config(subnet=S, gateway="10.77.0.0"), "failed to allocate gateway (10.77.0.0): Address already in use", 500),
    (
        config(subnet=S, gateway="10.77.255.255"),
        "failed to allocate gateway (10.77.255.255): Address already in use",
        500,
    ),
    (
        config(subnet="fd00:7::/64", gateway="fd00:7::"),
        "failed to allocate gateway (fd00:7::): Address already in use",
        500,
    ),
    (
        config(subnet=S, aux={"x": "10.77.0.1"}),
        "failed to allocate secondary ip address (x:10.77.0.1): Address already in use",
        500,
    ),
    (
        config(subnet=S, gateway="10.77.0.9", aux={"x": "10.77.0.9"}),
        "failed to allocate secondary ip address (x:10.77.0.9): Address already in use",
        500,
    ),
    (config(subnet=S) + config(subnet="10.78.0.0/16"), "bridge driver doesn't support multiple subnets", 403),
    (config(subnet=S) + config(subnet="10.77.1.0/24"), "Pool overlaps with other one on this address space", 403),
]


@pytest.mark.parametrize(("wishes", "text", "status"), NOT_HAD)
def test_what_cannot_be_had_is_refused_in_dockers_words(wishes: tuple[Pool, ...], text: str, status: int) -> None:
    with pytest.raises(NetworkError) as refused:
        plan(*wishes)
    assert (str(refused.value), refused.value.status) == (text, status)


def test_macvlan_may_have_several_subnets() -> None:
    found = plan(*config(subnet=S), *config(subnet="10.78.0.0/16"), driver="macvlan")
    assert [pool.gateway for pool in found] == ["10.77.0.1", "10.78.0.1"]


def other(subnet: str) -> Network:
    return Network("f" * 64, "other", ipv4=(Pool(subnet),))


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "10.77.255.0/24", "0.0.0.0/0"])
def test_a_subnet_of_another_network_is_refused(subnet: str) -> None:
    with pytest.raises(PoolOverlap):
        plan(*config(subnet=subnet), around=Surroundings(others=[other(S)]))


def first(around: Surroundings, version: int = 4) -> str:
    return str(pools.next_subnet(version, [ip_network(p.subnet) for n in around.others for p in n.ipv4], around))


@pytest.mark.parametrize(
    ("routed", "expected"),
    [
        ([], "172.17.0.0/16"),
        (["0.0.0.0/0", "::/0", "fd00::/8"], "172.17.0.0/16"),  # a default route blocks nothing
        (["172.17.3.0/24"], "172.18.0.0/16"),
        (["172.16.0.0/13"], "172.24.0.0/16"),
        (["172.21.0.0/16", "172.17.0.0/16", "172.18.0.0/15"], "172.20.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.0.0/23", "192.168.31.255/32"], "192.168.32.0/20"),
        (["172.16.0.0/12", "192.168.0.9/17"], "192.168.128.0/20"),
    ],
)
def test_a_default_subnet_keeps_clear_of_what_the_host_routes(routed: list[str], expected: str) -> None:
    assert first(Surroundings(routed=routed)) == expected


def test_a_default_subnet_keeps_clear_of_other_networks_and_is_given_again() -> None:
    assert first(Surroundings(others=[other("172.17.0.0/16"), other("172.18.128.0/24")])) == "172.19.0.0/16"
    assert first(Surroundings(others=[other("172.18.0.0/16")])) == "172.17.0.0/16"


def test_when_no_subnet_is_left_docker_says_so() -> None:
    with pytest.raises(NoPoolLeft) as refused:
        first(Surroundings(routed=["172.16.0.0/12", "192.168.0.0/16"]))
    assert refused.value.status == 404
    assert str(refused.value) == (
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )
    with pytest.raises(NoPoolLeft):
        first(Surroundings(), 6)


def test_every_default_subnet_can_be_had_once() -> None:
    found: list[Network] = []
    for _ in range(15 + 16):
        found.append(other(first(Surroundings(others=found))))
    with pytest.raises(NoPoolLeft):
        first(Surroundings(others=found))


def test_the_own_ipv6_range_is_a_lasting_ula_48() -> None:
    one = pools.own_ipv6_range("engine")
    assert one == pools.own_ipv6_range("engine") != pools.own_ipv6_range("another")
    net = ip_network(one.base)
    assert net.prefixlen == 48 and net.subnet_of(ip_network("fd00::/8")) and one.size == 64  # type: ignore[arg-type]
    _, ipv6 = pools.plan((), Surroundings(ranges=(*pools.DEFAULT_RANGES, one)), enable_ipv6=True)
    assert ipv6[0].subnet == f"{net.network_address}/64" and ipv6[0].gateway == f"{net.network_address}1"


def test_default_ranges_of_daemon_json() -> None:
    assert pools.parse_ranges([{"base": "10.1.2.3/16", "size": 24}]) == (Range("10.1.0.0/16", 24),)
    for bad in ({}, {"base": "x", "size": 24}, {"base": "10.0.0.0/16", "size": 8}, {"base": "10.0.0.0/16", "size": 33}):
        with pytest.raises(BadConfig):
            pools.parse_ranges([bad])


NETWORK = Network("a" * 64, "mine", ipv4=(Pool("10.0.0.0/29", "10.0.0.1", aux={"x": "10.0.0.3"}),))


def test_addresses_are_given_in_ascending_order_the_lowest_free_first() -> None:
    assert pools.choose(NETWORK, []) == ("10.0.0.2/29", "")
    assert pools.choose(NETWORK, ["10.0.0.2"]) == ("10.0.0.4/29", "")
    assert pools.choose(NETWORK, ["10.0.0.4", "10.0.0.5"]) == ("10.0.0.2/29", "")
    with pytest.raises(NoAddressLeft) as refused:
        pools.choose(NETWORK, ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"])
    assert str(refused.value) == f"no available IPv4 addresses on this network's address pools: mine ({'a' * 64})"


def test_the_range_of_addresses_counts_its_first_and_last() -> None:
    network = Network("a" * 64, "mine", ipv4=(Pool("10.78.0.0/16", "10.78.5.0", "10.78.5.0/29"),))
    taken: list[str] = []
    for _ in range(7):
        taken.append(pools.choose(network, taken)[0].partition("/")[0])
    assert taken == [f"10.78.5.{last}" for last in range(1, 8)]
    with pytest.raises(NoAddressLeft):
        pools.choose(network, taken)
    assert pools.choose(network, taken, ipv4="10.78.77.1") == ("10.78.77.1/16", "")  # wanted: anywhere in the subnet


@pytest.mark.parametrize("wanted", ["10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.0.7", "10.0.0.2"])
def test_a_wanted_address_that_is_kept_back_or_given_is_refused(wanted: str) -> None:
    with pytest.raises(AddressInUse):
        pools.choose(NETWORK, ["10.0.0.2"], ipv4=wanted)


def test_a_wanted_address_outside_is_refused() -> None:
    with pytest.raises(AddressOutside):
        pools.choose(NETWORK, [], ipv4="10.0.1.1")


def test_both_families_and_several_subnets() -> None:
    both = Network(
        "a" * 64,
        "mine",
        ipv4=(Pool("10.0.0.0/30", "10.0.0.1"), Pool("10.9.0.0/24", "10.9.0.1")),
        ipv6=(Pool("fd00:78::/64", "fd00:78::1"),),
        enable_ipv6=True,
    )
    assert pools.choose(both, []) == ("10.0.0.2/30", "fd00:78::2/64")
    assert pools.choose(both, ["10.0.0.2", "fd00:78::2"]) == ("10.9.0.2/24", "fd00:78::3/64")
    assert pools.choose(both, [], ipv6="fd00:78::0:9") == ("10.0.0.2/30", "fd00:78::9/64")


@given(st.integers(22, 30), st.sets(st.integers(0, 1023)), st.integers(0, 8))
def test_what_is_chosen_is_free_and_inside(prefix: int, offsets: set[int], narrower: int) -> None:
    subnet = f"10.4.0.0/{prefix}"
    block = f"10.4.0.0/{min(30, prefix + narrower)}"
    network = Network("a" * 64, "n", ipv4=plan(*config(subnet=subnet, ip_range=block)))
    taken = [str(ip_address("10.4.0.0") + offset) for offset in offsets]
    try:
        chosen = pools.choose(network, taken)[0]
    except NoAddressLeft:
        free = set(map(str, ip_network(block))) - set(taken)
        assert {int(ip_address(one)) for one in free} <= pools.kept_back(network.ipv4[0])
        return
    address = chosen.partition("/")[0]
    assert address not in taken and ip_address(address) in ip_network(block) and chosen.endswith(f"/{prefix}")
    assert int(ip_address(address)) not in pools.kept_back(network.ipv4[0])


GIVEN = Network("a" * 64, "fd_2", ipv4=(Pool("10.77.0.0/24"),), config_given=({"Subnet": "10.77.0.0/24"},))
DEFAULTED = Network("a" * 64, "fd_1", ipv4=(Pool("172.18.0.0/16"),))
PREFIX = "invalid endpoint settings:\n"
WRONG_ENDPOINTS = [
    (GIVEN, {"ipv4": "10.78.0.1"}, PREFIX + "no configured subnet or ip-range contain the IP address 10.78.0.1"),
    (
        GIVEN,
        {"ipv4": "0.0.0.0"},
        PREFIX + "* invalid IPv4 address: 0.0.0.0\n* no configured subnet or ip-range contain the IP address 0.0.0.0",
    ),
    (
        GIVEN,
        {"ipv4": "fd00::1"},
        PREFIX + "* invalid IPv4 address: fd00::1\n* no configured subnet or ip-range contain the IP address fd00::1",
    ),
    (GIVEN, {"link_local": ["bad"]}, PREFIX + "invalid link-local IP address: bad"),
    (GIVEN, {"mac": "bad"}, "invalid MAC address bad"),
    (
        GIVEN,
        {"ipv6": "fd00::1"},
        PREFIX + "user specified IP address is supported only when connecting to networks with user configured subnets",
    ),
    (
        DEFAULTED,
        {"ipv4": "172.18.0.9"},
        PREFIX + "user specified IP address is supported only when connecting to networks with user configured subnets",
    ),
    (
        Network("b" * 64, "bridge", ipv4=(Pool("172.29.0.0/16"),)),
        {"ipv4": "172.29.0.9"},
        PREFIX + "user specified IP address is supported on user defined networks only",
    ),
    (
        Network("b" * 64, "bridge", ipv4=(Pool("172.29.0.0/16"),)),
        {"ipv4": "10.0.0.1"},
        PREFIX + "* user specified IP address is supported on user defined networks only\n"
        "* no configured subnet or ip-range contain the IP address 10.0.0.1",
    ),
    (
        Network("b" * 64, "bridge"),
        {"aliases": ["x"]},
        PREFIX + "network-scoped alias is supported only for containers in user defined networks",
    ),
]


@pytest.mark.parametrize(("network", "wishes", "text"), WRONG_ENDPOINTS)
def test_wrong_wishes_for_an_endpoint(network: Network, wishes: dict[str, object], text: str) -> None:
    with pytest.raises(BadConfig) as refused:
        pools.check_endpoint(network, **wishes)  # type: ignore[arg-type]
    assert str(refused.value) == text


def test_right_wishes_for_an_endpoint() -> None:
    pools.check_endpoint(GIVEN, ipv4="10.77.0.9", aliases=["a", "x" * 63 + ".y"], mac="02:42:aa:BB:cc:dd")
    pools.check_endpoint(DEFAULTED)


def test_the_link_address_follows_the_ipv4_address() -> None:
    assert pools.mac_for("10.77.0.77/24") == "02:42:0a:4d:00:4d"
    assert pools.mac_for("")[:6] == "02:42:" and pools.mac_for("") != pools.mac_for("")


def test_more_than_one_subnet_is_refused_with_403() -> None:
    with pytest.raises(Refused):
        plan(*config(subnet="fd00:7::/64"), *config(subnet="fd00:8::/64"))


def test_a_gateway_needs_an_address() -> None:
    with pytest.raises(CannotReserve):
        plan(*config(subnet="fd00::7/128"))
