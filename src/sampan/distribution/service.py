"""The room's front door: which endpoints a name is asked at, and with whose credentials.

Mirrors come first and get no credentials; then the registry: by HTTPS, and where it is insecure by HTTP too.
Threads. Every method blocks, and may be called from any thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sampan.distribution import manifest as manifests
from sampan.distribution.auth import NOBODY, Credentials
from sampan.distribution.config import HUB, BadCertificates, Registries
from sampan.distribution.download import Downloads
from sampan.distribution.errors import BadContent
from sampan.distribution.listener import Slots
from sampan.distribution.manifest import Descriptor, Index
from sampan.distribution.pull import Pull, Store
from sampan.distribution.push import Push
from sampan.distribution.registry import Repository, first
from sampan.distribution.search import Hit, search
from sampan.distribution.transport import Endpoint
from sampan.image import model, platforms

if TYPE_CHECKING:
    from sampan.distribution.listener import Listener
    from sampan.image.model import Image
    from sampan.image.platforms import Platform
    from sampan.image.reference import Reference
    from sampan.image.store import Images

HUB_REGISTRY: Final = "registry-1.docker.io"
HUB_INDEX: Final = "index.docker.io"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a registry has under a name."""

    descriptor: Descriptor
    platforms: tuple[Platform, ...]


class Distribution:
    """Registries, as one daemon sees them."""

    def __init__(self, images: Images, registries: Callable[[], Registries]) -> None:
        """``registries`` returns what is configured now."""
        self._images = images
        self._registries = registries
        self._downloads = Downloads(images.content, registries)
        self._uploads = Slots(lambda: registries().max_uploads)

    def pull(self, name: Reference, platform: str, credentials: Credentials, listener: Listener) -> Image:
        """Pull one tag or digest. Raises DistributionError, ImageError."""
        with self._sources(name, credentials) as sources:
            return Pull(Store(self._images, self._downloads), sources, name, platform, listener).run()

    def tags(self, name: Reference, credentials: Credentials) -> list[Reference]:
        """Return every tag of a repository. Raises DistributionError."""
        with self._sources(name, credentials) as sources:
            return [name.with_tag(tag) for tag in first(sources, lambda source: source.tags())]

    def push(self, name: Reference, credentials: Credentials, listener: Listener) -> Descriptor:
        """Push one tag. Raises DistributionError, ImageError."""
        with self._sources(name, credentials, mirrors=False) as sources:
            listener.tell({"status": f"The push refers to repository [{name.name}]"})
            target = first(sources, _alive)
            work = Push(
                self._images, target, name, listener,
                slots=self._uploads, attempts=self._registries().max_attempts,
            )  # fmt: skip
            return work.run(self._registries().max_uploads)

    def login(self, server: str, credentials: Credentials) -> str:
        """Ask a registry whether it takes the credentials; return an identity token, or "".

        Raises Denied, Unreachable and the like.
        """
        host = server.removeprefix("https://").removeprefix("http://").partition("/")[0] or HUB_INDEX
        if host in (HUB, HUB_INDEX):
            host = HUB
        with self._at(host, "library/none", credentials) as sources:
            accepted = first(sources, _accepts)
            return accepted.identity_token

    def inspect(self, name: Reference, credentials: Credentials) -> Inspected:
        """Return what a registry has under a name, without pulling it. Raises DistributionError."""
        with self._sources(name, credentials) as sources:
            content, descriptor = first(sources, lambda one: one.manifest(name.digest or name.tag or "latest"))
            document = manifests.parse(content, descriptor.media_type, name.familiar)
            shown = Descriptor(document.media_type, descriptor.digest, descriptor.size)
            if isinstance(document, Index):
                return Inspected(shown, tuple(platform for _, platform in document.manifests))
            source = sources[0]
            config, _ = model.check_config(source.small_blob(document.config))
            return Inspected(shown, (platforms.of(config),))

    def search(self, term: str, limit: int, credentials: Credentials) -> list[Hit]:
        """Search Docker Hub, or the registry that the term begins with (``localhost:5000/redis``)."""
        host, rest = _split(term)
        with self._at(HUB_INDEX if host == HUB else host, "library/none", credentials) as sources:
            found = first(sources, lambda source: search(source, rest, limit))
        return found if host == HUB else [Hit(f"{host}/{h.name}", h.description, h.stars) for h in found]

    # Endpoints

    @contextlib.contextmanager
    def _sources(
        self, name: Reference, credentials: Credentials, *, mirrors: bool = True
    ) -> Iterator[list[Repository]]:
        with self._at(name.domain, name.path, credentials, mirrors=mirrors) as sources:
            yield sources

    @contextlib.contextmanager
    def _at(
        self, host: str, path: str, credentials: Credentials, *, mirrors: bool = False
    ) -> Iterator[list[Repository]]:
        """Give the repositories to ask in turn; close them at the end."""
        registries = self._registries()
        with contextlib.ExitStack() as stack:
            found: list[Repository] = []

            def add(endpoint: Endpoint, whose: Credentials) -> None:
                one = Repository(endpoint, path, whose)
                stack.callback(one.close)
                found.append(one)

            try:
                for url in registries.mirrors_of(host) if mirrors else ():
                    add(_mirror(url, registries), NOBODY)
                asked = HUB_REGISTRY if host == HUB else host
                certificates = registries.certificates(host)
                insecure = registries.is_insecure(host)
                add(Endpoint("https", asked, insecure=insecure, certificates=certificates), credentials)
                if insecure:
                    add(Endpoint("http", asked, insecure=True), credentials)
            except BadCertificates as error:
                raise BadContent(str(error)) from error
            yield found


def _mirror(url: str, registries: Registries) -> Endpoint:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    insecure = parts.scheme == "http" or registries.is_insecure(host)
    certificates = registries.certificates(host)
    prefix = parts.path.rstrip("/")
    return Endpoint(parts.scheme, host, insecure=insecure, mirror=True, prefix=prefix, certificates=certificates)


def _alive(source: Repository) -> Repository:
    source.ping()
    return source


def _accepts(source: Repository) -> Repository:
    source.check_credentials()
    return source


def _split(term: str) -> tuple[str, str]:
    """Return host and the rest of a search term, as references are split."""
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return HUB, term
