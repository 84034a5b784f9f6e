"""``docker import``: a root file system's tar archive becomes an image of one layer.

Source of the configuration's form: moby daemon/images/image_import.go.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Final

from sampan.image.changes import apply_changes
from sampan.image.compress import decompressed
from sampan.image.content import Content
from sampan.image.errors import InvalidChange
from sampan.image.v1 import go_json

__all__ = ["COPY_CHUNK", "apply_changes", "configuration", "diff_id", "parse_platform"]

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


def parse_platform(text: str | None, architecture: str) -> tuple[str, str, str]:
    """Return (os, architecture, variant) of ``--platform``; this machine's where it says nothing.

    Raises InvalidChange in containerd's words for what is no platform, or another OS.
    """
    parts = (text or f"linux/{architecture}").lower().split("/")
    if len(parts) == 1:
        parts = ["linux", architecture] if parts[0] == "linux" else ["linux", parts[0]]
    if len(parts) > 3 or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidChange(
            f'"{text}" is an invalid platform: platform specifier component must match "[A-Za-z0-9_-]+"'
        )
    if parts[0] != "linux":
        raise InvalidChange(f"operating system is not supported: {parts[0]}")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def configuration(
    config: dict[str, Any], layer: str, platform: tuple[str, str, str], message: str, created: str
) -> bytes:
    """Return the image configuration's bytes, members in dockerd's order."""
    os_name, architecture, variant = platform
    comment = message or DEFAULT_MESSAGE
    document: dict[str, Any] = {"architecture": architecture}
    document |= {"variant": variant} if variant else {}
    document |= {
        "comment": comment,
        "config": config,
        "created": created,
        "history": [{"created": created, "comment": comment}],
        "os": os_name,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }
    return go_json(document)
