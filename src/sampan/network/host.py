"""The host's side of networks in the kernel: bridges, the firewall, host ends of veths. Blocking, for one thread.

Life.   Made at the first use, so that a sampand without networks touches nothing: `Host` puts the firewall up for what
        there is. Then each change is a small step. What is there stays when sampand ends.
Order.  A network's rules are there before its bridge, a port's before its container answers; the guard that keeps the
        host from being a router for others is up before forwarding is switched on.
Guard.  Others may switch forwarding on for all links, because they want a router: then the guard goes. Where they did
        is told by the switch for all links, which Sampan leaves alone. Should they switch it off, containers lose
        their way; it is switched on again where they need it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import ENOENT
from ipaddress import ip_address
from typing import Final

from sampan.linux import conntrack
from sampan.linux.netlink import NETLINK_NETFILTER, NetlinkError, Socket
from sampan.linux.netwatch import TABLES
from sampan.linux.nftdump import read_keys
from sampan.linux.rtnetlink import Rtnetlink
from sampan.network import bridge, endpoint, parent, ruleset
from sampan.network.dns import redirect, sockets
from sampan.network.endpoint import Place, choose_default
from sampan.network.errors import NetworkError
from sampan.network.explain import Others, read_others_by
from sampan.network.firewall import Firewall, bridges_show_ipv6
from sampan.network.model import Endpoint, Network, Publication
from sampan.network.ruleset import Desired, Detour, Link

log = logging.getLogger(__name__)

_KERNEL_S: Final = 0.5  # the kernel takes some ten milliseconds
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Contents:
    """What the firewall is for: all networks, the places of each live sandbox, what is published and what linked."""

    networks: Sequence[Network]
    places: Sequence[Sequence[Place]]
    ports: Sequence[Publication]
    links: Sequence[Link] = ()


class Host:
    """Links and firewall of the network namespace that sampand is in."""

    def __init__(self, contents: Contents) -> None:
        """Put the firewall up.

        Raises:
            OSError: no netlink; NetlinkError: no nftables.
        """
        self.links = Rtnetlink()
        self._netfilter = Socket(NETLINK_NETFILTER)
        self.flows = Socket(NETLINK_NETFILTER)  # for whoever walks conntrack, and must not keep others waiting
        self._firewall = Firewall()
        self._opened, self._opened_ipv6 = self._guarded()
        self._ensured: set[str] = set()
        self._indexes: set[int] = set()  # of bridges
        self.relays_loopback = bridges_show_ipv6()  # ::1 is the relay's, see `ruleset`, output
        self._withdraw()
        self.converge(contents)

    def converge(self, contents: Contents) -> None:
        """Put the whole firewall up, in place of what is there."""
        detours = {one for own in contents.places for one in _detours(own, _of(contents.ports, own))}
        self._firewall.converge(
            Desired(
                tuple(contents.networks), tuple(contents.ports), tuple(contents.links), tuple(detours),
                frozenset(self._opened), self._opened_ipv6, relay_loopback=self.relays_loopback,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Close the sockets; everything stays."""
        self._firewall.close()
        self._netfilter.close()
        self.flows.close()
        self.links.close()

    def _guarded(self) -> tuple[set[str], bool]:
        """Return where an earlier sampand switched forwarding on: only the table that it left knows."""
        try:
            names = read_keys(self._netfilter, ruleset.FAMILY, ruleset.NAME, "opened")
            ipv6 = bool(read_keys(self._netfilter, ruleset.FAMILY, ruleset.NAME, "routers"))
        except NetlinkError as error:
            if error.errno != ENOENT:
                raise
            return set(), False
        return {name.rstrip(b"\0").decode() for name in names}, ipv6

    def _guard(self, ipv4: Iterable[str], ipv6: Iterable[str]) -> None:
        """See that the host is no router for others where forwarding is about to be switched on."""
        self._opened |= set(ipv4)
        self._opened_ipv6 = self._opened_ipv6 or bool(tuple(ipv6))
        self._firewall.guard_forwarding(self._opened, self._opened_ipv6)

    def _withdraw(self) -> bool:
        """Leave the routing to others where they have switched it on for all links; tell whether that is new."""
        before = self._opened, self._opened_ipv6
        ipv4, ipv6 = bridge.forwards_everywhere()
        self._opened = set() if ipv4 else self._opened
        self._opened_ipv6 = self._opened_ipv6 and not ipv6
        return before != (self._opened, self._opened_ipv6)

    def look_again(self, seen: set[int], networks: Iterable[Network]) -> None:
        """Bring forwarding in step with what others did to it, and with links that have come (`netwatch`)."""
        if not seen - self._indexes - {TABLES}:
            return
        if self._withdraw():
            self._firewall.guard_forwarding(self._opened, self._opened_ipv6)
        before, self._ensured = self._ensured, set()
        for network in networks:
            if network.id not in before:
                continue
            try:
                self.ensure(network)
            except (NetworkError, OSError) as error:
                log.error("network %s can't be repaired: %s", network.name, error)

    def has_table(self) -> bool:
        """Tell whether the firewall's table is there: `nft flush ruleset` of others deletes it."""
        try:
            read_keys(self._netfilter, ruleset.FAMILY, ruleset.NAME, "bridges")
        except NetlinkError as error:
            if error.errno == ENOENT:
                return False
            raise
        return True

    # Networks

    def add_network(self, network: Network) -> None:
        """Make a network's bridge or parent. Raises NetworkError, NetlinkError; nothing is left then."""
        if network.driver == "bridge":
            self._firewall.add_network(network)
        try:
            self.ensure(network)
        except BaseException:
            self.remove_network(network)
            raise

    def ensure(self, network: Network) -> None:
        """See that a network's links are there and right, once in this object's life."""
        if network.id in self._ensured:
            return
        if network.driver == "bridge":
            self._indexes.add(bridge.ensure(self.links, network, self._guard).index)
        else:
            parent.ensure(self.links, network)
        self._ensured.add(network.id)

    def remove_network(self, network: Network) -> None:
        """Delete a network's links and rules, so far as they are there and ours."""
        self._ensured.discard(network.id)
        if network.driver == "bridge":
            bridge.remove(self.links, network)
            self._firewall.remove_network(network)
        else:
            parent.remove(self.links, network)

    def unplug(self, endpoints: Iterable[Endpoint]) -> None:
        """Delete the host ends of the dead, so far as they are there."""
        endpoint.unplug(self.links, endpoints)

    # Sandboxes

    def plug(self, netns: int, places: Sequence[Place], ports: Sequence[Publication]) -> list[Endpoint]:
        """Plug a new sandbox into its networks and lead ports to it; return the endpoints with interfaces.

        Nothing is left on an error.
        """
        done: list[Endpoint] = []
        try:
            for network, one, defaults in _with_defaults(places):
                self.ensure(network)
                done.append(endpoint.plug(self.links, netns, network, one, **defaults))
            if ports:
                self.publish(ports, places)
        except BaseException:
            endpoint.unplug(self.links, done)
            raise
        return done

    @staticmethod
    def free_name(netns: int, network: Network) -> str:
        """Return what an interface on ``network`` would be called in a live sandbox."""
        return endpoint.free_name(netns, network)

    def connect(self, netns: int, places: Sequence[Place], place: Place) -> Endpoint:
        """Plug a live sandbox into one more network; ``places`` are its others. Nothing is left on an error."""
        self.ensure(place[0])
        made = endpoint.plug(self.links, netns, *place)
        _reroute(netns, [*places, (place[0], made)])
        return made

    def disconnect(self, netns: int, places: Sequence[Place], place: Place) -> None:
        """Take a live sandbox from a network; ``places`` are those that stay."""
        network, one = place
        _reroute(netns, places)
        if network.driver == "bridge":
            endpoint.unplug(self.links, [one])
        else:
            endpoint.unplug_inside(netns, one.interface)
        forget_flows(self._netfilter, [one])

    def restore(self, netns: int, places: Sequence[Place]) -> list[str]:
        """Repair a live sandbox's places after a restart; return what had to be done."""
        done: list[str] = []
        for network, one, defaults in _with_defaults(places):
            self.ensure(network)
            done += endpoint.restore(self.links, netns, network, one, **defaults)
        return done

    @staticmethod
    def bind_resolver(netns: int) -> sockets.Sockets:
        """Make the sockets of 127.0.0.11 in a sandbox."""
        made = sockets.bind(netns)
        try:
            redirect.redirect(netns, made)
        except BaseException:
            made.close()
            raise
        return made

    # Ports

    def publish(self, ports: Sequence[Publication], places: Sequence[Place]) -> None:
        """Lead ports to a sandbox, which is at these places."""
        if self.relays_loopback != bridges_show_ipv6():  # br_netfilter has come, or was switched off
            self.relays_loopback = not self.relays_loopback
            self._firewall.relay_loopback(self.relays_loopback)
        self._firewall.publish(ports, _detours(places, ports))

    def unpublish(self, ports: Sequence[Publication], places: Sequence[Place]) -> bool:
        """Take ports back; tell whether there may be flows that were translated."""
        served = self._firewall.unpublish(ports)
        detours = _detours(places, ports)
        if detours:
            self._firewall.end_detours(detours)
        return served

    def redetour(self, ports: Sequence[Publication], before: Sequence[Place], now: Sequence[Place]) -> None:
        """Follow a change of networks that leaves ports where they lead to."""
        old, new = _detours(before, ports), _detours(now, ports)
        if gone := [one for one in old if one not in new]:
            self._firewall.end_detours(gone)
        if added := [one for one in new if one not in old]:
            self._firewall.publish((), added)

    def link(self, add: Sequence[Link], remove: Sequence[Link]) -> None:
        """Change what is open within networks without inter-container traffic."""
        self._firewall.link(add, remove)

    def others(self) -> Others:
        """Read the rules of others."""
        return read_others_by(self._netfilter)


