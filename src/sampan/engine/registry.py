"""Registries for the API: pull, push, login, search; events and messages around the distribution room.

What a client waits for runs on threads of its own, so that slow registries keep nothing else waiting. A client that
leaves ends its pull or push; what came in is kept for the next try.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from sampan.api import schema
from sampan.engine.errors import BadParameter
from sampan.image import digest as digests
from sampan.image import reference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import Any

    from sampan.distribution.auth import Credentials
    from sampan.distribution.listener import Listener
    from sampan.distribution.search import Hit
    from sampan.distribution.service import Distribution
    from sampan.engine.contracts import Filters
    from sampan.engine.core import Core
    from sampan.image.reference import Reference

THREADS: Final = 8  # pulls and pushes at once; each has more for its layers
_SEARCH_FILTERS: Final = frozenset({"is-official", "is-automated", "stars"})


class Registry:
    """Registries, as one engine's clients reach them."""

    def __init__(self, core: Core) -> None:
        """Nothing is imported or connected yet."""
        self._core = core
        self._distribution: Distribution | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="registry")

    def _room(self) -> Distribution:
        """Return the distribution room: imported at the first use, since an engine at rest needs none of it."""
        if self._distribution is None:
            from sampan.distribution.service import Distribution

            self._distribution = Distribution(self._core.images, lambda: self._core.settings.registries)
        return self._distribution

    def pull(self, image: str, tag: str, *, platform: str, auth: str) -> AsyncIterator[bytes]:
        """Pull a name, with ``tag`` a tag or a digest; all tags where there is neither. Yields dockerd's messages.

        Before the first message it may raise ImageError.
        """
        name = _named(image, tag)
        if name.familiar_name == "scratch":
            raise BadParameter("'scratch' is a reserved name")
        credentials = _credentials(auth)

        def work(listener: Listener) -> None:
            room = self._room()
            for one in [name] if name.tag or name.digest else room.tags(name, credentials):
                found = room.pull(one, platform, credentials, listener)
                self._publish("pull", found.id, one.familiar, {**found.labels, "name": one.familiar_name})

        return self._messages(work)

    def push(self, image: str, tag: str, *, platform: str = "", auth: str) -> AsyncIterator[bytes]:
        """Push a tag, or all tags of a repository where none is named. Yields dockerd's messages."""
        name = reference.parse(image)
        if name.digest:
            raise BadParameter("cannot push a digest reference")
        name = name.with_tag(tag) if tag else name
        credentials = _credentials(auth)
        wanted = [name] if name.tag else self._tags(name) or [name.tagged()]

        def work(listener: Listener) -> None:
            for one in wanted:
                if platform:
                    self._core.images.resolve(one.familiar, platform)
                self._room().push(one, credentials, listener)
                self._publish("push", one.familiar, one.familiar, {"name": one.familiar_name})

        return self._messages(work)

    def import_url(
        self, url: str, *, repo: str, tag: str, message: str, changes: Sequence[str], platform: str | None
    ) -> AsyncIterator[bytes]:
        """Make an image of an archive that a web server has. Yields dockerd's messages, the last one with its id.

        Before the first message it may raise ImageError.
        """
        images = self._core.images
        name = f"{repo}:{tag}" if repo and tag else repo or None

        def work(listener: Listener) -> None:
            from sampan.distribution.fetch import opened

            with opened(url, listener) as archive:
                listener.tell({"status": f"Downloading from {archive.url}"})
                image = images.import_(
                    cast("BinaryIO", archive),
                    name,
                    message=message,
                    changes=changes,
                    platform=platform,
                )
            listener.tell({"status": image.id})
            self._publish("import", image.id, image.id, {**image.labels, "name": name or image.id})

        return self._messages(work)

    async def login(self, auth: schema.AuthConfig) -> schema.AuthStatus:
        """Check credentials. Raises Denied and the like."""
        from sampan.distribution.auth import from_document

        given = from_document(schema.to_json(auth))
        token = await self._thread(lambda: self._room().login(auth.serveraddress, given))
        return schema.AuthStatus(status="Login Succeeded", identity_token=token)

    async def inspect(self, image: str, *, auth: str) -> schema.DistributionInspect:
        """Return what a registry has under a name."""
        name, credentials = reference.parse(image).tagged(), _credentials(auth)
        found = await self._thread(lambda: self._room().inspect(name, credentials))
        descriptor = schema.Descriptor(
            media_type=found.descriptor.media_type, digest=found.descriptor.digest, size=found.descriptor.size
        )
        platforms = [
            schema.OCIPlatform(architecture=one.architecture, os=one.os, variant=one.variant) for one in found.platforms
        ]
        return schema.DistributionInspect(descriptor=descriptor, platforms=platforms)

    async def search(self, term: str, *, limit: int | None, filters: Filters, auth: str) -> list[schema.SearchResult]:
        """Search Docker Hub, or the registry that the term begins with."""
        from sampan.distribution.search import DEFAULT_LIMIT, MAX_LIMIT

        most = limit or DEFAULT_LIMIT
        if not 1 <= most <= MAX_LIMIT:
            raise BadParameter(f"limit {most} is outside the range of [1, {MAX_LIMIT}]")
        tests = _search_tests(filters)
        credentials = _credentials(auth)
        found = await self._thread(lambda: self._room().search(term, most, credentials))
        return [
            schema.SearchResult(
                name=one.name,
                description=one.description,
                star_count=one.stars,
                is_official=one.official,
                is_automated=one.automated,
            )
            for one in found
            if all(test(one) for test in tests)
        ]

    def close(self) -> None:
        """End the threads; what they do ends with sampand."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _tags(self, name: Reference) -> list[Reference]:
        own = (reference.parse(tag) for image in self._core.images.list() for tag in image.tags)
        return sorted((one for one in own if one.name == name.name), key=lambda one: one.familiar)

    def _publish(self, action: str, subject: str, name: str, attributes: dict[str, str]) -> None:
        loop = self._loop
        loop.call_soon_threadsafe(self._core.events.publish, "image", action, name or subject, attributes)

    async def _thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _messages(self, work: Callable[[Listener], None]) -> AsyncIterator[bytes]:
        """Run it on a thread and yield what it tells; when the client leaves, it is told to end."""
        from sampan.distribution.listener import Listener

        self._loop = loop = asyncio.get_running_loop()
        messages: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()

        def report(message: dict[str, object]) -> None:
            loop.call_soon_threadsafe(messages.put_nowait, message)

        listener = Listener(report)
        working = self._core.spawn(self._thread(lambda: work(listener)))
        working.add_done_callback(lambda _done: messages.put_nowait(None))
        try:
            while (message := await messages.get()) is not None:
                yield schema.encode(message) + b"\r\n"
            await working
        finally:
            listener.gone.set()
            working.add_done_callback(_heard)


def _heard(working: asyncio.Task[Any]) -> None:
    """Nobody is there any more to be told of an error."""
    if not working.cancelled():
        working.exception()


def _named(image: str, tag: str) -> Reference:
    """Return the reference of a pull: ``tag`` may be a digest; a name's own tag or digest counts where it is empty."""
    name = reference.parse(image)
    if not tag:
        return name
    return name.with_digest(digests.parse(tag)) if ":" in tag else name.with_tag(tag)


def _credentials(auth: str) -> Credentials:
    from sampan.distribution.auth import from_header

    return from_header(auth)


def _search_tests(filters: Filters) -> list[Callable[[Hit], bool]]:
    tests: list[Callable[[Hit], bool]] = []
    for key, values in filters.items():
        if key not in _SEARCH_FILTERS:
            raise BadParameter(f"invalid filter '{key}'")
        tests += [_search_test(key, value) for value in values]
    return tests


def _search_test(key: str, value: str) -> Callable[[Hit], bool]:
    if not (value.isdigit() if key == "stars" else value in ("true", "false", "1", "0")):
        raise BadParameter(f"invalid filter '{key}=[{value}]'")
    wanted = value in ("true", "1")
    match key:
        case "stars":
            return lambda hit: hit.stars >= int(value)
        case "is-official":
            return lambda hit: hit.official == wanted
    return lambda hit: hit.automated == wanted
