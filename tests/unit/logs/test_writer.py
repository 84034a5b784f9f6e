"""The writer: entries equal to dockerd's, rotation, torn lines, a full disk."""

import errno
import itertools
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.log_cases import LOG_INPUT, comparable
from sampan.logs import writer as writer_module
from sampan.logs.format import LINE_LIMIT, attributes, escape, stamp
from sampan.logs.writer import LogWriter, NullWriter

PEER = json.loads((Path(__file__).parents[2] / "peer" / "logs.json").read_text())
NOW = 1_704_164_645_600_000_000  # 2024-01-02T03:04:05.6Z

STAMPS = [
    (0, b"1970-01-01T00:00:00Z"),
    (NOW, b"2024-01-02T03:04:05.6Z"),
    (NOW + 1, b"2024-01-02T03:04:05.600000001Z"),
    (NOW + 400_000_000, b"2024-01-02T03:04:06Z"),
    (NOW - 600_000_000 + 10, b"2024-01-02T03:04:05.00000001Z"),
]

ESCAPES = [
    (b"plain", b"plain"),
    (b"\"\\/<>&'", b"\\\"\\\\/\\u003c\\u003e\\u0026'"),
    (b"\t\r\x00\x08\x1b\x7f", b"\\u0009\\r\\u0000\\u0008\\u001b\x7f"),
    ("é\u2028\u2029\u2027".encode(), "é\\u2028\\u2029\u2027".encode()),
    (b"\xff\xfe \xc3", b"\\ufffd\\ufffd \\ufffd"),
    (b"\xed\xa0\x80 \xc0\x80", b"\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd"),
    (b"\xf0\x9f\x98 \xe2\x80", b"\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd"),
    ("\ufffd".encode(), "\ufffd".encode()),
    (b"\\u2028", b"\\\\u2028"),
]


def entry(text: bytes, stream: bytes = b"stdout") -> bytes:
    return b'{"log":"' + text + b'","stream":"' + stream + b'","time":"2024-01-02T03:04:05.6Z"}\n'


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c-json.log"


@pytest.mark.parametrize(("time_ns", "text"), STAMPS)
def test_a_stamp_is_rfc3339_with_trailing_zeros_trimmed(time_ns: int, text: bytes) -> None:
    assert stamp(time_ns) == text


@pytest.mark.parametrize(("text", "escaped"), ESCAPES)
def test_text_is_escaped_as_dockerd_does(text: bytes, escaped: bytes) -> None:
    assert escape(text) == escaped


@given(st.binary())
def test_any_bytes_become_json_that_reads_back(text: bytes) -> None:
    text = text.replace(b"\n", b"")
    back = json.loads(b'"' + escape(text) + b'"')
    go = text.decode("utf-8", "surrogateescape")
    assert back == "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in go)


def test_entries_have_dockers_shape(path: Path) -> None:
    log = LogWriter(str(path))
    log.write("stdout", b"one\n\nthr", NOW)
    log.write("stderr", b"oops\n", NOW)
    log.write("stdout", b"ee\nlast", NOW)
    log.flush("stdout")
    assert content(path) == (
        entry(b"one\\n") + entry(b"\\n") + entry(b"oops\\n", b"stderr") + entry(b"three\\n") + entry(b"last")
    )
    assert log.size == len(content(path))


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_the_file_is_dockerds_but_for_the_times(path: Path, step: int) -> None:
    log = LogWriter(str(path))
    for start in range(0, len(LOG_INPUT), step):
        log.write("stdout", LOG_INPUT[start : start + step], NOW)
    log.close()
    found = [comparable(line) for line in content(path).splitlines()]
    if step < 1000:
        assert found == PEER
    else:  # in one piece the input is so full of control characters that it is written as binary
        assert [meaning(line) for line in found] == [meaning(line) for line in PEER]


