"""/_ping, /version, /info, /events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.api.server.messages import Answer, Headers, Request, RequestError, Response, Stream, json_response
from sampan.api.server.routing import Route
from sampan.api.server.versions import info_json

if TYPE_CHECKING:
    from sampan.api.server.facade import Engine

_PING_HEADERS: Final[Headers] = (
    ("Builder-Version", "1"),  # the classic builder: there is no BuildKit API here
    ("Swarm", "inactive"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)
_PING: Final = Response(200, b"OK", "text/plain; charset=utf-8", _PING_HEADERS)
_PING_HEAD: Final = Response(200, b"", "text/plain; charset=utf-8", _PING_HEADERS)


def routes(engine: Engine) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _SystemApi(engine)
    return (
        Route("GET", "/_ping", api.ping),
        Route("HEAD", "/_ping", api.ping),
        Route("GET", "/version", api.version),
        Route("GET", "/info", api.info),
        Route("GET", "/events", api.events, endless=True),
    )


class _SystemApi:
    """The handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ping(self, request: Request) -> Answer:
        return _PING_HEAD if request.method == "HEAD" else _PING

    async def version(self, _: Request) -> Answer:
        return json_response(await self._engine.system.version())

    async def info(self, request: Request) -> Answer:
        return json_response(info_json(await self._engine.system.info(), request.version))

    async def events(self, request: Request) -> Answer:
        query = request.query
        since, until = query.time_ns("since"), query.time_ns("until")
        if since is not None and until is not None and since > until:
            raise RequestError(
                f"`since` time ({query.text('since')}) cannot be after `until` time ({query.text('until')})"
            )
        found = self._engine.events.subscribe(since=since, until=until, filters=query.filters())
        return Stream(_event_lines(found), "application/json", endless=True)


async def _event_lines(events: AsyncIterator[schema.Event]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield schema.encode(event) + b"\n"
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
