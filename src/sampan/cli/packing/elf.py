"""What an ELF file says of the loader and the libraries that it wants, read within limits and never run.

Source: System V ABI (ELF header, program header, dynamic section); ld.so(8).
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
MAX_HEADERS = 1024  # program headers; linkers write about a dozen
MAX_DYNAMIC = 1 << 20  # bytes of the dynamic section; real ones have a few KiB
MAX_STRING = 4096  # bytes of a path or name: PATH_MAX
MAX_NEEDED = 4096  # libraries that one object may name
ARCHITECTURES = {3: "386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64"}
ARCHITECTURES |= {243: "riscv64", 258: "loong64"}  # e_machine → GOARCH; of mips and ppc64 the big-endian name


class BadElf(Exception):
    """A file that begins as an ELF file does and is none; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Elf:
    """One object."""

    machine: int  # e_machine
    bits: int  # 32 or 64
    little: bool  # byte order
    interpreter: str  # path of the loader; "" for libraries and static programs
    needed: tuple[str, ...]  # names of libraries, in the file's order
    soname: str
    rpath: tuple[str, ...]  # directories, with $ORIGIN as written; none where there is a runpath
    runpath: tuple[str, ...]

    @property
    def kind(self) -> tuple[int, int, bool]:
        """What two objects of one process have in common."""
        return self.machine, self.bits, self.little

    @property
    def architecture(self) -> str:
        """GOARCH name; "" for a machine that Go doesn't know."""
        name = ARCHITECTURES.get(self.machine, "")
        return f"{name}le" if self.little and name in {"ppc64", "mips"} else name


def read(path: str) -> Elf | None:
    """Return what the file says; None when it is no regular file or no ELF file.

    Raises BadElf for a broken one, OSError for one that can't be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        head = os.pread(descriptor, 64, 0)
        return _Reader(descriptor, head).read() if head.startswith(MAGIC) else None
    finally:
        os.close(descriptor)


class _Reader:
    """Reads one file in the word size and byte order that it has."""

    def __init__(self, descriptor: int, head: bytes) -> None:
        if len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise BadElf("its ELF header is broken")
        self._descriptor = descriptor
        self._head = head
        self._wide, self._order = head[4] == 2, "<" if head[5] == 1 else ">"
        self._loads: list[tuple[int, int, int]] = []  # address, offset, size in the file

    def read(self) -> Elf:
        """Read everything that is of interest."""
        machine = self._unpack("H", self._head, 18)[0]
        interpreter, dynamic = "", (0, 0)
        for kind, offset, address, size in self._program_headers():
            if kind == PT_LOAD:
                self._loads.append((address, offset, size))
            elif kind == PT_INTERP:
                interpreter = self._string(offset, min(size, MAX_STRING))
            elif kind == PT_DYNAMIC:
                dynamic = offset, size
        tags = self._dynamic(*dynamic)
        needed = tuple(dict.fromkeys(self._named(tags, DT_NEEDED)))
        runpath = _directories(self._named(tags, DT_RUNPATH))
        rpath = () if runpath else _directories(self._named(tags, DT_RPATH))
        soname = "".join(self._named(tags, DT_SONAME)[:1])
        bits, little = 64 if self._wide else 32, self._order == "<"
        return Elf(machine, bits, little, interpreter, needed, soname, rpath, runpath)

    def _unpack(self, form: str, data: bytes, offset: int = 0) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, data, offset)
        except struct.error:
            raise BadElf("it is cut short") from None

    def _program_headers(self) -> list[tuple[int, int, int, int]]:
        """(type, offset, address, size in the file) of each."""
        if self._wide:
            (start,), (size, count) = self._unpack("Q", self._head, 32), self._unpack("HH", self._head, 54)
        else:
            (start,), (size, count) = self._unpack("I", self._head, 28), self._unpack("HH", self._head, 42)
        if not count:
            return []
        if count > MAX_HEADERS or size != (56 if self._wide else 32):
            raise BadElf("its program headers are broken")
        table = self._at(start, size * count)
        found = []
        for place in range(0, size * count, size):
            if self._wide:
                kind, _flags, offset, address, _physical, stored = self._unpack("IIQQQQ", table, place)
            else:
                kind, offset, address, _physical, stored = self._unpack("IIIII", table, place)
            found.append((kind, offset, address, stored))
        return found

    def _dynamic(self, offset: int, size: int) -> list[tuple[int, int]]:
        """The (tag, value) pairs of the dynamic section."""
        if size > MAX_DYNAMIC:
            raise BadElf("its dynamic section is absurdly large")
        data, width = self._at(offset, size), 16 if self._wide else 8
        pairs: list[tuple[int, int]] = []
        for place in range(0, len(data) - width + 1, width):
            tag, value = self._unpack("QQ" if self._wide else "II", data, place)
            if not tag:
                break
            pairs.append((tag, value))
        return pairs

    def _named(self, tags: list[tuple[int, int]], wanted: int) -> list[str]:
        """The strings that the tags `wanted` name."""
        places = [value for tag, value in tags if tag == wanted]
        if not places:
            return []
        tables = [value for tag, value in tags if tag == DT_STRTAB]
        if not tables or len(places) > MAX_NEEDED:
            raise BadElf("its dynamic section is broken")
        base = self._offset(tables[0])
        return [self._string(base + place, MAX_STRING) for place in places]

    def _offset(self, address: int) -> int:
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return address - start + offset
        raise BadElf("its dynamic section points outside the file")

    def _string(self, offset: int, limit: int) -> str:
        text, end, _ = self._at(offset, limit).partition(b"\0")
        if not end:
            raise BadElf("a name in it has no end")
        return os.fsdecode(text)

    def _at(self, offset: int, size: int) -> bytes:
        if offset >= 1 << 62:  # more than off_t holds
            raise BadElf("it points outside itself")
        return os.pread(self._descriptor, size, offset)


def _directories(paths: list[str]) -> tuple[str, ...]:
    """The absolute directories (or those that begin with a variable) of an RPATH or RUNPATH.

    Others depend on the working directory: they could mean anything in a container.
    """
    parts = [part for path in paths for part in path.split(":")]
    return tuple(part.rstrip("/") or "/" for part in parts if part.startswith(("/", "$")))
