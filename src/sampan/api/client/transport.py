"""HTTP/1.1 over one socket: requests, answers with any framing, and taking the connection over.

`_socket` is the C module below ``socket``, which itself costs 6 ms to import (enum, selectors); `_socket.socket` has
all that is needed here. Nothing is retried and nothing is pooled: `client` does that.
"""

from __future__ import annotations

import _socket

from sampan.api.client.errors import ConnectionFailed, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sampan.api.client.address import Address

CHUNK = 1 << 20  # bytes asked of the kernel at once; a unix socket hands out about 200 KiB
MAX_HEAD = 1 << 18  # bytes of status line and headers that are still believed
_NO_BODY = frozenset((204, 304))
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str, safe: str = "") -> str:
    """Percent-encode `text` as UTF-8 for a path or a query, except RFC 3986's unreserved characters and `safe`."""
    if _UNRESERVED.issuperset(text):
        return text
    octets = text.encode("utf-8", "surrogateescape")
    return "".join(chr(o) if chr(o) in _UNRESERVED or chr(o) in safe else f"%{o:02X}" for o in octets)


def query_string(parameters: Iterable[tuple[str, str]]) -> str:
    """``?a=1&b=2`` of `parameters`, or "" of none."""
    text = "&".join(f"{quote(key)}={quote(value)}" for key, value in parameters)
    return f"?{text}" if text else ""


class Connection:
    """A connected socket that carries one request at a time."""

    __slots__ = ("_buffer", "address", "reused", "socket")

    def __init__(self, address: Address, timeout: float | None = None) -> None:
        """Connect; `timeout` in seconds bounds each later read and write too. Raises ConnectionFailed."""
        self.address = address
        self.reused = False
        self._buffer = bytearray()
        self.socket = _connect(address, timeout)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def send_request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> None:
        """Write a request. A `body` that is not bytes is sent in chunks, each as it comes."""
        lines = [f"{method} {target} HTTP/1.1", "Host: api.moby.localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        whole = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            lines.append("Transfer-Encoding: chunked")
        elif body is not None or method in {"POST", "PUT"}:
            lines.append(f"Content-Length: {len(whole)}")
        head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self.send(head + whole)
        if body is not None and not isinstance(body, bytes):
            self._send_chunks(body)

    def send(self, data: bytes | memoryview) -> None:
        """Write all of `data`, without SIGPIPE. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[self.socket.send(view, _socket.MSG_NOSIGNAL) :]

    def read_response(self, method: str) -> Response:
        """Read status line and headers; 100 Continue is passed over. Raises ProtocolError."""
        while True:
            status, headers = self._read_head()
            if status == 100:
                continue
            return Response(
                self, status, headers, has_body=method != "HEAD" and status not in _NO_BODY and status >= 200
            )

    def take_over(self) -> tuple[_socket.socket, bytes]:
        """Give the raw socket away, with the bytes that came behind the head."""
        early = bytes(self._buffer)
        self._buffer.clear()
        return self.socket, early

    def read_some(self, limit: int) -> bytes:
        """Up to `limit` bytes as they come; b"" when the other side has ended."""
        if self._buffer:
            data = bytes(self._buffer[:limit])
            del self._buffer[:limit]
            return data
        return self.socket.recv(min(limit, CHUNK))

    def read_line(self) -> bytes:
        """A line up to and without CRLF. Raises ProtocolError."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ProtocolError("unexpected EOF")
        self._buffer += data
        if len(self._buffer) > MAX_HEAD:
            raise ProtocolError("the answer's head is longer than 256 KiB")

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise ProtocolError(f"malformed HTTP response {lines[0][:40]!r}")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(rest[:3]), headers

    def _send_chunks(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            if chunk:
                self.send(b"%x\r\n" % len(chunk))
                self.send(chunk)
                self.send(b"\r\n")
        self.send(b"0\r\n\r\n")


class Response:
    """An answer whose body may still be on its way. `headers` have lower-case names."""

    __slots__ = ("_chunked", "_ended", "_left", "connection", "headers", "status")

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], *, has_body: bool) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._left = 0 if self._chunked else int(length) if length and length.isdecimal() else -1  # -1: until the end
        self._ended = not has_body or (self._left == 0 and not self._chunked)

    @property
    def reusable(self) -> bool:
        """Whether the body is read to its end and the connection may carry another request."""
        return self._ended and self._left >= 0 and self.headers.get("connection", "").lower() != "close"

    def chunks(self, limit: int = CHUNK) -> Iterator[bytes]:
        """The body in pieces of at most `limit` bytes, each as it comes. Raises ProtocolError when it is cut off."""
        while not self._ended:
            if self._chunked and self._left == 0 and not self._next_chunk():
                return
            data = self.connection.read_some(min(limit, self._left) if self._left > 0 else limit)
            if not data:
                self._ended = True
                if self._left > 0:
                    raise ProtocolError("unexpected EOF")
                return
            self._count(len(data))
            yield data

    def read(self) -> bytes:
        """The rest of the body."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Give up the connection without reading on."""
        self.connection.close()

    def _count(self, size: int) -> None:
        if self._left < 0:
            return
        self._left -= size
        if self._left:
            return
        if self._chunked:
            self.connection.read_line()  # the CRLF that closes each chunk
        else:
            self._ended = True

    def _next_chunk(self) -> bool:
        """Read a chunk's size line; at the last one its trailers too."""
        line = self.connection.read_line().partition(b";")[0].strip()
        try:
            self._left = int(line, 16)
        except ValueError:
            raise ProtocolError(f"malformed chunk size {line[:20]!r}") from None
        if self._left:
            return True
        while self.connection.read_line():
            pass
        self._ended = True
        return False


def _connect(address: Address, timeout: float | None) -> _socket.socket:
    if address.family == "tcp":
        return _connect_tcp(address, timeout)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    sock.settimeout(timeout)
    try:
        sock.connect(address.path)
    except OSError as error:
        sock.close()
        denied = isinstance(error, PermissionError)
        raise ConnectionFailed(address.text, error.strerror or str(error), denied=denied) from error
    return sock


def _connect_tcp(address: Address, timeout: float | None) -> _socket.socket:
    try:
        found = _socket.getaddrinfo(address.host, address.port, 0, _socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionFailed(address.text, str(error)) from error
    reason = OSError("no address")
    for family, kind, protocol, _name, where in found:
        sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        sock.settimeout(timeout)
        try:
            sock.connect(where)
        except OSError as error:
            sock.close()
            reason = error
            continue
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return sock
    raise ConnectionFailed(address.text, reason.strerror or str(reason)) from reason
