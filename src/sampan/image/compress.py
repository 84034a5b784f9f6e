"""Decompression of layers and archives, told apart by their first bytes, bounded in memory whatever comes.

A *source* is a function ``read(n)`` that returns at most ``n`` bytes and b"" at the end; so is what comes out.
gzip by isal and zstd by zstandard (2 to 4 times zlib); bzip2 and xz by the standard library, since Docker takes them.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Final, Protocol, cast

import zstandard
from isal import igzip_lib, isal_zlib

from sampan.image.errors import BadArchive

Source = Callable[[int], bytes]

INPUT_CHUNK: Final = 1 << 18  # compressed bytes asked for at a time
GZIP_LEVEL: Final = 2  # of 0 to 3; a third is nearly as small, and half as fast
MAX_RATIO: Final = 200  # plain to compressed bytes, looked at beyond
RATIO_FROM: Final = 1 << 30  # plain bytes: a small bomb does no harm
ZSTD_WINDOW: Final = 1 << 27  # bytes; the largest window that `zstd` itself accepts without --long

GZIP: Final = b"\x1f\x8b\x08"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # bytes 2 to 4 of a skippable frame; RFC 8878, 3.1.2
_LAST_FRAME: Final = b"\x50" + ZSTD_SKIPPABLE + (3 << 16).to_bytes(4, "little") + b"\xff" * (3 << 16)
BZIP2: Final = b"BZh"
XZ: Final = b"\xfd7zXZ\x00"
_ISAL_ERROR: Final = cast("type[Exception]", igzip_lib.error)  # its stubs declare an instance


class _Encoder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def gzip_encoder() -> _Encoder:
    """Return an encoder whose output depends on its input alone: no name, no time."""
    return isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, 31)  # 31: a gzip header, the largest window


class _Decoder(Protocol):
    """What the decompressors of bz2, lzma and isal have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


def decompressed(source: Source) -> Source:
    """Return a source of the plain bytes behind ``source``, which may be compressed or not.

    What it returns raises BadArchive where the compressed stream is broken, cut short, or a bomb.
    """
    count = _Count()
    source = count.packed(source)
    head = _at_least(source, 6)
    replayed = _replay(head, source)
    if head.startswith(GZIP):
        return count.plain(_members(replayed, lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)))
    if head.startswith(ZSTD) or head[1:4] == ZSTD_SKIPPABLE:
        return count.plain(_zstd(replayed))
    if head.startswith(BZIP2):
        return count.plain(_members(replayed, bz2.BZ2Decompressor))
    if head.startswith(XZ):
        return count.plain(_members(replayed, lzma.LZMADecompressor))
    return replayed


class _Count:
    """Counts what goes in and what comes out: a bomb is where the ratio is absurd."""

    def __init__(self) -> None:
        self._packed = self._plain = 0

    def packed(self, source: Source) -> Source:
        def read(count: int) -> bytes:
            chunk = source(count)
            self._packed += len(chunk)
            return chunk

        return read

    def plain(self, source: Source) -> Source:
        def read(count: int) -> bytes:
            chunk = source(count)
            self._plain += len(chunk)
            if self._plain > RATIO_FROM and self._plain > MAX_RATIO * self._packed:
                raise BadArchive(f"an archive that unpacks to more than {MAX_RATIO} times its size")
            return chunk

        return read


def _at_least(source: Source, count: int) -> bytes:
    head = b""
    while len(head) < count and (chunk := source(INPUT_CHUNK)):
        head += chunk
    return head


def _replay(head: bytes, source: Source) -> Source:
    """Return a source that gives ``head`` again before the rest."""
    rest = memoryview(head)

    def read(count: int) -> bytes:
        nonlocal rest
        if not rest:
            return source(count)
        piece = bytes(rest[:count])
        rest = rest[count:]
        return piece

    return read


def _members(source: Source, make: Callable[[], _Decoder]) -> Source:
    """Decode a stream of one or more members (RFC 1952, 2.2), allowing zero padding behind the last one."""
    decoder = make()
    ended = False

    def read(count: int) -> bytes:
        nonlocal ended, decoder
        while not ended:
            if decoder.eof:
                rest = _next_member(decoder.unused_data, source)
                ended = not rest
                if ended:
                    break
                decoder = make()
            elif decoder.needs_input:
                rest = source(INPUT_CHUNK)
                if not rest:
                    raise BadArchive("unexpected EOF")
            else:
                rest = b""
            plain = _decode(decoder, rest, count)
            if plain:
                return plain
        return b""

    return read


def _next_member(rest: bytes, source: Source) -> bytes:
    rest = rest.lstrip(b"\0")
    while not rest and (chunk := source(INPUT_CHUNK)):
        rest = chunk.lstrip(b"\0")
    return rest


def _decode(decoder: _Decoder, data: bytes, count: int) -> bytes:
    try:
        return decoder.decompress(data, max_length=count)
    except (_ISAL_ERROR, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise BadArchive(f"corrupt compressed data: {error}") from None


class _Terminated:
    """Gives zstandard a source as something with ``read``, with a skippable frame at the end.

    zstandard takes the end of its input for the end of the data, even within a frame. A whole stream isn't changed by
    one more skippable frame; one that was cut short runs into its bytes, and those can't be the header of a block
    (its type would be 3: reserved): an error within the 128 KiB that a block has at most.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.ended = False

    def read(self, count: int) -> bytes:
        if self.ended:
            return b""
        chunk = self._source(count)
        if not chunk:
            self.ended = True
            return _LAST_FRAME
        return chunk


def _zstd(source: Source) -> Source:
    terminated = _Terminated(source)
    reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(
        terminated,  # type: ignore[arg-type]  # it needs read() only
        read_size=INPUT_CHUNK,
        read_across_frames=True,
    )

    def read(count: int) -> bytes:
        try:
            return reader.read(count)
        except (zstandard.ZstdError, MemoryError) as error:
            if terminated.ended:
                raise BadArchive("unexpected EOF") from None
            raise BadArchive(f"corrupt compressed data: {error}") from None

    return read
