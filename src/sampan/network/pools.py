"""Subnets and addresses: which subnet a new network gets, and which address a new endpoint.

Words.  *range*: a block that default subnets are cut from. *pool*: a subnet of a network. *taken*: addresses that
        endpoints have; *kept back*: the subnet's own two, the gateway, the auxiliary addresses.
Order.  The lowest free subnet and the lowest free address, as dockerd gives them; an address that was freed is given
        again at once. What is taken is a question to the database: `plan` and `choose` are called inside its
        transaction and keep nothing.
Cost.   O(networks) for a subnet, O(addresses given) for an address.
Texts.  The refusals are those of dockerd 26.1.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from sampan.network.errors import (
    AddressInUse,
    AddressOutside,
    BadConfig,
    CannotReserve,
    NoAddressLeft,
    NoPoolLeft,
    PoolOverlap,
    Refused,
)
from sampan.network.model import DEFAULT_NETWORK, Network, Pool

Net = IPv4Network | IPv6Network

PREDEFINED: Final = frozenset({"bridge", "host", "none", "default"})  # networks whose addresses nobody chooses
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Range:
    """A block of addresses, cut into subnets of ``size`` prefix bits."""

    base: str  # "172.20.0.0/14"
    size: int  # 16

    @property
    def version(self) -> int:
        """Return 4 or 6."""
        return ip_network(self.base).version


DEFAULT_RANGES: Final = (  # dockerd's default-address-pools (libnetwork/ipamutils)
    Range("172.17.0.0/16", 16),
    Range("172.18.0.0/16", 16),
    Range("172.19.0.0/16", 16),
    Range("172.20.0.0/14", 16),
    Range("172.24.0.0/14", 16),
    Range("172.28.0.0/14", 16),
    Range("192.168.0.0/16", 20),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a new subnet must keep clear of, and where it may come from."""

    others: Sequence[Network] = ()
    routed: Sequence[str] = ()  # prefixes that the host routes or asks names of: not for default subnets
    ranges: Sequence[Range] = DEFAULT_RANGES


def parse_ranges(config: Iterable[Mapping[str, Any]]) -> tuple[Range, ...]:
    """Read ``default-address-pools`` of daemon.json: objects of ``base`` and ``size``. Raises BadConfig."""
    return tuple(_parse_range(str(one.get("base", "")), one.get("size", 0)) for one in config)


def _parse_range(base: str, size: object) -> Range:
    try:
        net = ip_network(base, strict=False)
    except ValueError:
        raise BadConfig(f'invalid base pool "{base}": invalid CIDR address: {base}') from None
    if not isinstance(size, int) or not 0 < size <= net.max_prefixlen or size < net.prefixlen:
        raise BadConfig(f"invalid pools size: {size}")
    return Range(str(net), size)


def own_ipv6_range(engine_id: str) -> Range:
    """Return a range of unique local addresses that is this engine's own (RFC 4193, section 3.2): /64s of one /48."""
    digest = hashlib.sha256(engine_id.encode()).digest()
    return Range(str(IPv6Network((b"\xfd" + digest[:5] + bytes(10), 48))), 64)


# --- what the user wrote ----------------------------------------------------------------------------------------------


def parse_config(config: Iterable[Mapping[str, Any]]) -> tuple[Pool, ...]:
    """Turn IPAM.Config as the API has it into pools of wishes, unchecked: "" where nothing was said."""
    return tuple(
        Pool(
            subnet=one.get("Subnet") or "",
            gateway=one.get("Gateway") or "",
            ip_range=one.get("IPRange") or "",
            aux=dict(one.get("AuxiliaryAddresses") or {}),
        )
        for one in config
    )


def check_config(wishes: Iterable[Pool], *, enable_ipv6: bool) -> None:
    """Refuse wishes that are wrong in themselves; IPv6 subnets of a network without IPv6 are not looked at.

    Raises BadConfig with one line for each fault.
    """
    faults = [fault for wish in wishes for fault in _faults(wish, enable_ipv6)]
    if faults:
        raise BadConfig(f"invalid network config:\n{_joined(faults)}")


