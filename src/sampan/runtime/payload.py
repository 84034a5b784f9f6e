"""The last steps before a program of the container runs: who it is, what it may do, where it starts, exec.

Shared by init and by exec sessions. Runs inside the container's root, so it imports nothing and looks nothing up but
the program and its user.

Source. The OCI runtime specification, config.md "Process"; capabilities(7); credentials(7); execve(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import stat
import struct
from fcntl import ioctl
from typing import Any, Final, NoReturn

from sampan.linux import path, process
from sampan.linux.seccomp import Filter
from sampan.runtime import capabilities, users, wire

Process = dict[str, Any]

NOT_FOUND: Final = 127  # exit code: there is no such program
NOT_EXECUTABLE: Final = 126
FAILED: Final = 128  # any other step of the start
READY: Final = b'{"ready":1}'  # the message to the monitor right before exec
NETNS: Final = b'{"event":"netns"}'  # goes with the network namespace, for sampand, where a launch is held
KEPT_AT_ONCE: Final = 200  # descriptors in one packet, of which 253 would be the limit (see `wire`)
GO: Final = b'{"op":"go"'  # sampand's answer begins so: a held launch may go on

# What zygote, monitors and init ignore: writes to nobody are errors, and only sampand's end ends a zygote.
IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_RLIMITS: Final = {
    f"RLIMIT_{name}": number
    for number, name in enumerate(
        ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
         "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")
    )
}  # fmt: skip  # asm-generic/resource.h
_TIOCSCTTY: Final = 0x540E
_TIOCSWINSZ: Final = 0x5414


class Rights:
    """What the runtime gives a program at most, the same for init and the exec sessions of a container."""

    def __init__(self) -> None:
        self.seccomp = b""  # the filter, compiled; empty for none
        self.seccomp_flags = 0
        self.available = 0  # mask of the capabilities that the runtime itself has; no more can be given


class StartError(Exception):
    """A step of the start failed.

    Attributes:
        step: what was being done, such as ``mount /proc``.
        code: the exit code that Docker gives the container: 126, 127 or 128.
    """

    def __init__(self, step: str, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.step = step
        self.code = code


def reset_signals() -> None:
    """Give the ignored signals their default action again and unblock all; exec resets those with handlers."""
    for number in IGNORED:
        process.reset_signal(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def set_window_size(terminal: int, height: int, width: int) -> None:
    """Set the size of a terminal in characters (TIOCSWINSZ, ioctl_tty(2))."""
    ioctl(terminal, _TIOCSWINSZ, struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, 0, 0))


def take_terminal(slave: int) -> None:
    """Make the terminal the controlling one of this session and the standard streams."""
    ioctl(slave, _TIOCSCTTY, 0)
    use_as_stdio(slave, slave, slave)


def use_as_stdio(stdin: int, stdout: int, stderr: int) -> None:
    """Put these descriptors in the places of the standard streams. None of them may be 0, 1 or 2."""
    for place, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, place, inheritable=True)


def drop_descriptors(keep: list[int]) -> None:
    """Hold nothing of the monitor's but these; the standard streams lead nowhere for now.

    Done before a container is entered, whose processes may look at /proc/PID/fd (CVE-2024-21626).
    """
    process.close_all_but([0, 1, 2, *keep])
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    use_as_stdio(null, null, null)
    os.close(null)


def own_stdio(uid: int, gid: int) -> None:
    """Let the program's user reopen its standard streams through /proc/self/fd, as runc does."""
    for descriptor in (0, 1, 2):
        found = os.fstat(descriptor)
        if found.st_uid != uid and not _is_null(found):
            with contextlib.suppress(
                PermissionError
            ):  # a read-only file or a foreign user namespace: it stays as it is
                os.fchown(descriptor, uid, found.st_gid if stat.S_ISCHR(found.st_mode) else gid)


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def set_limits(spec: Process) -> None:
    """Set the resource limits that the bundle asks for."""
    for limit in spec.get("rlimits") or []:
        kind = limit["type"]
        try:
            resource.setrlimit(_RLIMITS[kind], (_signed(limit["soft"]), _signed(limit["hard"])))
        except (OSError, ValueError) as error:
            reason = os.strerror(errno.EPERM) if isinstance(error, ValueError) else str(error)
            what = f"error setting rlimits for ready process: error setting rlimit type {_RLIMITS[kind]}"
            raise StartError("rlimits", f"{what}: {reason.lower()}") from None


def _signed(value: int) -> int:
    return value if value < 1 << 63 else value - (1 << 64)


def become(spec: Process, available: int) -> None:
    """Take the user, the groups and the capabilities of the bundle.

    Args:
        available: mask of the capabilities that this process has itself; no more can be given.
    """
    sets = spec.get("capabilities") or {}
    masks = {name: capabilities.mask(sets.get(name) or []) & available for name in _SETS}
    user = spec["user"]
    for number in range(len(capabilities.NAMES)):
        if not masks["bounding"] >> number & 1:
            process.drop_bounding(number)
    process.keep_capabilities()
    os.umask(user.get("umask", 0o022))
    os.setgroups(user.get("additionalGids") or [])
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    process.set_capabilities(masks["effective"], masks["permitted"], masks["inheritable"])
    process.raise_ambient([n for n in range(len(capabilities.NAMES)) if masks["ambient"] >> n & 1])


