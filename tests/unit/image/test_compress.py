"""Decompression: every format, in pieces, in several members, cut short and broken."""

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from sampan.image.compress import decompressed
from sampan.image.errors import BadArchive

PLAIN = random.Random(1).randbytes(300_000) + bytes(300_000) + b"end"


def _zstd_parts(data: bytes) -> bytes:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    return skippable + zstandard.compress(data[:1000]) + skippable + zstandard.compress(data[1000:])


def _with_name(packed: bytes) -> bytes:
    return b"\x1f\x8b\x08\x08" + packed[4:10] + b"name\0" + packed[10:]


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda data: gzip.compress(data[:1000]) + gzip.compress(b"") + gzip.compress(data[1000:]),
    "gzip with a name": lambda data: _with_name(gzip.compress(data)),
    "gzip padded": lambda data: gzip.compress(data) + bytes(1000),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd unchecked": zstandard.compress,
    "zstd frames": _zstd_parts,
    "bzip2": bz2.compress,
    "bzip2 members": lambda data: bz2.compress(data[:1000]) + bz2.compress(data[1000:]),
    "xz": lzma.compress,
}  # fmt: skip


def unpack(content: bytes, step: int = 1 << 20) -> bytes:
    """Decompress all."""
    stream = io.BytesIO(content)
    source = decompressed(lambda count: stream.read(min(step, count)))
    return b"".join(iter(lambda: source(65536), b""))


@pytest.mark.parametrize("step", [1 << 20, 1001, 7])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, step: int) -> None:
    assert unpack(FORMATS[name](PLAIN), step) == PLAIN


@pytest.mark.parametrize("content", [b"", b"a", b"\x1f", b"short"])
def test_what_is_too_short_to_be_compressed(content: bytes) -> None:
    assert unpack(content) == content


@pytest.mark.parametrize("cut", [7, 20, 1000, 250_000, -1, -5, -9])
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("plain", "gzip padded")])
def test_cut_short(name: str, cut: int) -> None:
    content = FORMATS[name](PLAIN)[:cut]
    if name == "zstd frames" and cut == 7:
        return  # within a skippable frame, whose content is nobody's
    with pytest.raises(BadArchive, match="unexpected EOF"):
        unpack(content)


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_broken(name: str) -> None:
    content = bytearray(FORMATS[name](PLAIN))
    for at in range(40, 2000):
        content[at] ^= 0x5A
    with pytest.raises(BadArchive, match=r"corrupt compressed data|unexpected EOF"):
        unpack(bytes(content))


def test_a_wrong_checksum() -> None:
    content = bytearray(gzip.compress(PLAIN))
    content[-6] ^= 1
    with pytest.raises(BadArchive, match="corrupt compressed data"):
        unpack(bytes(content))


def test_junk_behind_gzip() -> None:
    with pytest.raises(BadArchive, match=r"corrupt compressed data|unexpected EOF"):
        unpack(gzip.compress(PLAIN) + b"junk")


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_bombs(name: str) -> None:
    """More than a gibibyte out of nearly nothing."""
    source = decompressed(io.BytesIO(FORMATS[name](bytes(64 << 20)) * 17).read)
    sizes: list[int] = []
    with pytest.raises(BadArchive, match="unpacks to more than 200 times its size"):
        sizes.extend(iter(lambda: len(source(1 << 20)), 0))
    assert 0 < sum(sizes) <= 1 << 30


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_memory_is_bounded(name: str) -> None:
    """A bomb comes out in pieces no larger than asked for."""
    stream = io.BytesIO(FORMATS[name](bytes(20_000_000)))
    source = decompressed(stream.read)
    sizes = [len(piece) for piece in iter(lambda: source(100_000), b"")]
    assert max(sizes) <= 100_000 and sum(sizes) == 20_000_000
