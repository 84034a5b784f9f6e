"""What rules of nftables do to a packet of which only some is known: they are run as the kernel runs them, with doubts.

Words.  *facts*: what is known of a packet at a hook, byte by byte (None where not). *outcome*: something that a chain
        may do to it. *doubt*: why it may: an unknown value ("the client's address"), or an expression that isn't
        understood here. *certain*: without doubt; what comes behind a certain end isn't reached.
Cost.   Some microseconds a rule.
Limits. Of expressions those are run that firewalls are written with; of iptables' matches (which iptables-nft keeps
        in their old form) comment, conntrack and state by state, tcp, udp, multiport. limit is taken for not
        exceeded. Everything else raises a doubt that is not `Doubt.known`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sampan.linux import nftexpr
from sampan.linux.nftdump import ChainFacts, ElementFacts, RuleFacts, Ruleset, SetFacts
from sampan.linux.nftexpr import ACCEPT, DROP, GOTO, JUMP, RETURN, Expression
from sampan.network import iptmatches
from sampan.network.facts import Facts

Bytes = tuple[int | None, ...]  # None: not known

OPEN, SHUT, ELSEWHERE = "accept", "drop", "translate"  # kinds of outcomes
_LITTLE: Final = sys.byteorder == "little"
_DEEPEST: Final = 16  # NFT_JUMP_STACK_SIZE
_PASSING: Final = frozenset({"counter", "log", "notrack", "last", "objref", "dup"})
_PASSING_TARGETS: Final = frozenset(
    ("LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CHECKSUM", "TRACE", "AUDIT", "CT", "NOTRACK", "CLASSIFY", "DSCP")
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an outcome isn't certain; ``known``: the rule is understood, and packets differ in what it asks for."""

    why: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Something that a chain may do: the rule (None: the chain's policy) and the doubt about it (None: certain)."""

    kind: str
    chain: ChainFacts
    rule: RuleFacts | None
    doubt: Doubt | None = None

    @property
    def place(self) -> str:
        """Name the rule for a person."""
        where = (
            f"table {self.chain.family} {self.chain.table}, chain {self.rule.chain if self.rule else self.chain.name}"
        )
        said = f"handle {self.rule.handle}" if self.rule else "policy"
        if self.rule and self.rule.comment:
            said += f" “{self.rule.comment}”"
        owner = _owner(self.chain, self.rule.chain if self.rule else "")
        return f"{where}, {said} ({owner})" if owner else f"{where}, {said}"


def _owner(base: ChainFacts, chain: str) -> str:
    """Return the program that a chain is known to belong to; "" where its name doesn't tell."""
    if base.table == "firewalld":
        return "firewalld"
    for prefix, name in (("ufw", "ufw"), ("DOCKER", "Docker"), ("KUBE", "Kubernetes"), ("LIBVIRT", "libvirt")):
        if chain.startswith(prefix):
            return name
    return "iptables" if base.family in ("ip", "ip6") and base.name.isupper() else ""


class Walker:
    """A ruleset, prepared for packets."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._chains = {(one.family, one.table, one.name): one for one in ruleset.chains}
        self._sets = {(one.family, one.table, one.name): one for one in ruleset.sets}
        self._rules: dict[tuple[str, str, str], list[RuleFacts]] = {}
        for rule in ruleset.rules:
            self._rules.setdefault((rule.family, rule.table, rule.chain), []).append(rule)

    def base_chains(self, hook: str, version: int) -> list[ChainFacts]:
        """Return the base chains at a hook that see packets of IP ``version``, in the order that they run in."""
        families = ("inet", "ip" if version == 4 else "ip6")
        found = [one for one in self._chains.values() if one.hook == hook and one.family in families]
        return sorted(found, key=lambda one: one.priority)

    def outcomes(self, base: ChainFacts, facts: Facts) -> list[Outcome]:
        """Return what a base chain may do; only the last outcome is certain."""
        found, ended = self._run(base, base.name, facts, None, 0)
        if not ended:
            found.append(Outcome(OPEN if base.policy == ACCEPT else SHUT, base, None))
        return found

    def _run(
        self, base: ChainFacts, name: str, facts: Facts, doubt: Doubt | None, depth: int
    ) -> tuple[list[Outcome], bool]:
        """Return what a chain may do, and whether a certain end was among it."""
        found: list[Outcome] = []
        for rule in self._rules.get((base.family, base.table, name), ()):
            for matched in self._match(rule, facts):
                own = doubt or matched.doubt
                if matched.code == RETURN:
                    if own is None:
                        return found, False
                    doubt = own
                elif matched.code in (JUMP, GOTO):
                    if depth == _DEEPEST:
                        continue
                    inner, ended = self._run(base, matched.chain, facts, own, depth + 1)
                    found += inner
                    if ended:
                        return found, True
                    if matched.code == GOTO and own is None:
                        return found, False
                    doubt = doubt or (own if matched.code == GOTO else None)
                else:
                    found.append(Outcome(matched.kind, base, rule, own))
                    if own is None:
                        return found, True
        return found, False

    def _match(self, rule: RuleFacts, facts: Facts) -> Iterator[_Matched]:
        """Return what a rule may do; nothing when it doesn't match, or does nothing that matters."""
        machine = _Machine(facts, lambda name: self._sets.get((rule.family, rule.table, name)))
        for one in rule.expressions:
            found = _take(machine, one)
            if found is False:
                return
            if isinstance(found, Doubt):
                machine.doubt = machine.doubt if machine.doubt and not machine.doubt.known else found
            elif isinstance(found, list):
                yield from (replace(end, doubt=machine.doubt or end.doubt) for end in found)
                return


def _take(machine: _Machine, one: Expression) -> _Result:
    """Run one expression; one that isn't as this kernel's headers say is a doubt too."""
    if one.name in _PASSING:
        return None
    step = _STEPS.get(one.name)
    try:
        if step:
            return step(machine, one)
    except (ValueError, LookupError, struct.error):
        pass
    return Doubt(f"“{one.name}” isn't understood", known=False)


@dataclass(frozen=True, slots=True)
class _Matched:
    """The end of a rule: a verdict's code and chain, or a kind of outcome."""

    code: int = ACCEPT
    chain: str = ""
    kind: str = OPEN
    doubt: Doubt | None = None


# A step returns None to go on, False when the rule doesn't match, a doubt to go on with, or the rule's possible ends.
_Result = None | bool | Doubt | list[_Matched]


@dataclass(slots=True)
class _Machine:
    """The registers of the rule machine: 64 bytes, and what was loaded into each word."""

    facts: Facts
    sets: Callable[[str], SetFacts | None]
    registers: list[int | None] = field(default_factory=lambda: [None] * 64)
    labels: list[str] = field(default_factory=lambda: [""] * 16)
    doubt: Doubt | None = None

    def load(self, register: int, data: Bytes, label: str) -> None:
        word = _word(register, len(data))
        padded = [*data, *[0] * (-len(data) % 4)]
        self.registers[word * 4 : word * 4 + len(padded)] = padded
        for i in range(word, min(16, word + len(padded) // 4)):
            self.labels[i] = label

    def read(self, register: int, size: int) -> tuple[Bytes, str]:
        word = _word(register, size)
        return tuple(self.registers[word * 4 : word * 4 + size]), self.labels[word]


def _word(register: int, size: int) -> int:
    """Return a register's first word. ValueError when there is no room for ``size`` bytes from there."""
    word = nftexpr.register_words(register)
    if not (0 <= word < 16 and word * 4 + size <= 64):
        raise ValueError(f"{size} bytes in register {register}")
    return word


def _known(data: bytes) -> Bytes:
    return tuple(data)


def _unknown(size: int) -> Bytes:
    return (None,) * size


# --- loading ---------------------------------------------------------------------------------------------------------


def _name(text: str | None) -> Bytes:
    return _unknown(16) if text is None else _known(nftexpr.interface(text))


def _meta(machine: _Machine, one: Expression) -> _Result:
    if 3 in one.attributes:  # sets it: a mark, a priority
        return None
    key, facts = one.number(2), machine.facts
    loads: dict[int, tuple[Bytes, str]] = {
        nftexpr.META_IIFNAME: (_name(facts.iifname), "the interface that it comes by"),
        nftexpr.META_OIFNAME: (_name(facts.oifname), "the interface that it leaves by"),
        nftexpr.META_IIF: (_unknown(4), "the interface that it comes by"),
        nftexpr.META_OIF: (_unknown(4), "the interface that it leaves by"),
        nftexpr.META_NFPROTO: (
            (nftexpr.NFPROTO_IPV4 if facts.version == 4 else nftexpr.NFPROTO_IPV6,),
            "the family",
        ),
        nftexpr.META_L4PROTO: ((facts.protocol,), "the protocol"),
        nftexpr.META_PROTOCOL: (_known(b"\x08\x00" if facts.version == 4 else b"\x86\xdd"), "the family"),
        nftexpr.META_MARK: (_unknown(4), "its mark"),
    }
    data, label = loads.get(key, (_unknown(16), "something of the packet or the time"))
    machine.load(one.number(1), data, label)
    return None


def _payload(machine: _Machine, one: Expression) -> _Result:
    if 5 in one.attributes:  # changes the packet
        return Doubt("the packet is changed", known=False)
    header, labels = _headers(machine.facts, one.number(2))
    start, size = min(one.number(3), 64), min(one.number(4), 64)
    data = (header + _unknown(start + size))[start : start + size]
    label = next((label for begin, end, label in labels if begin <= start < end), "something of the packet")
    machine.load(one.number(1), data, label)
    return None


def _headers(facts: Facts, base: int) -> tuple[Bytes, list[tuple[int, int, str]]]:
    """Return the bytes of a header that are known, and what they are called."""
    if base == nftexpr.NETWORK_HEADER:
        size = 4 if facts.version == 4 else 16
        source = _known(facts.source) or _unknown(size)
        target = _known(facts.target) or _unknown(size)
        before = (*_unknown(9), facts.protocol, *_unknown(2))
        if facts.version == 6:
            before = (*_unknown(6), facts.protocol, *_unknown(1))
        start = len(before)
        names = [(start, start + size, "the client's address"), (start + size, start + 2 * size, "the address")]
        return before + source + target, names
    if base == nftexpr.TRANSPORT_HEADER:
        ports = _port(facts.source_port) + _port(facts.target_port)
        return ports, [(0, 2, "the client's port"), (2, 4, "the port")]
    return (), []


def _port(number: int | None) -> Bytes:
    return _unknown(2) if number is None else _known(struct.pack(">H", number))


def _ct(machine: _Machine, one: Expression) -> _Result:
    if 4 in one.attributes:  # sets a mark, a zone, a helper
        return None
    facts, key = machine.facts, one.number(2)
    loads = {
        nftexpr.CT_STATE: (_known(struct.pack("=I", facts.state)), "its state"),
        nftexpr.CT_STATUS: (_known(struct.pack("=I", facts.status)), "its status"),
        nftexpr.CT_DIRECTION: ((int(facts.reply),), "its direction"),
    }
    data, label = loads.get(key, (_unknown(16), "what conntrack knows of it"))
    machine.load(one.number(1), data, label)
    return None


def _fib(machine: _Machine, one: Expression) -> _Result:
    flags, facts = one.number(3), machine.facts
    if one.number(2) == nftexpr.FIB_RESULT_TYPE:
        kind = facts.target_type if flags & nftexpr.FIB_DADDR else facts.source_type
        machine.load(one.number(1), _known(struct.pack("=I", kind)), "the kind of address")
    elif one.number(2) == _FIB_OIF:  # asked whether there is a way back: there is
        machine.load(one.number(1), (1, 0, 0, 0), "the way back")
    else:
        machine.load(one.number(1), _unknown(16), "the way back")
    return None


_FIB_OIF: Final = 1


# --- computing and comparing -----------------------------------------------------------------------------------------


def _bitwise(machine: _Machine, one: Expression) -> _Result:
    if one.number(6):
        return Doubt("it shifts bits", known=False)
    data, label = machine.read(one.number(1), one.number(3))
    mask, xor = one.value(4), one.value(5)
    machine.load(
        one.number(2),
        tuple(
            x if m == 0 else None if byte is None else byte & m ^ x for byte, m, x in zip(data, mask, xor, strict=False)
        ),
        label,
    )
    return None


def _byteorder(machine: _Machine, one: Expression) -> _Result:
    size, width = one.number(4), one.number(5)
    data, label = machine.read(one.number(1), size)
    if _LITTLE:
        data = tuple(byte for i in range(0, size, width) for byte in reversed(data[i : i + width]))
    machine.load(one.number(2), data, label)
    return None


def _cmp(machine: _Machine, one: Expression) -> _Result:
    value = one.value(3)
    data, label = machine.read(one.number(1), len(value))
    order = _compare(data, value)
    if order is None:
        return Doubt(label)
    wanted = {
        nftexpr.EQ: order == 0,
        nftexpr.NEQ: order != 0,
        nftexpr.LT: order < 0,
        nftexpr.LTE: order <= 0,
        nftexpr.GT: order > 0,
        nftexpr.GTE: order >= 0,
    }
    # that they differ is known as soon as one byte does; which is greater needs every byte before it
    if order and one.number(2) > nftexpr.NEQ and None in data:
        return Doubt(label)
    return None if wanted[one.number(2)] else False


def _compare(data: Bytes, value: bytes) -> int | None:
    """Return how they compare; 0 for equal, None where it isn't known."""
    for byte, wanted in zip(data, value, strict=False):
        if byte is not None and byte != wanted:
            return -1 if byte < wanted else 1
    return None if None in data else 0


def _range(machine: _Machine, one: Expression) -> _Result:
    first, last = one.value(3), one.value(4)
    data, label = machine.read(one.number(1), len(first))
    if None in data:
        return Doubt(label)
    inside = _between(data, first, last)
    return None if inside == (one.number(2) == 0) else False


def _between(data: Bytes, first: bytes, last: bytes) -> bool:
    return first <= bytes(byte or 0 for byte in data) <= last


def _lookup(machine: _Machine, one: Expression) -> _Result:
    found = machine.sets(one.text(1))
    if found is None:
        return Doubt(f"set {one.text(1)} isn't there any more", known=False)
    size = max((len(element.first) for element in found.elements), default=0)
    data, label = machine.read(one.number(2), size)
    possible = [element for element in found.elements if not element.catchall and _may_be(found, element, data)]
    certain = None not in data
    if not possible or not certain:
        possible += [element for element in found.elements if element.catchall]
    if one.number(5) & 1:  # inverted
        return None if not possible else False if certain else Doubt(label)
    if not possible:
        return False
    doubt = None if certain else Doubt(label)
    if 3 not in one.attributes:
        return doubt
    if one.number(3) == 0:
        ends = [_ended(*element.verdict, doubt) for element in possible if element.verdict]
        return [end for part in ends for end in part]
    if certain:
        machine.load(one.number(3), _known(possible[0].data), label)
    else:
        machine.load(one.number(3), _unknown(len(possible[0].data)), label)
    return doubt


def _may_be(found: SetFacts, element: ElementFacts, data: Bytes) -> bool:
    """Tell whether a key of which some bytes aren't known may be an element."""
    if not found.fields:
        return _may_lie(data, element.first, element.last)
    start = 0
    for size in found.fields:
        part = slice(start, start + size)
        if not _may_lie(data[part], element.first[part], element.last[part]):
            return False
        start += -(-size // 4) * 4
    return True


def _may_lie(data: Bytes, first: bytes, last: bytes) -> bool:
    lowest = bytes(0 if byte is None else byte for byte in data)
    highest = bytes(255 if byte is None else byte for byte in data)
    if first == last:
        return all(byte is None or byte == wanted for byte, wanted in zip(data, first, strict=False))
    return lowest <= last and highest >= first


# --- ends ------------------------------------------------------------------------------------------------------------


def _ended(code: int, chain: str, doubt: Doubt | None = None) -> list[_Matched]:
    if code in (JUMP, GOTO, RETURN):
        return [_Matched(code, chain, doubt=doubt)]
    if code in (ACCEPT, DROP):
        return [_Matched(code, kind=OPEN if code == ACCEPT else SHUT, doubt=doubt)]
    return [] if code == nftexpr.CONTINUE else _program("queue")


def _program(name: str) -> list[_Matched]:
    doubt = Doubt(f"a program behind “{name}” decides", known=False)
    return [_Matched(kind=SHUT, doubt=doubt)]


def _immediate(machine: _Machine, one: Expression) -> _Result:
    verdict = one.verdict(2)
    if verdict is not None:
        return _ended(*verdict)
    machine.load(one.number(1), _known(one.value(2)), "")
    return None


def _limit(machine: _Machine, one: Expression) -> _Result:
    """A limit is taken for not exceeded."""
    return False if one.number(5) & 1 else None


def _connlimit(machine: _Machine, one: Expression) -> _Result:
    return False if one.number(2) & 1 else None


def _dynset(machine: _Machine, one: Expression) -> _Result:
    """Adds to a set; with expressions of its own it goes on only for some."""
    return Doubt("how many come") if {7, 10} & one.attributes.keys() else None


def _nat(machine: _Machine, one: Expression) -> _Result:
    return [_Matched(kind=ELSEWHERE if one.number(1) == nftexpr.NAT_DESTINATION else OPEN)]


def _elsewhere(machine: _Machine, one: Expression) -> _Result:
    return [_Matched(kind=ELSEWHERE)]


def _masq(machine: _Machine, one: Expression) -> _Result:
    return [_Matched(kind=OPEN)]


def _reject(machine: _Machine, one: Expression) -> _Result:
    return [_Matched(kind=SHUT)]


def _queue(machine: _Machine, one: Expression) -> _Result:
    return _program("queue")


def _target(machine: _Machine, one: Expression) -> _Result:
    """A target of iptables."""
    name = one.text(1)
    if name in _PASSING_TARGETS:
        return None
    if name in ("DNAT", "REDIRECT", "NETMAP", "TPROXY"):
        return [_Matched(kind=ELSEWHERE)]
    if name in ("SNAT", "MASQUERADE"):
        return [_Matched(kind=OPEN)]
    return [_Matched(kind=SHUT)] if name in ("REJECT", "DROP") else _program(name)


def _match_of_iptables(machine: _Machine, one: Expression) -> _Result:
    """A match of iptables, kept in its old form by iptables-nft."""
    name = one.text(1)
    found = iptmatches.matches(name, machine.facts, one.attributes.get(3, b""))
    if found is None:
        return Doubt(f"iptables' match “{name}” isn't understood", known=False)
    return None if found else False


_STEPS: Final[dict[str, Callable[[_Machine, Expression], _Result]]] = {
    "meta": _meta,
    "payload": _payload,
    "ct": _ct,
    "fib": _fib,
    "bitwise": _bitwise,
    "byteorder": _byteorder,
    "cmp": _cmp,
    "range": _range,
    "lookup": _lookup,
    "immediate": _immediate,
    "limit": _limit,
    "connlimit": _connlimit,
    "dynset": _dynset,
    "nat": _nat,
    "redir": _elsewhere,
    "tproxy": _elsewhere,
    "masq": _masq,
    "reject": _reject,
    "queue": _queue,
    "target": _target,
    "match": _match_of_iptables,
}
