"""Sources of bind mounts on the host."""

from __future__ import annotations

import os
import re

_ESCAPE = re.compile(r"\\([0-7]{3})")  # blanks and their like in mountinfo


def exists(path: str) -> bool:
    """Tell whether something is at ``path``, links followed."""
    return os.path.exists(path)


def ensure(path: str) -> None:
    """Make a directory at ``path``, parents too, unless something is there, as `docker run -v` does.

    Raises OSError that names the path.
    """
    if not os.path.exists(path):
        os.makedirs(path, 0o755, exist_ok=True)


def mounted_on(path: str, mountinfo: str = "/proc/self/mountinfo") -> tuple[str, frozenset[str]]:
    """Return the mount point that ``path`` lies on and how that takes part in propagation: "shared", "master".

    Source. proc_pid_mountinfo(5), "mount point" and "optional fields"; the last of several on one point is on top.
    """
    real = os.path.realpath(path)
    found, fields = "", list[str]()
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            words = line.split(" ")
            point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), words[4])
            if len(point) >= len(found) and (real == point or real.startswith(point.rstrip("/") + "/")):
                found, fields = point, words[6 : words.index("-")]
    return found, frozenset(field.partition(":")[0] for field in fields)
