"""The firewall as data: what Sampan's table of nftables holds, computed from networks and published ports.

Words.  *ours*: an interface that is a bridge of one of our networks. *outside*: every other one but lo. *guarded*: a
        subnet whose addresses nobody outside may name: it is masqueraded, or its network is internal. *published*: a
        port of the host that is translated to one of a container.
Life.   `table` computes everything for a start; `of_network`, `of_publication`… compute the elements that come and go
        with one thing. Chains never change: all that is variable are elements of sets and maps.

One table ``inet sampan`` serves IPv4 and IPv6. A drop here is final whatever other tables say, an accept here ends
only our own chain: the host's own rules keep their say. What the chains see to:

early        before anything is tracked. Bridges have route_localnet=1, so that 127.0.0.1 of the host can be
             translated to containers; what arrives from a container from or to 127.0.0.0/8 is dropped. What arrives
             from outside for an address in a guarded subnet is dropped: containers, and gateways that a port may be
             published on.
prerouting   published ports for outside and for containers. 127.0.0.0/8 is left out: translation comes before the
             kernel refuses such a packet of a neighbour, so a port published on 127.0.0.1 would be open to it.
output       published ports for the host itself, by any of its addresses, 127.0.0.1 and ::1 too (each bridge with
             IPv6 has a local route to ::1, or the way back isn't found). Not ::1 where bridges show IPv6 frames to
             rules (bridge-nf-call-ip6tables=1, as Kubernetes has it): answers would be translated before the kernel
             looks whether ::1 came from outside. ``relaying`` has it then, and the relay takes it.
publish      the two maps of each family: ports of one address, then ports of all addresses. They count the flows that
             they translate: to forget those of a container takes walks through all that is tracked, 10 ms each with
             the 262,144 buckets of a machine of 16 GiB, and most containers that end have none.
input        an internal network reaches the host by the addresses of its own bridge only, and no relay of another
             network.
forward      networks are closed to each other and to the outside but for what is published; internal ones also for
             that. Packets that conntrack holds for invalid would leave untranslated. Most packets are answers: they
             are let through by the first rule, but not in internal networks, whose containers could pretend them.
quiet        within a network without inter-container traffic: only linked ports. Its bridge's ports are isolated from
             each other (IFLA_BRPORT_ISOLATED) and the bridge answers ARP for them (proxy_arp_pvlan), so that all of
             it comes by here.
foreign      what is not ours at all. Where forwarding was off and was switched on for our sake, the host must not
             become a router for others: interfaces of IPv4 in ``opened``, all of IPv6 when it is in ``routers``.
postrouting  masquerades what leaves a subnet for outside; connections of the host from 127.0.0.0/8 and ::1, whose
             source means nothing to a container; and those that come back to where they came from (hairpin), because
             the answer would go past the translation. Every other client keeps its address.

Where bridges show frames to rules (bridge-nf-call-iptables=1) a packet that is translated to the bridge it came by is
bridged, not routed: to reach itself by a published port a container needs hairpin mode at its bridge port, and one in
a network without inter-container traffic doesn't reach others that way.

A published address is bound as bind(2) does it: a packet for an address of the host is taken from whichever interface
outside it arrives by. Bridges' and loopback addresses are the exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product
from typing import Final

from sampan.linux import nftables
from sampan.linux.netlink import u32
from sampan.linux.nftables import Chain, Element, Rule, Set, Table
from sampan.linux.nftexpr import (
    ACCEPT,
    CT_STATES,
    CT_STATUSES,
    DPORT,
    DROP,
    FIB_BROADCAST,
    FIB_DADDR_IIF_TYPE,
    FIB_DADDR_TYPE,
    FIB_LOCAL,
    FIB_MULTICAST,
    GOTO,
    IIFNAME,
    IP6_DADDR,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    NFPROTO,
    OIFNAME,
    RETURN,
    STATE_ESTABLISHED,
    STATE_INVALID,
    STATE_RELATED,
    STATUS_DNAT,
    Statement,
    any_bit,
    dnat_by_map,
    equals,
    family_is,
    in_set,
    masquerade,
    named,
    verdict,
    within_prefix,
)
from sampan.network.model import OPTION_ICC, OPTION_MASQUERADE, Network, Publication

FAMILY: Final = "inet"
NAME: Final = "sampan"
ANY4, ANY6 = "0.0.0.0", "::"

Elements = dict[str, tuple[Element, ...]]  # by the name of the set


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """A port that a container may reach at another of its network, though that is closed within (``--link``)."""

    source: str  # "172.18.0.2"
    target: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Detour:
    """A published container on several networks: it answers clients in ``subnet`` directly, not by way of the host."""

    subnet: str  # of another network that the target is on: "172.19.0.0/16"
    target: str  # address that ports are published to


@dataclass(frozen=True, slots=True)
class Desired:
    """What the firewall is for. Networks of other drivers than bridge are passed over."""

    networks: tuple[Network, ...] = ()
    publications: tuple[Publication, ...] = ()
    links: tuple[Link, ...] = ()
    detours: tuple[Detour, ...] = ()
    opened: frozenset[str] = frozenset()  # interfaces whose IPv4 forwarding was off before we switched it on
    opened_ipv6: bool = False  # IPv6 forwarding was off before we switched it on
    relay_loopback: bool = False  # ::1 is not translated: see ``output``


def _named(*sets: Set) -> dict[str, Set]:
    return {one.name: one for one in sets}


_IFNAMES: Final = (nftables.IFNAME, nftables.IFNAME)
_PORT: Final = (nftables.INET_PROTO, nftables.INET_SERVICE)
_KIND: Final = {"4": nftables.IPV4_ADDR, "6": nftables.IPV6_ADDR}

SETS: Final = _named(
    Set("bridges", (nftables.IFNAME,)),
    Set("internal", (nftables.IFNAME,)),
    Set("same", _IFNAMES),
    Set("quiet", _IFNAMES),
    Set("opened", (nftables.IFNAME,)),
    Set("routers", (nftables.NF_PROTO,)),
    Set("relayed", _PORT),
    Set("relaying", (nftables.IPV6_ADDR,)),
    Set("links4", (nftables.IPV4_ADDR, nftables.IPV4_ADDR, *_PORT)),
    *(Set(f"guarded{v}", (_KIND[v],), interval=True) for v in "46"),
    *(Set(f"masqueraded{v}", (_KIND[v],), interval=True) for v in "46"),
    *(Set(f"hairpin{v}", (_KIND[v], _KIND[v]), interval=True) for v in "46"),
    *(Set(f"ports{v}", _PORT, (_KIND[v], nftables.INET_SERVICE), counts=True) for v in "46"),
    *(Set(f"bound{v}", (_KIND[v], *_PORT), (_KIND[v], nftables.INET_SERVICE), counts=True) for v in "46"),
)

# --- the chains ------------------------------------------------------------------------------------------------------

_ADDRESSES: Final = {"4": ("ip", IP_SADDR, IP_DADDR), "6": ("ip6", IP6_SADDR, IP6_DADDR)}
_FROM_OURS, _TO_OURS = in_set([IIFNAME], "bridges"), in_set([OIFNAME], "bridges")
_FROM_OTHERS, _TO_OTHERS = in_set([IIFNAME], "bridges", negate=True), in_set([OIFNAME], "bridges", negate=True)
_TO_HOST: Final = equals(FIB_DADDR_TYPE, u32(FIB_LOCAL), "local")
_ANSWERS: Final = any_bit(CT_STATES, STATE_ESTABLISHED | STATE_RELATED, "established,related")
_TRANSLATED: Final = any_bit(CT_STATUSES, STATUS_DNAT, "dnat")
_DROP, _ACCEPT = verdict(DROP), verdict(ACCEPT)
_LOOPBACK: Final = "127.0.0.0/8"


def _not_type(kind: int, shown: str) -> Statement:
    return equals(FIB_DADDR_IIF_TYPE, u32(kind), shown, negate=True)


def _rules(*rules: tuple[Statement, ...]) -> tuple[Rule, ...]:
    return tuple(Rule(one) for one in rules)


def _early() -> Iterator[tuple[Statement, ...]]:
    yield within_prefix(IP_DADDR, _LOOPBACK), _FROM_OURS, _DROP
    yield within_prefix(IP_SADDR, _LOOPBACK), _FROM_OURS, _DROP
    for v, (_, _, daddr) in _ADDRESSES.items():
        yield in_set([daddr], f"guarded{v}"), named(IIFNAME, "lo", negate=True), _FROM_OTHERS, _DROP


def _publish() -> Iterator[tuple[Statement, ...]]:
    for v, (family, _, daddr) in _ADDRESSES.items():
        yield (dnat_by_map(family, [daddr, L4PROTO, DPORT], f"bound{v}"),)
        yield family_is(family), dnat_by_map(family, [L4PROTO, DPORT], f"ports{v}")


def _input() -> Iterator[tuple[Statement, ...]]:
    internal = in_set([IIFNAME], "internal")
    yield internal, in_set([L4PROTO, DPORT], "relayed"), _DROP
    mine = [_not_type(FIB_LOCAL, "local"), _not_type(FIB_BROADCAST, "broadcast"), _not_type(FIB_MULTICAST, "multicast")]
    yield internal, *mine, _DROP


def _forward() -> Iterator[tuple[Statement, ...]]:
    not_internal = in_set([IIFNAME], "internal", negate=True), in_set([OIFNAME], "internal", negate=True)
    yield _ANSWERS, *not_internal, _ACCEPT
    yield _FROM_OTHERS, _TO_OTHERS, verdict(GOTO, "foreign")
    yield in_set([IIFNAME, OIFNAME], "same"), _ACCEPT
    yield in_set([IIFNAME, OIFNAME], "quiet"), verdict(GOTO, "quiet")
    yield in_set([IIFNAME], "internal"), _DROP
    yield in_set([OIFNAME], "internal"), _DROP
    yield any_bit(CT_STATES, STATE_INVALID, "invalid"), _DROP
    yield _TRANSLATED, _ACCEPT
    yield _TO_OURS, _DROP


def _quiet() -> Iterator[tuple[Statement, ...]]:
    yield _ANSWERS, _ACCEPT
    yield _TRANSLATED, _ACCEPT
    yield in_set([IP_SADDR, IP_DADDR, L4PROTO, DPORT], "links4"), _ACCEPT
    yield (_DROP,)


def _foreign() -> Iterator[tuple[Statement, ...]]:
    yield family_is("ip"), in_set([IIFNAME], "opened"), _DROP
    yield in_set([NFPROTO], "routers"), _DROP


def _postrouting() -> Iterator[tuple[Statement, ...]]:
    yield _TO_OURS, within_prefix(IP_SADDR, _LOOPBACK), masquerade()
    yield _TO_OURS, within_prefix(IP6_SADDR, "::1"), masquerade()
    for v, (_, saddr, daddr) in _ADDRESSES.items():
        yield _TRANSLATED, in_set([saddr, daddr], f"hairpin{v}"), masquerade()
        yield in_set([saddr], f"masqueraded{v}"), _TO_OTHERS, masquerade()


def chains() -> tuple[Chain, ...]:
    """Return the chains of the table; they are the same whatever networks there are."""
    loopback = within_prefix(IP_DADDR, _LOOPBACK), verdict(RETURN)
    relaying = in_set([IP6_DADDR], "relaying"), verdict(RETURN)
    published = _TO_HOST, verdict(GOTO, "publish")
    return (
        Chain("early", _rules(*_early()), "prerouting", priority=nftables.PRIORITY_RAW),
        Chain("publish", _rules(*_publish())),
        Chain("prerouting", _rules(loopback, published), "prerouting", "nat", nftables.PRIORITY_DSTNAT),
        Chain("output", _rules(relaying, published), "output", "nat", nftables.PRIORITY_DSTNAT),
        Chain("input", _rules(*_input()), "input"),
        Chain("quiet", _rules(*_quiet())),
        Chain("foreign", _rules(*_foreign())),
        Chain("forward", _rules(*_forward()), "forward"),
        Chain("postrouting", _rules(*_postrouting()), "postrouting", "nat", nftables.PRIORITY_SRCNAT),
    )


# --- the elements ----------------------------------------------------------------------------------------------------


def of_network(network: Network) -> Elements:
    """Return the elements that come and go with a network; none for one that isn't the bridge driver's."""
    if network.driver != "bridge":
        return {}
    bridge = Element((network.bridge,))
    loop = Element((network.bridge, network.bridge))
    found: dict[str, list[Element]] = {"bridges": [bridge]}
    found["same" if enabled(network.options, OPTION_ICC) else "quiet"] = [loop]
    if network.internal:
        found["internal"] = [bridge]
    masquerades = enabled(network.options, OPTION_MASQUERADE) and not network.internal
    for v, pools in (("4", network.ipv4), ("6", network.ipv6)):
        subnets = [pool.subnet for pool in pools]
        found[f"hairpin{v}"] = [Element(pair) for pair in product(subnets, repeat=2)]
        found[f"masqueraded{v}"] = [Element((one,)) for one in subnets if masquerades]
        found[f"guarded{v}"] = [Element((one,)) for one in subnets if masquerades or network.internal]
    return {name: tuple(elements) for name, elements in found.items() if elements}


def enabled(options: Mapping[str, str], name: str) -> bool:
    """Tell whether a driver option that is on by default is on; off are what Go's strconv.ParseBool takes for false."""
    return options.get(name, "true") not in ("0", "f", "F", "false", "FALSE", "False")


