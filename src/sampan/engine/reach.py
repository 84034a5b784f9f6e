"""Who reaches the ports of containers: `sampan port --explain`, and what `run` and `start` warn of.

Warnings are looked for at the creation, for clients show them then (`Warnings`), with what is known: everything but
the addresses. And at the start, with everything: they go to sampand's log, into inspect, and to `sampan start`.
Whatever goes wrong in looking is logged and keeps nothing from happening.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.engine import links, places
from sampan.engine.errors import EngineError, NotRunning
from sampan.network import reach
from sampan.network.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.network.sandbox import Sandbox

log = logging.getLogger(__name__)


async def explain(core: Core, container: Container) -> list[schema.PortVerdict]:
    """Return who reaches a container's ports. Raises NotRunning: it has no place on its networks."""
    if container.run is None:
        raise NotRunning(container.id)
    exposed = [places.parse_port(port) for port in container.stored.config.exposed_ports or {}]
    mode = container.stored.host.network_mode
    owner = places.shared_with(core.catalog, mode) if mode.startswith(places.SHARED) else container
    seen = await core.thread(reach.survey, await core.fabric.others(fresh=True))
    if owner.stored.host.network_mode == "host":
        return [_row(one) for one in reach.of_host_network(exposed, seen)]
    sandbox = core.fabric.sandbox(owner.id)
    if sandbox is None:
        nobody = reach.Verdict("", "", "others", reach.NO, "it has no network")
        return [_row(nobody, f"{number}/{protocol}") for number, protocol in exposed]
    ports = reach.Ports(core.fabric.places(sandbox), sandbox.publications, exposed)
    networks = list(core.fabric.networks.values())
    return [_row(one) for one in await core.thread(reach.verdicts, ports, networks, seen, links.wanted(core))]


def _row(one: reach.Verdict, port: str = "") -> schema.PortVerdict:
    return schema.PortVerdict(
        port=port or one.port, published=one.published, who=one.who, verdict=one.answer, rule=one.rule
    )


async def foreseen(core: Core, container: Container) -> list[str]:
    """Return what is to be warned of, of a container that was just created."""
    stored = container.stored
    if not places.has_own_network(stored.host.network_mode):
        return []
    try:
        bindings = places.bindings(stored.config, stored.host)
        if not bindings:
            return []
        wishes = places.wishes(core.fabric, container)
    except (EngineError, NetworkError):  # the start will tell
        return []

    def ports() -> reach.Ports:
        standing = [reach.unplaced(wish.network, ipv4=wish.ipv4, ipv6=wish.ipv6) for wish in wishes]
        return reach.Ports(standing, reach.foresee(standing, bindings))

    return await _warnings(core, ports)


async def warnings(core: Core, container: Container, sandbox: Sandbox | None) -> list[str]:
    """Return what is to be warned of, of a container that starts."""
    if sandbox is None or not sandbox.publications:
        return []
    ports = reach.Ports(core.fabric.places(sandbox), sandbox.publications)
    found = await _warnings(core, lambda: ports)
    for text in found:
        log.warning("container %s: %s", container.short_id, text)
    return found


async def _warnings(core: Core, ports: Callable[[], reach.Ports]) -> list[str]:
    try:
        others = await core.fabric.others()
        if not others.ruleset.chains:
            return []
        networks = list(core.fabric.networks.values())
        return await core.thread(lambda: reach.warnings(ports(), networks, reach.survey(others)))
    except (OSError, ValueError) as error:
        log.warning("it can't be told who reaches the ports that are published: %s", error)
        return []
