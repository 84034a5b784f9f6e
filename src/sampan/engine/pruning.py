"""What all clean-ups share: their filters, and that one of a kind runs at a time.

Source. dockerd 26.1: filters label, label!, until; texts and statuses as recorded from it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from sampan.engine.errors import BadParameter, Conflict, EngineError
from sampan.engine.listing import has_label
from sampan.engine.units import until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sampan.engine.contracts import Filters

COMMON: Final = frozenset({"label", "label!", "until"})


def check(filters: Filters, known: Collection[str]) -> None:
    """Refuse filters that are none. Raises BadParameter."""
    for key in filters:
        if key not in known:
            raise BadParameter(f"invalid filter '{key}'")


def labelled(labels: dict[str, str], filters: Filters) -> bool:
    """Tell whether labels pass: all of ``label``, and not all of ``label!``, as dockerd has it."""
    unwanted = filters.get("label!") or []
    return all(has_label(labels, text) for text in filters.get("label") or ()) and not (
        unwanted and all(has_label(labels, text) for text in unwanted)
    )


def moment(filters: Filters, error: type[EngineError] = BadParameter) -> int | None:
    """Return the moment of ``until`` in ns since 1970, None without. Raises ``error``."""
    values = filters.get("until") or []
    if len(values) > 1:
        raise error("more than one until filter specified")
    try:
        return until(values[0], time.time_ns()) if values else None
    except BadParameter:
        raise error(f'failed to parse value as time or duration: "{values[0]}"') from None


def flag(filters: Filters, name: str, *, default: bool) -> bool:
    """Return the one value of a filter that is true or false. Raises BadParameter."""
    values = sorted(filters.get(name) or ())
    if not values:
        return default
    if len(set(values)) > 1 or values[0] not in ("true", "false", "1", "0"):
        raise BadParameter(f"invalid filter '{name}=[{' '.join(values)}]'")
    return values[0] in ("true", "1")


class OneAtATime:
    """Kinds of clean-ups that are under way."""

    def __init__(self) -> None:
        self._running: set[str] = set()

    @contextlib.contextmanager
    def run(self, kind: str) -> Iterator[None]:
        """Mark a kind as under way. Raises Conflict: it is already."""
        if kind in self._running:
            raise Conflict("a prune operation is already running")
        self._running.add(kind)
        try:
            yield
        finally:
            self._running.discard(kind)
