"""What ``--link`` opens: ports of a container, for one that is linked to it, where a network is closed within.

On the default bridge links are the container's, on other networks those of its place there. dockerd opens nothing on
the latter; there a link would be a name of somebody who doesn't answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.engine import places
from sampan.network.model import DEFAULT_NETWORK, OPTION_ICC
from sampan.network.ruleset import Link, bare, enabled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.network.model import Network


def wanted(core: Core) -> frozenset[Link]:
    """Return everything that links open, of the containers that run."""
    quiet = [one for one in core.fabric.networks.values() if not enabled(one.options, OPTION_ICC)]
    if not quiet:
        return frozenset()
    return frozenset(link for container in core.catalog for network in quiet for link in _of(core, container, network))


def _of(core: Core, container: Container, network: Network) -> Iterator[Link]:
    """Yield what the links of one container open on one network."""
    source = _address(core, container, network)
    for name in _linked(container, network) if source else ():
        other = core.catalog.find(name)
        target = _address(core, other, network) if other is not None else ""
        if other is None or not target:
            continue
        ports = {*(other.stored.config.exposed_ports or {}), *(other.stored.host.port_bindings or {})}
        for number, protocol in map(places.parse_port, ports):
            yield Link(source, target, protocol, number)


def _linked(container: Container, network: Network) -> list[str]:
    """Return the names of the containers that one is linked to."""
    if network.name == DEFAULT_NETWORK:
        texts = container.stored.host.links if container.stored.host.network_mode == DEFAULT_NETWORK else []
    else:
        settings = places.settings_of(container).get(network.name)
        texts = settings.links if settings is not None else []
    return [text.partition(":")[0].removeprefix("/") for text in texts or []]


def _address(core: Core, container: Container, network: Network) -> str:
    sandbox = core.fabric.sandbox(container.id)
    endpoint = sandbox.endpoints.get(network.id) if sandbox is not None else None
    return bare(endpoint.ipv4) if endpoint is not None else ""
