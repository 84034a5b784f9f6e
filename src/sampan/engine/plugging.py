"""The network part of a start: addresses and ports before the launch, the namespace during it.

Life.   prepare → (files and specification are written) → the launch calls `Connection.plug` → … → Fabric.close at exit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sampan.engine import netfiles, places
from sampan.engine.errors import Conflict
from sampan.linux import hostfiles
from sampan.network import files as network_files
from sampan.network.model import DEFAULT_NETWORK
from sampan.network.resolvconf import Overrides

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.network.files import Entry
    from sampan.network.model import Endpoint
    from sampan.network.resolvconf import Resolution
    from sampan.network.sandbox import Sandbox


@dataclass(slots=True)
class Connection:
    """What a start needs to know of the container's network.

    Attributes:
        sandbox: of a container with a namespace of its own, plugged into networks.
        shared: whose namespace it is, of one that has none of its own.
        plug, keep: for the launch.
        environment: what links add.
    """

    sandbox: Sandbox | None = None
    shared: Container | None = None
    resolution: Resolution | None = None
    plug: Callable[[int], Awaitable[dict[str, int]]] | None = None
    keep: dict[str, int] = field(default_factory=dict)
    links: list[Entry] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    dns: Overrides = field(default_factory=Overrides)  # the daemon's defaults
    gateways: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Return the path of the namespace to join; "" for a new one."""
        if self.shared is None or self.shared.run is None:
            return ""
        return f"/proc/{self.shared.run.monitor.init_pid}/ns/net"

    def files(self, container: Container) -> dict[str, bytes]:
        """Return the contents of hosts, hostname and resolv.conf. Blocking."""
        stored = container.stored
        host_hosts, host_resolv = hostfiles.read("/etc/hosts"), hostfiles.read("/etc/resolv.conf")
        if self.sandbox is None:
            return netfiles.files(stored, host_hosts, host_resolv, self.dns)
        addresses = [text for one in self.sandbox.endpoints.values() for text in (one.ipv4, one.ipv6) if text]
        resolution = self.resolution or netfiles.resolution(stored, host_resolv, "legacy", defaults=self.dns)
        return {
            "hostname": netfiles.hostname(stored),
            "hosts": netfiles.hosts(stored, b"", addresses, links=self.links, gateways=self.gateways),
            **network_files.resolv_files(resolution.content),
        }


async def prepare(core: Core, container: Container) -> Connection:
    """Give a container that is about to start its addresses and ports.

    Raises NetworkError, PortError, EngineError; nothing is left then.
    """
    mode = container.stored.host.network_mode
    if mode.startswith(places.SHARED):
        owner = places.shared_with(core.catalog, mode)
        await _take_names(core, container, owner)
        return Connection(shared=owner, dns=core.settings.dns)
    if not places.has_own_network(mode):
        return Connection(dns=core.settings.dns)
    found = Connection(dns=core.settings.dns)
    _link(core, container, found)
    wishes = places.wishes(core.fabric, container)
    ports = places.bindings(container.stored.config, container.stored.host)
    sandbox = found.sandbox = await core.fabric.open(container.id, wishes, ports, container.name)
    found.resolution = resolution = core.resolution(container, sandbox)
    found.gateways = places.gateways(core.fabric, core.fabric.places(sandbox))
    found.keep = sandbox.port_sockets()

    async def plug(netns: int) -> dict[str, int]:
        return await core.fabric.plug(sandbox, netns, resolution)

    found.plug = plug
    return found


async def _take_names(core: Core, container: Container, owner: Container) -> None:
    """Give a container the host name of the one whose network it shares, and record it."""
    own, theirs = container.stored.config, owner.stored.config
    if (own.hostname, own.domainname) != (theirs.hostname, theirs.domainname):
        own.hostname, own.domainname = theirs.hostname, theirs.domainname
        await core.durable(core.rows.set_config(container.id, container.row("").config))


@dataclass(frozen=True, slots=True)
class Linked:
    """A container that another is linked to on the default bridge; ``endpoint`` None: it isn't there now."""

    other: Container
    alias: str
    endpoint: Endpoint | None

    def entries(self) -> list[Entry]:
        """Return its lines of /etc/hosts."""
        if self.endpoint is None:
            return []
        hostname = self.other.stored.config.hostname
        return network_files.link_entries(self.endpoint.ipv4, self.endpoint.ipv6, self.alias, hostname, self.other.name)

    def environment(self, own_name: str) -> list[str]:
        """Return the variables that tell the container ``own_name`` of it, as dockerd's legacy links do."""
        if self.endpoint is None:
            return []
        config, address = self.other.stored.config, self.endpoint.ipv4.partition("/")[0]
        prefix = self.alias.upper().replace("-", "_")
        ports = sorted(places.parse_port(port) for port in config.exposed_ports or {})
        found = [f"{prefix}_PORT={protocol}://{address}:{number}" for number, protocol in ports[:1]]
        for number, protocol in ports:
            name = f"{prefix}_PORT_{number}_{protocol.upper()}"
            found += [
                f"{name}={protocol}://{address}:{number}",
                f"{name}_ADDR={address}",
                f"{name}_PORT={number}",
                f"{name}_PROTO={protocol}",
            ]
        found.append(f"{prefix}_NAME=/{own_name}/{self.alias}")
        told = [entry for entry in config.env or [] if entry.partition("=")[0] not in ("PATH", "HOME")]
        return found + [f"{prefix}_ENV_{entry}" for entry in told]


def linked(core: Core, container: Container) -> list[Linked]:
    """Return what a container is linked to on the default bridge; a link ends with the container that it leads to."""
    if container.stored.host.network_mode != DEFAULT_NETWORK or not container.stored.host.links:
        return []
    default = core.fabric.find(DEFAULT_NETWORK)
    found = []
    for name, alias in places.links(container.stored.host):
        other = core.catalog.find(name)
        if other is not None:
            sandbox = core.fabric.sandbox(other.id)
            endpoint = sandbox.endpoints.get(default.id) if sandbox is not None and other.run is not None else None
            found.append(Linked(other, alias, endpoint))
    return found


def _link(core: Core, container: Container, found: Connection) -> None:
    """Add the hosts and the environment of links. Raises Conflict: one that is linked to does not run."""
    for one in linked(core, container):
        if one.endpoint is None:
            path = f"/{one.other.name} AS /{container.name}/{one.alias}"
            raise Conflict(f"Cannot link to a non running container: {path}")
        found.links += one.entries()
        found.environment += one.environment(container.name)
