"""Networks for unit tests of what only passes by them."""

from typing import Any

from sampan.network.errors import NoSuchNetwork
from sampan.network.model import Endpoint, Network


class NoNetworks:
    """A fabric with the three predefined networks and nobody on them."""

    def __init__(self) -> None:
        names = {"bridge": "bridge", "host": "host", "none": "null"}
        self.networks = {
            f"{number:064x}": Network(f"{number:064x}", name, driver)
            for number, (name, driver) in enumerate(names.items())
        }

    def find(self, ref: str) -> Network:
        for network in self.networks.values():
            if ref in (network.name, network.id):
                return network
        raise NoSuchNetwork(ref)

    def sandbox(self, _sandbox_id: str) -> None:
        return None

    def places(self, _sandbox: object) -> list[tuple[Network, Endpoint]]:
        return []

    def rename(self, _sandbox_id: str, _names: object) -> None:
        return

    async def load(self) -> None: ...
    async def remember(self) -> None: ...
    async def settle(self) -> None: ...
    async def end(self) -> None: ...
    async def close(self, _sandbox_id: str) -> None: ...


def nobody() -> Any:
    """Return such a fabric for an argument of the real type."""
    return NoNetworks()
