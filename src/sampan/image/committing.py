"""``docker commit``: what a container wrote becomes a layer on its image's, and its settings the new image's.

Source of the configuration's form: moby image/image.go (NewChildImage); its members are in the order of their names.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from sampan.image import reference
from sampan.image.content import Ingest
from sampan.image.errors import ImageError, InvalidReference
from sampan.image.model import Image
from sampan.image.v1 import go_json

EMPTY_LAYER: Final = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""Digest of a tar archive without entries; an image doesn't get such a layer."""

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
    """Write a stream to a blob in a thread of its own, so that it is hashed while the next piece is read."""
    waiting: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
    with ThreadPoolExecutor(1, "commit") as pool:
        writing = pool.submit(_write_all, waiting, blob)
        try:
            for piece in pieces:
                waiting.put(piece)
        finally:
            waiting.put(None)
        writing.result()


def _write_all(waiting: queue.Queue[bytes | None], blob: Ingest) -> None:
    failed: BaseException | None = None
    while (piece := waiting.get()) is not None:
        try:
            if failed is None:
                blob.write(piece)
        except OSError as error:  # go on emptying, or the other side waits for ever
            failed = error
    if failed is not None:
        raise failed
