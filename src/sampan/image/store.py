"""Images on this machine: the room's front door.

Words.  *image*: a configuration and a stack of layers, named by the configuration's digest (its ID); tags are names
        that point at it. *pin*: a digest that an operation needs until it ends; *lease*: one that is kept for a while,
        see ``leases``. See ``reference`` for names, ``content`` for blobs, ``layers`` for unpacking.
Life.   load | import_ | builtin → tag … → remove. Blobs and unpacked layers are on the disk before the row that names
        them is committed; what no row names is removed by ``collect`` (after each removal) and by ``sweep`` (at start).
Threads Every method may be called from any thread. ``resolve``, ``list`` and ``history`` read memory only, without a
        lock.
Cost.   resolve: microseconds. load: one write of each blob, one unpacking of each new layer, one syncfs.

Differences to the first sketch: ``remove``'s ``in_use`` returns ``Use(container, running)``, because Docker's rules
tell running from stopped containers; ``collect`` is to be called after a container was removed whose image is gone;
``obtain`` is ``resolve`` for making containers: it brings ``hello-world`` into being when first asked for.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sampan.image import archive, committing, digest, hello, importing, model, platforms, reference, removal, saving
from sampan.image import leases as leasing
from sampan.image.catalog import Catalog, check_platform
from sampan.image.compress import Source
from sampan.image.content import Content, sync_filesystem
from sampan.image.difference import Difference, differences
from sampan.image.errors import BadArchive, ImageNotFound, InvalidReference, MissingContent, WrongPlatform
from sampan.image.history import history
from sampan.image.layers import Fetch, Layers, Progress, no_progress, unpack_stack
from sampan.image.leases import LeaseRows, Leases
from sampan.image.model import CONFIG_LIMIT, Image
from sampan.image.progress import LayerProgress, Report
from sampan.image.removal import Use
from sampan.image.rows import ImageRow, ImageRows, LayerRow
from sampan.image.unpack import UnpackFailed
from sampan.linux.usage import tree_size

__all__ = ["Image", "Images", "Use"]

log = logging.getLogger(__name__)

Pin = Callable[[str], None]
Names = list[str]


class Held(NamedTuple):
    """What an operation says of what it needs; both take a digest or chain ID before it becomes visible."""

    pin: Pin  # until the operation ends
    keep: Pin  # of a blob that is complete: for a day, if the operation does not come to a good end


Items = list[dict[str, Any]]
Records = list[dict[str, str]]


class Images:
    """The images below one data root."""

    def __init__(
        self,
        root: Path,
        rows: ImageRows,
        snapshots: Layers,
        *,
        leases: LeaseRows | None = None,
        clock: Callable[[], int] = time.time_ns,
        architecture: str | None = None,
    ) -> None:
        """Open the images of the data root ``root``.

        ``clock`` gives ns since the epoch; ``architecture`` is a GOARCH name, this machine's by default. Without rows
        for ``leases`` they end with the process.
        """
        self.content = Content(root / "content")
        self.leases = Leases(leases or leasing.Forgetful(), clock)
        self._rows = rows
        self._layers = snapshots
        self._clock = clock
        self.architecture = architecture or platforms.host_architecture()
        self._lock = threading.RLock()  # held while rows change and while unneeded things are removed
        self._pins: Counter[str] = Counter()  # digests and chain IDs that running operations need
        self._configs: dict[str, bytes] = {}
        self.damaged: dict[str, str] = {}  # image ID → what is wrong with its configuration on the disk
        self._unreadable: set[str] = set()  # images whose rows are damaged
        self._catalog = Catalog(())
        self._reread()

    # --- looking ---------------------------------------------------------------------------------------------------

    def resolve(self, ref: str, platform: str | None = None) -> Image:
        """Return the image called ``ref``: a name (tag ``latest`` by default), ``name@digest``, or an ID's beginning.

        Raises ImageNotFound, AmbiguousId, InvalidReference; WrongPlatform when ``platform`` (os/arch[/variant]) is
        given and the image is for another one.
        """
        return self._catalog.resolve(ref, platform)

    def obtain(self, ref: str, platform: str | None = None) -> Image:
        """Return the image called ``ref`` to make a container of: as ``resolve``, and a built-in one is made now.

        A built-in one for another platform gives its name to that for ``platform``, as with a pull. Blocks for as long
        as a small image takes to be stored.
        """
        try:
            return self.resolve(ref, platform)
        except (ImageNotFound, WrongPlatform) as error:
            if not hello.is_name(ref):
                raise
            if isinstance(error, WrongPlatform) and not hello.is_own(self.resolve(ref).id):
                raise
            self._install_hello(platforms.asked(platform, self.architecture).architecture)
            return self.resolve(ref, platform)

    @contextlib.contextmanager
    def present(self, image_id: str) -> Iterator[None]:
        """Inside, the image is there and nobody removes it. Raises ImageNotFound. Be quick: others wait."""
        with self._lock:
            if image_id not in self._catalog.by_id:
                raise ImageNotFound(image_id)
            yield

    @contextlib.contextmanager
    def holding(self, ref: str, platform: str | None = None) -> Iterator[Image]:
        """Resolve ``ref`` and keep its blobs and layers to the end of the block, though the image be removed meanwhile.

        For whoever reads them: save, push, a build. Raises as ``resolve`` does.
        """
        with self._pinning() as pin:
            with self._lock:
                image = self._catalog.resolve(ref, platform)
                for needed in filter(None, (image.id, image.manifest, *image.blobs, *image.chain_ids)):
                    pin(needed)
            yield image

    def list(self) -> list[Image]:
        """Return every image, in no particular order."""
        return list(self._catalog.by_id.values())

    def history(self, ref: str, platform: str = "") -> Items:
        """Return the steps that made the image, newest first, as the API's HistoryResponseItem."""
        return history(self.resolve(ref, platform))

    def differences(self, first: str, second: str) -> Iterator[Difference]:
        """Return what the image ``second`` has otherwise than ``first``; reading goes on while it is iterated.

        The layers stay meanwhile; close the iterator to let them go. Raises ImageNotFound, InvalidReference at once;
        MissingContent while iterating, when a layer can't be read.
        """
        return self._differences(self.resolve(first), self.resolve(second))

    def _differences(self, first: Image, second: Image) -> Iterator[Difference]:
        with self._pinning() as pin, _unreadable():
            for chain_id in (*first.chain_ids, *second.chain_ids):
                pin(chain_id)
            stacks = [[self._layers.layer(one) for one in reversed(image.chain_ids)] for image in (first, second)]
            yield from differences(*stacks)

    # --- bringing in -----------------------------------------------------------------------------------------------

    def load(self, stream: BinaryIO, report: Report, quiet: bool = False, platform: str = "") -> None:
        """Load every image of an archive (see ``archive``) that ``stream`` gives, plain or compressed.

        With ``platform`` only those for it; WrongPlatform where there is none.

        ``report`` gets Docker's progress messages, maybe from several threads, one at a time; ``quiet`` leaves out the
        bars. Raises ImageError with nothing of a broken image left behind; images before it in the archive stay.
        """
        with self._pinning() as pin, _disk_errors():
            spool = archive.Spool(self.content, pin)
            spool.take(_source(stream))
            named = 0
            loaded: list[str] = []
            for candidate in archive.fitting(spool, platform, self.architecture):
                names = [name.familiar for name in candidate.names]
                holders = {name: self._holder(name) for name in names}
                image = self._install(candidate, pin, names, LayerProgress(report, quiet=quiet))
                for name in names:
                    _report_name(report, image.id, name, holders[name])
                named += len(names)
                loaded.append(image.id)
            for image_id in loaded if not named else ():
                report({"stream": f"Loaded image ID: {image_id}\n"})

    def _holder(self, name: str) -> str | None:
        """Return the ID of the image that has the name."""
        return next((image.id for image in self.list() if name in image.tags), None)

    def import_(
        self,
        stream: BinaryIO,
        ref: str | None,
        *,
        message: str = "",
        changes: Sequence[str] = (),
        platform: str | None = None,
    ) -> Image:
        """Make an image of one layer out of a root file system's tar archive, as ``docker import`` does.

        ``message`` becomes the comment, ``changes`` are Dockerfile instructions. Raises InvalidReference,
        InvalidChange, BadArchive, UnpackFailed.
        """
        name = _new_name(ref) if ref else None
        config = importing.apply_changes(changes)
        target = importing.target(platform, self.architecture)
        with self._pinning() as pin, _disk_errors():
            with self.content.ingest() as blob:
                source = _source(stream)
                while chunk := source(importing.COPY_CHUNK):
                    blob.write(chunk)
                pin(blob.digest)
                layer = blob.commit()
            diff_id = importing.diff_id(self.content, layer)
            made = importing.configuration(config, diff_id, target, message, model.format_time(self._clock()))
            return self._install(archive.Candidate(made, (layer,)), pin, [name] if name else [])

    def commit(
        self,
        base: Image,
        layer: Iterator[bytes],
        commit: committing.Commit,
        *,
        name: str | None,
        read: Callable[[], None],
    ) -> Image:
        """Make an image of ``base`` and one more layer, a plain tar stream; ``read`` is called once that was read.

        ``name`` is a familiar one, see ``committing.new_name``. Raises ImageNotFound (``base`` is gone), BadArchive,
        UnpackFailed, and whatever ``layer`` raises.
        """
        with self._pinning() as pin, _disk_errors():
            for needed in (base.id, *base.blobs, *base.chain_ids):
                pin(needed)
            self._catalog.resolve(base.id)
            with self.content.ingest() as blob:
                committing.write(layer, blob)
                read()
                pin(blob.digest)
                diff_id = None if blob.digest == committing.EMPTY_LAYER else blob.commit()
            made = committing.configuration(base, commit, diff_id, model.format_time(self._clock()))
            blobs = (*base.blobs, diff_id) if diff_id is not None else base.blobs
            return self._install(archive.Candidate(made, blobs), pin, [name] if name else [])

    def builtin(self, name: str) -> Image:
        """Return the built-in image ``name``, made now when it isn't there. Raises ImageNotFound for unknown ones.

        An image that someone gave the same name stays what it is.
        """
        with self._lock, contextlib.suppress(ImageNotFound):
            return self._catalog.resolve(name)
        if not hello.is_name(name):
            raise ImageNotFound(name)
        return self._install_hello(self.architecture)

    def _install_hello(self, architecture: str) -> Image:
        layer = hello.layer(architecture)
        with self._pinning() as pin:
            pin(digest.of(layer))
            self.content.put(layer)
            candidate = archive.Candidate(hello.configuration(architecture, layer), (digest.of(layer),))
            return self._install(candidate, pin, [f"{hello.NAME}:latest"])

    def receiving(self) -> AbstractContextManager[Pin]:
        """Keep what is pinned inside from being collected, for whoever brings an image in by `install`."""
        return self._pinning()

    def has_layer(self, chain_id: str, blob: str) -> bool:
        """Tell whether a layer is unpacked and its blob is here too."""
        return self._layers.has(chain_id) and self.content.has(blob)

    def install(
        self,
        candidate: archive.Candidate,
        pin: Pin,
        names: Sequence[str],
        pinned: Sequence[str],
        *,
        progress: Progress,
        fetch: Fetch,
    ) -> Image:
        """Install an image whose manifest is in the content store and whose blobs ``fetch`` brings in.

        Raises ImageError, and what ``fetch`` raises, with nothing of the image left.
        """
        with _disk_errors():
            return self._install(candidate, pin, names, progress, pinned=pinned, fetch=fetch)

    def _install(
        self,
        candidate: archive.Candidate,
        pin: Pin,
        names: Sequence[str],
        progress: Progress = no_progress,
        *,
        pinned: Sequence[str] = (),
        fetch: Fetch | None = None,
    ) -> Image:
        """Unpack what is missing, make it durable, commit the row and the names."""
        _, diff_ids = model.check_config(candidate.config)
        if len(diff_ids) != len(candidate.layers):
            raise BadArchive(
                f"invalid manifest, layers length mismatch: expected {len(candidate.layers)}, got {len(diff_ids)}"
            )
        chain = digest.chain_ids(diff_ids)
        for needed in (candidate.id, *chain, *candidate.layers):
            pin(needed)
        self.content.put(candidate.config)
        stack = list(zip(diff_ids, candidate.layers, strict=True))
        sizes = unpack_stack(self.content, self._layers, stack, progress=progress, fetch=fetch)
        self._sync()
        with self._lock:
            sizes = self._catalog.layer_sizes() | sizes
            layers = tuple(
                LayerRow(
                    diff_id, blob, sizes[chain_id] if chain_id in sizes else tree_size(self._layers.layer(chain_id))
                )
                for (diff_id, blob), chain_id in zip(stack, chain, strict=True)
            )
            row = ImageRow(candidate.id, layers, candidate.manifest, self._clock(), tuple(names), tuple(pinned))
            self._put(row)
            return self._catalog.by_id[candidate.id]

    def _put(self, row: ImageRow) -> None:
        """Commit a row. Of an image that is there already, manifest and blobs stay, since they belong together.

        Only a first manifest replaces them: with it the image can be handed on as it came.
        """
        before = self._catalog.by_id.get(row.id)
        if before is not None and (before.manifest or not row.manifest):
            layers = tuple(map(LayerRow, before.diff_ids, before.blobs, before.layer_sizes))
            row = replace(row, layers=layers, manifest=before.manifest)
        self._rows.put(row)
        self._reread()
        if before is not None:
            self._collect(set(), set(before.blobs))

    def hand_on(self, image_id: str, blobs: Sequence[str], manifest: str) -> None:
        """Note the blobs and the manifest that an image was pushed with, in place of those that it came with.

        Both are in the content store, pinned. So it is pushed the next time as it is now, byte for byte.
        Raises ImageNotFound.
        """
        with self._lock:
            image = self._catalog.by_id.get(image_id)
            if image is None:
                raise ImageNotFound(image_id)
            self.content.sync()
            layers = tuple(map(LayerRow, image.diff_ids, blobs, image.layer_sizes))
            self._rows.put(ImageRow(image_id, layers, manifest, image.tagged_ns))
            self._reread()
            self._collect(set(), {*image.blobs, image.manifest or image_id})

    def _sync(self) -> None:
        self.content.sync()
        layers_root = self._layers.root
        if layers_root.stat().st_dev != self.content.root.stat().st_dev:
            sync_filesystem(layers_root)

    # --- handing out -----------------------------------------------------------------------------------------------

    def choose(self, names: Sequence[str], platform: str = "") -> Sequence[saving.Chosen]:
        """Return the images to be saved that ``names`` mean; see ``saving.choose`` for rules and errors."""
        chosen = saving.choose(self._catalog, names)
        for one in chosen:
            check_platform(one.tags[0].familiar if one.tags else one.image.id, one.image.platform, platform)
        return chosen

    def save(self, chosen: Sequence[saving.Chosen]) -> Iterator[bytes]:
        """Yield an archive of images; what they are made of stays until its end, or until the iterator is closed.

        Raises MissingContent before the first piece where a blob is missing, or behind a damaged layer.
        """
        with self._pinning() as pin:
            for digest_ in saving.needed(chosen):
                pin(digest_)
            yield from saving.archive(self.content, chosen)

    # --- names -----------------------------------------------------------------------------------------------------

    def tag(self, ref: str, repo: str, tag: str = "") -> None:
        """Give the image ``ref`` the name ``repo:tag`` (``latest`` by default); an image that had it loses it.

        Raises ImageNotFound, InvalidReference.
        """
        name = reference.parse(repo)
        if name.digest is not None:
            raise InvalidReference("refusing to create a tag with a digest reference")
        if name.familiar_name == "sha256":
            raise InvalidReference("refusing to create an ambiguous tag using digest algorithm as name")
        name = name.with_tag(tag) if tag else name.tagged()
        self._set_name(self.resolve(ref).id, name.familiar)

    def _set_name(self, image_id: str, name: str) -> None:
        self.add_names(image_id, [name])

    def add_names(self, image_id: str, names: Sequence[str], pinned: Sequence[str] = ()) -> None:
        """Give an image familiar names and pinned ones; images that had them lose them. Raises ImageNotFound."""
        with self._lock:
            if image_id not in self._catalog.by_id:
                raise ImageNotFound(image_id)
            self._rows.name(image_id, names, pinned, now_ns=self._clock())
            self._reread()

    def remove(
        self, ref: str, *, force: bool = False, prune: bool = True, in_use: Callable[[str], Sequence[Use]]
    ) -> Records:
        """Remove a name, and the image with its last one, by Docker's rules; see ``removal``.

        ``in_use`` returns the containers made of the image with this ID. ``prune`` is accepted for Docker's sake: there
        are no untagged parents here. Returns ``[{"Untagged": …}, …, {"Deleted": …}]``. Raises ImageNotFound,
        InvalidReference, ImageConflict.
        """
        with self._lock:
            image = self._catalog.resolve(ref)
            decided = removal.plan(image, ref, in_use(image.id), force=force)
            records = [{"Untagged": name} for name in decided.names]
            if not decided.delete:
                self._rows.unname(decided.names)
                self._reread()
                return records
            self._rows.delete(image.id)
            self._reread()
            gone = self._collect(set(image.chain_ids), {image.id, *image.blobs} | {image.manifest or image.id})
        self._layers.purge()
        records.append({"Deleted": image.id})
        return records + [{"Deleted": chain_id} for chain_id in reversed(image.chain_ids) if chain_id in gone]

    # --- cleaning up -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def leased(self, name: str) -> Iterator[Held]:
        """Keep what an operation brings in: what is pinned to its end, what is kept for a day if it fails or we die.

        ``name`` says what is done ("pull docker.io/library/busybox:latest") and finds the lease again at the next try,
        whose good end releases it; what no row names then is removed.
        """
        with self._pinning() as pin:
            yield Held(pin, lambda found: self._keep(name, found))
            before = self.leases.release(name)
            with self._lock:
                self._collect(set(), before)

    def give_up(self, name: str) -> None:
        """Release the lease of an operation that is not to be taken up again; what no row names then is removed."""
        held = self.leases.release(name)
        with self._lock:
            self._collect(set(), held)

    def _keep(self, name: str, blob: str) -> None:
        """Write down that a blob is kept; it is on the disk before, so that a later start can believe in it."""
        self.content.sync_blob(blob)
        self.leases.add(name, [blob])

    def collect(self) -> None:
        """Remove every layer, blob and old partial download that no image, container, operation or lease needs."""
        now = self._clock()
        with self._lock:
            self.leases.expire(now)
            self.content.expire(now)
            self._collect(set(self._layers.layers()), set(self.content.digests()))
        self._layers.purge()

    def holders(self) -> dict[str, Names]:
        """Return who needs each digest and chain ID: images by their names, operations, leases."""
        found: dict[str, Names] = {}
        with self._lock:
            images, pins = self.list(), [needed for needed, count in self._pins.items() if count > 0]
        named = [(", ".join(one.tags or one.digests) or f"untagged {one.id[7:19]}", one) for one in images]
        for who, image in sorted(named, key=lambda pair: pair[0]):
            for needed in dict.fromkeys(filter(None, (image.id, image.manifest, *image.blobs, *image.chain_ids))):
                found.setdefault(needed, []).append(f"image {who}")
        for needed in pins:
            found.setdefault(needed, []).append("an operation in progress")
        for lease in self.leases.list():
            for needed in lease.digests:
                found.setdefault(needed, []).append(f"lease {lease.name}")
        return found

    def sweep(self) -> None:
        """Remove what a crash left: half-written blobs, half-unpacked layers, and what ``collect`` removes.

        Partial downloads and what leases hold are kept for a day. Call at start, before anything else runs.
        """
        self.content.sweep(self._clock())
        self._layers.sweep()
        self.collect()

    def _collect(self, chain_ids: set[str], blobs: set[str]) -> set[str]:
        """Remove what nobody needs of these; return the chain IDs that went.

        Called with the lock held, so layers are only set aside: the caller purges when others needn't wait for it.
        """
        if self._unreadable:
            return set()
        leased = self.leases.held(self._clock())
        kept = set(self._catalog.layer_sizes()) | self._layers.used() | leased
        gone = {chain_id for chain_id in chain_ids - kept if not self._pins[chain_id]}
        for chain_id in gone:
            self._layers.set_aside(chain_id)
        for blob in blobs - self._catalog.blobs() - leased:
            if not self._pins[blob]:
                self.content.delete(blob)
                self._configs.pop(blob, None)
        return gone

    @contextlib.contextmanager
    def _pinning(self) -> Iterator[Pin]:
        """Keep what is pinned inside from being collected; at the end remove what no row names then."""
        mine: set[str] = set()

        def pin(needed: str) -> None:
            with self._lock:
                if needed not in mine:
                    mine.add(needed)
                    self._pins[needed] += 1

        try:
            yield pin
        finally:
            with self._lock:
                self._pins.subtract(mine)
                for released in mine:
                    if not self._pins[released]:
                        del self._pins[released]
                self._collect({chain_id for chain_id in mine if self._layers.has(chain_id)}, mine)
            self._layers.purge()

    def _reread(self) -> None:
        """Make a new catalog of the rows; of a damaged one nobody knows what belongs to it: then nothing is removed."""
        rows = self._rows.all()
        for row in rows:
            if row.damage and row.id not in self._unreadable:
                log.error(
                    "image %s (%s) can't be served: its record is damaged: %s. Nothing is removed from the content "
                    "store until it is mended: restore state.db from a copy; or give the image up: stop sampand, then "
                    "sqlite3 state.db \"DELETE FROM images WHERE id = '%s'\", and load it again",
                    *(row.id, ", ".join(row.names), row.damage, row.id),
                )
        self._unreadable = {row.id for row in rows if row.damage}
        self._catalog = Catalog([model.build(row, self._config(row.id)) for row in rows if not row.damage])

    def _config(self, image_id: str) -> bytes:
        """Return the configuration's bytes; of an image whose blob is damaged nothing, so that it can be removed."""
        if image_id not in self._configs:
            try:
                self._configs[image_id] = self.content.read(image_id, CONFIG_LIMIT)
            except MissingContent as error:
                self.damaged[image_id] = str(error)
                return b"{}"
        return self._configs[image_id]


@contextlib.contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MissingContent(f"cannot read the image's layers: {error.strerror or error}") from error


def _report_name(report: Report, image_id: str, name: str, holder: str | None) -> None:
    if holder not in (None, image_id):
        text = f"The image {name} already exists, renaming the old one with ID {holder} to empty string\n"
        report({"stream": text})
    report({"stream": f"Loaded image: {name}\n"})


def _source(stream: BinaryIO) -> Source:
    """Return the reading function of ``stream``, one that returns what is there rather than waiting for all."""
    read: Source = getattr(stream, "read1", stream.read)
    return read


def _new_name(ref: str) -> str:
    name = reference.parse(ref)
    if name.digest is not None:
        raise InvalidReference("cannot import digest reference")
    return name.tagged().familiar


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Errors of the disk become errors of this room, which say what failed."""
    try:
        yield
    except OSError as error:
        raise UnpackFailed(f"cannot store the image: {error.strerror or error}") from error
