"""The tables, as an ordered tuple of SQL scripts; `PRAGMA user_version` counts those that were applied.

A script that has been released is never edited: add another at the end.
"""

from __future__ import annotations

from typing import Final

from sampan.state.containers import MIGRATION as CONTAINERS
from sampan.state.images import MIGRATION as IMAGES
from sampan.state.leases import MIGRATION as LEASES
from sampan.state.networks import MIGRATION as NETWORKS

MIGRATIONS: Final[tuple[str, ...]] = (CONTAINERS, IMAGES, NETWORKS, LEASES)
