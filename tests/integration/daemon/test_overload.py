"""Clients that cost much: they keep nobody else from being served, and take no more memory than they may.

SAMPAN_LAYER_ENTRIES is the number of directories in the large layer (20000; a million takes some minutes).
"""

import gzip
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from support.daemon import Sampand
from support.http import UnixConnection, ask
from support.privileges import root_or_skip
from support.processes import wait_for

ENTRIES = int(os.environ.get("SAMPAN_LAYER_ENTRIES", "20000"))
SLOW_CLIENTS = 60
SLOW_ROUNDS = 4  # seconds
PATIENCE_S = 2.0  # for an answer on a busy machine; a blocked daemon gives none at all
PER_DIRECTORY = 400  # bytes of memory
HEADS = [
    b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{",
    b"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n",
]


def descriptors(sampand: Sampand) -> int:
    return len(os.listdir(f"/proc/{sampand.pid}/fd"))


@pytest.mark.slow
def test_clients_that_send_a_byte_a_second(sampand: Sampand) -> None:
    host = sampand.engine.host
    assert ask(host, "GET", "/info")[0] == 200
    before = descriptors(sampand)
    slow = []
    for number in range(SLOW_CLIENTS):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(sampand.socket))
        head = HEADS[number % len(HEADS)]
        sent = len(head) // 2 if number % 2 else len(head) - SLOW_ROUNDS - 1  # in the head, or near its end or behind
        one.sendall(head[:sent])
        slow.append((one, head[sent:]))
    for second in range(SLOW_ROUNDS):
        until = time.monotonic() + 1.0  # the one pause that is the point: a byte a second
        for one, rest in slow:
            one.sendall(rest[second : second + 1])
        while time.monotonic() < until:
            assert ask(host, "GET", "/containers/json?all=1", timeout=PATIENCE_S) == (200, [])
            assert ask(host, "GET", "/version", timeout=PATIENCE_S)[0] == 200
    for one, _ in slow:
        one.close()
    wait_for(lambda: descriptors(sampand) <= before, "the connections are let go")


def headers(count: int) -> Iterator[bytes]:
    """A layer of ``count`` directories, header by header; each has the same form, so one checksum does for many."""
    info = tarfile.TarInfo()
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    for number in range(count):
        info.name = f"d{number // 1000}/{number:x}/"
        yield info.tobuf(tarfile.USTAR_FORMAT)
    yield bytes(1024)


def write_layer(file: IO[bytes], count: int) -> str:
    """Write it compressed; return the digest of the plain bytes."""
    digest = hashlib.sha256()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
        for header in headers(count):
            digest.update(header)
            packed.write(header)
    return digest.hexdigest()


def archive_around(layer: IO[bytes], diff_id: str) -> Iterator[bytes]:
    """The image's archive as a stream; the layer comes from its file."""
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]}}
    manifest = [{"Config": "c.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"]}]
    small = io.BytesIO()
    with tarfile.open(fileobj=small, mode="w") as tar:
        for name, value in (("c.json", config), ("manifest.json", manifest)):
            content = json.dumps(value).encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        yield small.getvalue()
    info = tarfile.TarInfo("layer.tar")
    info.size = layer.seek(0, os.SEEK_END)
    yield info.tobuf()
    layer.seek(0)
    while piece := layer.read(1 << 16):
        yield piece
    yield bytes(-info.size % 512 + 1024)


@pytest.fixture
def roomy() -> Iterator[Sampand]:
    """A daemon whose data root is in memory: a disk would take minutes for so many inodes."""
    root_or_skip()
    sampand = Sampand()
    sampand.data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g,nr_inodes=0", "none", str(sampand.data)], check=True)
    try:
        with sampand:
            yield sampand
            subprocess.run(["umount", "-l", str(sampand.data)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(sampand.data)], check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_layer_of_very_many_entries(roomy: Sampand, tmp_path: Path) -> None:
    with (tmp_path / "layer").open("w+b") as layer:
        diff_id = write_layer(layer, ENTRIES)
        assert ask(roomy.engine.host, "GET", "/info")[0] == 200
        before = peak(roomy.pid, reset=True)
        connection = UnixConnection(str(roomy.socket), timeout=1000)
        connection.request("POST", "/images/load?quiet=1", archive_around(layer, diff_id), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        answer: http.client.HTTPResponse = connection.getresponse()
        text = answer.read().decode()
        connection.close()
    assert answer.status == 200
    grown = peak(roomy.pid) - before
    assert grown < (48 << 20) + PER_DIRECTORY * ENTRIES, f"{grown} bytes for {ENTRIES} directories"
    if "bytes of memory" not in text:  # very many are refused, in so many words
        assert "Loaded image: large:1" in text, text
        assert ask(roomy.engine.host, "DELETE", "/images/large:1")[0] == 200
    assert ask(roomy.engine.host, "GET", "/images/json") == (200, [])
    assert list((roomy.data / "layers").iterdir()) == []


def peak(pid: int, *, reset: bool = False) -> int:
    """The most memory that a process has had resident, in bytes (proc_pid_status(5), proc_pid_clear_refs(5))."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
