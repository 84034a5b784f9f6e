"""A container's place at run time, made by sampand before anybody is asked to run in it.

Life.   make → its descriptors go to a monitor with the launch → close.  While one of them is open anywhere, in the
        queue of a socket too, the lock is held and nobody clears the place away; `sampan.runtime.guard` does later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sampan.runtime import cgroups, channels, guard, limits, records
from sampan.runtime.cgroups import Group, Layout


class Berth:
    """Run directory, control group and what a monitor gets of them.

    On version 1 the group is only planned: init makes it for itself, which needs no other process's time. On version 2
    init is born into it.

    Attributes:
        group: the control group.
        descriptors: ``control``, the listening socket, and ``cgroup``, the group's directory, where there is nothing
            but version 2; in the order that `sampan.runtime.keeper` expects.
        held: the locked lock.
    """

    def __init__(self, run_dir: Path, layout: Layout, linux: dict[str, Any]) -> None:
        """Make all of it.

        Args:
            linux: the bundle's ``linux``; ``cgroupsPath`` and ``resources`` are looked at.

        Raises:
            FileExistsError: there is such a run directory: somebody's records, not ours to remove.
            OSError: naming what failed; nothing is left.
        """
        self.descriptors: dict[str, int] = {}
        self.held = records.create(str(run_dir))
        try:
            path = linux["cgroupsPath"]
            self.group: Group = cgroups.plan(layout, path)
            records.write(str(run_dir), records.GROUP, self.group.record())  # before it is there
            self.descriptors["control"] = channels.listen(f"{run_dir}/{records.CONTROL}").detach()
            if layout.unified:
                limits.create(layout, self.group, path, linux.get("resources") or {})
                self.descriptors["cgroup"] = self.group.descriptor()
        except BaseException:
            self.close()
            guard.clear(str(run_dir))
            raise

    def close(self) -> None:
        """Let go of it: it is the monitor's now, or nobody's."""
        for descriptor in (*self.descriptors.values(), *([self.held] if self.held >= 0 else [])):
            os.close(descriptor)
        self.descriptors.clear()
        self.held = -1
