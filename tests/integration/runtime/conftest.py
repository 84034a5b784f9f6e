"""The runtime without an engine: a supervisor, a busybox root, bundles made by hand."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sampan.linux import mount
from sampan.runtime import cgroups, guard
from sampan.runtime.capabilities import DEFAULT
from sampan.runtime.supervisor import Attachment, ExecLaunch, Launch, LogConfig, Monitor, Supervisor
from support.privileges import root_or_skip

T = TypeVar("T")
PATIENCE_S = 20.0  # for anything that takes milliseconds on an idle machine


class Runtime:
    """One supervisor and its containers, driven from a test without async."""

    def __init__(self, home: Path, rootfs: Path) -> None:
        self.home, self.rootfs = home, rootfs
        self.loop = asyncio.new_event_loop()
        self.supervisor = Supervisor(home / "run", [home])
        self.count = 0
        self.run(self.supervisor.start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end."""

        async def bounded() -> T:
            return await asyncio.wait_for(work, PATIENCE_S)

        return self.loop.run_until_complete(bounded())

    def spec(self, *args: str, **process: Any) -> dict[str, Any]:
        """A bundle's configuration much as the engine makes them."""
        caps = list(DEFAULT)
        return {
            "ociVersion": "1.2.0",
            "process": {
                "args": list(args),
                "env": ["PATH=/bin", "TERM=xterm"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0, "username": "0"},
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
                **process,
            },
            "root": {"path": "rootfs"},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
                },
                {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys"],
            },
        }

    def prepare(self, spec: dict[str, Any], **launch: Any) -> Launch:
        """A launch of ``spec`` on the busybox root."""
        self.count += 1
        name = f"{self.count:04d}"
        spec["linux"].setdefault("cgroupsPath", f"/sampan-test-{os.getpid()}/{name}")
        (self.home / name).mkdir()
        return Launch(
            id=name,
            bundle=self.home / name,
            run_dir=self.home / "run" / name,
            spec=spec,
            root=mount.open_tree(str(launch.pop("rootfs", self.rootfs))),
            log=LogConfig(str(self.home / f"{name}.log")),
            **launch,
        )

    def start(self, spec: dict[str, Any], **launch: Any) -> Monitor:
        """Start a container."""
        return self.run(self.supervisor.launch(self.prepare(spec, **launch)))

    def attached(self, spec: dict[str, Any], *, stdin: bool = False, **launch: Any) -> tuple[Monitor, socket.socket]:
        """Start a container with a client attached to everything, unframed; return it and the client's end."""
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE_S)
        client = Attachment(theirs, stdin=stdin, stdout=True, stderr=True, framed=False, **launch.pop("client", {}))
        return self.start(spec, attach=[client], open_stdin=stdin, stdin_once=stdin, **launch), ours

    def output(self, *args: str, **process: Any) -> str:
        """Run a program to its end and return all that it wrote."""
        monitor, client = self.attached(self.spec(*args, **process))
        text = read_all(client)
        self.end(monitor)
        return text.decode()

    def exec(self, monitor: Monitor, *args: str, stdin: bool = False, **process: Any) -> tuple[str, socket.socket]:
        """Begin an exec session with a client attached; return its id and the client's end."""
        self.count += 1
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE_S)
        client = Attachment(theirs, stdin=stdin, stdout=True, stderr=True, framed=False)
        spec = self.spec(*args, **process)["process"]
        self.run(monitor.exec(ExecLaunch(str(self.count), spec, client, open_stdin=stdin)))
        return str(self.count), ours

    def exit(self, monitor: Monitor) -> Any:
        """Wait for a container's exit."""
        return self.run(_await(monitor.exit))

    def end(self, monitor: Monitor) -> Any:
        """Wait for the exit, clear the run directory, see that nothing is left."""
        group = guard.group_of(str(monitor.run_dir))
        found = self.exit(monitor)
        self.run(self.supervisor.forget(monitor.run_dir))
        monitor.close()
        assert not monitor.run_dir.exists()
        if group is not None:
            assert not [path for path in group.paths if os.path.exists(path)]
        return found

    def stop(self) -> None:
        """End what a failed test left, and the zygote."""
        for run_dir in (self.home / "run").glob("*"):
            group = guard.group_of(str(run_dir))
            if group is not None:
                group.kill()
        zygote = self.supervisor.zygote_pid
        self.run(self.supervisor.close())
        self.loop.close()
        if zygote:
            os.waitpid(zygote, 0)
        for point in cgroups.probe().mounts:
            parent = f"{point}/sampan-test-{os.getpid()}"
            if os.path.isdir(parent):
                cgroups.remove_tree(parent)


async def _await(future: "asyncio.Future[T]") -> T:
    return await future


def read_all(client: socket.socket) -> bytes:
    """Read until the end."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def read_until(client: socket.socket, wanted: bytes) -> bytes:
    """Read until ``wanted`` was seen."""
    text = b""
    while wanted not in text:
        piece = client.recv(1 << 16)
        assert piece, f"the stream ended with {text!r}"
        text += piece
    return text


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with busybox."""
    root_or_skip()
    root = tmp_path_factory.mktemp("rootfs")
    root.chmod(0o755)
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (root / name).mkdir()
    shutil.copy("/bin/busybox", root / "bin/busybox")
    names = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nann:x:1001:\nwheel:x:10:ann\n")
    (root / "etc/text").write_text("no program\n")
    (root / "tmp").chmod(0o1777)
    return root


@pytest.fixture
def runtime(rootfs: Path) -> Iterator[Runtime]:
    """A supervisor of its own."""
    home = Path(tempfile.mkdtemp(prefix="sampan-rt-", dir="/tmp"))
    one = Runtime(home, rootfs)
    try:
        yield one
    finally:
        one.stop()
        shutil.rmtree(home)


@pytest.fixture
def sleeper(runtime: Runtime) -> Iterator[Monitor]:
    """A container that does nothing until it is killed."""
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    yield monitor
    if not monitor.exit.done():
        runtime.run(monitor.signal(signal.SIGKILL))
        runtime.end(monitor)
