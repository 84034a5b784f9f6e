"""Small text files of the host that containers get a version of."""

from __future__ import annotations

import os
from typing import Final

LIMIT: Final = 1 << 20  # bytes


def read(path: str) -> bytes:
    """Return the content of a file, at most 1 MiB; b"" if there is none or it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, LIMIT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def count(directory: str) -> int:
    """Return how many entries a directory has; 0 if it can't be read."""
    try:
        return len(os.listdir(directory))
    except OSError:
        return 0
