"""Progress messages as dockerd sends them while layers are loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

Report = Callable[[dict[str, object]], None]

STEP: Final = 1 << 19  # bytes of a layer between two messages, as dockerd's ProgressReader


class LayerProgress:
    """Turns "so many bytes of this layer are done", from several threads, into messages one at a time."""

    def __init__(self, report: Report, *, quiet: bool) -> None:
        """Send messages to ``report``, or none when ``quiet``."""
        self._report = report
        self._quiet = quiet
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}

    def __call__(self, diff_id: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` bytes of the layer's blob were read."""
        if self._quiet:
            return
        with self._lock:
            last = self._last.get(diff_id, -STEP)
            if done == last or (done - last < STEP and done < total):
                return
            self._last[diff_id] = done
            self._report(
                {
                    "status": "Loading layer",
                    "progressDetail": {"current": done, "total": total},
                    "progress": bar(done, total),
                    "id": diff_id.partition(":")[2][:12],
                }
            )


def bar(done: int, total: int) -> str:
    """Return Docker's bar: ``[====>    ]  1.2MB/3.4MB``, 50 characters wide and one for the arrow."""
    filled = min(50, 100 * done // total // 2) if total else 50
    return f"[{'=' * filled}>{' ' * (50 - filled)}] {human(done):>8}/{human(total)}"


def human(size: float) -> str:
    """Return a size as Docker's units package does: four digits, decimal units (``1.997MB``)."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.4g}{units[0]}"
