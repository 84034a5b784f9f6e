"""Notices of the kernel, by their bytes."""

import struct

import pytest

from sampan.linux.netlink import attribute, string
from sampan.linux.netwatch import EVERYWHERE, RULES, TABLES, seen_in

OWN = attribute(1, string("sampan"))
DELTABLE, NEWRULE, DELRULE, NEWGEN = 10 << 8 | 2, 10 << 8 | 6, 10 << 8 | 8, 10 << 8 | 15


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def netconf(index: int, *more: bytes) -> bytes:
    return message(80, b"\2\0\0\0" + attribute(1, struct.pack("=i", index)) + b"".join(more))


FORWARDING = attribute(2, struct.pack("=i", 1))
GENERIC = b"\1\0\0\0"  # inet
NOTICES = [
    (message(20, struct.pack("=BBBBI", 2, 24, 0, 0, 7)), {7}),  # RTM_NEWADDR
    (message(21, struct.pack("=BBBBI", 2, 24, 0, 0, 7)), set()),  # RTM_DELADDR
    (netconf(-1, FORWARDING), {EVERYWHERE}),
    (netconf(-2, FORWARDING), set()),  # of links to come
    (netconf(7, FORWARDING), set()),
    (netconf(-1, attribute(3, bytes(4))), set()),  # rp_filter
    (message(DELTABLE, GENERIC + OWN), {TABLES}),
    (message(DELTABLE, GENERIC + attribute(1, string("filter"))), {TABLES, RULES}),
    (message(NEWRULE, GENERIC + attribute(1, string("filter")) + attribute(2, string("x"))), {RULES}),
    (message(DELRULE, GENERIC + attribute(1, string("sampan2"))), {RULES}),
    (message(NEWRULE, GENERIC + OWN + attribute(2, string("forward"))), set()),
    (message(NEWGEN, GENERIC + attribute(1, bytes(4))), set()),
    (message(20, struct.pack("=BBBBI", 2, 24, 0, 0, 7)) + netconf(-1, FORWARDING), {7, EVERYWHERE}),
]


@pytest.mark.parametrize(("data", "seen"), NOTICES)
def test_what_is_seen(data: bytes, seen: set[int]) -> None:
    assert set(seen_in(data, OWN)) == seen


@pytest.mark.parametrize("data", [one[:cut] for one, _ in NOTICES[:7] for cut in (1, 15, 17, len(one) - 1)])
def test_what_is_cut_off_means_nothing(data: bytes) -> None:
    assert not set(seen_in(data, OWN)) - {TABLES, RULES}
