"""The wire format of netlink as tables of (value, bytes). Numbers are little-endian, as on x86-64 and arm64."""

import errno
import os
import socket
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import netlink, rtnetlink
from sampan.linux.netlink import Message, NetlinkError
from sampan.linux.rtnetlink import Address, Link, Route

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the tables are little-endian")

ATTRIBUTES = [
    ([], ""),
    ([(3, b"lo\0")], "0700 0300 6c6f00 00"),
    ([(4, netlink.u32(1500)), (1, b"\2")], "0800 0400 dc050000  0500 0100 02 000000"),
    ([(2, netlink.be16(80)), (2, netlink.be32(1))], "0600 0200 0050 0000  0800 0200 00000001"),
    ([(9, netlink.u8(7)), (9, netlink.u64(1 << 40))], "0500 0900 07 000000  0c00 0900 0000000000010000"),
    ([(1, netlink.s32(-1)), (2, netlink.u16(0x102)), (3, netlink.be64(5))],
     "0800 0100 ffffffff  0600 0200 0201 0000  0c00 0300 0000000000000005"),
]  # fmt: skip


@pytest.mark.parametrize(("pairs", "encoded"), ATTRIBUTES)
def test_attributes(pairs: list[tuple[int, bytes]], encoded: str) -> None:
    assert netlink.attributes(pairs).hex() == bytes.fromhex(encoded).hex()
    assert netlink.parse_list(bytes.fromhex(encoded)) == pairs
    assert netlink.parse_attributes(bytes.fromhex(encoded)) == dict(pairs)


def test_nesting() -> None:
    made = netlink.nested(18, [(1, netlink.string("veth"))])
    assert made.hex() == bytes.fromhex("1000 1280  0900 0100 7665746800 000000").hex()
    assert netlink.parse_list(made)[0][0] == 18
    assert netlink.parse_list(netlink.attribute(0x4000 | 5, b"ab")) == [(5, b"ab")]  # NLA_F_NET_BYTEORDER


@pytest.mark.parametrize("broken", ["0300 0100", "0900 0100 00000000", "0800 0100 00000000 00"])
def test_attributes_that_are_cut_off(broken: str) -> None:
    with pytest.raises(ValueError, match="netlink attribute"):
        netlink.parse_list(bytes.fromhex(broken))


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=50))))
def test_attributes_come_back(pairs: list[tuple[int, bytes]]) -> None:
    assert netlink.parse_list(netlink.attributes(pairs)) == pairs


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for parse in (netlink.parse_list, lambda d: list(netlink.decode(d))):
        try:
            parse(data)
        except ValueError:
            continue


def test_a_request() -> None:
    made = netlink.encode(Message(16, netlink.NLM_F_ACK | netlink.NLM_F_CREATE, b"abcde"), 7)
    assert made.hex() == bytes.fromhex("15000000 1000 0504 07000000 00000000  6162636465 000000").hex()


ACK = "24000000 0200 0001 07000000 01000000  00000000  14000000 1000 0504 07000000 00000000"
DONE = "14000000 0300 0200 09000000 01000000  00000000"
LINK = "10000000 1000 1200 0a000000 01000000"
ANSWERS = [
    (ACK, [(2, 7, 0, "")]),
    (DONE, [(3, 9, 0, "")]),
    (LINK + DONE, [(16, 10, 0, ""), (3, 9, 0, "")]),
]


@pytest.mark.parametrize(("encoded", "expected"), ANSWERS)
def test_answers(encoded: str, expected: list[tuple[int, int, int, str]]) -> None:
    found = list(netlink.decode(bytes.fromhex(encoded)))
    assert [(one.kind, one.sequence, one.code, one.explanation) for one in found] == expected


def _refusal(flags: int, quoted: bytes, texts: bytes) -> bytes:
    body = netlink.s32(-17) + quoted + texts
    return netlink.u32(16 + len(body)) + netlink.u16(2) + netlink.u16(flags) + netlink.u32(8) + netlink.u32(1) + body


def test_the_kernels_own_words() -> None:
    request = netlink.encode(Message(16, 0x604, b"abcdefgh"), 8)
    texts = netlink.attribute(1, b"nope!\0") + netlink.attribute(2, netlink.u32(16))
    for flags, quoted in ((0x200, request), (0x300, request[:16])):  # the whole request, and CAPPED
        [answer] = netlink.decode(_refusal(flags, quoted, texts))
        assert (answer.code, answer.explanation, answer.final) == (17, "nope!", True)
    [answer] = netlink.decode(_refusal(0, request, b""))
    assert (answer.code, answer.explanation) == (17, "")


@pytest.mark.parametrize("broken", ["0f000000 1000 0000 00000000 00000000", "14000000 1000 0000 00000000 00000000"])
def test_messages_that_are_cut_off(broken: str) -> None:
    with pytest.raises(ValueError, match="netlink message"):
        list(netlink.decode(bytes.fromhex(broken)))


