"""Notices of the kernel: what others change in a network namespace, told as it happens.

Words.  *seen*: what was told: the index of a link that got an address; `EVERYWHERE` when forwarding was switched on or
        off for all links, or when notices were lost; `TABLES` when a table of nftables was deleted; `RULES` when
        something of a table of others changed.
Life.   Made in the namespace → wait until a descriptor is readable → read → … → close. Nothing blocks.
Source. rtnetlink(7), linux/netconf.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from errno import ENOBUFS
from typing import Final

from sampan.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Answer, attribute, decode, parse_attributes, string

EVERYWHERE: Final = -1  # NETCONFA_IFINDEX_ALL
TABLES, RULES = -3, -4  # no indexes that the kernel gives

# the groups of RTNLGRP_* and NFNLGRP_* as bits
_ADDRESSES: Final = 1 << 5 - 1 | 1 << 9 - 1  # IPV4_IFADDR, IPV6_IFADDR
_SETTINGS: Final = 1 << 24 - 1 | 1 << 25 - 1  # IPV4_NETCONF, IPV6_NETCONF
_NFTABLES: Final = 1 << 7 - 1
_RTM_NEWADDR, _RTM_NEWNETCONF, _NFT_DELTABLE = 20, 80, 10 << 8 | 2
_IFADDR_INDEX: Final = struct.Struct("=4xI")  # in struct ifaddrmsg
_NETCONF_HEADER: Final = 4  # bytes: struct netconfmsg, padded
_NETCONFA_IFINDEX, _NETCONFA_FORWARDING = 1, 2
_NFT, _NFT_NEWGEN = 10, 10 << 8 | 15
_NFGENMSG: Final = 4  # bytes: struct nfgenmsg, before the attributes; the first of those is the table's name
_READ: Final = 1 << 16


class Notices:
    """What others change in the namespace of the thread that makes this."""

    def __init__(self, own_table: str) -> None:
        """Subscribe; what happens in nftables' ``own_table`` isn't told, but for its deletion. OSError: no netlink."""
        self._own = attribute(1, string(own_table))
        self._room = memoryview(bytearray(_READ))  # made once: 64 KiB are pages to be had from the kernel
        self._sockets: list[socket.socket] = []
        try:
            for protocol, groups in ((NETLINK_ROUTE, _ADDRESSES | _SETTINGS), (NETLINK_NETFILTER, _NFTABLES)):
                kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                one = socket.socket(socket.AF_NETLINK, kind, protocol)
                self._sockets.append(one)
                one.bind((0, groups))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the sockets."""
        for one in self._sockets:
            one.close()

    def descriptors(self) -> list[int]:
        """Return the descriptors that become readable."""
        return [one.fileno() for one in self._sockets]

    def read(self) -> set[int]:
        """Return what was seen since the last time."""
        return {seen for one in self._sockets for seen in self._drain(one)}

    def read_rules(self) -> set[int]:
        """Return what was seen of nftables since the last time."""
        return set(self._drain(self._sockets[-1]))

    def _drain(self, one: socket.socket) -> Iterator[int]:
        while True:
            try:
                size, sender = one.recvfrom_into(self._room)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                yield from (EVERYWHERE, TABLES, RULES)  # some were lost
                continue
            if sender[0] == 0:  # of the kernel
                yield from seen_in(bytes(self._room[:size]), self._own)


def seen_in(data: bytes, own: bytes) -> Iterator[int]:
    """Decode what one receive returned; ``own`` is the attribute that names our table of nftables. What isn't as it
    should be means nothing.
    """
    with contextlib.suppress(ValueError, struct.error):
        for answer in decode(data):
            if answer.kind == _RTM_NEWADDR:
                yield _IFADDR_INDEX.unpack_from(answer.body)[0]
            elif answer.kind >> 8 == _NFT:
                if answer.kind == _NFT_DELTABLE:
                    yield TABLES
                if answer.kind != _NFT_NEWGEN and not answer.body.startswith(own, _NFGENMSG):
                    yield RULES
            elif answer.kind == _RTM_NEWNETCONF and _of_all_links(answer):
                yield EVERYWHERE


def _of_all_links(answer: Answer) -> bool:
    found = parse_attributes(answer.body[_NETCONF_HEADER:])
    index = struct.unpack("=i", found.get(_NETCONFA_IFINDEX, bytes(4)))[0]
    return index == EVERYWHERE and _NETCONFA_FORWARDING in found
