"""The wire format of nftables: what is sent for each part, and what is read from what the kernel answers.

The bytes are those that nft(8) 1.0.6 sends for the same things, but for the number of the first register, the sets'
numbers, and user data that only nft reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import nftdump, nftexpr
from sampan.linux.netlink import attributes, be32, nested, parse_attributes, parse_list, string, u32
from sampan.linux.nftables import (
    IFNAME,
    INET_PROTO,
    INET_SERVICE,
    IPV4_ADDR,
    IPV6_ADDR,
    NF_PROTO,
    Batch,
    Chain,
    Element,
    Rule,
    Set,
    Table,
    first_key,
)
from sampan.linux.nftexpr import (
    ACCEPT,
    CT_STATES,
    DPORT,
    DROP,
    FIB_DADDR_TYPE,
    GOTO,
    IIFNAME,
    IP_SADDR,
    JUMP,
    L4PROTO,
    RETURN,
    Statement,
    any_bit,
    dnat_by_map,
    equals,
    in_set,
    masquerade,
    named,
    parse_expressions,
    verdict,
    within_prefix,
)

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="numbers in the machine's order are written down here")

NAMES = Set("s", (IFNAME,))
PAIRS = Set("h", (IPV4_ADDR, IPV4_ADDR), interval=True)
MAP = Set("b", (IPV4_ADDR, INET_PROTO, INET_SERVICE), (IPV4_ADDR, INET_SERVICE))
SUBNETS = Set("g", (IPV4_ADDR,), interval=True)
WEB = Element(("10.0.0.1", "tcp", "80"), ("172.17.0.2", "8080"))

MESSAGES: list[tuple[str, Callable[[Batch], None], str]] = [
    (
        "set",
        lambda batch: batch.add_set(NAMES),
        (
            "01000000 06000100 74000000 06000200 73000000 08000300 00000000 08000400 00000029 08000500 00000010 "
            "08000a00 00000001 0a000d00 00040100 00000000"
        ),
    ),
    (
        "set of intervals, part by part",
        lambda batch: batch.add_set(PAIRS),
        (
            "01000000 06000100 74000000 06000200 68000000 08000300 00000084 08000400 000001c7 08000500 00000008 "
            "08000a00 00000001 20000980 1c000280 0c000180 08000100 00000004 0c000180 08000100 00000004"
        ),
    ),
    (
        "map",
        lambda batch: batch.add_set(MAP),
        (
            "01000000 06000100 74000000 06000200 62000000 08000300 00000008 08000400 0000730d 08000500 0000000c "
            "08000600 000001cd 08000700 00000008 08000a00 00000001"
        ),
    ),
    (
        "set of intervals",
        lambda batch: batch.add_set(SUBNETS),
        (
            "01000000 06000100 74000000 06000200 67000000 08000300 00000004 08000400 00000007 08000500 00000004 "
            "08000a00 00000001"
        ),
    ),
    (
        "element",
        lambda batch: batch.add_elements(NAMES, [Element(("br0",))]),
        (
            "01000000 06000100 74000000 06000200 73000000 20000380 1c000180 18000180 14000100 62723000 00000000 "
            "00000000 00000000"
        ),
    ),
    (
        "pair of intervals",
        lambda batch: batch.add_elements(PAIRS, [Element(("172.17.0.0/16", "172.18.0.0/16"))]),
        (
            "01000000 06000100 74000000 06000200 68000000 28000380 24000180 10000180 0c000100 ac110000 ac120000 "
            "10000a80 0c000100 ac11ffff ac12ffff"
        ),
    ),
    (
        "element of a map",
        lambda batch: batch.add_elements(MAP, [WEB]),
        (
            "01000000 06000100 74000000 06000200 62000000 2c000380 28000180 14000180 10000100 0a000001 06000000 "
            "00500000 10000280 0c000100 ac110002 1f900000"
        ),
    ),
    (
        "deleted element of a map",
        lambda batch: batch.delete_elements(MAP, [WEB]),
        "01000000 06000100 74000000 06000200 62000000 1c000380 18000180 14000180 10000100 0a000001 06000000 00500000",
    ),
    (
        "interval",
        lambda batch: batch.add_elements(SUBNETS, [Element(("172.17.0.0/16",))]),
        (
            "01000000 06000100 74000000 06000200 67000000 2c000380 10000180 0c000180 08000100 ac110000 18000180 "
            "0c000180 08000100 ac120000 08000300 00000001"
        ),
    ),
    (
        "interval to the last address",
        lambda batch: batch.add_elements(SUBNETS, [Element(("255.0.0.0/8",))]),
        "01000000 06000100 74000000 06000200 67000000 14000380 10000180 0c000180 08000100 ff000000",
    ),
    (
        "base chain",
        lambda batch: batch.add_chain(Chain("c", (), "input", priority=-1)),
        (
            "01000000 06000100 74000000 06000300 63000000 14000480 08000100 00000001 08000200 ffffffff 08000500 "
            "00000001 0b000700 66696c74 65720000"
        ),
    ),
]
STATEMENTS: list[tuple[Statement, str, str]] = [
    (
        in_set([IIFNAME], "s"),
        "iifname @s",
        (
            "24000180 09000100 6d657461 00000000 14000280 08000200 00000006 08000100 00000008 24000180 0b000100 "
            "6c6f6f6b 75700000 14000280 08000200 00000008 06000100 73000000"
        ),
    ),
    (
        in_set([L4PROTO, DPORT], "s", negate=True),
        "meta l4proto . th dport != @s",
        (
            "24000180 09000100 6d657461 00000000 14000280 08000200 00000010 08000100 00000008 34000180 0c000100 "
            "7061796c 6f616400 24000280 08000100 00000009 08000200 00000002 08000300 00000002 08000400 00000002 "
            "2c000180 0b000100 6c6f6f6b 75700000 1c000280 08000200 00000008 06000100 73000000 08000500 00000001"
        ),
    ),
    (
        verdict(DROP),
        "drop",
        "30000180 0e000100 696d6d65 64696174 65000000 1c000280 08000100 00000000 10000280 0c000280 08000100 00000000",
    ),
    (
        verdict(GOTO, "x"),
        "goto x",
        (
            "38000180 0e000100 696d6d65 64696174 65000000 24000280 08000100 00000000 18000280 14000280 08000100 "
            "fffffffc 06000200 78000000"
        ),
    ),
    (
        within_prefix(IP_SADDR, "127.0.0.0/8"),
        "ip saddr 127.0.0.0/8",
        (
            "24000180 09000100 6d657461 00000000 14000280 08000200 0000000f 08000100 00000008 2c000180 08000100 "
            "636d7000 20000280 08000100 00000008 08000200 00000000 0c000380 05000100 02000000 34000180 0c000100 "
            "7061796c 6f616400 24000280 08000100 00000008 08000200 00000001 08000300 0000000c 08000400 00000004 "
            "44000180 0c000100 62697477 69736500 34000280 08000100 00000008 08000200 00000008 08000300 00000004 "
            "0c000480 08000100 ff000000 0c000580 08000100 00000000 2c000180 08000100 636d7000 20000280 08000100 "
            "00000008 08000200 00000000 0c000380 08000100 7f000000"
        ),
    ),
    (
        any_bit(CT_STATES, 6, "established,related"),
        "ct state established,related",
        (
            "20000180 07000100 63740000 14000280 08000200 00000000 08000100 00000008 44000180 0c000100 62697477 "
            "69736500 34000280 08000100 00000008 08000200 00000008 08000300 00000004 0c000480 08000100 06000000 "
            "0c000580 08000100 00000000 2c000180 08000100 636d7000 20000280 08000100 00000008 08000200 00000001 "
            "0c000380 08000100 00000000"
        ),
    ),
    (
        equals(FIB_DADDR_TYPE, u32(2), "local"),
        "fib daddr type local",
        (
            "28000180 08000100 66696200 1c000280 08000300 00000002 08000200 00000003 08000100 00000008 2c000180 "
            "08000100 636d7000 20000280 08000100 00000008 08000200 00000000 0c000380 08000100 02000000"
        ),
    ),
    (
        dnat_by_map("ip6", [L4PROTO, DPORT], "m"),
        "dnat ip6 to meta l4proto . th dport map @m",
        (
            "24000180 09000100 6d657461 00000000 14000280 08000200 00000010 08000100 00000008 34000180 0c000100 "
            "7061796c 6f616400 24000280 08000100 00000009 08000200 00000002 08000300 00000002 08000400 00000002 "
            "2c000180 0b000100 6c6f6f6b 75700000 1c000280 08000200 00000008 08000300 00000008 06000100 6d000000 "
            "30000180 08000100 6e617400 24000280 08000100 00000001 08000200 0000000a 08000300 00000008 08000500 "
            "0000000c"
        ),
    ),
    (
        masquerade(),
        "masquerade",
        "14000180 09000100 6d617371 00000000 04000280",
    ),
]


@pytest.mark.parametrize(("name", "change", "expected"), MESSAGES, ids=[case[0] for case in MESSAGES])
def test_messages(name: str, change: Callable[[Batch], None], expected: str) -> None:
    batch = Batch("inet", "t")
    change(batch)
    assert [one.hex(" ", 4) for one in batch.encoded()] == [expected]


@pytest.mark.parametrize(("statement", "text", "expected"), STATEMENTS, ids=[case[1] for case in STATEMENTS])
def test_statements(statement: Statement, text: str, expected: str) -> None:
    assert statement.text == text
    assert statement.wire.hex(" ", 4) == expected


def test_a_rule_has_its_statements_and_a_comment() -> None:
    batch = Batch("ip6", "t")
    rule = Rule((verdict(ACCEPT),), "why")
    batch.add_rule("c", rule)
    (payload,) = batch.encoded()
    assert payload[0] == 10
    found = parse_attributes(payload[4:])
    assert found[4] == verdict(ACCEPT).wire
    assert found[7] == b"\0\4why\0"
    assert rule.text == 'accept comment "why"'


def test_many_elements_are_several_messages() -> None:
    batch = Batch("inet", "t")
    ports = Set("p", (INET_PROTO, INET_SERVICE))
    batch.add_elements(ports, [Element(("udp", str(port))) for port in range(1, 1001)])
    counts = [len(parse_list(parse_attributes(one[4:])[3])) for one in batch.encoded()]
    assert sum(counts) == 1000
    assert all(len(one) < 1 << 16 for one in batch.encoded())
    assert len(batch) == 3


def test_replacing_begins_with_nothing() -> None:
    batch = Batch("inet", "t")
    table = Table("inet", "t", (NAMES,), (Chain("c", (Rule((verdict(DROP),)),)),), {"s": (Element(("lo",)),)})
    batch.replace(table)
    assert [message.kind & 0xFF for message in batch._messages] == [0, 2, 0, 9, 3, 6, 12]


def test_a_table_as_text() -> None:
    chain = Chain("c", (Rule((named(IIFNAME, "lo", negate=True), verdict(JUMP, "d"))),), "prerouting", "nat", -100)
    table = Table("inet", "t", (MAP, SUBNETS), (Chain("d", ()), chain), {"b": (WEB,)})
    assert table.text == (
        "table inet t {\n"
        "\tmap b {\n\t\ttype ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service\n"
        "\t\telements = { 10.0.0.1 . tcp . 80 : 172.17.0.2 . 8080 }\n\t}\n\n"
        "\tset g {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n\n"
        "\tchain d {\n\t}\n\n"
        "\tchain c {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
        '\t\tiifname != "lo" jump d\n\t}\n}\n'
    )


@pytest.mark.parametrize(
    ("kind", "text", "first", "last"),
    [
        (NF_PROTO, "ipv6", "0a", "0a"),
        (IPV4_ADDR, "10.1.0.0/16", "0a010000", "0a01ffff"),
        (IPV6_ADDR, "fd00::/120", "fd" + "00" * 15, "fd" + "00" * 14 + "ff"),
        (INET_PROTO, "sctp", "84", "84"),
        (INET_SERVICE, "65535", "ffff", "ffff"),
        (IFNAME, "eth0", "65746830" + "00" * 12, "65746830" + "00" * 12),
    ],
)
def test_kinds(kind: object, text: str, first: str, last: str) -> None:
    assert [one.hex() for one in kind.encode(text)] == [first, last]


def test_keys_are_padded_part_by_part() -> None:
    assert first_key(MAP, WEB).hex() == "0a0000010600000000500000"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_expressions_are_read_as_they_were_written() -> None:
    meta, cmp, verdict_of_it = parse_expressions(named(IIFNAME, "lo").wire + verdict(GOTO, "other").wire)
    assert (meta.name, meta.number(2), nftexpr.register_words(meta.number(1))) == ("meta", nftexpr.META_IIFNAME, 0)
    assert (cmp.name, cmp.number(2), cmp.value(3)) == ("cmp", nftexpr.EQ, nftexpr.interface("lo"))
    assert verdict_of_it.verdict(2) == (GOTO, "other")
    assert cmp.verdict(3) is None


@pytest.mark.parametrize("code", [ACCEPT, DROP, RETURN])
def test_verdicts_have_a_sign(code: int) -> None:
    assert parse_expressions(verdict(code).wire)[0].verdict(2) == (code, "")


@pytest.mark.parametrize(("register", "word"), [(1, 0), (2, 4), (4, 12), (8, 0), (9, 1), (23, 15)])
def test_registers_have_two_names(register: int, word: int) -> None:
    assert nftexpr.register_words(register) == word


class Kernel:
    """Answers dumps with what it is given: message kind → [(family, attributes)]."""

    def __init__(self, answers: dict[int, list[tuple[int, bytes]]]) -> None:
        self._answers = answers

    def request(self, kind: int, flags: int, payload: bytes, what: str) -> list[tuple[int, bytes]]:
        return [(kind, bytes([family, 0, 0, 0]) + body) for family, body in self._answers.get(kind & 0xFF, [])]


def table_answer(name: str, flags: int = 0) -> tuple[int, bytes]:
    return 1, attributes([(1, string(name)), (2, be32(flags))])


def chain_answer(table: str) -> tuple[int, bytes]:
    hook = attributes([(1, be32(2)), (2, be32(0xFFFFFFFF))])
    pairs = [(1, string(table)), (2, bytes(7) + b"\5"), (3, string("c")), (5, be32(DROP)), (7, string("filter"))]
    return 1, attributes([*pairs, (4, hook)])


def test_a_ruleset_is_read_without_one_table_and_those_asleep() -> None:
    rule = attributes(
        [(1, string("t")), (2, string("c")), (3, bytes(7) + b"\7"), (4, verdict(DROP).wire), (7, b"\0\3hi\0")]
    )
    kernel = Kernel(
        {
            1: [table_answer("t"), table_answer("own"), table_answer("asleep", 1)],
            4: [chain_answer(name) for name in ("t", "own", "asleep")],
            7: [(1, rule)],
        }
    )
    found = nftdump.read_ruleset(kernel, without=("inet", "own"))
    assert found.chains == (nftdump.ChainFacts("inet", "t", "c", 5, "forward", "filter", -1, DROP),)
    assert [(one.handle, one.comment) for one in found.rules] == [(7, "hi")]
    assert found.sets == ()


def element(key: bytes, *more: tuple[int, bytes]) -> bytes:
    return nested(1, [(1, nftexpr.value_of(key)), *more])


def test_intervals_are_joined() -> None:
    """Beginnings and ends come in any order; an end may be missing where the next begins, or at the last."""
    listed = [
        element(b"\x0a\0\0\0"),
        element(b"\0\0\0\0", (3, be32(1))),
        element(b"\x0b\0\0\0", (3, be32(1))),
        element(b"\xf0\0\0\0"),
        element(b"\0\0\0\1", (3, be32(2))),
    ]
    kernel = Kernel(
        {
            1: [table_answer("t")],
            10: [(1, attributes([(1, string("t")), (2, string("s")), (3, be32(4))]))],
            13: [(1, attributes([(3, b"".join(listed))]))],
        }
    )
    (found,) = nftdump.read_ruleset(kernel).sets
    assert [(one.first.hex(), one.last.hex()) for one in found.elements if not one.catchall] == [
        ("0a000000", "0affffff"),
        ("f0000000", "ffffffff"),
    ]
    assert [one.catchall for one in found.elements] == [True, False, False]
    assert nftdump.read_keys(kernel, "inet", "t", "s") == {b"\x0a\0\0\0", b"\xf0\0\0\0", b"\0\0\0\1"}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_expressions_are_refused_or_read(data: bytes) -> None:
    try:
        for one in parse_expressions(data):
            assert isinstance(one.name, str)
    except ValueError:
        pass
