"""The engines that the bench compares: a sampand of its own, and a Docker daemon beside it.

Memory is the proportional set size (PSS) of an engine's own processes: a page shared by n processes counts 1/n.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from support.daemon import Sampand
from support.engine import Engine
from support.processes import everything

DOCKER: Final = {"dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "docker-proxy"}
MIB: Final = 1 << 20


def memory(pids: list[int], field: str = "Pss") -> float:
    """MiB that the processes use: "Pss" or "Rss" of /proc/PID/smaps_rollup."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it ended
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:"))
    return total / 1024


def sampan_pids(sampand: Sampand) -> list[int]:
    """sampand, zygote and monitors."""
    return [p.pid for p in sampand.own()]


def docker_pids(peer: Engine) -> list[int]:
    """dockerd, containerd and shims that live in the same mount namespace as the daemon."""
    home = os.readlink(f"/proc/{peer.pid}/ns/mnt")
    return [p.pid for p in everything() if p.comm in {name[:15] for name in DOCKER} and _namespace(p.pid) == home]


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def find_peer() -> Engine | None:
    """The daemon named by SAMPAN_PEER, or one that bench/peer makes; None where that can't be done."""
    named = os.environ.get("SAMPAN_PEER")
    if not named:
        script = Path(__file__).with_name("peer")
        done = subprocess.run([script, "up"], capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"no peer: {done.stderr.strip()}\nmeasuring Sampan alone; SAMPAN_PEER=unix:///… names a Docker daemon"
            )
            return None
        named = done.stdout.strip().splitlines()[-1]
    peer = Engine(named, is_peer=True)
    peer.load_busybox()
    return peer


def in_peer(peer: Engine, *command: str) -> list[str]:
    """A command line that runs in the peer's mount and network namespaces."""
    return ["nsenter", "-t", str(peer.pid), "-m", "-n", *command]
