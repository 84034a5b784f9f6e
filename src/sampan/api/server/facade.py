# ruff: noqa: A002 (parameters have the names that the Engine API gives them)
"""The engine as this server sees it: what it calls, and nothing more.

Every error that these raise and that has a `.status` is meant for the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

    from sampan.api import schema
    from sampan.api.server.messages import BodyStream
    from sampan.api.server.peercred import Actor

Filters = dict[str, list[str]]


class TakenConnection(Protocol):
    """A client connection that may be taken over."""

    async def detach(self) -> tuple[socket.socket, bytes]:
        """Send the head; the raw socket and the bytes already read from it."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted."""

    stdout: bool
    stderr: bool
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    tail: int | None = None
    """Lines from the end; None: all."""
    since_ns: int | None = None
    until_ns: int | None = None


class AttachPlan(Protocol):
    """An attach that was found possible."""

    @property
    def terminal(self) -> bool:
        """The container has a terminal: its output is one raw stream."""
        ...

    async def run(self, connection: TakenConnection) -> None:
        """Detach the connection and stream over it."""
        ...


class LogStream(Protocol):
    """A log on its way to the client."""

    @property
    def terminal(self) -> bool:
        """As above."""
        ...

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """Framed, unless there is a terminal."""
        ...


class Containers(Protocol):
    """`ref` is an id, an unambiguous prefix of one, or a name."""

    async def create(
        self, name: str | None, body: schema.ContainerCreate, platform: str | None = None
    ) -> schema.ContainerCreated: ...
    async def start(self, ref: str, /, *, detach_keys: str | None = None, by: Actor) -> Sequence[str] | None:
        """Return what the client is to be warned of."""
        ...

    async def stop(self, ref: str, /, *, timeout: int | None, signal: str | None, by: Actor) -> None: ...
    async def restart(self, ref: str, /, *, timeout: int | None, signal: str | None, by: Actor) -> None: ...
    async def kill(self, ref: str, /, *, signal: str | None, by: Actor) -> None: ...
    async def remove(
        self, ref: str, /, *, force: bool = False, volumes: bool = False, link: bool = False, by: Actor
    ) -> None: ...
    async def rename(self, ref: str, /, *, name: str) -> None: ...
    async def wait(self, ref: str, condition: str) -> Awaitable[schema.ContainerWait]: ...
    async def attach(
        self,
        ref: str,
        /,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        stream: bool,
        logs: bool,
        detach_keys: str | None,
        framed: bool,
    ) -> AttachPlan: ...
    async def resize(self, ref: str, /, *, height: int, width: int) -> None: ...
    async def logs(self, ref: str, options: LogOptions) -> LogStream: ...
    async def list(
        self, *, all: bool, limit: int | None, size: bool, filters: Filters
    ) -> Sequence[schema.ContainerSummary]: ...
    async def inspect(self, ref: str, /, *, size: bool = False) -> schema.ContainerInspect: ...
    async def top(self, ref: str, ps_args: str) -> schema.ContainerTop: ...
    async def export(self, ref: str, /) -> AsyncIterator[bytes]: ...
    async def changes(self, ref: str, /) -> Sequence[schema.FilesystemChange]: ...
    async def commit(
        self,
        ref: str,
        /,
        *,
        repo: str,
        tag: str,
        comment: str,
        author: str,
        pause: bool,
        changes: Sequence[str],
        config: schema.ContainerConfig | None,
    ) -> str: ...
    async def explain_ports(self, ref: str) -> Sequence[schema.PortVerdict]: ...


class Execs(Protocol):
    """Exec sessions, by id."""

    async def create(self, container_ref: str, body: schema.ExecCreate) -> str: ...
    async def start(
        self,
        exec_id: str,
        /,
        *,
        detach: bool,
        tty: bool,
        console_size: Sequence[int] | None,
        connection: TakenConnection | None,
    ) -> None: ...
    async def resize(self, exec_id: str, /, *, height: int, width: int) -> None: ...
    async def inspect(self, exec_id: str, /) -> schema.ExecInspect: ...


