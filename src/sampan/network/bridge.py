"""The bridge of a network, which is a link of the host that containers are plugged into, and what routing it needs.

Words.  *uplink*: a link of the host, no bridge of ours, through which others are reached. *ours*: made by Sampan; the
        link's alias says so ("sampan network <id>"), so nothing else is ever deleted. *forwarding*: letting packets
        that arrive on a link go on through another.
Life.   ensure (when a network is made, and before containers are plugged) → remove. `ensure` looks first: what is
        right is not touched, so calling it again is how anything is repaired.
Cost.   ensure: 2 ms when the bridge is made, 0.4 ms when all is right. remove: 10 to 20 ms (RCU).
Thread. These functions work in the network namespace of the calling thread, and are handed a door to the same one.

What is set, and why:

* the gateways' addresses, IPv6 without duplicate address detection: they are ours by construction;
* a MAC address that follows from the gateway's (as those of containers do): it is the same after a crash or reboot, so
  running containers go on; without one a bridge takes its ports' and changes it whenever a container comes or goes;
* the uplink's MTU, unless an option says otherwise;
* ``route_localnet``, for ports published on 127.0.0.1 (the firewall guards it), not on internal networks;
* a local route to ::1 by the bridge, for ports published on ::1, not on internal networks: the way back is found only
  with it. Each bridge's has a metric of its own, or they would be one route with several ways;
* ``proxy_arp_pvlan`` where inter-container traffic is off: the ports are isolated, the bridge answers for linked ones,
  at once (``proxy_delay``: the kernel takes up to 0.8 s to think about it);
* IPv4 forwarding on the bridge and the uplinks, never on all links; off on an internal network's bridge;
* IPv6: off on the bridge of a network without. With, no router advertisements are listened to; no address is looked
  for before it is used, which would keep what comes from outside waiting two seconds; and forwarding is on:
  ``force_forwarding`` of the bridge and uplinks from Linux 6.17 on; before there is only the switch for all links. It
  makes the kernel ignore router advertisements, so links that live on them are told to listen all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from errno import ENODEV
from socket import AF_INET6
from typing import Final

from sampan.linux import sysctl
from sampan.linux.netlink import Message, NetlinkError
from sampan.linux.rtnetlink import (
    IFF_LOOPBACK,
    RT_TABLE_LOCAL,
    RTN_LOCAL,
    Address,
    Link,
    Route,
    Rtnetlink,
    delete_address,
    new_address,
    new_bridge,
    new_route,
    set_link,
)
from sampan.network.errors import NetworkError
from sampan.network.model import OPTION_BRIDGE_NAME, OPTION_ICC, OPTION_MTU, Network
from sampan.network.ruleset import enabled

PORTS: Final = 1023  # of a bridge: BR_MAX_PORTS less port 0 (net/bridge/br_private.h)
DEFAULT_MTU: Final = 1500  # bytes; where there is no uplink
IPV6_LEAST_MTU: Final = 1280  # bytes; the kernel takes IPv6 off a link with less (RFC 8200, 5)
_SOMEWHERE: Final = ("1.1.1.1", "2606:4700:4700::1111")  # addresses that only a default route leads to; nothing is sent
_SCOPE_GLOBAL: Final = 0
_LOOPBACK6: Final = "::1/128"
_FORWARD_IPV6: Final = "ipv6/conf/all/forwarding"
_METRICS: Final = 4096  # of routes to ::1 by bridges, and the link's index: behind the one by lo


class BridgeFull(NetworkError):
    """The bridge has as many ports as a bridge can have."""

    def __init__(self, bridge: str) -> None:
        super().__init__(
            f"bridge {bridge} is full: the kernel lets {PORTS} containers be connected to one bridge; "
            "connect this one to another network"
        )
        self.bridge = bridge


class NotABridge(NetworkError):
    """A link of another kind has the bridge's name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"existing interface {name} is not a bridge")
        self.name = name


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge that is as it should be."""

    index: int
    name: str
    mtu: int  # bytes
    changed: tuple[str, ...] = ()  # what `ensure` had to do, in words
    forwarding: tuple[str, ...] = ()  # uplinks that IPv4 forwarding was off on until `ensure` switched it on
    forwarding_ipv6: tuple[str, ...] = ()  # likewise; "all" where the kernel has but one switch


def alias_of(network: Network) -> str:
    """Return what marks a link of the host as made for ``network``."""
    return f"sampan network {network.id}"


def is_ours(link: Link) -> bool:
    """Tell whether Sampan made this link, for whichever network."""
    return link.alias.startswith("sampan ")


def mac_from_ipv4(address: str) -> str:
    """Return the MAC address that belongs to an IPv4 address, as in Docker: 02:42 and the address."""
    return "02:42:" + bytes(int(part) for part in address.partition("/")[0].split(".")).hex(":")


def uplink_mtu(host: Rtnetlink) -> int:
    """Return the MTU towards the world: the least of IPv4's and IPv6's default routes."""
    found = []
    for address in _SOMEWHERE:
        route = host.route_to(address)
        link = host.link(route.index) if route and route.index else None
        if route and link and not link.flags & IFF_LOOPBACK:
            found.append(min(route.mtu or link.mtu, link.mtu))
    return min(found, default=DEFAULT_MTU)


def mtu_of(host: Rtnetlink, network: Network) -> int:
    """Return the MTU that the network's links are to have."""
    if network.options.get(OPTION_MTU):
        return int(network.options[OPTION_MTU])
    mtu = uplink_mtu(host)
    return max(mtu, IPV6_LEAST_MTU) if network.ipv6 else mtu


