"""What networks are made of."""

import msgspec
import pytest

from sampan.network.bridge import mac_from_ipv4
from sampan.network.model import OPTION_BRIDGE_NAME, Endpoint, Network, Pool, Publication

DUAL = Network(
    "a1b2c3d4e5f60718" * 4,
    "dual",
    ipv4=(Pool("172.18.0.0/16", "172.18.0.1", aux={"printer": "172.18.0.9"}), Pool("10.1.0.0/24")),
    ipv6=(Pool("fd00::/64", "fd00::1"),),
    config_given=({"Subnet": "172.18.0.0/16", "AuxiliaryAddresses": {"printer": "172.18.0.9"}},),
)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (DUAL, "br-a1b2c3d4e5f6"),
        (Network("0" * 64, "bridge"), "sampan0"),
        (Network("0" * 64, "x", options={OPTION_BRIDGE_NAME: "mine"}), "mine"),
    ],
)
def test_the_name_of_a_bridge(network: Network, name: str) -> None:
    assert network.bridge == name


@pytest.mark.parametrize(
    ("address", "gateway"),
    [
        ("172.18.255.3/16", "172.18.0.1"),
        ("172.18.0.3", "172.18.0.1"),
        ("fd00::5/64", "fd00::1"),
        ("10.1.0.2/24", ""),
        ("192.0.2.1/24", ""),
        ("fe80::1", ""),
        ("", ""),
    ],
)
def test_the_gateway_of_an_address(address: str, gateway: str) -> None:
    assert DUAL.gateway(address) == gateway


def test_prefixes_and_names() -> None:
    assert [pool.prefix for pool in DUAL.ipv4 + DUAL.ipv6] == [16, 24, 64]
    assert Endpoint("0123456789abcdef" * 4, DUAL.id, "s").host_link == "veth0123456"
    assert mac_from_ipv4("172.18.0.2/16") == "02:42:ac:12:00:02"


@pytest.mark.parametrize(
    "value",
    [
        DUAL,
        Endpoint("e" * 64, DUAL.id, "s", "eth0", ipv4="172.18.0.2/16", aliases=("db",), priority=-1),
        Publication("s", "tcp", "::", 8080, 80, target_ipv6="fd00::2"),
    ],
)
def test_values_come_back_from_json(value: object) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value
