"""DNS packets: as dockerd 26.1 answers them, byte for byte where it was asked; and whatever else may come."""

import struct
from ipaddress import ip_address

import pytest
from dnslib import QTYPE, RCODE, DNSError, DNSRecord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sampan.network.dns import wire
from sampan.network.dns.wire import Bad, Question
from sampan.network.names import form


def ask(
    name: str, kind: int = 1, more: bytes = b"", *, flags: int = 0x0100, klass: int = 1, counts: str = "1 0 0 0"
) -> bytes:
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split(".") if one) + b"\0"
    return (
        struct.pack("!HH4H", 0x1234, flags, *map(int, counts.split())) + labels + struct.pack("!HH", kind, klass) + more
    )


EDNS = bytes.fromhex("000029 1000 00000000 0000")  # OPT: 4,096 bytes


A = "0566645f63310000010001"  # the question
RECORD = A + "0000025800040a4d0002"
ANSWERS = [  # query, addresses or a name, answer
    (ask("fd_c1"), ["10.77.0.2"], "123481800001000100000000" + A + RECORD),
    (ask("fd_c1", 28), [], "1234818000010000000000000566645f633100001c0001"),
    (ask("fd_c1", flags=0), ["10.77.0.2"], "123480800001000100000000" + A + RECORD),
    (ask("fd_c1", flags=0x0130), ["10.77.0.2"], "123481900001000100000000" + A + RECORD),
    (ask("fd_c1", 1, EDNS, counts="1 0 0 1"), ["10.77.0.2"], "123481800001000100000000" + A + RECORD),
]  # fmt: skip


@pytest.mark.parametrize(("query", "addresses", "answer"), ANSWERS)
def test_addresses_are_answered_as_dockerd_does(query: bytes, addresses: list[str], answer: str) -> None:
    question = wire.parse(query)
    made = wire.addresses(question, query, [ip_address(one).packed for one in addresses], question.udp_limit)
    # dockerd repeats the name where ours is a pointer to the question: the same once it is read
    assert DNSRecord.parse(made) == DNSRecord.parse(bytes.fromhex(answer))
    assert made[:12].hex() == answer[:24] and len(made) <= len(answer) // 2


def test_case_is_kept_in_the_answer_and_means_nothing_in_the_question() -> None:
    query = ask("FD_c1")
    question = wire.parse(query)
    assert question.name == b"fd_c1" and b"\x05FD_c1\0" in wire.addresses(question, query, [bytes(4)], 512)


def test_reverse_look_ups_are_answered_as_dockerd_does() -> None:
    query = ask("2.0.77.10.in-addr.arpa", 12)
    question = wire.parse(query)
    assert wire.reverse_address(question.name) == ip_address("10.77.0.2").packed
    answer = wire.pointer(question, query, b"fd_c1.fd_2")
    dockerds = (
        "1234818000010001000000000132013002373702313007696e2d61646472046172706100000c00010132013002373702313007"
        "696e2d61646472046172706100000c000100000258000c0566645f63310466645f3200"
    )
    assert DNSRecord.parse(answer) == DNSRecord.parse(bytes.fromhex(dockerds))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("1.0.0.127.in-addr.arpa", "127.0.0.1"),
        ("b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", "4321:0:1:2:3:4:567:89ab"),
        ("0.0.127.in-addr.arpa", None),
        ("1.1.0.0.127.in-addr.arpa", None),
        ("256.0.0.1.in-addr.arpa", None),
        ("01.0.0.127.in-addr.arpa", None),
        ("x.0.0.127.in-addr.arpa", None),
        ("ab.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", None),
        ("g.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", None),
        ("in-addr.arpa", None),
        ("1.0.0.127.in-addr", None),
        ("web", None),
        ("", None),
    ],
)
def test_names_of_reverse_look_ups(name: str, address: str | None) -> None:
    assert wire.reverse_address(name.encode()) == (address and ip_address(address).packed)


