"""Reading tar archives: ustar, GNU and pax, as a stream, about three times as fast as ``tarfile``.

Words.  *entry*: one member with everything that its headers say. *extent*: (offset, length) of data in a sparse file.
Life.   ``for entry in reader: …``; between two entries ``reader.data()`` yields the data of the current one, piece by
        piece; what isn't taken is skipped.
Names   are bytes, exactly as stored; whether they are safe is the caller's question (``sampan.image.unpack``).
Source. POSIX.1-2017 pax(1); the GNU tar manual, appendix "Tar Internals" (sparse formats, base-256 numbers); Go's
        archive/tar where those leave room, since that is what images meet in Docker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from zlib import adler32

from sampan.image.compress import Source
from sampan.image.errors import BadArchive

BLOCK: Final = 512
READ_CHUNK: Final = 1 << 19  # bytes asked of the source at a time; see bench/layers.py
NAME_LIMIT: Final = 4096  # PATH_MAX
META_LIMIT: Final = 1 << 20  # bytes of one pax header or GNU long name, as in Go's archive/tar
EXTENT_LIMIT: Final = 1 << 18  # data pieces of one sparse file

REGULAR: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"

_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s64s8s8s155s12x")
_ZERO_BLOCK: Final = bytes(BLOCK)
_BLANK_CHECKSUM: Final = 8 * ord(" ")
_SPARSE: Final = struct.Struct("12s12s")
_NO_DATA: Final = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_AS_REGULAR: Final = frozenset((b"\0", b"7"))  # old regular files and "contiguous" ones
_IGNORED: Final = frozenset((b"g", b"V", b"M", b"N", b"X"))  # global headers, as dockerd does; labels and volumes
_META: Final = frozenset((b"x", b"L", b"K"))  # pax header, GNU long name, GNU long link
MAX_ID: Final = (1 << 32) - 2  # (uid_t)-1 means "leave as it is" to chown(2)


@dataclass(slots=True)
class Entry:
    """One member of an archive."""

    name: bytes
    kind: bytes  # one of REGULAR … FIFO, or the type flag as it stands where nobody knows it
    mode: int  # 12 permission bits
    uid: int
    gid: int
    mtime_ns: int
    size: int  # of the file once it is unpacked
    stored: int  # bytes of data in the archive
    link: bytes  # target of a link, else b""
    device: tuple[int, int]  # major, minor
    extents: list[tuple[int, int]] | None = None  # of a sparse file; None: plain
    xattrs: dict[str, bytes] = field(default_factory=dict)


class TarReader:
    """Iterates over the entries of a plain (decompressed) tar stream.

    Raises BadArchive: "unexpected EOF" where the stream ends too early, "archive/tar: invalid tar header" and its kin.
    """

    def __init__(self, source: Source) -> None:
        """Read from ``source``, which is never read past the block where the archive's end was seen."""
        self._source = source
        self._buffer = b""
        self._at = 0  # of the next unread byte in the buffer
        self._left = 0  # data bytes of the current entry not taken yet
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self.next()) is not None:
            yield entry

    def next(self) -> Entry | None:
        """Return the next entry, or None at the end of the archive."""
        pax: dict[str, bytes] = {}
        sparse_list: list[bytes] = []
        long_name = long_link = None
        while True:
            self._skip(self._left + self._padding)
            self._left = self._padding = 0
            block = self._block()
            if block is None:
                return None
            kind = block[156:157]
            if kind in _META:
                content = self._meta(block)
                if kind == b"x":
                    pax, sparse_list = parse_pax(content)
                elif kind == b"L":
                    long_name = content.partition(b"\0")[0]
                else:
                    long_link = content.partition(b"\0")[0]
            elif kind in _IGNORED:
                self._announce(_number(block[124:136]))
            else:
                entry = self._entry(block, pax, long_name, long_link)
                self._announce(entry.stored)
                self._sparse(entry, block, pax, sparse_list)
                return entry

    def data(self) -> Iterator[memoryview]:
        """Yield the data of the current entry that was not taken yet, in pieces."""
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield piece

    def read(self, limit: int) -> bytes:
        """Return all data of the current entry. Raises BadArchive when it is longer than ``limit`` bytes."""
        if self._left > limit:
            raise BadArchive(f"a file of {self._left} bytes where at most {limit} are expected")
        return b"".join(map(bytes, self.data()))

    def drain(self) -> None:
        """Read the source to its end, so that whoever hashes it has seen every byte."""
        self._buffer = b""
        self._at = self._left = self._padding = 0
        while self._source(READ_CHUNK):
            pass

    def _announce(self, stored: int) -> None:
        self._left = stored
        self._padding = -stored % BLOCK

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _piece(self, limit: int) -> memoryview:
        """Return 1 to ``limit`` bytes without copying."""
        if self._at >= len(self._buffer):
            self._buffer = self._source(READ_CHUNK)
            self._at = 0
            if not self._buffer:
                raise BadArchive("unexpected EOF")
        start = self._at
        self._at = min(start + limit, len(self._buffer))
        return memoryview(self._buffer)[start : self._at]

    def _exactly(self, count: int) -> bytes:
        end = self._at + count
        if end <= len(self._buffer):
            start, self._at = self._at, end
            return self._buffer[start:end]
        pieces = []
        while count:
            piece = self._piece(count)
            count -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._piece(count))

    def _block(self) -> bytes | None:
        """Return the next header block, checked; None at two zero blocks or where the stream ends."""
        if self._ended():
            return None
        block = self._exactly(BLOCK)
        if block == _ZERO_BLOCK:
            if self._ended():
                return None
            block = self._exactly(BLOCK)
            if block == _ZERO_BLOCK:
                return None
        _check(block)
        return block

    def _ended(self) -> bool:
        if self._at >= len(self._buffer):
            self._buffer = self._source(READ_CHUNK)
            self._at = 0
        return not self._buffer

    # --- headers ---------------------------------------------------------------------------------------------------

    def _meta(self, block: bytes) -> bytes:
        size = _number(block[124:136])
        if size > META_LIMIT:
            raise BadArchive("archive/tar: invalid tar header: extended header too long")
        content = self._exactly(size)
        self._skip(-size % BLOCK)
        return content

    def _entry(self, block: bytes, pax: dict[str, bytes], long_name: bytes | None, long_link: bytes | None) -> Entry:
        name, mode, uid, gid, size, mtime, _, kind, link, magic, _, major, minor, prefix = _HEADER.unpack(block)
        name = _text(name)
        if magic[:6] == b"ustar\0":
            before = _text(prefix[:131] if block[508:512] == b"tar\0" else prefix)
            name = before + b"/" + name if before else name
        name = pax.get("path") or long_name or name
        if kind in _AS_REGULAR:
            kind = DIRECTORY if name.endswith(b"/") else REGULAR
        stored = _decimal(pax["size"]) if pax.get("size") else _number(size)
        if kind in _NO_DATA:
            stored = 0
        entry = Entry(
            name=name,
            kind=kind,
            mode=_number(mode) & 0o7777,
            uid=_decimal(pax["uid"]) if pax.get("uid") else _number(uid),
            gid=_decimal(pax["gid"]) if pax.get("gid") else _number(gid),
            mtime_ns=_seconds(pax["mtime"]) if pax.get("mtime") else _number(mtime, negative=True) * 1_000_000_000,
            size=stored,
            stored=stored,
            link=pax.get("linkpath") or long_link or _text(link),
            device=(0, 0),
        )
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.device = (_number(major), _number(minor))
        if pax:
            entry.xattrs = _xattrs(pax)
        _check_entry(entry)
        return entry

    # --- sparse files ----------------------------------------------------------------------------------------------

    def _sparse(self, entry: Entry, block: bytes, pax: dict[str, bytes], sparse_list: list[bytes]) -> None:
        if entry.kind == b"S":
            entry.kind = REGULAR
            self._old_gnu_sparse(entry, block)
        elif entry.kind != REGULAR:
            return
        elif pax.get("GNU.sparse.major") == b"1" and pax.get("GNU.sparse.minor") == b"0":
            entry.size = _decimal(pax.get("GNU.sparse.realsize", b""))
            entry.extents = _extents(self._sparse_map(entry))
        elif "GNU.sparse.map" in pax or sparse_list:  # versions 0.1 and 0.0
            mapped = pax.get("GNU.sparse.map")
            numbers = mapped.split(b",") if mapped else sparse_list
            entry.size = _decimal(pax.get("GNU.sparse.size") or pax.get("GNU.sparse.realsize", b""))
            entry.extents = _extents([_decimal(number) for number in numbers])
        if entry.extents is None:
            return
        if "GNU.sparse.name" in pax:
            entry.name = pax["GNU.sparse.name"]
            _check_entry(entry)
        _check_extents(entry)

    def _old_gnu_sparse(self, entry: Entry, block: bytes) -> None:
        """GNU's own type "S": four extents in the header, 21 more in each block that follows while a flag says so."""
        numbers: list[int] = []
        area, more = block[386:482], block[482]
        entry.size = _number(block[483:495])
        while True:
            for offset, length in _SPARSE.iter_unpack(area):
                if offset[0] == 0:
                    break
                numbers += (_number(offset), _number(length))
            if not more:
                break
            if len(numbers) > 2 * EXTENT_LIMIT:
                raise BadArchive("archive/tar: invalid tar header: too many pieces in a sparse file")
            block = self._exactly(BLOCK)
            area, more = block[:504], block[504]
        entry.extents = _extents(numbers)

    def _sparse_map(self, entry: Entry) -> list[int]:
        """Version 1.0: the map stands before the data, decimal numbers on lines, padded to a block."""
        text = b""
        need = 1
        while text.count(b"\n") < need:
            if self._left < BLOCK or len(text) > META_LIMIT:
                raise BadArchive("archive/tar: invalid tar header: bad map of a sparse file")
            text += self._exactly(BLOCK)
            self._left -= BLOCK
            entry.stored -= BLOCK
            if need == 1 and b"\n" in text:
                need = 1 + 2 * _decimal(text.partition(b"\n")[0])
        return [_decimal(line) for line in text.split(b"\n")[1:need]]


