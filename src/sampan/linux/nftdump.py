"""What nftables holds, of every table: read so that other people's rules can be explained.

Words.  As in `sampan.linux.nftables`. *dormant*: a table that is there and takes no effect.
Cost.   Four exchanges and one for each set: 0.3 ms for a small ruleset; 0.03 ms where there is none.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sampan.linux import nftexpr
from sampan.linux.netlink import (
    NLM_F_DUMP,
    Socket,
    attributes,
    be_to_int,
    parse_attributes,
    parse_list,
    string,
    to_string,
)
from sampan.linux.nftables import (
    COMMENT,
    ELEMENT_CATCHALL,
    ELEMENT_INTERVAL_END,
    FAMILIES,
    HOOKS,
    SET_CONCAT,
    SET_INTERVAL,
    SUBSYSTEM,
)
from sampan.linux.nftexpr import ACCEPT, DATA_VALUE, DATA_VERDICT, Expression, parse_expressions, parse_verdict

_GETTABLE, _GETCHAIN, _GETRULE, _GETSET, _GETSETELEM = 1, 4, 7, 10, 13
_TABLE_DORMANT: Final = 0x1
_FAMILY_NAMES: Final = {number: name for name, number in FAMILIES.items()}
_HOOK_NAMES: Final = {number: name for name, number in HOOKS.items()}
_INGRESS_FAMILIES: Final = ("netdev", "arp")  # their hooks have numbers of their own


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """A chain that is there. A base chain has a hook, a priority and a policy (ACCEPT or DROP)."""

    family: str
    table: str
    name: str
    handle: int
    hook: str = ""
    kind: str = ""
    priority: int = 0
    policy: int = ACCEPT


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """A rule that is there."""

    family: str
    table: str
    chain: str
    handle: int
    expressions: tuple[Expression, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ElementFacts:
    """An element: the first and the last key that it stands for, and what a map has for it."""

    first: bytes
    last: bytes
    data: bytes = b""
    verdict: tuple[int, str] | None = None
    catchall: bool = False  # stands for every key that no other element has


@dataclass(frozen=True, slots=True)
class SetFacts:
    """A set or map. ``fields``: the sizes of the parts of its key where intervals are told part by part."""

    family: str
    table: str
    name: str
    elements: tuple[ElementFacts, ...]
    fields: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that is there; dormant tables are left out."""

    chains: tuple[ChainFacts, ...]
    rules: tuple[RuleFacts, ...]
    sets: tuple[SetFacts, ...]


def read_ruleset(socket: Socket, *, without: tuple[str, str] = ("", "")) -> Ruleset:
    """Return what the namespace of ``socket`` has, except for the table ``without`` (family, name).

    Each kind of thing is read consistently; a change between two kinds shows as a rule without its set.

    Raises:
        NetlinkError: the kernel refused.
        ValueError: it answered with what isn't netlink.
    """
    tables = _tables(socket)
    skipped = {without, *(name for name, dormant in tables.items() if dormant)}
    if not tables.keys() - skipped:
        return Ruleset((), (), ())
    chains = [_chain(family, found) for family, found in _dump(socket, _GETCHAIN, "chains")]
    rules = [_rule(family, found) for family, found in _dump(socket, _GETRULE, "rules")]
    sets = [
        _set(socket, family, found)
        for family, found in _dump(socket, _GETSET, "sets")
        if (family, to_string(found[1])) not in skipped
    ]
    return Ruleset(
        tuple(one for one in chains if (one.family, one.table) not in skipped),
        tuple(one for one in rules if (one.family, one.table) not in skipped),
        tuple(sets),
    )


def read_keys(socket: Socket, family: str, table: str, name: str) -> set[bytes]:
    """Return the keys of a set's elements; of intervals where they begin.

    Raises:
        NetlinkError: the kernel refused; ENOENT: no such table or set.
    """
    listed = _elements(socket, family, string(table), string(name))
    return {_element(one).first for one in listed if not be_to_int(one.get(3, b"")) & ELEMENT_INTERVAL_END}


def packets(echoed: bytes) -> int:
    """Return how many packets elements had been found for, of an echo of their deletion (`nftables.Batch.commit`)."""
    listed = parse_list(parse_attributes(echoed[4:]).get(3, b""))
    return sum(nftexpr.packets(parse_attributes(one).get(7, b"")) for _, one in listed)