REFUSED = [  # packet, dockerd's answer ("": none)
    (b"", ""),
    (b"\0\1", ""),
    (ask("fd_c1", flags=0x8100), ""),
    (ask("fd_c1", flags=0x0900), "123489040000000000000000"),
    (ask("a", counts="0 0 0 0")[:12], "123481010000000000000000"),
    (ask("fd_c1", more=ask("fd_c1", 28)[12:], counts="2 0 0 0"), "123481010000000000000000"),
    (bytes.fromhex("000101000001000000000000c00c00010001"), "000181010000000000000000"),  # a name that is itself
    (bytes.fromhex("000101000001000000000000806162630000010001"), "000181010000000000000000"),
    (ask("fd_c1")[:-3], "123481010000000000000000"),
    (ask("fd_c1")[:-1], "123481010000000000000000"),
    (ask("fd_c1")[:15], "123481010000000000000000"),
    (ask("fd_c1", more=EDNS[:-1], counts="1 0 0 1"), "123481010000000000000000"),
    (ask("fd_c1", more=EDNS[:-2] + b"\xff\xff", counts="1 0 0 1"), "123481010000000000000000"),
    (ask("fd_c1", counts="1 0 0 1"), "123481010000000000000000"),
    (ask("fd_c1", more=EDNS * 3, counts="1 0 0 3"), "123481010000000000000000"),
    (ask(".".join(["x" * 63] * 5)), "123481010000000000000000"),  # 321 bytes
    (ask("fd_c1", more=bytes(4096)), "123481010000000000000000"),  # larger than any question
]  # fmt: skip


@pytest.mark.parametrize(("packet", "answer"), REFUSED, ids=range(len(REFUSED)))
def test_broken_packets_are_refused_as_dockerd_does(packet: bytes, answer: str) -> None:
    with pytest.raises(Bad) as bad:
        wire.parse(packet)
    found = "" if bad.value.code is None else wire.refusal(packet, bad.value.code).hex()
    assert found == answer


def test_a_name_may_have_255_bytes_on_the_wire_and_no_more() -> None:
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(wire.parse(ask(longest)).name) == 253
    with pytest.raises(Bad):
        wire.parse(ask(longest + "x"))


def test_a_label_with_a_dot_inside_is_nobodys_name() -> None:
    assert wire.parse(ask("a").replace(b"\1a", b"\3a.b")).name == b"\0"
    assert wire.parse(ask("")).name == b""


def test_failures_carry_the_question() -> None:
    query = ask("fd_c1", flags=0x0110)
    assert (
        wire.failure(wire.parse(query), query, wire.SERVER_FAILURE).hex()
        == "1234811200010000000000000566645f63310000010001"
    )


@pytest.mark.parametrize("family", [1, 28])
@pytest.mark.parametrize("edns", [0, 100, 512, 1232, 4096, 65535])
@pytest.mark.parametrize("count", [1, 28, 100, 2000])
def test_an_answer_fits_or_says_that_it_was_cut(family: int, edns: int, count: int) -> None:
    option = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    query = ask("many", family, option, counts=f"1 0 0 {int(bool(edns))}")
    question = wire.parse(query)
    assert question.udp_limit == max(edns, 512)
    packed = [number.to_bytes(4 if family == 1 else 16, "big") for number in range(count)]
    answer = wire.addresses(question, query, packed, question.udp_limit)
    found = DNSRecord.parse(answer)
    assert len(answer) <= question.udp_limit
    assert bool(found.header.tc) == (len(found.rr) < count)
    assert not found.header.tc or len(answer) + len(packed[0]) + 12 > question.udp_limit  # as many as fit


NAMES = st.lists(
    st.binary(min_size=1, max_size=63).filter(lambda one: b"." not in one and b"\0" not in one), max_size=8
)


