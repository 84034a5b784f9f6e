"""Layers: how fast an image's root file system is unpacked and loaded, here, by GNU tar and by a Docker daemon.

    python bench/layers.py [ROOTFS.tar]                                    # default: parts of this machine's /usr
    SAMPAN_PEER=unix:///path/docker.sock python bench/layers.py            # the same load by dockerd, interleaved

Unpacking is measured from a file in the page cache into a fresh directory, loading from an archive in docker's layout
to the durable image (ours syncs the file system at the end, dockerd doesn't). Medians. Nothing is removed before the
end: ext4 walks around inodes deleted in the last seconds, which makes the next run several times slower.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import zstandard

from sampan.image.compress import decompressed
from sampan.image.store import Images
from sampan.image.tar import TarReader
from sampan.image.unpack import unpack
from sampan.linux.overlayfs import Flavour
from sampan.state.database import Database
from sampan.state.images import SqlImageRows
from sampan.storage.probe import choose

RUNS: Final = 3
DEFAULT_TREE: Final = ("usr/bin", "usr/lib/python3", "usr/lib/python3.11", "usr/share/doc", "usr/share/perl")
NAME: Final = f"sampan-bench-{os.getpid()}"


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show(what: str, seconds: list[float], size: int) -> None:
    """One line: median seconds and the speed in plain bytes."""
    middle = statistics.median(seconds)
    print(f"{what:34} {middle * 1000:8.0f} ms {size / middle / 1e6:8.0f} MB/s")


def fresh(scratch: Path) -> Path:
    """A new empty directory."""
    return Path(tempfile.mkdtemp(dir=scratch))


def unpack_file(path: Path, target: Path) -> None:
    """Unpack one layer, compressed or not."""
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        unpack(TarReader(decompressed(lambda count: os.read(descriptor, count))), target, Flavour.TRUSTED)


def bench_unpack(plain: Path, scratch: Path) -> None:
    """Our unpacker on every compression, and GNU tar on the plain file."""
    size = plain.stat().st_size
    packed = {"plain": plain, "gzip": scratch / "l.gz", "zstd": scratch / "l.zst"}
    packed["gzip"].write_bytes(gzip.compress(plain.read_bytes(), 6))
    packed["zstd"].write_bytes(zstandard.compress(plain.read_bytes(), 3))
    found: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for name, path in packed.items():
            target = fresh(scratch)
            found.setdefault(f"unpack, {name}", []).append(timed(lambda p=path, t=target: unpack_file(p, t)))  # type: ignore[misc]
        target = fresh(scratch)
        command = ["tar", "-C", target, "-xf", plain]
        found.setdefault("unpack, GNU tar", []).append(timed(lambda c=command: subprocess.run(c, check=True)))  # type: ignore[misc]
    for name, seconds in found.items():
        show(name, seconds, size)


def save_archive(plain: Path, target: Path, number: int) -> None:
    """Write an archive in docker's layout with one layer, another one for each ``number``."""
    with plain.open("r+b") as file:
        file.seek(-8, os.SEEK_END)  # behind the end of the archive, where any bytes may be
        file.write(number.to_bytes(8, "big"))
        file.seek(0)
        layer = hashlib.file_digest(file, "sha256").hexdigest()
    document = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
    config = json.dumps(document | {"rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]}}).encode()
    identity = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{identity}.json", "RepoTags": [f"{NAME}:{number}"], "Layers": [f"{layer}/layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        archive.add(plain, f"{layer}/layer.tar")
        for name, content in ((f"{identity}.json", config), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def load_here(archive: Path, scratch: Path) -> float:
    """Seconds of our load on a data root of its own."""
    root = fresh(scratch)
    database = Database(root / "state.db")
    images = Images(root, SqlImageRows(database), choose(root).snapshots)
    with archive.open("rb", buffering=0) as stream:
        seconds = timed(lambda: images.load(stream, lambda message: None, quiet=True))
    database.close()
    return seconds


def ask(host: str, method: str, path: str, body: IO[bytes] | None = None) -> None:
    """One request to a Docker daemon."""
    connection = http.client.HTTPConnection("localhost", blocksize=1 << 20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(host.removeprefix("unix://"))
    connection.request(method, f"/v1.45{path}", body, {"Content-Type": "application/x-tar"})
    answer = connection.getresponse()
    if answer.status >= 400:
        raise RuntimeError(answer.read().decode())
    answer.read()
    connection.close()


def load_peer(host: str, archive: Path) -> float:
    """Seconds of dockerd's load of the same archive."""
    with archive.open("rb") as stream:
        return timed(lambda: ask(host, "POST", "/images/load?quiet=1", stream))


def bench_load(plain: Path, scratch: Path) -> None:
    """Load one image, ours and the peer's in turn."""
    archive, peer = scratch / "image.tar", os.environ.get("SAMPAN_PEER")
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(RUNS):
        save_archive(plain, archive, number)
        ours.append(load_here(archive, scratch))
        if peer:
            theirs.append(load_peer(peer, archive))
    if peer:
        for number in range(RUNS):
            ask(peer, "DELETE", f"/images/{NAME}:{number}")
    size = plain.stat().st_size
    show("load, Sampan", ours, size)
    if theirs:
        show("load, dockerd", theirs, size)
        print(f"{'ratio':34} {statistics.median(ours) / statistics.median(theirs):8.2f}")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="sampan-bench-", dir="/var/tmp") as name:  # a disk, not tmpfs
        scratch = Path(name)
        if len(sys.argv) > 1:
            plain = Path(shutil.copy(sys.argv[1], scratch))
        else:
            plain = scratch / "tree.tar"
            present = [part for part in DEFAULT_TREE if Path("/", part).exists()]
            subprocess.run(["tar", "-C", "/", "-cf", plain, "--sort=name", *present], check=True)
        print(f"{plain.name}: {plain.stat().st_size / 1e6:.0f} MB")
        bench_unpack(plain, scratch)
        bench_load(plain, scratch)


if __name__ == "__main__":
    main()
