"""Sources of bind mounts on the host."""

from __future__ import annotations

import os


def exists(path: str) -> bool:
    """Tell whether something is at ``path``, links followed."""
    return os.path.exists(path)


def ensure(path: str) -> None:
    """Make a directory at ``path``, parents too, unless something is there, as `docker run -v` does.

    Raises OSError that names the path.
    """
    if not os.path.exists(path):
        os.makedirs(path, 0o755, exist_ok=True)
