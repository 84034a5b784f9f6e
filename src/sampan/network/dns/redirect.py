"""127.0.0.11:53 in a container leads to the resolver's own ports: two rules for each of UDP and TCP.

They change the port in the packet, on the way to the resolver and on the way back, and remember nothing: so the
namespace needs no connection tracking, which would cost the container's whole traffic, and an answer is right however
late it comes. Where the container tracks connections itself, both of its sides see the resolver's real port.
Source. nft_payload.c of Linux; linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from dataclasses import replace
from errno import ENOENT
from ipaddress import IPv4Address
from typing import Final

from sampan.linux import nftables
from sampan.linux.netlink import NETLINK_NETFILTER, NLA_F_NESTED, NetlinkError, Socket, attribute, be32, string
from sampan.linux.nftables import Batch, Chain, Rule, Table
from sampan.linux.nftexpr import (
    DPORT,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    TRANSPORT_HEADER,
    Selector,
    Statement,
    equals,
    expression,
    value_of,
)
from sampan.network.dns.sockets import Sockets
from sampan.network.resolvconf import INTERNAL

TABLE: Final = "sampan-dns"
PORT: Final = 53
_GETTABLE: Final = nftables.SUBSYSTEM << 8 | 1  # NFT_MSG_GETTABLE
_AFTER_ALL: Final = 300  # behind source translation (100) and connection tracking's end
_REGISTER: Final = be32(8)  # NFT_REG32_00
_CHECKSUM_INET: Final = be32(1)  # NFT_PAYLOAD_CSUM_INET
_NUMBERS: Final = {"udp": 17, "tcp": 6}
_CHECKSUM_AT: Final = {"udp": 6, "tcp": 16}  # offset in the header


def _load_source_port(register: int) -> bytes:
    # NFTA_PAYLOAD_DREG, BASE, OFFSET, LEN
    return expression("payload", (1, be32(register)), (2, be32(TRANSPORT_HEADER)), (3, be32(0)), (4, be32(2)))


_SPORT: Final = Selector("th sport", 2, _load_source_port)
# In a table of family "ip" no rule tests the family: nft(8) 1.0.6 fails an assertion when it lists such a rule.
_DADDR, _SADDR = replace(IP_DADDR, family=""), replace(IP_SADDR, family="")


def redirect(netns: int, sockets: Sockets) -> None:
    """Lead 127.0.0.11:53 of the namespace to ``sockets``; again: in place of what was there. Raises NetlinkError."""
    wanted = table(sockets.udp_port, sockets.tcp_port)
    with Socket(NETLINK_NETFILTER, netns) as netlink:
        batch = Batch("ip", TABLE)
        if _exists(netlink):
            # Takes 17 ms, and not where it seems to: a socket that closes waits for what the kernel still deletes.
            batch.replace(wanted)
        else:
            batch.add_table()
            for chain in wanted.chains:
                batch.add_chain(chain)
                for rule in chain.rules:
                    batch.add_rule(chain.name, rule)
        batch.commit(netlink, "lead 127.0.0.11:53 to the resolver")


def _exists(netlink: Socket) -> bool:
    family = bytes([nftables.FAMILIES["ip"], 0, 0, 0])
    try:
        netlink.request(_GETTABLE, 0, family + attribute(1, string(TABLE)), f"look for table {TABLE}")
    except NetlinkError as error:
        if error.errno == ENOENT:
            return False
        raise
    return True


def table(udp_port: int, tcp_port: int) -> Table:
    """Return the rules for a resolver on these ports."""
    ports = {"udp": udp_port, "tcp": tcp_port}
    there = tuple(
        Rule((*_matching(_DADDR, DPORT, name, PORT), _set_port("dport", 2, name, port))) for name, port in ports.items()
    )
    back = tuple(
        Rule((*_matching(_SADDR, _SPORT, name, port), _set_port("sport", 0, name, PORT)))
        for name, port in ports.items()
    )
    return Table(
        "ip",
        TABLE,
        chains=(
            Chain("there", there, hook="output", priority=nftables.PRIORITY_RAW),
            Chain("back", back, hook="postrouting", priority=_AFTER_ALL),
        ),
    )


def _matching(address: Selector, selector: Selector, protocol: str, port: int) -> tuple[Statement, ...]:
    return (
        equals(address, IPv4Address(INTERNAL).packed, INTERNAL),
        equals(L4PROTO, bytes([_NUMBERS[protocol]]), protocol),
        equals(selector, port.to_bytes(2, "big"), str(port)),
    )


def _set_port(which: str, offset: int, protocol: str, port: int) -> Statement:
    load = expression("immediate", (1, _REGISTER), (2 | NLA_F_NESTED, value_of(port.to_bytes(2, "big"))))
    store = expression(  # NFTA_PAYLOAD_SREG, BASE, OFFSET, LEN, CSUM_TYPE, CSUM_OFFSET
        "payload",
        *((5, _REGISTER), (2, be32(TRANSPORT_HEADER)), (3, be32(offset)), (4, be32(2))),
        *((6, _CHECKSUM_INET), (7, be32(_CHECKSUM_AT[protocol]))),
    )
    return Statement(f"th {which} set {port}", load + store)
