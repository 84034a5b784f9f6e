"""Plugging a sandbox into its networks: interfaces, addresses and default routes in its network namespace.

Words.  *plug*: give the namespace an interface on a network. *host's end*: of a veth, the port of the bridge; its alias
        ("sampan endpoint <id>") tells whose it is. macvlan and ipvlan links have none. *default route*: at most one
        for each family, through the endpoint that `choose_default` names.
Life.   plug → set_default (when another network comes or goes) → unplug; or the namespace ends, and the kernel deletes
        all that is in it. After a restart of sampand: `restore`.
Cost.   plug: 0.8 ms of work in five exchanges with the kernel. unplug: 20 ms
        of waiting for RCU and 1 ms for each: in the background. set_default, observe: 0.3 ms.
Thread. plug, restore: in the host's namespace (they enter the sandbox's and come back). The others: anywhere.
Errors. `NetlinkError`, `BridgeFull`; nothing half-made is left when one is raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from errno import EEXIST, EXFULL
from hashlib import sha256
from typing import Final

from sampan.linux import netlink, sysctl
from sampan.linux.netlink import Message, NetlinkError
from sampan.linux.rtnetlink import (
    RTPROT_BOOT,
    Address,
    Link,
    Route,
    Rtnetlink,
    delete_route,
    new_address,
    new_ipvlan,
    new_macvlan,
    new_route,
    new_veth,
    set_link,
)
from sampan.network import bridge, parent
from sampan.network.bridge import BridgeFull, mac_from_ipv4
from sampan.network.model import (
    OPTION_ICC,
    OPTION_INTERFACE_PREFIX,
    OPTION_IPVLAN_MODE,
    OPTION_MTU,
    Endpoint,
    Network,
    Publication,
)
from sampan.network.ruleset import enabled

_ALIAS: Final = "sampan endpoint "
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_SCOPE_GLOBAL: Final = 0
_SHOWS_FRAMES: Final = "bridge/bridge-nf-call-iptables"

Place = tuple[Network, Endpoint]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a network namespace has."""

    links: tuple[Link, ...]
    addresses: tuple[Address, ...]
    defaults: tuple[Route, ...]

    def link(self, name: str) -> Link | None:
        """Return a link by name."""
        return next((one for one in self.links if one.name == name), None)

    def global_addresses(self, index: int) -> list[str]:
        """Return the global addresses of a link, with prefixes."""
        return [one.interface for one in self.addresses if one.index == index and one.scope == _SCOPE_GLOBAL]


def mac_of(endpoint: Endpoint) -> str:
    """Return the endpoint's MAC address: its own, the one of its IPv4 address, or (IPv6 only) one that its id gives."""
    if endpoint.mac:
        return endpoint.mac
    if endpoint.ipv4:
        return mac_from_ipv4(endpoint.ipv4)
    return "02:42:" + sha256(endpoint.id.encode()).digest()[:4].hex(":")


def choose_default(places: Iterable[Place]) -> tuple[Place | None, Place | None]:
    """Return whose the IPv4 and the IPv6 default routes are, as in Docker.

    Internal networks have none. The highest priority wins; of equals one with IPv6; then the first by name.
    """
    able = [place for place in places if not place[0].internal]
    able.sort(key=lambda place: (-place[1].priority, not place[1].ipv6, place[0].name))
    ipv4 = (place for place in able if _way(*place, "0.0.0.0/0"))
    ipv6 = (place for place in able if _way(*place, "::/0"))
    return next(ipv4, None), next(ipv6, None)


def targeted(places: Sequence[Place], ports: Iterable[Publication]) -> tuple[Publication, ...]:
    """Return the publications with a sandbox's addresses, those with the default routes."""
    ipv4, ipv6 = choose_default(places)
    to4 = ipv4[1].ipv4.partition("/")[0] if ipv4 and ipv4[0].driver == "bridge" else ""
    to6 = ipv6[1].ipv6.partition("/")[0] if ipv6 and ipv6[0].driver == "bridge" else ""
    return tuple(replace(one, target_ipv4=to4, target_ipv6=to6) for one in ports)