_SETS: Final = ("bounding", "effective", "permitted", "inheritable", "ambient")


def environment(spec: Process, home: str) -> dict[str, str]:
    """Return the environment of the bundle, with HOME from the user data base where it is not set."""
    found: dict[str, str] = {}
    for entry in spec.get("env") or []:
        name, equals, value = entry.partition("=")
        if equals and name:
            found[name] = value
    if not found.get("HOME"):
        found["HOME"] = home if "\0" not in home else "/"  # whatever a container wrote into its user data base
    return found


def find_program(name: str, search: str) -> str:
    """Return the path of the program, as execvp(3) and Go's exec.LookPath find it.

    Raises:
        StartError: with the text that Docker's users know.
    """
    if "/" in name:
        _check_program(name, name)
        return name
    denied: StartError | None = None
    for directory in search.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_program(candidate, name)
        except StartError as error:
            if error.code == NOT_EXECUTABLE:
                denied = denied or error
            continue
        return candidate
    raise StartError("exec", f'exec: "{name}": executable file not found in $PATH', NOT_FOUND) from denied


def _check_program(candidate: str, name: str) -> None:
    try:
        found = os.stat(candidate)
    except OSError as error:
        reason = os.strerror(error.errno or errno.ENOENT).lower()
        code = NOT_EXECUTABLE if error.errno == errno.EACCES else NOT_FOUND
        raise StartError("exec", f'exec: "{name}": stat {candidate}: {reason}', code) from None
    if stat.S_ISDIR(found.st_mode):
        raise StartError("exec", f'exec: "{name}": is a directory', NOT_EXECUTABLE)
    if not os.access(candidate, os.X_OK, effective_ids=False):
        raise StartError("exec", f'exec: "{name}": permission denied', NOT_EXECUTABLE)


def enter_directory(path: str) -> None:
    """Change to the working directory, as the program's user, and see that it lies inside the root (CVE-2024-21626)."""
    if not path.startswith("/"):
        raise StartError("cwd", "Cwd must be an absolute path", NOT_EXECUTABLE)
    try:
        os.chdir(path)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise StartError("cwd", f'chdir to cwd ("{path}") set in config.json failed: {reason}') from None
    try:
        inside = os.getcwd().startswith("/")  # the kernel says "(unreachable)…", getcwd(2)
    except FileNotFoundError:
        inside = False
    if not inside:
        raise StartError("cwd", "current working directory is outside of container mount namespace root")


def _lock_down(spec: Process, rights: Rights) -> None:
    """Give up rights in the order that lets the seccomp filter be installed with and without no-new-privileges."""
    if spec.get("noNewPrivileges"):
        process.set_no_new_privileges()
        become(spec, rights.available)
        if rights.seccomp:
            Filter(rights.seccomp, rights.seccomp_flags).install()
    else:
        if rights.seccomp:
            Filter(rights.seccomp, rights.seccomp_flags).install()
        become(spec, rights.available)


def _resolve_user(user: dict[str, Any], root: int) -> str:
    """Put numbers into the bundle's ``user`` where names are given; return the home directory.

    Args:
        user: the specification's ``process.user``; ``username`` may be any form that ``docker run --user`` takes.
        root: descriptor of the container's root.

    Raises:
        StartError: there is no such user or group.
    """
    wanted = user.get("username") or f"{user['uid']}:{user['gid']}"
    groups = [str(group) for group in user.get("additionalGids") or []]
    try:
        found = users.resolve(lambda name: path.read_file(root, name), wanted, groups)
    except users.UserError as error:
        raise StartError("user", str(error)) from None
    user["uid"], user["gid"] = found.uid, found.gid
    user["additionalGids"] = list(found.additional_gids)
    return found.home


def become_program(spec: Process, rights: Rights, root: int, status: socket.socket) -> NoReturn:
    """Become the bundle's ``process``; the standard streams are in place, and so is the root.

    Args:
        root: descriptor of the container's root.
        status: channel to the monitor, told ``{"ready": 1}`` before exec, which closes it.

    Raises:
        StartError, OSError: what failed.
    """
    home = _resolve_user(spec["user"], root)
    own_stdio(spec["user"]["uid"], spec["user"]["gid"])
    set_limits(spec)
    found = environment(spec, home)
    reset_signals()
    process.close_all_but([0, 1, 2, status.fileno()])
    _lock_down(spec, rights)
    enter_directory(spec.get("cwd") or "/")
    wire.send_bytes(status, READY)
    _execute(spec, found)


def report(status: socket.socket, step: str, error: Exception) -> None:
    """Tell the monitor what failed, as ``{"failed": text, "step": …, "code": …}``."""
    if isinstance(error, StartError):
        message = {"failed": str(error), "step": error.step, "code": error.code}
    elif isinstance(error, OSError):
        message = {"failed": error.strerror or str(error), "step": step, "code": FAILED}
    else:
        message = {"failed": f"{type(error).__name__}: {error}", "step": step, "code": FAILED}
    wire.send(status, message)


def _execute(spec: Process, program_environment: dict[str, str]) -> NoReturn:
    """Become the program. Returns only by raising StartError."""
    arguments: list[str] = spec["args"]
    path = find_program(arguments[0], program_environment.get("PATH", ""))
    try:
        os.execve(path, arguments, program_environment)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise StartError("exec", f"exec {path}: {reason}", code) from None
