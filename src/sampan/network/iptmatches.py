"""Matches of iptables, which iptables-nft keeps in their old form: a name and the structure of the kernel's module.

Source. linux/netfilter/xt_conntrack.h, xt_state.h, xt_tcpudp.h, xt_multiport.h; numbers are in host byte order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sampan.linux import nftexpr
from sampan.network.facts import Facts


def matches(name: str, facts: Facts, info: bytes) -> bool | None:
    """Tell whether a packet matches; None where that isn't known, or the match isn't one of those known here.

    Raises:
        ValueError, LookupError, struct.error: the structure isn't as the headers have it.
    """
    found = _MATCHES.get(name)
    return found(facts, info) if found else None


def _conntrack(facts: Facts, info: bytes) -> bool | None:
    """struct xt_conntrack_mtinfo2/3, where nothing but the state is asked for."""
    if len(info) < 154:
        return None
    asked, inverted, states = struct.unpack_from("=HHH", info, 146)
    if asked & ~_XT_CONNTRACK_STATE_ALIAS != _XT_CONNTRACK_STATE:
        return None
    bits = _XT_STATES.get(facts.state, 0)
    bits |= _XT_STATE_DNAT if facts.status & nftexpr.STATUS_DNAT else 0
    return bool(states & bits) != bool(inverted & _XT_CONNTRACK_STATE)


_XT_CONNTRACK_STATE: Final = 1
_XT_CONNTRACK_STATE_ALIAS: Final = 1 << 13  # it was written “-m state”
_XT_STATE_DNAT: Final = 1 << 7
_XT_STATES: Final = {
    nftexpr.STATE_INVALID: 1,
    nftexpr.STATE_ESTABLISHED: 2,
    nftexpr.STATE_RELATED: 4,
    nftexpr.STATE_NEW: 8,
}


def _state(facts: Facts, info: bytes) -> bool | None:
    (states,) = struct.unpack_from("=I", info)
    return bool(states & _XT_STATES.get(facts.state, 0))


def _ports(protocol: int, flags_at: int) -> Callable[[Facts, bytes], bool | None]:
    """struct xt_tcp, xt_udp: two ranges of ports, and (behind TCP's options and flags) what is inverted."""

    def match(facts: Facts, info: bytes) -> bool | None:
        if facts.protocol != protocol:
            return False
        ranges = struct.unpack_from("=4H", info)
        extra = info[8:flags_at]
        if any(extra):
            return None  # flags or options
        inverted = info[flags_at]
        asked = ((facts.source_port, ranges[:2], inverted & 1), (facts.target_port, ranges[2:], inverted & 2))
        return _all(_in_range(port, pair, bool(invert)) for port, pair, invert in asked)

    return match


def _in_range(port: int | None, pair: Sequence[int], inverted: bool) -> bool | None:
    if tuple(pair) == (0, 0xFFFF):
        return not inverted
    return None if port is None else (pair[0] <= port <= pair[1]) != inverted


def _all(parts: Iterator[bool | None]) -> bool | None:
    found = list(parts)
    return False if False in found else None if None in found else True


def _multiport(facts: Facts, info: bytes) -> bool | None:
    """struct xt_multiport_v1: which ports are asked for, how many, ports, which begin a range, inverted."""
    flags, count = info[0], info[1]
    ports = struct.unpack_from("=15H", info, 2)
    ranges, inverted = info[32:47], bool(info[47])
    asked = {0: [facts.source_port], 1: [facts.target_port]}.get(flags, [facts.source_port, facts.target_port])
    if None in asked:
        return None
    pairs, i = [], 0
    while i < count:
        step = 2 if ranges[i] else 1
        pairs.append((ports[i], ports[i + step - 1]))
        i += step
    return any(first <= port <= last for port in asked if port is not None for first, last in pairs) != inverted


def _always(facts: Facts, info: bytes) -> bool | None:
    return True


_MATCHES: Final[dict[str, Callable[[Facts, bytes], bool | None]]] = {
    "comment": _always,
    "limit": _always,
    "conntrack": _conntrack,
    "state": _state,
    "tcp": _ports(socket.IPPROTO_TCP, 11),
    "udp": _ports(socket.IPPROTO_UDP, 8),
    "multiport": _multiport,
}
