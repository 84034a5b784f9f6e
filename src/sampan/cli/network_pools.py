"""--subnet, --ip-range, --gateway and --aux-address of ``network create``, sorted into the API's pools.

Docker's client puts each range, gateway and address to the subnet that holds it, and refuses what has none.
"""

from __future__ import annotations

from sampan.cli.addresses import parse_cidr, parse_ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Pool = dict[str, Any]


def pools(
    subnets: Sequence[str], ranges: Sequence[str], gateways: Sequence[str], aux: Mapping[str, str]
) -> list[dict[str, Any]]:
    """IPAM.Config of the request. Raises ValueError in Docker's words."""
    if len(subnets) < max(len(ranges), len(gateways)):
        raise ValueError("every ip-range or gateway must have a corresponding subnet")
    found: dict[str, Pool] = {}
    for subnet in subnets:
        for other in found:
            if _holds(subnet, other) or _holds(other, subnet):
                raise ValueError("multiple overlapping subnet configuration is not supported")
        found[subnet] = {"Subnet": subnet}
    for text in ranges:
        _put(found, _owners(subnets, text, cidr=True), "IPRange", text, ("range", "ranges", "on"))
    for text in gateways:
        _put(found, _owners(subnets, text), "Gateway", text, ("gateway", "gateways", "for"))
    for name, text in aux.items():
        owners = _owners(subnets, text)
        if not owners:
            raise ValueError(f"no matching subnet for aux-address {text}")
        for subnet in owners:
            found[subnet].setdefault("AuxiliaryAddresses", {})[name] = text
    return list(found.values())


def _owners(subnets: Sequence[str], text: str, *, cidr: bool = False) -> list[str]:
    return [subnet for subnet in subnets if _holds(subnet, text, cidr=cidr)]


def _put(found: dict[str, Pool], owners: Sequence[str], key: str, text: str, words: tuple[str, str, str]) -> None:
    one, many, where = words
    for subnet in owners:
        if key in found[subnet]:
            both = f"({text}, {found[subnet][key]})"
            raise ValueError(f"cannot configure multiple {many} {both} {where} the same subnet ({subnet})")
        found[subnet][key] = text
    if not owners:
        raise ValueError(f"no matching subnet for {one} {text}")


def _holds(subnet: str, text: str, *, cidr: bool = False) -> bool:
    """Whether `subnet` holds the address in `text`; none holds what is no address, but with a slash that is a fault."""
    try:
        base, length = parse_cidr(subnet)
    except ValueError as error:
        raise ValueError(f"invalid subnet: {error}") from None
    address = parse_cidr(text)[0] if cidr or "/" in text else parse_ip(text)
    if address is None or address.version != base.version:
        return False
    shift = base.max_prefixlen - length
    return int(address) >> shift == int(base) >> shift
