"""Requests that were made to do harm are refused at create, and a disk without room ends nothing.

No container here is started with a sysctl: a hole would write to the machine.
"""

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Sampand
from support.images import BUSYBOX
from support.privileges import root_or_skip

from .conftest import Client

HARM = [
    ({"HostConfig": {"Sysctls": {"../../../kernel/core_pattern": "x"}}}, "is not in a separate kernel namespace"),
    ({"HostConfig": {"Sysctls": {"kernel.core_pattern": "x"}}},
     'sysctl "kernel.core_pattern" is not in a separate kernel namespace'),
    ({"HostConfig": {"NetworkMode": "host", "Sysctls": {"net.ipv4.ip_forward": "1"}}},
     'sysctl "net.ipv4.ip_forward" not allowed in host network namespace'),
    ({"Cmd": ["a\0b"]}, "invalid Cmd: it has a NUL byte"),
    ({"HostConfig": {"CgroupParent": "../.."}}, "invalid CgroupParent: ../.."),
    ({"HostConfig": {"Binds": ["/tmp:/a\0"]}}, "invalid HostConfig.Binds: it has a NUL byte"),
]  # fmt: skip


def test_harm_is_refused_at_create(engine: Any) -> None:
    for body, text in HARM:
        host = {"NetworkMode": "none", **body.get("HostConfig", {})}
        status, answer = engine.ask(
            "POST", "/containers/create", {"Image": BUSYBOX, "Cmd": ["true"], **body, "HostConfig": host}
        )
        assert status == 400 and text in answer["message"], (body, answer)
    assert engine.ok("GET", "/containers/json?all=1") == []
    assert "Traceback" not in engine.daemon.tail()


@pytest.fixture
def small() -> Iterator[Client]:
    """A daemon whose data root is a disk of 24 MiB, with busybox."""
    root_or_skip()
    sampand = Sampand()
    sampand.data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(sampand.data)], check=True)
    try:
        with sampand:
            sampand.engine.load_busybox()
            yield Client(sampand)
            subprocess.run(["umount", "-l", str(sampand.data)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(sampand.data)], check=False, capture_output=True)


def fill(data: Path) -> None:
    with (data / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_start_and_a_removal_on_a_full_disk(small: Client) -> None:
    ended = small.run("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=2 2>/dev/null; sleep 1000")
    other = small.run("sleep", "1000")
    small.daemon.kill()
    fill(small.daemon.data)
    small.daemon.start()
    assert small.state(ended)["Running"] and small.state(other)["Running"]
    small.ok("POST", f"/containers/{other}/kill")
    small.ok("DELETE", f"/containers/{ended}?force=1")
    small.ok("DELETE", f"/containers/{other}")
    assert small.ok("GET", "/containers/json?all=1") == []
    assert "could not be recorded" in small.daemon.tail() and "making room with its files" in small.daemon.tail()
    (small.daemon.data / "ballast").unlink()
    small.daemon.restart()
    assert small.ok("GET", "/containers/json?all=1") == []


class AllInOne(Sampand):
    """A sampand that has its socket and its PID file in the exec root, as by default."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = self.exec / "sampan.sock"
        self.engine.host = f"unix://{self.socket}"

    def argv(self) -> list[str]:
        return [str(self.exec / "sampand.pid") if word == str(self.home / "pid") else word for word in super().argv()]

    def leftovers(self) -> list[str]:
        """But for the file system that the exec root is on: the test's own."""
        return [line for line in super().leftovers() if f" {self.exec} " not in line]


@pytest.fixture
def crowded() -> Iterator[Client]:
    """A daemon whose exec root is a file system of 1 MiB and 80 inodes, with busybox."""
    root_or_skip()
    sampand = AllInOne()
    sampand.exec.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=80", "none", str(sampand.exec)], check=True)
    try:
        with sampand:
            sampand.engine.load_busybox()
            yield Client(sampand)
    finally:
        subprocess.run(["umount", "-l", str(sampand.exec)], check=True)
        shutil.rmtree(sampand.home)


def take_inodes(directory: Path) -> Path:
    """Make directories until there is room for none; return where they are."""
    place = directory / "crowd"
    place.mkdir()
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (place / str(number)).mkdir()
    return place


@pytest.mark.parametrize("crash", [False, True], ids=["stopped before", "killed before"])
def test_a_full_exec_root_keeps_no_sampand_from_stopping_containers(crowded: Client, crash: bool) -> None:
    daemon = crowded.daemon
    one, other = crowded.run("sleep", "1000"), crowded.run("sleep", "1000")
    daemon.kill() if crash else daemon.stop()
    for name in ("sampand.lock", "data-root"):  # what was in them is another's room now
        (daemon.exec / name).write_bytes(b"")
    fill(daemon.exec)
    crowd = take_inodes(daemon.exec)
    daemon.start()
    assert crowded.state(one)["Running"] and crowded.state(other)["Running"]
    crowded.ok("POST", f"/containers/{one}/stop?t=0")
    crowded.ok("DELETE", f"/containers/{one}")
    assert f"{daemon.exec}/sampand.lock can't be written: No space left on device" in daemon.tail()
    if not crash:
        assert f"there is no PID file {daemon.exec}/sampand.pid: No space left on device" in daemon.tail()
        assert f"the file system of {daemon.exec} is full" in daemon.tail()
    (daemon.exec / "ballast").unlink()
    shutil.rmtree(crowd)
    daemon.restart()
    assert crowded.state(other)["Running"]
    assert (daemon.exec / "data-root").read_text().strip() == str(daemon.data)
    crowded.ok("DELETE", f"/containers/{other}?force=1")
