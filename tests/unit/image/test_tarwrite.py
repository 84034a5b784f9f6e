"""Headers as Docker writes them: bytes by example, and everything read back by tarfile and by our own reader."""

import io
import tarfile

import pytest

from sampan.image import tar, tarwrite
from sampan.image.tar import Entry, TarReader


def entry(name: bytes = b"f", kind: bytes = tar.REGULAR, **rest: object) -> Entry:
    fields: dict[str, object] = {
        "mode": 0o644, "uid": 0, "gid": 0, "mtime_ns": 5_000_000_000, "size": 0, "stored": 0, "link": b"",
        "device": (0, 0),
    }  # fmt: skip
    return Entry(name, kind, **(fields | rest))  # type: ignore[arg-type]


LONG = b"d/" + b"n" * 120
CASES = [
    entry(),
    entry(b"dir/", tar.DIRECTORY, mode=0o1777, uid=5, gid=6),
    entry(b"s", tar.SYMLINK, mode=0o777, link=b"/somewhere"),
    entry(b"s", tar.SYMLINK, link=b"/" + b"x" * 300),
    entry(b"h", tar.HARD_LINK, link=LONG),
    entry(b"c", tar.CHARACTER, device=(5, 6)),
    entry(b"b", tar.BLOCK_DEVICE, device=(259, 70000)),
    entry(b"p", tar.FIFO),
    entry(LONG),
    entry(LONG + b"/", tar.DIRECTORY),
    entry(b"/".join([b"n" * 250] * 12)),
    entry("é".encode()),
    entry(b"\xff\xfe"),
    entry(b"new\nline"),
    entry(uid=3_000_000, gid=(1 << 32) - 2),
    entry(mtime_ns=-5_000_000_000),
    entry(xattrs={"security.capability": b"\x01\0\0\x02\0\x04\n=", "user.é": b""}),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: repr(one.name[:12] + one.kind))
def test_what_is_written_is_read(one: Entry) -> None:
    archive = tarwrite.header(one) + tarwrite.END
    (read,) = TarReader(io.BytesIO(archive).read)
    assert (read.name, read.kind, read.mode, read.uid, read.gid) == (one.name, one.kind, one.mode, one.uid, one.gid)
    assert (read.mtime_ns, read.link, read.device, read.xattrs) == (one.mtime_ns, one.link, one.device, one.xattrs)
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as theirs:
        (info,) = theirs.getmembers()
    assert info.name.encode("utf-8", "surrogateescape") == one.name.rstrip(b"/")
    assert (info.uid, info.gid, info.mtime, info.type) == (one.uid, one.gid, one.mtime_ns // 10**9, one.kind)


def test_a_size_beyond_octal_stands_in_a_pax_header() -> None:
    block = tarwrite.header(entry(size=1 << 40))
    assert b"22 size=1099511627776\n" in block
    with tarfile.open(fileobj=io.BytesIO(block)) as theirs:
        assert theirs.next().size == 1 << 40  # type: ignore[union-attr]


@pytest.mark.parametrize("length", [90, 91, 92, 93, 988, 989, 990, 991])
def test_a_record_counts_its_own_digits(length: int) -> None:
    name = b"u" * length + "é".encode()
    (read,) = TarReader(io.BytesIO(tarwrite.header(entry(name)) + tarwrite.END).read)
    assert read.name == name


def test_the_bytes_are_docker_s() -> None:
    """A header that docker export wrote, taken from its archive."""
    expected = b"sp/t/".ljust(100, b"\0") + b"0001777\x000000005\x000000006\x0000000000000\x0015301325416\x00"
    expected += b"XXXXXXXX5" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(167)
    made = tarwrite.header(entry(b"sp/t/", tar.DIRECTORY, mode=0o1777, uid=5, gid=6, mtime_ns=0o15301325416 * 10**9))
    assert made[:148] + b"XXXXXXXX" + made[156:] == expected
    assert int(made[148:154], 8) == sum(made[:148] + b" " * 8 + made[156:]) and made[154:156] == b"\0 "