def test_texts_of_errors() -> None:
    error = NetlinkError(errno.EEXIST, "add bridge br0", "")
    assert (error.errno, error.strerror) == (errno.EEXIST, "add bridge br0: File exists")
    assert NetlinkError(errno.EINVAL, "x", "why").strerror == "x: Invalid argument (why)"


# --- rtnetlink's messages
# ----------------------------------------------------------------------------------------------

HEAD = "00 00 0000 00000000"
MESSAGES = [
    (
        rtnetlink.new_bridge("br0", mtu=1400, mac="02:42:ac:12:00:01"),
        (f"{HEAD} 00000000 00000000  0800 0300 62723000  0800 0400 78050000  0a00 0100 0242ac120001 0000"
        "1000 1200 0b00 0100 62726964676500 00"),
    ),
    (rtnetlink.delete_link(7), "00 00 0000 07000000 00000000 00000000"),
    (rtnetlink.delete_link("ab"), f"{HEAD} 00000000 00000000  0700 0300 616200 00"),
    (rtnetlink.set_link(7, up=True), "00 00 0000 07000000 01000000 01000000"),
    (rtnetlink.set_link(7, up=False, master=0), "00 00 0000 07000000 00000000 01000000  0800 0a00 00000000"),
    (
        rtnetlink.set_link(7, no_link_local=True, alias="x"),
        "00 00 0000 07000000 00000000 00000000  0600 1400 7800 0000  1000 1a00 0c00 0a80 0500 0800 01 000000",
    ),
    (
        rtnetlink.new_veth("v", "e", netns=9, master=3, mtu=1400, mac="02:42:ac:12:00:02", up=True),
        (f"{HEAD} 01000000 01000000  0600 0300 7600 0000  0800 0400 78050000  0800 0a00 03000000"
        "0800 1f00 01000000 0800 2000 01000000"
        "5c00 1200  0900 0100 7665746800 000000  4c00 0200  4800 0100"
        f"{HEAD} 00000000 00000000  0600 0300 6500 0000  0800 0400 78050000  0a00 0100 0242ac120002 0000"
        "0800 1c00 09000000  0800 1f00 01000000 0800 2000 01000000"),
    ),
    (
        rtnetlink.new_macvlan("m", 4, "private", netns=9),
        (f"{HEAD} 00000000 00000000  0600 0300 6d00 0000  0800 1c00 09000000  0800 0500 04000000"
        "1c00 1200  0c00 0100 6d6163766c616e00  0c00 0200  0800 0100 01000000"),
    ),
    (
        rtnetlink.new_ipvlan("i", 4, "l3s", flag="private"),
        (f"{HEAD} 00000000 00000000  0600 0300 6900 0000  0800 0500 04000000"
        "2400 1200  0b00 0100 6970766c616e00 00  1400 0200  0600 0100 0200 0000  0600 0200 0100 0000"),
    ),
    (
        rtnetlink.new_vlan("e.9", 4, 9),
        (f"{HEAD} 01000000 01000000  0800 0300 652e3900  0800 0500 04000000"
        "1c00 1200  0900 0100 766c616e00 000000  0c00 0200  0600 0100 0900 0000"),
    ),
    (rtnetlink.new_address(5, "172.18.0.2/16"), ("02 10 00 00 05000000  0800 0200 ac120002  0800 0100 ac120002"
     "0800 0400 ac12ffff")),
    (rtnetlink.new_address(5, "172.18.0.2/31"), "02 1f 00 00 05000000  0800 0200 ac120002  0800 0100 ac120002"),
    (rtnetlink.new_address(5, "fd00::2/64"), ("0a 40 02 00 05000000  1400 0200 fd000000000000000000000000000002"
     "1400 0100 fd000000000000000000000000000002  0800 0800 02000000")),
    (rtnetlink.new_route(Route("0.0.0.0/0", via="172.18.0.1", index=5)),
     "02 00 00 00 fe 03 00 01 00000000  0800 0500 ac120001  0800 0400 05000000  0800 0f00 fe000000"),
    (rtnetlink.new_route(Route("10.0.0.0/8", index=5, metric=3)),
     ("02 08 00 00 fe 03 fd 01 00000000  0800 0100 0a000000  0800 0400 05000000  0800 0600 03000000"
     "0800 0f00 fe000000")),
    (rtnetlink.delete_route(Route("::/0", via="fd00::1", source="fd00::2", table=1000)),
     ("0a 00 00 00 00 03 00 01 00000000  1400 0500 fd000000000000000000000000000001"
     "1400 0700 fd000000000000000000000000000002  0800 0f00 e8030000")),
]  # fmt: skip


@pytest.mark.parametrize(("message", "encoded"), MESSAGES, ids=[message.what for message, _ in MESSAGES])
def test_messages_of_rtnetlink(message: Message, encoded: str) -> None:
    assert message.payload.hex() == bytes.fromhex(encoded).hex()


