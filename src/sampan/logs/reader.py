"""Reading a container's log, over its rotated files, while a monitor may be writing and rotating.

Words.  *files*: oldest first; all are opened before anything is read, newest first, so that a rotation meanwhile hides
        none (a file that is met twice is known by its inode).  *growing*: the newest file while its writer lives.
        *mark*: the monitor's word that the log grew, with a descriptor of the new file when it was rotated.
Cost.   ``tail`` reads backwards from the end; ``since`` finds its place by bisection; ``until`` stops reading. Only
        what is asked for is read, in blocks of 256 KiB.
        Bisection trusts that times rise: behind a clock that was set back, entries older than ``since`` are still left
        out, but newer ones before them may be too.
Loss.   A follower owns its descriptors: however slow it is, the writer goes on, and rotated files stay readable until
        it has read them. It reads whole lines only, so a line that the writer takes back (disk full) was never seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from sampan.logs.decode import EVERYTHING, Entry, Line, Output, Wanted, decode, entries, parse_time, render, select

BLOCK: Final = 1 << 18  # bytes; larger than any entry (16 KiB of text, six bytes for each at worst), attributes apart
_SEARCH: Final = 1 << 16  # bytes within which a bisection ends
_LOST: Final = (
    2  # as many numbers in a row without a file end the search: during a rotation one is missing for a moment
)


class Mark(NamedTuple):
    """The log grew to ``size`` bytes in file ``generation``; ``descriptor`` is that file's when it is new."""

    generation: int
    size: int
    descriptor: int | None = None