def gateways(network: Network) -> tuple[str, ...]:
    """Return the addresses that the host has on the network, with prefixes."""
    return tuple(f"{pool.gateway}/{pool.prefix}" for pool in network.ipv4 + network.ipv6 if pool.gateway)


Guard = Callable[[tuple[str, ...], tuple[str, ...]], None]


def _unguarded(_ipv4: tuple[str, ...], _ipv6: tuple[str, ...]) -> None:
    return


def ensure(host: Rtnetlink, network: Network, guard: Guard = _unguarded) -> Bridge:
    """Make the network's bridge, or what is missing of it.

    ``guard`` is told where forwarding is off and is about to be switched on (IPv4, IPv6), so that the host never is a
    router for others, not for a moment.

    Raises:
        NotABridge: its name is taken by a link of another kind.
        NetlinkError: the kernel refused, such as an address that another link of the host has.
        OSError: a setting could not be written.
    """
    mtu = mtu_of(host, network)
    changed = []
    link = host.link(network.bridge)
    if link is None:
        host.apply([_making(network, mtu)], f"network {network.name}")
        changed.append(f"made {network.bridge}")
        link = _found(host, network.bridge)
        host.apply(_settling(network, link.index, mtu), f"network {network.name}: {link.name}")
        link = replace(link, alias=alias_of(network))
    elif link.kind != "bridge":
        raise NotABridge(link.name)
    everyone = host.addresses()
    repairs = _repairs(network, link, mtu, [one for one in everyone if one.index == link.index])
    changed += _settings(network, link.name)
    host.apply(repairs, f"network {network.name}: {link.name}")
    changed += [message.what for message in repairs]
    changed += _lead_back(host, network, link)
    uplinks = [] if network.internal else [one.name for one in _uplinks(host, everyone)]
    ipv4 = _closed_ipv4(uplinks) if network.ipv4 else ()
    ipv6 = _closed_ipv6(uplinks) if network.ipv6 and not network.internal else ()
    if ipv4 or ipv6:
        guard(ipv4, ipv6)
    for name in ipv4:
        sysctl.write(f"ipv4/conf/{name}/forwarding", "1")
    if network.ipv6 and not network.internal:
        _forward_ipv6(link.name, uplinks)
    changed += [f"forwarding on {name}" for name in ipv4] + [f"IPv6 forwarding on {name}" for name in ipv6]
    return Bridge(link.index, link.name, mtu if is_ours(link) else link.mtu, tuple(changed), ipv4, ipv6)


def remove(host: Rtnetlink, network: Network) -> bool:
    """Delete the network's bridge if Sampan made it; tell whether it did."""
    link = host.link(network.bridge)
    return link is not None and link.alias == alias_of(network) and host.delete_link(link.index)


def ours(host: Rtnetlink) -> dict[str, Link]:
    """Return the bridges that Sampan made, by the id of their network."""
    return {link.alias.rpartition(" ")[2]: link for link in host.links(kind="bridge") if is_ours(link)}


def _found(host: Rtnetlink, name: str) -> Link:
    link = host.link(name)
    if link is None:
        raise NetlinkError(ENODEV, f"find bridge {name}", "it was deleted while it was made")
    return link


def _making(network: Network, mtu: int) -> Message:
    gateway = next((pool.gateway for pool in network.ipv4 if pool.gateway), "")
    mac = mac_from_ipv4(gateway) if gateway else "02:42:" + bytes.fromhex(network.id[:8]).hex(":")
    return new_bridge(network.bridge, mtu=mtu, mac=mac)


def _settling(network: Network, index: int, mtu: int) -> list[Message]:
    """Return the messages that mark a bridge as ours and make its MTU its own.

    An MTU that it was made with follows its ports, up to 1,500 when the last one goes; one that was changed stays.
    """
    change = [set_link(index, mtu=DEFAULT_MTU), set_link(index, mtu=mtu)] if mtu != DEFAULT_MTU else []
    return [*change, set_link(index, alias=alias_of(network))]