def parse_pax(content: bytes) -> tuple[dict[str, bytes], list[bytes]]:
    """Parse the records of a pax header: ``"<length> <key>=<value>\\n"``.

    The second value has the numbers of sparse format 0.0, whose keys repeat: offset, length, offset, length …
    """
    records: dict[str, bytes] = {}
    sparse_list: list[bytes] = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        end = at + _decimal(content[at:space] if space > 0 else b"")
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not equals or not key or end > len(content) or content[end - 1 : end] != b"\n":
            raise BadArchive("archive/tar: invalid tar header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse_list.append(value)
        else:
            records[key.decode("utf-8", "surrogateescape")] = value
        at = end
    return records, sparse_list


def _check(block: bytes) -> None:
    """Compare the checksum: the sum of all bytes, the field itself counted as blanks.

    Adler-32's low half is 1 + the sum modulo 65521, and 256 bytes can't reach that: ten times as fast as ``sum``.
    """
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    expected = _number(block[148:156])
    if total - sum(block[148:156]) + _BLANK_CHECKSUM != expected:
        high = sum(byte > 127 for byte in block)
        # Some old programs summed signed characters.
        if total - sum(block[148:156]) + _BLANK_CHECKSUM - 256 * high != expected:
            raise BadArchive("archive/tar: invalid tar header")


def _text(field_: bytes) -> bytes:
    return field_.partition(b"\0")[0]


def _number(field_: bytes, *, negative: bool = False) -> int:
    """Decode an octal or (GNU) base-256 number."""
    if field_[0] & 0x80:
        value = int.from_bytes(field_, "big", signed=False) & ((1 << (8 * len(field_) - 1)) - 1)
        if field_[0] & 0x40:
            value -= 1 << (8 * len(field_) - 1)
    else:
        digits = field_.strip(b" \0").partition(b"\0")[0].rstrip()
        if not digits:
            return 0
        try:
            value = int(digits, 8) if digits.isdigit() else -1
        except ValueError:
            raise BadArchive("archive/tar: invalid tar header") from None
        if value < 0:
            raise BadArchive("archive/tar: invalid tar header")
    if value < 0 and not negative:
        raise BadArchive("archive/tar: invalid tar header")
    return value


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise BadArchive("archive/tar: invalid tar header")
    return int(text)


def _seconds(text: bytes) -> int:
    """Decode pax time, "[-]seconds[.fraction]", to nanoseconds."""
    whole, _, fraction = text.partition(b".")
    sign = -1 if whole.startswith(b"-") else 1
    whole = whole.removeprefix(b"-")
    if fraction and not fraction.isdigit():
        raise BadArchive("archive/tar: invalid tar header")
    return sign * (_decimal(whole) * 1_000_000_000 + int((fraction[:9] or b"0").ljust(9, b"0")))


def _xattrs(pax: dict[str, bytes]) -> dict[str, bytes]:
    return {key[13:]: value for key, value in pax.items() if key.startswith("SCHILY.xattr.")}


def _extents(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * EXTENT_LIMIT:
        raise BadArchive("archive/tar: invalid tar header: bad map of a sparse file")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _check_extents(entry: Entry) -> None:
    """Extents must follow each other, lie within the file, and need exactly the data that is stored."""
    end = total = 0
    for offset, length in entry.extents or ():
        if offset < end or offset + length > entry.size:
            raise BadArchive("archive/tar: invalid tar header: bad map of a sparse file")
        end = offset + length
        total += length
    if total != entry.stored:
        raise BadArchive("archive/tar: invalid tar header: bad map of a sparse file")


def _check_entry(entry: Entry) -> None:
    if b"\0" in entry.name or b"\0" in entry.link or any("\0" in key for key in entry.xattrs):
        raise BadArchive("archive/tar: invalid tar header: NUL in a name")
    if not entry.name or len(entry.name) > NAME_LIMIT or len(entry.link) > NAME_LIMIT:
        raise BadArchive("archive/tar: invalid tar header: empty or overlong name")
    if entry.uid > MAX_ID or entry.gid > MAX_ID:
        raise BadArchive("archive/tar: invalid tar header: owner out of range")
    if entry.size >= 1 << 63 or max(entry.device) >= 1 << 32:
        raise BadArchive("archive/tar: invalid tar header: number out of range")
