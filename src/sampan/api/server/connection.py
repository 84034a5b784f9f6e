"""One client connection: HTTP/1.1 in and out, until it closes or a handler takes it over.

Life.   idle → head → (body) → handler → answer → idle again; or → taken: the socket leaves asyncio for another owner.
Bytes.  Nothing may be lost at a take-over. So a route that takes connections over stops reading as soon as its request
        is complete: what was read too much is still in h11's buffer, what was not is still in the kernel.
Leave.  A client that closes its sending side has left, as far as endless answers are concerned (Go's server does the
        same); other answers are still delivered, so `printf … | nc` works.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import termios
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import h11

from sampan.api.server.messages import Answer, BodyCut, ClientGone, Request, Response, Stream, Upgraded
from sampan.api.server.peercred import Actor, comm, peer
from sampan.api.server.taken import Taken

if TYPE_CHECKING:
    import socket

    from sampan.api.server.http import Server
    from sampan.api.server.routing import Route

log = logging.getLogger("sampan.api")

HEAD_LIMIT: Final = 1 << 20  # bytes; as Go's net/http, which answers 431 beyond it
BODY_BUFFER: Final = 1 << 20  # bytes of a body that wait for the handler before the client has to
READ_SIZE: Final = 1 << 16  # bytes a read; asyncio's 256 KiB make malloc map pages for every copy: a fifth of the speed
PIPELINE_BUFFER: Final = 1 << 16  # bytes of later requests that are read ahead
UNREAD_LIMIT: Final = 1 << 18  # bytes of an unread body worth reading to keep the connection; as Go's net/http
LINGER_S: Final = 0.5  # seconds to let the client read an answer while it is still sending; as Go's net/http
SWALLOWING: Final = "docker-sdk-python"  # reads the head with a buffer, and then past it: what was behind it is lost
READ_TRIES: Final = 500
READ_TRY_S: Final = 0.001
HTTP2_PREFACE: Final = b"PRI * HTTP/2"

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_EMPTY_STATUSES: Final = frozenset((204, 304))


class Body:
    """A request body on its way from the socket to the handler. Read by one task, once."""

    __slots__ = ("_connection", "_error", "_parts", "_waiter", "done", "size")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: BodyCut | None = None
        self.done = False
        self.size = 0  # bytes in _parts

    def feed(self, part: bytes) -> None:
        """More of it has arrived."""
        self._parts.append(part)
        self.size += len(part)
        self._wake()

    def finish(self, error: BodyCut | None = None) -> None:
        """That was all; with `error`: there will be no more, though there should."""
        if not self.done:
            self.done, self._error = True, error
            self._wake()

    def discard(self) -> None:
        """Nobody will read what is here."""
        self._parts.clear()
        self.size = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._connection.body_wanted()
        while True:
            while self._parts:
                part = self._parts.popleft()
                self.size -= len(part)
                self._connection.body_taken()
                yield part
            if self.done:
                break
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error


class Connection(asyncio.Protocol):
    """The protocol object that asyncio drives; see the module."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._held: bytes | None = b""  # first bytes, until they can't be HTTP/2's
        self._task: asyncio.Task[None] | None = None
        self._route: Route | None = None
        self._body: Body | None = None
        self._ahead = 0  # bytes read beyond the current request
        self._reading = True
        self._eof = False
        self._endless = False
        self._released = self._lingering = False
        self._unread = 0  # bytes of an unwanted body
        self._swallows = False
        self._deadline: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast(asyncio.Transport, transport)
        cast(Any, transport).max_size = READ_SIZE
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived, up to READ_SIZE."""
        if self._lingering:
            return
        if self._held is not None:
            data = self._first_bytes(self._held + data)
            if not data:
                return
        self._machine.receive_data(data)
        if self._task is not None and self._body is not None and self._body.done:
            self._ahead += len(data)
            if self._ahead > PIPELINE_BUFFER:
                self._pause()
        else:
            self._advance()

    def eof_received(self) -> bool:
        """The client has closed its sending side. True keeps the other direction open for the answer."""
        self._eof = True
        if self._lingering:
            return False
        if self._held:
            self._machine.receive_data(self._held)
            self._held = None
        with contextlib.suppress(RuntimeError):  # h11's name for data after the end
            self._machine.receive_data(b"")
        if self._task is None or (self._body is not None and not self._body.done):
            self._advance()
        if self._task is not None and self._endless:
            self._task.cancel()
        return self._task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, or `release` took it away from asyncio."""
        self._server.connections.discard(self)
        self._disarm()
        if self._released:
            return
        if self._body is not None:
            self._body.finish(BodyCut("unexpected EOF"))
        self.resume_writing()
        if self._task is not None and self._endless:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- reading ---

    def _first_bytes(self, data: bytes) -> bytes:
        """`data` if it can be HTTP/1, nothing while that is open or when it is HTTP/2."""
        if data.startswith(HTTP2_PREFACE):
            self._held = None
            self._refuse(b"505 HTTP Version Not Supported", b": HTTP/2 is not spoken here")
            return b""
        if HTTP2_PREFACE.startswith(data):
            self._held = data
            self._arm()
            return b""
        self._held = None
        return data

    def _advance(self) -> None:
        """Work through what h11 can make of the bytes so far."""
        try:
            while True:
                event = self._machine.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if not self._on_event(event):
                    return
        except h11.RemoteProtocolError as error:
            self._on_nonsense(error)
            return
        if self._task is None and self._machine.their_state is h11.IDLE:
            self._arm()

    def _on_event(self, event: Any) -> bool:
        """Deal with one event; False if the connection is no longer to be read."""
        kind = type(event)
        if kind is h11.Request:
            return self._on_request(event)
        if kind is h11.Data:
            self._on_body(bytes(event.data))
        elif kind is h11.EndOfMessage:
            return self._on_request_end()
        else:  # ConnectionClosed
            self.transport.close()
            return False
        return True

    def _on_request(self, event: h11.Request) -> bool:
        self._disarm()
        if event.http_version not in (b"1.1", b"1.0"):
            self._refuse(b"505 HTTP Version Not Supported", b": unsupported protocol version")
            return False
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        if headers.get("expect", "100-continue").lower() != "100-continue":
            self._refuse(b"417 Expectation Failed")
            return False
        path, _, query = event.target.decode("latin-1").partition("?")
        self._body = Body(self)
        self._swallows = headers.get("user-agent", "").startswith(SWALLOWING)
        request = Request(
            event.method.decode("latin-1"),
            path,
            query,
            headers,
            self._body,
            body_expected="transfer-encoding" in headers or headers.get("content-length", "0") != "0",
            take=self._take,
            actor=self._actor,
        )
        self._route = self._server.app.route(request)
        self._endless = self._route.endless
        self._task = asyncio.get_running_loop().create_task(self._serve(request, self._route))
        return True

    def _on_body(self, part: bytes) -> None:
        if self._task is None:
            self._unread += len(part)
            if self._unread > UNREAD_LIMIT:
                self._linger()
        elif self._body is not None:
            self._body.feed(part)
            if self._body.size > BODY_BUFFER:
                self._pause()

    def _on_request_end(self) -> bool:
        if self._body is not None:
            self._body.finish()
        if self._task is None:  # the end of a body that nobody wanted
            self._next()
            return False
        if self._route is not None and self._route.takes:
            self._pause()
        return True

    def _on_nonsense(self, error: h11.RemoteProtocolError) -> None:
        if self._body is not None and not self._body.done:
            reason = "unexpected EOF" if self._eof else str(error)
            self._body.finish(BodyCut(reason))
            if self._task is None:
                self.transport.close()
        elif self._task is None:
            hint = error.error_status_hint
            detail = b": missing required Host header" if "Host" in str(error) else b""
            self._refuse(b"%d %s" % (hint, _REASONS[hint]), detail)

    def body_wanted(self) -> None:
        """The handler begins to read the body: tell a client that waits for it."""
        if self._machine.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            self.transport.write(self._machine.send(go_on) or b"")

    def body_taken(self) -> None:
        """The handler has taken a part: let the client send more."""
        if not self._reading and self._body is not None and not self._body.done and self._body.size <= BODY_BUFFER // 2:
            self._resume()

    def _pause(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def _arm(self) -> None:
        """Give the rest of a head its time, by the event loop's (monotonic) clock."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self._server.head_timeout, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # --- answering ---

    async def _serve(self, request: Request, route: Route) -> None:
        try:
            answer = await self._server.app.answer(request, route)
            await self._send(answer, request)
        except (ConnectionError, asyncio.CancelledError):
            # The client is gone (or the server stops): there is nobody to tell.
            log.debug("%s %s: the client has left", request.method, request.path)
            self._abort()
        except Exception:
            # The head may be out already; all that is left to say "this is not whole" is to cut the connection.
            log.exception("%s %s: the answer broke off", request.method, request.path)
            self._abort()
        finally:
            self._task = None
        if not self._released and not self.transport.is_closing():
            self._after_answer()

    def _abort(self) -> None:
        if not self._released:
            self.transport.abort()

    async def _send(self, answer: Answer, request: Request) -> None:
        if isinstance(answer, Response):
            self._send_response(answer, request)
        elif isinstance(answer, Stream):
            await self._send_stream(answer)
        elif isinstance(answer, Upgraded) and not self._released:
            self._abort()

    def _head(self, status: int, content_type: str | None, extra: list[tuple[str, str]]) -> bytes:
        headers = [*self._server.common_headers(), *extra]
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        if self._machine.they_are_waiting_for_100_continue:
            headers.append(("Connection", "close"))  # the body that was not asked for may come or not
        head = h11.Response(status_code=status, headers=headers, reason=_REASONS.get(status, b""))
        return self._machine.send(head) or b""

    def _send_response(self, answer: Response, request: Request) -> None:
        extra = list(answer.headers)
        if answer.status not in _EMPTY_STATUSES:
            extra.append(("Content-Length", str(len(answer.body))))
        parts = [self._head(answer.status, answer.content_type, extra)]
        if answer.body and request.method != "HEAD" and answer.status not in _EMPTY_STATUSES:
            parts.append(self._machine.send(h11.Data(data=answer.body)) or b"")
        parts.append(self._machine.send(h11.EndOfMessage()) or b"")
        self.transport.write(b"".join(parts))

    async def _send_stream(self, answer: Stream) -> None:
        self._endless = self._endless or answer.endless
        try:
            if self._endless and self._eof:
                raise ClientGone
            headless = not answer.eager
            if answer.eager:
                self.transport.write(self._head(answer.status, answer.content_type, []))
            async for chunk in answer.chunks:
                if headless:
                    self.transport.write(self._head(answer.status, answer.content_type, []))
                    headless = False
                await self._write_chunk(chunk)
        finally:
            if isinstance(answer.chunks, AsyncGenerator):
                await answer.chunks.aclose()
        if headless:
            self.transport.write(self._head(answer.status, answer.content_type, []))
        self.transport.write(self._machine.send(h11.EndOfMessage()) or b"")

    async def _write_chunk(self, chunk: bytes) -> None:
        if self.transport.is_closing():
            raise ClientGone
        if chunk:
            self.transport.write(self._machine.send(h11.Data(data=chunk)) or b"")
        if self._drained is not None:
            await self._drained

    def _after_answer(self) -> None:
        """The answer is out: go on with the next request, get rid of an unread body, or close."""
        theirs, ours = self._machine.their_state, self._machine.our_state
        if ours is h11.DONE and theirs is h11.DONE:
            self._next()
        elif ours is h11.DONE and theirs is h11.SEND_BODY and not self._eof:
            self._unread = self._body.size if self._body is not None else 0
            if self._unread > UNREAD_LIMIT:
                self._linger()
            else:
                self._resume()
        elif theirs in (h11.SEND_BODY, h11.ERROR) and not self._eof:
            self._linger()
        else:
            self.transport.close()

    def _next(self) -> None:
        if self._machine.our_state is not h11.DONE or self._machine.their_state is not h11.DONE:
            self.transport.close()
            return
        self._machine.start_next_cycle()
        self._route = self._body = None
        self._endless = False
        self._ahead = self._unread = 0
        self._resume()
        if self._machine.trailing_data[0] or self._eof:
            self._advance()

    def _refuse(self, status: bytes, detail: bytes = b"") -> None:
        """Answer what is no HTTP request as Go's server does, without h11, and close."""
        line = status + detail
        head = b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s" % (line, line)
        self.transport.write(head)
        self._linger()

    def _linger(self) -> None:
        """Close such that the client can read its answer though it is still sending."""
        self._disarm()
        if self.transport.is_closing():
            return
        self._lingering = True
        if self._eof:
            self.transport.close()
            return
        self._resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    # --- leaving asyncio ---

    def _actor(self, what: str) -> Actor:
        pid, uid = peer(self.transport.get_extra_info("socket"))
        return Actor(what, pid, uid, comm(pid))

    def _take(self, head: bytes) -> Taken:
        return Taken(self, head)

    async def release(self, head: bytes) -> tuple[socket.socket, bytes]:
        """Send `head`, then leave: the raw socket and the bytes read past the request. Only for routes with `takes`.

        The socket is a duplicate: closing the original afterwards is a close(2), not a shutdown(2). It does not block.
        Raises ClientGone.
        """
        if self._reading:
            raise RuntimeError("a connection can be taken over only once its reading has stopped")
        self.transport.set_write_buffer_limits(high=0)
        self.transport.write(head)
        while self._drained is not None and not self.transport.is_closing():
            await self._drained
        if self.transport.is_closing():
            raise ClientGone
        if self._swallows:
            await self._until_read()
        sock: socket.socket = self.transport.get_extra_info("socket").dup()
        self._released = True
        self.transport.abort()
        return sock, self._machine.trailing_data[0]

    async def _until_read(self) -> None:
        """Wait until the client has read the head, for a moment at most: what it reads with it, it loses."""
        fd, unread = self.transport.get_extra_info("socket").fileno(), bytearray(4)
        for _ in range(READ_TRIES):
            fcntl.ioctl(fd, termios.TIOCOUTQ, unread)  # unix(7), tcp(7): bytes that are still on the way
            if not any(unread):
                return
            await asyncio.sleep(READ_TRY_S)

    def close_idle(self) -> None:
        """Close if nothing is being answered."""
        if self._task is None:
            self.transport.close()

    def running(self) -> asyncio.Task[None] | None:
        """The task that makes the current answer, if there is one."""
        return self._task

    def stop(self) -> None:
        """Cut off what is being answered and close."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.transport.close()
