"""A server with a fake engine in this process, and a client that speaks bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

from sampan.api import schema
from sampan.api.server.app import App
from sampan.api.server.http import Server, listen_unix


class Refused(Exception):
    """An engine error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Plan:
    """An attach that hands its connection to the test."""

    def __init__(self, engine: "FakeEngine", terminal: bool) -> None:
        self.engine, self.terminal = engine, terminal

    async def run(self, connection: Any) -> None:
        self.engine.taken.put_nowait(await connection.detach())


class FakeNetworks:
    """The networks of a `FakeEngine`: one, called "n"."""

    def __init__(self, engine: "FakeEngine") -> None:
        self.note = engine.note

    async def create(self, body: Any) -> Any:
        self.note("create", body)
        return schema.NetworkCreated(id="n" * 64)

    async def list(self, filters: Any) -> list[Any]:
        self.note("list", filters)
        return [schema.NetworkResource(name=name, id=name) for name in ("n", "gone")]

    async def inspect(self, ref: str, *, verbose: bool, scope: str) -> Any:
        self.note("inspect", ref, verbose, scope)
        if ref == "gone":
            raise Refused("network gone not found", 404)
        return schema.NetworkResource(name=ref, containers={"c": schema.NetworkContainer(name="web")})

    async def connect(self, ref: str, body: Any) -> None:
        self.note("connect", ref, body)

    async def disconnect(self, ref: str, body: Any) -> None:
        self.note("disconnect", ref, body)

    async def remove(self, ref: str, *, by: Any) -> None:
        self.note("remove", ref, by.what)

    async def prune(self, filters: Any) -> Any:
        self.note("prune", filters)
        return schema.NetworksPruned()


class FakeRegistry:
    """``none`` isn't there; of ``half`` the second half isn't."""

    async def pull(self, image: str, tag: str, *, platform: str, auth: str) -> Any:
        if image == "none":
            raise Refused("there is none", 404)
        yield schema.encode({"status": f"{image}:{tag} for {platform} by {auth}"}) + b"\r\n"
        if image == "half":
            raise Refused("it broke off", 500)

    def push(self, image: str, tag: str, *, platform: str = "", auth: str) -> Any:
        return self.pull(image, tag, platform="nothing", auth=auth)


