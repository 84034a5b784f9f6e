"""Rules walked with half-known packets, without a kernel: whatever they hold, the end is certain."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import nftexpr
from sampan.linux.nftdump import ChainFacts, RuleFacts, Ruleset
from sampan.linux.nftexpr import ACCEPT, DROP, JUMP, RETURN, Expression, Statement, parse_expressions, verdict
from sampan.network.facts import Facts
from sampan.network.rulewalk import OPEN, SHUT, Walker

BASE = ChainFacts("inet", "t", "base", 1, "forward", "filter", 0, DROP)
WEB = Facts(6, source_port=50000, target=bytes([10, 0, 0, 2]), target_port=80)


def rule(chain: str, *statements: Statement, handle: int = 1) -> RuleFacts:
    return RuleFacts("inet", "t", chain, handle, parse_expressions(b"".join(one.wire for one in statements)))


def ends(*rules: RuleFacts, facts: Facts = WEB) -> list[tuple[str, bool]]:
    """Kind of each outcome, and whether it is certain."""
    walker = Walker(Ruleset((BASE,), tuple(rules), ()))
    return [(end.kind, end.doubt is None) for end in walker.outcomes(BASE, facts)]


UNSURE = nftexpr.within_prefix(nftexpr.IP_SADDR, "10.0.0.0/8")
PORT = nftexpr.equals(nftexpr.DPORT, struct.pack(">H", 80), "80")


def test_policies_are_the_end() -> None:
    assert ends() == [(SHUT, True)]


def test_what_comes_behind_a_certain_end_is_not_reached() -> None:
    assert ends(rule("base", PORT, verdict(ACCEPT)), rule("base", verdict(DROP))) == [(OPEN, True)]


def test_a_doubt_goes_on() -> None:
    assert ends(rule("base", UNSURE, verdict(ACCEPT))) == [(OPEN, False), (SHUT, True)]


def test_a_known_mismatch_ends_a_doubtful_rule() -> None:
    other = nftexpr.equals(nftexpr.DPORT, struct.pack(">H", 81), "81")
    assert ends(rule("base", UNSURE, other, verdict(ACCEPT))) == [(SHUT, True)]


def test_a_doubtful_jump_makes_doubtful_ends() -> None:
    found = ends(rule("base", UNSURE, verdict(JUMP, "inner")), rule("inner", verdict(ACCEPT)))
    assert found == [(OPEN, False), (SHUT, True)]


def test_a_doubtful_return_makes_the_rest_doubtful() -> None:
    rules = rule("base", verdict(JUMP, "inner")), rule("inner", UNSURE, verdict(RETURN)), rule("inner", verdict(ACCEPT))
    assert ends(*rules) == [(OPEN, False), (SHUT, True)]


def test_chains_in_a_circle_come_to_an_end() -> None:
    """The kernel refuses them; what it tells while somebody changes them may look so."""
    assert ends(rule("base", verdict(JUMP, "base"))) == [(SHUT, True)]


attribute_values = st.one_of(
    st.binary(max_size=24),
    st.integers(0, 40).map(lambda number: struct.pack(">I", number)),
    st.just(nftexpr.value_of(b"\0\x50")),
    st.just(nftexpr.verdict_of(JUMP, "base")),
)
NAMES = st.sampled_from(
    (
        "meta",
        "payload",
        "ct",
        "fib",
        "bitwise",
        "byteorder",
        "cmp",
        "range",
        "lookup",
        "immediate",
        "limit",
        "match",
        "target",
        "?",
    )
)
expressions = st.builds(Expression, NAMES, st.dictionaries(st.integers(0, 8), attribute_values, max_size=6))


@given(st.lists(expressions, max_size=6))
def test_strange_rules_are_doubts(found: list[Expression]) -> None:
    walker = Walker(Ruleset((BASE,), (RuleFacts("inet", "t", "base", 1, tuple(found)),), ()))
    outcomes = walker.outcomes(BASE, WEB)
    assert outcomes[-1].doubt is None
