"""make bench: the same work on Sampan and on a current Docker, interleaved in one run; medians, ratios, budgets.

make bench                      # about 5 minutes; makes a peer first where SAMPAN_PEER names none
make bench ARGS=--quick         # few runs, a rough picture
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import engines
import work
from support.daemon import Sampand
from support.engine import Engine
from support.images import BUSYBOX, busybox_archive, busybox_layer

SAMPAN: Final = str(Path(sys.executable).with_name("sampan"))


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done."""

    runs: int
    containers: int
    size: int  # bytes of output


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``budget`` is a ratio to the peer, or with ``limit`` a number of its own."""

    name: str
    unit: str
    sampan: float
    peer: float | None
    budget: float | None = None
    limit: float | None = None
    more_is_better: bool = False

    def text(self) -> str:
        """The printed line."""
        peer = f"{self.peer:9.1f}" if self.peer is not None else "        –"
        ratio = self.sampan / self.peer if self.peer else None
        return (
            f"{self.name:50} {self.sampan:9.1f} {peer} {self.unit:5}"
            f"{f'{ratio:7.3f}' if ratio is not None else '      –'}  {self._budget():>11}  {self._verdict(ratio)}"
        )

    def _budget(self) -> str:
        if self.limit is not None:
            return f"≤ {self.limit:g} {self.unit}"
        if self.budget is None:
            return ""
        return f"{'≥' if self.more_is_better else '≤'} {self.budget:.3f}×"

    def _verdict(self, ratio: float | None) -> str:
        if self.limit is not None:
            return "held" if self.sampan <= self.limit else "MISSED"
        if self.budget is None or ratio is None:
            return ""
        return "held" if (ratio >= self.budget if self.more_is_better else ratio <= self.budget) else "MISSED"


def interleaved(runs: int, *works: Callable[[], float]) -> list[float]:
    """The median of each work, all of them taken in turn; one turn before, uncounted, warms up."""
    turns = [[one() for one in works] for _ in range(runs + 1)]
    return [statistics.median(values) for values in zip(*turns[1:], strict=True)]


class Bench:
    """The table as it grows."""

    def __init__(self, sampand: Sampand, peer: Engine | None, scale: Scale) -> None:
        self.sampand = sampand
        self.sampan = sampand.engine
        self.peer = peer
        self.scale = scale

    def show(self, row: Row) -> None:
        """Print a line as soon as it is known."""
        print(row.text(), flush=True)

    def compare(
        self,
        name: str,
        one: Callable[[Engine], float],
        budget: float | None,
        *,
        runs: int = 0,
        rate: bool = False,
    ) -> None:
        """Time the same work on both (milliseconds, or MB/s with ``rate``)."""
        both = [e for e in (self.sampan, self.peer) if e]
        scale = 1 if rate else 1000
        medians = [m * scale for m in interleaved(runs or self.scale.runs, *(partial(one, e) for e in both))]
        theirs = medians[1] if self.peer else None
        self.show(Row(name, "MB/s" if rate else "ms", medians[0], theirs, budget, more_is_better=rate))

    def everything(self) -> None:
        """Every row, the quick ones first."""
        self.at_rest()
        self.one_container()
        self.over_the_api()
        self.against_runc()
        self.many()
        self.streams()

    def at_rest(self) -> None:
        """The daemon with nothing to do, and how soon it answers."""
        mine = engines.memory(engines.sampan_pids(self.sampand), "Rss")
        theirs = engines.memory(engines.docker_pids(self.peer), "Rss") if self.peer else None
        self.show(Row("daemon at rest, resident", "MiB", mine, theirs, limit=64))

        def restart() -> float:
            self.sampand.stop()
            return work.timed(self.sampand.start)

        (seconds,) = interleaved(max(3, self.scale.runs // 3), restart)
        self.show(Row("sampand from nothing to its first answer", "ms", seconds * 1000, None, limit=600))

    def one_container(self) -> None:
        """run and exec by the command lines."""
        self.compare("docker run --rm busybox true", work.cli_run_on_bridge, 1 / 6)
        self.compare("docker run --rm --net=none busybox true", work.cli_run, 1 / 6)
        if self.peer:
            pairs = {"bridge": work.cli_run_on_bridge, "none": work.cli_run}
            for network, theirs in pairs.items():
                both = partial(work.own_run, self.sampan, SAMPAN, network), partial(theirs, self.peer)
                mine, other = interleaved(self.scale.runs, *both)
                name = f"sampan run --net={network} … against docker run"
                self.show(Row(name, "ms", mine * 1000, other * 1000, 1 / 4))
        sleeping = {id(e): e.start(BUSYBOX, "sleep", "100000") for e in (self.sampan, self.peer) if e}
        self.compare("docker exec … true", lambda e: work.cli_exec(e, sleeping[id(e)]), 0.4)
        lines = {id(e): work.connect(e) for e in (self.sampan, self.peer) if e}
        self.compare("exec over one connection", lambda e: work.api_exec(lines[id(e)], sleeping[id(e)]), 1 / 6)
        self._clean()

    def over_the_api(self) -> None:
        """A whole life over one open connection."""
        lines = {id(e): work.connect(e) for e in (self.sampan, self.peer) if e}
        self.compare(
            "create+start+wait+remove over one connection",
            lambda e: work.api_run(lines[id(e)], work.request(e)),
            1 / 10,
        )

    def against_runc(self) -> None:
        """runc and podman where the peer has them."""
        peer = self.peer
        if (
            peer is None
            or subprocess.run(engines.in_peer(peer, "runc", "--version"), capture_output=True, check=False).returncode
        ):
            return
        directory = peer.root / "tmp/sampan-bench-bundle"
        try:
            bundle = work.runc_bundle(directory, busybox_layer(), lambda *c: engines.in_peer(peer, *c))
            argv = engines.in_peer(peer, "runc", "run", "-b", bundle, f"sampan-bench-{peer.token}")
            line, body = work.connect(self.sampan), work.request(self.sampan)
            mine, theirs = interleaved(
                self.scale.runs, lambda: work.api_run(line, body), lambda: work.timed(lambda: work.quietly(peer, argv))
            )
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        self.show(Row("the same against runc run", "ms", mine * 1000, theirs * 1000, 0.5))
        self._against_podman(peer)

    def _against_podman(self, peer: Engine) -> None:
        load = engines.in_peer(peer, "podman", "load", "-q")
        with busybox_archive().open("rb") as archive:
            if subprocess.run(load, stdin=archive, capture_output=True, check=False).returncode:
                return
        argv = engines.in_peer(peer, "podman", "run", "--rm", "--network", "none", BUSYBOX, "true")
        mine, theirs = interleaved(
            max(3, self.scale.runs // 2),
            lambda: work.own_run(self.sampan, SAMPAN, "none"),
            lambda: work.timed(lambda: work.quietly(peer, argv)),
        )
        self.show(Row("sampan run … against podman run", "ms", mine * 1000, theirs * 1000))

    def many(self) -> None:
        """Containers by the hundred: starting, memory, removing."""
        count = self.scale.containers
        started: dict[str, float] = {}
        removed: dict[str, float] = {}
        used: dict[str, float] = {}
        for name, engine in (("sampan", self.sampan), ("peer", self.peer)):
            if engine is None:
                continue
            before = self._memory(engine)
            started[name] = work.start_many(engine, count) * 1000
            time.sleep(1)  # what runs behind the answers shall not count as memory
            used[name] = (self._memory(engine) - before) / count
            removed[name] = work.remove_many(engine) * 1000
        self.show(Row(f"{count} × docker run -d", "ms", started["sampan"], started.get("peer"), 1 / 5))
        self.show(Row(f"docker rm -f of those {count}", "ms", removed["sampan"], removed.get("peer"), 1 / 6))
        self.show(Row(f"memory for each of {count} containers (PSS)", "MiB", used["sampan"], used.get("peer"), limit=1))

    def _memory(self, engine: Engine) -> float:
        return engines.memory(engines.docker_pids(engine) if engine.is_peer else engines.sampan_pids(self.sampand))

    def streams(self) -> None:
        """Output: logged, attached, read back."""
        size, runs = self.scale.size, max(2, self.scale.runs // 5)
        self.compare("a container writes as fast as it can", lambda e: work.log_rate(e, size), 1, runs=runs, rate=True)
        self._clean()
        self.compare("attached, its output dropped", lambda e: work.attach_rate(e, 4 * size), 1, runs=runs, rate=True)
        logs = {id(e): work.logged(e, size) for e in (self.sampan, self.peer) if e}
        self.compare(
            f"docker logs of {size // work.MB} MB",
            lambda e: work.read_logs_rate(e, logs[id(e)], size),
            1,
            runs=runs,
            rate=True,
        )
        self._clean()

    def _clean(self) -> None:
        for engine in (self.sampan, self.peer):
            if engine:
                engine.clean()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few runs")
    quick = parser.parse_args().quick
    scale = Scale(5, 20, 20 * work.MB) if quick else Scale(21, 100, 100 * work.MB)
    peer = engines.find_peer()
    try:
        with Sampand() as sampand:
            sampand.engine.load_busybox()
            version = peer.ok("version", "-f", "{{.Server.Version}}") if peer else "none"
            print(f"{platform.release()}, Python {platform.python_version()}; peer: dockerd {version}; medians")
            print(f"{'':50} {'Sampan':>9} {'peer':>9} {'':5}{'ratio':>7}  {'budget':>11}")
            Bench(sampand, peer, scale).everything()
    finally:
        if peer:
            peer.close()


if __name__ == "__main__":
    main()
