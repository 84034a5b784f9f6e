"""An init that waits for its container: forked, in namespaces of its own, told only now what to become.

A monitor that waits has one already (`STANDARD`), since nearly every container wants the same namespaces and making
them takes a third of a start. A container that wants others gets an init made for it.

Source. clone(2), pid_namespaces(7): a process's children are born in the namespace that it unshared.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from sampan.linux import process
from sampan.runtime import init, wire
from sampan.runtime.cgroups import Layout

STANDARD: Final = frozenset({"pid", "mount", "network", "ipc", "uts"})
_OWN_PID_NAMESPACE: Final = "/proc/self/ns/pid"


def is_standard(namespaces: list[dict[str, str]]) -> bool:
    """Tell whether an init that waits has just the namespaces of a bundle's ``linux.namespaces``."""
    kinds = {entry["type"] for entry in namespaces} - {"cgroup"}
    return kinds == STANDARD and not any(entry.get("path") for entry in namespaces)


class Unborn:
    """The monitor's hold on such an init.

    Attributes:
        pid: its pid on the host.
        status: the monitor's end of the channel to it, which exec closes.
        notes: descriptor of the pipe in which it notes what it is doing.
    """

    def __init__(
        self, layout: Layout, kinds: frozenset[str], joined: dict[str, int], cgroup: int | None = None
    ) -> None:
        """Fork it.

        Args:
            layout: where the control groups are.
            kinds: the types of namespaces to make.
            joined: type → descriptor of a namespace to join instead.
            cgroup: directory of a version 2 group to be born in.

        Raises:
            OSError: a namespace can't be made or joined.
        """
        self._kinds = frozenset(kinds)
        if "pid" in joined:
            process.setns(joined["pid"], process.CLONE_NEWPID)
        elif "pid" in kinds:
            process.unshare(process.CLONE_NEWPID)  # for init and, later, for the exec sessions
        self.status, theirs = wire.pair()
        self.notes, notes = os.pipe2(os.O_CLOEXEC)
        self.pid = process.clone3(cgroup=cgroup)
        if not self.pid:
            self.status.close()
            init.main(theirs, notes, layout, self._kinds, [fd for kind, fd in joined.items() if kind != "pid"])
        theirs.close()
        os.close(notes)

    def suits(self, kinds: frozenset[str], joined: dict[str, int]) -> bool:
        """Tell whether it has just the namespaces that a container wants."""
        return not joined and kinds == self._kinds

    def discard(self) -> None:
        """End it, and let this process have children in its own pid namespace again."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.status.close()
        os.close(self.notes)
        own = os.open(_OWN_PID_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        process.setns(own, process.CLONE_NEWPID)
        os.close(own)

    def tell(self, request: bytes, descriptors: list[int]) -> None:
        """Tell it what to build, in JSON. Should it have failed already, its message is on the way."""
        with contextlib.suppress(BrokenPipeError):
            wire.send_bytes(self.status, request, descriptors)