def _dump(
    socket: Socket, kind: int, what: str, payload: bytes = b"", family: int = 0
) -> list[tuple[str, dict[int, bytes]]]:
    """Return family and attributes of each thing."""
    header = struct.pack(">BBH", family, 0, 0)
    answers = socket.request(SUBSYSTEM << 8 | kind, NLM_F_DUMP, header + payload, f"read the {what} of nftables")
    return [(_FAMILY_NAMES.get(body[0], str(body[0])), parse_attributes(body[4:])) for _, body in answers]


def _tables(socket: Socket) -> dict[tuple[str, str], bool]:
    """Return whether each table is dormant."""
    return {
        (family, to_string(found[1])): bool(be_to_int(found.get(2, b"")) & _TABLE_DORMANT)
        for family, found in _dump(socket, _GETTABLE, "tables")
    }


def _chain(family: str, found: dict[int, bytes]) -> ChainFacts:
    hook = parse_attributes(found.get(4, b""))
    number = be_to_int(hook[1]) if 1 in hook else -1
    name = "ingress" if family in _INGRESS_FAMILIES and hook else _HOOK_NAMES.get(number, "")
    return ChainFacts(
        family,
        to_string(found[1]),
        to_string(found[3]),
        be_to_int(found.get(2, b"")),
        hook=name,
        kind=to_string(found.get(7, b"")),
        priority=int.from_bytes(hook.get(2, b""), "big", signed=True),
        policy=be_to_int(found[5]) if 5 in found else ACCEPT,
    )


def _rule(family: str, found: dict[int, bytes]) -> RuleFacts:
    return RuleFacts(
        family,
        to_string(found[1]),
        to_string(found[2]),
        be_to_int(found[3]),
        parse_expressions(found.get(4, b"")),
        _comment(found.get(7, b"")),
    )


def _comment(data: bytes) -> str:
    """Return the comment among a rule's user data: kind, length, value, kind…"""
    while len(data) > 2:
        kind, size = data[0], data[1]
        if kind == COMMENT:
            return to_string(data[2 : 2 + size])
        data = data[2 + size :]
    return ""


def _set(socket: Socket, family: str, found: dict[int, bytes]) -> SetFacts:
    table, name = found[1], found[2]
    flags = be_to_int(found.get(3, b""))
    listed = _elements(socket, family, table, name)
    elements = [_element(one) for one in listed]
    if flags & SET_INTERVAL and not flags & SET_CONCAT:
        elements = _join(listed, elements)
    return SetFacts(family, to_string(table), to_string(name), tuple(elements), _fields(found.get(9, b"")))


def _elements(socket: Socket, family: str, table: bytes, name: bytes) -> list[dict[int, bytes]]:
    """Return the attributes of each element of a set."""
    payload = attributes([(1, table), (2, name)])
    answers = _dump(socket, _GETSETELEM, "elements", payload, FAMILIES.get(family, 0))
    return [parse_attributes(one) for _, answer in answers for _, one in parse_list(answer.get(3, b""))]


def _fields(description: bytes) -> tuple[int, ...]:
    """Return the sizes in NFTA_SET_DESC_CONCAT."""
    concatenated = parse_attributes(description).get(2, b"")
    return tuple(be_to_int(parse_attributes(one).get(1, b"")) for _, one in parse_list(concatenated))


def _element(found: dict[int, bytes]) -> ElementFacts:
    first = parse_attributes(found.get(1, b"")).get(DATA_VALUE, b"")
    last = parse_attributes(found[10]).get(DATA_VALUE, b"") if 10 in found else first
    data = parse_attributes(found.get(2, b""))
    verdict = parse_verdict(data[DATA_VERDICT]) if DATA_VERDICT in data else None
    catchall = bool(be_to_int(found.get(3, b"")) & ELEMENT_CATCHALL)
    return ElementFacts(first, last, data.get(DATA_VALUE, b""), verdict, catchall)


def _join(listed: Sequence[dict[int, bytes]], elements: Sequence[ElementFacts]) -> list[ElementFacts]:
    """Join beginnings and ends of intervals: the kernel keeps each as an element of its own."""
    joined = [one for one in elements if one.catchall]
    begins: list[ElementFacts] = []
    bounds: list[bytes] = []
    for found, one in zip(listed, elements, strict=True):
        if not one.catchall:
            bounds.append(one.first)
            if not be_to_int(found.get(3, b"")) & ELEMENT_INTERVAL_END:
                begins.append(one)
    bounds.sort()
    for one in begins:
        at, size = bisect_right(bounds, one.first), len(one.first)
        last = b"\xff" * size if at == len(bounds) else (int.from_bytes(bounds[at], "big") - 1).to_bytes(size, "big")
        joined.append(ElementFacts(one.first, last, one.data, one.verdict))
    return joined
