"""``docker import``: a root file system's tar archive becomes an image of one layer.

Source of the configuration's form: moby daemon/images/image_import.go.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Final

from sampan.image import platforms
from sampan.image.changes import apply_changes
from sampan.image.compress import decompressed
from sampan.image.content import Content
from sampan.image.errors import InvalidChange
from sampan.image.platforms import Platform
from sampan.image.v1 import go_json

__all__ = ["COPY_CHUNK", "apply_changes", "configuration", "diff_id", "target"]

COPY_CHUNK: Final = 1 << 20
DEFAULT_MESSAGE: Final = "Imported from -"


def diff_id(content: Content, blob: str) -> str:
    """Return the digest of the blob's plain bytes: the blob's own when it isn't compressed."""
    hasher = hashlib.sha256(usedforsecurity=False)
    with content.open(blob) as file:
        descriptor = file.fileno()
        source = decompressed(lambda count: os.read(descriptor, count))
        while chunk := source(COPY_CHUNK):
            hasher.update(chunk)
    return "sha256:" + hasher.hexdigest()


def target(text: str | None, architecture: str) -> Platform:
    """Return the platform of ``--platform``; this machine's where it says nothing.

    Raises InvalidPlatform; InvalidChange for another operating system.
    """
    found = platforms.asked(text, architecture)
    if found.os != "linux":
        raise InvalidChange("operating system is not supported")
    return found


def configuration(config: dict[str, Any], layer: str, platform: Platform, message: str, created: str) -> bytes:
    """Return the image configuration's bytes, members in dockerd's order."""
    comment = message or DEFAULT_MESSAGE
    document: dict[str, Any] = {"architecture": platform.architecture}
    document |= {"variant": platform.variant} if platform.variant else {}
    document |= {
        "comment": comment,
        "config": config,
        "created": created,
        "history": [{"created": created, "comment": comment}],
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }
    return go_json(document)
