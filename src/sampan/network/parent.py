"""The link of the host that a macvlan or ipvlan network works on: the one that was named, a VLAN of one, or a dummy.

Life.   ensure (when the network is made, and before containers are plugged: a reboot takes made links away) → remove,
        which deletes only what was made here; the link's alias says so.
Errors. In Docker's words. That two networks want one parent is the caller's to refuse.
"""

from __future__ import annotations

from errno import ENODEV
from typing import Final

from sampan.linux.netlink import Message, NetlinkError
from sampan.linux.rtnetlink import (
    IFF_LOOPBACK,
    IPVLAN_FLAGS,
    IPVLAN_MODES,
    MACVLAN_MODES,
    Link,
    Rtnetlink,
    new_dummy,
    new_vlan,
    set_link,
)
from sampan.network.bridge import alias_of
from sampan.network.errors import NetworkError
from sampan.network.model import (
    OPTION_IPVLAN_FLAG,
    OPTION_IPVLAN_MODE,
    OPTION_MACVLAN_MODE,
    OPTION_PARENT,
    Network,
)

VLAN_TAGS: Final = range(1, 4095)  # IEEE 802.1Q


class BadParent(NetworkError):
    """The parent can't be one."""


class BadMode(NetworkError):
    """The driver has no such mode."""

    def __init__(self, driver: str, mode: str, default: str) -> None:
        super().__init__(
            f"requested {driver} mode '{mode}' is not valid, '{default}' mode is the {driver} driver default"
        )


def parent_name(network: Network) -> str:
    """Return the parent's name. A network that is internal or names none works on a dummy of its own."""
    named = "" if network.internal else network.options.get(OPTION_PARENT, "")
    return named or _dummy_name(network)


def _dummy_name(network: Network) -> str:
    return f"dm-{network.id[:12]}"


def mode_of(network: Network) -> str:
    """Return the mode of the network's links. BadMode when the driver has none of this name."""
    if network.driver == "macvlan":
        option, known, default = OPTION_MACVLAN_MODE, list(MACVLAN_MODES), "bridge"
    else:
        option, known, default = OPTION_IPVLAN_MODE, list(IPVLAN_MODES), "l2"
    mode = network.options.get(option) or default
    if mode not in known:
        raise BadMode(network.driver, mode, default)
    return mode


def flag_of(network: Network) -> str:
    """Return the flag of an ipvlan network. NetworkError when there is none of this name."""
    flag = network.options.get(OPTION_IPVLAN_FLAG) or "bridge"
    if flag not in IPVLAN_FLAGS:
        raise NetworkError(f"requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default")
    return flag


def ensure(host: Rtnetlink, network: Network) -> Link:
    """Return the network's parent; make it first if it is a VLAN of a link that is there, or a dummy.

    Raises:
        BadParent: it isn't there and can't be made, or it is loopback.
        BadMode: the network's mode is unknown.
        NetlinkError: the kernel refused, such as a kernel without 802.1Q.
    """
    mode_of(network)
    name = parent_name(network)
    link = host.link(name)
    if link is None:
        host.apply([_making(host, network, name)], f"network {network.name}")
        host.apply([set_link(name, alias=alias_of(network))], f"network {network.name}")
        link = host.link(name)
    if link is None:
        raise NetlinkError(ENODEV, f"find link {name}", "it was deleted while it was made")
    if link.flags & IFF_LOOPBACK:
        raise BadParent(f"loopback interface is not a valid {network.driver} parent link")
    return link


def remove(host: Rtnetlink, network: Network) -> bool:
    """Delete the parent if it was made for this network; tell whether it was."""
    link = host.link(parent_name(network))
    made = link is not None and (link.alias == alias_of(network) or link.name == _dummy_name(network))
    return made and host.delete_link(parent_name(network))


def _making(host: Rtnetlink, network: Network, name: str) -> Message:
    if name == _dummy_name(network):
        return new_dummy(name)
    base, dot, tag = name.rpartition(".")
    if not dot:
        raise BadParent(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
    if not tag.isascii() or not tag.isdigit():
        raise BadParent(f"unable to parse a valid vlan id from: {tag} (ex. eth0.10 for vlan 10)")
    if int(tag) not in VLAN_TAGS:
        raise BadParent(f"vlan id must be between 1-4094, received: {int(tag)}")
    link = host.link(base)
    if link is None:
        raise BadParent(f"-o parent interface was not found on the host: {base}")
    return new_vlan(name, link.index, int(tag))