def host_routes() -> list[str]:
    """Return the prefixes that the host routes, without touching anything."""
    with Rtnetlink() as links:
        return [route.dst for family in (2, 10) for route in links.routes(family)]


def _with_defaults(places: Sequence[Place]) -> Iterator[tuple[Network, Endpoint, dict[str, bool]]]:
    """Yield each place with the default routes that it is to have, as `endpoint.plug` names them."""
    ipv4, ipv6 = choose_default(places)
    for network, one in places:
        own = {
            "default_ipv4": ipv4 is not None and ipv4[1].id == one.id,
            "default_ipv6": ipv6 is not None and ipv6[1].id == one.id,
        }
        yield network, one, own


def _reroute(netns: int, places: Sequence[Place]) -> None:
    """Set the default routes. A container that may change its links can make that impossible, for itself."""
    try:
        endpoint.set_default(netns, *choose_default(places))
    except OSError as error:
        log.warning(
            "the default route of container %s stays: %s", places[0][1].sandbox_id[:12] if places else "", error
        )


def forget_flows(netfilter: Socket, endpoints: Iterable[Endpoint]) -> None:
    """Forget connections of addresses that somebody else may get next."""
    addresses = [address.partition("/")[0] for one in endpoints for address in (one.ipv4, one.ipv6) if address]
    with contextlib.suppress(OSError):  # as above
        conntrack.forget_addresses(netfilter, addresses)


