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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.network.fabric import Sandbox
    from sampan.network.files import Entry
    from sampan.network.resolvconf import Resolution


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
            return netfiles.files(stored, host_hosts, host_resolv)
        addresses = [text for one in self.sandbox.endpoints.values() for text in (one.ipv4, one.ipv6) if text]
        resolution = self.resolution or netfiles.resolution(stored, host_resolv, "legacy")
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
        return Connection(shared=places.shared_with(core.catalog, mode))
    if not places.has_own_network(mode):
        return Connection()
    found = Connection()
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


def _link(core: Core, container: Container, found: Connection) -> None:
    """Add the hosts and the environment of links on the default bridge. Raises Conflict: the other does not run."""
    if container.stored.host.network_mode != DEFAULT_NETWORK:
        return
    default = core.fabric.find(DEFAULT_NETWORK)
    for name, alias in places.links(container.stored.host):
        other = core.catalog.find(name)
        if other is None:  # it was removed, and the link with it
            continue
        sandbox = core.fabric.sandbox(other.id)
        endpoint = sandbox.endpoints.get(default.id) if sandbox is not None else None
        if other.run is None or endpoint is None:
            raise Conflict(f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}")
        hostname = other.stored.config.hostname
        found.links += network_files.link_entries(endpoint.ipv4, endpoint.ipv6, alias, hostname, other.name)
        found.environment += _link_environment(container, other, alias, endpoint.ipv4.partition("/")[0])


def _link_environment(container: Container, other: Container, alias: str, address: str) -> list[str]:
    """Return the variables that tell of a linked container, as dockerd's legacy links do."""
    prefix = alias.upper().replace("-", "_")
    ports = sorted(places.parse_port(port) for port in other.stored.config.exposed_ports or {})
    found = []
    if ports:
        number, protocol = ports[0]
        found.append(f"{prefix}_PORT={protocol}://{address}:{number}")
    for number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found += [
            f"{name}={protocol}://{address}:{number}",
            f"{name}_ADDR={address}",
            f"{name}_PORT={number}",
            f"{name}_PROTO={protocol}",
        ]
    found.append(f"{prefix}_NAME=/{container.name}/{alias}")
    own = [entry for entry in other.stored.config.env or [] if entry.partition("=")[0] not in ("PATH", "HOME")]
    return found + [f"{prefix}_ENV_{entry}" for entry in own]