def meaning(line: str) -> tuple[str, str]:
    """What a reader gets of an entry; U+FFFD counts once, however many bytes of a broken character it stands for."""
    entry = json.loads(line)
    return entry["stream"], re.sub("\ufffd+", "\ufffd", entry["log"])


def test_attrs_stand_before_the_time(path: Path) -> None:
    log = LogWriter(str(path), attrs=b'{"tag":"x"}')
    log.write("stdout", b"a\n", NOW)
    assert content(path) == b'{"log":"a\\n","stream":"stdout","attrs":{"tag":"x"},"time":"2024-01-02T03:04:05.6Z"}\n'


def test_attributes_are_dockerds() -> None:
    pairs = {"tag": "lg-a", "foo": "bar", "bx": "ü &=<\n"}
    assert attributes(pairs) == '{"bx":"ü \\u0026=\\u003c\\n","foo":"bar","tag":"lg-a"}'.encode()
    assert attributes({}) == b""


LENGTHS = [
    (LINE_LIMIT - 1, [LINE_LIMIT]),
    (LINE_LIMIT, [LINE_LIMIT, 1]),
    (LINE_LIMIT + 1, [LINE_LIMIT, 2]),
    (40000, [LINE_LIMIT, LINE_LIMIT, 40000 - 2 * LINE_LIMIT + 1]),
]


@pytest.mark.parametrize("step", [100_000, 4096, 997])
@pytest.mark.parametrize(("length", "pieces"), LENGTHS)
def test_a_long_line_is_cut_where_dockerd_cuts_it(path: Path, length: int, pieces: list[int], step: int) -> None:
    log = LogWriter(str(path))
    text = b"a\n" + b"x" * length + b"\n" + b"b\n"
    for start in range(0, len(text), step):
        log.write("stdout", text[start : start + step], NOW)
    logs = [json.loads(line)["log"] for line in content(path).splitlines()]
    assert [len(text) for text in logs] == [2, *pieces, 2]


def test_a_cut_never_falls_inside_a_character(path: Path) -> None:
    log = LogWriter(str(path))
    text = "x" * (LINE_LIMIT - 1) + "é" * 10 + "\n"
    log.write("stdout", text.encode(), NOW)
    assert "".join(json.loads(line)["log"] for line in content(path).splitlines()) == text


@given(st.lists(st.sampled_from([b"a", b"\n", b"xyz\n", "é".encode(), b"\xff", b"q" * 9000]), max_size=30), st.data())
def test_how_the_output_arrives_does_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    seen = []
    for bounds in ([0, len(text)], [0, *cuts, len(text)]):
        log = LogWriter.__new__(LogWriter)
        out: list[bytes] = []
        log.__dict__.update(_pending={}, _last={}, _attrs=b"", _put=lambda entry, _now, out=out: out.append(entry))
        for start, end in itertools.pairwise(bounds):
            log.write("stdout", text[start:end], NOW)
        log.flush("stdout")
        seen.append(b"".join(out))
    assert seen[0] == seen[1]


def test_the_entry_that_reaches_the_limit_is_the_files_last(path: Path) -> None:
    size = len(entry(b"0\\n"))
    log = LogWriter(str(path), max_size=3 * size - 1, max_file=3)
    log.write("stdout", b"".join(b"%d\n" % n for n in range(10)), NOW)
    files = [content(path), content(Path(f"{path}.1")), content(Path(f"{path}.2"))]
    assert files == [b"".join(entry(b"%d\\n" % n) for n in group) for group in ([9], [6, 7, 8], [3, 4, 5])]
    assert (log.generation, log.size) == (3, size)
    assert sorted(os.listdir(path.parent)) == [path.name, path.name + ".1", path.name + ".2"]