def of_publication(one: Publication) -> Elements:
    """Return the elements of a published port; see `is_relayed` for one that the kernel can't translate."""
    v = "6" if ":" in one.host_ip else "4"
    target = one.target_ipv6 if v == "6" else one.target_ipv4
    port = (one.protocol, str(one.host_port))
    if not target:
        return {"relayed": (Element(port),)} if is_relayed(one) and one.host_ip == ANY6 else {}
    data = (bare(target), str(one.container_port))
    if one.host_ip in (ANY4, ANY6):
        return {f"ports{v}": (Element(port, data),)}
    return {f"bound{v}": (Element((one.host_ip, *port), data),)}


def is_relayed(one: Publication, *, relay_loopback: bool = False) -> bool:
    """Tell whether a port needs the relay: an IPv6 address of the host, a container without. Not for SCTP."""
    untranslated = not one.target_ipv6 or (relay_loopback and one.host_ip in (ANY6, "::1"))
    has_target = bool(one.target_ipv4 or one.target_ipv6)
    return ":" in one.host_ip and untranslated and has_target and one.protocol in ("tcp", "udp")


def of_link(one: Link) -> Elements:
    """Return the element of a link."""
    return {"links4": (Element((one.source, one.target, one.protocol, str(one.port))),)}


def of_detour(one: Detour) -> Elements:
    """Return the element of a detour."""
    return {f"hairpin{ip_address(one.target).version}": (Element((one.subnet, one.target)),)}


