"""The header parser: numbers, names, pax records, sparse maps; everything that tarfile writes; and garbage."""

import contextlib
import io
import tarfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.image import tar
from sampan.image.errors import BadArchive
from sampan.image.tar import Entry, TarReader


def read(content: bytes) -> list[tuple[Entry, bytes]]:
    """All entries with their data."""
    reader = TarReader(io.BytesIO(content).read)
    return [(entry, b"".join(map(bytes, reader.data()))) for entry in reader]


def block(name: bytes = b"a", kind: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header written field by field, its checksum right."""
    header = bytearray(512)
    places = {"mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "link": 157, "magic": 257,
              "major": 329, "minor": 337, "prefix": 345}  # fmt: skip
    header[: len(name)] = name
    header[156:157] = kind
    for key, value in ({"mode": b"0000644\0", "magic": b"ustar\x0000"} | fields).items():
        header[places[key] : places[key] + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def pax(**records: str | bytes) -> bytes:
    """A pax header for the entry that follows."""
    content = b""
    for key, value in records.items():
        data = value.encode() if isinstance(value, str) else value
        body = b" %s=%s\n" % (key.replace("__", ".").encode(), data)
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        content += str(length).encode() + body
    return block(b"pax", b"x", size=b"%011o\0" % len(content)) + content + bytes(-len(content) % 512)


END = bytes(1024)

NUMBERS = [
    (b"0000644\0", 0o644),
    (b"644 \0\0\0\0", 0o644),
    (b"   644 \0", 0o644),
    (b"00000000644", 0o644),
    (b"\0" * 8, 0),
    (b"        ", 0),
    (b"\x80" + b"\0" * 6 + b"\x05", 5),
    (b"\x80\0\0\0\0\0\0\x02\x54\x0b\xe4\x00", 10_000_000_000),
    (b"644\0junk", 0o644),
]


@pytest.mark.parametrize(("field", "value"), NUMBERS)
def test_numbers(field: bytes, value: int) -> None:
    assert tar._number(field) == value


@pytest.mark.parametrize("field", [b"9\0", b"0x1F\0", b"-1\0", b"1_0\0", b"+1\0", b"\xff" * 8])
def test_bad_numbers(field: bytes) -> None:
    with pytest.raises(BadArchive):
        tar._number(field)


def test_negative_times() -> None:
    entry, _ = read(block(mtime=b"\xff" * 11 + b"\xfe"))[0]
    assert entry.mtime_ns == -2_000_000_000
    entry, _ = read(pax(mtime="-1.5") + block())[0]
    assert entry.mtime_ns == -1_500_000_000


def test_fractions_of_seconds() -> None:
    assert read(pax(mtime="12.0000000019") + block())[0][0].mtime_ns == 12_000_000_001
    assert read(pax(mtime="12.5") + block())[0][0].mtime_ns == 12_500_000_000


NAMES = [
    (block(b"a" * 100), b"a" * 100),
    (block(b"b", prefix=b"p" * 155), b"p" * 155 + b"/b"),
    (block(b"b", prefix=b"p" * 155, magic=b"ustar  \0"), b"b"),  # GNU keeps times there
    (block(b"b", prefix=b"p" * 155, magic=b"\0" * 8), b"b"),  # v7 has nothing there
    (pax(path="long") + block(b"short"), b"long"),
    (pax(path=b"\xff\xfe") + block(b"short"), b"\xff\xfe"),
    (pax(path="") + block(b"short"), b"short"),
    (block(b"L", b"L", size=b"11\0") + b"long name\0" + bytes(502) + block(b"short"), b"long name"),
    (block(b"L", b"L", size=b"5\0") + b"long\0" + bytes(507) + pax(path="wins") + block(b"short"), b"wins"),
]


@pytest.mark.parametrize(("content", "name"), NAMES)
def test_names(content: bytes, name: bytes) -> None:
    assert read(content)[0][0].name == name


def test_links() -> None:
    content = block(kind=b"2", link=b"short") + pax(linkpath="long") + block(kind=b"1", link=b"short")
    content += block(b"K", b"K", size=b"5\0") + b"gnu!\0" + bytes(507) + block(kind=b"2", link=b"short")
    assert [entry.link for entry, _ in read(content)] == [b"short", b"long", b"gnu!"]


def test_kinds() -> None:
    assert read(block(kind=b"\0"))[0][0].kind == tar.REGULAR
    assert read(block(kind=b"7"))[0][0].kind == tar.REGULAR
    assert read(block(b"d/", kind=b"\0"))[0][0].kind == tar.DIRECTORY
    assert read(block(kind=b"Z"))[0][0].kind == b"Z"
    device = read(block(kind=b"3", major=b"1\0", minor=b"3\0"))[0][0]
    assert device.device == (1, 3)


def test_entries_without_data_have_none_whatever_they_say() -> None:
    content = block(b"l", b"2", link=b"x", size=b"1000\0") + block(b"after")
    assert [entry.name for entry, _ in read(content)] == [b"l", b"after"]


def test_global_headers_and_labels_are_passed_over() -> None:
    record = b"15 comment=abc\n"
    content = block(b"g", b"g", size=b"17\0") + record + bytes(512 - len(record)) + block(b"v", b"V") + block(b"after")
    assert [entry.name for entry, _ in read(content)] == [b"after"]


def test_attributes() -> None:
    entry, _ = read(pax(SCHILY__xattr__user__x=b"\0\xff=\n", SCHILY__acl__access="x") + block())[0]
    assert entry.xattrs == {"user.x": b"\0\xff=\n"}


def test_large_numbers_come_from_pax() -> None:
    entry, data = read(pax(uid="4000000000", gid="2097152", size="3") + block(size=b"0\0") + b"abc" + bytes(509))[0]
    assert (entry.uid, entry.gid, entry.size, data) == (4_000_000_000, 2_097_152, 3, b"abc")


def test_the_end() -> None:
    assert read(b"") == []
    assert read(END) == []
    assert read(bytes(512)) == []
    assert len(read(block() + bytes(512) + block(b"b"))) == 2  # one zero block alone is passed over, as in Go
    assert len(read(block() + END + b"anything")) == 1
    source = io.BytesIO(block() + END + b"x" * 100_000)
    reader = TarReader(source.read)
    list(reader)
    reader.drain()
    assert source.read() == b""


def test_old_checksums_of_signed_bytes() -> None:
    header = bytearray(block(b"\xe9\xe8"))
    signed = sum(byte - 256 * (byte > 127) for byte in header[:148] + b" " * 8 + header[156:])
    header[148:156] = b"%06o\0 " % signed
    assert read(bytes(header))[0][0].name == b"\xe9\xe8"


SPARSE_10 = b"2\n0\n3\n1000\n4\n"

SPARSE = {
    "1.0": pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name="n", GNU__sparse__realsize="2000")
    + block(size=b"%o\0" % (512 + 7)) + SPARSE_10 + bytes(512 - len(SPARSE_10)) + b"abcdefg" + bytes(505),
    "0.1": pax(GNU__sparse__size="2000", GNU__sparse__name="n", GNU__sparse__map="0,3,1000,4")
    + block(size=b"7\0") + b"abcdefg" + bytes(505),
}  # fmt: skip


@pytest.mark.parametrize("version", SPARSE)
def test_sparse_maps(version: str) -> None:
    entry, data = read(SPARSE[version] + block(b"after"))[0]
    assert (entry.name, entry.size, entry.extents, data) == (b"n", 2000, [(0, 3), (1000, 4)], b"abcdefg")
    assert read(SPARSE[version] + block(b"after"))[1][0].name == b"after"


def _sparse_01(mapped: str, size: str = "100") -> bytes:
    return pax(GNU__sparse__size=size, GNU__sparse__map=mapped) + block(size=b"7\0") + b"abcdefg" + bytes(505)


BROKEN: dict[str, bytes] = {
    "checksum": block()[:100] + b"x" + block()[101:],
    "text": b"x" * 512,
    "half a header": block()[:100],
    "half of the data": block(size=b"10\0") + b"abc",
    "no padding": block(size=b"3\0") + b"abc",
    "NUL in a name": pax(path=b"a\0b") + block(),
    "NUL in a link": pax(linkpath=b"a\0b") + block(kind=b"2"),
    "NUL in an attribute's name": pax(**{"SCHILY__xattr__user__a\0b": "1"}) + block(),
    "no name": block(b""),
    "long name": pax(path="a/" * 2049) + block(),
    "uid -1": pax(uid="4294967295") + block(),
    "uid of text": pax(uid="root") + block(),
    "uid with underscores": pax(uid="1_0") + block(),
    "size of text": pax(size="many") + block(),
    "a huge size": pax(size="9" * 19) + block(),
    "a size beyond all": pax(size="9" * 30) + block(),
    "time of text": pax(mtime="now") + block(),
    "time without end": pax(mtime="1.x") + block(),
    "record too long": block(b"x", b"x", size=b"10\0") + b"99 a=b\n\0" + bytes(504) + block(),
    "record too short": block(b"x", b"x", size=b"10\0") + b"3 a=b\n\0\0" + bytes(504) + block(),
    "record of length 0": block(b"x", b"x", size=b"10\0") + b"0 a=b\n\0\0" + bytes(504) + block(),
    "record without length": block(b"x", b"x", size=b"10\0") + b"a=b\n\0\0\0\0" + bytes(504) + block(),
    "pax header too long": block(b"x", b"x", size=b"77777777\0"),
    "long name too long": block(b"x", b"L", size=b"77777777\0"),
    "sparse: odd": _sparse_01("0,3,1"),
    "sparse: overlap": _sparse_01("0,4,3,3"),
    "sparse: backwards": _sparse_01("50,4,3,3"),
    "sparse: beyond the end": _sparse_01("0,3,97,4"),
    "sparse: more than stored": _sparse_01("0,50"),
    "sparse: less than stored": _sparse_01("0,3"),
    "sparse: text": _sparse_01("a,b"),
    "sparse: no size": pax(GNU__sparse__map="0,7") + block(size=b"7\0") + b"abcdefg" + bytes(505),
    "sparse 1.0: no map": pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9") + block(),
    "sparse 1.0: map of text": pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9")
    + block(size=b"1000\0") + b"x\n" + bytes(510),
    "sparse 1.0: endless map": pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9")
    + block(size=b"1000\0") + b"99999999\n" + bytes(503),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives(name: str) -> None:
    with pytest.raises(BadArchive):
        read(BROKEN[name])


members = st.builds(
    lambda name, data, mode, uid, mtime, kind: (name, data, {"mode": mode, "uid": uid, "mtime": mtime, "type": kind}),
    st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120).filter(
        lambda text: text.strip("./") == text
    ),
    st.binary(max_size=3000),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 31),
    st.integers(0, 1 << 40),
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE]),
)


def _written(entries: list[tuple[str, bytes, dict[str, Any]]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data, fields in entries:
            info = tarfile.TarInfo(name)
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(data) if info.type == tarfile.REGTYPE else 0
            info.linkname = "target" if info.type == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(members, max_size=4), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_what_tarfile_writes_is_read(entries: list[tuple[str, bytes, dict[str, Any]]], form: int) -> None:
    found = read(_written(entries, form))
    assert len(found) == len(entries)
    for (entry, data), (name, content, fields) in zip(found, entries, strict=True):
        assert entry.name.rstrip(b"/").decode() == name
        assert (entry.mode, entry.uid, entry.kind) == (fields["mode"], fields["uid"], fields["type"])
        assert entry.mtime_ns == fields["mtime"] * 10**9
        assert data == (content if entry.kind == tar.REGULAR else b"")


@given(st.integers(1, 700), st.lists(members, min_size=1, max_size=2))
def test_the_size_of_reads_does_not_matter(step: int, entries: list[tuple[str, bytes, dict[str, Any]]]) -> None:
    content = _written(entries, tarfile.PAX_FORMAT)
    source = io.BytesIO(content)
    reader = TarReader(lambda count: source.read(min(step, count)))
    assert [(entry, b"".join(map(bytes, reader.data()))) for entry in reader] == read(content)


@settings(max_examples=150)
@given(st.data())
def test_damage_is_an_error_or_harmless(data: st.DataObject) -> None:
    """Any byte changed anywhere: BadArchive or entries, never another exception, never an endless loop."""
    content = bytearray(SPARSE["1.0"] + _written([("x" * 110, b"data", {"type": tarfile.REGTYPE})], tarfile.GNU_FORMAT))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for at in range(0, len(content) - 512, 512):  # make checksums right again, so that damage gets deeper
        if content[at + 257 : at + 262] == b"ustar":
            content[at + 148 : at + 156] = b" " * 8
            content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    with contextlib.suppress(BadArchive):
        read(bytes(content))
