"""What a test needs from the machine, and the words of a skip when it is not there."""

import os
from pathlib import Path
from typing import Final

import pytest

CAP_SYS_ADMIN: Final = 21  # bit of the capability sets; capabilities(7)


def root_or_skip() -> None:
    """Skip unless this is root with the right to mount (a container without CAP_SYS_ADMIN is not enough)."""
    if os.geteuid() != 0:
        pytest.skip("needs root: containers get namespaces, mounts and cgroups")
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if not effective >> CAP_SYS_ADMIN & 1:
        pytest.skip("needs CAP_SYS_ADMIN, which this environment withholds even from root")