def test_with_one_file_the_old_one_goes_but_its_readers_keep_it(path: Path) -> None:
    log = LogWriter(str(path), max_size=1, max_file=1)
    log.write("stdout", b"1\n", NOW)
    with path.open("rb") as reader:
        log.write("stdout", b"2\n", NOW)
        assert reader.read() == entry(b"1\\n")
    assert content(path) == entry(b"2\\n")
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("limit", [0, -1])
def test_without_a_limit_nothing_rotates(path: Path, limit: int) -> None:
    log = LogWriter(str(path), max_size=limit)
    log.write("stdout", b"x\n" * 1000, NOW)
    assert (log.generation, content(path)) == (0, entry(b"x\\n") * 1000)


def test_an_existing_file_goes_on(path: Path) -> None:
    first = LogWriter(str(path))
    first.write("stdout", b"1\n", NOW)
    first.close()
    second = LogWriter(str(path), max_size=2 * len(entry(b"1\\n")))
    second.write("stdout", b"2\n3\n", NOW)
    assert content(Path(f"{path}.1")) == entry(b"1\\n") + entry(b"2\\n")
    assert content(path) == entry(b"3\\n")


def test_after_a_torn_line_the_next_writer_starts_a_new_one(path: Path) -> None:
    path.write_bytes(entry(b"1\\n") + entry(b"2\\n")[:20])
    LogWriter(str(path)).write("stdout", b"3\n", NOW)
    assert content(path).splitlines() == [entry(b"1\\n")[:-1], entry(b"2\\n")[:20], entry(b"3\\n")[:-1]]


class FullDisk:
    """os.write on a disk with ``room`` bytes left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.write_for_real = os.write
        monkeypatch.setattr(writer_module.os, "write", self)

    def __call__(self, fd: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "full")
        done = self.write_for_real(fd, data[: self.room])
        self.room -= done
        return done


def test_a_full_disk_drops_entries_and_says_so_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(str(path))
    one = len(entry(b"0\\n"))
    disk = FullDisk(monkeypatch, one + 10)
    log.write("stdout", b"0\n1\n2\n", NOW)
    assert content(path) == entry(b"0\\n")
    log.write("stdout", b"3\n", NOW)
    disk.room = one + 5  # room for half of the note
    log.write("stdout", b"4\n", NOW)
    assert content(path) == entry(b"0\\n")
    disk.room = 10_000
    log.write("stdout", b"5\n6\n", NOW)
    lost = f"[sampan: 4 log entries ({4 * one} bytes) lost since 2024-01-02T03:04:05.6Z: No space left on device]\\n"
    note = entry(lost.encode(), b"stderr")
    assert content(path) == entry(b"0\\n") + note + entry(b"5\\n") + entry(b"6\\n")
    log.write("stdout", b"7\n", NOW)
    assert content(path).endswith(entry(b"6\\n") + entry(b"7\\n"))


def test_a_full_disk_at_a_file_boundary_counts_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = len(entry(b"0\\n"))
    log = LogWriter(str(path), max_size=2 * one)
    disk = FullDisk(monkeypatch, 2 * one)
    log.write("stdout", b"0\n1\n2\n3\n4\n", NOW)
    disk.room = 10_000
    log.write("stdout", b"5\n", NOW)
    assert b"3 log entries" in content(Path(f"{path}.1")).splitlines()[0]
    assert content(path) == entry(b"5\\n")


def test_a_file_that_cannot_be_rotated_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(str(path), max_size=1)

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.os, "open", full)
        log.write("stdout", b"1\n2\n", NOW)
    assert content(path) == entry(b"1\\n") + entry(b"2\\n")
    log.write("stdout", b"3\n", NOW)
    assert (log.generation, content(path)) == (1, entry(b"3\\n"))


def test_the_file_is_private(path: Path) -> None:
    LogWriter(str(path))
    assert path.stat().st_mode & 0o7777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_none_keeps_nothing() -> None:
    log = NullWriter()
    log.write("stdout", b"x\n", NOW)
    log.flush("stdout")
    log.close()
    assert (log.generation, log.size, log.descriptor()) == (0, 0, -1)
