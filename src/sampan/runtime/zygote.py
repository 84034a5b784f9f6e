"""The zygote: a small process with one thread, from which every monitor is forked.

Life.   sampand starts it as a fresh interpreter.  It makes itself a read-only view of the host, executes itself again
        from there, so that no container can overwrite the interpreter through /proc/self/exe (CVE-2019-5736), imports
        all that will be needed, closes the door to further imports, and forks a monitor for each request.
        When sampand dies it stays, as the parent that notices a monitor's death, until its last monitor is gone.
Wire.   One packet, with the end of a channel, asks for one monitor. Nothing is answered here: the monitor is told on
        its own channel what to run, at once or later, and speaks for itself there.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from typing import Final

from sampan.linux import mount, process, syscall
from sampan.runtime import cgroups, guard, keeper, payload, wire
from sampan.runtime.loop import READ, Loop, hear_children
from sampan.runtime.rehearsal import rehearse

_VIEW_MADE: Final = "--view-made"
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from sampan.runtime import zygote; zygote.main(sys.argv[1:])"
)


def command(interpreter: str, packages: str, channel: int, run_dirs: str, writable: list[str]) -> list[str]:
    """Return the command line that starts a zygote.

    Args:
        packages: the directory that holds the package ``sampan``; nothing else outside the standard library is needed.
        channel: number of the inherited descriptor of its end of the channel.
        run_dirs: the directory of the containers' run directories.
        writable: directories that monitors write to; all else is read-only for them.
    """
    request = json.dumps({"channel": channel, "run_dirs": run_dirs, "writable": writable})
    # -I -S: no user site, no site-packages, nothing from the environment: quick to start, and nobody else's code
    return [interpreter, "-I", "-S", "-c", _PROGRAM, packages, request]


def main(arguments: list[str]) -> None:
    """Be the zygote: first make the read-only view and start again inside it, then serve."""
    request = json.loads(arguments[0])
    if arguments[1:] != [_VIEW_MADE]:
        _make_view(request["writable"])
        again = command(sys.executable, sys.path[0], request["channel"], request["run_dirs"], request["writable"])
        os.execv(sys.executable, [*again, _VIEW_MADE])
    os.set_inheritable(request["channel"], False)
    Zygote(socket.socket(fileno=request["channel"]), request["run_dirs"]).run()


def _make_view(writable: list[str]) -> None:
    """Enter a mount namespace in which all is read-only but ``writable`` and the control groups."""
    process.unshare(process.CLONE_NEWNS)
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_SLAVE)
    for directory in writable:
        mount.mount(directory, directory, None, mount.MS_BIND | mount.MS_REC)
    _set_read_only("/", on=True)
    for directory in [*writable, *cgroups.probe().mounts]:
        _set_read_only(directory, on=False)


def _set_read_only(directory: str, *, on: bool) -> None:
    tree = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        flag = mount.MOUNT_ATTR_RDONLY
        mount.set_attributes(tree, set_=flag if on else 0, clear=0 if on else flag, recursive=True)
    finally:
        os.close(tree)


class Zygote:
    """Forks monitors and ends the containers of those that die."""

    def __init__(self, channel: socket.socket, run_dirs: str) -> None:
        os.setsid()
        process.set_subreaper()
        syscall.prepare()
        self._channel = channel
        self._monitors: set[int] = set()
        self._run_dirs = run_dirs
        _take_signals()
        self._dynmods = -1
        self._layout = cgroups.probe()
        if not self._layout.unified:
            with contextlib.suppress(OSError):  # before Linux 6.0 attaching is just slower
                self._dynmods = cgroups.favor_dynmods()
        with contextlib.suppress(OSError):  # a full file system: monitors are larger then
            rehearse(self._layout, run_dirs)
        process.set_name(b"sampan-zygote")
        self._loop = Loop()
        _close_imports()
        gc.collect()
        gc.freeze()
        gc.disable()

    def run(self) -> None:
        """Serve until sampand and every monitor are gone."""
        self._loop.watch(self._channel.fileno(), READ, lambda _events: self._receive())
        with contextlib.suppress(OSError):  # sampand is gone already: that is heard next
            wire.send(self._channel, {"ready": 1})
        self._loop.run()

    def _receive(self) -> None:
        payload, descriptors = wire.receive_bytes(self._channel)
        if not payload:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._leave_when_idle()
            return
        self._fork(descriptors[0])

    def _fork(self, channel: int) -> None:
        pid = process.clone3()  # what os.fork would do besides is for threads, and there are none
        if not pid:
            process.close_all_but([0, 1, 2, channel])
            keeper.main(self._layout, socket.socket(fileno=channel))
        os.close(channel)
        self._monitors.add(pid)
        self._loop.on_exit(pid, self._monitor_ended)

    def _monitor_ended(self, pid: int, status: int) -> None:
        self._monitors.discard(pid)
        if status:
            self._end_containers()
        self._leave_when_idle()

    def _end_containers(self) -> None:
        """End what dead monitors left, found by its free lock: this is rare, and forking must be quick."""
        for entry in os.scandir(self._run_dirs):
            try:
                guard.finish(entry.path)
            except BlockingIOError:  # it lives
                continue
            except OSError as error:  # sampand is doing it, or will when it comes
                print(f"sampan: {entry.name}: {error}", file=sys.stderr, flush=True)

    def _leave_when_idle(self) -> None:
        if self._channel.fileno() < 0 and not self._monitors:
            self._loop.stop()


def _take_signals() -> None:
    """Forget how sampand, or whoever started it, treats signals: what is ignored would be so in every container."""
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            process.reset_signal(number)
    for number in payload.IGNORED:
        signal.signal(number, signal.SIG_IGN)
    hear_children()


def _close_imports() -> None:
    """From here on an import fails: in a container's root it would load the container's code (CVE-2019-14271)."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
