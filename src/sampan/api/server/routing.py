"""Which handler serves a method and a path.

Patterns are literal ("/containers/json") or have one `{name}` that takes everything between what stands before and
behind it, slashes included ("/images/{name}/json"). Literal ones win, then those with something behind the name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from sampan.api.server.messages import Handler, Request, RequestError, Response

MAX_VERSION: Final = (1, 51)
MIN_VERSION: Final = (1, 24)

_VERSIONED: Final = re.compile(r"/v([0-9.]+)(/.*)")


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and how the connection is treated while it runs."""

    method: str
    pattern: str
    handler: Handler
    takes: bool = False
    """It may take the connection over: nothing behind the request is read."""
    endless: bool = False
    """It may wait without end: it is cancelled when the client closes its sending side."""


def dotted(version: tuple[int, ...]) -> str:
    """(1, 51) → "1.51"."""
    return ".".join(map(str, version))


class Table:
    """All routes, found in O(1)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._literal: dict[tuple[str, str], Route] = {}
        self._named: dict[tuple[str, str, str], list[tuple[str, str, Route]]] = {}
        for route in routes:
            if "{name}" not in route.pattern:
                self._literal[route.method, route.pattern] = route
                continue
            before, behind = route.pattern.split("{name}")
            key = route.method, before.split("/")[1], behind.rpartition("/")[2]
            self._named.setdefault(key, []).append((before, behind, route))
            self._named[key].sort(key=lambda entry: -len(entry[1]))

    def find(self, method: str, path: str) -> tuple[Route, str] | None:
        """The route of an unversioned, decoded path and what its `{name}` stands for."""
        if found := self._literal.get((method, path)):
            return found, ""
        first, _, rest = path[1:].partition("/")
        for last in (rest.rpartition("/")[2], ""):
            for before, behind, route in self._named.get((method, first, last), ()):
                end = len(path) - len(behind)
                if path.endswith(behind) and path.startswith(before) and end > len(before):
                    return route, path[len(before) : end]
        return None


async def _not_found(_: Request) -> Response:
    raise RequestError("page not found", 404)


async def _options(_: Request) -> Response:
    return Response()


NOT_FOUND: Final = Route("", "", _not_found)
OPTIONS: Final = Route("OPTIONS", "", _options)


def resolve(table: Table, request: Request) -> Route:
    """Set the request's path, name and version; the route that serves it, if only by an error or a redirection."""
    path = unquote(request.path) if "%" in request.path else request.path
    if not path.startswith("/") or "//" in path or "/." in path:
        clean = posixpath.normpath("/" + path.lstrip("/"))
        if clean != path:
            return _redirection(clean)
    request.version = MAX_VERSION
    match = _VERSIONED.fullmatch(path)
    if match:
        path = match.group(2)
        request.version = _parse_version(match.group(1))
    if request.method == "OPTIONS":
        return OPTIONS
    found = table.find(request.method, path)
    if found is None:
        return NOT_FOUND
    if refusal := _version_refusal(request.version):
        return refusal
    request.path, (route, request.name) = path, found
    return route


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part else 0 for part in text.split(".", 8))


def _version_refusal(version: tuple[int, ...]) -> Route | None:
    if MIN_VERSION <= version <= MAX_VERSION:
        return None
    asked = dotted(version)
    if version > MAX_VERSION:
        text = f"client version {asked} is too new. Maximum supported API version is {dotted(MAX_VERSION)}"
    else:
        text = (
            f"client version {asked} is too old. Minimum supported API version is {dotted(MIN_VERSION)}, "
            "please upgrade your client to a newer version"
        )

    async def refuse(_: Request) -> Response:
        raise RequestError(text)

    return Route("", "", refuse)


def _redirection(path: str) -> Route:
    async def redirect(_: Request) -> Response:
        return Response(301, headers=(("Location", path),))

    return Route("", "", redirect)
