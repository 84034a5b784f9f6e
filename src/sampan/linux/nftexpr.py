"""What rules of nftables are made of: statements for writing them, expressions for reading those of others.

Words.  *expression*: one instruction of the kernel's rule machine, by name (meta, payload, cmp, lookup…) with
        attributes. *register*: one of sixteen words of four bytes that expressions load and compare. *selector*:
        something of a packet that an expression loads. *statement*: a piece of a rule as nft(8) writes it (``text``)
        and the expressions that it stands for (``wire``).
Source. linux/netfilter/nf_tables.h; net/netfilter/nft_*.c; nft(8). Numbers in attributes are in network byte order,
        values that are loaded and compared are as the packet or the kernel has them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from sampan.linux.netlink import (
    NLA_F_NESTED,
    attribute,
    be32,
    be_to_int,
    nested,
    parse_attributes,
    parse_list,
    string,
    to_string,
    u32,
)

# NFTA_LIST_ELEM, NFTA_EXPR_*, NFTA_DATA_*, NFTA_VERDICT_*
LIST_ELEMENT: Final = 1
_EXPR_NAME, _EXPR_DATA = 1, 2
DATA_VALUE: Final = 1
DATA_VERDICT: Final = 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2

DROP, ACCEPT, QUEUE = 0, 1, 3
CONTINUE, BREAK, JUMP, GOTO, RETURN = -1, -2, -3, -4, -5
_VERDICT_NAMES: Final = {DROP: "drop", ACCEPT: "accept", JUMP: "jump", GOTO: "goto", RETURN: "return"}

_REGISTER_VERDICT: Final = 0
_REGISTER_FIRST: Final = 8  # NFT_REG32_00

# enum nft_meta_keys
META_PROTOCOL, META_MARK, META_IIF, META_OIF, META_IIFNAME, META_OIFNAME = 1, 3, 4, 5, 6, 7
META_NFPROTO, META_L4PROTO = 15, 16
# enum nft_ct_keys
CT_STATE, CT_DIRECTION, CT_STATUS = 0, 1, 2
# ct state as nft_ct has it: 1 << (enum ip_conntrack_info + 1); invalid is bit 0
STATE_INVALID, STATE_ESTABLISHED, STATE_RELATED, STATE_NEW, STATE_UNTRACKED = 1, 2, 4, 8, 64
STATUS_SNAT, STATUS_DNAT = 0x10, 0x20  # enum ip_conntrack_status
# fib: attributes' flags, results, and types of an address (rtnetlink.h RTN_*)
FIB_SADDR, FIB_DADDR, FIB_IIF = 1, 2, 8
FIB_RESULT_TYPE: Final = 3
FIB_UNICAST, FIB_LOCAL, FIB_BROADCAST, FIB_MULTICAST = 1, 2, 3, 5
# payload bases
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
# comparisons
EQ, NEQ, LT, LTE, GT, GTE = range(6)

NFPROTO_INET, NFPROTO_IPV4, NFPROTO_BRIDGE, NFPROTO_IPV6 = 1, 2, 7, 10
NAT_DESTINATION: Final = 1

IFNAME_BYTES: Final = 16
_FAMILIES: Final = {"ip": NFPROTO_IPV4, "ip6": NFPROTO_IPV6}
_LOOKUP_INVERTED: Final = 1


@dataclass(frozen=True, slots=True)
class Statement:
    """A piece of a rule: as nft(8) writes it, and the encoded list of expressions."""

    text: str
    wire: bytes


@dataclass(frozen=True, slots=True)
class Selector:
    """Something of a packet: how nft(8) calls it, its size in bytes, and how it comes into a register.

    ``family``: "ip" or "ip6" where it exists in packets of that family only: rules test that first.
    """

    text: str
    size: int
    load: Callable[[int], bytes]
    family: str = ""


def expression(name: str, *pairs: tuple[int, bytes]) -> bytes:
    """Encode one expression of a rule's list."""
    return nested(LIST_ELEMENT, [(_EXPR_NAME, string(name)), (_EXPR_DATA | NLA_F_NESTED, _pack(pairs))])


