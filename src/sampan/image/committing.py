"""``docker commit``: what a container wrote becomes a layer on its image's, and its settings the new image's.

Source of the configuration's form: moby image/image.go (NewChildImage); its members are in the order of their names.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from sampan.image import reference
from sampan.image.content import Ingest
from sampan.image.errors import ImageError, InvalidReference
from sampan.image.model import Image
from sampan.image.v1 import go_json

EMPTY_LAYER: Final = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""Digest of a tar archive without entries; an image doesn't get such a layer."""

FLUSH_EVERY: Final = 16 << 20  # bytes
_QUEUE: Final = 4  # pieces that may wait for the disk
_MAPS: Final = ("ExposedPorts", "Labels", "Volumes")
_KEPT: Final = ("os.features", "os.version", "variant")


class BadTag(ImageError):
    """A name that an image can't be given, in dockerd's words."""

    status = 400


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit says of itself. ``config`` and ``container_config`` are as the Engine API has them."""

    container: str  # its ID
    container_config: dict[str, Any]
    config: dict[str, Any]
    author: str
    comment: str
    engine_version: str


def new_name(repo: str, tag: str) -> str | None:
    """Return the familiar name that was asked for; None: none. Raises BadTag, InvalidReference."""
    if not repo:
        return None
    name = reference.parse(repo)
    if name.digest is not None:
        raise BadTag("cannot import digest reference")
    if name.familiar_name == "sha256":
        raise InvalidReference("refusing to create an ambiguous tag using digest algorithm as name")
    return (name.with_tag(tag) if tag else name.tagged()).familiar


def configuration(base: Image, commit: Commit, diff_id: str | None, created: str) -> bytes:
    """Return the image configuration's bytes; ``diff_id`` is the new layer's, None where nothing was written."""
    history: dict[str, Any] = {
        "created": created,
        "created_by": " ".join(commit.container_config.get("Cmd") or ()),
        "author": commit.author,
        "comment": commit.comment,
        "empty_layer": diff_id is None,
    }
    steps = base.config.get("history")
    document: dict[str, Any] = {
        "architecture": base.architecture,
        "config": _sorted(commit.config),
        "container": commit.container,
        "container_config": _sorted(commit.container_config),
        "created": created,
        "docker_version": commit.engine_version,
        "history": [*(steps if isinstance(steps, list) else ()), {key: one for key, one in history.items() if one}],
        "os": base.os,
        "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, *([diff_id] if diff_id else ())]},
    }
    document |= {"author": commit.author} if commit.author else {}
    document |= {key: base.config[key] for key in _KEPT if base.config.get(key)}
    return go_json(dict(sorted(document.items())))


def _sorted(config: dict[str, Any]) -> dict[str, Any]:
    """The same with the keys of its maps (labels, ports, volumes) in order, as Go writes them."""
    return {key: dict(sorted(value.items())) if key in _MAPS and value else value for key, value in config.items()}


def write(pieces: Iterable[bytes], blob: Ingest) -> None:
    """Write a stream to a blob: read here, hashed and written in a thread each, and flushed behind that.

    Raises what ``pieces`` raises, and OSError from the disk.
    """
    written = 0

    def append(piece: bytes) -> None:
        nonlocal written
        blob.append(piece)
        written += len(piece)
        if written >= FLUSH_EVERY:
            written = 0
            blob.start_flush()

    with _Taker(append) as writer, _Taker(blob.take_in) as hasher:
        for piece in pieces:
            hasher.take(piece)
            writer.take(piece)
    for taker in (hasher, writer):
        if taker.error is not None:
            raise taker.error


class _Taker:
    """A thread that does the same with each piece; it ends with the ``with``. After an error it takes in vain."""

    def __init__(self, each: Callable[[bytes], None]) -> None:
        self.error: Exception | None = None
        self._each = each
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()

    def take(self, piece: bytes) -> None:
        """Hand over a piece; waits while too many wait already."""
        self._waiting.put(piece)

    def _run(self) -> None:
        while (piece := self._waiting.get()) is not None:
            try:
                if self.error is None:
                    self._each(piece)
            except Exception as error:  # noqa: BLE001 (raised by `write`)
                self.error = error
