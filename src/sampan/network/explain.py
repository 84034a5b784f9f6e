"""Who can reach a published port, and which rule decides: `sampan port --explain`, and the warning of `run`.

Words.  *audience*: from where somebody tries: outside, another container, this host by an address of its own, this
        host by 127.0.0.1 or ::1. *path*: the hooks that packets of such a connection pass, there and back. *answer*:
        reachable; blocked; depends (a rule lets some through); unknown (a rule isn't understood, or can't be read).
How.    A client comes from a high port and from an address that isn't known. Our own table is known, so only the
        others are walked (`sampan.network.rulewalk`). A drop at any hook is final.
Limits. Rules of the families bridge and netdev are not looked at. The tables of legacy iptables can't be read by
        nftables: where there are some, reachable becomes unknown.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from sampan.linux import nftexpr
from sampan.linux.netlink import NETLINK_NETFILTER, Socket, inside
from sampan.linux.nftdump import ChainFacts, Ruleset, read_ruleset
from sampan.network.facts import Facts
from sampan.network.firewall import OWN_TABLE
from sampan.network.model import Publication
from sampan.network.ruleset import ANY4, ANY6, bare, is_relayed
from sampan.network.rulewalk import ELSEWHERE, OPEN, Outcome, Walker

OUTSIDE, CONTAINERS, HOST, LOOPBACK = AUDIENCES = ("outside", "containers", "this host", "loopback")
REACHABLE, BLOCKED, DEPENDS, UNKNOWN = "reachable", "blocked", "depends", "unknown"
_LEGACY: Final = (("ip_tables_names", ""), ("ip6_tables_names", " (IPv6)"))  # files in /proc/net
_OWN: Final = f"table {OWN_TABLE[0]} {OWN_TABLE[1]}"
_SCTP: Final = 132
_CLIENT_PORT: Final = 50123  # one of those that a client gets when it doesn't choose
_TRANSLATES_AT: Final = -100  # the priority of our own translation


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes of it for one audience, the rule that decides, and why in words."""

    audience: str
    answer: str
    rule: str
    why: str
    remedy: str = ""  # a command that lets it through, where there is a simple one


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the host: interfaces to outside ("" where there is none), its addresses and our subnets."""

    uplink: str = ""  # the interface of the default route
    bridge: str = ""  # of the target's network
    gateway: str = ""  # our address on it
    host: str = ""  # an address of the host that outside would use
    guarded: tuple[str, ...] = ()  # our masqueraded and internal subnets
    relay_loopback: bool = False
    client_bridge: str = ""  # of the network of a container that asks; "": the target's


@dataclass(frozen=True, slots=True)
class Others:
    """The rules that aren't ours."""

    ruleset: Ruleset
    legacy: tuple[str, ...] = ()  # names of legacy iptables' tables, "filter" for IPv4, "filter (IPv6)"…


def read_others(netns: int | None = None) -> Others:
    """Read every table but our own, in the namespace of descriptor ``netns`` or of this thread.

    Raises:
        NetlinkError: the kernel refused.
    """
    with inside(netns) if netns is not None else nullcontext(), Socket(NETLINK_NETFILTER) as one:
        return read_others_by(one)


def read_others_by(netfilter: Socket) -> Others:
    """Do the same by an open socket of this thread's namespace: to close one waits 17 ms for what was just deleted."""
    return Others(read_ruleset(netfilter, without=OWN_TABLE), tuple(_legacy_tables()))


def _legacy_tables() -> Iterator[str]:
    for name, suffix in _LEGACY:
        try:
            names = Path("/proc/thread-self/net", name).read_text().split()
        except FileNotFoundError:
            continue
        yield from (table + suffix for table in names)


def explain(one: Publication, others: Others, around: Surroundings) -> tuple[Answer, ...]:
    """Tell for each audience whether it reaches a published port."""
    walker = Walker(others.ruleset)
    return tuple(explain_to(audience, one, walker, others.legacy, around) for audience in AUDIENCES)