def forget_untranslated(netfilter: Socket, ports: Iterable[Publication]) -> None:
    """Forget datagrams that kept coming before their port was published: the kernel would never translate them."""
    for one in ports:
        with contextlib.suppress(OSError):  # as above
            conntrack.forget_untranslated(netfilter, 6 if ":" in one.host_ip else 4, 17, one.host_port)


def reap(ends: Sequence[Endpoint], served: Sequence[Endpoint], flows: Socket) -> None:
    """See that the host ends of endpoints are gone; forget the flows of those that served, by a socket that stays open:
    to close one holds the lock of nftables until what was just deleted is gone, 20 ms.

    The kernel deletes them with the namespace, soon after its last process. To do it here would hold the lock that
    every change of links needs (RTNL) for another 20 ms; it is done for those that outlast `_KERNEL_S`.
    """
    with Rtnetlink() as links:
        deadline = time.monotonic() + _KERNEL_S
        left = list(ends)
        while left and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            left = [one for one in left if links.link(one.host_link) is not None]
        if left:
            endpoint.unplug(links, left)
    forget_flows(flows, served)


def open_namespace(pid: int) -> int:
    """Return a descriptor of a process's network namespace. Raises OSError: it is gone."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _of(ports: Sequence[Publication], places: Sequence[Place]) -> list[Publication]:
    owners = {one.sandbox_id for _network, one in places}
    return [port for port in ports if port.sandbox_id in owners]


def _detours(places: Sequence[Place], ports: Iterable[Publication]) -> tuple[Detour, ...]:
    """Return the networks whose clients a published sandbox would answer directly, past the translation."""
    targets = {target for port in ports for target in (port.target_ipv4, port.target_ipv6) if target}
    found = []
    for target in sorted(targets):
        for network, _one in places:
            found += [
                Detour(pool.subnet, target)
                for pool in network.ipv4 + network.ipv6
                if not pool.contains(target) and ip_address(target).version == (6 if ":" in pool.subnet else 4)
            ]
    return tuple(found)
