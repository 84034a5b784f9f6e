"""What the HTTP layer hands to handlers, and what they hand back.

A handler is given a `Request` and returns an answer: a `Response` (everything known), a `Stream` (a body that is made
bit by bit) or `TAKEN` (it took the connection over). Its errors become JSON; see `app`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sampan.api import schema
from sampan.api.server.query import Query

if TYPE_CHECKING:
    from sampan.api.server.peercred import Actor
    from sampan.api.server.taken import Taken

log = logging.getLogger("sampan.api")

JSON_LIMIT: Final = 16 << 20  # bytes of a JSON body; a Compose project's largest configs are far smaller

Headers = tuple[tuple[str, str], ...]
S = TypeVar("S", bound=schema.Struct)


class RequestError(Exception):
    """A request that is wrong in itself: its status and, as text, what the client is told."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BodyCut(RequestError):
    """The client left, or broke the framing, in the middle of its body."""


class ClientGone(ConnectionResetError):
    """The client has left: there is nobody to tell, and nothing that went wrong here."""

    def __init__(self) -> None:
        super().__init__("the client has left")


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. The body of an answer to HEAD, of a 204 and of a 304 is not sent."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is made bit by bit; each chunk goes out when it is there."""

    chunks: AsyncIterator[bytes]
    content_type: str
    status: int = 200
    eager: bool = True
    """The head goes out at once. False: with the first chunk, for handlers that first have to read their body."""
    endless: bool = False
    """True: a client that closes its sending side has gone away; the stream ends."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The handler took the connection over; there is nothing more to send."""


TAKEN: Final = Upgraded()
Answer = Response | Stream | Upgraded


class BodyStream(Protocol):
    """The bytes of a request's body, as they come; reading them slows the client down to the reader's speed."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The rest of the body in pieces of any size; raises BodyCut."""
        ...


class Request:
    """One request, as a handler sees it."""

    __slots__ = (
        "_actor",
        "_query",
        "_take",
        "body",
        "body_expected",
        "headers",
        "method",
        "name",
        "path",
        "raw_query",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        raw_query: str,
        headers: dict[str, str],
        body: BodyStream,
        *,
        body_expected: bool,
        take: Callable[[bytes], Taken],
        actor: Callable[[str], Actor],
    ) -> None:
        self.method, self.path, self.raw_query, self.headers, self.body = method, path, raw_query, headers, body
        self.body_expected = body_expected
        """The head announces a body (which may turn out to be empty)."""
        self.version: tuple[int, ...] = ()
        """The API version that the client speaks, for example (1, 45)."""
        self.name = ""
        """What the path has in place of `{name}`, percent-decoded."""
        self._take, self._actor = take, actor
        self._query: Query | None = None

    @property
    def query(self) -> Query:
        """The parameters behind the question mark. Raises RequestError for broken percent-escapes."""
        if self._query is None:
            self._query = Query(self.raw_query)
        return self._query

    def actor(self) -> Actor:
        """Who asks, and for what; for "why did it end"."""
        return self._actor(f"{self.method} {self.path}")

    def take(self, head: bytes) -> Taken:
        """The connection itself, to be had by `detach()`, which first sends `head`."""
        return self._take(head)

    @property
    def upgrades(self) -> bool:
        """The client asks for another protocol (`Upgrade: tcp`)."""
        return "upgrade" in self.headers

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """The whole body. Raises RequestError (413) beyond `limit` bytes, BodyCut when it is cut off."""
        announced = self.headers.get("content-length", "0")
        if int(announced) > limit:
            raise RequestError("http: request body too large", 413)
        parts, size = [], 0
        async for part in self.body:
            size += len(part)
            if size > limit:
                raise RequestError("http: request body too large", 413)
            parts.append(part)
        return b"".join(parts)

    async def json(self, kind: type[S]) -> S:
        """The body as a `kind`; an absent body is an empty one. Raises RequestError, BodyError."""
        self.check_json()
        return schema.decode(await self.read(), kind) if self.body_expected else kind()

    def check_json(self) -> None:
        """Raise RequestError unless the content type is JSON or there is no body."""
        given = self.headers.get("content-type", "")
        if not given and not self.body_expected:
            return
        media = given.partition(";")[0].strip().lower()
        if not media:
            raise RequestError(f"malformed Content-Type header ({given}): mime: no media type")
        if media != "application/json":
            raise RequestError(f"unsupported Content-Type header ({media}): must be 'application/json'")


Handler = Callable[[Request], Awaitable[Answer]]


def json_response(value: Any, status: int = 200) -> Response:
    """`value` as JSON with the newline that Go's encoder puts behind it."""
    return Response(status, schema.encode(value) + b"\n", "application/json")


def told(error: Exception, what: str) -> str:
    """The text of an error for the client. One without a `status` is a fault of ours, and logged with its traceback."""
    if not isinstance(getattr(error, "status", None), int):
        log.error("%s failed", what, exc_info=error)
    return str(error) or type(error).__name__