def plug(
    host: Rtnetlink,
    netns: int,
    network: Network,
    endpoint: Endpoint,
    *,
    default_ipv4: bool = False,
    default_ipv6: bool = False,
) -> Endpoint:
    """Give the namespace of descriptor ``netns`` its interface; return the endpoint with its name and MAC address.

    The interface gets the name that the endpoint has, or the first free one: eth0, eth1 …. With a default route, it
    takes the place of the one there. What a kill in the middle left of this very endpoint is replaced.

    Raises:
        BridgeFull: the bridge has 1,023 ports.
        NetlinkError: the kernel refused.
    """
    base = _base(host, network)
    with netlink.inside(netns), Rtnetlink() as box:
        name = endpoint.interface or _free_name(box, network)
        made = replace(endpoint, interface=name, mac=mac_of(endpoint))
        if network.driver == "bridge":
            _make_veth(host, netns, network, made, base)
        else:
            _make_lower(host, box, netns, network, made, base=base)
        try:
            defaults = [dst for dst, wanted in zip(_EVERYWHERE, (default_ipv4, default_ipv6), strict=True) if wanted]
            return _configure(box, network, made, defaults)
        except BaseException:
            _undo(host, box, network, made)
            raise


def free_name(netns: int, network: Network) -> str:
    """Return the name that an interface on ``network`` would get in the namespace: the first free one."""
    with Rtnetlink(netns) as box:
        return _free_name(box, network)


def unplug(host: Rtnetlink, endpoints: Iterable[Endpoint]) -> None:
    """Delete the host's ends of these endpoints and with them the interfaces; what is gone already is no error."""
    host.delete_links([endpoint.host_link for endpoint in endpoints])


def unplug_inside(netns: int, interface: str) -> bool:
    """Delete a macvlan or ipvlan interface of a live sandbox; tell whether it was there."""
    with Rtnetlink(netns) as box:
        return box.delete_link(interface)


def plugged(host: Rtnetlink) -> dict[str, Link]:
    """Return the host's ends that are there, by the id of their endpoint, for whichever network."""
    ends = (link for link in host.links(kind="veth") if link.alias.startswith(_ALIAS))
    return {link.alias.removeprefix(_ALIAS): link for link in ends}


def observe(netns: int) -> Observed:
    """Return the links, addresses and default routes of a namespace."""
    with Rtnetlink(netns) as box:
        return _look(box)


def set_default(netns: int, ipv4: Place | None, ipv6: Place | None) -> tuple[str, ...]:
    """Make the default routes lead through these endpoints, None: not at all; return what had to be changed.

    A route is replaced in one step: there is no moment without. One that is right is not touched.
    """
    with Rtnetlink(netns) as box:
        seen = _look(box)
        messages: list[Message] = []
        for dst, place in zip(_EVERYWHERE, (ipv4, ipv6), strict=True):
            messages += _rerouting(seen, dst, place)
        box.apply(messages, "default route")
        return tuple(message.what for message in messages)


def restore(
    host: Rtnetlink,
    netns: int,
    network: Network,
    endpoint: Endpoint,
    *,
    default_ipv4: bool = False,
    default_ipv6: bool = False,
) -> tuple[str, ...]:
    """Repair a live sandbox's place on a network; return what had to be done, nothing for a whole one.

    On the host's side everything is made right: the bridge is there and the link is its port and up. In the sandbox
    only what a killed sampand left half-made is finished: a container may have changed its own addresses and routes.
    """
    base = _base(host, network)
    wanted = {"default_ipv4": default_ipv4, "default_ipv6": default_ipv6}
    seen = observe(netns)
    link = seen.link(endpoint.interface) if endpoint.interface else None
    if link is None or (network.driver == "bridge" and host.link(endpoint.host_link) is None):
        plug(host, netns, network, endpoint, **wanted)
        return (f"plug into {network.name}",)
    if not link.up and not seen.global_addresses(link.index):
        with netlink.inside(netns), Rtnetlink() as box:
            defaults = [dst for dst, one in zip(_EVERYWHERE, wanted.values(), strict=True) if one]
            _configure(box, network, endpoint, defaults)
        return (f"finish {endpoint.interface} on {network.name}", *_reattach(host, network, endpoint, base))
    return _reattach(host, network, endpoint, base)


# --- links -----------------------------------------------------------------------------------------------------------


