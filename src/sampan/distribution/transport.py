"""HTTP to registries: one endpoint, its TLS, redirects that give nothing away.

Words.  *endpoint*: scheme, host and port that a registry's ``/v2/`` is asked at: the registry itself, or a mirror.
        *insecure*: certificates aren't verified there, and plain HTTP is tried too; only where it was declared so.
Cost.   Connections are kept and reused. Timeouts: to connect, and between any two pieces; none for the whole.
Source. RFC 9110; urllib3 does the protocol.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    InvalidChunkLength,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)

import sampan
from sampan.distribution.config import Certificates
from sampan.distribution.errors import BadContent, Unreachable

CONNECT_S: Final = 15.0
MIRROR_CONNECT_S: Final = 5.0
READ_S: Final = 60.0
MAX_REDIRECTS: Final = 8
SHORT: Final = 1 << 16  # bytes of an error's body, or of one that nobody needs
BLOCK: Final = 1 << 20
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_USER_AGENT: Final = f"sampan/{sampan.__version__}"

Body = bytes | IO[bytes] | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a registry is asked. ``certificates`` are extra authorities and client certificates of its host."""

    scheme: str  # "https" | "http"
    host: str  # "localhost:5000"
    insecure: bool = False
    mirror: bool = False
    prefix: str = ""  # path before /v2/, of a mirror that has one
    certificates: Certificates = field(default_factory=Certificates)

    @property
    def url(self) -> str:
        """Return scheme, host and path without the last slash."""
        return f"{self.scheme}://{self.host}{self.prefix}"


class Transport:
    """Connections to one endpoint, and to where it redirects. Thread-safe."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet. Raises BadContent: a certificate can't be read."""
        self.endpoint = endpoint
        timeout = urllib3.Timeout(connect=MIRROR_CONNECT_S if endpoint.mirror else CONNECT_S, read=READ_S)
        common = {"timeout": timeout, "retries": False, "blocksize": BLOCK, "maxsize": 8}
        self._own = urllib3.PoolManager(ssl_context=_own_tls(endpoint), **common)  # type: ignore[arg-type]
        self._others = urllib3.PoolManager(ssl_context=_machines_tls(), **common)  # type: ignore[arg-type]
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._own.clear()
        self._others.clear()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        token_server: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Ask; follow redirects of GET and HEAD. The caller reads or releases what comes.

        Args:
            url: absolute, or a path of the endpoint.
            headers: Authorization among them goes to the endpoint's own host only, never where it redirects to.
            token_server: the URL is of the server that the endpoint named for tokens; Authorization may go there.

        Raises:
            Unreachable: no answer. BadContent: it redirects to where nothing may be fetched from.
        """
        url = urljoin(self.endpoint.url + "/", url)
        sent = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        for _ in range(MAX_REDIRECTS):
            if not self.is_own(url) and not token_server:
                sent.pop("Authorization", None)
            answer = self._once(method, url, sent, body)
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or target is None or method not in ("GET", "HEAD"):
                return answer
            let_go(answer)
            url = self._redirected(url, target)
            token_server = False
        raise BadContent(f'{method} "{url}": stopped after {MAX_REDIRECTS} redirects')

    def is_own(self, url: str) -> bool:
        """Tell whether a URL is of the endpoint itself: where its credentials may go."""
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc) == (self.endpoint.scheme, self.endpoint.host)

    def _once(self, method: str, url: str, headers: dict[str, str], body: Body | None) -> urllib3.BaseHTTPResponse:
        manager = self._own if self.is_own(url) else self._others
        try:
            return manager.request(method, url, headers=headers, body=body, preload_content=False, redirect=False)
        except (HTTPError, LocationParseError, OSError) as error:
            raise Unreachable(f'{method.capitalize()} "{_shown(url)}": {plain_reason(error)}') from error

    def _redirected(self, url: str, target: str) -> str:
        """Return where a redirect leads. Raises BadContent where that is no place to fetch from."""
        absolute = urljoin(url, target)
        parts = urlsplit(absolute)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadContent(f'"{url}" redirects to "{absolute}", which is not HTTP')
        if parts.username is not None or parts.password is not None:
            raise BadContent(f'"{url}" redirects to a URL with credentials, which are not sent')
        if parts.scheme == "http" and urlsplit(url).scheme == "https" and not self.endpoint.insecure:
            raise BadContent(f'"{url}" redirects from HTTPS to plain HTTP at {parts.netloc}')
        return absolute


def let_go(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Give the connection of an answer back, whose body is short; return its beginning, for who wants it."""
    try:
        content = answer.read(SHORT)
    except (HTTPError, OSError):
        content = b""
    if answer.closed or len(content) < SHORT:
        answer.release_conn()
    else:
        answer.close()  # to read what else comes would take longer than another connection
    return content


def json_object(content: bytes, otherwise: str) -> dict[str, Any]:
    """Return the JSON object that bytes are. Raises BadContent with the text ``otherwise``."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadContent(otherwise)
    return document


def _new_tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=4)
def _shared_tls(insecure: bool, *_changed_ns: int) -> ssl.SSLContext:
    return _new_tls(insecure)


def _machines_tls(*, insecure: bool = False) -> ssl.SSLContext:
    """Return what trusts whom this machine trusts, or everybody; one for all, since each takes a megabyte and 10 ms."""
    paths = ssl.get_default_verify_paths()
    return _shared_tls(insecure, *(os.stat(path).st_mtime_ns for path in (paths.cafile, paths.capath) if path))


def _own_tls(endpoint: Endpoint) -> ssl.SSLContext:
    if not endpoint.certificates.authorities and not endpoint.certificates.client:
        return _machines_tls(insecure=endpoint.insecure)
    context = _new_tls(endpoint.insecure)
    path = None
    try:
        for path in endpoint.certificates.authorities:
            context.load_verify_locations(path)
        for path, key in endpoint.certificates.client:
            context.load_cert_chain(path, key)
    except (OSError, ssl.SSLError) as error:
        raise BadContent(f"cannot use the certificate {path} for {endpoint.host}: {error}") from error
    return context


def _shown(url: str) -> str:
    """Return what was asked for as dockerd tells it: it asks for /v2/ first, and gets no further."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/v2/"


def plain_reason(error: BaseException) -> str:
    """Return why a request failed, in Go's words where people know them: a urllib3 error wraps others."""
    seen: BaseException | None = error
    while seen is not None:
        if known := _known(seen):
            return known
        following = seen.__cause__ or getattr(seen, "reason", None) or seen.__context__
        if not isinstance(following, BaseException):
            break
        seen = following
    return str(seen or error)


def _known(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"tls: failed to verify certificate: {error.verify_message}"
        case ssl.SSLError():
            if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
                return "http: server gave HTTP response to HTTPS client"
            return f"tls: {error.reason or error}"
        case NewConnectionError() | NameResolutionError():
            return _dial(error)
    kinds = (
        ((TimeoutError,), "i/o timeout"),
        ((IncompleteRead, InvalidChunkLength), "unexpected EOF"),
        ((ConnectionResetError,), "read: connection reset by peer"),
    )
    return next((text for types, text in kinds if isinstance(error, types)), "")


def _dial(error: NewConnectionError) -> str:
    """Return why no connection came about, as Go's dialer puts it."""
    host, port = error.conn.host, error.conn.port
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        missing = cause.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)
        return f"dial tcp: lookup {host}: {'no such host' if missing else cause.strerror}"
    reason = os.strerror(cause.errno).lower() if isinstance(cause, OSError) and cause.errno else str(cause)
    return f"dial tcp {f'[{host}]' if ':' in host else host}:{port}: connect: {reason}"
