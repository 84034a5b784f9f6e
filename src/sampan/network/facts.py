"""What is known of a packet while other people's rules are walked (`sampan.network.rulewalk`)."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.linux import nftexpr


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a packet at one hook. Names of interfaces "" where not known, numbers None."""

    protocol: int  # IPPROTO_…
    version: int = 4
    iifname: str | None = None  # None: not known; "": there is none
    oifname: str | None = None
    source: bytes = b""  # packed address; b"": not known
    target: bytes = b""
    source_port: int | None = None
    target_port: int | None = None
    state: int = nftexpr.STATE_NEW
    status: int = 0
    reply: bool = False
    source_type: int = nftexpr.FIB_UNICAST  # of its address, as fib tells
    target_type: int = nftexpr.FIB_UNICAST
