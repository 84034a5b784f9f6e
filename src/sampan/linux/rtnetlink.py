"""Links, addresses and routes: rtnetlink, as much of it as networks of containers need.

Words.  *link*: a network interface, known by its index or name. *master*: the bridge that a link is a port of.
        *parent*: the link that a macvlan, ipvlan or VLAN link works on. *interface* (of an address): address and
        prefix length.
Forms.  MAC addresses as "02:42:ac:12:00:02", interfaces as "172.18.0.2/16" or "fd00::2/64", destinations of routes
        likewise; the default routes are "0.0.0.0/0" and "::/0". Masters and parents are given by index.
Cost.   Functions that return a `Message` do nothing: `Rtnetlink.apply` sends many of them at once. One exchange is
        15 µs and the kernel's work under its one lock (RTNL): a veth 150 µs, an address or route 10 µs, a link set up
        30 µs. Deleting a veth waits for RCU: 10 to 20 ms,
        many at once not much longer.
Errors. `NetlinkError`, its text naming the link, address or route.
Source. rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV, ENOENT
from typing import Final

from sampan.linux.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    nested,
    parse_attributes,
    string,
    to_int,
    to_string,
    u8,
    u16,
    u32,
)

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26

_IFINFO: Final = struct.Struct("=BxHiII")  # family, type, index, flags, mask of flags
_IFADDR: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8

# linux/if_link.h
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD, _IFLA_EXT_MASK, _IFLA_LINK_NETNSID = 20, 26, 28, 29, 37
_IFLA_GROUP, _DOOMED = 27, 0x73616D70  # the group ("samp") is empty but while its links are deleted
_TOGETHER: Final = 64  # links deleted at once: 50 to 70 ms, of which 20 are waiting
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BRPORT_HAIRPIN, _IFLA_BRPORT_ISOLATED = 4, 33
_VETH_INFO_PEER, _IFLA_MACVLAN_MODE, _IFLA_VLAN_ID = 1, 1, 1
_IFLA_IPVLAN_MODE, _IFLA_IPVLAN_FLAGS = 1, 2
_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_SKIP_STATS: Final = 8  # RTEXT_FILTER_SKIP_STATS

MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES: Final = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS: Final = {"bridge": 0, "private": 1, "vepa": 2}

# linux/if_addr.h
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD: Final = 0x02
IFA_F_PERMANENT: Final = 0x80
IFA_F_NOPREFIXROUTE: Final = 0x200

# linux/rtnetlink.h
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_RTA_METRICS, _RTA_MULTIPATH, _RTA_TABLE, _RTAX_MTU = 8, 9, 15, 2
RT_TABLE_MAIN: Final = 254
RT_TABLE_LOCAL: Final = 255
RTPROT_BOOT: Final = 3
RTN_UNICAST: Final = 1
RTN_LOCAL: Final = 2
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253
_RTM_F_CLONED: Final = 0x200
_NO_ROUTE: Final = (ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL)  # none, unreachable, prohibit, blackhole
_NEXTHOP: Final = struct.Struct("=HBBi")  # length, flags, weight - 1, index

_NEW: Final = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK
_ROOT_LINK: Final = _IFINFO.pack(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Link:
    """One link as the kernel has it."""

    index: int
    name: str
    kind: str  # "bridge", "veth", "macvlan" …; "" for hardware and lo
    flags: int  # IFF_*
    mtu: int  # bytes
    mac: str
    master: int = 0  # index, 0: none
    parent: int = 0  # index of the parent, or of a veth's other end; in the namespace `netnsid`
    netnsid: int = -1  # this namespace's number for the one of the parent or other end; -1: this very one
    alias: str = ""

    @property
    def up(self) -> bool:
        """Tell whether it was switched on (it may lack a carrier)."""
        return bool(self.flags & IFF_UP)


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a link."""

    index: int  # of the link
    interface: str  # "172.18.0.2/16"
    scope: int  # 0 global, 253 link, 254 host
    flags: int = 0  # IFA_F_*