@given(
    NAMES.filter(lambda labels: sum(map(len, labels)) + len(labels) < 254), st.integers(0, 65535), st.integers(0, 65535)
)
def test_what_is_asked_is_read(labels: list[bytes], kind: int, ident: int) -> None:
    packet = struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + b"".join(bytes([len(one)]) + one for one in labels)
    packet += b"\0" + struct.pack("!HH", kind, 1)
    question = wire.parse(packet)
    assert (question.ident, question.name, question.kind) == (ident, b".".join(labels).lower(), kind)
    assert question.end == len(packet)


@settings(max_examples=500)
@given(st.binary(max_size=600))
@example(ask("web"))
def test_any_bytes_are_read_or_refused(packet: bytes) -> None:
    try:
        question = wire.parse(packet)
    except Bad as bad:
        if bad.code is not None:
            DNSRecord.parse(wire.refusal(packet, bad.code))
        return
    answer = wire.addresses(question, packet, [bytes(4)] * 3, question.udp_limit)
    assert len(answer) <= question.udp_limit and answer[:2] == packet[:2]
    wire.failure(question, packet, wire.REFUSED)


@settings(max_examples=500)
@given(st.data())
def test_a_query_with_bits_flipped_is_read_or_refused(data: st.DataObject) -> None:
    packet = bytearray(ask("web.mynet", data.draw(st.sampled_from([1, 12, 28])), EDNS, counts="1 0 0 1"))
    for _ in range(data.draw(st.integers(1, 8))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    packet = packet[: data.draw(st.integers(0, len(packet)))]
    try:
        question = wire.parse(bytes(packet))
    except Bad:
        return
    assert question.end <= len(packet)


@settings(max_examples=300)
@given(st.binary(min_size=12, max_size=200))
def test_what_dnslib_reads_as_one_plain_question_is_read_the_same(packet: bytes) -> None:
    packet = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + packet
    try:
        question: Question | None = wire.parse(packet)
    except Bad:
        question = None
    try:
        theirs = DNSRecord.parse(packet).q
    except (DNSError, RecursionError):
        return
    labels = theirs.qname.label
    plain = all(len(one) <= 63 and b"." not in one and b"\0" not in one for one in labels)
    if question is None or not plain:
        return
    assert question.name == b".".join(labels).lower() and question.kind == theirs.qtype


def reply(query: bytes, *, flags: int = 0x8180, ident: int = 7) -> bytes:
    return struct.pack("!HH", ident, flags) + query[4:]


GOOD = ask("Web.Example")


@pytest.mark.parametrize(
    ("packet", "good"),
    [
        (reply(GOOD), True),
        (reply(GOOD) + b"records", True),
        (reply(ask("wEB.example")), True),
        (reply(GOOD, flags=0x8182), True),
        (struct.pack("!6H", 7, 0x8181, 0, 0, 0, 0), True),  # an error without a question
        (struct.pack("!6H", 7, 0x8180, 0, 0, 0, 0), False),
        (reply(GOOD, ident=8), False),
        (reply(GOOD, flags=0x0180), False),
        (reply(GOOD, flags=0xA180), False),
        (reply(ask("other.example")), False),
        (reply(ask("web.example", 28)), False),
        (reply(ask("web.example", klass=3)), False),
        (reply(ask("web.example", counts="2 0 0 0")), False),
        (reply(GOOD)[:20], False),
        (b"", False),
        (b"\0\7", False),
    ],
)
def test_what_counts_as_an_answer(packet: bytes, good: bool) -> None:
    assert wire.answers_to(packet, 7, GOOD, wire.parse(GOOD)) is good


def test_numbers_and_codes() -> None:
    assert wire.with_ident(GOOD, 0xABCD) == b"\xab\xcd" + GOOD[2:]
    assert RCODE[wire.code(reply(GOOD, flags=0x8185))] == "REFUSED" and QTYPE[wire.AAAA] == "AAAA"
    assert form("Web.Example.") == wire.parse(GOOD).name
