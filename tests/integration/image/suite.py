"""Words for tests of images: trees compared in everything that tar and overlayfs keep, archives made piece by piece."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sampan.image.archive import NAME_ANNOTATION
from sampan.image.digest import of
from sampan.image.tar import TarReader
from sampan.image.unpack import Unpacked, unpack
from sampan.linux.overlayfs import Flavour

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep, linux/capability.h
Fact = tuple[Any, ...]


def tree(root: Path, *, times: bool = True) -> dict[str, Fact]:
    """Everything about each name below ``root`` ("" is the root) that unpacking must keep, to be compared."""
    found: dict[str, Fact] = {}
    first: dict[int, str] = {}
    for path in sorted([root, *root.rglob("*")]):
        at = f"{path}/." if path == root else str(path)  # the root may be a link to a descriptor
        status = os.lstat(at)
        name = "" if path == root else str(path.relative_to(root))
        twin = first.setdefault(status.st_ino, name)
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns if times and not stat.S_ISDIR(status.st_mode) else None,
            status.st_rdev,
            content,
            None if stat.S_ISDIR(status.st_mode) else twin,
            sorted((key, os.getxattr(at, key, follow_symlinks=False)) for key in _attributes(at)),
        )
    return found


def _attributes(path: str) -> list[str]:
    names = os.listxattr(path, follow_symlinks=False)
    # overlayfs keeps notes about copied files and directories in attributes that it shows to nobody through a mount.
    return [name for name in names if not name.startswith("trusted.overlay.") or name == "trusted.overlay.opaque"]


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    """A tar member."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644, 1_700_000_000
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def layer(*members: tarfile.TarInfo | tuple[str, bytes] | str, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer: members, (name, content) pairs, or names (a directory when it ends with a slash)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                archive.addfile(one, io.BytesIO(bytes(one.size)) if one.size else None)
            elif isinstance(one, tuple):
                archive.addfile(member(one[0], size=len(one[1])), io.BytesIO(one[1]))
            elif one.endswith("/"):
                archive.addfile(member(one.rstrip("/"), tarfile.DIRTYPE))
            else:
                archive.addfile(member(one))
    return out.getvalue()


def unpacked(content: bytes, root: Path, flavour: Flavour = Flavour.TRUSTED) -> Unpacked:
    """Unpack a plain archive."""
    root.mkdir(parents=True, exist_ok=True)
    return unpack(TarReader(io.BytesIO(content).read), root, flavour)


def archive(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A tar archive of files and symbolic links, as an image archive is one."""
    symlinks = [member(name, tarfile.SYMTYPE, linkname=target) for name, target in (links or {}).items()]
    return layer(*files.items(), *symlinks)


def config(layers: Iterable[bytes], **members: Any) -> bytes:
    """An image configuration for plain layers."""
    document = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "config": {"Cmd": ["sh"]}}
    document |= {"rootfs": {"type": "layers", "diff_ids": [of(one) for one in layers]}, **members}
    return json.dumps(document).encode()


def docker_files(layers: list[bytes], tags: list[str] | None, packed: list[bytes] | None = None) -> dict[str, bytes]:
    """The files of an archive in docker's layout before version 25."""
    made = config(layers)
    names = [f"{of(one)[7:]}/layer.tar" for one in layers]
    manifest = [{"Config": f"{of(made)[7:]}.json", "RepoTags": tags, "Layers": names}]
    files = dict(zip(names, packed or layers, strict=True)) | {f"{of(made)[7:]}.json": made}
    return files | {"manifest.json": json.dumps(manifest).encode()}


def oci_files(
    layers: list[bytes],
    name: str | None,
    packed: list[bytes] | None = None,
    *,
    architecture: str = "amd64",
    nested: bool = False,
) -> dict[str, bytes]:
    """The files of an OCI layout with one image; ``nested`` puts an index between index.json and the manifest."""
    made = config(layers, architecture=architecture)
    blobs = packed or layers
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": of(made), "size": len(made)},
        "layers": [{"mediaType": _layer_type(blob), "digest": of(blob), "size": len(blob)} for blob in blobs],
    }
    text = json.dumps(manifest).encode()
    files = {f"blobs/sha256/{of(one)[7:]}": one for one in (*blobs, made, text)}
    descriptor: dict[str, Any] = {"mediaType": manifest["mediaType"], "digest": of(text), "size": len(text)}
    descriptor["platform"] = {"os": "linux", "architecture": architecture}
    if nested:
        attestation = {
            **descriptor,
            "digest": of(b"none"),
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        }
        absent = {**descriptor, "digest": of(b"absent"), "platform": {"os": "linux", "architecture": "s390x"}}
        index = json.dumps({"schemaVersion": 2, "manifests": [attestation, absent, descriptor]}).encode()
        files[f"blobs/sha256/{of(index)[7:]}"] = index
        descriptor = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": of(index), "size": len(index)}
    if name is not None:
        descriptor["annotations"] = {NAME_ANNOTATION: name}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()
    return files | {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}


def _layer_type(blob: bytes) -> str:
    suffix = "+gzip" if blob.startswith(b"\x1f\x8b") else ""
    return f"application/vnd.oci.image.layer.v1.tar{suffix}"


def gzipped(content: bytes) -> bytes:
    """The content compressed, as two gzip members."""
    half = len(content) // 2
    return gzip.compress(content[:half], mtime=0) + gzip.compress(content[half:], mtime=0)