@dataclass(frozen=True, slots=True)
class Route:
    """One route. Of a route with several next hops, the first."""

    dst: str  # "172.18.0.0/16"
    via: str = ""  # "": on the link
    index: int = 0  # of the link, 0: none (blackhole …)
    metric: int = 0  # 0 in IPv4 and 1024 in IPv6 is what the kernel takes when none is given
    source: str = ""  # the address that packets get which have none yet
    table: int = RT_TABLE_MAIN
    protocol: int = RTPROT_BOOT
    scope: int = RT_SCOPE_UNIVERSE
    kind: int = RTN_UNICAST
    mtu: int = 0  # bytes, where the route has one of its own
    indexes: tuple[int, ...] = ()  # of the links of all next hops, when there are several


# --- texts and bytes -------------------------------------------------------------------------------------------------


def mac_bytes(mac: str) -> bytes:
    """Encode a MAC address. ValueError when it isn't hexadecimal."""
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(value: bytes) -> str:
    """Decode a MAC address."""
    return value.hex(":")


def family_of(address: str) -> int:
    """Return AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _packed(interface: str) -> tuple[int, bytes, int]:
    """Return family, address and prefix length (the whole address, without one). OSError when it is no address."""
    address, _, prefix = interface.partition("/")
    family = family_of(address)
    value = socket.inet_pton(family, address)
    return family, value, int(prefix) if prefix else 8 * len(value)


def _text(value: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


# --- messages: links -------------------------------------------------------------------------------------------------


def _linkinfo(kind: str, data: bytes = b"") -> bytes:
    pairs = [(_IFLA_INFO_KIND, string(kind))]
    return attribute(_IFLA_LINKINFO, attributes([*pairs, (_IFLA_INFO_DATA, data)] if data else pairs))


def _common(*, name: str = "", mtu: int = 0, mac: str = "", master: int = 0, netns: int | None = None) -> bytes:
    """Encode the attributes of a link that were given."""
    pairs: list[tuple[int, bytes]] = []
    if name:
        pairs.append((_IFLA_IFNAME, string(name)))
    if mtu:
        pairs.append((_IFLA_MTU, u32(mtu)))
    if mac:
        pairs.append((_IFLA_ADDRESS, mac_bytes(mac)))
    if master:
        pairs.append((_IFLA_MASTER, u32(master)))
    if netns is not None:
        pairs.append((_IFLA_NET_NS_FD, u32(netns)))
    return attributes(pairs)


def _new_link(what: str, body: bytes, *, up: bool = False) -> Message:
    flags = IFF_UP if up else 0
    return Message(_RTM_NEWLINK, _NEW, _IFINFO.pack(0, 0, 0, flags, flags) + body, what)


def new_bridge(name: str, *, mtu: int = 0, mac: str = "") -> Message:
    """Make a bridge, down. With a MAC address of its own it keeps that; otherwise it takes the lowest of its ports'."""
    return _new_link(f"add bridge {name}", _common(name=name, mtu=mtu, mac=mac) + _linkinfo("bridge"))


def new_veth(
    name: str, peer: str, *, netns: int | None = None, master: int = 0, mtu: int = 0, mac: str = "", up: bool = False
) -> Message:
    """Make a veth ``name`` here, a port of ``master``, and its other end ``peer`` with ``mac`` in ``netns``, down.

    Both ends have one queue: a veth without XDP uses no more, and each costs memory and time.
    """
    queues = attributes([(_IFLA_NUM_TX_QUEUES, u32(1)), (_IFLA_NUM_RX_QUEUES, u32(1))])
    other = _ROOT_LINK + _common(name=peer, mtu=mtu, mac=mac, netns=netns) + queues
    body = _common(name=name, mtu=mtu, master=master) + queues
    body += _linkinfo("veth", attribute(_VETH_INFO_PEER, other))
    return _new_link(f"add veth {name} with {peer}", body, up=up)


