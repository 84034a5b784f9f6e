"""ELF files as linkers write them, and as an attacker does."""

import contextlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.cli.packing import elf
from sampan.cli.packing.elf import BadElf, Elf


def made(
    *, wide: bool = True, order: str = "<", interpreter: str = "/lib/ld.so", tags: tuple[tuple[int, str], ...] = ()
) -> bytes:
    """An ELF file with a loader and a dynamic section that names strings."""
    word = "Q" if wide else "I"
    header_size, entry_size = (64, 56) if wide else (52, 32)
    start = header_size + 3 * entry_size
    loader = interpreter.encode() + b"\0"
    strings, pairs = b"\0", []
    for tag, text in tags:
        pairs.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    dynamic_at = start + len(loader)
    pairs.append((elf.DT_STRTAB, 0x1000 + dynamic_at + 2 * struct.calcsize(order + word) * (len(pairs) + 2)))
    dynamic = b"".join(struct.pack(order + 2 * word, *pair) for pair in [*pairs, (0, 0)])
    size = dynamic_at + len(dynamic) + len(strings)
    table = b""
    for kind, offset, length in ((1, 0, size), (3, start, len(loader)), (2, dynamic_at, len(dynamic))):
        if wide:
            table += struct.pack(order + "IIQQQQQQ", kind, 4, offset, 0x1000 + offset, 0, length, length, 1)
        else:
            table += struct.pack(order + "IIIIIIII", kind, offset, 0x1000 + offset, 0, length, length, 4, 1)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    head = struct.pack(
        order + "HHI" + 3 * word + "IHHHHHH", 3, 62, 1, 0, header_size, 0, 0, header_size, entry_size, 3, 0, 0, 0
    )
    return ident + head + table + loader + dynamic + strings


TAGS = ((elf.DT_NEEDED, "libone.so.1"), (elf.DT_NEEDED, "libc.so.6"), (elf.DT_SONAME, "libtwo.so"))


def read(tmp_path: Path, content: bytes) -> Elf | None:
    (tmp_path / "file").write_bytes(content)
    return elf.read(str(tmp_path / "file"))


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_word_size_and_byte_order(tmp_path: Path, wide: bool, order: str) -> None:
    found = read(tmp_path, made(wide=wide, order=order, tags=(*TAGS, (elf.DT_RUNPATH, "$ORIGIN/../lib:rel:/opt/l/"))))
    assert found is not None
    assert (found.interpreter, found.needed, found.soname) == ("/lib/ld.so", ("libone.so.1", "libc.so.6"), "libtwo.so")
    assert found.runpath == ("$ORIGIN/../lib", "/opt/l") and found.rpath == ()
    assert found.kind == (62, 64 if wide else 32, order == "<") and found.architecture == "amd64"


def test_a_runpath_makes_the_rpath_void(tmp_path: Path) -> None:
    both = read(tmp_path, made(tags=((elf.DT_RPATH, "/a"), (elf.DT_RUNPATH, "/b"))))
    only = read(tmp_path, made(tags=((elf.DT_RPATH, "/a:/c"),)))
    assert both is not None and only is not None
    assert (both.rpath, both.runpath) == ((), ("/b",)) and (only.rpath, only.runpath) == (("/a", "/c"), ())


def test_what_is_no_elf_file(tmp_path: Path) -> None:
    assert read(tmp_path, b"#!/bin/sh\n") is None
    assert read(tmp_path, b"") is None
    os.mkfifo(tmp_path / "pipe")
    assert elf.read(str(tmp_path / "pipe")) is None, "a pipe without a writer must not block either"


WHOLE = made(tags=TAGS)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\x7fELF", "its ELF header is broken"),
        (WHOLE[:4] + b"\x07" + WHOLE[5:], "its ELF header is broken"),
        (WHOLE[:60], "cut short"),
        (WHOLE[:100], "cut short"),
        (WHOLE[:56] + b"\xff\xff" + WHOLE[58:], "program headers are broken"),
        (WHOLE.replace(struct.pack("<Q", elf.DT_STRTAB), struct.pack("<Q", 99)), "dynamic section is broken"),
        (WHOLE.rstrip(b"\0"), "a name in it has no end"),
        (WHOLE[:32] + b"\xff" * 8 + WHOLE[40:], "it points outside itself"),
    ],
)  # fmt: skip
def test_broken_ones(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(BadElf, match=text):
        read(tmp_path, content)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, len(WHOLE) - 1), st.integers(0, 255)), max_size=8), st.integers(4, len(WHOLE)))
def test_no_file_does_more_than_be_refused(tmp_path: Path, changes: list[tuple[int, int]], length: int) -> None:
    content = bytearray(WHOLE)
    for at, octet in changes:
        content[at] = octet
    with contextlib.suppress(BadElf):
        read(tmp_path, bytes(content[:length]))


def test_a_program_of_this_machine() -> None:
    found = elf.read("/bin/sh")
    assert found is not None and found.interpreter.startswith("/lib")
    assert any(name.startswith("libc.") for name in found.needed)
