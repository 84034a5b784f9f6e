"""Images and programs made from what this machine has: busybox, Debian by mmdebstrap, small static C programs."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.cache import cached, find_program

BUSYBOX = "sampan-test/busybox:1"  # the tag in busybox_archive()
DEBIAN = "sampan-test/debian:1"  # the tag under which tests import debian_tar()
EPOCH = "2024-01-01T00:00:00Z"
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
app:x:1000:1000:App:/home/app:/bin/sh
nobody:x:65534:65534::/:/bin/false
"""
GROUP = "root:x:0:\ndaemon:x:1:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n"
DIRECTORIES = {"bin": 0o755, "etc": 0o755, "home": 0o755, "home/app": 0o755, "root": 0o700, "tmp": 0o1777}


def need(program: str, package: str) -> str:
    """The path of ``program``, or a skip that says which Debian package brings it."""
    path = find_program(program)
    if path is None:
        pytest.skip(f"{program} is missing and could not be installed: apt-get install {package}")
    return path


def _member(name: str, mode: int, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size, info.mtime = mode, kind, link, size, 1704067200
    return info


def busybox_layer() -> bytes:
    """A root file system of one file: busybox, a link for each applet, users root, daemon, app (1000) and nobody."""
    busybox = Path(need("busybox", "busybox-static"))
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    program, out = busybox.read_bytes(), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in DIRECTORIES.items():
            tar.addfile(_member(name, mode, tarfile.DIRTYPE))
        tar.addfile(_member("bin/busybox", 0o755, size=len(program)), io.BytesIO(program))
        for applet in sorted(set(applets) - {"busybox"}):
            tar.addfile(_member(f"bin/{applet}", 0o777, tarfile.SYMTYPE, "busybox"))
        for name, text in (("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/plain", "not a program\n")):
            tar.addfile(_member(name, 0o644, size=len(text)), io.BytesIO(text.encode()))
    return out.getvalue()


def save_archive(layers: Iterable[bytes], config: dict[str, object], tags: list[str]) -> bytes:
    """An archive as `docker save` made it for years: manifest.json, a config, a layer.tar for each layer."""
    blobs = list(layers)
    diff_ids = [hashlib.sha256(blob).hexdigest() for blob in blobs]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in diff_ids]},
        "history": [{"created": EPOCH, "created_by": "test"} for _ in blobs],
    }
    text = json.dumps(image, sort_keys=True).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    paths = [f"{d}/layer.tar" for d in diff_ids]
    manifest = json.dumps([{"Config": name, "RepoTags": tags, "Layers": paths}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in [(name, text), *zip(paths, blobs, strict=True), ("manifest.json", manifest)]:
            tar.addfile(_member(path, 0o644, size=len(data)), io.BytesIO(data))
    return out.getvalue()


def busybox_archive() -> Path:
    """The cached archive of BUSYBOX, made as `docker save` makes them."""
    config: dict[str, object] = {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["sh"],
    }
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]

    def make(path: Path) -> None:
        path.write_bytes(save_archive([busybox_layer()], config, [BUSYBOX]))

    return cached(f"busybox-{key}.tar", make)


def debian_tar() -> Path:
    """A Debian 12 root file system (minbase), made once by mmdebstrap: about 40 s and 180 MB."""
    tool = need("mmdebstrap", "mmdebstrap")

    def make(path: Path) -> None:
        command = [tool, "--quiet", "--variant=minbase", "--format=tar", "bookworm", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mmdebstrap could not make Debian here: {done.stderr.strip().splitlines()[-1:]}")

    return cached("debian-bookworm-minbase.tar", make)


def static_program(source: str) -> Path:
    """A static program compiled from C text, cached by its content."""
    compiler = need("gcc", "gcc libc6-dev")
    key = hashlib.sha256(source.encode()).hexdigest()[:16]

    def make(path: Path) -> None:
        command = [compiler, "-static", "-O1", "-x", "c", "-", "-o", str(path)]
        subprocess.run(command, input=source.encode(), check=True, capture_output=True)

    return cached(f"program-{key}", make)
