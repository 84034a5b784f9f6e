"""The rows that networks need kept: declared here, implemented by ``sampan.state.networks``.

Words.  A *sandbox* is the owner of a network namespace; containers refer to one, their own unless they were told to
        use another's (DESIGN: sandboxes). An endpoint belongs to a sandbox and a network.
Life.   open_sandbox → add_endpoint … → remove_endpoint | close_sandbox. What is there at start and belongs to no live
        monitor is closed.
Every call that writes is one transaction; its future is done once the transaction is on the disk, and fails with a
`sampan.network.errors.NetworkError` or with sqlite3.Error. An address is chosen, and becomes the endpoint's, in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from sampan.network.model import Endpoint, Network, Publication


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """One network namespace in use."""

    id: str  # of the container that it was made for
    boot_id: str  # of the machine's boot that it was opened in: after another it is dead for sure
    publications: tuple[Publication, ...] = ()  # the host's ports that were reserved for it


class NetworkRows(Protocol):
    """What networks ask of the database."""

    def networks(self) -> list[Network]:
        """Return every network, oldest first."""
        ...

    def sandboxes(self) -> list[SandboxRow]:
        """Return every open sandbox, by id."""
        ...

    def endpoints(self) -> list[Endpoint]:
        """Return every endpoint; those of a sandbox in the order in which they were added."""
        ...

    def add_network(self, make: Callable[[Sequence[Network]], Network]) -> Future[Network]:
        """Add what ``make`` returns, which is given all networks; no other write comes between.

        Fails with what ``make`` raises, NetworkNameTaken, PoolOverlap.
        """
        ...

    def check_unused(self, network_id: str) -> Future[None]:
        """See that a network can be removed, after all that was written so far.

        Fails with NetworkInUse when it has endpoints, NoSuchNetwork.
        """
        ...

    def remove_network(self, network_id: str) -> Future[None]:
        """Forget a network. Fails with NetworkInUse when it has endpoints, NoSuchNetwork."""
        ...

    def open_sandbox(self, row: SandboxRow) -> Future[None]:
        """Add a sandbox, or replace its boot id and publications; endpoints that it has stay."""
        ...

    def close_sandbox(self, sandbox_id: str) -> Future[None]:
        """Forget a sandbox and its endpoints, whose addresses are free then; ignored when unknown."""
        ...

    def add_endpoint(self, endpoint: Endpoint, *, ipv4: str = "", ipv6: str = "") -> Future[Endpoint]:
        """Add an endpoint with addresses of its network, and with a link address unless it has one.

        ``ipv4`` and ``ipv6``, if given, are the addresses that are wanted.
        Fails with NoSuchNetwork, AlreadyConnected, AddressInUse, AddressOutside, NoAddressLeft.
        """
        ...

    def update_endpoint(self, endpoint: Endpoint) -> Future[None]:
        """Replace what is known of an endpoint; its network, sandbox and addresses stay. Ignored when unknown."""
        ...

    def remove_endpoint(self, endpoint_id: str) -> Future[None]:
        """Forget an endpoint, whose addresses are free then; ignored when unknown."""
        ...