def test_flags_of_rtnetlink() -> None:
    assert rtnetlink.new_bridge("b").flags == 0x604  # create, exclusive, ack
    assert rtnetlink.new_route(Route("::/0"), replace=True).flags == 0x504
    assert rtnetlink.set_link("b", up=True, mtu=9).what == "set link b: up True, MTU 9"


def test_answers_of_rtnetlink() -> None:
    body = (
        "00 00 0100 07000000 43100100 00000000  0700 0300 763000 00  0800 0400 78050000  0a00 0100 0242ac120002 0000"
        "0800 0a00 03000000  0800 0500 02000000  0800 2500 00000000  0600 1400 6100 0000"
        "1000 1200 0900 0100 7665746800 000000"
    )
    link = Link(7, "v0", "veth", 0x11043, 1400, "02:42:ac:12:00:02", 3, 2, 0, "a")
    assert rtnetlink.parse_link(bytes.fromhex(body)) == link and link.up
    address = "0a 40 80 fd 05000000  1400 0100 fe800000000000000000000000000002  0800 0800 80020000"
    assert rtnetlink.parse_address(bytes.fromhex(address)) == Address(5, "fe80::2/64", 253, 0x280)
    route = "02 00 00 00 fe 03 00 01 00000000  0800 0f00 fe000000  0c00 0800 0800 0200 78050000"
    route += "2400 0900  1000 0000 05000000 0800 0500 ac120001  1000 0000 06000000 0800 0500 ac120002"
    expected = Route("0.0.0.0/0", via="172.18.0.1", index=5, mtu=1400, indexes=(5, 6))
    assert rtnetlink.parse_route(bytes.fromhex(route)) == expected


# --- the socket, with a kernel of our own -----------------------------------------------------------------------------


class Kernel(netlink.Socket):
    """A netlink socket whose other side is this test."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._sequence, self._lock = 0, threading.Lock()
        self.answers = list(answers)

    def _send(self, data: bytes, what: str) -> None:
        self.sent = data

    def _receive(self, what: str, flags: int = 0) -> list[netlink.Answer]:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        sequence, body = self.answers.pop(0)
        return [netlink.Answer(2, 0, sequence, body, int.from_bytes(body, "little"))]


ASKED = [
    Message(1, netlink.NLM_F_ACK, b"", "one"),
    Message(2, 0, b"", "two"),
    Message(3, netlink.NLM_F_ACK, b"", "three"),
]
VERDICTS = [
    ([(1, b""), (3, b"")], None),
    ([(1, b"\x11"), (3, b"")], "all: one: File exists"),
    ([(1, b""), (2, b"\x01"), (3, b"\x11")], "all: two: Operation not permitted"),
    ([(2, b"\x01")], "all: two: Operation not permitted"),  # a batch that is refused as a whole: nothing more comes
    ([(0, b"\x01"), (1, b""), (3, b"")], None),  # a late answer to something given up
]


@pytest.mark.parametrize(("answers", "refusal"), VERDICTS)
def test_acks_of_a_batch(answers: list[tuple[int, bytes]], refusal: str | None) -> None:
    kernel = Kernel(*answers)
    if refusal is None:
        kernel.transact(ASKED, "all")
    else:
        with pytest.raises(NetlinkError) as caught:
            kernel.transact(ASKED, "all")
        assert caught.value.strerror == refusal
    assert kernel._sequence == 3


def test_what_became_of_each() -> None:
    found = Kernel((1, b"\x11"), (3, b"")).attempt(ASKED)
    assert [error and error.strerror for error in found] == ["one: File exists", None, None]
    assert Kernel().attempt([]) == []


def test_a_stranger_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    ack = netlink.u32(20) + netlink.u16(2) + netlink.u16(0) + netlink.u32(1) + netlink.u32(0)

    heard = [(ack + netlink.s32(-1), (4711, 0)), (ack + netlink.s32(0), (0, 0))]

    class Line:
        def recvfrom(self, size: int, flags: int) -> tuple[bytes, tuple[int, int]]:
            return heard.pop(0)

        def send(self, data: bytes) -> None:
            assert len(data) == 16

    kernel = Kernel()
    monkeypatch.setattr(Kernel, "_receive", netlink.Socket._receive)
    monkeypatch.setattr(Kernel, "_send", netlink.Socket._send)
    kernel._socket = Line()  # type: ignore[assignment]
    assert kernel.request(1, 0, b"", "x") == []


def test_the_real_kernel_answers_anyone() -> None:
    with rtnetlink.Rtnetlink() as host:
        lo = host.link("lo")
        assert lo is not None and lo.index == socket.if_nametoindex("lo") and lo.mac == "00:00:00:00:00:00"
        assert lo in host.links() and host.link("nosuchlink") is None
