"""Linux capabilities: names and numbers, Docker's default set, and the algebra of ``--cap-add`` and ``--cap-drop``.

Names are as in OCI specs: ``CAP_CHOWN``. People may write ``chown``, ``Cap_Chown`` or ``ALL``.

Errors. CapabilityError, with dockerd's text; status 400.
Source. linux/capability.h; capabilities(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

# In the order of their numbers, 0 to 40.
NAMES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}

# Docker's, in its order.
DEFAULT: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip

ALL: Final = "ALL"


class CapabilityError(ValueError):
    """A capability that is not known, or that this machine does not give; the text is dockerd's."""

    status = 400


def usable() -> tuple[str, ...]:
    """Return the capabilities that this process can give, in the order of their numbers (proc(5), status).

    "All" means these: a machine may withhold some (CAP_SYS_RESOURCE is often missing inside other sandboxes).
    """
    masks = {}
    with open("/proc/self/status", "rb") as status:
        for line in status:
            key, _, value = line.partition(b":")
            if key in (b"CapEff", b"CapBnd"):
                masks[key] = int(value, 16)
    return names(masks[b"CapEff"] & masks[b"CapBnd"])


def mask(capabilities: Iterable[str]) -> int:
    """Return the bits of ``capabilities`` (canonical names): bit n for capability n."""
    return sum(1 << NUMBERS[name] for name in set(capabilities))


def names(bits: int) -> tuple[str, ...]:
    """Return the names of the capabilities in ``bits``; those without a name yet are left out."""
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


def normalise(wanted: Iterable[str], available: Iterable[str]) -> list[str]:
    """Return canonical names (``ALL`` stays) of the capabilities that a person wrote.

    Raises:
        CapabilityError: not known, or not among ``available``.
    """
    available = frozenset(available)
    result = []
    for text in wanted:
        name = text.upper()
        if name != ALL:
            name = name if name.startswith("CAP_") else "CAP_" + name
            if name not in NUMBERS:
                raise CapabilityError(f'unknown capability: "{name}"')
            if name not in available:
                reason = "capability not supported by your kernel or not available in the current environment"
                raise CapabilityError(f'{reason}: "{name}"')
        result.append(name)
    return result


def tweak(add: Sequence[str], drop: Sequence[str], available: Sequence[str]) -> list[str]:
    """Return what a container may do, from Docker's default set, ``--cap-add`` and ``--cap-drop``.

    ``add`` with ALL: all that are ``available`` but the dropped ones (dropping ALL then drops nothing, as in Docker).
    ``drop`` with ALL: only the added ones. Otherwise adding wins over dropping.

    Raises:
        CapabilityError: the text begins with ``invalid CapAdd:`` or ``invalid CapDrop:``.
    """
    added = _checked("invalid CapAdd", add, available)
    dropped = _checked("invalid CapDrop", drop, available)
    if ALL in added:
        return [name for name in available if name not in dropped]
    if ALL in dropped:
        return list(dict.fromkeys(added))
    kept = [name for name in DEFAULT if name not in dropped and name in available]
    return list(dict.fromkeys((*kept, *added)))


def _checked(what: str, wanted: Sequence[str], available: Sequence[str]) -> list[str]:
    try:
        return normalise(wanted, available)
    except CapabilityError as error:
        raise CapabilityError(f"{what}: {error}") from None
