"""What only Sampan has, under /sampan/v1."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.server.messages import Request, Response
from sampan.api.server.routing import Route


def routes(stop: Callable[[], None]) -> tuple[Route, ...]:
    """The routes of this module; `stop` makes the daemon end soon after it returns."""

    async def stop_daemon(_: Request) -> Response:
        stop()
        return Response(204)

    return (Route("POST", "/sampan/v1/stop", stop_daemon),)