class ImageService(Protocol):
    """`ref` is a name with or without tag, a name with digest, or an id; `platform` "" is any."""

    async def list(
        self, *, all: bool, filters: Filters, digests: bool, shared_size: bool
    ) -> Sequence[schema.ImageSummary]: ...
    async def inspect(self, ref: str, platform: str = "", /) -> schema.ImageInspect: ...
    async def history(self, ref: str, platform: str = "", /) -> Sequence[schema.ImageHistory]: ...
    async def layers(self) -> Sequence[schema.ImageLayers]: ...
    async def differences(self, first: str, second: str) -> AsyncIterator[Sequence[schema.ImageDifference]]: ...
    async def tag(self, ref: str, repo: str, tag: str) -> None: ...
    async def remove(self, ref: str, /, *, force: bool, noprune: bool) -> Sequence[schema.ImageDelete]: ...
    async def save(self, names: Sequence[str], platform: str = "", /) -> AsyncIterator[bytes]: ...
    def load(self, body: BodyStream, *, quiet: bool, platform: str = "") -> AsyncIterator[bytes]: ...
    async def import_(
        self,
        body: BodyStream,
        *,
        repo: str,
        tag: str,
        message: str,
        changes: Sequence[str],
        platform: str | None,
    ) -> str: ...


class Registry(Protocol):
    """`auth` is the value of X-Registry-Auth, "" for none. Streams may raise before their first message."""

    def pull(self, image: str, tag: str, *, platform: str, auth: str) -> AsyncIterator[bytes]: ...
    def push(self, image: str, tag: str, *, platform: str = "", auth: str) -> AsyncIterator[bytes]: ...
    def import_url(
        self, url: str, *, repo: str, tag: str, message: str, changes: Sequence[str], platform: str | None
    ) -> AsyncIterator[bytes]: ...
    async def login(self, auth: schema.AuthConfig, /) -> schema.AuthStatus: ...
    async def inspect(self, image: str, *, auth: str) -> schema.DistributionInspect: ...
    async def search(
        self, term: str, *, limit: int | None, filters: Filters, auth: str
    ) -> Sequence[schema.SearchResult]: ...


class Networks(Protocol):
    """`ref` is a name, an id, or an unambiguous prefix of one."""

    async def create(self, body: schema.NetworkCreateRequest) -> schema.NetworkCreated: ...
    async def list(self, filters: Filters) -> Sequence[schema.NetworkResource]: ...
    async def inspect(self, ref: str, /, *, verbose: bool, scope: str) -> schema.NetworkResource:
        """`scope` "" is any."""
        ...

    async def connect(self, ref: str, body: schema.NetworkConnect) -> None: ...
    async def disconnect(self, ref: str, body: schema.NetworkDisconnect) -> None: ...
    async def remove(self, ref: str, /, *, by: Actor) -> None: ...
    async def prune(self, filters: Filters) -> schema.NetworksPruned: ...


class Disk(Protocol):
    """What is on the disk, and clean-up."""

    async def usage(self, types: Sequence[str]) -> schema.DiskUsage: ...
    async def holdings(self) -> schema.DiskHoldings: ...
    async def prune_containers(self, filters: Filters, *, by: Actor) -> schema.ContainersPruned: ...
    async def prune_images(self, filters: Filters) -> schema.ImagesPruned: ...
    async def prune_volumes(self, filters: Filters) -> schema.VolumesPruned: ...
    async def prune_build_cache(self, filters: Filters) -> schema.CachesPruned: ...


class System(Protocol):
    """The daemon and the machine."""

    async def version(self) -> schema.Version: ...
    async def info(self) -> schema.Info: ...


class EventBus(Protocol):
    """What happens."""

    def subscribe(self, *, since: int | None, until: int | None, filters: Filters) -> AsyncIterator[schema.Event]: ...


class Engine(Protocol):
    """All of it."""

    @property
    def containers(self) -> Containers: ...
    @property
    def execs(self) -> Execs: ...
    @property
    def images(self) -> ImageService: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def networks(self) -> Networks: ...
    @property
    def disk(self) -> Disk: ...
    @property
    def system(self) -> System: ...
    @property
    def events(self) -> EventBus: ...
