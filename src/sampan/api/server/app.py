"""The application behind the HTTP server: the table of routes, and errors turned into answers."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sampan import __version__
from sampan.api import schema
from sampan.api.server import containers, disk, execs, images, networks, own, registries, system
from sampan.api.server.messages import Answer, ClientGone, Headers, Request, Response, json_response, told
from sampan.api.server.routing import MAX_VERSION, Route, Table, dotted, resolve

if TYPE_CHECKING:
    from sampan.api.server.facade import Engine

HEADERS: Final[Headers] = (
    ("Api-Version", dotted(MAX_VERSION)),
    ("Docker-Experimental", "false"),
    ("Ostype", platform.system().lower()),
    ("Server", f"Sampan/{__version__} ({platform.system().lower()})"),
)


class App:
    """Routes requests to the engine. `stop` is called when a client asks the daemon to end."""

    def __init__(self, engine: Engine, stop: Callable[[], None]) -> None:
        self.headers = HEADERS
        self._table = Table(
            (
                *system.routes(engine),
                *containers.routes(engine),
                *execs.routes(engine),
                *images.routes(engine),
                *registries.routes(engine.registry),
                *networks.routes(engine.networks),
                *disk.routes(engine),
                *own.routes(stop),
                *own.explaining(engine.containers.explain_ports),
                *own.comparing(engine.images),
            )
        )

    def route(self, request: Request) -> Route:
        """The route of a request whose head has just been read."""
        return resolve(self._table, request)

    async def answer(self, request: Request, route: Route) -> Answer:
        """What the handler says; an error as JSON, by its `status`. Raises ClientGone and CancelledError."""
        try:
            return await route.handler(request)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a handler raises, the client gets an answer)
            return error_response(error, f"{request.method} {request.path}")


def error_response(error: Exception, what: str) -> Response:
    """Docker's error answer, by the error's status."""
    message, status = told(error, what), getattr(error, "status", 500)
    if status == 304:
        return Response(304)
    return json_response(schema.ErrorBody(message=message), status)