def _joined(faults: Sequence[str]) -> str:
    return faults[0] if len(faults) == 1 else "\n".join(f"* {fault}" for fault in faults)


def _faults(wish: Pool, enable_ipv6: bool) -> Iterator[str]:
    subnet = _cidr(wish.subnet)
    if subnet is None:
        yield f"invalid subnet {wish.subnet}: invalid CIDR block notation"
        return
    if subnet.version == 6 and not enable_ipv6:
        return
    if not _canonical(wish.subnet):
        yield f"invalid subnet {wish.subnet}: it should be {subnet}"
    yield from _range_faults(wish.ip_range, subnet)
    for what, address in [(f"gateway {wish.gateway}", wish.gateway)] + [
        (f"auxiliary address {name}", address) for name, address in wish.aux.items()
    ]:
        if address and (fault := _address_fault(address, subnet)):
            yield f"invalid {what}: {fault}"


def _range_faults(text: str, subnet: Net) -> Iterator[str]:
    if not text:
        return
    block = _cidr(text)
    if block is None:
        yield f"invalid ip-range {text}: invalid CIDR block notation"
        return
    if block.version != subnet.version:
        yield f"invalid ip-range {text}: parent subnet is an IPv{subnet.version} block"
        return
    if block.prefixlen < subnet.prefixlen:
        yield f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"
    if not _canonical(text):
        yield f"invalid ip-range {text}: it should be {block}"
    if not block.overlaps(subnet):
        yield f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"


def _address_fault(text: str, subnet: Net) -> str:
    """Return why ``text`` can't be an address of ``subnet``; "" when it can."""
    try:
        address = ip_address(text)
    except ValueError:
        return "invalid address"
    if address.version != subnet.version:
        return f"parent subnet is an IPv{subnet.version} block"
    return "" if address in subnet else f"parent subnet {subnet} doesn't contain this address"


