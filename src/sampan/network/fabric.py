"""The networks of one sampand and who is plugged into them: rows, kernel, names, ports and resolvers kept in step.

Words.  *wish*: a network that a sandbox is to be on, and how. *kept*: what must outlive sampand, which the sandbox's
        monitor holds: its namespace, and the sockets of its published ports and its resolver.
Life.   load → (adopt …) → settle → (create | open → plug → connect, disconnect → close) … → end.
        open gives addresses and ports, before there is a namespace; plug sets the namespace up. After a restart adopt
        takes a live sandbox up as the rows have it, and settle repairs the kernel's side and forgets the dead.
Order.  A row is written before the kernel is touched and deleted after: what a kill leaves is found by the rows, and
        nothing is touched that no row of ours knows (another sampand may have its own here).
Threads. The kernel's side has one thread: its lock (RTNL) is one. Deleting veths waits for RCU and has another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from errno import ENOENT
from functools import partial
from typing import Final, TypeVar

from sampan.linux.netlink import NetlinkError
from sampan.linux.netwatch import TABLES, Notices
from sampan.network import host, pools, relaying, ruleset
from sampan.network.bridge import BridgeFull
from sampan.network.dns import sockets as dns_sockets
from sampan.network.dns.forward import Exits, Forwarder
from sampan.network.dns.server import Resolver
from sampan.network.dns.sockets import Sockets
from sampan.network.endpoint import Place, choose_default, targeted
from sampan.network.errors import AddressInUse, NetworkError, NoAddressLeft, NoSuchNetwork
from sampan.network.explain import Others, read_others
from sampan.network.firewall import bridges_show_ipv6
from sampan.network.host import Contents, Host
from sampan.network.model import (
    DEFAULT_NETWORK,
    OPTION_HOST_BINDING,
    Endpoint,
    Network,
    Publication,
)
from sampan.network.names import Names
from sampan.network.pools import Surroundings
from sampan.network.ports import Binding, Owner, Ports, PortUnavailable, is_quick
from sampan.network.predefined import AS_ALWAYS, PREDEFINED, Configured, reconfigure
from sampan.network.reaper import Reaper
from sampan.network.relay import Relays
from sampan.network.resolvconf import Resolution
from sampan.network.rows import NetworkRows, SandboxRow
from sampan.network.ruleset import Link
from sampan.network.sandbox import Sandbox, Wish, draft, foreseen
from sampan.network.vigil import Vigil

T = TypeVar("T")

log = logging.getLogger(__name__)

_UDP, _TCP = "dns-udp", "dns-tcp"
_NETNS: Final = "netns"


class Fabric:
    """All of it; for one event loop."""

    def __init__(
        self, rows: NetworkRows, *, boot_id: str, configured: Configured = AS_ALWAYS, engine_id: str = ""
    ) -> None:
        self._rows = rows
        self._boot_id = boot_id
        self._configured = configured
        self._ranges = (*configured.ranges, pools.own_ipv6_range(engine_id))
        self.names = Names()
        self.networks: dict[str, Network] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._ports = Ports()
        self._relays = Relays()
        self._exits: Exits | None = None
        self._host: Host | None = None
        self._kernel = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._reaper = Reaper(self._reap)
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._vigil: Vigil | None = None
        self._others: tuple[int, Others] | None = None
        self._allowed: frozenset[Link] = frozenset()
        self.links_wanted: Callable[[], frozenset[Link]] = frozenset  # told by who knows of links: the engine
        self._settled = asyncio.Event()  # not between `remember` and the end of `settle`
        self._settled.set()
        self._leaving: set[str] = set()  # networks that are being removed: nobody comes to them

    # Start and end

    async def load(self) -> None:
        """Read what there is; make the predefined networks where they are missing."""
        for network in await asyncio.to_thread(self._rows.networks):
            self._know(network)
        there = {network.name for network in self.networks.values()}
        for name, driver in PREDEFINED.items():
            if name not in there:
                await self._add(name, driver, self._configured.shape)

    async def adopt(self, sandbox_id: str, pid: int, kept: dict[str, int], resolution: Resolution) -> None:
        """Take a live sandbox up: ``pid`` is in it, ``kept`` is what its monitor holds (closed here).

        Raises OSError: it is gone.
        """
        sandbox = self._sandboxes.get(sandbox_id)
        try:
            if sandbox is None:
                return
            sandbox.netns = os.dup(kept[_NETNS]) if _NETNS in kept else host.open_namespace(pid)
            self._ports.adopt(sandbox.publications)
            if _UDP in kept and _TCP in kept:
                found = dns_sockets.adopt(os.dup(kept[_UDP]), os.dup(kept[_TCP]))
                await self._start_resolver(sandbox, found, resolution)
            relaying.hold(sandbox, kept)
            await self._tend_relays(sandbox)
            relaying.quiet(sandbox)
        finally:
            for descriptor in kept.values():
                os.close(descriptor)

    async def remember(self) -> None:
        """Read which sandboxes there were; call `adopt` for those that live, then `settle`."""
        self._settled.clear()
        publications = {row.id: row for row in await asyncio.to_thread(self._rows.sandboxes)}
        for row in publications.values():
            self._sandboxes[row.id] = Sandbox(row.id, publications=row.publications)
        for one in await asyncio.to_thread(self._rows.endpoints):
            if one.sandbox_id in self._sandboxes and one.network_id in self.networks:
                self._sandboxes[one.sandbox_id].endpoints[one.network_id] = one
                self.names.put(one)
        for sandbox in self._sandboxes.values():
            sandbox.publications = self._targeted(sandbox, sandbox.publications)

    async def settle(self) -> None:
        """Repair what the live sandboxes need; forget the dead. Raises NetworkError, OSError: the kernel refused."""
        dead = [sandbox for sandbox in self._sandboxes.values() if sandbox.netns < 0]
        live = [sandbox for sandbox in self._sandboxes.values() if sandbox.netns >= 0]
        for sandbox in dead:
            for one in sandbox.endpoints.values():
                self.names.drop(one.id)
            del self._sandboxes[sandbox.id]
        try:
            if dead or live or self._closing:
                await self._run(lambda made: made.unplug(_endpoints(dead)))
            for sandbox in dead:
                await _done(self._rows.close_sandbox(sandbox.id))
            for sandbox in live:
                await self._restore(sandbox)
        finally:
            self._settled.set()
        await reconfigure(self._configured, self.find(DEFAULT_NETWORK), self.remove, self._add)

    async def _restore(self, sandbox: Sandbox) -> None:
        places = self.places(sandbox)
        try:
            repaired = await self._run(lambda made: made.restore(sandbox.netns, places))
        except (NetworkError, OSError) as error:
            log.error("the network of container %s can't be repaired: %s", sandbox.id[:12], error)
            return
        if repaired:
            log.info("the network of container %s: %s", sandbox.id[:12], "; ".join(repaired))

    async def end(self) -> None:
        """Let go; sandboxes live on."""
        if self._vigil is not None:
            await self._vigil.close()
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        for sandbox in self._sandboxes.values():
            if sandbox.resolver is not None:
                await sandbox.resolver.close()
            await relaying.stop(self._relays, sandbox)
            if sandbox.netns >= 0:
                os.close(sandbox.netns)
        if self._exits is not None:
            self._exits.close()
        await asyncio.get_running_loop().run_in_executor(self._kernel, self._close_host)
        self._kernel.shutdown()
        self._reaper.close()

    def _close_host(self) -> None:
        if self._host is not None:
            self._host.close()

    async def _run(self, work: Callable[[Host], T]) -> T:
        """Do something to the kernel's side, in its thread."""
        return await self._begin(work)

    def _begin(self, work: Callable[[Host], T]) -> asyncio.Future[T]:
        if self._vigil is None:  # before the first look, so that nothing that comes after it is missed
            self._vigil = Vigil(Notices(ruleset.NAME), self._look_after)
            self._allowed = self.links_wanted()
        return asyncio.get_running_loop().run_in_executor(self._kernel, self._with_host, work)

    def _with_host(self, work: Callable[[Host], T]) -> T:
        if self._host is None:
            self._host = Host(self._contents())
        try:
            return work(self._host)
        except NetlinkError as error:
            if error.errno != ENOENT or self._host.has_table():
                raise
            log.warning("somebody deleted the firewall's table; it is back")
            self._host.converge(self._contents())
            return work(self._host)

    def _contents(self) -> Contents:
        live = [one for one in list(self._sandboxes.values()) if one.netns >= 0 or one.in_kernel]
        ports = [port for sandbox in live for port in sandbox.publications]
        places = [self.places(sandbox) for sandbox in live]
        return Contents(list(self.networks.values()), places, ports, sorted(self._allowed))

    async def _look_after(self, seen: set[int]) -> None:
        """Repair what others changed on the host (`sampan.network.vigil`)."""
        if TABLES in seen and not await self._run(Host.has_table):
            log.warning("somebody deleted the firewall's table (nft flush ruleset?); containers were open: it is back")
            await self._run(lambda kernel: kernel.converge(self._contents()))
        await self._run(lambda kernel: kernel.look_again(seen, list(self.networks.values())))

    async def _relink(self) -> None:
        """Open what linked containers may reach in networks that are closed within, and nothing else."""
        wanted = self.links_wanted()
        if wanted != self._allowed:
            add, remove, self._allowed = sorted(wanted - self._allowed), sorted(self._allowed - wanted), wanted
            await self._run(lambda kernel: kernel.link(add, remove))

    async def others(self, *, fresh: bool = False) -> Others:
        """Return the rules of others; again only once they have changed, unless they are to be ``fresh``.

        Raises NetlinkError.
        """
        if self._vigil is None:
            return await asyncio.to_thread(read_others)
        number = self._vigil.rules_of_others()
        if fresh or self._others is None or self._others[0] != number:
            self._others = number, await self._run(Host.others)
        return self._others[1]

    # Networks

    def _know(self, network: Network) -> None:
        self.networks[network.id] = network
        self.names.add_network(network)

    def find(self, ref: str) -> Network:
        """Return the network of a name, an id or the beginning of one. Raises NoSuchNetwork; NetworkError: several."""
        named = [one for one in self.networks.values() if ref in (one.id, one.name)]
        if named:
            return min(named, key=lambda one: one.id != ref)
        found = [one for one in self.networks.values() if ref and one.id.startswith(ref)]
        if len(found) > 1:
            raise NetworkError(f"network {ref} is ambiguous ({len(found)} matches found on ID prefix)")
        if not found:
            raise NoSuchNetwork(ref)
        return found[0]

    async def create(self, name: str, driver: str, shape: Callable[[Network], Network]) -> Network:
        """Make a network; ``shape`` is given one with name and driver and returns it with the rest but the pools.

        Raises NetworkError, OSError; nothing is left then.
        """
        network = await self._add(name, driver, shape)
        try:
            if driver not in ("host", "null"):
                await self._run(lambda made: made.add_network(network))
        except BaseException:
            self._forget(network)
            await _done(self._rows.remove_network(network.id))
            raise
        return network

    async def _add(self, name: str, driver: str, shape: Callable[[Network], Network]) -> Network:
        routed = await asyncio.to_thread(host.host_routes)

        def make(others: Sequence[Network]) -> Network:
            network = shape(Network(secrets.token_hex(32), name, driver, time.time_ns()))
            if driver in ("host", "null"):
                return network
            around = Surroundings(others, routed, self._ranges)
            wishes = pools.parse_config(network.config_given)
            ipv4, ipv6 = pools.plan(wishes, around, enable_ipv6=network.enable_ipv6, driver=driver)
            return replace(network, ipv4=ipv4, ipv6=ipv6)

        network = await _done(self._rows.add_network(make))
        self._know(network)
        return network

    async def remove(self, network: Network) -> None:
        """Remove a network. Raises NetworkInUse."""
        await self._wait_for_closing()
        self._leaving.add(network.id)
        try:
            await _done(self._rows.check_unused(network.id))
            if network.driver not in ("host", "null"):
                await self._run(lambda made: made.remove_network(network))
            await _done(self._rows.remove_network(network.id))
        finally:
            self._leaving.discard(network.id)
        self._forget(network)

    def _forget(self, network: Network) -> None:
        self.networks.pop(network.id, None)
        self.names.remove_network(network.id)

    # Sandboxes

    def sandbox(self, sandbox_id: str) -> Sandbox | None:
        """Return an open sandbox."""
        return self._sandboxes.get(sandbox_id)

    def on(self, network: Network) -> list[Endpoint]:
        """Return the endpoints of live sandboxes on a network."""
        return [
            sandbox.endpoints[network.id]
            for sandbox in self._sandboxes.values()
            if network.id in sandbox.endpoints and sandbox.netns >= 0
        ]

    def places(self, sandbox: Sandbox) -> list[Place]:
        """Return where a sandbox is. The kernel's thread asks too, while others change it: hence the copy."""
        here = list(sandbox.endpoints.items())
        return [(self.networks[key], one) for key, one in here if key in self.networks]

    async def open(self, sandbox_id: str, wishes: Sequence[Wish], bindings: Sequence[Binding], owner: str) -> Sandbox:
        """Give a sandbox its addresses and ports of the host.

        Raises NetworkError, PortError; nothing is left then.
        """
        if sandbox_id in self._closing:
            await self._closing[sandbox_id]
        sandbox = Sandbox(sandbox_id)
        try:
            drafts = [draft(sandbox_id, wish, number) for number, wish in enumerate(wishes)]
            if bindings and drafts:
                await self._reserve(sandbox, wishes, bindings, Owner(sandbox_id, owner, drafts[0].id))
            ports = tuple(one.publication for one in sandbox.reserved)
            opened = self._rows.open_sandbox(SandboxRow(sandbox_id, self._boot_id, ports))
            for one, wish in zip(drafts, wishes, strict=True):  # the first shares its commit with the row
                sandbox.endpoints[wish.network.id] = await self._add_endpoint(one, wish)
            await _done(opened)
            sandbox.publications = self._targeted(sandbox, ports)
        except BaseException:
            self._drop_ports(sandbox)
            with contextlib.suppress(Exception):  # the first error is the one to tell; the next start finds the row
                await _done(self._rows.close_sandbox(sandbox_id))
            raise
        self._sandboxes[sandbox_id] = sandbox
        return sandbox

    async def _add_endpoint(self, one: Endpoint, wish: Wish) -> Endpoint:
        if wish.network.id in self._leaving:
            raise NoSuchNetwork(wish.network.name)
        try:
            return await _done(self._rows.add_endpoint(one, ipv4=wish.ipv4, ipv6=wish.ipv6))
        except (AddressInUse, NoAddressLeft):
            await self._wait_for_closing()
            return await _done(self._rows.add_endpoint(one, ipv4=wish.ipv4, ipv6=wish.ipv6))

    async def _wait_for_closing(self) -> None:
        """Wait until sandboxes that just ended have given their places back.

        Whoever was refused one asks again in any case: the last may have gone between the refusal and this.
        """
        await asyncio.gather(*self._closing.values(), return_exceptions=True)

    async def _reserve(
        self, sandbox: Sandbox, wishes: Sequence[Wish], bindings: Sequence[Binding], owner: Owner
    ) -> None:
        ipv4, ipv6 = choose_default([foreseen(wish) for wish in wishes])
        place = ipv4 or ipv6
        if place is None or place[0].driver != "bridge":
            return  # nothing leads there: of an internal, macvlan or ipvlan network, ports are not published
        default_ip = place[0].options.get(OPTION_HOST_BINDING, "")
        default_ip = "" if default_ip == ruleset.ANY4 else default_ip
        reserve = partial(self._ports.reserve, owner, bindings, default_ip=default_ip)
        if is_quick(bindings):
            with contextlib.suppress(PortUnavailable):  # the thread will tell who has it
                sandbox.reserved = reserve(search=False)
                return
        sandbox.reserved = await asyncio.to_thread(reserve)

    def _targeted(self, sandbox: Sandbox, ports: Iterable[Publication]) -> tuple[Publication, ...]:
        """Return the publications with the sandbox's addresses, those with the default routes."""
        return targeted(self.places(sandbox), ports)

    async def plug(self, sandbox: Sandbox, netns: int, resolution: Resolution | None) -> dict[str, int]:
        """Set a sandbox's namespace up; return what its monitor must keep, descriptors that stay ours.

        Args:
            resolution: what its resolver asks; None: it has none.

        Raises:
            NetworkError, OSError: nothing is left in the kernel then; the sandbox is still to be closed.
        """
        places, ports = self.places(sandbox), sandbox.publications

        def plug(kernel: Host) -> list[Endpoint]:
            made = kernel.plug(netns, places, ports)
            sandbox.in_kernel = True  # whoever makes the table anew doesn't forget its ports
            return made

        plugging = self._begin(plug)
        relaying.hold(sandbox, sandbox.port_sockets())
        await self._tend_relays(sandbox)  # meanwhile
        try:
            made = await plugging
        except BridgeFull:
            await self._wait_for_closing()
            made = await self._run(plug)
        sandbox.netns = os.dup(netns)
        for one in made:
            if one != sandbox.endpoints[one.network_id]:
                self._rows.update_endpoint(one)  # after a crash `restore` looks again
            sandbox.endpoints[one.network_id] = one
            self.names.put(one)
        kept = {_NETNS: sandbox.netns}
        if resolution is not None:
            kept |= await self.resolve_in(sandbox, resolution)
        await self._relink()
        self._follow(ports)
        for reserved in sandbox.reserved:
            if reserved.socket is not None:
                reserved.socket.close()  # the monitor has its own since the launch
        sandbox.reserved = []
        return kept

    async def resolve_in(self, sandbox: Sandbox, resolution: Resolution) -> dict[str, int]:
        """Answer names in a sandbox from now on; return what its monitor must keep. Again: change who is asked."""
        if sandbox.resolver is not None:
            sandbox.resolver.forwarder.upstream = resolution.upstream
            sandbox.resolver.forwarder.external = self._external(sandbox)
            return {}
        found = await self._run(lambda kernel: kernel.bind_resolver(sandbox.netns))
        await self._start_resolver(sandbox, found, resolution)
        return {_UDP: found.udp.fileno(), _TCP: found.tcp.fileno()}

    async def _start_resolver(self, sandbox: Sandbox, found: Sockets, resolution: Resolution) -> None:
        if self._exits is None:
            self._exits = Exits()
        forwarder = Forwarder(self._exits, sandbox.netns, resolution.upstream, external=self._external(sandbox))
        sandbox.resolver = Resolver(sandbox.id, found, self.names, forwarder, ndots_given=resolution.ndots_given)
        await sandbox.resolver.start()

    def _external(self, sandbox: Sandbox) -> bool:
        return any(not network.internal and bool(network.gateway(one.ipv4)) for network, one in self.places(sandbox))

    async def _tend_relays(self, sandbox: Sandbox) -> None:
        loopback = self._host.relays_loopback if self._host is not None else bridges_show_ipv6()
        await relaying.tend(self._relays, sandbox, loopback=loopback)

    async def close(self, sandbox_id: str) -> None:
        """Take a sandbox that has ended, or never began, from its networks; the slow part goes on by itself."""
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for one in sandbox.endpoints.values():
            self.names.drop(one.id)
        await relaying.stop(self._relays, sandbox)
        self._drop_ports(sandbox)  # nobody here holds them any more
        if sandbox.resolver is not None:
            await sandbox.resolver.close()
        places = self.places(sandbox)
        plugged = sandbox.netns >= 0
        if plugged:
            os.close(sandbox.netns)
            sandbox.netns = -1
        task = asyncio.get_running_loop().create_task(self._bury(sandbox, places, plugged=plugged))
        self._closing[sandbox_id] = task
        task.add_done_callback(lambda _task: self._closing.pop(sandbox_id, None))

    async def _bury(self, sandbox: Sandbox, places: Sequence[Place], *, plugged: bool) -> None:
        await self._settled.wait()  # before, nobody knows who else lives, and what is there may go all the same
        try:
            if plugged:
                await self._unplug(sandbox, places)
            await self._relink()  # before somebody else gets its addresses
        except Exception as error:  # noqa: BLE001 (told here: nobody waits for it; the next start looks again)
            log.error("taking container %s from its networks: %s", sandbox.id[:12], error)
        try:
            await _done(self._rows.close_sandbox(sandbox.id))
        except Exception as error:  # noqa: BLE001 (as above)
            log.error("the addresses of container %s stay taken until sampand's next start: %s", sandbox.id[:12], error)

    async def _unplug(self, sandbox: Sandbox, places: Sequence[Place]) -> None:
        if sandbox.publications:
            sandbox.served |= await self._run(lambda kernel: kernel.unpublish(sandbox.publications, places))
        served = [one for _network, one in places] if sandbox.served else []
        ends = [one for network, one in places if network.driver == "bridge"]
        await self._reaper.bury(ends, served)

    def _follow(self, ports: Iterable[Publication]) -> None:
        """Forget datagrams that kept coming before their port was published, behind the start that doesn't wait."""
        if datagrams := [one for one in ports if one.protocol == "udp"]:
            self._reaper.follow(datagrams)

    def _reap(self, ends: Sequence[Endpoint], served: Sequence[Endpoint], published: Sequence[Publication]) -> None:
        assert self._host is not None  # it has plugged them
        host.forget_untranslated(self._host.flows, published)
        if ends or served:
            host.reap(ends, served, self._host.flows)

    def _drop_ports(self, sandbox: Sandbox) -> None:
        for reserved in sandbox.reserved:
            if reserved.socket is not None:
                reserved.socket.close()
        sandbox.reserved = []
        self._ports.release(sandbox.id)

    # Live changes

    async def connect(self, sandbox: Sandbox, wish: Wish) -> Endpoint:
        """Plug a live sandbox into one more network. Raises NetworkError, OSError; nothing is left then."""
        async with sandbox.lock:
            places = self.places(sandbox)
            name = await self._run(lambda kernel: kernel.free_name(sandbox.netns, wish.network))
            named = replace(draft(sandbox.id, wish), interface=name)
            one = await self._add_endpoint(named, wish)  # with its name: whoever finds it can take it away
            try:
                made = await self._run(lambda kernel: kernel.connect(sandbox.netns, places, (wish.network, one)))
            except BaseException:
                await _done(self._rows.remove_endpoint(one.id))
                raise
            sandbox.endpoints[wish.network.id] = made
            try:
                if made != one:
                    await _done(self._rows.update_endpoint(made))
                self.names.put(made)
                await self._republish(sandbox, places)
                await self._relink()
            except BaseException:
                await self._take_out(sandbox, wish.network)
                raise
            return made

    async def disconnect(self, sandbox: Sandbox, network: Network) -> Endpoint:
        """Take a live sandbox from a network; return the endpoint that it had there."""
        async with sandbox.lock:
            if network.id not in sandbox.endpoints:
                raise NoSuchNetwork(network.name)
            return await self._take_out(sandbox, network)

    async def _take_out(self, sandbox: Sandbox, network: Network) -> Endpoint:
        before = self.places(sandbox)
        one = sandbox.endpoints.pop(network.id)
        places = self.places(sandbox)
        self.names.drop(one.id)
        await self._republish(sandbox, before)
        await self._run(lambda kernel: kernel.disconnect(sandbox.netns, places, (network, one)))
        await self._relink()
        await _done(self._rows.remove_endpoint(one.id))
        return one

    async def _republish(self, sandbox: Sandbox, before: Sequence[Place]) -> None:
        """Lead the ports to where the default route is now."""
        old, new = sandbox.publications, self._targeted(sandbox, sandbox.publications)
        if not old or (old == new and len(before) == len(sandbox.endpoints)):
            return
        sandbox.publications = new

        def change(kernel: Host) -> bool:
            if old == new:
                kernel.redetour(new, before, self.places(sandbox))
                return False
            served = kernel.unpublish(old, before)
            kernel.publish(new, self.places(sandbox))
            return served

        sandbox.served |= await self._run(change)
        self._follow(new)
        await self._tend_relays(sandbox)

    def rename(self, sandbox_id: str, dns_names: Callable[[Endpoint], tuple[str, ...]]) -> None:
        """Change the names that a sandbox is found by."""
        sandbox = self._sandboxes.get(sandbox_id)
        for key, one in (sandbox.endpoints if sandbox else {}).items():
            renamed = replace(one, dns_names=dns_names(one))
            if renamed == one:
                continue
            assert sandbox is not None
            sandbox.endpoints[key] = renamed
            self._rows.update_endpoint(renamed)
            if sandbox.netns >= 0:
                self.names.put(renamed)


def _endpoints(sandboxes: Iterable[Sandbox]) -> list[Endpoint]:
    return [one for sandbox in sandboxes for one in sandbox.endpoints.values()]


async def _done(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)
