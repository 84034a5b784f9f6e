"""What is known of registries before one is asked: mirrors, which may go without TLS, certificates.

Words.  *host*: a registry as references name it, lower case, with its port if that is not the scheme's own
        (``ghcr.io``, ``localhost:5000``, ``[::1]:5000``; ``docker.io`` for Docker Hub). *mirror*: the URL of a registry
        that is asked before that host. *insecure*: reached over HTTPS without looking at the certificate, or over HTTP.
        *certs.d*: a directory with one directory for each host: ``*.crt`` are authorities to trust besides those of
        the system, ``NAME.cert`` with ``NAME.key`` a client certificate (docs.docker.com, "Verify repository client
        with certificates").
Life.   Values; a reload of sampand's configuration makes another ``Registries``. ``certs.d`` is read when it is asked
        for: certificates are renewed without a reload.
Cost.   ``is_insecure`` resolves a name if a network is among the insecure ones, which the loopback's always are, and
        ``certificates`` reads a directory: both block, and belong into a thread.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HUB: Final = "docker.io"
ANY: Final = "*"  # the key in ``mirrors`` for every host
LOOPBACK: Final = ("::1/128", "127.0.0.0/8")  # always insecure, as in Docker: who runs one there needs no certificate


class BadCertificates(Exception):
    """A host's directory in certs.d can't be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What certs.d has for a host: files in PEM, none of them opened yet."""

    authorities: tuple[Path, ...] = ()
    client: tuple[tuple[Path, Path], ...] = ()  # (certificate, key)


@dataclass(frozen=True, slots=True)
class Registries:
    """Everything that was configured about registries.

    ``mirrors``: host → URLs in the order in which they are asked; Docker's registry-mirrors are those of ``docker.io``.
    ``insecure``: hosts, with their port, and networks in CIDR notation. ``certs``: certs.d directories; the first one
    that has a host is the one that counts for it.
    """

    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure: tuple[str, ...] = ()
    certs: tuple[Path, ...] = ()
    max_downloads: int = 3  # layers at once, of one pull
    max_uploads: int = 5
    max_attempts: int = 5  # for one layer, before the pull fails

    def mirrors_of(self, host: str) -> tuple[str, ...]:
        """Return the mirrors' URLs for a host, without the host itself: its own, then those for all, each once."""
        return tuple(dict.fromkeys((*self.mirrors.get(host, ()), *self.mirrors.get(ANY, ()))))

    def is_insecure(self, host: str) -> bool:
        """Tell whether a host may go without TLS, or without a certificate that can be trusted. Blocking.

        It may if it is listed, or if one of its addresses is in a listed network or on the loopback. Docker Hub never.
        """
        if host == HUB:
            return False
        if host in self.insecure:
            return True
        networks = _networks((*LOOPBACK, *self.insecure))
        return any(address in network for address in _addresses(host) for network in networks)

    def certificates(self, host: str) -> Certificates:
        """Return what certs.d has for a host. Blocking. Raises BadCertificates: half a pair, unreadable."""
        if host in ("", ".", "..") or "/" in host:
            return Certificates()
        for directory in self.certs:
            try:
                names = sorted(os.listdir(directory / host))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise BadCertificates(f"open {directory / host}: {(error.strerror or '').lower()}") from None
            return _certificates(directory / host, names)
        return Certificates()


def _certificates(directory: Path, names: list[str]) -> Certificates:
    """Sort a directory's files by their extension, which is all that tells what they are."""
    pairs = []
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension == ".cert":
            if f"{stem}.key" not in names:
                raise BadCertificates(
                    f"missing key {stem}.key for client certificate {name}. CA certificates must use the extension .crt"
                )
            pairs.append((directory / name, directory / f"{stem}.key"))
        elif extension == ".key" and f"{stem}.cert" not in names:
            raise BadCertificates(f"missing client certificate {stem}.cert for key {name}")
    return Certificates(tuple(directory / name for name in names if name.endswith(".crt")), tuple(pairs))


def network(text: str) -> Network | None:
    """Return the network that is written in CIDR notation; None: it is none, but perhaps a host."""
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _networks(texts: tuple[str, ...]) -> list[Network]:
    return [found for found in map(network, texts) if found is not None]


def _addresses(host: str) -> list[Address]:
    """Return a host's addresses; none if its name can't be resolved: then it isn't in any network."""
    name = without_port(host)
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(where[4][0]).partition("%")[0]) for where in found]


def without_port(host: str) -> str:
    """Return the name or address of a host: ``[::1]:5000`` → ``::1``, ``localhost:5000`` → ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]
