"""Which kernel parameters a container may set: those of its own namespaces, for all others are the machine's.

Source. The names and the texts are runc's (libcontainer/configs/validate); namespaces(7).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sampan.engine.errors import BadParameter

if TYPE_CHECKING:
    from sampan.api import schema

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+([./][a-zA-Z0-9_-]+)*")
_IPC: Final = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def check(host: schema.HostConfig) -> None:
    """Check all of a container's, its modes having been settled. Raises BadParameter."""
    for name, value in host.sysctls.items():
        _check(name, host)
        if "\0" in value:
            raise BadParameter(f"invalid value of sysctl {_quoted(name)}: it has a NUL byte")


def _check(name: str, host: schema.HostConfig) -> None:
    if not _NAME.fullmatch(name):  # it becomes a path
        raise BadParameter(f"sysctl {_quoted(name)} is not in a separate kernel namespace: it is no sysctl's name")
    dotted = name.replace("/", ".")
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        if host.ipc_mode == "host":
            raise BadParameter(f"sysctl {_quoted(name)} is not allowed in the hosts ipc namespace")
    elif dotted.startswith("net."):
        if host.network_mode == "host":
            raise BadParameter(f"sysctl {_quoted(name)} not allowed in host network namespace")
    elif dotted == "kernel.hostname":
        raise BadParameter(f'sysctl {_quoted(name)} is not allowed as it conflicts with the OCI "hostname" field')
    elif dotted != "kernel.domainname" or host.uts_mode == "host":
        raise BadParameter(f"sysctl {_quoted(name)} is not in a separate kernel namespace")


def _quoted(name: str) -> str:
    """As Go's %q writes what matters here."""
    return '"' + name.encode("unicode_escape").decode().replace('"', '\\"') + '"'
