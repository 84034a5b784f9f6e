"""Leases: what is kept for a while although no image has it.

Words.  *pin*: a digest that an operation under way needs; in memory, ends with the operation or with the process (see
        ``store``). *lease*: digests under a name, with the time when it expires; it survives the process.
Life.   ``add`` (made at the first, prolonged by each) → ``release`` | ``expire``.
Why.    An operation that the process' death ends can't go on, so what it pinned is rubbish at the next start: pins need
        no rows. But a download of forty blobs that dies at the last is to resume, and the thirty-nine that are complete
        are blobs that no image names: without a row that says so the next start would sweep them.
Cost.   ``held`` reads memory only. ``add`` and ``release`` are one commit each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

KEPT_NS: Final = 24 * 3600 * 1_000_000_000  # nanoseconds that a lease lasts after its last `add`: a day


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One lease."""

    name: str  # what was being done: "pull docker.io/library/busybox:latest"
    created_ns: int  # ns since the epoch
    expires_ns: int  # ns since the epoch
    digests: tuple[str, ...] = ()  # of blobs or layers (chain IDs), sorted


class LeaseRows(Protocol):
    """What ``Leases`` asks of the database. Every call that writes is one transaction, durable when it returns."""

    def all(self) -> list[LeaseRow]:
        """Return every lease, by name."""
        ...

    def put(self, lease: LeaseRow) -> None:
        """Insert or replace a lease."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Forget leases; unknown ones are ignored."""
        ...


class Forgetful:
    """Rows that are kept nowhere: leases that end with the process."""

    def all(self) -> list[LeaseRow]:
        """Return nothing."""
        return []

    def put(self, lease: LeaseRow) -> None:
        """Keep nothing."""

    def delete(self, names: Sequence[str]) -> None:
        """Forget nothing."""


class Leases:
    """All leases of a data root. Thread-safe."""

    def __init__(self, rows: LeaseRows, clock: Callable[[], int]) -> None:
        """Read them; ``clock`` gives ns since the epoch."""
        self._rows = rows
        self._clock = clock
        self._lock = threading.Lock()
        self._by_name = {lease.name: lease for lease in rows.all()}

    def list(self) -> list[LeaseRow]:
        """Return every lease, by name; expired ones too, until ``expire``."""
        with self._lock:
            return [self._by_name[name] for name in sorted(self._by_name)]

    def held(self, now_ns: int) -> set[str]:
        """Return what leases hold that have not expired."""
        with self._lock:
            return {held for lease in self._by_name.values() if _lasts(lease, now_ns) for held in lease.digests}

    def add(self, name: str, digests: Iterable[str]) -> None:
        """Let a lease, made now if there is none, hold these too; it lasts for a day from now."""
        now = self._clock()
        with self._lock:
            before = self._by_name.get(name) or LeaseRow(name, now, 0)
            held = tuple(sorted({*before.digests, *digests}))
            lease = replace(before, expires_ns=now + KEPT_NS, digests=held)
            self._rows.put(lease)
            self._by_name[name] = lease

    def release(self, name: str) -> set[str]:
        """Forget a lease, if there is one; return what it held."""
        with self._lock:
            if name not in self._by_name:
                return set()
            self._rows.delete([name])
            return set(self._by_name.pop(name).digests)

    def expire(self, now_ns: int) -> None:
        """Forget the leases whose time is over."""
        with self._lock:
            over = [lease.name for lease in self._by_name.values() if not _lasts(lease, now_ns)]
            if over:
                self._rows.delete(over)
                for name in over:
                    del self._by_name[name]


def _lasts(lease: LeaseRow, now_ns: int) -> bool:
    """A clock that was set back by much must not make a lease last for years."""
    return 0 < lease.expires_ns - now_ns <= 2 * KEPT_NS
