"""Where tests keep what is slow to make: outside the repository, once for each machine, written beside and renamed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_dir() -> Path:
    """The cache: $SAMPAN_CACHE, or sampan-tests in $XDG_CACHE_HOME or /var/cache."""
    named = os.environ.get("SAMPAN_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "sampan-tests"
    base.mkdir(parents=True, exist_ok=True)
    return base


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The file ``name`` of the cache; ``make`` writes it (to a path beside it) when it is not there."""
    path = cache_dir() / name
    if not path.exists():
        pending = path.with_name(f"{name}.{os.getpid()}.part")
        try:
            make(pending)
            pending.rename(path)
        finally:
            if pending.is_dir():
                shutil.rmtree(pending)
            else:
                pending.unlink(missing_ok=True)
    return path


def find_program(name: str) -> str | None:
    """The path of a program on PATH, in the sbin directories, or among the cached ones."""
    path = os.environ.get("PATH", "") + f":/usr/sbin:/sbin:{cache_dir() / 'bin'}"
    return shutil.which(name, path=path)