def new_macvlan(name: str, parent: int, mode: str, *, netns: int | None = None, mtu: int = 0, mac: str = "") -> Message:
    """Make a macvlan link on ``parent``, in ``netns``, down. KeyError for a mode that is not of MACVLAN_MODES."""
    data = attribute(_IFLA_MACVLAN_MODE, u32(MACVLAN_MODES[mode]))
    body = _common(name=name, mtu=mtu, mac=mac, netns=netns) + attribute(_IFLA_LINK, u32(parent))
    return _new_link(f"add macvlan {name} in mode {mode}", body + _linkinfo("macvlan", data))


def new_ipvlan(
    name: str, parent: int, mode: str, *, flag: str = "bridge", netns: int | None = None, mtu: int = 0
) -> Message:
    """Make an ipvlan link on ``parent``, in ``netns``, down. It has its parent's MAC address. KeyError as
    new_macvlan.
    """
    data = attribute(_IFLA_IPVLAN_MODE, u16(IPVLAN_MODES[mode]))
    data += attribute(_IFLA_IPVLAN_FLAGS, u16(IPVLAN_FLAGS[flag]))
    body = _common(name=name, mtu=mtu, netns=netns) + attribute(_IFLA_LINK, u32(parent))
    return _new_link(f"add ipvlan {name} in mode {mode}", body + _linkinfo("ipvlan", data))


def new_vlan(name: str, parent: int, tag: int) -> Message:
    """Make a link for the 802.1Q VLAN ``tag`` (1 to 4094) of ``parent``, up."""
    body = _common(name=name) + attribute(_IFLA_LINK, u32(parent))
    return _new_link(f"add VLAN {name}", body + _linkinfo("vlan", attribute(_IFLA_VLAN_ID, u16(tag))), up=True)


def new_dummy(name: str) -> Message:
    """Make a link that leads nowhere, up: the parent of a macvlan or ipvlan network without one."""
    return _new_link(f"add dummy {name}", _common(name=name) + _linkinfo("dummy"), up=True)


def set_link(
    link: int | str, *, up: bool | None = None, mtu: int = 0, mac: str = "", master: int | None = None,
    name: str = "", netns: int | None = None, no_link_local: bool = False, alias: str = "",
    isolated: bool = False, hairpin: bool = False,
) -> Message:  # fmt: skip
    """Change a link, given by index or name. ``no_link_local``: IPv6 gives it no address by itself.

    A link given by name can't be renamed. ``master`` 0 takes it off its bridge. ``isolated``, of a port of a bridge:
    other isolated ports are out of its reach. ``hairpin``: the bridge may send a frame back to where it came from.
    """
    index, key = (link, b"") if isinstance(link, int) else (0, attribute(_IFLA_IFNAME, string(link)))
    body = key + _common(name=name, mtu=mtu, mac=mac, netns=netns)
    if master is not None:
        body += attribute(_IFLA_MASTER, u32(master))
    if isolated or hairpin:
        modes = ((_IFLA_BRPORT_HAIRPIN, hairpin), (_IFLA_BRPORT_ISOLATED, isolated))
        port = attributes([(mode, u8(1)) for mode, wanted in modes if wanted])
        slave = attributes([(_IFLA_INFO_SLAVE_KIND, string("bridge")), (_IFLA_INFO_SLAVE_DATA, port)])
        body += attribute(_IFLA_LINKINFO, slave)
    if alias:
        body += attribute(_IFLA_IFALIAS, string(alias))
    if no_link_local:
        inet6 = nested(socket.AF_INET6, [(_IFLA_INET6_ADDR_GEN_MODE, u8(_ADDR_GEN_NONE))])
        body += attribute(_IFLA_AF_SPEC, inet6)
    head = _IFINFO.pack(0, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP)
    said = {"up": up, "MTU": mtu, "MAC": mac, "master": master, "name": name, "alias": alias}
    text = ", ".join(f"{word} {value}" for word, value in said.items() if value not in (None, 0, "") or value is False)
    return Message(_RTM_NEWLINK, NLM_F_ACK, head + body, f"set link {link}: {text}")


