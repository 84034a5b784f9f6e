"""Writing tar archives, header by header, as Go's archive/tar does in its pax format: what Docker writes.

ustar fields where a value fits in them, and a pax header before the entry for each value that does not: names that are
long or no ASCII, large sizes, large owners, times before 1970, extended attributes. Times are whole seconds.

Source. POSIX.1-2017 pax(1), "ustar Interchange Format" and "pax Extended Header"; bytes compared with dockerd's.
"""

from __future__ import annotations

import struct
from typing import Final

from sampan.image.tar import BLOCK, DIRECTORY, Entry

END: Final = bytes(2 * BLOCK)
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_NAME: Final = 100  # bytes in the header
_OWNER: Final = 0o7777777  # largest in seven octal digits
_SIZE: Final = 0o77777777777
_PAX: Final = b"x"
_ATTRIBUTE: Final = b"SCHILY.xattr."


def header(entry: Entry) -> bytes:
    """Return the blocks before an entry's data. ``size`` is that of the data; a directory's name ends with a slash."""
    seconds = entry.mtime_ns // 1_000_000_000
    texts = {b"path": entry.name, b"linkpath": entry.link}
    records = {key: text for key, text in texts.items() if len(text) > _NAME or not text.isascii()}
    for key, number, limit in (
        (b"size", entry.size, _SIZE),
        (b"uid", entry.uid, _OWNER),
        (b"gid", entry.gid, _OWNER),
        (b"mtime", seconds, _SIZE),
    ):
        if not 0 <= number <= limit:
            records[key] = b"%d" % number
    for name, value in entry.xattrs.items():
        records[_ATTRIBUTE + name.encode("utf-8", "surrogateescape")] = value
    block = _block(entry, entry.kind, seconds)
    return _extended(entry, records) + block if records else block


def padding(size: int) -> bytes:
    """Return what follows ``size`` bytes of data up to the next block."""
    return bytes(-size % BLOCK)


def _extended(entry: Entry, records: dict[bytes, bytes]) -> bytes:
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    directory, _, name = entry.name.rstrip(b"/").rpartition(b"/")
    place = (directory + b"/" if directory else b"") + b"PaxHeaders.0/" + name
    own = Entry(place, _PAX, 0, 0, 0, 0, len(content), len(content), b"", (0, 0))
    return _block(own, _PAX, 0) + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + len(str(len(rest)))
    size = len(rest) + len(str(size))  # the length counts its own digits
    return b"%d" % size + rest


def _block(entry: Entry, kind: bytes, seconds: int) -> bytes:
    fields = (
        *(_short(entry.name, directory=kind == DIRECTORY), _octal(entry.mode, 7)),
        *(_octal(entry.uid, 7, _OWNER), _octal(entry.gid, 7, _OWNER)),
        *(_octal(entry.size, 11, _SIZE), _octal(seconds, 11, _SIZE)),
    )
    major, minor = (_octal(number, 7, _OWNER) for number in entry.device)
    rest = (kind, _short(entry.link), b"ustar\0", b"00", b"", b"", major, minor, b"")
    blank = _HEADER.pack(*fields, b" " * 8, *rest)
    return _HEADER.pack(*fields, b"%06o\0 " % sum(blank), *rest)


def _short(text: bytes, *, directory: bool = False) -> bytes:
    """What an old reader gets for a name that stands in the pax header: its ASCII part, cut."""
    if not text.isascii():
        text = bytes(byte for byte in text if byte < 128)
    if len(text) > _NAME and directory:
        return text[: _NAME - 1].rstrip(b"/") + b"/"
    return text[:_NAME]


def _octal(number: int, digits: int, limit: int = 0) -> bytes:
    return b"%0*o\0" % (digits, number if 0 <= number <= (limit or number) else 0)