def of_forwarding(opened: Iterable[str], opened_ipv6: bool) -> Elements:
    """Return the elements that keep the host from being a router for others."""
    found = {"opened": tuple(Element((name,)) for name in sorted(opened))}
    if opened_ipv6:
        found["routers"] = (Element(("ipv6",)),)
    return found


def of_relay(loopback: bool) -> Elements:
    """Return the element that keeps ::1 from being translated."""
    return {"relaying": (Element(("::1",)),)} if loopback else {}


def bare(address: str) -> str:
    """Return an address without its prefix length."""
    return address.partition("/")[0]


def merge(parts: Iterable[Elements]) -> Elements:
    """Return all elements of all parts, each once."""
    found: dict[str, dict[Element, None]] = {}
    for part in parts:
        for name, elements in part.items():
            found.setdefault(name, {}).update(dict.fromkeys(elements))
    return {name: tuple(elements) for name, elements in found.items()}


def table(desired: Desired) -> Table:
    """Compute the whole table; its ``text`` is what `nft list table` prints, but for the order of elements."""
    parts = [of_forwarding(desired.opened, desired.opened_ipv6)]
    parts.append(of_relay(desired.relay_loopback))
    parts += [of_network(one) for one in desired.networks]
    parts += [of_publication(one) for one in desired.publications]
    parts += [of_link(one) for one in desired.links]
    parts += [of_detour(one) for one in desired.detours]
    return Table(FAMILY, NAME, tuple(SETS.values()), chains(), merge(parts))
