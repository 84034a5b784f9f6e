"""The log file of a container as its monitor writes it.

Life.   open (an existing file is continued) → write … → flush at the end of each stream → close.
Files.  ``path`` is the newest, ``path.1`` the one before, up to ``path.<max_file - 1>``.  A *generation* is one file;
        the number counts rotations since this writer opened.  As in dockerd, the entry that reaches ``max_size`` is
        the file's last.
Crash.  Each group of whole lines goes out by one write(2), with no buffer between: whoever is killed leaves at most one
        line cut short, and the next writer starts on a new line.
Full.   A disk that takes nothing more never blocks or ends the container: entries are dropped and counted, a line that
        went out in half is taken back, and once the disk takes data again the log says what is missing, from when to
        when, and why.  A file that can't be rotated for want of space grows past its limit instead.
Cost.   No operation per line; memory of about five times LINE_LIMIT, at worst (only empty lines) a hundred times.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from sampan.logs.format import LINE_LIMIT, entries, entry_ending, piece, piece_end, stamp

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE: Final = 0o640  # dockerd's


def open_log(path: str) -> int:
    """Open a log file, or make it, and return its descriptor."""
    return os.open(path, _FLAGS, _MODE)


class _Gap:
    """What could not be written since the last entry that was."""

    def __init__(self, since: bytes, reason: str) -> None:
        self.since = since
        self.reason = reason
        self.entries = 0
        self.size = 0

    def note(self, until: bytes) -> bytes:
        """Return the entry that tells of the gap."""
        lost = f"{self.entries} log entries ({self.size} bytes) lost since {self.since.decode()}"
        text = f"[sampan: {lost}: {self.reason}]\n"
        return entries(text.encode(), entry_ending(b"stderr", until))


class LogWriter:
    """Writes a container's output in Docker's json-file format, rotating by size.

    ``max_size`` is in bytes (0 or less: never rotate), ``max_file`` counts all files (less than 2: the old one is
    dropped), ``attrs`` is a JSON object for every entry; ``descriptor`` is the file, if `open_log` opened it already.
    Raises OSError when the file can't be opened.
    """

    def __init__(
        self, path: str, max_size: int = 10_000_000, max_file: int = 3, *, attrs: bytes = b"", descriptor: int = -1
    ) -> None:
        self.path = path
        self.max_size = max_size
        self.max_file = max_file
        self.generation = 0
        self.rotated: Callable[[], None] = lambda: None  # called with each new generation; one write can make several
        self._attrs = attrs
        self._pending: dict[str, bytes] = {}
        self._last: dict[str, int] = {}
        self._reason = ""
        self._gap: _Gap | None = None
        self._fd = descriptor if descriptor >= 0 else open_log(path)
        self.size = os.fstat(self._fd).st_size
        self._torn = self.size > 0 and os.pread(self._fd, 1, self.size - 1) != b"\n"

    def write(self, stream: str, chunk: bytes, now_ns: int) -> None:
        """Log ``chunk``, any bytes that ``stream`` ("stdout" or "stderr") said at ``now_ns``. Never raises OSError.

        A last line without newline waits for its end (another ``write``, or ``flush``).
        """
        pending = self._pending.get(stream)
        text = pending + chunk if pending else chunk
        now = stamp(now_ns)
        ending = entry_ending(stream.encode(), now, self._attrs)
        position, length = 0, len(text)
        while position < length:
            end = text.rfind(b"\n", position, position + LINE_LIMIT) + 1
            if end:
                self._put(entries(text[position:end], ending), now)
            elif length - position > LINE_LIMIT:
                end = piece_end(text, position)
                self._put(piece(text[position:end], ending), now)
            else:
                break
            position = end
        self._pending[stream] = text[position:]
        self._last[stream] = now_ns

    def flush(self, stream: str) -> None:
        """Log what is left of ``stream``, which has ended: an entry without newline."""
        text = self._pending.pop(stream, b"")
        if text:
            now = stamp(self._last[stream])
            self._put(piece(text, entry_ending(stream.encode(), now, self._attrs)), now)

    def descriptor(self) -> int:
        """Return the current file's descriptor, to hand to a follower; it stays the writer's."""
        return self._fd

    def close(self) -> None:
        """Flush every stream and close the file."""
        for stream in list(self._pending):
            self.flush(stream)
        os.close(self._fd)
        self._fd = -1

    def _put(self, data: bytes, now: bytes) -> None:
        """Append whole entries, rotating after each entry that reaches ``max_size``."""
        if (self._torn or self._gap is not None) and not self._mend(now):
            self._lose(data, now)
            return
        while data:
            if self.size >= self.max_size > 0:
                self._rotate()
            part = data
            if self.size < self.max_size < self.size + len(data):
                part = data[: data.find(b"\n", self.max_size - self.size - 1) + 1]
            kept = self._append(part)
            if kept < len(part):
                self._lose(data[kept:], now)
                return
            data = data[kept:]

    def _append(self, data: bytes) -> int:
        """Append entries; return how many bytes, in whole entries, the file system took."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:] if done else data)
        except OSError as error:
            self._reason = os.strerror(error.errno or errno.EIO)
            done = self._take_back(data, done)
        self.size += done
        return done

    def _take_back(self, data: bytes, done: int) -> int:
        """Cut off the entry that went out in part; return how much of ``data`` stays."""
        kept = data.rfind(b"\n", 0, done) + 1
        if kept < done:
            try:
                os.ftruncate(self._fd, self.size + kept)
            except OSError:  # a file system that failed for good: if it comes back, the next entry starts on a new line
                self._torn = True
                return done
        return kept

    def _lose(self, data: bytes, now: bytes) -> None:
        """Count entries that could not be written."""
        if self._gap is None:
            self._gap = _Gap(now, self._reason)
        self._gap.entries += data.count(b"\n")
        self._gap.size += len(data)

    def _mend(self, now: bytes) -> bool:
        """End a torn line and tell of a gap; False while the file system takes nothing."""
        if self._torn:
            self._torn = self._append(b"\n") == 0
        if self._gap is not None and not self._torn:
            note = self._gap.note(now)
            if self._append(note) == len(note):
                self._gap = None
        return not self._torn and self._gap is None

    def _rotate(self) -> bool:
        """Start the next generation; False when the file system has no room for one.

        The new file is there before the old one is moved: a crash between leaves ``path`` missing, never a lost entry.
        """
        fresh = self.path + ".next"
        try:
            fd = os.open(fresh, _FLAGS | os.O_TRUNC, _MODE)
            for index in range(self.max_file - 2, 0, -1):
                _rename(f"{self.path}.{index}", f"{self.path}.{index + 1}")
            if self.max_file > 1:
                _rename(self.path, f"{self.path}.1")
            os.rename(fresh, self.path)
        except OSError:
            return False  # the next write tries again; until then nothing is lost
        os.close(self._fd)
        self._fd = fd
        self.size = 0
        self.generation += 1
        self.rotated()
        return True


def _rename(old: str, new: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # fewer rotations than files so far, or somebody tidied up
        os.rename(old, new)


class NullWriter:
    """The log driver ``none``: takes everything, keeps nothing."""

    generation = 0
    size = 0

    def write(self, stream: str, chunk: bytes, now_ns: int) -> None:
        """Forget ``chunk``."""

    def flush(self, stream: str) -> None:
        """Do nothing."""

    def descriptor(self) -> int:
        """Return -1: there is no file."""
        return -1

    def close(self) -> None:
        """Do nothing."""
