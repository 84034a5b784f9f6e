"""What only Sampan has, under /sampan/v1."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.api.server.messages import Request, RequestError, Response, Stream, json_response, told
from sampan.api.server.routing import Route

if TYPE_CHECKING:
    from sampan.api.server.facade import ImageService


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


def comparing(images: ImageService) -> tuple[Route, ...]:
    """The routes that tell what images have in common and what not."""

    async def differences(request: Request) -> Stream:
        other = request.query.text("to")
        if not other:
            raise RequestError('bad parameter: "to" names no image')
        portions = await images.differences(request.name, other)
        return Stream(_lines(portions, f"GET {request.path}"), "application/x-ndjson")

    async def layers(_: Request) -> Response:
        return json_response(await images.layers())

    return (
        Route("GET", "/sampan/v1/images/layers", layers),
        Route("GET", "/sampan/v1/images/{name}/diff", differences),
    )


async def _lines(portions: AsyncIterator[Sequence[schema.ImageDifference]], what: str) -> AsyncIterator[bytes]:
    """A JSON object a line; an error in the middle as load and import tell theirs."""
    try:
        async for portion in portions:
            yield b"".join(schema.encode(one) + b"\n" for one in portion)
    except Exception as error:  # noqa: BLE001 (the head is on its way: the client is told in the body)
        yield schema.encode({"errorDetail": {"message": told(error, what)}, "error": str(error)}) + b"\n"
    finally:
        if isinstance(portions, AsyncGenerator):
            await portions.aclose()
