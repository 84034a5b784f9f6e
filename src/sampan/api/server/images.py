"""/images: list, inspect, history, load, import, tag, remove."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.api.server import registries
from sampan.api.server.messages import Answer, Request, RequestError, Response, Stream, json_response, told
from sampan.api.server.routing import Route
from sampan.api.server.versions import image_json, image_summary_json

if TYPE_CHECKING:
    from sampan.api.server.facade import Engine, ImageService, Registry


def routes(engine: Engine) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _ImagesApi(engine.images, engine.registry)
    one = "/images/{name}"
    return (
        Route("GET", "/images/json", api.list),
        Route("POST", "/images/load", api.load),
        Route("POST", "/images/create", api.create),
        Route("GET", f"{one}/json", api.inspect),
        Route("GET", f"{one}/history", api.history),
        Route("GET", "/images/get", api.save),
        Route("GET", f"{one}/get", api.save_one),
        Route("POST", f"{one}/tag", api.tag),
        Route("DELETE", one, api.remove),
    )


class _ImagesApi:
    """The handlers."""

    def __init__(self, images: ImageService, registry: Registry) -> None:
        self._images = images
        self._registry = registry

    async def list(self, request: Request) -> Answer:
        query = request.query
        found = await self._images.list(
            all=query.flag("all"),
            filters=query.filters(),
            digests=query.flag("digests"),
            shared_size=query.flag("shared-size"),
        )
        return json_response(image_summary_json(found, request.version))

    async def inspect(self, request: Request) -> Answer:
        found = await self._images.inspect(request.name, request.query.platform())
        return json_response(image_json(found, request.version))

    async def history(self, request: Request) -> Answer:
        return json_response(await self._images.history(request.name, request.query.platform()))

    async def tag(self, request: Request) -> Answer:
        await self._images.tag(request.name, request.query.text("repo"), request.query.text("tag"))
        return Response(201)

    async def remove(self, request: Request) -> Answer:
        query = request.query
        if not request.name.strip():
            raise RequestError("image name cannot be blank")
        done = await self._images.remove(request.name, force=query.flag("force"), noprune=query.flag("noprune"))
        return json_response(done)

    async def save(self, request: Request) -> Answer:
        return await self._save(request, request.query.all("names"))

    async def save_one(self, request: Request) -> Answer:
        return await self._save(request, [request.name])

    async def _save(self, request: Request, names: Sequence[str]) -> Answer:
        archive = await self._images.save(names, request.query.platform())
        return Stream(archive, "application/x-tar", eager=False)

    async def load(self, request: Request) -> Answer:
        query = request.query
        messages = self._images.load(request.body, quiet=query.flag("quiet", default=True), platform=query.platform())
        return Stream(_with_error(messages), "application/json", eager=False)

    async def create(self, request: Request) -> Answer:
        query = request.query
        if query.text("fromImage"):
            return await registries.pull(self._registry, request)
        source = query.text("fromSrc")
        if source != "-":
            return await registries.import_url(self._registry, request)
        digest = await self._images.import_(
            request.body,
            repo=query.text("repo"),
            tag=query.text("tag"),
            message=query.text("message"),
            changes=query.all("changes"),
            platform=query.text("platform") or None,
        )
        return Response(200, schema.encode({"status": digest}) + b"\r\n", "application/json")


async def _with_error(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The messages, and in place of an error the message that Docker's clients know one by."""
    try:
        async for message in messages:
            yield message
    except Exception as error:  # noqa: BLE001 (the client is told, as it would be by an error answer)
        text = told(error, "POST /images/load")
        yield schema.encode({"errorDetail": {"message": text}, "error": text}) + b"\r\n"
    finally:
        if isinstance(messages, AsyncGenerator):
            await messages.aclose()