def _pack(pairs: Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(attribute(kind, value) for kind, value in pairs)


COUNTER: Final = attribute(_EXPR_NAME, string("counter"))  # as an attribute of a set: one for each element


def value_of(value: bytes) -> bytes:
    """Encode the contents of an attribute that holds NFTA_DATA_VALUE."""
    return attribute(DATA_VALUE, value)


def verdict_of(code: int, chain: str = "") -> bytes:
    """Encode the contents of an attribute that holds NFTA_DATA_VERDICT."""
    pairs = [(_VERDICT_CODE, be32(code & 0xFFFFFFFF))]
    if chain:
        pairs.append((_VERDICT_CHAIN, string(chain)))
    return nested(DATA_VERDICT, pairs)


# --- selectors -------------------------------------------------------------------------------------------------------


def _meta(text: str, key: int, size: int) -> Selector:
    return Selector(text, size, lambda register: expression("meta", (2, be32(key)), (1, be32(register))))


def _ct(text: str, key: int) -> Selector:
    return Selector(text, 4, lambda register: expression("ct", (2, be32(key)), (1, be32(register))))


def _payload(text: str, base: int, offset: int, size: int, family: str = "") -> Selector:
    def load(register: int) -> bytes:
        return expression(
            "payload", (1, be32(register)), (2, be32(base)), (3, be32(offset)), (4, be32(size))
        )  # NFTA_PAYLOAD_DREG, BASE, OFFSET, LEN

    return Selector(text, size, load, family)


def _fib_type(text: str, flags: int) -> Selector:
    def load(register: int) -> bytes:
        return expression("fib", (3, be32(flags)), (2, be32(FIB_RESULT_TYPE)), (1, be32(register)))

    return Selector(text, 4, load)


IIFNAME: Final = _meta("iifname", META_IIFNAME, IFNAME_BYTES)
OIFNAME: Final = _meta("oifname", META_OIFNAME, IFNAME_BYTES)
NFPROTO: Final = _meta("meta nfproto", META_NFPROTO, 1)
L4PROTO: Final = _meta("meta l4proto", META_L4PROTO, 1)
IP_SADDR: Final = _payload("ip saddr", NETWORK_HEADER, 12, 4, "ip")
IP_DADDR: Final = _payload("ip daddr", NETWORK_HEADER, 16, 4, "ip")
IP6_SADDR: Final = _payload("ip6 saddr", NETWORK_HEADER, 8, 16, "ip6")
IP6_DADDR: Final = _payload("ip6 daddr", NETWORK_HEADER, 24, 16, "ip6")
DPORT: Final = _payload("th dport", TRANSPORT_HEADER, 2, 2)
CT_STATES: Final = _ct("ct state", CT_STATE)
CT_STATUSES: Final = _ct("ct status", CT_STATUS)
FIB_DADDR_TYPE: Final = _fib_type("fib daddr type", FIB_DADDR)
FIB_DADDR_IIF_TYPE: Final = _fib_type("fib daddr . iif type", FIB_DADDR | FIB_IIF)


# --- statements ------------------------------------------------------------------------------------------------------


def interface(name: str) -> bytes:
    """Encode an interface's name as registers and sets hold it."""
    return name.encode().ljust(IFNAME_BYTES, b"\0")


def _loads(selectors: Sequence[Selector], first: int = _REGISTER_FIRST) -> bytes:
    """Encode the loading of all selectors side by side, behind the test of the family that they need."""
    families = {one.family for one in selectors} - {""}
    wire = b"".join(NFPROTO.load(first) + _cmp(first, EQ, bytes([_FAMILIES[one]])) for one in families)
    for one in selectors:
        wire += one.load(first)
        first += -(-one.size // 4)
    return wire


def _cmp(register: int, operation: int, value: bytes) -> bytes:
    return expression("cmp", (1, be32(register)), (2, be32(operation)), (3 | NLA_F_NESTED, value_of(value)))


def equals(selector: Selector, value: bytes, shown: str, *, negate: bool = False) -> Statement:
    """Go on if the selector is ``value``, which nft(8) shows as ``shown``; with ``negate`` if it isn't."""
    compared = _cmp(_REGISTER_FIRST, NEQ if negate else EQ, value)
    return Statement(f"{selector.text} {'!= ' if negate else ''}{shown}", _loads([selector]) + compared)


def named(selector: Selector, name: str, *, negate: bool = False) -> Statement:
    """Go on if the interface of ``selector`` has this name; with ``negate`` if not."""
    return equals(selector, interface(name), f'"{name}"', negate=negate)


def within_prefix(selector: Selector, subnet: str) -> Statement:
    """Go on if the address lies in ``subnet``."""
    net = ip_network(subnet)
    wire = _loads([selector])
    if net.prefixlen < net.max_prefixlen:
        wire += _mask(selector.size, net.netmask.packed)
    shown = str(net) if net.prefixlen < net.max_prefixlen else str(net.network_address)
    return Statement(f"{selector.text} {shown}", wire + _cmp(_REGISTER_FIRST, EQ, net.network_address.packed))


def any_bit(selector: Selector, mask: int, shown: str) -> Statement:
    """Go on if one of the bits of ``mask`` is set (ct state, ct status)."""
    compared = _cmp(_REGISTER_FIRST, NEQ, u32(0))
    return Statement(f"{selector.text} {shown}", _loads([selector]) + _mask(4, u32(mask)) + compared)


def _mask(size: int, mask: bytes) -> bytes:
    register = be32(_REGISTER_FIRST)
    zeros = value_of(bytes(size))
    return expression(
        "bitwise",
        *((1, register), (2, register), (3, be32(size)), (4 | NLA_F_NESTED, value_of(mask)), (5 | NLA_F_NESTED, zeros)),
    )  # NFTA_BITWISE_SREG, DREG, LEN, MASK, XOR


def in_set(selectors: Sequence[Selector], name: str, *, negate: bool = False) -> Statement:
    """Go on if the selectors, side by side, are an element of the set; with ``negate`` if they aren't."""
    pairs = [(2, be32(_REGISTER_FIRST)), (1, string(name))]  # NFTA_LOOKUP_SREG, SET
    if negate:
        pairs.append((5, be32(_LOOKUP_INVERTED)))
    key = " . ".join(one.text for one in selectors)
    return Statement(f"{key} {'!= ' if negate else ''}@{name}", _loads(selectors) + expression("lookup", *pairs))


def dnat_by_map(family: str, selectors: Sequence[Selector], name: str) -> Statement:
    """Translate the destination to the address and port that the map has for the selectors; go on if it has none.

    The map's data is an address of ``family`` ("ip" or "ip6") and a port of two bytes, each filled up to words.
    """
    port = _REGISTER_FIRST + (1 if family == "ip" else 4)
    wire = _loads(selectors) + expression(
        "lookup", (2, be32(_REGISTER_FIRST)), (3, be32(_REGISTER_FIRST)), (1, string(name))
    )
    wire += expression(
        "nat",
        *((1, be32(NAT_DESTINATION)), (2, be32(_FAMILIES[family]))),
        *((3, be32(_REGISTER_FIRST)), (5, be32(port))),
    )  # NFTA_NAT_TYPE, FAMILY, REG_ADDR_MIN, REG_PROTO_MIN
    return Statement(f"dnat {family} to {' . '.join(one.text for one in selectors)} map @{name}", wire)


def masquerade() -> Statement:
    """Translate the source to the address of the interface that the packet leaves by."""
    return Statement("masquerade", expression("masq"))


def verdict(code: int, chain: str = "") -> Statement:
    """End the rule with ACCEPT, DROP, RETURN, or JUMP or GOTO to ``chain``."""
    data = (2 | NLA_F_NESTED, verdict_of(code, chain))
    wire = expression("immediate", (1, be32(_REGISTER_VERDICT)), data)
    return Statement(f"{_VERDICT_NAMES[code]} {chain}".rstrip(), wire)


def family_is(family: str) -> Statement:
    """Go on if the packet is of ``family``, "ip" or "ip6"."""
    return equals(NFPROTO, bytes([_FAMILIES[family]]), {"ip": "ipv4", "ip6": "ipv6"}[family])


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression as the kernel tells it: its name and its attributes by number (``NFTA_<NAME>_*``)."""

    name: str
    attributes: dict[int, bytes]

    def number(self, kind: int, default: int = 0) -> int:
        """Return a number in network byte order; ``default`` where the attribute isn't there."""
        value = self.attributes.get(kind)
        return default if value is None else be_to_int(value)

    def text(self, kind: int) -> str:
        """Return a text; "" where the attribute isn't there."""
        return to_string(self.attributes.get(kind, b""))

    def value(self, kind: int) -> bytes:
        """Return NFTA_DATA_VALUE within an attribute; b"" where it isn't there."""
        return parse_attributes(self.attributes.get(kind, b"")).get(DATA_VALUE, b"")

    def verdict(self, kind: int) -> tuple[int, str] | None:
        """Return code and chain of NFTA_DATA_VERDICT within an attribute; None where there is none."""
        data = parse_attributes(self.attributes.get(kind, b"")).get(DATA_VERDICT)
        return None if data is None else parse_verdict(data)


def packets(data: bytes) -> int:
    """Return what a counter has counted: of an element in a set that counts, its NFTA_SET_ELEM_EXPR."""
    found = parse_attributes(parse_attributes(data).get(_EXPR_DATA, b""))
    return be_to_int(found.get(2, b""))


def parse_verdict(data: bytes) -> tuple[int, str]:
    """Decode NFTA_VERDICT_*: the code (negative for jumps and returns) and the chain."""
    found = parse_attributes(data)
    code = be_to_int(found.get(_VERDICT_CODE, be32(0)))
    return (code - (1 << 32) if code >> 31 else code), to_string(found.get(_VERDICT_CHAIN, b""))


def parse_expressions(data: bytes) -> tuple[Expression, ...]:
    """Decode NFTA_RULE_EXPRESSIONS. ValueError when it is cut off."""
    found = []
    for kind, element in parse_list(data):
        if kind == LIST_ELEMENT:
            one = parse_attributes(element)
            found.append(Expression(to_string(one.get(_EXPR_NAME, b"")), parse_attributes(one.get(_EXPR_DATA, b""))))
    return tuple(found)


def register_words(register: int) -> int:
    """Return the index of a register's first word: NFT_REG_1…4 have four words each, NFT_REG32_00…15 one."""
    return register - _REGISTER_FIRST if register >= _REGISTER_FIRST else (register - 1) * 4


def protocol_number(name: str) -> int:
    """Return the number of tcp, udp or sctp."""
    return {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}[name]
