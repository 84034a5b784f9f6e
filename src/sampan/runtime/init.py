"""Init: the child that builds the container around itself and then becomes its program.

It is forked by the monitor into the container's pid namespace and talks to it over ``status``, a channel that exec
closes:

    init → monitor   {"terminal": 1} + master               the pseudo terminal is made
                     {"failed": text, "step": …, "code": …} and exit
                     {"ready": 1}                           exec is next; the end of file without "failed": done
    monitor → init   {"go": 1}                              the control group is entered: the program may come

What it is doing it notes in a pipe that nobody reads, unless it dies of it.

Source. The OCI runtime specification, runtime.md "Lifecycle", config-linux.md.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from fcntl import ioctl
from typing import Any, Final, NoReturn

from sampan.linux import path, process
from sampan.linux.syscall import call
from sampan.runtime import payload, wire
from sampan.runtime.payload import StartError
from sampan.runtime.rootfs import Root

Spec = dict[str, Any]

_NAMESPACES: Final = {
    "mount": process.CLONE_NEWNS,
    "uts": process.CLONE_NEWUTS,
    "ipc": process.CLONE_NEWIPC,
    "network": process.CLONE_NEWNET,
}
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


class Job:
    """What the monitor hands to init: the bundle and the open things that go with it."""

    def __init__(self, bundle: str, root: int, run_dir: str) -> None:
        self.bundle = bundle
        self.spec: Spec = {}  # read by init itself: what is read here is no weight on the monitor
        self.root = root
        self.run_dir = run_dir
        self.trees: dict[int, int] = {}  # index in spec["mounts"] → detached tree
        self.cgroups: dict[str, str] = {}  # version 1 hierarchy → own directory
        self.namespaces: dict[str, int] = {}  # type → descriptor of a namespace to join
        self.rights = payload.Rights()
        self.stdio: tuple[int, int, int] = (-1, -1, -1)
        self.size: tuple[int, int] | None = None
        self.notes = -1  # where to note the steps


def main(job: Job, status: socket.socket) -> NoReturn:
    """Build the container and exec its program; report what fails to the monitor. Never returns."""
    step = "init"
    try:
        process.set_death_signal(signal.SIGKILL)
        process.set_dumpable(on=False)
        os.setsid()
        os.umask(0)  # modes of devices and directories are meant as they are written
        with open(f"{job.bundle}/config.json", "rb") as file:
            job.spec = json.loads(file.read())
        for step, action in _steps(job, status):
            os.write(job.notes, step.encode() + b"\n")
            action()
        step = "exec"
        payload.become_program(job.spec["process"], job.rights, job.root, status)
    except Exception as error:  # noqa: BLE001  (a bug of ours must reach the monitor too: nobody else sees this process)
        payload.report(status, step, error)
    os._exit(1)


def _steps(job: Job, status: socket.socket) -> list[tuple[str, Callable[[], None]]]:
    """Return (what is being done, how) in order; the plan of a start."""
    spec, root = job.spec, Root(job.root)
    linux = spec.get("linux") or {}
    process_ = spec["process"]
    steps: list[tuple[str, Callable[[], None]]] = [
        ("namespaces", lambda: _enter_namespaces(job)),
        ("root", lambda: root.attach(job.run_dir)),
    ]
    waiting = ("control group", lambda: _await_go(status))
    for index, entry in enumerate(spec.get("mounts") or []):
        if entry.get("type") == "cgroup" and waiting not in steps:
            steps.append(waiting)  # as late as can be: the monitor makes the group meanwhile
        steps.append((f"mount {entry['destination']}", _mounting(root, entry, index, job)))
    if waiting not in steps:
        steps.append(waiting)
    steps += [
        ("cgroup namespace", lambda: _enter_cgroup_namespace(linux)),
        ("devices", lambda: root.make_devices(linux.get("devices") or [])),
        ("stdio", lambda: _stdio(job, root, status, terminal=bool(process_.get("terminal")))),
        ("sysctl", lambda: _sysctls(root, linux.get("sysctl") or {})),
        ("oom score", lambda: _oom_score(root, process_.get("oomScoreAdj"))),
        ("read-only paths", lambda: root.make_readonly(linux.get("readonlyPaths") or [])),
        ("masked paths", lambda: root.mask(linux.get("maskedPaths") or [])),
        ("hostname", lambda: _names(spec)),
        ("working directory", lambda: _make_directory(root, process_.get("cwd") or "/")),
        ("pivot", lambda: root.pivot(readonly=bool((spec.get("root") or {}).get("readonly")))),
    ]
    return steps


def _enter_namespaces(job: Job) -> None:
    for descriptor in job.namespaces.values():
        process.setns(descriptor)
    wanted = {entry["type"]: entry.get("path") for entry in (job.spec.get("linux") or {}).get("namespaces") or []}
    kinds = process.CLONE_NEWNS
    for kind, flag in _NAMESPACES.items():
        if kind in wanted and kind not in job.namespaces:
            kinds |= flag
    process.unshare(kinds)
    if kinds & process.CLONE_NEWNET:
        _raise_loopback()


def _raise_loopback() -> None:
    """Bring ``lo`` up in a new network namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", ioctl(control, _SIOCGIFFLAGS, request))[1]
        ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _stdio(job: Job, root: Root, status: socket.socket, *, terminal: bool) -> None:
    if not terminal:
        payload.use_as_stdio(*job.stdio)
        return
    master, slave = root.open_terminal()
    if job.size is not None:
        payload.set_window_size(slave, *job.size)
    wire.send(status, {"terminal": 1}, [master])
    os.close(master)
    root.place_console(slave)
    payload.take_terminal(slave)


def _sysctls(root: Root, wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        root.write_proc("sys/" + name.replace(".", "/"), value)


def _oom_score(root: Root, score: int | None) -> None:
    if score is not None:
        root.write_proc("1/oom_score_adj", str(score))


def _names(spec: Spec) -> None:
    kinds = {entry["type"] for entry in (spec.get("linux") or {}).get("namespaces") or []}
    if spec.get("hostname") and "uts" in kinds:
        socket.sethostname(spec["hostname"])
    if spec.get("domainname") and "uts" in kinds:
        root_domain = spec["domainname"].encode()
        call("setdomainname", root_domain, len(root_domain))


def _make_directory(root: Root, cwd: str) -> None:
    """Make the working directory where it is missing, as dockerd does."""
    try:
        os.close(path.make_directories(root.descriptor, cwd))
    except NotADirectoryError:
        raise StartError("working directory", f"Cannot mkdir: {cwd} is not a directory") from None


def _mounting(root: Root, entry: dict[str, Any], index: int, job: Job) -> Callable[[], None]:
    return lambda: root.mount(entry, job.trees.get(index), job.cgroups)


def _await_go(status: socket.socket) -> None:
    if wire.receive(status) is None:
        os._exit(1)  # the monitor is gone: nothing may start without it


def _enter_cgroup_namespace(linux: dict[str, Any]) -> None:
    if "cgroup" in {entry["type"] for entry in linux.get("namespaces") or []}:
        process.unshare(process.CLONE_NEWCGROUP)
