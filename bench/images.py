"""Images that travel: load, push, pull, save and commit, on Sampan and on a current Docker, interleaved.

    PYTHONPATH=tests python bench/images.py [--quick]

The last part of make bench; SAMPAN_PEER as there. Each engine has Debian's docker-registry on the loopback of its own
network. podman and skopeo are shown where the peer's tree has them. Before each load, pull and push what it would find
there is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import engines
import run
import work
from support.daemon import Sampand
from support.engine import Engine
from support.images import debian_tar, save_archive
from support.netlab import Space
from support.registry import Registry

PORT: Final = 5999
HOST: Final = f"127.0.0.1:{PORT}"
NAME: Final = f"{HOST}/bench/debian:1"
MADE: Final = "bench/committed:1"
WRITE: Final = "mkdir /big; for i in 0 1 2 3 4 5 6 7 8 9; do dd if=/dev/urandom of=/big/$i bs=1M count=10; done; sync"
LAYERS: Final = 40
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Side:
    """One engine with a registry and an archive of Debian."""

    engine: Engine
    registry: Registry
    archive: Path

    def _timed(self, *arguments: str) -> float:
        return work.timed(lambda: work.quietly(self.engine, self.engine.argv(*arguments)))

    def _gone(self) -> None:
        self.engine.docker("rmi", "-f", NAME, timeout=120)

    def load(self) -> float:
        """docker load of an archive that isn't there yet."""
        self._gone()
        return self._timed("load", "-q", "-i", str(self.archive))

    def save(self) -> float:
        """docker save."""
        return self._timed("save", "-o", str(self.archive.with_suffix(".saved")), NAME)

    def push(self) -> float:
        """docker push to a registry that has nothing, of an image that was loaded."""
        self.load()
        self.registry.empty()
        return self._timed("push", "-q", NAME)

    def pull(self) -> float:
        """docker pull of an image that isn't there."""
        self._gone()
        return self._timed("pull", "-q", NAME)

    def commit(self, container: str) -> float:
        """docker commit of 100 MB written; nobody's next run waits for its data."""
        seconds = self._timed("commit", container, MADE)
        self.engine.docker("rmi", "-f", MADE, timeout=120)
        os.sync()
        return seconds

    def export(self, container: str) -> float:
        """docker export."""
        return self._timed("export", container)


@contextlib.contextmanager
def side(engine: Engine, space: Space, archive: Path) -> Iterator[Side]:
    """The engine with all that it needs."""
    with Registry(space, PORT) as registry:
        try:
            yield Side(engine, registry, archive)
        finally:
            engine.docker("rmi", "-f", NAME, timeout=120)


def make_archive(engine: Engine, home: Path) -> Path:
    """Debian as `docker save` of the engine writes it, with a file of its own: no engine has its layer already."""
    archive, root = home / "debian.tar", home / "root.tar"
    shutil.copy(debian_tar(), root)
    with tarfile.open(root, "a") as appended:
        appended.addfile(tarfile.TarInfo(secrets.token_hex(8)))
    engine.ok("import", str(root), NAME, timeout=300)
    root.unlink()
    engine.ok("save", "-o", str(archive), NAME, timeout=300)
    engine.ok("rmi", "-f", NAME)
    return archive


def compare(name: str, works: list[Callable[[], float]], runs: int, budget: float | None) -> None:
    """A row."""
    medians = [median * 1000 for median in run.interleaved(runs, *works)]
    theirs = medians[1] if len(medians) > 1 else None
    print(run.Row(name, "ms", medians[0], theirs, budget).text(), flush=True)


def travel(sides: list[Side], runs: int) -> None:
    """Every row of one image."""
    compare("load Debian (170 MB)", [one.load for one in sides], runs, 0.7)
    compare("save it", [one.save for one in sides], runs, 0.5)
    compare("push it to a registry on loopback", [one.push for one in sides], runs, 0.3)
    compare("pull it from there", [one.pull for one in sides], runs, 0.5)
    containers = [one.engine.start(NAME, "sh", "-c", WRITE) for one in sides]
    pairs = list(zip(sides, containers, strict=True))
    for one, container in pairs:
        one.engine.ok("wait", container)
    compare("commit 100 MB written", [partial(one.commit, container) for one, container in pairs], runs, 0.5)
    compare("export that container", [partial(one.export, container) for one, container in pairs], runs, None)
    for one in sides:
        one.engine.clean()


def memory(mine: Side, sampand: Sampand, home: Path) -> None:
    """What the daemon takes more than at rest while it pulls a gigabyte of forty layers."""
    name = f"{HOST}/bench/large:1"
    large(mine.engine, home, name)
    mine.engine.ok("push", "-q", name, timeout=300)
    mine.engine.ok("rmi", "-f", name)
    sampand.restart()
    rest = engines.memory([sampand.pid], "Rss")
    Path(f"/proc/{sampand.pid}/clear_refs").write_text("5")  # VmHWM begins anew
    seconds = work.timed(lambda: work.quietly(mine.engine, mine.engine.argv("pull", "-q", name)))
    status = Path(f"/proc/{sampand.pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(run.Row(f"pull of 1 GB in {LAYERS} layers", "s", seconds, None).text())
    print(run.Row("the daemon's memory above rest meanwhile", "MiB", peak - rest, None, limit=64).text(), flush=True)
    mine.engine.ok("rmi", "-f", name)


def large(engine: Engine, home: Path, name: str) -> None:
    """Make an image of forty layers of 25 MB each, from an archive."""
    archive = home / "large.tar"
    archive.write_bytes(save_archive([layer(number) for number in range(LAYERS)], {}, [name]))
    engine.ok("load", "-q", "-i", str(archive), timeout=300)
    archive.unlink()


def layer(number: int) -> bytes:
    """A layer of one file of 25 MB that doesn't compress."""
    member, buffer = tarfile.TarInfo(f"part{number}"), io.BytesIO()
    content = random.Random(number).randbytes(25 * MB)
    member.size = len(content)
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few runs")
    runs = 2 if parser.parse_args().quick else 5
    peer = engines.find_peer()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sampan-bench-") as name,
            Sampand() as sampand,
            contextlib.ExitStack() as stack,
        ):
            home = Path(name)
            archive = make_archive(peer or sampand.engine, home)
            print(f"{'':50} {'Sampan':>9} {'peer':>9} {'':5}{'ratio':>7}  {'budget':>11}")
            sides = [stack.enter_context(side(sampand.engine, sampand.space, archive))]
            if peer:
                sides.append(stack.enter_context(side(peer, Space("peer", peer.pid), archive)))
            travel(sides, runs)
            memory(sides[0], sampand, home)
    finally:
        if peer:
            peer.close()


if __name__ == "__main__":
    main()
