"""Checks what was configured about registries and makes it one value, in dockerd's words where it refuses."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from sampan.daemon.flags import UsageError
from sampan.distribution import config
from sampan.distribution.config import Registries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sampan.daemon.values import Value

log = logging.getLogger(__name__)

DOWNLOADS: Final = "max-concurrent-downloads"
UPLOADS: Final = "max-concurrent-uploads"
ATTEMPTS: Final = "max-download-attempts"
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_HUB_NAMES: Final = ("index.docker.io", "registry-1.docker.io")


def decide(values: Mapping[str, Value], certs: Sequence[Path]) -> Registries:
    """Return what ``values``, by the names of flags, say. Raises UsageError."""
    mirrors = {host: tuple(map(_mirror, urls)) for host, urls in _map(values.get("mirrors")).items()}
    mirrors = {_mirrored(host): urls for host, urls in mirrors.items()}
    hub = [_mirror(one) for one in _list(values.get("registry-mirror"))]
    if hub:
        mirrors[config.HUB] = tuple(dict.fromkeys((*hub, *mirrors.get(config.HUB, ()))))
    default = Registries()
    return Registries(
        mirrors=mirrors,
        insecure=tuple(dict.fromkeys(_insecure(one) for one in _list(values.get("insecure-registry")))),
        certs=tuple(certs),
        max_downloads=_limit(values, DOWNLOADS, "max concurrent downloads") or default.max_downloads,
        max_uploads=_limit(values, UPLOADS, "max concurrent uploads") or default.max_uploads,
        max_attempts=_limit(values, ATTEMPTS, "max download attempts") or default.max_attempts,
    )


def _limit(values: Mapping[str, Value], name: str, words: str) -> int:
    """Return a limit, 0 for the default, as dockerd has it."""
    limit = values.get(name, 0)
    if not isinstance(limit, int) or limit < 0:
        raise UsageError(f"invalid {words}: {limit}")
    return limit


def _list(value: Value | None) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Value | None) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mirrored(host: str) -> str:
    """Return the host that a key of ``mirrors`` means."""
    if host == config.ANY:
        return host
    if host.lower() in _HUB_NAMES:
        return config.HUB
    if not _is_host(host):
        raise UsageError(f'mirrors: invalid registry "{host}": it must be a host, with its port if it has one, or *')
    return host.lower()


def _mirror(url: str) -> str:
    """Return a mirror's URL with a slash at its end."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (is checked when it is read)
    except ValueError as error:
        raise UsageError(f'invalid mirror: "{url}" is not a valid URI: {error}') from None
    if any(letter <= " " or letter == "\x7f" for letter in url):
        raise UsageError(f"invalid mirror: {_quoted(url)} is not a valid URI: it has a space or a control character")
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"invalid mirror: unsupported scheme {_quoted(parts.scheme)} in {_quoted(url)}")
    if parts.query or parts.fragment:
        raise UsageError(f"invalid mirror: query or fragment at end of the URI {_quoted(url)}")
    if "@" in parts.netloc:
        shown = _without_password(parts)
        raise UsageError(f"invalid mirror: username/password not allowed in URI {_quoted(shown)}")
    if not parts.hostname:
        raise UsageError(f"invalid mirror: no host in {_quoted(url)}")
    return url.rstrip("/") + "/"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _without_password(parts: SplitResult) -> str:
    credentials, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials.partition(':')[0]}:xxxxx@{place}").geturl()


def _insecure(text: str) -> str:
    """Return an insecure registry: a network, or a host with its port."""
    if text.startswith("-") or text.endswith("-"):
        raise UsageError(f"invalid index name ({text}). Cannot begin or end with a hyphen")
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme.lower() not in ("http", "https"):
            raise UsageError(f"insecure registry {text} should not contain '://'")
        log.warning(
            "insecure registry %s should not contain '%s://' and '%s://' has been removed from the insecure registry "
            "config",
            *(text, scheme, scheme),
        )
        text = rest
    if config.network(text) is not None:
        return text
    why = _fault(text)
    if why:
        raise UsageError(f"insecure registry {text} is not valid: {why}")
    return text.lower()


def _fault(host: str) -> str:
    name, port = _split(host)
    if not _HOST.fullmatch(name):
        return f'invalid host "{host}"'
    if port is not None and not (port.isdecimal() and port.isascii() and int(port) <= 65535):
        return f'invalid port "{port}"'
    return ""


def _is_host(host: str) -> bool:
    return not _fault(host)


def _split(host: str) -> tuple[str, str | None]:
    """Split at the port's colon, which isn't one of an IPv6 address."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and not host.endswith("]") else (host, None)
