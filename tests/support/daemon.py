"""A sampand of the tests: started in directories and a network of its own, killed, restarted, ended, checked for leaks.

Its network namespace has nothing but a loopback device, unless a test gives it another (a lab's, with an uplink). It
goes with the test process, and with it every link, rule and sysctl. A client of a published port runs in it too:
``sampand.space.run("busybox", "nc", …)``.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.engine import Engine
from support.http import ask
from support.netlab import Space
from support.processes import Process, cgroup_directories, cgroup_pids, descendants, everything, wait_for

START_S = 15.0  # to answer; a loaded two-core machine needs a few
STOP_S = 20.0  # to end after SIGTERM
SETTLE_S = 10.0  # for what runs behind the answer: unmounts, cgroups
DEFAULT_BRIDGE = "sampan0"
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
LIVE: "set[Sampand]" = set()  # for the report of a failed test


def machine_links() -> set[str]:
    """Sampan's links in the network that the tests run in, where a sampand of the tests has no business."""
    return {name for _, name in socket.if_nameindex() if name == DEFAULT_BRIDGE}


class Sampand:
    """One daemon with a data root of its own. ``leftovers()`` after ``end()`` must be empty."""

    def __init__(self, *flags: str, space: Space | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="sampan-", dir="/tmp"))
        self.data, self.exec, self.socket = self.home / "data", self.home / "run", self.home / "s.sock"
        self.log = self.home / "log"
        self.config = self.home / "daemon.json"  # its own, not the machine's; a test may write it
        self.config.write_text("{}")
        self.mark = f"SAMPAN_TEST_RUN={secrets.token_hex(8)}"
        self.flags = flags
        self._space, self._owns_space = space, space is None
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[Process] = set()
        self._cgroups, self._links = cgroup_directories(), machine_links()
        self.engine = Engine(f"unix://{self.socket}")

    @property
    def space(self) -> Space:
        """Its network namespace."""
        assert self._space is not None, "it was never started"
        return self._space

    def __enter__(self) -> "Sampand":
        if self._space is None:
            self._space = Space("sampand")
        LIVE.add(self)
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            found = self.end()
            assert kind is not None or not found, "left behind:\n" + "\n".join(found) + f"\n{self.tail()}"
        finally:
            LIVE.discard(self)
            self._scrub()

    def argv(self) -> list[str]:
        """Its command line."""
        return [
            *(sys.executable, "-m", "sampan.daemon.main", "-H", f"unix://{self.socket}"),
            *("--data-root", str(self.data), "--exec-root", str(self.exec), "--pidfile", str(self.home / "pid")),
            *("--cgroup-parent", f"/{self.home.name}"),  # beside other daemons' groups, not among them
            *(self.flags if "--config-file" in self.flags else ("--config-file", str(self.config), *self.flags)),
        ]

    def start(self) -> None:
        """Start it and wait until it answers."""
        name, value = self.mark.split("=")
        with self.log.open("ab") as log, self.space.inside():
            self.process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, name: value},
                start_new_session=True,
            )
        wait_for(self._answers, "sampand answers on its socket", START_S)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"sampand ended with {self.process.returncode} at start:\n{self.tail()}"
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return ask(self.engine.host, "GET", "/_ping")[0] == 200

    @property
    def pid(self) -> int:
        """Its process ID."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """End it as a crash would: SIGKILL."""
        self.remember()
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again on the same directories."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait for it; containers go on."""
        self.remember()
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S)

    def own(self) -> list[Process]:
        """Its own processes and its predecessors': daemon, zygotes, monitors; not what runs in containers."""
        mark, home = self.mark.encode(), str(self.home)
        others = (p for p in everything() if p.pid != os.getpid())
        return [p for p in others if mark in p.environment() or home in p.command()]

    def family(self) -> list[Process]:
        """Its own processes with what descends from them (containers)."""
        own = self.own()
        below = [child for p in own for child in descendants(p.pid)]
        return list({p.pid: p for p in [*own, *below]}.values())

    def remember(self) -> None:
        """Note its processes now, to look for them at the end."""
        self._seen.update(self.family())

    def zygote(self) -> Process | None:
        """The zygote, known by its name among this daemon's own processes."""
        return next((p for p in self.own() if p.comm == "sampan-zygote" and p.state != "Z"), None)

    def monitors(self) -> list[Process]:
        """The monitors, known likewise."""
        return [p for p in self.own() if p.comm.startswith("sampan-mon") and p.state != "Z"]

    def end(self) -> list[str]:
        """Remove every container, end the daemon, and say what is left."""
        assert self.process is not None
        if self.process.poll() is None:
            self.remember()
            self._remove_all()
            self.stop()
        limit = time.monotonic() + SETTLE_S
        while (found := self.leftovers()) and time.monotonic() < limit:
            time.sleep(0.02)
        return found

    def _remove_all(self) -> None:
        _, rows = ask(self.engine.host, "GET", "/containers/json?all=1")
        for row in rows or []:
            ask(self.engine.host, "DELETE", f"/containers/{row['Id']}?force=1&v=1")

    def leftovers(self) -> list[str]:
        """What should not be there once the daemon has ended: mounts, processes, cgroups, directories of containers,
        their links. Bridges and the firewall's table stay for the next start; they go with the namespace.
        """
        here = (str(self.data), str(self.exec))
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(h in line for h in here)
        ]
        processes = {p for p in (*self._seen, *self.family()) if p.alive()}
        found = [f"mount    {line}" for line in mounts]
        found += [f"process  {p.pid} ({p.comm}) {p.command()}" for p in processes]
        found += [f"cgroup   {directory}" for directory in self._stray_cgroups()]
        found += [f"link     {name}" for name in self.space.links() if name.startswith("veth")]
        found += [f"link     {name}, of the machine" for name in machine_links() - self._links]
        for base in (self.exec, self.data / "containers"):
            # os.walk passes over what goes away meanwhile
            names = (os.path.join(top, name) for top, directories, _ in os.walk(base) for name in directories)
            found += [f"directory {path}" for path in names if CONTAINER_ID.fullmatch(os.path.basename(path))]
        return found

    def _stray_cgroups(self) -> list[str]:
        """New, empty cgroups named after a container; other engines' are busy, or go away while we wait."""
        new = {directory for directory in cgroup_directories() - self._cgroups if self.home.name in directory}
        named = [d for d in new if CONTAINER_ID.search(os.path.basename(d)) and "/docker/" not in d]
        return [d for d in named if os.path.isdir(d) and not cgroup_pids(d)]

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _scrub(self) -> None:
        """After the check: nothing of a failed test stays on the machine."""
        for process in [*self._seen, *self.family()]:
            if process.alive():
                os.kill(process.pid, signal.SIGKILL)
        for directory in sorted((d for d in cgroup_directories() if self.home.name in d), key=len, reverse=True):
            with contextlib.suppress(OSError):  # what is still busy was told by the check
                os.rmdir(directory)
        if self._owns_space and self._space is not None:
            self._space.close()
        self.engine._config.cleanup()
        shutil.rmtree(self.home, ignore_errors=True)
