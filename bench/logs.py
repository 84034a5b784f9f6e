"""Logs: how fast a container's output is written and read back, here and by a Docker daemon.

    python bench/logs.py                                   # Sampan's own writer and reader
    SAMPAN_PEER=unix:///path/docker.sock python bench/logs.py    # the same work by dockerd, interleaved

Writing is measured as the engine does it: a pipe is read in chunks of 64 KiB by the writer's process while another
process fills it. Reading is what ``docker logs`` asks for: frames of everything, made from the file. dockerd's numbers
are those of a whole ``docker run`` minus one that writes nothing, and of its HTTP answer.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

from sampan.logs.decode import Output
from sampan.logs.reader import read_chunks
from sampan.logs.writer import LogWriter

SIZE: Final = 100_000_000  # bytes of output
CHUNK: Final = 1 << 16
RUNS: Final = 3
LINES: Final = {
    "short": "y",
    "text": "2024-01-01 GET /index.html HTTP/1.1 200 1234 some text here for a log line of a hundred bytes abcd",
    "json": '{"level":"info","msg":"a <b> & c","path":"/a/b","n":123,"time":"2024-01-01T00:00:00Z","x":"yyyyyyy"}',
}
NAME: Final = f"sampan-bench-{os.getpid()}"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def yes(line: str, size: int) -> subprocess.Popen[bytes]:
    """Start a process that writes ``size`` bytes of ``line`` to a pipe."""
    return subprocess.Popen(["sh", "-c", 'yes "$0" | head -c "$1"', line, str(size)], stdout=subprocess.PIPE)


def write_here(path: str, line: str, size: int) -> None:
    """Log a process's output as a monitor does."""
    log = LogWriter(path, max_size=0)
    with yes(line, size) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), CHUNK):
            log.write("stdout", chunk, time.time_ns())
    log.close()


def read_here(path: str) -> int:
    """Read it back as ``docker logs`` gets it; return the bytes."""
    return sum(len(chunk) for chunk in read_chunks(path, Output()))


def docker(*arguments: str) -> str:
    """Run the docker CLI on the peer and return what it prints."""
    environment = {**os.environ, "DOCKER_HOST": os.environ["SAMPAN_PEER"], "DOCKER_API_VERSION": "1.45"}
    done = subprocess.run(["docker", *arguments], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class _Peer(http.client.HTTPConnection):
    def connect(self) -> None:
        """Connect to the peer's socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["SAMPAN_PEER"].removeprefix("unix://"))


def run_there(name: str, line: str, size: int) -> None:
    """Run a container that writes ``size`` bytes, to its end."""
    command = ["sh", "-c", 'yes "$0" | head -c "$1"', line, str(size)]
    docker("run", "--detach", f"--name={name}", "--net=none", NAME, *command)
    docker("wait", name)


def read_there(name: str) -> int:
    """Ask for the container's logs; return the bytes."""
    connection = _Peer("peer")
    connection.request("GET", f"/v1.45/containers/{name}/logs?stdout=1&stderr=1")
    answer = connection.getresponse()
    total = 0
    while chunk := answer.read(1 << 20):
        total += len(chunk)
    return total


def measure(kind: str, size: int) -> None:
    """Measure one kind of lines, here and there by turns, and print medians."""
    line = LINES[kind]
    results: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work:
        for run in range(RUNS):
            path = f"{work}/{run}.log"
            results.setdefault("write", []).append(timed(lambda path=path: write_here(path, line, size)))  # type: ignore[misc]
            results.setdefault("read", []).append(timed(lambda path=path: read_here(path)))  # type: ignore[misc]
            os.unlink(path)
            if "SAMPAN_PEER" in os.environ:
                _measure_peer(line, size, results)
    count = size / (len(line) + 1)
    for what, seconds in results.items():
        median = statistics.median(seconds)
        print(
            f"{kind:6} {what:14} {median:7.2f} s {size / median / 1e6:8.1f} MB/s {count / median / 1e6:7.2f} Mlines/s"
        )


def _measure_peer(line: str, size: int, results: dict[str, list[float]]) -> None:
    name = f"{NAME}-run"
    empty = timed(lambda: run_there(name, line, 0))
    docker("rm", name)
    results.setdefault("write, dockerd", []).append(timed(lambda: run_there(name, line, size)) - empty)
    results.setdefault("read, dockerd", []).append(timed(lambda: read_there(name)))
    docker("rm", name)


def import_image() -> None:
    """Give the peer an image with what the runs need."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(f"{root}/bin")
        for name in ("sh", "yes", "head"):
            shutil.copy("/bin/busybox", f"{root}/bin/{name}")
        subprocess.run(["tar", "-C", root, "-cf", f"{root}.tar", "."], check=True)
        docker("import", f"{root}.tar", NAME)
        os.unlink(f"{root}.tar")


def main() -> None:
    """Measure every kind of lines, or those that the arguments name."""
    peer = "SAMPAN_PEER" in os.environ
    if peer:
        import_image()
    try:
        for kind in sys.argv[1:] or LINES:
            measure(kind, SIZE // (10 if kind == "short" else 1))
    finally:
        if peer:
            docker("rmi", NAME)


if __name__ == "__main__":
    main()
