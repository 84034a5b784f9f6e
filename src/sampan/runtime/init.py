"""Init: the child that builds the container around itself and then becomes its program.

It is forked by the monitor into the container's pid namespace and talks to it over ``status``, a channel that exec
closes:

    monitor → init   the request as sampand wrote it        what to build, with its descriptors
                     {"op": "go"}                           where the launch is held: the network is there
    init → monitor   {"streams": names} + descriptors       the monitor's ends of the pipes, or the terminal's two sides
                     {"event": "netns"} + descriptor        where the launch is held: its network namespace
                     {"failed": text, "step": …, "code": …} and exit
                     {"ready": 1}                           exec is next; the end of file without "failed": done

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

from sampan.linux import mount, path, process
from sampan.linux.syscall import call
from sampan.runtime import cgroups, limits, payload, usual, wire
from sampan.runtime.cgroups import Layout
from sampan.runtime.payload import NETNS, StartError
from sampan.runtime.rootfs import Key, Root
from sampan.runtime.wire import Message

Spec = dict[str, Any]

_NAMESPACES: Final = {
    "mount": process.CLONE_NEWNS,
    "uts": process.CLONE_NEWUTS,
    "ipc": process.CLONE_NEWIPC,
    "network": process.CLONE_NEWNET,
}
_IPC_SYSCTLS: Final = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


class Job:
    """What init is to build: the bundle and the open things that go with it."""

    def __init__(self, message: Message, descriptors: dict[str, int]) -> None:
        self.spec: Spec = json.loads(wire.read_file(descriptors["spec"]))
        self.root = descriptors["root"]
        self.run_dir: str = message["run_dir"]
        self.group = cgroups.from_record(message["cgroup"])
        self.hierarchies: dict[str, str] = message["hierarchies"]  # of version 1 → own directory
        self.size: tuple[int, int] | None = message["size"]
        self.open_stdin: bool = message["open_stdin"]
        self.hold: bool = message["hold"]
        self.trees = {int(name[5:]): fd for name, fd in descriptors.items() if name.startswith("tree:")}
        self.rights = payload.Rights()
        self.rights.available = message["available"]
        if "seccomp" in descriptors:
            self.rights.seccomp = wire.read_file(descriptors["seccomp"])
            self.rights.seccomp_flags = message["seccomp_flags"]


def main(status: socket.socket, notes: int, layout: Layout, kinds: frozenset[str], joined: list[int]) -> NoReturn:
    """Make and join namespaces, wait for a job, build the container, exec its program. Never returns.

    Args:
        notes: descriptor of a pipe for the steps.
        layout: where the control groups are.
        kinds: types of namespaces to make; joined: descriptors of those to join.
    """
    step = "namespaces"
    try:
        process.set_death_signal(signal.SIGKILL)
        process.set_dumpable(on=False)
        payload.drop_descriptors([status.fileno(), notes, *joined])
        os.setsid()
        os.umask(0)  # modes of devices and directories are meant as they are written
        _enter_namespaces(kinds, joined)
        ready = usual.make() if kinds.issuperset(_NAMESPACES) else {}
        received = wire.receive(status)
        if received is None:
            os._exit(1)  # the monitor is gone
        step = "bundle"
        message, descriptors = received
        job = Job(message, dict(zip(message["fds"][-len(descriptors) :], descriptors, strict=True)))
        for step, action in _steps(job, layout, status, ready):
            os.write(notes, step.encode() + b"\n")
            action()
        step = "exec"
        payload.become_program(job.spec["process"], job.rights, job.root, status)
    except Exception as error:  # noqa: BLE001  (a bug of ours must reach the monitor too: nobody else sees this process)
        payload.report(status, step, error)
    os._exit(1)


def _steps(
    job: Job, layout: Layout, status: socket.socket, ready: dict[Key, int]
) -> list[tuple[str, Callable[[], None]]]:
    """Return (what is being done, how) in order; the plan of a start."""
    spec, root = job.spec, Root(job.root, ready)
    linux = spec.get("linux") or {}
    process_ = spec["process"]
    steps: list[tuple[str, Callable[[], None]]] = [
        ("control group", lambda: _enter_group(job, layout)),
        ("root", lambda: root.attach(job.run_dir)),
    ]
    if job.hold:
        steps.insert(0, ("network", lambda: _show_network(status)))
    for index, entry in enumerate(spec.get("mounts") or []):
        steps.append((f"mount {entry['destination']}", _mounting(root, entry, index, job)))
    steps += [
        ("cgroup namespace", lambda: _enter_cgroup_namespace(linux)),
        ("devices", lambda: root.make_devices(linux.get("devices") or [])),
        ("stdio", lambda: _stdio(job, root, status, terminal=bool(process_.get("terminal")))),
        ("sysctl", lambda: _sysctls(root, linux)),
        ("oom score", lambda: _oom_score(root, process_.get("oomScoreAdj"))),
        ("read-only paths", lambda: root.make_readonly(linux.get("readonlyPaths") or [])),
        ("masked paths", lambda: root.mask(linux.get("maskedPaths") or [])),
        ("hostname", lambda: _names(spec)),
        ("working directory", lambda: _make_directory(root, process_.get("cwd") or "/")),
        ("pivot", lambda: root.pivot(readonly=bool((spec.get("root") or {}).get("readonly")))),
    ]
    if job.hold:
        steps.append(("network", lambda: _await_network(status)))
    return steps


def _enter_namespaces(kinds: frozenset[str], joined: list[int]) -> None:
    for descriptor in joined:
        process.setns(descriptor)
    flags = process.CLONE_NEWNS
    for kind, flag in _NAMESPACES.items():
        if kind in kinds:
            flags |= flag
    process.unshare(flags)
    if flags & process.CLONE_NEWNET:
        _raise_loopback()
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_SLAVE)


def _raise_loopback() -> None:
    """Bring ``lo`` up in a new network namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", ioctl(control, _SIOCGIFFLAGS, request))[1]
        ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _stdio(job: Job, root: Root, status: socket.socket, *, terminal: bool) -> None:
    """Make the program's standard streams and give the monitor its ends of them."""
    if not terminal:
        _pipes(status, open_stdin=job.open_stdin)
        return
    master, slave = root.open_terminal()
    if job.size is not None:
        payload.set_window_size(slave, *job.size)
    wire.send(status, {"streams": ["master", "slave"]}, [master, slave])
    os.close(master)
    root.place_console(slave)
    payload.take_terminal(slave)


