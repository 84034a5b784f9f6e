"""Reading over rotated files: tail, since, until, and following through rotations."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.logs import reader
from sampan.logs.decode import EVERYTHING, Output, Wanted
from sampan.logs.reader import Follower, Mark, read, read_chunks
from sampan.logs.writer import LogWriter

START = 1_704_164_645_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "c-json.log")


def fill(path: str, count: int, *, max_size: int = 0, max_file: int = 100, text: str = "line {}\n") -> LogWriter:
    """A log of ``count`` lines, one a second, odd ones on stderr."""
    log = LogWriter(path, max_size, max_file)
    for n in range(count):
        log.write("stderr" if n % 2 else "stdout", text.format(n).encode(), START + n * SECOND)
    return log


def numbers(entries: object) -> list[int]:
    return [int(text.split()[1]) for _, _, text in entries]  # type: ignore[attr-defined]


SIZES = [0, 1, 100, 700, 20_000]  # bytes at which files are rotated


@pytest.mark.parametrize("max_size", SIZES)
def test_everything_comes_back_oldest_first(path: str, max_size: int) -> None:
    fill(path, 40, max_size=max_size)
    entries = list(read(path))
    assert numbers(entries) == list(range(40))
    assert entries[3] == (START + 3 * SECOND, "stderr", b"line 3\n")


@pytest.mark.parametrize("max_size", SIZES)
@pytest.mark.parametrize("tail", [0, 1, 2, 7, 39, 40, 41, 1000])
def test_tail_counts_from_the_end(path: str, max_size: int, tail: int) -> None:
    fill(path, 40, max_size=max_size)
    assert numbers(read(path, tail=tail)) == list(range(max(0, 40 - tail), 40))


@pytest.mark.parametrize("max_size", SIZES)
@pytest.mark.parametrize("since", [-5, 0, 1, 20, 39, 40])
def test_since_is_inclusive(path: str, max_size: int, since: int) -> None:
    fill(path, 40, max_size=max_size)
    assert numbers(read(path, since_ns=START + since * SECOND)) == list(range(max(0, since), 40))
    assert numbers(read(path, since_ns=START + since * SECOND + 1)) == list(range(max(0, since + 1), 40))


@pytest.mark.parametrize("max_size", SIZES)
@pytest.mark.parametrize("until", [-1, 0, 20, 39, 50])
def test_until_is_inclusive(path: str, max_size: int, until: int) -> None:
    fill(path, 40, max_size=max_size)
    assert numbers(read(path, until_ns=START + until * SECOND)) == list(range(min(40, until + 1)))


def test_conditions_together(path: str) -> None:
    fill(path, 40, max_size=500)
    found = read(path, tail=30, since_ns=START + 5 * SECOND, until_ns=START + 20 * SECOND, stdout=False)
    assert numbers(found) == list(range(11, 21, 2))


def test_no_file_is_an_empty_log(path: str) -> None:
    assert list(read(path)) == []
    assert list(read_chunks(path, Output(), tail=5)) == []


def test_lines_longer_than_a_block(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BLOCK", 64)
    monkeypatch.setattr(reader, "_SEARCH", 64)
    fill(path, 10, text="line {} " + "x" * 500 + "\n")
    assert numbers(read(path)) == list(range(10))
    assert numbers(read(path, tail=3)) == [7, 8, 9]
    assert numbers(read(path, since_ns=START + 5 * SECOND)) == [5, 6, 7, 8, 9]


class Counted:
    """os.pread that counts what was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self.pread = os.pread
        monkeypatch.setattr(reader.os, "pread", self)

    def __call__(self, descriptor: int, length: int, offset: int) -> bytes:
        data = self.pread(descriptor, length, offset)
        self.bytes += len(data)
        return data


LAST_OF_MANY = [{"tail": 2}, {"since_ns": START + 99_998 * SECOND}]


