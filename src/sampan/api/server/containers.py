"""/containers: create, list, inspect, start, stop, wait, attach, logs …"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.api.server import streams
from sampan.api.server.facade import LogOptions
from sampan.api.server.messages import TAKEN, Answer, Request, RequestError, Response, Stream, json_response, told
from sampan.api.server.routing import Route
from sampan.api.server.versions import container_create, container_json, summary_json
from sampan.api.server.websocket import WebSocketTaken, handshake

if TYPE_CHECKING:
    from sampan.api.server.facade import Containers, Engine

WARNINGS: Final = "Sampan-Warnings"  # of a start, whose answer has no body: texts as JSON
_WAIT_CONDITIONS: Final = ("not-running", "next-exit", "removed")
_CONDITIONS_SINCE: Final = (1, 30)
_STOP_SIGNAL_SINCE: Final = (1, 42)
_WS_STREAMS_SINCE: Final = (1, 42)


def routes(engine: Engine) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _ContainersApi(engine.containers)
    one = "/containers/{name}"
    return (
        Route("POST", "/containers/create", api.create),
        Route("GET", "/containers/json", api.list),
        Route("GET", f"{one}/json", api.inspect),
        Route("GET", f"{one}/top", api.top),
        Route("GET", f"{one}/logs", api.logs),
        Route("GET", f"{one}/export", api.export),
        Route("GET", f"{one}/changes", api.changes),
        Route("POST", "/commit", api.commit),
        Route("POST", f"{one}/start", api.start),
        Route("POST", f"{one}/stop", api.stop),
        Route("POST", f"{one}/restart", api.restart),
        Route("POST", f"{one}/kill", api.kill),
        Route("POST", f"{one}/rename", api.rename),
        Route("POST", f"{one}/resize", api.resize),
        Route("POST", f"{one}/wait", api.wait, endless=True),
        Route("POST", f"{one}/attach", api.attach, takes=True),
        Route("GET", f"{one}/attach/ws", api.attach_websocket, takes=True),
        Route("DELETE", one, api.remove),
    )


class _ContainersApi:
    """The handlers."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    async def create(self, request: Request) -> Answer:
        request.check_json()
        value = schema.decode_any(await request.read())
        body = schema.convert(value, schema.ContainerCreate)
        if not schema.CONFIG_KEYS.intersection(key.lower() for key in value or ()):
            raise RequestError("config cannot be empty in order to create a container")
        query, warnings = request.query, container_create(body, request.version)
        created = await self._containers.create(query.text("name") or None, body, query.text("platform") or None)
        created.warnings = [*created.warnings, *warnings]
        return json_response(created, 201)

    async def list(self, request: Request) -> Answer:
        query = request.query
        found = await self._containers.list(
            all=query.flag("all"), limit=query.number("limit"), size=query.flag("size"), filters=query.filters()
        )
        return json_response(summary_json(found, request.version))

    async def inspect(self, request: Request) -> Answer:
        found = await self._containers.inspect(request.name, size=request.query.flag("size"))
        return json_response(container_json(found, request.version))

    async def top(self, request: Request) -> Answer:
        return json_response(await self._containers.top(request.name, request.query.text("ps_args")))

    async def export(self, request: Request) -> Answer:
        return Stream(await self._containers.export(request.name), "application/octet-stream", eager=False)

    async def changes(self, request: Request) -> Answer:
        return json_response(await self._containers.changes(request.name))

    async def commit(self, request: Request) -> Answer:
        request.check_json()
        raw, query = await request.read() if request.body_expected else b"", request.query
        body = schema.decode_any(raw) if raw.strip() else None
        made = await self._containers.commit(
            query.text("container"),
            repo=query.text("repo"),
            tag=query.text("tag"),
            comment=query.text("comment"),
            author=query.text("author"),
            pause=query.flag("pause", default=True),
            changes=query.all("changes"),
            config=None if body is None else schema.convert(body, schema.ContainerConfig),
        )
        return json_response(schema.Committed(id=made), 201)

    async def start(self, request: Request) -> Answer:
        warnings = await self._containers.start(
            request.name, detach_keys=request.query.text("detachKeys") or None, by=request.actor()
        )
        return Response(204, headers=((WARNINGS, json.dumps(list(warnings))),) if warnings else ())

    async def stop(self, request: Request) -> Answer:
        await self._containers.stop(
            request.name, timeout=request.query.number("t"), signal=_stop_signal(request), by=request.actor()
        )
        return Response(204)

    async def restart(self, request: Request) -> Answer:
        await self._containers.restart(
            request.name, timeout=request.query.number("t"), signal=_stop_signal(request), by=request.actor()
        )
        return Response(204)

    async def kill(self, request: Request) -> Answer:
        await self._containers.kill(request.name, signal=request.query.text("signal") or None, by=request.actor())
        return Response(204)

    async def rename(self, request: Request) -> Answer:
        await self._containers.rename(request.name, name=request.query.text("name"))
        return Response(204)

    async def resize(self, request: Request) -> Answer:
        height, width = request.query.required_number("h"), request.query.required_number("w")
        await self._containers.resize(request.name, height=height, width=width)
        return Response()

    async def remove(self, request: Request) -> Answer:
        query = request.query
        await self._containers.remove(
            request.name,
            force=query.flag("force"),
            volumes=query.flag("v"),
            link=query.flag("link"),
            by=request.actor(),
        )
        return Response(204)

    async def wait(self, request: Request) -> Answer:
        condition = request.query.text("condition", _WAIT_CONDITIONS[0]) or _WAIT_CONDITIONS[0]
        if request.version < _CONDITIONS_SINCE:
            condition = _WAIT_CONDITIONS[0]
        if condition not in _WAIT_CONDITIONS:
            raise RequestError(f'invalid condition: "{condition}"')
        ended = await self._containers.wait(request.name, condition)
        return Stream(_wait_chunks(ended), "application/json", endless=True)

    async def logs(self, request: Request) -> Answer:
        query = request.query
        options = LogOptions(
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            follow=query.flag("follow"),
            timestamps=query.flag("timestamps"),
            details=query.flag("details"),
            tail=_tail(query.text("tail")),
            since_ns=query.time_ns("since"),
            until_ns=query.time_ns("until") or None,
        )
        if not options.stdout and not options.stderr:
            raise RequestError("Bad parameters: you must choose at least one stream")
        log = await self._containers.logs(request.name, options)
        kind = streams.content_type(request, terminal=log.terminal)
        return Stream(log.chunks, kind, endless=options.follow)

    async def attach(self, request: Request) -> Answer:
        query = request.query
        try:
            plan = await self._containers.attach(
                request.name,
                stdin=query.flag("stdin"),
                stdout=query.flag("stdout"),
                stderr=query.flag("stderr"),
                stream=query.flag("stream"),
                logs=query.flag("logs"),
                detach_keys=query.text("detachKeys") or None,
                framed=True,
            )
        except Exception as error:  # noqa: BLE001 (told to the client, or raised again)
            return await _refuse_attach(request, error)
        await plan.run(request.take(streams.upgrade_head(request, terminal=plan.terminal)))
        return TAKEN

    async def attach_websocket(self, request: Request) -> Answer:
        query, head = request.query, handshake(request)
        every = request.version < _WS_STREAMS_SINCE
        plan = await self._containers.attach(
            request.name,
            stdin=every or query.flag("stdin"),
            stdout=every or query.flag("stdout"),
            stderr=every or query.flag("stderr"),
            stream=query.flag("stream", default=True),
            logs=query.flag("logs"),
            detach_keys=query.text("detachKeys") or None,
            framed=False,
        )
        taken = WebSocketTaken(request.take(head))
        await plan.run(taken)
        if taken.relay is not None:
            await taken.relay
        return TAKEN


async def _refuse_attach(request: Request, error: Exception) -> Answer:
    """dockerd has taken the connection over by the time it finds out, and says it in plain text."""
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        raise error
    sock, _ = await request.take(streams.refusal(error, status)).detach()
    sock.close()
    return TAKEN


def _stop_signal(request: Request) -> str | None:
    if request.version < _STOP_SIGNAL_SINCE:
        return None
    return request.query.text("signal") or None


def _tail(text: str) -> int | None:
    """A number of lines; everything else, "all" among it, means all."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _wait_chunks(ended: Awaitable[schema.ContainerWait]) -> AsyncIterator[bytes]:
    """Nothing until the container has ended. The head is out by then, so even a failure is an answer."""
    try:
        outcome = await ended
    except Exception as error:  # noqa: BLE001 (the client is told, as it would be by an error answer)
        outcome = schema.ContainerWait(status_code=-1, error=schema.WaitError(message=told(error, "wait")))
    yield schema.encode(outcome) + b"\n"
