"""An archive from a web server, for ``import URL``: no registry, no credentials; redirects as everywhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from sampan.distribution.errors import BadContent, Refused, Unreachable
from sampan.distribution.transport import Endpoint, Transport, let_go, plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

    from sampan.distribution.listener import Listener


class Download:
    """What a server sends, to be read once; a reader of what `sampan.image.store.Images.import_` takes."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, url: str, listener: Listener) -> None:
        """Read ``answer`` for as long as ``listener`` listens."""
        self._answer = answer
        self.url = url  # in full
        self._listener = listener

    def read(self, count: int) -> bytes:
        """Return at most ``count`` bytes, b"" at the end. Raises Unreachable: it broke off. Cancelled."""
        self._listener.check()
        try:
            return self._answer.read(count, decode_content=False)
        except (HTTPError, OSError) as error:
            raise Unreachable(f'Get "{self.url}": {plain_reason(error)}') from error


@contextmanager
def opened(url: str, listener: Listener) -> Iterator[Download]:
    """Ask for a URL; one without a scheme is of HTTP, as in dockerd.

    Raises:
        BadContent: that is no such URL. Unreachable; Refused: the server has it not.
    """
    full = url if "://" in url else f"http://{url}"
    parts = urlsplit(full)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise BadContent(f'cannot import from "{url}": only http and https URLs without credentials are fetched')
    transport = Transport(Endpoint(parts.scheme, parts.netloc))
    try:
        answer = transport.request("GET", full)
        if answer.status != 200:
            text = let_go(answer).decode(errors="replace")
            shown = f"failed to GET {full} with status {answer.status} {answer.reason or ''}".rstrip()
            raise Refused(answer.status, "", f"{shown}: {text}" if text else shown)
        try:
            yield Download(answer, full, listener)
        finally:
            answer.close()
    finally:
        transport.close()