class _File:
    """An open log file and how far it was read; ``end``: read no further (None: to where it ends)."""

    def __init__(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.descriptor = descriptor
        self.identity = (status.st_dev, status.st_ino)
        self.position = 0
        self.end: int | None = None

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size if self.end is None else self.end

    def whole(self) -> int:
        """Return where the last whole line ends."""
        end = self.size()
        while end > 0:
            start = max(0, end - _SEARCH)
            newline = os.pread(self.descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def block(self) -> bytes:
        """Return the next whole lines, or nothing."""
        length = BLOCK
        while True:
            wanted = length if self.end is None else min(length, self.end - self.position)
            data = os.pread(self.descriptor, wanted, self.position)
            cut = data.rfind(b"\n") + 1
            if cut or len(data) < length:
                self.position += cut
                return data[:cut]
            length *= 2  # a line longer than a block

    def rest(self) -> bytes:
        """Return what stands behind the last whole line of a file that is finished."""
        data = os.pread(self.descriptor, max(0, self.size() - self.position), self.position)
        self.position += len(data)
        return data

    def seek_back(self, count: int) -> int:
        """Go to the beginning of the last ``count`` lines; return how many of them this file does not have."""
        end = self.whole()
        count += 1  # the newline that ends the last line is none before it
        while end > 0:
            start = max(0, end - _SEARCH)
            data = os.pread(self.descriptor, end - start, start)
            found = data.count(b"\n")
            if found >= count:
                self.position = start + _nth_last(data, count) + 1
                return 0
            count -= found
            end = start
        self.position = 0
        return count - 1

    def seek_time(self, since_ns: int) -> None:
        """Go on to a place before which everything is older than ``since_ns``, and little after it is."""
        low, high = self.position, self.whole()
        while high - low > _SEARCH:
            middle = (low + high) // 2
            start, time_ns = self._time_after(middle, high)
            if time_ns is None or time_ns >= since_ns:
                high = middle
            else:
                low = start
        self.position = low

    def _time_after(self, offset: int, limit: int) -> tuple[int, int | None]:
        """Return where the first entry that begins behind ``offset`` begins, and its time (None: there is none)."""
        data = os.pread(self.descriptor, min(_SEARCH, limit - offset), offset)
        start = data.find(b"\n") + 1
        while start > 0:
            end = data.find(b"\n", start) + 1
            if not end:
                break
            for line in decode(data[start:end]):
                return offset + start, parse_time(line[0])
            start = end
        return limit, None


def _nth_last(data: bytes, count: int) -> int:
    position = len(data)
    for _ in range(count):
        position = data.rfind(b"\n", 0, position)
    return position


def _open_files(path: str) -> list[_File]:
    """Open ``path``, ``path.1``, … and return them oldest first."""
    found: list[_File] = []
    try:
        missing = index = 0
        while missing < _LOST:
            opened = _open(f"{path}.{index}" if index else path, found)
            missing = 0 if opened else missing + 1
            index += 1
        if not found or index == _LOST:
            _open(path, found)  # it was missing because a rotation was at that very point
    except OSError:
        for file in found:
            os.close(file.descriptor)
        raise
    return found[::-1]


def _open(path: str, found: list[_File]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    file = _File(descriptor)
    if any(file.identity == other.identity for other in found):
        os.close(descriptor)  # renamed while we looked
    else:
        found.append(file)
    return True


def _older(files: list[_File], newest: _File) -> list[_File]:
    """Return those of ``files`` that were rotated before ``newest`` was made; close the others."""
    identities = [file.identity for file in files]
    count = identities.index(newest.identity) if newest.identity in identities else 0
    for file in files[count:]:
        os.close(file.descriptor)
    return files[:count]


class _Reader:
    """Files and the place in them."""

    def __init__(self, files: list[_File], wanted: Wanted, tail: int | None) -> None:
        self.wanted = wanted
        self.finished = False
        self.files = files
        if tail is not None:
            self._seek_back(max(0, tail))
        if wanted.since_ns is not None:
            for file in self.files:
                file.seek_time(wanted.since_ns)

    def _seek_back(self, count: int) -> None:
        for file in reversed(self.files):
            if count:
                count = file.seek_back(count)
            else:
                file.position = file.whole()

    def lines(self, *, growing: bool) -> list[Line]:
        """Return the next wanted lines, at most a block of them; an empty list when there are none (yet)."""
        while self.files and not self.finished:
            file = self.files[0]
            block = file.block()
            if not block:
                if growing and len(self.files) == 1:
                    if file.position > file.size():
                        file.position = 0  # somebody emptied it
                    break
                block = file.rest()
                os.close(self.files.pop(0).descriptor)
            kept, self.finished = select(decode(block + b"\n" if block[-1:] != b"\n" else block), self.wanted)
            if kept:
                return kept
        return []

    def close(self) -> None:
        while self.files:
            os.close(self.files.pop().descriptor)


def _batches(path: str, wanted: Wanted, tail: int | None) -> Iterator[list[Line]]:
    reader = _Reader(_open_files(path), wanted, tail)
    try:
        for file in reader.files[-1:]:
            file.end = file.size()  # what is written from now on is not asked for, or reading might never end
        while lines := reader.lines(growing=False):
            yield lines
    finally:
        reader.close()


def read(
    path: str,
    *,
    tail: int | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    stdout: bool = True,
    stderr: bool = True,
) -> Iterator[Entry]:
    """Return the entries that the log at ``path`` has now, over its rotated files, oldest first.

    ``tail`` counts entries of both streams from the end, before the other conditions are looked at (as Docker does);
    times are inclusive. No file is an empty log. Raises OSError when a file can't be read.
    """
    for lines in _batches(path, Wanted(since_ns, until_ns, stdout, stderr), tail):
        yield from entries(lines)


def read_chunks(path: str, output: Output, wanted: Wanted = EVERYTHING, tail: int | None = None) -> Iterator[bytes]:
    """Return the same as `read`, as the body of an answer to ``docker logs``, about 256 KiB at a time."""
    for lines in _batches(path, wanted, tail):
        yield render(lines, output)


class Follower:
    """Reads a log from ``tail`` or ``since`` on, and on as it grows.

    Life. Ask the monitor for marks and make the follower with the first one. Then: `chunk` or `read` until they return
    nothing, wait for a mark, `feed` it, again. When the marks end, the container has: read once more. `close` at any
    time. Used by one thread at a time.

    Every rotation must be fed, in order; marks that only tell of growth may be left out.
    """

    def __init__(self, path: str, first: Mark, wanted: Wanted = EVERYTHING, tail: int | None = None) -> None:
        """Open the files. ``first`` says which is the newest: what was rotated since then comes with later marks.

        Its descriptor belongs to the follower from here on; without one, ``path`` as it is now is taken for that file.

        Raises:
            OSError: a file can't be opened.
        """
        self._generation = first.generation
        descriptor = first.descriptor if first.descriptor is not None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        newest = _File(descriptor)
        try:
            older = _older(_open_files(path), newest)
        except OSError:
            os.close(descriptor)
            raise
        self._reader = _Reader([*older, newest], wanted, tail)

    @property
    def finished(self) -> bool:
        """Whether an entry was later than ``until_ns``: no more will come."""
        return self._reader.finished

    def feed(self, mark: Mark) -> None:
        """Take note of ``mark``; its descriptor belongs to the follower from here on. Old marks are ignored."""
        if mark.descriptor is None:
            return
        file = _File(mark.descriptor)
        if mark.generation <= self._generation or any(file.identity == known.identity for known in self._reader.files):
            os.close(mark.descriptor)  # another follower's news, or opened by its name already
            return
        self._generation = mark.generation
        self._reader.files.append(file)

    def read(self) -> list[Entry]:
        """Return entries that were not returned before, at most about 256 KiB of them; none: wait for a mark."""
        return entries(self._reader.lines(growing=True))

    def chunk(self, output: Output) -> bytes:
        """Return the same as `read`, as ``docker logs`` gets it."""
        return render(self._reader.lines(growing=True), output)

    def close(self) -> None:
        """Close every file."""
        self._reader.close()
