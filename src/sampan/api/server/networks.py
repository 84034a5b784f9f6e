"""/networks: list, inspect, create, connect, disconnect, remove, prune."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.api.server.messages import Answer, Request, RequestError, Response, json_response
from sampan.api.server.routing import Route
from sampan.api.server.versions import network_create, network_json, networks_json

if TYPE_CHECKING:
    from sampan.api.server.facade import Networks

_NO_CONTAINERS_SINCE: Final = (1, 28)
_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def routes(networks: Networks) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _NetworksApi(networks)
    one = "/networks/{name}"
    return (
        Route("GET", "/networks", api.list),
        Route("GET", "/networks/", api.list),
        Route("POST", "/networks/create", api.create),
        Route("POST", "/networks/prune", api.prune),
        Route("POST", f"{one}/connect", api.connect),
        Route("POST", f"{one}/disconnect", api.disconnect),
        Route("GET", one, api.inspect),
        Route("DELETE", one, api.remove),
    )


class _NetworksApi:
    """The handlers."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    async def list(self, request: Request) -> Answer:
        found = await self._networks.list(request.query.filters())
        if request.version < _NO_CONTAINERS_SINCE:
            found = [network async for network in self._with_containers(found)]
        return json_response(networks_json(found, request.version))

    async def _with_containers(self, found: Sequence[schema.NetworkResource]) -> AsyncIterator[schema.NetworkResource]:
        """Each network as inspect has it; one that has gone in the meantime is left out."""
        for network in found:
            with contextlib.suppress(LookupError):
                yield await self._inspected(network.id)

    async def _inspected(self, network_id: str) -> schema.NetworkResource:
        try:
            return await self._networks.inspect(network_id, verbose=False, scope="")
        except Exception as error:  # the engine's errors are known here by their status alone; others go on
            if getattr(error, "status", None) == 404:
                raise LookupError(network_id) from error
            raise

    async def inspect(self, request: Request) -> Answer:
        verbose = _verbose(request.query.text("verbose"))
        scope = request.query.text("scope")
        network = await self._networks.inspect(request.name, verbose=verbose, scope=scope)
        return json_response(network_json(network, request.version))

    async def create(self, request: Request) -> Answer:
        body = await request.json(schema.NetworkCreateRequest)
        return json_response(await self._networks.create(network_create(body, request.version)), 201)

    async def connect(self, request: Request) -> Answer:
        await self._networks.connect(request.name, await request.json(schema.NetworkConnect))
        return Response()

    async def disconnect(self, request: Request) -> Answer:
        await self._networks.disconnect(request.name, await request.json(schema.NetworkDisconnect))
        return Response()

    async def remove(self, request: Request) -> Answer:
        await self._networks.remove(request.name, by=request.actor())
        return Response(204)

    async def prune(self, request: Request) -> Answer:
        return json_response(await self._networks.prune(request.query.filters()))


def _verbose(text: str) -> bool:
    """The one flag in a query that dockerd reads strictly."""
    if text and text not in _TRUE and text not in _FALSE:
        raise RequestError(f'invalid value for verbose: {text}: strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE
