"""The log writer against a real kernel: killed at any moment, on a full disk, small in memory, quick to import."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import mount
from sampan.logs.reader import read
from sampan.logs.writer import LogWriter
from support.privileges import root_or_skip


def write_until_killed(path: str, report: int) -> None:
    """Log numbered lines; after each write say which was the last one that is safe."""
    log = LogWriter(path, max_size=50_000, max_file=1000)
    first = sum(1 for _ in read(path))
    for number in range(first, 1 << 30, 50):
        log.write("stdout", b"".join(b"line %d %s\n" % (n, b"x" * (n % 97)) for n in range(number, number + 50)), 1)
        os.write(report, b"%d\n" % (number + 49))


def test_killing_the_writer_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    chance = random.Random(1)
    for _ in range(15):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                write_until_killed(path, writer)
            finally:
                os._exit(1)
        os.close(writer)
        said = b""
        while said.count(b"\n") < chance.randint(1, 40):
            said += os.read(reader, 1 << 16)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while data := os.read(reader, 1 << 16):
            said += data
        os.close(reader)
        safe = int(said.split(b"\n")[-2])
        numbers = [int(text.split()[1]) for _, _, text in read(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > safe
    assert os.path.exists(path + ".1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    root_or_skip()
    disk = tmp_path / "disk"
    disk.mkdir()
    mount.mount("tmpfs", str(disk), "tmpfs", 0, "size=256k")
    yield disk
    mount.umount(str(disk))


def test_a_full_disk_drops_lines_and_says_so_when_it_has_room(small_disk: Path) -> None:
    path = str(small_disk / "log")
    ballast = small_disk / "ballast"
    log = LogWriter(path, max_size=50_000, max_file=3)
    log.write("stdout", b"line 0\n", time.time_ns())
    ballast.write_bytes(b"x" * 200_000)
    started = time.monotonic()
    for n in range(1, 5000):
        log.write("stdout", b"line %d %s\n" % (n, b"y" * 80), time.time_ns())
    assert time.monotonic() - started < 5  # it never waits
    full = list(read(path))
    assert 0 < len(full) < 2000
    ballast.unlink()
    log.write("stdout", b"line 5000\n", time.time_ns())
    log.close()
    *kept, note, last = read(path)
    assert last[2] == b"line 5000\n"
    assert note[1] == "stderr"
    assert b"No space left on device" in note[2]
    lost = int(note[2].split()[1])
    assert int(kept[-1][2].split()[1]) + lost == 4999
    for file in small_disk.glob("log*"):
        for line in file.read_bytes().splitlines():
            json.loads(line)


def test_the_writer_is_light() -> None:
    """The zygote imports it: nothing heavy comes along, and a flood costs little memory."""
    script = (
        "import sys; before = set(sys.modules); import sampan.logs.writer; print(*sorted(set(sys.modules) - before))\n"
        "import resource, tempfile; log = sampan.logs.writer.LogWriter(tempfile.mkdtemp() + '/log')\n"
        "first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in range(50): log.write('stdout', b'\\n' * 65536, 1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules, growth = done.stdout.splitlines()
    assert not {"asyncio", "dataclasses", "datetime", "inspect", "msgspec", "threading"} & set(modules.split())
    assert int(growth) < 8192  # KiB
