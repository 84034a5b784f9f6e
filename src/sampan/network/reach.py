"""Who reaches the ports of a container, for every port and everybody: `sampan port --explain`, the warnings of `run`.

Words.  *direct*: by the container's own address and port. *published*: by the host's. *verdict*: one row of it all.
How.    Our own rules are known (`sampan.network.ruleset`); those of others are walked (`sampan.network.explain`).
Cost.   survey: 0.3 ms and what others' rules take to be read; a verdict 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from sampan.linux.rtnetlink import Rtnetlink
from sampan.network import parent
from sampan.network.endpoint import Place, choose_default, targeted
from sampan.network.explain import (
    BLOCKED,
    CONTAINERS,
    DEPENDS,
    HOST,
    LOOPBACK,
    OUTSIDE,
    REACHABLE,
    UNKNOWN,
    Answer,
    Others,
    Surroundings,
    explain_direct,
    explain_host,
    explain_to,
    joined,
    warning,
)
from sampan.network.model import OPTION_HOST_BINDING, OPTION_ICC, Endpoint, Network, Publication
from sampan.network.ports import Binding
from sampan.network.ruleset import ANY4, ANY6, Link, bare, enabled, is_relayed, of_network
from sampan.network.rulewalk import Walker

Port = tuple[int, str]  # 80, "tcp"

NO: Final = "no"
WORDS: Final = {REACHABLE: "yes", BLOCKED: NO, DEPENDS: "only some", UNKNOWN: "can't tell"}
_SOMEWHERE: Final = {4: "1.1.1.1", 6: "2606:4700:4700::1111"}  # only a default route leads there; nothing is sent
_OWN: Final = "table inet sampan, chain"
_SHOWS: Final = {4: "iptables", 6: "ip6tables"}
_ANY: Final = {4: ANY4, 6: ANY6}


@dataclass(frozen=True, slots=True)
class Survey:
    """What the host is like, apart from us. The keys are versions of IP."""

    others: Others
    uplinks: Mapping[int, tuple[str, str]]  # interface and address of the host, towards outside
    shows: Mapping[int, bool]  # bridges show frames to rules


@dataclass(frozen=True, slots=True)
class Ports:
    """A container's: where it is, what is published and what is exposed."""

    places: Sequence[Place] = ()
    published: Sequence[Publication] = ()
    exposed: Sequence[Port] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody reaches a port; ``published`` "" for the container's own address."""

    port: str  # "80/tcp"
    published: str  # "0.0.0.0:8080"
    who: str
    answer: str  # one of WORDS
    rule: str


def survey(others: Others) -> Survey:
    """Look around in the namespace that the thread is in. Raises NetlinkError: the kernel refused."""
    with Rtnetlink() as links:
        uplinks = {version: _uplink(links, address) for version, address in _SOMEWHERE.items()}
    return Survey(others, uplinks, {version: _shows(name) for version, name in _SHOWS.items()})


def _uplink(links: Rtnetlink, address: str) -> tuple[str, str]:
    route = links.route_to(address)
    link = links.link(route.index) if route and route.index else None
    return (link.name, route.source) if route and link else ("", "")


def _shows(name: str) -> bool:
    try:
        return Path("/proc/sys/net/bridge", f"bridge-nf-call-{name}").read_text().strip() == "1"
    except FileNotFoundError:  # no br_netfilter
        return False


# --- before a start --------------------------------------------------------------------------------------------------


def foresee(places: Sequence[Place], bindings: Iterable[Binding]) -> list[Publication]:
    """Return what will probably be published; the port is 0 where it isn't known."""
    ipv4, ipv6 = choose_default(places)
    place = ipv4 or ipv6
    if place is None or place[0].driver != "bridge":
        return []
    found = []
    for one in bindings:
        given = one.host_ip or place[0].options.get(OPTION_HOST_BINDING, "")
        addresses = (ANY4, ANY6) if given in ("", ANY4) and not one.host_ip else (given,)
        found += [Publication("", one.protocol, address, one.first, one.container_port) for address in addresses]
    return list(targeted(places, found))


def unplaced(network: Network, *, ipv4: str = "", ipv6: str = "") -> Place:
    """Return a place on a network with addresses that stand for those that will be given."""
    found = []
    for pools, given in ((network.ipv4, ipv4), (network.ipv6, ipv6)):
        pool = next((one for one in pools if not given or one.contains(given)), None)
        found.append(f"{given or ip_network(pool.subnet)[-2]}/{pool.prefix}" if pool else "")
    return network, Endpoint("", network.id, "", ipv4=found[0], ipv6=found[1])


