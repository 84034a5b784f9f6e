"""Where the loader would find a library: ld.so.cache, directories of ld.so.conf, the default ones; musl's own way.

Source: ld.so(8), ldconfig(8); glibc sysdeps/generic/dl-cache.h (form of the cache) and elf/dl-cache.c (its order);
musl ldso/dynlink.c (search path, names that mean musl itself).
"""

from __future__ import annotations

import glob
import os
import re
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sampan.cli.packing.elf import Elf

CACHE = "/etc/ld.so.cache"
CONFIGURATION = "/etc/ld.so.conf"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEAD = struct.Struct("<20sIIB3xI12x")  # magic with version, count, bytes of strings, byte order, extensions, unused
_ENTRY = struct.Struct("<iIIIQ")  # flags, name, path, unused, hardware capabilities
_LITTLE = 2  # byte order of the cache
_LIMIT = 16 << 20  # bytes of a cache or configuration; a desktop's cache has 0.2 MiB
_DEPTH = 8  # of includes in ld.so.conf
_TRIPLETS = {3: "i386-linux-gnu", 22: "s390x-linux-gnu", 40: "arm-linux-gnueabihf", 62: "x86_64-linux-gnu"}
_TRIPLETS |= {21: "powerpc64le-linux-gnu", 183: "aarch64-linux-gnu", 243: "riscv64-linux-gnu"}
_PLATFORMS = {62: "x86_64", 183: "aarch64", 3: "i686"}
# What the cache says of an object's kind: FLAG_ELF_LIBC6 with the ABI's own bits.
_FLAGS = {(3, 32): 0x3, (62, 64): 0x303, (62, 32): 0x803, (22, 64): 0x403, (21, 64): 0x503, (40, 32): 0x903}
_FLAGS |= {(183, 64): 0xA03, (243, 64): 0x1003}
_OF_MUSL = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")


def is_musl(loader: str) -> bool:
    """Whether this is musl's loader, which is its C library too."""
    return os.path.basename(loader).startswith("ld-musl-")


def means_musl(name: str) -> bool:
    """Whether musl's loader takes this name of a library for itself."""
    return _OF_MUSL.match(name) is not None


def musl_path(loader: str) -> str:
    """The file that names musl's directories: ``/etc/ld-musl-x86_64.path``, there or not."""
    return f"/etc/{os.path.basename(loader).partition('.so')[0]}.path"


def expanded(directories: Iterable[str], origin: str, elf: Elf) -> Iterator[str]:
    """The directories that an RPATH means: with $ORIGIN, $LIB and $PLATFORM put in."""
    for directory in directories:
        text = re.sub(r"\$(?:ORIGIN\b|\{ORIGIN\})", lambda _: origin, directory)
        text = re.sub(r"\$(?:PLATFORM\b|\{PLATFORM\})", _PLATFORMS.get(elf.machine, ""), text)
        for library in (f"lib/{_TRIPLETS.get(elf.machine, '')}", "lib64", "lib") if "LIB" in text else ("",):
            one = re.sub(r"\$(?:LIB\b|\{LIB\})", library, text)
            if "$" not in one:
                yield one


class System:
    """The places that hold for every program of this machine."""

    def __init__(self, cache: str = CACHE, configuration: str = CONFIGURATION) -> None:
        self._by_name: dict[str, list[str]] = {}
        for name, path in _cached(_contents(cache)):
            self._by_name.setdefault(name, []).append(path)
        self._configured = [] if self._by_name else list(_configured(configuration, _DEPTH))

    def places(self, name: str, elf: Elf, loader: str) -> Iterator[str]:
        """Every path where a library might be for an object like `elf`, best first."""
        if is_musl(loader):
            directories = _contents(musl_path(loader)).decode(errors="surrogateescape").replace("\n", ":").split(":")
            yield from (f"{one}/{name}" for one in directories if one.startswith("/"))
            yield from (f"{one}/{name}" for one in ("/lib", "/usr/local/lib", "/usr/lib"))
            return
        yield from self._by_name.get(name, ())
        triplet = _TRIPLETS.get(elf.machine)
        usual = [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
        usual += ["/lib64", "/usr/lib64"] if elf.bits == 64 else ["/lib32", "/usr/lib32"]
        yield from (f"{one}/{name}" for one in [*usual, "/lib", "/usr/lib", *self._configured])


def made_cache(libraries: Mapping[tuple[str, int], tuple[str, Elf]]) -> bytes:
    """A cache of these libraries: (name, bits) → (path, object). The same ones give the same bytes."""
    strings, places = bytearray(), []
    base = _HEAD.size + _ENTRY.size * len(libraries)
    ordered = sorted(libraries.items(), key=lambda one: (_order(one[0][0]), one[0][1]), reverse=True)
    for (name, _bits), (path, elf) in ordered:  # descending, as the loader's binary search wants it
        at = []
        for text in (name, path):
            at.append(base + len(strings))
            strings += os.fsencode(text) + b"\0"
        places.append(_ENTRY.pack(_FLAGS.get((elf.machine, elf.bits), 3), *at, 0, 0))
    return _HEAD.pack(_MAGIC, len(libraries), len(strings), _LITTLE, 0) + b"".join(places) + bytes(strings)


def _order(name: str) -> list[tuple[int, int]]:
    """As glibc's _dl_cache_libcmp: numbers in names count by their value, and stand behind other characters."""
    key = [(1, int(part)) if part.isdecimal() else (0, ord(part)) for part in re.findall(r"[0-9]+|[^0-9]", name)]
    return [*key, (-1, 0)]


def _cached(data: bytes) -> Iterator[tuple[str, str]]:
    """(name, path) of each library of a cache that needs no special processor."""
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEAD.size:
        return
    data = data[start:]
    _magic, count, _size, order, _extensions = _HEAD.unpack_from(data)
    if order & 3 not in {0, _LITTLE} or _HEAD.size + count * _ENTRY.size > len(data):
        return
    for at in range(_HEAD.size, _HEAD.size + count * _ENTRY.size, _ENTRY.size):
        _flags, name, path, _unused, capabilities = _ENTRY.unpack_from(data, at)
        if not capabilities:
            yield _text(data, name), _text(data, path)


def _text(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : max(data.find(b"\0", at), at)])


def _configured(path: str, depth: int) -> Iterator[str]:
    """The directories that ld.so.conf names."""
    for line in _contents(path).decode(errors="surrogateescape").splitlines():
        word, _, rest = line.partition("#")[0].strip().partition(" ")
        if word == "include" and depth:
            for pattern in rest.split():
                for included in sorted(glob.glob(os.path.join(os.path.dirname(path), pattern))):
                    yield from _configured(included, depth - 1)
        elif word.startswith("/"):
            yield word.rstrip("/")


def _contents(path: str) -> bytes:
    """The beginning of a file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except OSError:
        return b""
