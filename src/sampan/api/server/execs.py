"""/exec, and its creation under /containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.api.server import streams
from sampan.api.server.messages import TAKEN, Answer, Request, RequestError, Response, json_response
from sampan.api.server.routing import Route

if TYPE_CHECKING:
    from sampan.api.server.facade import Engine, Execs


def routes(engine: Engine) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _ExecsApi(engine.execs)
    return (
        Route("POST", "/containers/{name}/exec", api.create),
        Route("GET", "/exec/{name}/json", api.inspect),
        Route("POST", "/exec/{name}/start", api.start, takes=True),
        Route("POST", "/exec/{name}/resize", api.resize),
    )


class _ExecsApi:
    """The handlers."""

    def __init__(self, execs: Execs) -> None:
        self._execs = execs

    async def create(self, request: Request) -> Answer:
        body = await request.json(schema.ExecCreate)
        if not body.cmd:
            raise RequestError("No exec command specified")
        return json_response(schema.ExecCreated(id=await self._execs.create(request.name, body)), 201)

    async def start(self, request: Request) -> Answer:
        body = await request.json(schema.ExecStart)
        connection = None if body.detach else request.take(streams.upgrade_head(request, terminal=body.tty))
        await self._execs.start(
            request.name,
            detach=body.detach,
            tty=body.tty,
            console_size=body.console_size,
            connection=connection,
        )
        return Response() if connection is None else TAKEN

    async def inspect(self, request: Request) -> Answer:
        return json_response(await self._execs.inspect(request.name))

    async def resize(self, request: Request) -> Answer:
        height, width = request.query.required_number("h"), request.query.required_number("w")
        await self._execs.resize(request.name, height=height, width=width)
        return Response()
