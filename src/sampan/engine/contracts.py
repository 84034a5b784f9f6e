"""What the engine is handed by those above it, as it sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

Filters = dict[str, list[str]]


class Actor(Protocol):
    """Who asked for what, for the sentence why a container ended."""

    @property
    def what(self) -> str:
        """Method and path: "POST /containers/x/stop"."""
        ...

    @property
    def pid(self) -> int:
        """The client's pid, 0 if unknown."""
        ...

    @property
    def uid(self) -> int:
        """The client's uid, -1 if unknown."""
        ...

    @property
    def comm(self) -> str:
        """The client's command name, "" if unknown."""
        ...


class LogOptions(Protocol):
    """What of a log is wanted; times in nanoseconds since 1970."""

    @property
    def stdout(self) -> bool: ...
    @property
    def stderr(self) -> bool: ...
    @property
    def follow(self) -> bool: ...
    @property
    def timestamps(self) -> bool: ...
    @property
    def details(self) -> bool: ...
    @property
    def tail(self) -> int | None: ...
    @property
    def since_ns(self) -> int | None: ...
    @property
    def until_ns(self) -> int | None: ...


class TakenConnection(Protocol):
    """A client's connection that may be taken over."""

    async def detach(self) -> tuple[socket.socket, bytes]:
        """Send the head; return the raw socket and the bytes already read. Raises ConnectionResetError."""
        ...


class BodyStream(Protocol):
    """A request's body."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
