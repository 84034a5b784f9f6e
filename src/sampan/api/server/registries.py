"""Registries: push, login, search, and what is there under a name; pull is one of the two ways of /images/create."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.api.server.messages import Answer, Request, RequestError, Stream, json_response, told
from sampan.api.server.routing import Route

if TYPE_CHECKING:
    from sampan.api.server.facade import Registry

AUTH: Final = "x-registry-auth"


def routes(registry: Registry) -> tuple[Route, ...]:
    """The routes of this module."""
    api = _RegistryApi(registry)
    return (
        Route("POST", "/auth", api.login),
        Route("GET", "/images/search", api.search),
        Route("POST", "/images/{name}/push", api.push),
        Route("GET", "/distribution/{name}/json", api.inspect),
    )


async def pull(registry: Registry, request: Request) -> Answer:
    """POST /images/create?fromImage=…"""
    query = request.query
    messages = registry.pull(
        query.text("fromImage"),
        query.text("tag"),
        platform=query.text("platform"),
        auth=request.headers.get(AUTH, ""),
    )
    return await _stream(messages, "POST /images/create")


async def import_url(registry: Registry, request: Request) -> Answer:
    """POST /images/create?fromSrc=URL."""
    query = request.query
    messages = registry.import_url(
        query.text("fromSrc"),
        repo=query.text("repo"),
        tag=query.text("tag"),
        message=query.text("message"),
        changes=query.all("changes"),
        platform=query.text("platform") or None,
    )
    return await _stream(messages, "POST /images/create")


class _RegistryApi:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def login(self, request: Request) -> Answer:
        return json_response(await self._registry.login(await request.json(schema.AuthConfig)))

    async def push(self, request: Request) -> Answer:
        query = request.query
        messages = self._registry.push(
            request.name, query.text("tag"), platform=query.platform(), auth=request.headers.get(AUTH, "")
        )
        return await _stream(messages, "POST /images/push")

    async def inspect(self, request: Request) -> Answer:
        return json_response(await self._registry.inspect(request.name, auth=request.headers.get(AUTH, "")))

    async def search(self, request: Request) -> Answer:
        query = request.query
        limit = query.text("limit")
        if limit and not limit.isdigit():
            raise RequestError(f'strconv.Atoi: parsing "{limit}": invalid syntax')
        found = await self._registry.search(
            query.text("term"),
            limit=int(limit) if limit else None,
            filters=query.filters(),
            auth=request.headers.get(AUTH, ""),
        )
        return json_response(found)


async def _stream(messages: AsyncIterator[bytes], what: str) -> Stream:
    """The messages; before the first one an error is an answer of its own, behind it a message too."""
    first = await anext(messages, b"")
    return Stream(_all(first, messages, what), "application/json")


async def _all(first: bytes, messages: AsyncIterator[bytes], what: str) -> AsyncIterator[bytes]:
    try:
        yield first
        async for message in messages:
            yield message
    except Exception as error:  # noqa: BLE001 (the client is told, as it would be by an error answer)
        text = told(error, what)
        yield schema.encode({"errorDetail": {"message": text}, "error": text}) + b"\r\n"
    finally:
        if isinstance(messages, AsyncGenerator):
            await messages.aclose()