def delete_link(link: int | str) -> Message:
    """Delete a link, given by index or name; of a veth, both ends."""
    index, key = (link, b"") if isinstance(link, int) else (0, attribute(_IFLA_IFNAME, string(link)))
    return Message(_RTM_DELLINK, NLM_F_ACK, _IFINFO.pack(0, 0, index, 0, 0) + key, f"delete link {link}")


def _regroup(name: str) -> Message:
    body = _ROOT_LINK + attribute(_IFLA_IFNAME, string(name)) + attribute(_IFLA_GROUP, u32(_DOOMED))
    return Message(_RTM_NEWLINK, NLM_F_ACK, body, f"delete link {name}")


# --- messages: addresses and routes ----------------------------------------------------------------------------------


def _address(kind: int, flags: int, index: int, interface: str, *, address_flags: int, what: str) -> Message:
    family, value, prefix = _packed(interface)
    pairs = [(_IFA_LOCAL, value), (_IFA_ADDRESS, value)]
    if family == socket.AF_INET and prefix < 31:
        number = int.from_bytes(value, "big") | (1 << 32 - prefix) - 1
        pairs.append((_IFA_BROADCAST, number.to_bytes(4, "big")))
    if address_flags:
        pairs.append((_IFA_FLAGS, u32(address_flags)))
    head = _IFADDR.pack(family, prefix, address_flags & 0xFF, 0, index)
    return Message(kind, flags, head + attributes(pairs), f"{what} address {interface}")


def new_address(index: int, interface: str, *, nodad: bool = True) -> Message:
    """Give a link an address; ``nodad`` (IPv6): usable at once, not looked for on the link first."""
    flags = IFA_F_NODAD if nodad and ":" in interface else 0
    return _address(_RTM_NEWADDR, _NEW, index, interface, address_flags=flags, what="add")


def delete_address(index: int, interface: str) -> Message:
    """Take an address off a link."""
    return _address(_RTM_DELADDR, NLM_F_ACK, index, interface, address_flags=0, what="delete")


def _route(kind: int, flags: int, route: Route, what: str) -> Message:
    family, dst, prefix = _packed(route.dst)
    pairs = [(_RTA_DST, dst)] if prefix else []
    if route.via:
        pairs.append((_RTA_GATEWAY, _packed(route.via)[1]))
    if route.index:
        pairs.append((_RTA_OIF, u32(route.index)))
    if route.metric:
        pairs.append((_RTA_PRIORITY, u32(route.metric)))
    if route.source:
        pairs.append((_RTA_PREFSRC, _packed(route.source)[1]))
    pairs.append((_RTA_TABLE, u32(route.table)))
    table = route.table if route.table < 256 else 0
    scope = RT_SCOPE_LINK if family == socket.AF_INET and not route.via and route.scope == 0 else route.scope
    head = _RTMSG.pack(family, prefix, 0, 0, table, route.protocol, scope, route.kind, 0)
    text = f"{what} route {route.dst}" + (f" via {route.via}" if route.via else "")
    return Message(kind, flags, head + attributes(pairs), text)


def new_route(route: Route, *, replace: bool = False) -> Message:
    """Add a route; with ``replace`` in place of the one with this destination and metric, if there is one."""
    flags = NLM_F_CREATE | NLM_F_ACK | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return _route(_RTM_NEWROUTE, flags, route, "set" if replace else "add")


def delete_route(route: Route) -> Message:
    """Delete the first route that has what ``route`` says."""
    return _route(_RTM_DELROUTE, NLM_F_ACK, route, "delete")


# --- answers ---------------------------------------------------------------------------------------------------------


def parse_link(body: bytes) -> Link:
    """Decode the body of an RTM_NEWLINK."""
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    found = parse_attributes(body[_IFINFO.size :])
    info = parse_attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=to_string(found.get(_IFLA_IFNAME, b"")),
        kind=to_string(info.get(_IFLA_INFO_KIND, b"")),
        flags=flags,
        mtu=to_int(found.get(_IFLA_MTU, b"")),
        mac=mac_text(found.get(_IFLA_ADDRESS, b"")),
        master=to_int(found.get(_IFLA_MASTER, b"")),
        parent=to_int(found.get(_IFLA_LINK, b"")),
        netnsid=to_int(found[_IFLA_LINK_NETNSID]) if _IFLA_LINK_NETNSID in found else -1,
        alias=to_string(found.get(_IFLA_IFALIAS, b"")),
    )