class FakeEngine:
    """Every part of the facade in one object; it notes its calls and answers what the test set."""

    def __init__(self) -> None:
        self.containers = self.execs = self.images = self.system = self.events = self
        self.calls: list[tuple[str, Any]] = []
        self.networks = FakeNetworks(self)
        self.registry = FakeRegistry()
        self.taken: asyncio.Queue[tuple[socket.socket, bytes]] = asyncio.Queue()
        self.error: Exception | None = None
        self.gate = asyncio.Event()  # what waits, waits for it
        self.ended = asyncio.Event()  # a stream was closed
        self.loaded = 0
        self.load_step = asyncio.Event()
        self.terminal = False
        self.asked_logs: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def logs(self, ref: str, options: Any) -> Any:
        self.asked_logs.put_nowait((ref, options))
        raise Refused("enough", 409)

    def note(self, what: str, *args: Any) -> None:
        self.calls.append((what, args))
        if self.error is not None:
            raise self.error

    async def create(self, *args: Any) -> Any:
        self.note("create", *args)
        if isinstance(args[-1], schema.ExecCreate):
            return "e" * 64
        return schema.ContainerCreated(id="c" * 64)

    async def start(self, ref: str, **rest: Any) -> None:
        self.note("start", ref, rest)
        if rest.get("connection") is not None:
            self.taken.put_nowait(await rest["connection"].detach())

    async def explain_ports(self, ref: str) -> list[Any]:
        self.note("explain_ports", ref)
        return [schema.PortVerdict(port="80/tcp", published="0.0.0.0:8080", who="anybody", verdict="yes", rule="x")]

    async def layers(self) -> list[Any]:
        return [schema.ImageLayers(id="i", layers=[schema.ImageLayer(chain_id="c", size=5)])]

    async def differences(self, first: str, second: str) -> AsyncIterator[list[Any]]:
        self.note("differences", first, second)
        return self._differences(second)

    async def _differences(self, second: str) -> AsyncIterator[list[Any]]:
        yield [schema.ImageDifference(kind="A", path="/x", size=3), schema.ImageDifference(kind="D", path="/y")]
        if second == "broken":
            raise Refused("cannot read the image's layers", 500)

    async def stop(self, ref: str, **rest: Any) -> None:
        self.note("stop", ref, rest)

    async def kill(self, ref: str, **rest: Any) -> None:
        self.note("kill", ref, rest)
        await self.gate.wait()
        self.ended.set()

    async def list(self, **rest: Any) -> list[Any]:
        self.note("list", rest)
        return []

    async def inspect(self, ref: str, **_: Any) -> Any:
        self.note("inspect", ref)
        return schema.ExecInspect(id=ref) if ref.startswith("e") else schema.ContainerInspect(id=ref)

    async def wait(self, ref: str, condition: str) -> Awaitable[schema.ContainerWait]:
        self.note("wait", ref, condition)

        async def ended() -> schema.ContainerWait:
            await self.gate.wait()
            return schema.ContainerWait(status_code=7)

        return ended()

    async def attach(self, ref: str, **rest: Any) -> Plan:
        self.note("attach", ref, rest)
        return Plan(self, self.terminal)

    def subscribe(self, **rest: Any) -> AsyncIterator[schema.Event]:
        self.note("subscribe", rest)
        return self._events()

    async def _events(self) -> AsyncIterator[schema.Event]:
        try:
            for number in range(1_000_000_000):
                yield schema.Event(type="container", action=str(number))
                await self.gate.wait()
        finally:
            self.ended.set()

    async def load(self, body: AsyncIterator[bytes], *, quiet: bool, platform: str = "") -> AsyncIterator[bytes]:
        self.note("load", quiet)
        async for part in body:
            self.loaded += len(part)
            if self.load_step.is_set():
                await self.gate.wait()
        yield b'{"stream":"%d"}\n' % self.loaded


class Wire:
    """One client connection; `say` sends bytes, `head`, `exactly` and `rest` read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, data: bytes) -> "Wire":
        self.writer.write(data)
        return self

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), fields

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of an answer with a length."""
        status, fields = await self.head()
        return status, await self.reader.readexactly(int(fields.get("content-length", 0)))

    async def chunk(self) -> bytes:
        """One chunk of an answer without a length; empty at its end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


class Bench:
    """`async with Bench(tmp_path) as bench`: a server with a fake engine, listening."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.path = directory / "s.sock"
        self.options = options

    async def __aenter__(self) -> "Bench":
        self.engine = FakeEngine()
        self.stopped = asyncio.Event()
        self.server = Server(App(self.engine, self.stopped.set), **self.options)  # type: ignore[arg-type]
        await self.server.add(listen_unix(self.path))
        self.wires: list[Wire] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        for wire in self.wires:
            wire.close()
        await self.server.close(grace=0.0)

    async def wire(self) -> Wire:
        self.wires.append(Wire(*await asyncio.open_unix_connection(str(self.path))))
        return self.wires[-1]

    async def ask(self, method: str, target: str, body: bytes | None = None, *fields: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        wire = await self.wire()
        wire.say(request(method, target, body, *fields))
        try:
            return await wire.answer()
        finally:
            wire.close()


def request(method: str, target: str, body: bytes | None = None, *fields: str) -> bytes:
    """The bytes of a request; a body is JSON unless `fields` say otherwise."""
    lines = [f"{method} {target} HTTP/1.1", "Host: d", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        if not any(field.lower().startswith("content-type") for field in fields):
            lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")
