"""The networks that are always there, and what the daemon's configuration makes of the default one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, ip_network
from typing import Final

from sampan.network.errors import NetworkError, NetworkInUse
from sampan.network.model import (
    DEFAULT_NETWORK,
    OPTION_HOST_BINDING,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    Network,
)
from sampan.network.pools import DEFAULT_RANGES, Range

log = logging.getLogger(__name__)

PREDEFINED: Final = {DEFAULT_NETWORK: "bridge", "host": "host", "none": "null"}  # name → driver


@dataclass(frozen=True, slots=True)
class Configured:
    """What was configured about networks: where default subnets come from, and the default bridge.

    ``bip``: the bridge's address with its prefix; ``mtu`` in bytes; ``binding_ip``: where ports are published unless
    told; ``icc``: containers on it reach one another; ``masquerade``: they go out with the host's address. "" and 0: as
    without a configuration.
    """

    ranges: Sequence[Range] = DEFAULT_RANGES
    bip: str = ""
    mtu: int = 0
    binding_ip: str = ""
    icc: bool = True
    masquerade: bool = True

    def shape(self, network: Network) -> Network:
        """Return a new predefined network with what was configured, but for its pools."""
        if network.name != DEFAULT_NETWORK:
            return network
        options = {OPTION_MTU: str(self.mtu)} if self.mtu else {}
        options |= {OPTION_HOST_BINDING: self.binding_ip} if self.binding_ip else {}
        options |= {} if self.icc else {OPTION_ICC: "false"}
        options |= {} if self.masquerade else {OPTION_MASQUERADE: "false"}
        return replace(network, options=options, config_given=self._config())

    def _config(self) -> tuple[dict[str, str], ...]:
        if not self.bip:
            return ()
        address = IPv4Interface(self.bip)
        return ({"Subnet": str(address.network), "Gateway": str(address.ip)},)

    def fits(self, network: Network) -> bool:
        """Tell whether the default network that there is has what was configured."""
        wanted = self.shape(network)
        if (wanted.options, wanted.config_given) != (network.options, network.config_given):
            return False
        return bool(self.bip) or all(self._in_ranges(pool.subnet) for pool in network.ipv4)

    def _in_ranges(self, subnet: str) -> bool:
        mine = ip_network(subnet)
        return any(
            mine.version == base.version and mine.prefixlen == one.size and mine.overlaps(base)
            for one in self.ranges
            if (base := ip_network(one.base))
        )


AS_ALWAYS: Final = Configured()


async def reconfigure(
    configured: Configured,
    old: Network,
    remove: Callable[[Network], Awaitable[None]],
    add: Callable[[str, str, Callable[[Network], Network]], Awaitable[Network]],
) -> None:
    """Make the default network ``old`` anew, under its id, if it isn't what was configured and nobody is on it.

    Where that can't be had, as a subnet that another network has, it is told, and the network is as without a
    configuration: containers need one. Raises NetworkError, OSError: not even that is possible.
    """
    if configured.fits(old):
        return
    try:
        await remove(old)
    except NetworkInUse:
        log.warning("containers run on the default bridge: what was configured for it waits for a start without them")
        return
    try:
        await add(old.name, old.driver, lambda network: configured.shape(replace(network, id=old.id)))
    except NetworkError as error:
        log.error("the default bridge can't be had as configured: %s; it is as without a configuration", error)
        await add(old.name, old.driver, lambda network: replace(network, id=old.id))
