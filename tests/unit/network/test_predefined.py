"""What the daemon's configuration makes of the default network, and when it has to be made anew."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from sampan.network.errors import NetworkInUse, PoolOverlap
from sampan.network.model import DEFAULT_NETWORK, Network, Pool
from sampan.network.pools import Range
from sampan.network.predefined import AS_ALWAYS, Configured, reconfigure

OLD = Network("a" * 64, DEFAULT_NETWORK, ipv4=(Pool("172.17.0.0/16", "172.17.0.1"),))
BIP = Configured(bip="10.1.0.5/24")


def test_the_shape_of_a_configured_bridge() -> None:
    made = Configured(bip="10.1.0.5/24", mtu=1400, binding_ip="127.0.0.1", icc=False, masquerade=False).shape(OLD)
    assert made.config_given == ({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.5"},)
    assert made.options == {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
    }
    host = Network("b" * 64, "host", "host")
    assert BIP.shape(host) == host


FITS = [
    (AS_ALWAYS, OLD, True),
    (AS_ALWAYS, BIP.shape(OLD), False),
    (BIP, OLD, False),
    (BIP, BIP.shape(OLD), True),
    (Configured(mtu=1400), OLD, False),
    (Configured(ranges=(Range("172.16.0.0/12", 16),)), OLD, True),
    (Configured(ranges=(Range("172.16.0.0/12", 24),)), OLD, False),
    (Configured(ranges=(Range("10.99.0.0/16", 24),)), OLD, False),
]


@pytest.mark.parametrize(("configured", "network", "fits"), FITS)
def test_whether_it_is_as_configured(configured: Configured, network: Network, fits: bool) -> None:
    assert configured.fits(network) is fits


def run(configured: Configured, *, in_use: bool = False, overlaps: bool = False) -> list[object]:
    done: list[object] = []

    async def remove(network: Network) -> None:
        if in_use:
            raise NetworkInUse(network.name, network.id)
        done.append("removed")

    async def add(name: str, driver: str, shape: Callable[[Network], Network]) -> Network:
        made = shape(Network("f" * 64, name, driver))
        if overlaps and made.config_given:
            raise PoolOverlap
        done.append(made)
        return made

    asyncio.run(reconfigure(configured, OLD, remove, add))
    return done


def test_it_is_made_anew_under_its_id() -> None:
    plain = replace(OLD, ipv4=())
    assert run(AS_ALWAYS) == []
    assert run(BIP) == ["removed", BIP.shape(plain)]
    assert run(BIP, in_use=True) == []
    assert run(BIP, overlaps=True) == ["removed", plain]
