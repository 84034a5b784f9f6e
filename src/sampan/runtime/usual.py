"""File systems that nearly every container has, made while an init waits for its container.

They belong to its namespaces, as proc, sysfs and mqueue must, and lie nowhere until `sampan.runtime.rootfs` places
them. A container that wants other options gets its own.
"""

from __future__ import annotations

import contextlib
from typing import Final

from sampan.linux import mount
from sampan.runtime.rootfs import Key, Options, make_nodes

_PLAIN: Final = ("nosuid", "noexec", "nodev")
_DEV: Final = ("tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
# (type, source, options) as the engine writes them into a bundle
USUAL: Final[tuple[Key, ...]] = (
    ("proc", "proc", _PLAIN),
    _DEV,
    ("devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("sysfs", "sysfs", (*_PLAIN, "ro")),
    ("mqueue", "mqueue", _PLAIN),
    ("tmpfs", "shm", (*_PLAIN, "mode=1777", "size=67108864")),
)


def make() -> dict[Key, int]:
    """Return descriptors of detached mounts; one that can't be made is left out, and told by a start that needs it."""
    made: dict[Key, int] = {}
    for key in USUAL:
        kind, source, texts = key
        options = Options(list(texts))
        with contextlib.suppress(OSError):
            made[key] = mount.new_filesystem(kind, options.data, options.set, source=source)
    if _DEV in made:
        make_nodes(made[_DEV])
    return made
