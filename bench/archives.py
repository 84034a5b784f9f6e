"""Archives: save, commit and export by the docker CLI on a sampand of its own and on a Docker daemon, interleaved.

    PYTHONPATH=tests SAMPAN_PEER=unix:///path/docker.sock python bench/archives.py     # without it, Sampan alone

The image is Debian 12 (minbase, about 170 MB); the container wrote 100 MB in ten files. Times include the CLI's own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import Final

from support.daemon import Sampand
from support.engine import Engine
from support.images import BUSYBOX, DEBIAN, debian_tar

RUNS: Final = 7
NAME: Final = "sampan-bench-archives"
MADE: Final = "sampan-bench/archives:1"
WRITE: Final = "mkdir /big; for i in 0 1 2 3 4 5 6 7 8 9; do dd if=/dev/urandom of=/big/$i bs=1M count=10; done; sync"
WORK: Final = {
    "save": ("save", DEBIAN),
    "commit of 100 MB": ("commit", NAME, MADE),
    "export": ("export", NAME),
    "diff": ("diff", NAME),
}


def prepare(engine: Engine) -> None:
    """Make the image and the container."""
    engine.load_busybox()
    engine.ok("import", str(debian_tar()), DEBIAN, timeout=300)
    engine.ok("run", "--network=none", "--name", NAME, BUSYBOX, "sh", "-c", WRITE, timeout=300)


def clear(engine: Engine) -> None:
    """Remove what `prepare` made."""
    engine.docker("rm", "-f", NAME)
    engine.docker("rmi", "-f", DEBIAN, MADE)


def seconds(engine: Engine, arguments: tuple[str, ...]) -> float:
    """Time one call of the docker CLI, whose output goes nowhere."""
    began = time.perf_counter()
    subprocess.run(engine.argv(*arguments), env=engine.environment, stdout=subprocess.DEVNULL, check=True)
    took = time.perf_counter() - began
    if arguments[0] == "commit":
        engine.ok("rmi", MADE)
        os.sync()  # so that nobody's next run waits for this one's data
    return took


def main() -> None:
    """Measure and print."""
    named = os.environ.get("SAMPAN_PEER")
    with Sampand() as sampand:
        engines = {"Sampan": sampand.engine, **({"dockerd": Engine(named, is_peer=True)} if named else {})}
        try:
            for engine in engines.values():
                prepare(engine)
            for title, arguments in WORK.items():
                took: dict[str, list[float]] = {name: [] for name in engines}
                for _ in range(RUNS):
                    for name, engine in engines.items():
                        took[name].append(seconds(engine, arguments))
                medians = {name: statistics.median(times) for name, times in took.items()}
                line = "  ".join(f"{name} {value * 1000:7.0f} ms" for name, value in medians.items())
                ratio = f"  ratio {medians['Sampan'] / medians['dockerd']:.2f}" if named else ""
                print(f"{title:20} {line}{ratio}", flush=True)
        finally:
            for engine in engines.values():
                clear(engine)


if __name__ == "__main__":
    main()
