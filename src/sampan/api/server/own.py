"""What only Sampan has, under /sampan/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from sampan.api.server.messages import Request, Response, json_response
from sampan.api.server.routing import Route

if TYPE_CHECKING:
    from sampan.api import schema


def routes(stop: Callable[[], None]) -> tuple[Route, ...]:
    """The routes of this module; `stop` makes the daemon end soon after it returns."""

    async def stop_daemon(_: Request) -> Response:
        stop()
        return Response(204)

    return (Route("POST", "/sampan/v1/stop", stop_daemon),)


def explaining(explain_ports: Callable[[str], Awaitable[Sequence[schema.PortVerdict]]]) -> tuple[Route, ...]:
    """The routes that say why things are as they are; `explain_ports` is given a container's name or id."""

    async def ports(request: Request) -> Response:
        return json_response(await explain_ports(request.name))

    return (Route("GET", "/sampan/v1/containers/{name}/ports", ports),)