def _cidr(text: str) -> Net | None:
    """Parse "address/bits", with bits of an address after the prefix or not."""
    address, slash, bits = text.partition("/")
    if not slash or not bits.isascii() or not bits.isdigit() or (bits[0] == "0" and bits != "0") or "%" in address:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _canonical(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


LABEL_LIMIT: Final = 63  # RFC 1035, 2.3.4: a longer one would be found by nobody


def check_endpoint(
    network: Network,
    *,
    ipv4: str = "",
    ipv6: str = "",
    link_local: Iterable[str] = (),
    aliases: Collection[str] = (),
    mac: str = "",
) -> None:
    """Refuse wishes for an endpoint that are wrong in themselves or not possible on ``network``. Raises BadConfig."""
    faults: list[str] = []
    if network.name in PREDEFINED:
        if ipv4 or ipv6:
            faults.append("user specified IP address is supported on user defined networks only")
        if aliases:
            faults.append("network-scoped alias is supported only for containers in user defined networks")
    faults += [
        f"invalid IPv{version} address: {text}" for version, text in ((4, ipv4), (6, ipv6)) if _odd(text, version)
    ]
    faults += [f"invalid link-local IP address: {text}" for text in link_local if _odd(text, 0)]
    faults += [
        f"invalid network-scoped alias: {alias}: no name has a part of more than {LABEL_LIMIT} characters"
        for alias in aliases
        if any(len(label.encode()) > LABEL_LIMIT for label in alias.split("."))
    ]
    faults += _placed(network, 4, ipv4) + _placed(network, 6, ipv6)
    if mac and not _MAC.fullmatch(mac):
        raise BadConfig(f"invalid MAC address {mac}")
    if faults:
        raise BadConfig(f"invalid endpoint settings:\n{_joined(faults)}")


def _odd(text: str, version: int) -> bool:
    """Tell whether ``text`` is given and no usable address of that version (0: either)."""
    try:
        return bool(text) and ((one := ip_address(text)).is_unspecified or version not in {0, one.version})
    except ValueError:
        return True


def _placed(network: Network, version: int, text: str) -> list[str]:
    """Say what is wrong when none of the subnets that the user gave the network has the address. (The default
    bridge's count as given: the daemon's configuration chose them.)
    """
    if not text:
        return []
    subnets = [one.get("Subnet", "") for one in network.config_given]
    if network.name == DEFAULT_NETWORK:
        subnets = [pool.subnet for pool in network.ipv4 + network.ipv6]
    given = [net for subnet in subnets if (net := _cidr(subnet)) and net.version == version]
    if not given or (version == 6 and not network.enable_ipv6):
        return ["user specified IP address is supported only when connecting to networks with user configured subnets"]
    if any(not _address_fault(text, net) for net in given):
        return []
    return [f"no configured subnet or ip-range contain the IP address {text}"]


# --- a new network ---------------------------------------------------------------------------------------------------


def plan(
    wishes: Sequence[Pool], around: Surroundings, *, enable_ipv6: bool, driver: str = "bridge"
) -> tuple[tuple[Pool, ...], tuple[Pool, ...]]:
    """Return the IPv4 and IPv6 pools of a new network whose wishes passed `check_config`.

    A family without a wish gets the first free subnet of the default ranges.
    Raises PoolOverlap, NoPoolLeft, CannotReserve, Refused.
    """
    taken = [net for network in around.others for net in _subnets(network)]
    ipv4 = _plan_family(4, wishes, taken, around)
    ipv6 = _plan_family(6, wishes, taken, around) if enable_ipv6 else ()
    if driver == "bridge" and (len(ipv4) > 1 or len(ipv6) > 1):
        raise Refused("bridge driver doesn't support multiple subnets")
    return ipv4, ipv6


def _subnets(network: Network) -> Iterator[Net]:
    for pool in network.ipv4 + network.ipv6:
        yield ip_network(pool.subnet)


def _plan_family(version: int, wishes: Sequence[Pool], taken: Sequence[Net], around: Surroundings) -> tuple[Pool, ...]:
    mine = [wish for wish in wishes if (":" in wish.subnet) == (version == 6)]
    if not mine:
        return (_complete(Pool(str(next_subnet(version, taken, around)))),)
    pools: list[Pool] = []
    for wish in mine:
        subnet = ip_network(wish.subnet)
        if any(subnet.overlaps(other) for other in [*taken, *(ip_network(pool.subnet) for pool in pools)]):
            raise PoolOverlap
        pools.append(_complete(wish))
    return tuple(pools)


def next_subnet(version: int, taken: Sequence[Net], around: Surroundings) -> Net:
    """Return the first subnet of the default ranges that neither another network has nor the host routes.

    Raises NoPoolLeft.
    """
    blocked = [*taken, *(ip_network(prefix, strict=False) for prefix in around.routed)]
    # A default route says nothing about who has an address.
    blocked = [net for net in blocked if net.version == version and net.prefixlen > 0]
    for one in around.ranges:
        base = ip_network(one.base)
        if base.version != version:
            continue
        step = 1 << (base.max_prefixlen - one.size)
        first, last = int(base.network_address), int(base.broadcast_address)
        while first <= last:
            candidate = type(base)((first, one.size))
            ends = [int(net.broadcast_address) for net in blocked if net.overlaps(candidate)]
            if not ends:
                return candidate
            first = max(first + step, (max(ends) // step + 1) * step)
    raise NoPoolLeft(version)


def _complete(wish: Pool) -> Pool:
    """Return the wish in canonical form, its gateway chosen. Raises CannotReserve."""
    subnet = ip_network(wish.subnet)
    taken = _own(subnet)
    block = ip_network(wish.ip_range) if wish.ip_range else subnet
    if wish.gateway:
        gateway = int(ip_address(wish.gateway))
        if gateway in taken:
            raise CannotReserve(f"failed to allocate gateway ({wish.gateway}): Address already in use")
    else:
        free = _lowest(block, taken)
        if free is None:
            raise CannotReserve("failed to allocate gateway (): No available addresses on this pool")
        gateway = free
    taken.add(gateway)
    for name, text in wish.aux.items():
        if int(ip_address(text)) in taken:
            raise CannotReserve(f"failed to allocate secondary ip address ({name}:{text}): Address already in use")
        taken.add(int(ip_address(text)))
    return replace(
        wish,
        subnet=str(subnet),
        gateway=_text(subnet, gateway),
        ip_range=str(block) if wish.ip_range else "",
        aux={name: str(ip_address(text)) for name, text in wish.aux.items()},
    )


def _own(subnet: Net) -> set[int]:
    """Return the subnet's own addresses: its first (IPv6: the routers' anycast), and the last one of IPv4."""
    if subnet.version == 6:
        return {int(subnet.network_address)}
    if subnet.num_addresses <= 2:  # point-to-point (RFC 3021)
        return set()
    return {int(subnet.network_address), int(subnet.broadcast_address)}


def _lowest(block: Net, taken: Collection[int]) -> int | None:
    first, last = int(block.network_address), int(block.broadcast_address)
    return next((one for one in range(first, last + 1) if one not in taken), None)


def _text(subnet: Net, number: int) -> str:
    return str(type(subnet.network_address)(number))


# --- a new endpoint --------------------------------------------------------------------------------------------------


def choose(network: Network, taken: Collection[str], *, ipv4: str = "", ipv6: str = "") -> tuple[str, str]:
    """Return an IPv4 and an IPv6 address of ``network``, with prefix; "" for a family that it doesn't have.

    ``taken`` are the addresses that its endpoints have; ``ipv4`` and ``ipv6``, if given, the ones that are wanted.
    Raises AddressInUse, AddressOutside, NoAddressLeft.
    """
    return (
        _choose_family(network, 4, network.ipv4, taken, ipv4),
        _choose_family(network, 6, network.ipv6, taken, ipv6) if network.enable_ipv6 else "",
    )


def _choose_family(network: Network, version: int, pools: Sequence[Pool], taken: Collection[str], wanted: str) -> str:
    if not pools:
        return ""
    given = {int(one) for text in taken if (one := ip_address(text)).version == version}
    if wanted:
        return _wanted(pools, given, wanted)
    for pool in pools:
        subnet = ip_network(pool.subnet)
        free = _lowest(ip_network(pool.ip_range) if pool.ip_range else subnet, given | kept_back(pool))
        if free is not None:
            return f"{_text(subnet, free)}/{subnet.prefixlen}"
    raise NoAddressLeft(network.name, network.id, version)


def _wanted(pools: Sequence[Pool], given: Collection[int], wanted: str) -> str:
    address = ip_address(wanted)
    pool = next((pool for pool in pools if pool.contains(wanted)), None)
    if pool is None:
        raise AddressOutside
    if int(address) in given or int(address) in kept_back(pool):
        raise AddressInUse
    return f"{address}/{pool.prefix}"


def kept_back(pool: Pool) -> set[int]:
    """Return the addresses of a pool that no endpoint gets, as numbers."""
    own = _own(ip_network(pool.subnet))
    return own | {int(ip_address(text)) for text in (pool.gateway, *pool.aux.values()) if text}


def mac_for(ipv4: str) -> str:
    """Return the link address of an endpoint: 02:42 and its IPv4 address as dockerd 26.1 has it, else a random one.

    It follows the address so that a neighbour's ARP entry stays right when a container starts again.
    """
    tail = ip_address(ipv4.partition("/")[0]).packed if ipv4 else os.urandom(4)
    return ":".join(f"{octet:02x}" for octet in b"\x02\x42" + tail)
