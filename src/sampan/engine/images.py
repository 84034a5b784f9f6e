"""Images for the API: the image room's answers in the contract's types, events, and what containers stand against."""

from __future__ import annotations

import asyncio
import builtins
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from sampan.api import schema
from sampan.engine import pruning, sending
from sampan.engine.errors import Internal
from sampan.engine.globs import compiled
from sampan.engine.inspection import driver_name
from sampan.engine.listing import has_label
from sampan.engine.pipe import Pipe
from sampan.engine.units import SECOND, rfc3339
from sampan.image.removal import Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sampan.engine.contracts import BodyStream, Filters
    from sampan.engine.core import Core
    from sampan.image.difference import Difference
    from sampan.image.model import Image

_FILTERS: Final = frozenset({"before", "since", "dangling", "label", "reference", "until"})
_PORTION: Final = 500  # differences that are told at once
_LOADED: Final = "Loaded image: "


class ImageService:
    """The images of one engine. Every call raises the image room's errors, which carry their HTTP status."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(
        self,
        *,
        all: bool,  # noqa: A002 (the API's name; no image here is an intermediate one)
        filters: Filters,
        digests: bool,
        shared_size: bool,
    ) -> list[schema.ImageSummary]:
        """Return the images that pass the filters, newest first."""
        tests = self._tests(filters)
        found = [one for one in self._core.images.list() if _passes(tests, one)]
        found.sort(key=lambda one: (-one.created_s, one.id))
        shared = self._shared() if shared_size else {}
        return [_summary(one, shared.get(one.id, -1), filters.get("reference", ())) for one in found]

    def _tests(self, filters: Filters) -> builtins.list[Callable[[Image], bool]]:
        tests: builtins.list[Callable[[Image], bool]] = []
        pruning.check(filters, _FILTERS)
        if filters.get("dangling"):
            wanted = pruning.flag(filters, "dangling", default=True)
            tests.append(lambda image: (not image.tags) == wanted)
        for key, values in filters.items():
            tests += [self._test(key, value) for value in values if key not in ("reference", "dangling")]
        references = filters.get("reference")
        if references:
            tests.append(lambda image: any(_named(image, pattern) for pattern in references))
        return tests

    def _test(self, key: str, value: str) -> Callable[[Image], bool]:
        match key:
            case "label":
                return lambda image: has_label(image.labels, value)
            case "before":
                mark = _created_ns(self._core.images.resolve(value))
                return lambda image: _created_ns(image) < mark
            case "since":
                mark = _created_ns(self._core.images.resolve(value))
                return lambda image: _created_ns(image) > mark
        before = pruning.moment({"until": [value]}, Internal) or 0  # where dockerd answers 500
        return lambda image: _created_ns(image) < before

    def _shared(self) -> dict[str, int]:
        """Return, for each image, the bytes of layers that another image has too."""
        users: dict[str, int] = {}
        images = self._core.images.list()
        for image in images:
            for chain_id in image.chain_ids:
                users[chain_id] = users.get(chain_id, 0) + 1
        return {
            image.id: sum(
                size for chain, size in zip(image.chain_ids, image.layer_sizes, strict=True) if users[chain] > 1
            )
            for image in images
        }

    async def inspect(self, ref: str, platform: str = "") -> schema.ImageInspect:
        """Return everything about an image. Raises WrongPlatform: it is for another one."""
        return _inspect(await self._core.thread(self._core.images.resolve, ref, platform), self._core.snapshots.name)

    async def history(self, ref: str, platform: str = "") -> builtins.list[schema.ImageHistory]:
        """Return the steps that made an image, newest first."""
        found = await self._core.thread(self._core.images.history, ref, platform)
        return [schema.convert(item, schema.ImageHistory) for item in found]

    async def layers(self) -> builtins.list[schema.ImageLayers]:
        """Return the layers of every image, bottom first."""
        return [_layers(one) for one in self._core.images.list()]

    async def differences(self, first: str, second: str) -> AsyncIterator[builtins.list[schema.ImageDifference]]:
        """Yield, in portions, what the image `second` has otherwise than `first`. Raises ImageNotFound at once."""
        return self._portions(await self._core.thread(self._core.images.differences, first, second))

    async def _portions(self, found: Iterator[Difference]) -> AsyncIterator[builtins.list[schema.ImageDifference]]:
        try:
            while portion := await self._core.thread(lambda: list(itertools.islice(found, _PORTION))):
                yield [schema.ImageDifference(kind=one.kind, path=one.path, size=one.size) for one in portion]
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                await self._core.thread(close)

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        """Give an image another name."""
        await self._core.run(self._tag(ref, repo, tag))

    async def _tag(self, ref: str, repo: str, tag: str) -> None:
        await self._core.thread(self._core.images.tag, ref, repo, tag)
        name = f"{repo}:{tag}" if tag else repo
        self._event("tag", self._core.images.resolve(name), name)

    async def remove(self, ref: str, *, force: bool, noprune: bool) -> builtins.list[schema.ImageDelete]:
        """Remove a name, or an image with its last name."""
        return await self._core.run(self._remove(ref, force=force, prune=not noprune))

    async def _remove(self, ref: str, *, force: bool, prune: bool) -> builtins.list[schema.ImageDelete]:
        core = self._core
        image = core.images.resolve(ref)
        records = await core.thread(lambda: core.images.remove(ref, force=force, prune=prune, in_use=self._in_use))
        for record in records:
            if "Untagged" in record:
                core.events.publish("image", "untag", image.id, {**image.labels, "name": image.id})
            elif record.get("Deleted") == image.id:
                core.events.publish("image", "delete", image.id, {**image.labels, "name": image.id})
        return [schema.convert(record, schema.ImageDelete) for record in records]

    def _in_use(self, image_id: str) -> builtins.list[Use]:
        # Those being made first: they come into the catalogue before they leave the other.
        making = [Use(container, False) for container, image in list(self._core.making.items()) if image == image_id]
        return [Use(one.id, one.running) for one in self._core.catalog if one.image_id == image_id] + making

    async def load(self, body: BodyStream, *, quiet: bool, platform: str = "") -> AsyncIterator[bytes]:
        """Load an archive; yield Docker's progress messages, one JSON object a line."""
        core, pipe = self._core, Pipe()
        messages: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def report(message: dict[str, object]) -> None:
            loop.call_soon_threadsafe(messages.put_nowait, message)

        filling = core.spawn(_quietly(pipe, body))
        loading = core.spawn(core.thread(lambda: core.images.load(cast("BinaryIO", pipe), report, quiet, platform)))
        loading.add_done_callback(lambda _: messages.put_nowait(None))
        try:
            while (message := await messages.get()) is not None:
                self._tell_loaded(message)
                yield schema.encode(message) + b"\r\n"
            await loading
        finally:
            pipe.abandon()
            filling.cancel()

    def _tell_loaded(self, message: dict[str, object]) -> None:
        text = str(message.get("stream", ""))
        if text.startswith(_LOADED):
            name = text.removeprefix(_LOADED).strip()
            image = self._core.images.resolve(name)
            self._event("load", image, image.id)

    async def save(self, names: Sequence[str], platform: str = "") -> AsyncIterator[bytes]:
        """Return an archive of images, as a tar stream."""
        core = self._core
        chosen = await core.thread(core.images.choose, names, platform)
        for one in chosen:
            self._event("save", one.image, one.image.id)
        return sending.pieces(core, core.images.save(chosen))

    async def import_(
        self,
        body: BodyStream,
        *,
        repo: str,
        tag: str,
        message: str,
        changes: Sequence[str],
        platform: str | None,
    ) -> str:
        """Make an image of a root file system's archive; return its id."""
        core, pipe = self._core, Pipe()
        name = f"{repo}:{tag}" if repo and tag else repo or None
        filling = core.spawn(_quietly(pipe, body))
        try:
            image = await core.thread(
                lambda: core.images.import_(
                    cast("BinaryIO", pipe),
                    name,
                    message=message,
                    changes=changes,
                    platform=platform,
                )
            )
        finally:
            pipe.abandon()
            filling.cancel()
        self._event("import", image, name or image.id)
        return image.id

    def _event(self, action: str, image: Image, name: str) -> None:
        self._core.events.publish("image", action, image.id, {**image.labels, "name": name})