def _pipes(status: socket.socket, *, open_stdin: bool) -> None:
    ours: dict[str, int] = {}
    ours["stdout"], stdout = os.pipe2(os.O_CLOEXEC)
    ours["stderr"], stderr = os.pipe2(os.O_CLOEXEC)
    stdin = 0  # leads nowhere, see `payload.drop_descriptors`
    if open_stdin:
        stdin, ours["stdin"] = os.pipe2(os.O_CLOEXEC)
    wire.send(status, {"streams": list(ours)}, list(ours.values()))
    payload.use_as_stdio(stdin, stdout, stderr)
    for descriptor in (*ours.values(), stdout, stderr, *([stdin] if stdin else [])):
        os.close(descriptor)


def _sysctls(root: Root, linux: dict[str, Any]) -> None:
    """Set what belongs to the container's own namespaces, and nothing else: the rest is the host's.

    Source. runc's list, libcontainer/configs/validate.
    """
    own = {entry["type"] for entry in linux.get("namespaces") or [] if not entry.get("path")}
    for name, value in (linux.get("sysctl") or {}).items():
        dotted = name.replace("/", ".")
        of_ipc = dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue.")
        namespace = "ipc" if of_ipc else "network" if dotted.startswith("net.") else "uts"
        if ".." in dotted or namespace not in own or (namespace == "uts" and dotted != "kernel.domainname"):
            raise StartError("sysctl", f'sysctl "{name}" is not in a separate kernel namespace')
        root.write_proc("sys/" + dotted.replace(".", "/"), value)


def _oom_score(root: Root, score: int | None) -> None:
    if score is not None:
        root.write_proc("self/oom_score_adj", str(score))  # with --pid host "1" is the machine's own init


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
    return lambda: root.mount(entry, job.trees.get(index), job.hierarchies)


def _show_network(status: socket.socket) -> None:
    """Let sampand plug the network namespace while the rest is built."""
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    wire.send_bytes(status, NETNS, [namespace])
    os.close(namespace)


def _await_network(status: socket.socket) -> None:
    if not wire.receive_bytes(status)[0]:
        os._exit(1)  # the monitor is gone


def _enter_group(job: Job, layout: Layout) -> None:
    """Make the container's control group and enter it; where it is of version 2, it was born there."""
    if not layout.unified:
        linux = job.spec["linux"]
        limits.create(layout, job.group, linux["cgroupsPath"], linux.get("resources") or {})
        job.group.enter()


def _enter_cgroup_namespace(linux: dict[str, Any]) -> None:
    if "cgroup" in {entry["type"] for entry in linux.get("namespaces") or []}:
        process.unshare(process.CLONE_NEWCGROUP)