def warnings(ports: Ports, networks: Iterable[Network], seen: Survey) -> list[str]:
    """Return what is to be said of ports that others' rules keep outside from."""
    teller = _Teller(ports, networks, seen, ())
    answers = ((one, teller.published(OUTSIDE, one)) for one in ports.published if _is_meant(one, ports))
    return [text for one, answer in answers if (text := warning(one, [answer]))]


def _is_meant(one: Publication, ports: Ports) -> bool:
    """Leave out IPv6 where it is there for the sake of every address, and the container has none."""
    return one.host_ip != ANY6 or bool(one.target_ipv6)


# --- everything ------------------------------------------------------------------------------------------------------


def verdicts(ports: Ports, networks: Iterable[Network], seen: Survey, links: Iterable[Link] = ()) -> list[Verdict]:
    """Return everything about each port of a container, the exposed ones too."""
    teller = _Teller(ports, networks, seen, links)
    every = {*ports.exposed, *((one.container_port, one.protocol) for one in ports.published)}
    found: list[Verdict] = []
    for port in sorted(every):
        for one in ports.published:
            if (one.container_port, one.protocol) == port:
                found += _merged(teller.of_publication(one))
        found += teller.of_port(*port)
    return found


def of_host_network(exposed: Iterable[Port], seen: Survey) -> list[Verdict]:
    """Return everything about the ports of a container in the host's network: they are the host's."""
    walker = Walker(seen.others.ruleset)
    found = []
    for number, protocol in sorted(exposed):
        uplink, address = seen.uplinks[4]
        one = Publication("", protocol, ANY4, number, number)
        around = Surroundings(uplink=uplink, host=address)
        for audience, who in ((OUTSIDE, "other machines"), (HOST, "this machine")):
            answer = explain_host(audience, one, walker, seen.others.legacy, around)
            found.append(_verdict(number, protocol, f"{ANY4}:{number}", who, answer))
    return found


def _verdict(number: int, protocol: str, published: str, who: str, answer: Answer) -> Verdict:
    rule = f"{answer.rule}: {answer.why}" if answer.why else answer.rule
    return Verdict(f"{number}/{protocol}", published, who, WORDS[answer.answer], rule)


def _merged(rows: Iterable[Verdict]) -> list[Verdict]:
    """Join the rows that differ in the network of containers only."""
    found: dict[tuple[str, ...], Verdict] = {}
    for row in rows:
        begin, of, name = row.who.partition(" of ")
        key = (row.port, row.published, begin, row.answer, row.rule)
        old = found.get(key)
        found[key] = replace(row, who=f"{old.who}, {name}") if old and of else row
    return list(found.values())