async def _quietly(pipe: Pipe, body: BodyStream) -> None:
    """Fill the pipe; an error of the body's is told by the reader, who meets it."""
    try:
        await pipe.fill(body)
    except Exception:  # noqa: BLE001 (the reader raises it, in the right place)
        return


def _passes(tests: Sequence[Callable[[Image], bool]], image: Image) -> bool:
    return all(test(image) for test in tests)


def _created_ns(image: Image) -> int:
    """When it was made, in ns since 1970: images of one second are told apart."""
    fraction = image.created.partition(".")[2]
    digits = "".join(itertools.takewhile(str.isdigit, fraction))
    return image.created_s * SECOND + int(digits[:9].ljust(9, "0"))


def _named(image: Image, pattern: str) -> bool:
    """Docker's reference filter: a shell pattern for the name with or without tag; ``*`` does not cross a slash."""
    return any(_name_fits(name, pattern) for name in (*image.tags, *image.digests))


def _name_fits(name: str, pattern: str) -> bool:
    bare, pinned, _ = name.partition("@")
    if not pinned:
        bare = name.rpartition(":")[0]
    return _glob(name, pattern) or _glob(bare, pattern)


def _glob(name: str, pattern: str) -> bool:
    return compiled(pattern).fullmatch(name) is not None


def _summary(image: Image, shared: int, patterns: Sequence[str]) -> schema.ImageSummary:
    """Of the names only those that were asked for, as Docker does."""

    def wanted(names: Sequence[str]) -> builtins.list[str]:
        return [name for name in names if not patterns or any(_name_fits(name, pattern) for pattern in patterns)]

    return schema.ImageSummary(
        created=image.created_s,
        id=image.id,
        labels=image.labels or None,
        repo_digests=wanted(image.digests),
        repo_tags=wanted(image.tags),
        shared_size=shared,
        size=image.size,
    )


def _layers(image: Image) -> schema.ImageLayers:
    sized = zip(image.chain_ids, image.layer_sizes, strict=True)
    return schema.ImageLayers(id=image.id, layers=[schema.ImageLayer(chain_id=one, size=size) for one, size in sized])


def _inspect(image: Image, driver: str) -> schema.ImageInspect:
    config = image.config
    steps = config.get("history") or []
    comment = steps[-1].get("comment", "") if steps and isinstance(steps[-1], dict) else ""
    return schema.ImageInspect(
        id=image.id,
        repo_tags=list(image.tags),
        repo_digests=list(image.digests),
        comment=str(config.get("comment") or comment),
        created=image.created,
        docker_version=str(config.get("docker_version") or ""),
        author=str(config.get("author") or ""),
        config=schema.convert(dict(image.defaults), schema.ImageConfig),
        architecture=image.architecture,
        variant=image.variant,
        os=image.os,
        os_version=str(config.get("os.version") or ""),
        size=image.size,
        graph_driver=schema.GraphDriver(name=driver_name(driver), data=None),
        root_fs=schema.RootFS(layers=list(image.diff_ids)),
        metadata=schema.ImageMetadata(last_tag_time=rfc3339(image.tagged_ns)),
    )
