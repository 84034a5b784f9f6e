"""The kernel's table of tracked connections: forgetting those that belong to what is gone.

Words.  *flow*: a connection, or datagrams back and forth. Its *original* direction is as the first packet came, its
        *reply* direction is what an answer looks like: where they don't mirror each other, something was translated.
Why.    Rules are asked for the first packet of a flow only. Datagrams that keep coming would reach whoever has the
        address of a dead container next; datagrams that came before a port was published would never be translated.
Cost.   Linux 5.8 and later look for an address themselves: 0.1 ms. Before, the whole table is read.
Source. linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from errno import EINVAL, ENOENT, EOPNOTSUPP
from ipaddress import ip_address
from typing import Final

from sampan.linux.netlink import (
    NLM_F_DUMP,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    be_to_int,
    nested,
    parse_attributes,
    u32,
)

_GET, _DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25  # CTA_…
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _SRC_PORT, _DST_PORT = 1, 2, 3
_FILTER_SOURCE: Final = 1  # CTA_FILTER_F_CTA_IP_SRC
_AF: Final = {4: 2, 6: 10}
_NESTED: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Direction:
    """How packets of one direction look."""

    source: str
    target: str
    protocol: int  # IPPROTO_…
    source_port: int  # 0 where the protocol has none
    target_port: int


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked flow; ``key`` is what the kernel knows it by."""

    original: Direction
    reply: Direction
    key: bytes


def flows(socket: Socket, version: int, source: str = "", *, of_reply: bool = False) -> Iterator[Flow]:
    """Return flows of IP ``version``; with ``source`` those whose original (or reply) direction comes from there.

    Raises:
        NetlinkError: the kernel refused; EOPNOTSUPP where it tracks nothing that netlink shows.
    """
    for flow in _read(socket, version, source, _REPLY if of_reply else _ORIGINAL):
        if not source or (flow.reply if of_reply else flow.original).source == source:
            yield flow


def forget_addresses(socket: Socket, addresses: Collection[str]) -> int:
    """Forget the flows from and to addresses, translated or not; return how many. NetlinkError as `flows`.

    For one address the kernel picks its flows, in two walks of all there are; for many one walk is shorter.
    """
    count = 0
    for version in (4, 6):
        wanted = {one for one in addresses if ip_address(one).version == version}
        source = next(iter(wanted)) if len(wanted) == 1 else ""
        found = {
            flow.key: flow
            for of_reply in ((False, True) if source else (False,) if wanted else ())
            for flow in flows(socket, version, source, of_reply=of_reply)
            if flow.original.source in wanted or flow.reply.source in wanted
        }
        count += sum(forget(socket, flow, version) for flow in found.values())
    return count


def forget_untranslated(socket: Socket, version: int, protocol: int, port: int, address: str = "") -> int:
    """Forget flows that came for a port of the host (at ``address``; "" is any) before it was published."""
    found = [
        flow
        for flow in flows(socket, version)
        if flow.original.protocol == protocol
        and flow.original.target_port == port
        and flow.original.target == flow.reply.source
        and flow.original.target_port == flow.reply.source_port
        and address in ("", flow.original.target)
    ]
    return sum(forget(socket, flow, version) for flow in found)


def forget(socket: Socket, flow: Flow, version: int) -> bool:
    """Forget one flow; return False if it has ended by itself. NetlinkError when the kernel refused."""
    try:
        socket.request(_DELETE, 0, _header(version) + flow.key, "forget a connection")
    except NetlinkError as error:
        if error.errno != ENOENT:
            raise
        return False
    return True


def _header(version: int) -> bytes:
    return struct.pack(">BBH", _AF[version], 0, 0)


def _read(socket: Socket, version: int, source: str, side: int) -> list[Flow]:
    what = "read the tracked connections"
    wanted = _header(version) + (_only_from(version, source, side) if source else b"")
    try:
        answers = socket.request(_GET, NLM_F_DUMP, wanted, what)
    except NetlinkError as error:
        if not source or error.errno not in (EINVAL, EOPNOTSUPP):
            raise
        answers = socket.request(_GET, NLM_F_DUMP, _header(version), what)
    return [_flow(parse_attributes(body[4:])) for _, body in answers]


def _only_from(version: int, source: str, side: int) -> bytes:
    address = nested(_TUPLE_IP, [(1 if version == 4 else 3, ip_address(source).packed)])
    return attribute(side | _NESTED, address) + nested(_FILTER, [(side, u32(_FILTER_SOURCE))])


def _flow(found: dict[int, bytes]) -> Flow:
    key = [(_ORIGINAL | _NESTED, found[_ORIGINAL])]
    key += [(kind, found[kind]) for kind in (_ZONE, _ID) if kind in found]
    return Flow(_direction(found[_ORIGINAL]), _direction(found[_REPLY]), attributes(key))


def _direction(data: bytes) -> Direction:
    found = parse_attributes(data)
    addresses = parse_attributes(found[_TUPLE_IP])
    source, target = (addresses.get(kind, addresses.get(kind + 2, b"")) for kind in (1, 2))
    proto = parse_attributes(found[_TUPLE_PROTO])
    ports = [be_to_int(proto.get(kind, b"")) for kind in (_SRC_PORT, _DST_PORT)]
    return Direction(str(ip_address(source)), str(ip_address(target)), be_to_int(proto[_PROTO_NUM]), *ports)
