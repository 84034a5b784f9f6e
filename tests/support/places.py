"""Networks and endpoints for tests of the mechanisms: what the rows would say."""

from typing import Any

from sampan.network.model import Endpoint, Network, Pool


def network(letter: str, *subnets: str, **more: Any) -> Network:
    """A network whose id is one letter 64 times and whose gateways are .1 and ::1."""
    pools = [Pool(one, gateway(one)) for one in subnets]
    return Network(
        letter * 64,
        more.pop("name", f"net-{letter}"),
        ipv4=tuple(pool for pool in pools if ":" not in pool.subnet),
        ipv6=tuple(pool for pool in pools if ":" in pool.subnet),
        **more,
    )


def gateway(subnet: str) -> str:
    """The first address of a subnet, which ends with .0 or ::."""
    base = subnet.partition("/")[0]
    return f"{base}1" if ":" in base else base.rpartition(".")[0] + ".1"


def endpoint(one: Network, number: int, **more: Any) -> Endpoint:
    """The endpoint whose addresses end with ``number`` (2 to 65,000) on ``one``."""
    found = {}
    if one.ipv4:
        base = one.ipv4[0].subnet.split(".")
        found["ipv4"] = f"{base[0]}.{base[1]}.{number >> 8 or base[2]}.{number & 255}/{one.ipv4[0].prefix}"
    if one.ipv6:
        found["ipv6"] = f"{one.ipv6[0].subnet.partition('/')[0]}{number:x}/{one.ipv6[0].prefix}"
    identity = f"{one.id[:2]}{number:05x}{one.id[:57]}"
    return Endpoint(identity, one.id, f"{number:064x}", **{**found, **more})