@pytest.mark.parametrize("conditions", LAST_OF_MANY, ids=["tail", "since"])
def test_the_end_of_a_large_log_is_found_without_reading_it(
    path: str, conditions: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(100):
        log = LogWriter(path, 3_000_000)
        lines = b"".join(b"line %d\n" % m for m in range(n * 1000, n * 1000 + 1000))
        for second, line in enumerate(lines.splitlines(keepends=True)):
            log.write("stdout", line, START + (n * 1000 + second) * SECOND)
        log.close()
    counted = Counted(monkeypatch)
    assert numbers(read(path, **conditions)) == [99_998, 99_999]
    assert counted.bytes < 2_000_000 < sum(file.stat().st_size for file in Path(path).parent.iterdir())


def test_until_stops_reading(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 20_000)
    counted = Counted(monkeypatch)
    assert numbers(read(path, until_ns=START + SECOND)) == [0, 1]
    assert counted.bytes <= reader.BLOCK


def test_torn_lines_are_left_out(path: str) -> None:
    fill(path, 3).close()
    with open(path, "ab") as file:
        file.write(b'{"log":"line 99')
    assert numbers(read(path)) == [0, 1, 2]
    LogWriter(path).write("stdout", b"line 3\n", START)
    assert numbers(read(path)) == [0, 1, 2, 3]


def test_a_last_entry_without_its_newline_is_one(path: str) -> None:
    fill(path, 3).close()
    os.truncate(path, os.path.getsize(path) - 1)
    assert numbers(read(path)) == [0, 1, 2]


def test_reading_ends_though_the_writer_goes_on(path: str) -> None:
    log = fill(path, 3)
    found = read(path)
    first = next(found)
    log.write("stdout", b"line 3\n", START)
    assert numbers([first, *found]) == [0, 1, 2]


def test_a_rotation_before_the_files_are_read_hides_nothing(path: str) -> None:
    log = fill(path, 4, max_size=150, max_file=3)
    found = read(path)
    first = next(found)
    for _ in range(3):
        log.write("stdout", b"line 100\nline 101\n", START)
    assert numbers([first, *found]) == [0, 1, 2, 3]


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_rotation_while_the_files_are_opened_hides_nothing(
    path: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(path, 5, max_size=150, max_file=5)
    opened = os.open
    rotations = iter([True])

    def rotate_at_the_second(name: str, *arguments: int) -> int:
        if name == (path + ".1" if moment == "between" else path) and next(rotations, False):
            monkeypatch.setattr(reader.os, "open", opened)
            log.write("stdout", b"line 5\nline 6\nline 7\n", START)
            monkeypatch.setattr(reader.os, "open", rotate_at_the_second)
        return opened(name, *arguments)

    monkeypatch.setattr(reader.os, "open", rotate_at_the_second)
    assert numbers(read(path))[:5] == [0, 1, 2, 3, 4]


def test_a_path_that_is_missing_for_a_moment(path: str) -> None:
    fill(path, 4, max_size=150).close()
    os.unlink(path)  # a rotation was cut off before the new file had its name
    assert numbers(read(path)) == [0, 1, 2]


def test_chunks_are_the_answer_to_docker_logs(path: str) -> None:
    fill(path, 2)
    assert b"".join(read_chunks(path, Output())) == b"\x01\0\0\0\0\0\0\x07line 0\n\x02\0\0\0\0\0\0\x07line 1\n"
    stderr = Wanted(stdout=False)
    assert b"".join(read_chunks(path, Output(framed=False), stderr)) == b"line 1\n"


def test_files_are_closed(path: str) -> None:
    fill(path, 10, max_size=100)
    before = len(os.listdir("/proc/self/fd"))
    list(read(path))
    next(read(path))
    list(islice(read(path, tail=3), 1))
    follower = follow(LogWriter(path))
    follower.read()
    follower.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the writer's


# --- following


def mark(log: LogWriter, *, rotated: bool = True) -> Mark:
    return Mark(log.generation, log.size, os.dup(log.descriptor()) if rotated else None)


def follow(log: LogWriter, wanted: Wanted = EVERYTHING, tail: int | None = None) -> Follower:
    return Follower(log.path, mark(log), wanted, tail)


def drain(follower: Follower) -> Iterator[tuple[int, str, bytes]]:
    while entries := follower.read():
        yield from entries


def test_a_follower_sees_what_is_there_and_what_comes(path: str) -> None:
    log = fill(path, 3)
    follower = follow(log)
    assert numbers(drain(follower)) == [0, 1, 2]
    assert follower.read() == []
    log.write("stdout", b"line 3\nline", START)
    follower.feed(mark(log, rotated=False))
    assert numbers(drain(follower)) == [3]
    log.write("stdout", b" 4\n", START)
    assert follower.chunk(Output(framed=False)) == b"line 4\n"
    follower.close()


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=12), st.integers(0, 10), st.booleans()
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_through_any_rotations_each_entry_comes_once(
    tmp_path: Path, steps: list[tuple[int, bool, bool]], start: int, by_name: bool
) -> None:
    """However many files were rotated, and deleted, between two reads, and whenever marks are fed."""
    for old in tmp_path.iterdir():
        old.unlink()
    path = str(tmp_path / "log")
    log = fill(path, start, max_size=200, max_file=2)
    kept = numbers(read(path))
    follower = Follower(path, mark(log, rotated=not by_name))
    seen: list[int] = []
    waiting: list[Mark] = []
    number = start
    for count, feed, look in steps:
        for _ in range(count):
            generation = log.generation
            log.write("stdout", b"line %d\n" % number, START)
            number += 1
            if log.generation != generation:
                waiting.append(mark(log))
        while feed and waiting:
            follower.feed(waiting.pop(0))
        if look:
            seen += numbers(drain(follower))
    for one in waiting:
        follower.feed(one)
    seen += numbers(drain(follower))
    follower.close()
    log.close()
    assert seen == kept + list(range(start, number))


def test_rotations_between_the_first_mark_and_the_opening_are_not_seen_twice(path: str) -> None:
    log = fill(path, 3, max_size=100, max_file=3)
    marks = [mark(log)]
    for n in range(3, 12):
        generation = log.generation
        log.write("stdout", b"line %d\n" % n, START)
        if log.generation != generation:
            marks.append(mark(log))
    follower = Follower(path, marks[0])
    seen = numbers(drain(follower))
    for one in marks[1:]:
        follower.feed(one)
        seen += numbers(drain(follower))
    follower.close()
    assert seen == list(range(seen[0], 12))
    assert seen[0] <= 2


def test_marks_from_before_the_first_are_ignored(path: str) -> None:
    """A second follower of one monitor gets the first one's news while it waits for its own first mark."""
    log = fill(path, 1, max_size=100)
    marks = []
    for n in range(1, 8):
        generation = log.generation
        log.write("stdout", b"line %d\n" % n, START)
        if log.generation != generation:
            marks.append(mark(log))
    follower = follow(log)
    assert numbers(drain(follower)) == list(range(8))
    for one in marks:
        follower.feed(one)
    assert follower.read() == []
    follower.close()


def test_a_follower_that_never_reads_does_not_stop_the_writer(path: str) -> None:
    log = fill(path, 1, max_size=1000, max_file=2)
    follower = follow(log)
    marks = []
    for n in range(1, 500):
        generation = log.generation
        log.write("stdout", b"line %d\n" % n, START)
        if log.generation != generation:
            marks.append(mark(log))
    for one in marks:
        follower.feed(one)
    assert numbers(drain(follower)) == list(range(500))
    follower.close()


def test_a_follower_begins_where_it_is_told_to(path: str) -> None:
    log = fill(path, 40, max_size=500)
    for conditions, first in (
        ({"tail": 3}, 37),
        ({"tail": 0}, 40),
        ({"wanted": Wanted(since_ns=START + 20 * SECOND)}, 20),
    ):
        follower = follow(log, **conditions)  # type: ignore[arg-type]
        assert numbers(drain(follower)) == list(range(first, 40))
        follower.close()


def test_a_follower_ends_at_until(path: str) -> None:
    log = fill(path, 3)
    follower = follow(log, Wanted(until_ns=START + 3 * SECOND))
    assert numbers(drain(follower)) == [0, 1, 2]
    assert not follower.finished
    log.write("stdout", b"line 4\n", START + 4 * SECOND)
    assert follower.read() == []
    assert follower.finished
    follower.close()


def test_a_file_that_somebody_empties_is_followed_from_its_beginning(path: str) -> None:
    log = fill(path, 10)
    follower = follow(log)
    list(drain(follower))
    os.truncate(path, 0)
    assert follower.read() == []
    log.write("stdout", b"line 10\n", START)
    assert numbers(drain(follower)) == [10]
    follower.close()