def _repairs(network: Network, link: Link, mtu: int, there: Iterable[Address]) -> list[Message]:
    """Return the messages that make the bridge right. A bridge that isn't ours keeps its MTU and other addresses."""
    wanted = gateways(network)
    unmarked = not link.alias and OPTION_BRIDGE_NAME not in network.options  # a kill came between making and marking
    has = [one.interface for one in there if one.scope == _SCOPE_GLOBAL]
    messages = [set_link(link.index, alias=alias_of(network))] if unmarked else []
    if unmarked or is_ours(link):
        messages += [delete_address(link.index, one) for one in has if one not in wanted]
        if link.mtu != mtu:
            messages.append(set_link(link.index, mtu=mtu))
    messages += [new_address(link.index, one) for one in wanted if one not in has]
    if not link.up:
        messages.append(set_link(link.index, up=True))
    return messages


def _settings(network: Network, name: str) -> list[str]:
    """Set what belongs to the bridge itself; return what had to be."""
    routed = "0" if network.internal else "1"
    wanted = {f"ipv4/conf/{name}/forwarding": routed, f"ipv4/conf/{name}/route_localnet": routed}
    if not enabled(network.options, OPTION_ICC):
        wanted[f"ipv4/conf/{name}/proxy_arp_pvlan"] = "1"
        wanted[f"ipv4/neigh/{name}/proxy_delay"] = "0"
    if sysctl.exists(f"ipv6/conf/{name}"):
        wanted[f"ipv6/conf/{name}/disable_ipv6"] = "0" if network.ipv6 else "1"
        if network.ipv6:
            wanted[f"ipv6/conf/{name}/accept_ra"] = "0"
            wanted[f"ipv6/conf/{name}/accept_dad"] = "0"
    return [f"{key} = {value}" for key, value in wanted.items() if sysctl.ensure(key, value)]


def _lead_back(host: Rtnetlink, network: Network, link: Link) -> list[str]:
    """See that answers to ::1 are taken from the bridge; return what had to be done. It is gone whenever the bridge
    was down.
    """
    if network.internal or not network.ipv6:
        return []
    there = host.routes(AF_INET6, table=RT_TABLE_LOCAL)
    if any(route.dst == _LOOPBACK6 and route.index == link.index for route in there):
        return []
    route = Route(_LOOPBACK6, index=link.index, metric=_METRICS + link.index, table=RT_TABLE_LOCAL, kind=RTN_LOCAL)
    host.apply([new_route(route)], f"network {network.name}: {link.name}")
    return [f"route to ::1 by {link.name}"]


def _uplinks(host: Rtnetlink, addresses: Iterable[Address]) -> list[Link]:
    """Return the links with an address that are neither ours nor loopback. Asked for one by one: the host may have
    a thousand links of containers, but few that have addresses.
    """
    found = [host.link(index) for index in sorted({one.index for one in addresses})]
    return [link for link in found if link and not is_ours(link) and not link.flags & IFF_LOOPBACK]


def _closed_ipv4(uplinks: Iterable[str]) -> tuple[str, ...]:
    """Return the uplinks that IPv4 forwarding is off on."""
    return tuple(name for name in uplinks if sysctl.read(f"ipv4/conf/{name}/forwarding") != "1")


def _closed_ipv6(uplinks: Iterable[str]) -> tuple[str, ...]:
    """Return the uplinks that IPv6 forwarding is off on; "all" where the kernel has but one switch."""
    if sysctl.read(_FORWARD_IPV6) == "1":
        return ()
    if not has_single_switches():
        return ("all",)
    return tuple(name for name in _with_ipv6(uplinks) if sysctl.read(f"ipv6/conf/{name}/force_forwarding") != "1")


def has_single_switches() -> bool:
    """Tell whether IPv6 forwarding can be switched on for single links: from Linux 6.17 on."""
    return sysctl.exists("ipv6/conf/all/force_forwarding")


def forwards_everywhere() -> tuple[bool, bool]:
    """Tell whether somebody else switched forwarding of IPv4, of IPv6, on for all links: we only do it for single ones.

    Where IPv6 has but one switch it can't be told who used it: then it wasn't somebody else.
    """
    ipv6 = has_single_switches() and sysctl.read(_FORWARD_IPV6) == "1"
    return sysctl.read("ipv4/ip_forward") == "1", ipv6


def _with_ipv6(names: Iterable[str]) -> list[str]:
    return [name for name in names if sysctl.exists(f"ipv6/conf/{name}")]


def _forward_ipv6(bridge: str, uplinks: Iterable[str]) -> None:
    if sysctl.read(_FORWARD_IPV6) == "1":
        return
    names = _with_ipv6(uplinks)
    if has_single_switches():
        for name in (bridge, *names):
            sysctl.ensure(f"ipv6/conf/{name}/force_forwarding", "1")
        return
    for name in names:
        if sysctl.read(f"ipv6/conf/{name}/accept_ra") == "1":
            sysctl.write(f"ipv6/conf/{name}/accept_ra", "2")
    sysctl.write(_FORWARD_IPV6, "1")
