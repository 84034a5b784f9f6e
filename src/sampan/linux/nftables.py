"""Tables of nftables, written in atomic batches. What is there is read by `sampan.linux.nftdump`.

Words.  *table*: sets and chains under a name, of one family. *base chain*: one that a *hook* of the kernel runs; those
        of all tables at a hook run in the order of their *priority*, a drop of any is final, an accept only ends its
        own chain. *set*: values that rules look up; a *map* has data for each. *batch*: messages that take effect
        together or not at all.
Life.   Describe a `Table`, `Batch.replace` it, `commit`; later small batches add and delete elements.
Cost.   A batch with one element: 0.1 ms.
Source. linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, net/netfilter/nf_tables_api.c; nft(8) is the oracle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from sampan.linux import nftexpr
from sampan.linux.netlink import (
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_ECHO,
    Message,
    Socket,
    attribute,
    attributes,
    be32,
    nested,
    string,
    u32,
)
from sampan.linux.nftexpr import Statement

SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _DELRULE, _NEWSET = 0, 2, 3, 6, 8, 9
_NEWSETELEM, _DELSETELEM = 12, 14
_SET_EXPRESSION: Final = 17  # NFTA_SET_EXPR

FAMILIES: Final = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
HOOKS: Final = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
# priorities of base chains, enum nf_ip_hook_priorities
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
_PRIORITY_NAMES: Final = {  # as nft(8) calls them
    **{(hook, PRIORITY_RAW): "raw" for hook in HOOKS},
    **{(hook, PRIORITY_FILTER): "filter" for hook in HOOKS},
    ("prerouting", PRIORITY_DSTNAT): "dstnat",
    ("postrouting", PRIORITY_SRCNAT): "srcnat",
}

SET_INTERVAL, SET_MAP, SET_CONCAT = 0x4, 0x8, 0x80
ELEMENT_INTERVAL_END, ELEMENT_CATCHALL = 0x1, 0x2
COMMENT: Final = 0  # kind of NFTNL_UDATA_RULE_COMMENT in a rule's user data, as nft(8) writes it
_KEY_BYTE_ORDER: Final = 0  # kind of NFTNL_UDATA_SET_KEYBYTEORDER: without it nft(8) can't show names of interfaces
_HOST_ORDER: Final = 1
_ELEMENTS_EACH: Final = 400  # in one message: an attribute holds 64 KiB, an element at most 140 bytes


# --- types of values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of values in sets: nft(8)'s name and number for it, bytes, and text → (first, last) value."""

    name: str
    number: int
    size: int
    encode: Callable[[str], tuple[bytes, bytes]]

    @property
    def padded(self) -> int:
        """Bytes that it fills in a key of several."""
        return -(-self.size // 4) * 4


def _one(encode: Callable[[str], bytes]) -> Callable[[str], tuple[bytes, bytes]]:
    return lambda text: (encode(text),) * 2


def _prefix4(text: str) -> tuple[bytes, bytes]:
    net = IPv4Network(text)
    return net.network_address.packed, net.broadcast_address.packed


def _prefix6(text: str) -> tuple[bytes, bytes]:
    net = IPv6Network(text)
    return net.network_address.packed, net.broadcast_address.packed


NF_PROTO: Final = Kind("nf_proto", 2, 1, _one(lambda text: bytes([{"ipv4": 2, "ipv6": 10}[text]])))
IPV4_ADDR: Final = Kind("ipv4_addr", 7, 4, _prefix4)
IPV6_ADDR: Final = Kind("ipv6_addr", 8, 16, _prefix6)
INET_PROTO: Final = Kind("inet_proto", 12, 1, _one(lambda text: bytes([nftexpr.protocol_number(text)])))
INET_SERVICE: Final = Kind("inet_service", 13, 2, _one(lambda text: struct.pack(">H", int(text))))
IFNAME: Final = Kind("ifname", 41, nftexpr.IFNAME_BYTES, _one(nftexpr.interface))


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a set, as texts: the parts of its key, and of its data in a map."""

    key: tuple[str, ...]
    data: tuple[str, ...] = ()


# --- what a table is made of -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Set:
    """A named set; a map where ``data`` says of what. With ``interval`` addresses may have a prefix; with ``counts``
    each element counts the packets that it was found for (Linux 5.7)."""

    name: str
    key: tuple[Kind, ...]
    data: tuple[Kind, ...] = ()
    interval: bool = False
    counts: bool = False

    @property
    def text(self) -> str:
        """Return its type as nft(8) writes it."""
        kinds = " . ".join(one.name for one in self.key)
        return kinds + (f" : {' . '.join(one.name for one in self.data)}" if self.data else "")

    def show(self, element: Element) -> str:
        """Return an element as nft(8) writes it, without what it has counted."""
        parts = [" . ".join(_shown(kind, text) for kind, text in zip(self.key, element.key, strict=True))]
        if self.data:
            parts.append(" . ".join(_shown(kind, text) for kind, text in zip(self.data, element.data, strict=True)))
        return " : ".join(parts)


def _shown(kind: Kind, text: str) -> str:
    return f'"{text}"' if kind is IFNAME else text


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its statements, and the reason for it."""

    statements: tuple[Statement, ...]
    comment: str = ""  # up to 127 bytes; shown by `nft list ruleset`

    @property
    def text(self) -> str:
        """Return it as nft(8) writes it."""
        words = " ".join(one.text for one in self.statements)
        return f'{words} comment "{self.comment}"' if self.comment else words


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of rules; a base chain where ``hook`` names one of `HOOKS`. Its policy is accept."""

    name: str
    rules: tuple[Rule, ...]
    hook: str = ""
    kind: str = "filter"  # of a base chain: filter | nat | route
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table: chains come after the chains that they jump to."""

    family: str
    name: str
    sets: tuple[Set, ...] = ()
    chains: tuple[Chain, ...] = ()
    elements: dict[str, tuple[Element, ...]] | None = None  # by the name of the set

    @property
    def text(self) -> str:
        """Return it in the syntax of nft(8), as `nft list table` prints it."""
        blocks = [_set_text(one, (self.elements or {}).get(one.name, ())) for one in self.sets]
        blocks += [_chain_text(one) for one in self.chains]
        return f"table {self.family} {self.name} {{\n" + "\n".join(blocks) + "}\n"


def _set_text(one: Set, elements: Sequence[Element]) -> str:
    lines = [f"\t{'map' if one.data else 'set'} {one.name} {{", f"\t\ttype {one.text}"]
    if one.interval:
        lines.append("\t\tflags interval")
    if one.counts:
        lines.append("\t\tcounter")
    if elements:
        shown = (",\n\t\t\t     ").join(one.show(element) for element in elements)
        lines.append(f"\t\telements = {{ {shown} }}")
    return "\n".join([*lines, "\t}\n"])


def _chain_text(chain: Chain) -> str:
    lines = [f"\tchain {chain.name} {{"]
    if chain.hook:
        priority = _PRIORITY_NAMES.get((chain.hook, chain.priority), str(chain.priority))
        lines.append(f"\t\ttype {chain.kind} hook {chain.hook} priority {priority}; policy accept;")
    return "\n".join([*lines, *(f"\t\t{rule.text}" for rule in chain.rules), "\t}\n"])


# --- writing ---------------------------------------------------------------------------------------------------------


class Batch:
    """Changes of one table that take effect together when `commit` is called, or not at all."""

    def __init__(self, family: str, table: str) -> None:
        self._family, self._table = FAMILIES[family], table
        self._messages: list[Message] = []
        self._sets = 0

    def __len__(self) -> int:
        return len(self._messages)

    def replace(self, table: Table) -> None:
        """Put ``table`` where one of its name may be; no packet sees a state between the two."""
        self.add_table()
        self.delete_table()
        self.add_table()
        for one in table.sets:
            self.add_set(one)
        for chain in table.chains:
            self.add_chain(chain)
        for chain in table.chains:
            for rule in chain.rules:
                self.add_rule(chain.name, rule)
        for one in table.sets:
            self.add_elements(one, (table.elements or {}).get(one.name, ()))

    def add_table(self) -> None:
        """Add the table unless it is there."""
        self._add(_NEWTABLE, [(1, string(self._table))], NLM_F_CREATE)

    def delete_table(self) -> None:
        """Delete it with all that is in it. ENOENT at commit when it isn't there."""
        self._add(_DELTABLE, [(1, string(self._table))])

    def add_set(self, one: Set) -> None:
        """Add a set, or a map."""
        self._sets += 1
        flags = (SET_INTERVAL if one.interval else 0) | (SET_MAP if one.data else 0)
        if one.interval and len(one.key) > 1:
            flags |= SET_CONCAT
        pairs = [(1, string(self._table)), (2, string(one.name)), (3, be32(flags))]
        pairs += [(4, be32(_type_number(one.key))), (5, be32(_size(one.key)))]
        if one.data:
            pairs += [(6, be32(_type_number(one.data))), (7, be32(_size(one.data)))]
        pairs.append((10, be32(self._sets)))
        if flags & SET_CONCAT:
            pairs.append((9 | NLA_F_NESTED, _fields(one.key)))
        if one.key == (IFNAME,):
            pairs.append((13, bytes([_KEY_BYTE_ORDER, 4]) + u32(_HOST_ORDER)))
        if one.counts:
            pairs.append((_SET_EXPRESSION | NLA_F_NESTED, nftexpr.COUNTER))
        self._add(_NEWSET, pairs, NLM_F_CREATE)

    def add_chain(self, chain: Chain) -> None:
        """Add a chain, without its rules."""
        pairs = [(1, string(self._table)), (3, string(chain.name))]
        if chain.hook:
            hook = attributes([(1, be32(HOOKS[chain.hook])), (2, be32(chain.priority & 0xFFFFFFFF))])
            pairs += [(4 | NLA_F_NESTED, hook), (5, be32(nftexpr.ACCEPT)), (7, string(chain.kind))]
        self._add(_NEWCHAIN, pairs, NLM_F_CREATE)

    def add_rule(self, chain: str, rule: Rule) -> None:
        """Add a rule behind those of the chain."""
        wire = b"".join(one.wire for one in rule.statements)
        pairs = [(1, string(self._table)), (2, string(chain)), (4 | NLA_F_NESTED, wire)]
        if rule.comment:
            text = string(rule.comment)
            pairs.append((7, bytes([COMMENT, len(text)]) + text))
        self._add(_NEWRULE, pairs, NLM_F_CREATE | NLM_F_APPEND)

    def flush_chain(self, chain: str) -> None:
        """Delete the rules of a chain."""
        self._add(_DELRULE, [(1, string(self._table)), (2, string(chain))])

    def add_elements(self, one: Set, elements: Iterable[Element]) -> None:
        """Add elements; those that are there with the same data stay. EEXIST at commit where the data differ."""
        self._elements(_NEWSETELEM, one, elements, NLM_F_CREATE)

    def delete_elements(self, one: Set, elements: Iterable[Element]) -> None:
        """Delete elements, whatever their data; commit returns what sets that count had. ENOENT at commit when one
        isn't there."""
        flags = NLM_F_ECHO if one.counts else 0
        self._elements(_DELSETELEM, one, [Element(element.key) for element in elements], flags)

    def flush_set(self, one: Set) -> None:
        """Delete all elements of a set."""
        self._add(_DELSETELEM, [(1, string(self._table)), (2, string(one.name))])

    def commit(self, socket: Socket, what: str) -> list[bytes]:
        """Send it; an empty one does nothing. Returns the elements deleted from sets that count: `nftdump.packets`.

        Raises:
            NetlinkError: the kernel refused; nothing was changed. Its text begins with ``what``.
        """
        if not self._messages:
            return []
        last = self._messages[-1]
        acked = Message(last.kind, last.flags | NLM_F_ACK, last.payload)  # failures are told without asking
        bounds = struct.pack(">BBH", 0, 0, SUBSYSTEM)
        begin, end = Message(_BATCH_BEGIN, 0, bounds), Message(_BATCH_END, 0, bounds)
        echoed = socket.transact([begin, *self._messages[:-1], acked, end], what)
        return [body for kind, body in echoed if kind == SUBSYSTEM << 8 | _DELSETELEM]

    def encoded(self) -> list[bytes]:
        """Return the payloads of its messages, without those that bound it."""
        return [one.payload for one in self._messages]

    def _elements(self, kind: int, one: Set, elements: Iterable[Element], flags: int) -> None:
        wires = [wire for element in elements for wire in _encode_element(one, element)]
        for start in range(0, len(wires), _ELEMENTS_EACH):
            listed = b"".join(wires[start : start + _ELEMENTS_EACH])
            pairs = [(1, string(self._table)), (2, string(one.name)), (3 | NLA_F_NESTED, listed)]
            self._add(kind, pairs, flags)

    def _add(self, kind: int, pairs: Sequence[tuple[int, bytes]], flags: int = 0) -> None:
        header = struct.pack(">BBH", self._family, 0, 0)
        self._messages.append(Message(SUBSYSTEM << 8 | kind, flags, header + attributes(pairs)))


def _type_number(kinds: Sequence[Kind]) -> int:
    """Return nft(8)'s number of a type; those of several parts have six bits for each."""
    number = 0
    for one in kinds:
        number = number << 6 | one.number
    return number


def _size(kinds: Sequence[Kind]) -> int:
    return kinds[0].size if len(kinds) == 1 else sum(one.padded for one in kinds)


def _fields(kinds: Sequence[Kind]) -> bytes:
    """Encode NFTA_SET_DESC_CONCAT: the sizes of a key's parts."""
    sizes = b"".join(nested(1, [(1, be32(one.size))]) for one in kinds)
    return attribute(2 | NLA_F_NESTED, sizes)


def first_key(one: Set, element: Element) -> bytes:
    """Return an element's key as the kernel has it; of an interval where it begins."""
    return _encode_values(one.key, element.key)[0]


def _encode_values(kinds: Sequence[Kind], texts: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the first and the last value that the texts stand for."""
    pairs = [kind.encode(text) for kind, text in zip(kinds, texts, strict=True)]
    if len(kinds) == 1:
        return pairs[0]
    padded = [kind.padded for kind in kinds]
    first, last = ([pair[side] for pair in pairs] for side in (0, 1))
    return tuple(b"".join(map(bytes.ljust, part, padded, [b"\0"] * len(padded))) for part in (first, last))  # type: ignore[return-value]


def _encode_element(one: Set, element: Element) -> Iterator[bytes]:
    """Encode an element; one of an interval of a single part is two: where it begins, and where it has ended."""
    first, last = _encode_values(one.key, element.key)
    pairs = [(1 | NLA_F_NESTED, nftexpr.value_of(first))]
    if one.interval and len(one.key) > 1:
        pairs.append((10 | NLA_F_NESTED, nftexpr.value_of(last)))
    if element.data:
        pairs.append((2 | NLA_F_NESTED, nftexpr.value_of(_encode_values(one.data, element.data)[0])))
    yield nested(nftexpr.LIST_ELEMENT, pairs)
    if one.interval and len(one.key) == 1 and (behind := int.from_bytes(last, "big") + 1) < 1 << 8 * len(last):
        end = nftexpr.value_of(behind.to_bytes(len(last), "big"))
        yield nested(nftexpr.LIST_ELEMENT, [(1 | NLA_F_NESTED, end), (3, be32(ELEMENT_INTERVAL_END))])
