"""A container as the engine keeps it: what it was created with, how it is, and what waits for it.

Words.  *run*: from one start to its exit.  *pending attachment*: a client that attached before the start.
        *reason*: one sentence that says why the last run ended.
Life.   created → running → exited → running → … → removed.
Locks.  ``lock`` is held while a state changes (start, exit, removal, rename), never while an exit is waited for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from sampan.api import schema
from sampan.engine.rows import ContainerRow

if TYPE_CHECKING:
    from sampan.runtime.supervisor import Attachment, Monitor

SHORT: Final = 12  # digits of an id as people see it

Status = Literal["created", "running", "exited"]


class State(msgspec.Struct, omit_defaults=True):
    """How a container is; kept as JSON. Times are nanoseconds since 1970, 0: never."""

    status: Status = "created"
    started: int = 0
    finished: int = 0
    exit_code: int = 0
    error: str = ""
    oom: bool = False
    reason: str = ""


class Stored(msgspec.Struct, omit_defaults=True):
    """What a container was created with, image defaults merged in; kept as JSON."""

    config: schema.ContainerConfig
    host: schema.HostConfig
    path: str
    args: list[str]
    driver: str
    networking: schema.NetworkingConfig = msgspec.field(default_factory=schema.NetworkingConfig)


@dataclass(slots=True)
class Run:
    """One run: its monitor and who waits for its end."""

    monitor: Monitor
    ended: asyncio.Future[int]  # the exit code, once the exit is recorded
    asked: str = ""  # who asked for the end, for the reason
    unanswered: str = ""  # what was tried in vain, for the reason
    warnings: list[str] = field(default_factory=list)  # what is to be said of its published ports
    restarting: bool = False  # the end is half of a restart: --rm does not apply


@dataclass(slots=True, eq=False)
class Container:
    """One container, from its creation to its removal."""

    id: str
    name: str
    created: int
    image_id: str
    stored: Stored
    state: State
    run: Run | None = None
    removing: bool = False
    renamed: bool = False  # in this life of sampand
    starting: bool = False
    clearing: asyncio.Task[None] | None = None  # of the last run's directory
    unrecorded: bool = False  # the last exit is in the run directory only: the disk took no more
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: list[Attachment] = field(default_factory=list)
    exit_waiters: list[asyncio.Future[int]] = field(default_factory=list)
    removal_waiters: list[asyncio.Future[int]] = field(default_factory=list)
    exec_ids: list[str] = field(default_factory=list)

    @property
    def short_id(self) -> str:
        """The id as people see it."""
        return self.id[:SHORT]

    @property
    def running(self) -> bool:
        """Whether a program of it runs now."""
        return self.state.status == "running"

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return self.stored.config.tty

    @property
    def status(self) -> str:
        """The state in the API's word."""
        return "removing" if self.removing else self.state.status

    def attributes(self) -> dict[str, str]:
        """What its events carry."""
        return {**(self.stored.config.labels or {}), "image": self.stored.config.image, "name": self.name}

    def row(self, boot_id: str) -> ContainerRow:
        """The container as it is kept."""
        return ContainerRow(
            self.id, self.name, self.created, self.image_id, encode(self.stored), encode(self.state), boot_id
        )

    def resolve_exit(self, code: int) -> None:
        """Answer those who wait for the end of this or the next run."""
        _resolve(self.exit_waiters, code)

    def resolve_removal(self) -> None:
        """Answer everybody: there will be no further run."""
        _resolve(self.exit_waiters, self.state.exit_code)
        _resolve(self.removal_waiters, self.state.exit_code)

    def close_pending(self) -> None:
        """Hang up on clients that attached and will see no start."""
        for attachment in self.pending:
            attachment.socket.close()
        self.pending.clear()


def _resolve(waiters: list[asyncio.Future[int]], code: int) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(code)
    waiters.clear()


def encode(value: State | Stored) -> bytes:
    """A part of a container as JSON."""
    return msgspec.json.encode(value)


_STATES: Final = msgspec.json.Decoder(State)
_STORED: Final = msgspec.json.Decoder(Stored)


def from_row(row: ContainerRow) -> Container:
    """The container of a row."""
    stored, state = _STORED.decode(row.config), _STATES.decode(row.state)
    return Container(row.id, row.name, row.created, row.image_id, stored, state)