def warning(one: Publication, answers: Sequence[Answer]) -> str:
    """Return what `run` says when other people's rules keep outside from a port; "" when they don't."""
    found = next((answer for answer in answers if answer.audience == OUTSIDE), None)
    if found is None or found.answer != BLOCKED or found.rule.startswith(_OWN):
        return ""
    port = f"{joined(one.host_ip, one.host_port)}/{one.protocol}".replace(":0/", ":(any port)/")
    text = f"port {port} is published, but nobody outside reaches it: {found.rule} {found.why}"
    return f"{text}; to let it in: {found.remedy}" if found.remedy else text


def joined(address: str, port: int) -> str:
    """Return an address with a port, as texts have it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# --- by our own rules ------------------------------------------------------------------------------------------------


def explain_to(audience: str, one: Publication, walker: Walker, legacy: Sequence[str], around: Surroundings) -> Answer:
    """Tell for one audience whether it reaches a published port."""
    own = _by_own_rules(audience, one, around)
    if own:
        return own
    relayed = is_relayed(one, relay_loopback=around.relay_loopback and audience == LOOPBACK)
    where = f"{_OWN}, chain publish" if not relayed else "the relay"
    return _legacy(_walk(audience, path(audience, one, around), walker, around.bridge, where), legacy)


def explain_direct(
    audience: str, one: Publication, walker: Walker, legacy: Sequence[str], around: Surroundings
) -> Answer:
    """Tell whether a container's own address and port are reached, past our own rules: from this host (HOST), or from
    a container of the same network by a bridge that shows frames to rules (CONTAINERS). ``one`` has them as the host's.
    """
    journey = _Journey(audience, one, around)
    steps = journey.bridged() if audience == CONTAINERS else journey.straight()
    return _legacy(_walk(audience, steps, walker, around.bridge, f"{_OWN}, chain forward"), legacy)


def explain_host(
    audience: str, one: Publication, walker: Walker, legacy: Sequence[str], around: Surroundings
) -> Answer:
    """Tell whether a server of the host's own network is reached at its port: nothing of ours stands in the way."""
    steps = _Journey(audience, one, around).relayed()
    return _legacy(_walk(audience, steps, walker, "", "the host's own network"), legacy)


def _legacy(found: Answer, legacy: Sequence[str]) -> Answer:
    if found.answer == REACHABLE and legacy:
        why = f"legacy iptables has tables that can't be read here ({', '.join(legacy)}); see iptables-legacy-save"
        return Answer(found.audience, UNKNOWN, "legacy iptables", why)
    return found


def _by_own_rules(audience: str, one: Publication, around: Surroundings) -> Answer | None:
    """Return the answer that doesn't depend on anybody else's rules."""
    address = ip_address(one.host_ip)
    if not (one.target_ipv6 if address.version == 6 else one.target_ipv4) and not is_relayed(one):
        return Answer(audience, BLOCKED, f"{_OWN}, chain publish", f"the container has no IPv{address.version} address")
    if address.is_loopback and audience != LOOPBACK:
        rule = f"{_OWN}, chain {'prerouting' if audience != HOST else 'publish'}"
        return Answer(audience, BLOCKED, rule, f"it is published on {one.host_ip} only")
    if audience == LOOPBACK and not address.is_loopback and not address.is_unspecified:
        return Answer(audience, BLOCKED, f"{_OWN}, chain publish", f"it is published on {one.host_ip} only")
    inside = any(
        address in ip_network(subnet) for subnet in around.guarded if (":" in subnet) == (address.version == 6)
    )
    if inside and audience == OUTSIDE:
        return Answer(audience, BLOCKED, f"{_OWN}, chain early", f"{one.host_ip} is the address of a bridge")
    return None


# --- by the rules of others ------------------------------------------------------------------------------------------


