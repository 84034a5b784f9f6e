"""What is on the disk, and clean-up: /system/df, the prune end points, /sampan/v1/system/disk.

The engine comes whole and its part is looked up at each request: the routes can be made for an engine that has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sampan.api.server.messages import Answer, Request, RequestError, json_response
from sampan.api.server.routing import Route
from sampan.api.server.versions import disk_usage_json

if TYPE_CHECKING:
    from sampan.api.server.facade import Disk, Engine

_TYPES_SINCE: Final = (1, 42)  # before, `type` means nothing


def routes(engine: Engine) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _DiskApi(engine)
    return (
        Route("GET", "/system/df", api.usage),
        Route("POST", "/containers/prune", api.prune_containers),
        Route("POST", "/images/prune", api.prune_images),
        Route("POST", "/volumes/prune", api.prune_volumes),
        Route("POST", "/build/prune", api.prune_build_cache),
        Route("GET", "/sampan/v1/system/disk", api.holdings),
    )


class _DiskApi:
    """The handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def _disk(self) -> Disk:
        return self._engine.disk

    async def usage(self, request: Request) -> Answer:
        types = request.query.all("type") if request.version >= _TYPES_SINCE else []
        return json_response(disk_usage_json(await self._disk.usage(types), request.version))

    async def holdings(self, _: Request) -> Answer:
        return json_response(await self._disk.holdings())

    async def prune_containers(self, request: Request) -> Answer:
        return json_response(await self._disk.prune_containers(request.query.filters(), by=request.actor()))

    async def prune_images(self, request: Request) -> Answer:
        return json_response(await self._disk.prune_images(request.query.filters()))

    async def prune_volumes(self, request: Request) -> Answer:
        return json_response(await self._disk.prune_volumes(request.query.filters()))

    async def prune_build_cache(self, request: Request) -> Answer:
        _check_keep(request.query.text("keep-storage"))
        return json_response(await self._disk.prune_build_cache(request.query.filters()))


def _check_keep(text: str) -> None:
    if text and not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        reason = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise RequestError(f"keep-storage is in bytes and expects an integer, got {text}: {reason}")