def _base(host: Rtnetlink, network: Network) -> Link:
    """Return the network's bridge or parent, made if it has gone."""
    if network.driver != "bridge":
        return parent.ensure(host, network)
    link = host.link(network.bridge)
    if link is None:
        bridge.ensure(host, network)
        link = host.link(network.bridge)
    if link is None or link.kind != "bridge":
        raise bridge.NotABridge(network.bridge)
    return link


def _free_name(box: Rtnetlink, network: Network) -> str:
    """Return the first free name. The sandbox may hold links of its own making too."""
    prefix = network.options.get(OPTION_INTERFACE_PREFIX) or "eth"
    names = {link.name for link in box.links()}
    return next(name for name in (f"{prefix}{number}" for number in range(len(names) + 1)) if name not in names)


def _make_veth(host: Rtnetlink, netns: int, network: Network, endpoint: Endpoint, base: Link) -> None:
    """Make the endpoint's veth, its end in the namespace down; nothing of it is left when that fails."""
    making = new_veth(
        endpoint.host_link,
        endpoint.interface,
        netns=netns,
        master=base.index,
        mtu=base.mtu,
        mac=endpoint.mac,
    )
    error = host.attempt([making], f"network {network.name}")[0]
    if error is not None and error.errno == EEXIST and _stale(host, endpoint):
        host.delete_links([endpoint.host_link])
        error = host.attempt([making], f"network {network.name}")[0]
    if error is not None:
        raise BridgeFull(base.name) if error.errno == EXFULL else error
    try:
        host.apply([_host_end(network, endpoint)], f"network {network.name}")
    except BaseException:
        unplug(host, [endpoint])
        raise


def _make_lower(
    host: Rtnetlink, box: Rtnetlink, netns: int, network: Network, endpoint: Endpoint, *, base: Link
) -> None:
    """Make the endpoint's macvlan or ipvlan link in the namespace, down; nothing of it is left when that fails.

    It is named in a second step: older kernels (6.1) refuse a name that a link of the *host's* namespace has.
    """
    passing = f"mv{endpoint.id[:12]}"
    making = _lower(netns, network, replace(endpoint, interface=passing), base)
    error = host.attempt([making], f"network {network.name}")[0]
    if error is not None and box.delete_link(passing):  # a kill came before it was named
        error = host.attempt([making], f"network {network.name}")[0]
    if error is not None:
        raise error
    try:
        link = box.link(passing)
        box.apply([set_link(link.index if link else passing, name=endpoint.interface)], f"network {network.name}")
    except BaseException:
        box.delete_link(passing)
        raise


def _host_end(network: Network, endpoint: Endpoint) -> Message:
    """Return the message that puts the host's end to work. It needs no address: the kernel looks for none on it.

    Without inter-container traffic the ports are isolated; what the firewall lets through goes by way of the host.
    Where the bridge shows frames to rules (br_netfilter), a port that is translated back to the container that asked
    leaves by where it came from.
    """
    alone = not enabled(network.options, OPTION_ICC)
    return set_link(
        endpoint.host_link,
        up=True,
        no_link_local=True,
        alias=_ALIAS + endpoint.id,
        isolated=alone,
        hairpin=sysctl.exists(_SHOWS_FRAMES) and sysctl.read(_SHOWS_FRAMES) == "1",
    )


def _stale(host: Rtnetlink, endpoint: Endpoint) -> bool:
    """Tell whether there is a host's end of this very endpoint: of a start that was cut off, or of another
    namespace.
    """
    link = host.link(endpoint.host_link)
    return link is not None and link.alias in ("", _ALIAS + endpoint.id)


def _lower(netns: int, network: Network, endpoint: Endpoint, base: Link) -> Message:
    mode = parent.mode_of(network)
    mtu = int(network.options.get(OPTION_MTU) or 0)
    if network.driver == "macvlan":
        return new_macvlan(endpoint.interface, base.index, mode, netns=netns, mtu=mtu, mac=endpoint.mac)
    flag = parent.flag_of(network)
    return new_ipvlan(endpoint.interface, base.index, mode, flag=flag, netns=netns, mtu=mtu)


def _undo(host: Rtnetlink, box: Rtnetlink, network: Network, endpoint: Endpoint) -> None:
    if network.driver == "bridge":
        unplug(host, [endpoint])
    else:
        box.delete_link(endpoint.interface)


def _reattach(host: Rtnetlink, network: Network, endpoint: Endpoint, base: Link) -> tuple[str, ...]:
    """Make the host's end a port of the network's bridge again, and up."""
    link = host.link(endpoint.host_link) if network.driver == "bridge" else None
    if link is None or (link.up and link.master == base.index and link.alias == _ALIAS + endpoint.id):
        return ()
    error = host.attempt(
        [set_link(link.index, master=base.index), _host_end(network, endpoint)], f"network {network.name}"
    )[0]
    if error is not None:
        raise BridgeFull(base.name) if error.errno == EXFULL else error
    return (f"attach {link.name} to {base.name} again",)


# --- in the sandbox --------------------------------------------------------------------------------------------------


def _configure(box: Rtnetlink, network: Network, endpoint: Endpoint, defaults: Sequence[str]) -> Endpoint:
    """Give the interface its settings, addresses and routes, and set it up. The thread is in the namespace.

    Returns the endpoint with the MAC address that the interface has (ipvlan's is its parent's).
    """
    link = box.link(endpoint.interface)
    if link is None:
        raise NetlinkError(19, f"find interface {endpoint.interface}", "it was deleted while it was made")  # ENODEV
    for key, value in _settings(network, endpoint).items():
        sysctl.write(key, value)
    messages = [new_address(link.index, one) for one in (endpoint.ipv4, endpoint.ipv6) if one]
    messages.append(set_link(link.index, up=True))
    ways = (_way(network, endpoint, dst) for dst in defaults)
    messages += [new_route(replace(way, index=link.index), replace=True) for way in ways if way]
    box.apply(messages, f"{endpoint.interface} on network {network.name}")
    return replace(endpoint, mac=link.mac)


def _settings(network: Network, endpoint: Endpoint) -> dict[str, str]:
    """Return the settings of the interface, by key.

    Without an IPv6 address it has no IPv6 at all (CVE-2024-32473). A bridge has no router to be believed. Where the
    MAC address doesn't follow from the address, neighbours may remember another: they are told.
    """
    name = endpoint.interface
    wanted = {}
    if not endpoint.ipv6:
        if sysctl.exists("ipv6"):
            wanted[f"ipv6/conf/{name}/disable_ipv6"] = "1"
    else:
        wanted[f"ipv6/conf/{name}/disable_ipv6"] = "0"
        wanted[f"ipv6/conf/{name}/ndisc_notify"] = "1"
        if network.driver == "bridge":
            wanted[f"ipv6/conf/{name}/accept_ra"] = "0"
    if endpoint.ipv4 and endpoint.mac != mac_from_ipv4(endpoint.ipv4):
        wanted[f"ipv4/conf/{name}/arp_notify"] = "1"
    return wanted


def _way(network: Network, endpoint: Endpoint, dst: str) -> Route | None:
    """Return the default route that an endpoint gives, its link still to be named; None when it gives none."""
    address = endpoint.ipv6 if ":" in dst else endpoint.ipv4
    if not address or network.internal:
        return None
    if network.driver == "ipvlan" and network.options.get(OPTION_IPVLAN_MODE, "l2") != "l2":
        return Route(dst)  # layer 3: the link is the way
    gateway = network.gateway(address)
    return Route(dst, via=gateway) if gateway else None


def _look(box: Rtnetlink) -> Observed:
    defaults = tuple(route for route in box.routes() if route.dst in _EVERYWHERE)
    return Observed(tuple(box.links()), tuple(box.addresses()), defaults)


def _rerouting(seen: Observed, dst: str, place: Place | None) -> list[Message]:
    """Return the messages that make the default route ``dst`` lead through ``place``."""
    there = [route for route in seen.defaults if route.dst == dst]
    way = _way(*place, dst) if place else None
    link = seen.link(place[1].interface) if place else None
    if way is None or link is None:
        return [delete_route(route) for route in there if route.protocol == RTPROT_BOOT]
    if any(route.via == way.via and route.index == link.index for route in there):
        return []
    return [new_route(replace(way, index=link.index), replace=True)]