def parse_address(body: bytes) -> Address:
    """Decode the body of an RTM_NEWADDR."""
    _, prefix, flags, scope, index = _IFADDR.unpack_from(body)
    found = parse_attributes(body[_IFADDR.size :])
    value = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    flags = to_int(found[_IFA_FLAGS]) if _IFA_FLAGS in found else flags
    return Address(index, f"{_text(value)}/{prefix}", scope, flags)


def parse_route(body: bytes) -> Route:
    """Decode the body of an RTM_NEWROUTE."""
    family, prefix, _, _, table, protocol, scope, kind, _ = _RTMSG.unpack_from(body)
    found = parse_attributes(body[_RTMSG.size :])
    nothing = bytes(4 if family == socket.AF_INET else 16)
    metrics = parse_attributes(found.get(_RTA_METRICS, b""))
    hops = _hops(found.get(_RTA_MULTIPATH, b""))
    index, via = hops[0] if hops else (to_int(found.get(_RTA_OIF, b"")), found.get(_RTA_GATEWAY, b""))
    return Route(
        dst=f"{_text(found.get(_RTA_DST, nothing))}/{prefix}",
        via=_text(via) if via else "",
        index=index,
        metric=to_int(found.get(_RTA_PRIORITY, b"")),
        source=_text(found[_RTA_PREFSRC]) if _RTA_PREFSRC in found else "",
        table=to_int(found[_RTA_TABLE]) if _RTA_TABLE in found else table,
        protocol=protocol,
        scope=scope,
        kind=kind,
        mtu=to_int(metrics.get(_RTAX_MTU, b"")),
        indexes=tuple(one for one, _ in hops),
    )


def _hops(data: bytes) -> list[tuple[int, bytes]]:
    """Decode the next hops of a route with several: (index of the link, gateway)."""
    hops = []
    while len(data) >= _NEXTHOP.size:
        size, _, _, index = _NEXTHOP.unpack_from(data)
        hops.append((index, parse_attributes(data[_NEXTHOP.size : size]).get(_RTA_GATEWAY, b"")))
        data = data[max(size + 3 & ~3, _NEXTHOP.size) :]
    return hops


# --- the door --------------------------------------------------------------------------------------------------------