class _Teller:
    """What is asked about one container."""

    def __init__(self, ports: Ports, networks: Iterable[Network], seen: Survey, links: Iterable[Link]) -> None:
        self._ports = ports
        self._networks = [one for one in networks if one.driver == "bridge"]
        self._seen = seen
        self._links = tuple(links)
        self._walker = Walker(seen.others.ruleset)
        every = [of_network(one) for one in self._networks]
        elements = [element for one in every for v in "46" for element in one.get(f"guarded{v}", ())]
        self._guarded = tuple(str(element.key[0]) for element in elements)

    def _around(self, version: int, network: Network | None, client: str = "") -> Surroundings:
        uplink, address = self._seen.uplinks[version]
        pools = (network.ipv4 if version == 4 else network.ipv6) if network else ()
        return Surroundings(
            uplink,
            network.bridge if network else "",
            pools[0].gateway if pools else "",
            address,
            self._guarded,
            self._seen.shows[6],
            client,
        )

    # Published

    def published(self, audience: str, one: Publication, client: str = "") -> Answer:
        """Tell whether an audience reaches a published port; containers come by the bridge ``client``."""
        around = self._around(_version(one.host_ip), self._network_of(one), client)
        return explain_to(audience, one, self._walker, self._seen.others.legacy, around)

    def _network_of(self, one: Publication) -> Network | None:
        targets = [text for text in (one.target_ipv6 if ":" in one.host_ip else "", one.target_ipv4) if text]
        places = [net for net, _ in self._ports.places for text in targets if _holds(net, text)]
        return places[0] if places else None

    def of_publication(self, one: Publication) -> Iterator[Verdict]:
        """Yield a row for everybody, by the host's address."""
        version = _version(one.host_ip)
        own, loopback = self._seen.uplinks[version][1], {4: "127.0.0.1", 6: "::1"}[version]
        given = one.host_ip if one.host_ip not in _ANY.values() else own or "its address"
        rows = [("other machines", self.published(OUTSIDE, one))]
        if given != loopback:
            rows.append((f"this machine by {given}", self.published(HOST, one)))
        rows.append((f"this machine by {loopback}", self.published(LOOPBACK, one)))
        rows += [(f"containers of {net.name}", self._from(net, one)) for net in self._networks if _speaks(net, version)]
        if any(_speaks(net, version) for net, _ in self._ports.places):
            rows.append(("itself", self._from_itself(one)))
        for who, answer in rows:
            yield _verdict(one.container_port, one.protocol, joined(one.host_ip, one.host_port), who, answer)

    def _from(self, network: Network, one: Publication) -> Answer:
        """Answer for the containers of one network, but for the target itself."""
        if network.internal:
            return Answer(CONTAINERS, BLOCKED, f"{_OWN} forward", f"network {network.name} is internal")
        quiet = not enabled(network.options, OPTION_ICC) and network == self._network_of(one)
        if quiet and self._seen.shows[_version(one.host_ip)] and not self._is_relayed(one):
            why = "its ports are isolated, and br_netfilter has translated frames bridged"
            return Answer(CONTAINERS, BLOCKED, f"bridge {network.bridge}", why)
        return self.published(CONTAINERS, one, network.bridge)

    def _from_itself(self, one: Publication) -> Answer:
        network = self._network_of(one)
        return self._from(network, one) if network else self.published(CONTAINERS, one)

    def _is_relayed(self, one: Publication) -> bool:
        return is_relayed(one, relay_loopback=self._seen.shows[6])

    # Direct

    def of_port(self, number: int, protocol: str) -> Iterator[Verdict]:
        """Yield a row for everybody, by the container's own addresses."""
        for network, endpoint in self._ports.places:
            for address in filter(None, (bare(endpoint.ipv4), bare(endpoint.ipv6))):
                one = Publication("", protocol, address, number, number, address, address)
                rows = self._direct(network, one) if network.driver == "bridge" else _beside(network, one)
                for who, answer in rows:
                    yield _verdict(number, protocol, "", who, answer)

    def _direct(self, network: Network, one: Publication) -> Iterator[tuple[str, Answer]]:
        around = self._around(_version(one.host_ip), network)
        legacy = self._seen.others.legacy
        yield f"containers of {network.name} by {one.host_ip}", self._beside(network, one, around)
        yield f"this machine by {one.host_ip}", explain_direct(HOST, one, self._walker, legacy, around)
        chain = "early" if self._is_guarded(network) else "forward"
        why = "nobody else may name the address of a container" if chain == "early" else "only what is published"
        yield f"other machines by {one.host_ip}", Answer(OUTSIDE, BLOCKED, f"{_OWN} {chain}", why)
        why = f"network {network.name} is closed to others"
        yield f"containers of other networks by {one.host_ip}", Answer(CONTAINERS, BLOCKED, f"{_OWN} forward", why)

    def _is_guarded(self, network: Network) -> bool:
        return any(pool.subnet in self._guarded for pool in network.ipv4 + network.ipv6)

    def _beside(self, network: Network, one: Publication, around: Surroundings) -> Answer:
        """Answer for the other containers of the same network."""
        if not enabled(network.options, OPTION_ICC):
            linked = [
                link.source
                for link in self._links
                if (link.target, link.protocol, link.port) == (one.host_ip, one.protocol, one.host_port)
            ]
            if linked:
                return Answer(CONTAINERS, DEPENDS, f"{_OWN} quiet", f"those that are linked: {', '.join(linked)}")
            return Answer(CONTAINERS, BLOCKED, f"{_OWN} quiet", f"{OPTION_ICC} is off")
        if self._seen.shows[_version(one.host_ip)]:
            return explain_direct(CONTAINERS, one, self._walker, self._seen.others.legacy, around)
        return Answer(CONTAINERS, REACHABLE, f"bridge {network.bridge}", "no rule is asked")


def _beside(network: Network, one: Publication) -> Iterator[tuple[str, Answer]]:
    """Answer for a network that is no bridge: macvlan, ipvlan."""
    kind, below = network.driver, parent.parent_name(network)
    yield f"machines on {below} by {one.host_ip}", Answer(OUTSIDE, REACHABLE, f"{kind} on {below}", "no rule is asked")
    why = f"the kernel keeps a parent and its {kind} links apart"
    yield f"this machine by {one.host_ip}", Answer(HOST, BLOCKED, f"{kind} on {below}", why)


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _speaks(network: Network, version: int) -> bool:
    return bool(network.ipv4 if version == 4 else network.ipv6)


def _holds(network: Network, address: str) -> bool:
    return any(pool.contains(address) for pool in network.ipv4 + network.ipv6)