def _walk(audience: str, steps: Iterable[Step], walker: Walker, bridge: str, where: str) -> Answer:
    """Walk the path of a connection; the first certain drop decides, then the first doubt, else ``where``."""
    doubtful: Answer | None = None
    for step in steps:
        for base in walker.base_chains(step.hook, step.before.version):
            facts = step.before if base.priority <= _TRANSLATES_AT else step.after
            if facts.reply and base.kind == "nat":
                continue  # asked for the first packet only
            outcomes = [end for end in walker.outcomes(base, facts) if _counts(step.hook, end)]
            found = _judge(audience, step.hook, outcomes, facts)
            if found.answer == BLOCKED:
                return replace(found, remedy=_remedy(step.hook, base, bridge))
            if found.answer != REACHABLE and (doubtful is None or doubtful.answer == DEPENDS != found.answer):
                doubtful = found
    return doubtful or Answer(audience, REACHABLE, where, "")


def _remedy(hook: str, base: ChainFacts, bridge: str) -> str:
    """Return the command that lets a bridge's packets, there and back, through a chain of others at forward."""
    if hook != "forward" or not bridge:
        return ""
    rule = f"insert rule {base.family} {base.table} {base.name}"
    return f"nft '{rule} oifname {bridge} accept; {rule} iifname {bridge} accept'"


def _counts(hook: str, end: Outcome) -> bool:
    """Translations elsewhere count only where they come before ours."""
    return end.kind != ELSEWHERE or (hook in ("prerouting", "output") and end.chain.priority <= _TRANSLATES_AT)


def _judge(audience: str, hook: str, outcomes: Sequence[Outcome], facts: Facts) -> Answer:
    """Weigh what one base chain may do; its last outcome is certain unless a translation was left out."""
    bad = [end for end in outcomes if end.kind != OPEN]
    good = [end for end in outcomes if end.kind == OPEN]
    if not bad:
        return Answer(audience, REACHABLE, "", "")
    if not good:
        decisive = next((end for end in bad if end.doubt is None), bad[0])
        return Answer(audience, BLOCKED, decisive.place, _verb(decisive, hook, facts))
    first, unclear = bad[0], [end.doubt for end in outcomes if end.doubt and not end.doubt.known]
    verb = _verb(first, hook, facts)
    if unclear:
        return Answer(audience, UNKNOWN, first.place, f"may be what {verb}: {unclear[0].why}")
    doubts = ", ".join(sorted({end.doubt.why for end in outcomes if end.doubt}))
    return Answer(audience, DEPENDS, first.place, f"{verb} or not, by {doubts}; see also {good[0].place}")


def _verb(end: Outcome, hook: str, facts: Facts) -> str:
    if end.kind == ELSEWHERE:
        return "translates it to something else"
    return f"drops {'the answers' if facts.reply else 'it'} ({hook})"


# --- the path of a connection ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A hook on the way: the packet before addresses are translated there, and after."""

    hook: str
    before: Facts
    after: Facts


def _plain(hook: str, facts: Facts) -> Step:
    return Step(hook, facts, facts)


def path(audience: str, one: Publication, around: Surroundings) -> Iterator[Step]:
    """Return the steps of a connection: the first packet there, an answer back."""
    journey = _Journey(audience, one, around)
    if is_relayed(one, relay_loopback=around.relay_loopback and audience == LOOPBACK):
        return journey.relayed()
    return journey.routed() if audience in (OUTSIDE, CONTAINERS) else journey.local()


