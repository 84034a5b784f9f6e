"""The data root as sampand finds it: whether its database belongs to what lies beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

DATABASE: Final = "state.db"
_KEPT: Final = ("containers", "content/blobs/sha256")


class LostDatabase(Exception):
    """There are containers or images and no database that knows them: a start would sweep them all away."""

    def __init__(self, data_root: Path, kept: str) -> None:
        super().__init__(
            f"cannot use {data_root}\n"
            f"  because  {data_root / DATABASE} is missing or empty, and {data_root / kept} is not:\n"
            "           without the first, everything in the second would be deleted as left over\n"
            f"  try      restore {DATABASE} from a copy, or move {data_root} aside to begin anew"
        )


def check(data_root: Path) -> None:
    """Refuse a data root whose database was lost. Raises LostDatabase."""
    database = data_root / DATABASE
    if database.exists() and database.stat().st_size:
        return
    for kept in _KEPT:
        directory = data_root / kept
        if directory.is_dir() and os.listdir(directory):
            raise LostDatabase(data_root, kept)
