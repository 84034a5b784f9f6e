"""Docker's default seccomp profile, and profiles that people bring, as OCI ``linux.seccomp`` objects.

Words.  *profile*: Docker's format, whose entries may depend on capabilities, architecture and kernel (``includes``,
        ``excludes``). *resolved*: what is left of it for one container; this is what `sampan.runtime.seccomp` compiles.

Docker names architectures as Go does (``amd64``); functions here take what uname says (``x86_64``).

Errors. SeccompError, in dockerd's words where it has some.
Source. The default is that of moby's profiles/seccomp; what it refuses: tests/integration/runtime/test_seccomp.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sampan.runtime.seccomp import SeccompError

Kernel = tuple[int, int]

_GO_ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_ARCHITECTURES: Final = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
_EPERM: Final = 1


class _Entry(NamedTuple):
    """System calls that are allowed (or, with ``errno``, refused by it), and on which condition."""

    names: str
    errno: int | None = None
    argument: tuple[int, str, int] | None = None
    capability: str | None = None  # only with it
    without: str | None = None  # only without it
    kernel: Kernel | None = None  # only from this one on
    arches: str = ""  # only there; "": everywhere
    not_arches: str = ""  # nowhere there


_DEFAULT: Final = (
    _Entry(
        "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 "
        "clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
        "clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 "
        "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
        "eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate "
        "fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr "
        "flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
        "ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd "
        "getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer "
        "getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid "
        "getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid "
        "gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 "
        "inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get "
        "ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self "
        "lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek "
        "lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret "
        "mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify "
        "mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal "
        "msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat "
        "_newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free "
        "pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 "
        "pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg "
        "recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 "
        "restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
        "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity "
        "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
        "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
        "sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send "
        "sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
        "setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid "
        "setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address "
        "setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 "
        "sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink "
        "symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun "
        "timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
        "timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname "
        "unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write "
        "writev"
    ),
    _Entry("process_vm_readv process_vm_writev ptrace", kernel=(4, 8)),
    _Entry("socket", argument=(0, "LT", 38)),
    _Entry("socket", argument=(0, "EQ", 39)),
    _Entry("socket", argument=(0, "GT", 40)),
    _Entry("personality", argument=(0, "EQ", 0)),
    _Entry("personality", argument=(0, "EQ", 8)),
    _Entry("personality", argument=(0, "EQ", 131072)),
    _Entry("personality", argument=(0, "EQ", 131080)),
    _Entry("personality", argument=(0, "EQ", 0xFFFFFFFF)),
    _Entry("sync_file_range2 swapcontext", arches="ppc64le"),
    _Entry("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", arches="arm arm64"),
    _Entry("arch_prctl", arches="amd64 x32"),
    _Entry("modify_ldt", arches="amd64 x32 x86"),
    _Entry("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", arches="s390 s390x"),
    _Entry("riscv_flush_icache", arches="riscv64"),
    _Entry("open_by_handle_at", capability="CAP_DAC_READ_SEARCH"),
    _Entry(
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
        "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
        "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
        capability="CAP_SYS_ADMIN",
    ),
    _Entry("clone", argument=(0, "MASKED_EQ", 0x7E020000), without="CAP_SYS_ADMIN", not_arches="s390 s390x"),
    _Entry("clone", argument=(1, "MASKED_EQ", 0x7E020000), arches="s390 s390x", without="CAP_SYS_ADMIN"),
    _Entry("clone3", errno=38, without="CAP_SYS_ADMIN"),
    _Entry("reboot", capability="CAP_SYS_BOOT"),
    _Entry("chroot", capability="CAP_SYS_CHROOT"),
    _Entry("delete_module init_module finit_module", capability="CAP_SYS_MODULE"),
    _Entry("acct", capability="CAP_SYS_PACCT"),
    _Entry("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace", capability="CAP_SYS_PTRACE"),
    _Entry("iopl ioperm", capability="CAP_SYS_RAWIO"),
    _Entry("settimeofday stime clock_settime clock_settime64", capability="CAP_SYS_TIME"),
    _Entry("vhangup", capability="CAP_SYS_TTY_CONFIG"),
    _Entry("get_mempolicy mbind set_mempolicy set_mempolicy_home_node", capability="CAP_SYS_NICE"),
    _Entry("syslog", capability="CAP_SYSLOG"),
    _Entry("bpf", capability="CAP_BPF"),
    _Entry("perf_event_open", capability="CAP_PERFMON"),
)


def default_profile(capabilities: Collection[str], arch: str, kernel: Kernel) -> dict[str, Any]:
    """Return Docker's default profile, resolved.

    ``capabilities`` is the container's bounding set (``CAP_…``), ``arch`` a machine as uname names it, ``kernel`` the
    first two numbers of its release.

    Raises:
        SeccompError: an architecture without a profile.
    """
    go_arch = _go_arch(arch)
    entries = [entry for entry in _DEFAULT if _applies(entry, capabilities, go_arch, kernel)]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(_ARCHITECTURES[go_arch]),
        "syscalls": [_resolved(entry) for entry in entries],
    }


def _go_arch(arch: str) -> str:
    if arch not in _GO_ARCHES:
        raise SeccompError(f"seccomp: architecture {arch} is not supported; {', '.join(_GO_ARCHES)} are")
    return _GO_ARCHES[arch]


def _applies(entry: _Entry, capabilities: Collection[str], arch: str, kernel: Kernel) -> bool:
    return (
        (entry.capability is None or entry.capability in capabilities)
        and (entry.without is None or entry.without not in capabilities)
        and (entry.kernel is None or kernel >= entry.kernel)
        and (not entry.arches or arch in entry.arches.split())
        and arch not in entry.not_arches.split()
    )


def _resolved(entry: _Entry) -> dict[str, Any]:
    call: dict[str, Any] = {"names": entry.names.split(), "action": "SCMP_ACT_ALLOW"}
    if entry.errno is not None:
        call.update(action="SCMP_ACT_ERRNO", errnoRet=entry.errno)
    if entry.argument is not None:
        index, op, value = entry.argument
        call["args"] = [{"index": index, "value": value, "op": f"SCMP_CMP_{op}"}]
    return call


def load_profile(text: str | bytes, capabilities: Collection[str], arch: str, kernel: Kernel) -> dict[str, Any] | None:
    """Return the profile of ``--security-opt seccomp=FILE``, resolved; None when it says nothing (seccomp is off then).

    Takes Docker's format (``archMap``, ``includes``, ``excludes``, ``name``) and OCI's, which is a part of it.

    Raises:
        SeccompError: not JSON, or a field of a wrong type or in contradiction to another.
    """
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise SeccompError(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(profile, dict):
        raise SeccompError("Decoding seccomp profile failed: it is not a JSON object")
    if not profile.get("defaultAction") and not profile.get("syscalls"):
        return None
    go_arch = _go_arch(arch)
    try:
        calls = [
            _call(call) for call in profile.get("syscalls") or () if _included(call, capabilities, go_arch, kernel)
        ]
        resolved = {"defaultAction": profile["defaultAction"], "architectures": _architectures(profile, go_arch)}
        _check_numbers(calls)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise SeccompError(f"Decoding seccomp profile failed: {type(error).__name__}: {error}") from None
    copied = {key: profile[key] for key in ("defaultErrnoRet", "flags") if profile.get(key) is not None}
    return {**resolved, **copied, "syscalls": calls}


def _architectures(profile: Mapping[str, Any], arch: str) -> list[str]:
    listed, mapped = profile.get("architectures"), profile.get("archMap")
    if listed and mapped:
        raise SeccompError(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or "
            "'archMap'"
        )
    native = _ARCHITECTURES[arch][0]
    for entry in mapped or ():
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return list(listed or ())


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    names: Sequence[str] = call.get("names") or ()
    if call.get("name"):
        if names:
            raise SeccompError("'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'")
        names = [call["name"]]
    result = {"names": [str(name) for name in names], "action": call["action"]}
    for key in ("errnoRet", "args"):
        if call.get(key) is not None:
            result[key] = call[key]
    return result


def _check_numbers(calls: Sequence[Mapping[str, Any]]) -> None:
    """Raise TypeError unless what has to be a number is one."""
    for call in calls:
        found = [call.get("errnoRet")]
        for argument in call.get("args") or ():
            found += [argument["index"], argument["value"], argument.get("valueTwo")]
            argument["op"].upper()
        if not all(value is None or type(value) is int for value in found):
            raise TypeError(f"a number is wanted in {call}")


def _included(call: Mapping[str, Any], capabilities: Collection[str], arch: str, kernel: Kernel) -> bool:
    no, yes = call.get("excludes") or {}, call.get("includes") or {}
    if arch in (no.get("arches") or ()) or any(name in capabilities for name in no.get("caps") or ()):
        return False
    if no.get("minKernel") and kernel >= _kernel(no["minKernel"]):
        return False
    return (
        (not yes.get("arches") or arch in yes["arches"])
        and all(name in capabilities for name in yes.get("caps") or ())
        and (not yes.get("minKernel") or kernel >= _kernel(yes["minKernel"]))
    )


def _kernel(text: str) -> Kernel:
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise SeccompError(f"invalid kernel version: {text}; expected version as MAJOR.MINOR")
    return int(parts[0]), int(parts[1])
