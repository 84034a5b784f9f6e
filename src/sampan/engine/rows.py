"""The rows that containers need kept: declared here, implemented by ``sampan.state.containers``.

Every call that writes is one transaction; its future is done once the transaction is on the disk.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One container."""

    id: str  # 64 hexadecimal digits
    name: str  # without the leading slash
    created: int  # nanoseconds since 1970
    image_id: str  # "sha256:…"
    config: bytes  # JSON of what it was created with
    state: bytes  # JSON of how it is
    boot_id: str  # of the machine's boot during which the state was written


class ContainerRows(Protocol):
    """What the engine asks of the database."""

    def all(self) -> list[ContainerRow]:
        """Return every container, oldest first."""
        ...

    def insert(self, row: ContainerRow) -> Future[None]:
        """Add a container. The future fails with sqlite3.IntegrityError when another row has the name."""
        ...

    def set_state(self, container_id: str, state: bytes, boot_id: str) -> Future[None]:
        """Replace the state: a start or an exit."""
        ...

    def set_config(self, container_id: str, config: bytes) -> Future[None]:
        """Replace what it was created with: a network that it was connected to or taken from."""
        ...

    def rename(self, container_id: str, name: str) -> Future[None]:
        """Give it another name."""
        ...

    def delete(self, container_id: str) -> Future[None]:
        """Forget it; ignored when unknown."""
        ...

    def engine_id(self, fresh: str) -> str:
        """Return this data root's lasting id; the first call decides that it is ``fresh``."""
        ...