class _Journey:
    """The packets of a connection from one audience."""

    def __init__(self, audience: str, one: Publication, around: Surroundings) -> None:
        version = 6 if ":" in one.host_ip else 4
        self._bridge = around.bridge or None
        self._way_in = (around.uplink if audience == OUTSIDE else around.client_bridge or around.bridge) or None
        self._local = audience in (HOST, LOOPBACK)
        given = one.host_ip if one.host_ip not in (ANY4, ANY6) else around.host
        host = _packed({4: "127.0.0.1", 6: "::1"}[version] if audience == LOOPBACK else given, version)
        target = _packed(one.target_ipv6 if version == 6 else one.target_ipv4, version)
        protocol = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}.get(one.protocol, _SCTP)
        client = host if self._local else b""
        asked = Facts(
            protocol, version, source=client, target=host, source_port=_CLIENT_PORT, target_port=one.host_port or None
        )
        self._asked = replace(asked, target_type=nftexpr.FIB_LOCAL)
        self._translated = replace(asked, target=target, target_port=one.container_port, status=nftexpr.STATUS_DNAT)
        answer = replace(asked, state=nftexpr.STATE_ESTABLISHED, reply=True, target=client, target_port=_CLIENT_PORT)
        self._answered = replace(answer, source=host, source_port=one.host_port, source_type=nftexpr.FIB_LOCAL)
        self._answer = replace(answer, source=target, source_port=one.container_port, status=nftexpr.STATUS_DNAT)

    def routed(self) -> Iterator[Step]:
        """From outside or another container, through forward."""
        into, bridge = self._way_in, self._bridge
        yield Step("prerouting", replace(self._asked, iifname=into), replace(self._translated, iifname=into))
        yield _plain("forward", replace(self._translated, iifname=into, oifname=bridge))
        yield _plain("postrouting", replace(self._translated, oifname=bridge))
        yield _plain("prerouting", replace(self._answer, iifname=bridge, target=b""))
        yield _plain("forward", replace(self._answer, iifname=bridge, oifname=into))
        yield _plain("postrouting", replace(self._answer, oifname=into))

    def local(self) -> Iterator[Step]:
        """From the host, through output: the interface there is lo, even after the translation."""
        yield Step("output", replace(self._asked, oifname="lo"), replace(self._translated, oifname="lo"))
        yield _plain("postrouting", replace(self._translated, oifname=self._bridge, source_type=nftexpr.FIB_LOCAL))
        back = replace(self._answer, iifname=self._bridge, target_type=nftexpr.FIB_LOCAL)
        yield _plain("prerouting", replace(back, target=b""))
        yield _plain("input", back)

    def straight(self) -> Iterator[Step]:
        """From the host to the container's own address, which is the publication's; back."""
        asked = replace(self._asked, source=b"", target_type=nftexpr.FIB_UNICAST, source_type=nftexpr.FIB_LOCAL)
        answer = replace(self._answered, target=b"", source_type=nftexpr.FIB_UNICAST, target_type=nftexpr.FIB_LOCAL)
        yield _plain("output", replace(asked, oifname=self._bridge))
        yield _plain("postrouting", replace(asked, oifname=self._bridge))
        yield _plain("prerouting", replace(answer, iifname=self._bridge))
        yield _plain("input", replace(answer, iifname=self._bridge))

    def bridged(self) -> Iterator[Step]:
        """From a container to another one's own address by a bridge that shows frames to rules; back."""
        asked = replace(self._asked, target_type=nftexpr.FIB_UNICAST)
        for one in (asked, replace(self._answered, source_type=nftexpr.FIB_UNICAST)):
            yield _plain("prerouting", replace(one, iifname=self._bridge))
            yield _plain("forward", replace(one, iifname=self._bridge, oifname=self._bridge))
            yield _plain("postrouting", replace(one, oifname=self._bridge))

    def relayed(self) -> Iterator[Step]:
        """To the relay, a server of the host, and back. What it asks the container is walked by nobody."""
        into = "lo" if self._local else self._way_in
        if self._local:
            yield _plain("output", replace(self._asked, oifname=into, source_type=nftexpr.FIB_LOCAL))
            yield _plain("postrouting", replace(self._asked, oifname=into, source_type=nftexpr.FIB_LOCAL))
        yield _plain("prerouting", replace(self._asked, iifname=into))
        yield _plain("input", replace(self._asked, iifname=into))
        yield _plain("output", replace(self._answered, oifname=into))
        yield _plain("postrouting", replace(self._answered, oifname=into))


def _packed(address: str, version: int) -> bytes:
    """Return an address as packets have it; b"" for none, or for one of the other family."""
    if not address or ip_address(bare(address)).version != version:
        return b""
    return ip_address(bare(address)).packed


def lines(one: Publication, answers: Iterable[Answer]) -> list[str]:
    """Return an explanation for a person, a line for each audience."""
    head = f"{joined(one.host_ip, one.host_port)}/{one.protocol} -> {one.container_port}"
    rows = [
        f"  {each.audience:<10} {each.answer:<9} {each.rule}{': ' if each.why else ''}{each.why}" for each in answers
    ]
    return [head, *rows]