class Rtnetlink:
    """Links, addresses and routes of one network namespace. May be used by several threads."""

    def __init__(self, netns: int | None = None) -> None:
        """Open a socket in the namespace of descriptor ``netns``, or in the one that this thread is in."""
        self._socket = Socket(NETLINK_ROUTE, netns)

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def apply(self, messages: Sequence[Message], what: str = "") -> None:
        """Send the messages together; ``what`` goes before the text of an error. One that fails doesn't stop those
        behind it; the first failure is raised.
        """
        self._socket.transact(messages, what)

    def attempt(self, messages: Sequence[Message], what: str = "") -> list[NetlinkError | None]:
        """As `apply`, but return what became of each message."""
        return self._socket.attempt(messages, what)

    def links(self, *, master: int = 0, kind: str = "") -> list[Link]:
        """Return every link, or those that are ports of ``master`` or of ``kind`` (filtered by the kernel)."""
        body = _ROOT_LINK + attribute(_IFLA_EXT_MASK, u32(_SKIP_STATS))
        if master:
            body += attribute(_IFLA_MASTER, u32(master))
        if kind:
            body += _linkinfo(kind)
        found = [parse_link(one) for _, one in self._socket.request(_RTM_GETLINK, NLM_F_DUMP, body, "list links")]
        return [one for one in found if (not master or one.master == master) and (not kind or one.kind == kind)]

    def link(self, link: int | str) -> Link | None:
        """Return one link, given by index or name; None when there is none."""
        index, key = (link, b"") if isinstance(link, int) else (0, attribute(_IFLA_IFNAME, string(link)))
        body = _IFINFO.pack(0, 0, index, 0, 0) + key + attribute(_IFLA_EXT_MASK, u32(_SKIP_STATS))
        try:
            answers = self._socket.request(_RTM_GETLINK, 0, body, f"find link {link}")
        except NetlinkError as error:
            if error.errno == ENODEV:
                return None
            raise
        return parse_link(answers[0][1])

    def addresses(self, index: int = 0) -> list[Address]:
        """Return the addresses of one link, or of all, of both families."""
        body = _IFADDR.pack(0, 0, 0, 0, index)
        found = self._socket.request(_RTM_GETADDR, NLM_F_DUMP, body, "list addresses")
        return [one for one in (parse_address(body) for _, body in found) if not index or one.index == index]

    def routes(self, family: int = 0, *, table: int = RT_TABLE_MAIN) -> list[Route]:
        """Return the routes of one table and family (0: both)."""
        families = (family,) if family else (socket.AF_INET, socket.AF_INET6)
        return [route for one in families for route in self._routes(one, table)]

    def _routes(self, family: int, table: int) -> Iterable[Route]:
        body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_TABLE, u32(table))
        try:
            found = self._socket.request(_RTM_GETROUTE, NLM_F_DUMP, body, f"list routes of table {table}")
        except NetlinkError as error:
            if error.errno == ENOENT:  # a table that nothing was ever put in
                return []
            raise
        entries = (parse_route(one) for _, one in found if not _RTMSG.unpack_from(one)[8] & _RTM_F_CLONED)
        return [route for route in entries if route.table == table]

    def route_to(self, address: str) -> Route | None:
        """Return the route that a packet to ``address`` takes, by every rule and table; None when there is none."""
        family, value, prefix = _packed(address)
        body = _RTMSG.pack(family, prefix, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, value)
        try:
            answers = self._socket.request(_RTM_GETROUTE, 0, body, f"find the route to {address}")
        except NetlinkError as error:
            if error.errno in _NO_ROUTE:
                return None
            raise
        return parse_route(answers[0][1])

    def add_bridge(self, name: str, *, mtu: int = 0, mac: str = "") -> Link:
        """Make a bridge and return it."""
        self.apply([new_bridge(name, mtu=mtu, mac=mac)])
        return self._made(name)

    def add_address(self, index: int, interface: str, *, nodad: bool = True) -> None:
        """Give a link an address."""
        self.apply([new_address(index, interface, nodad=nodad)], f"link {index}")

    def add_route(self, route: Route, *, replace: bool = False) -> None:
        """Add or replace a route."""
        self.apply([new_route(route, replace=replace)], f"link {route.index}")

    def delete_link(self, link: int | str) -> bool:
        """Delete a link; False when there was none."""
        try:
            self.apply([delete_link(link)])
        except NetlinkError as error:
            if error.errno == ENODEV:
                return False
            raise
        return True

    def delete_links(self, names: Iterable[str]) -> None:
        """Delete many links together, which takes hardly longer than one: the kernel waits once for all of them.

        They are put into a group of links and deleted as that, a few dozen at a time so that others get the kernel's
        lock in between. What is already gone is no error.
        """
        moves = [_regroup(name) for name in names]
        everyone = _IFINFO.pack(0, 0, 0, 0, 0) + attribute(_IFLA_GROUP, u32(_DOOMED))
        end = Message(_RTM_DELLINK, NLM_F_ACK, everyone, "delete links")
        for start in range(0, len(moves), _TOGETHER):
            for error in self.attempt([*moves[start : start + _TOGETHER], end]):
                if error is not None and error.errno != ENODEV:
                    raise error

    def _made(self, name: str) -> Link:
        link = self.link(name)
        if link is None:
            raise NetlinkError(ENODEV, f"find link {name}", "it was made a moment ago")
        return link
