"""Image archives to load into a Docker daemon and into ours, and what to ask about the images that come of them.

All bytes are made here and are the same every time, so IDs can be recorded.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

PREFIX = "sampan-record"
CREATED = "2024-01-02T03:04:05.600700800Z"


def of(content: bytes) -> str:
    """The digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def entry(name: str, content: bytes | str = b"", kind: bytes = tarfile.REGTYPE, **fields: Any) -> tuple[Any, bytes]:
    """A tar member and its content; a link's content is its target."""
    info = tarfile.TarInfo(name)
    info.type, info.mtime, info.mode = kind, 1_700_000_000, 0o755 if kind == tarfile.DIRTYPE else 0o644
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname, content = str(content), b""
    content = content.encode() if isinstance(content, str) else content
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar(entries: Iterable[tuple[Any, bytes]]) -> bytes:
    """A pax archive of members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def directory(name: str, **fields: Any) -> tuple[Any, bytes]:
    """A directory's member."""
    return entry(name, kind=tarfile.DIRTYPE, **fields)


BASE = tar([
    directory("etc"), entry("etc/passwd", "root:x:0:0::/:/bin/sh\n"), entry("etc/gone", "1"),
    directory("var"), directory("var/old"), entry("var/old/a", "1"), entry("var/old/b", "2"),
    directory("tmp", mode=0o1777), directory("srv", uid=7, gid=8, mode=0o2750), entry("srv/x", "x", uid=7, gid=8),
    entry("bin", "usr/bin", tarfile.SYMTYPE), directory("usr"), directory("usr/bin"),
    entry("usr/bin/tool", "tool" * 100, mode=0o4755), entry("usr/bin/twin", "usr/bin/tool", tarfile.LNKTYPE),
    entry("replaced"), directory("replaced2"), entry("replaced2/x"),
])  # fmt: skip
CHANGES = tar([
    directory("etc"), entry("etc/.wh.gone"), entry("etc/new", "new"),
    directory("var"), directory("var/old"), entry("var/old/.wh..wh..opq"), entry("var/old/c", "3"),
    directory("replaced"), entry("replaced/y", "y"), entry("replaced2", "now a file"),
    directory("usr"), directory("usr/bin"), entry("usr/bin/tool", "other tool", mode=0o755),
])  # fmt: skip
LAST = tar([directory("var"), entry("var/.wh.old"), directory("opt", mode=0o700), entry("opt/z", "z" * 1000)])
LAYERS = [BASE, CHANGES, LAST]


def config(layers: list[bytes], **members: Any) -> bytes:
    """The configuration of an image of plain layers."""
    history = [{"created": CREATED, "created_by": f"step {n}"} for n in range(len(layers))]
    history.insert(1, {"created": CREATED, "created_by": "ENV A=1", "empty_layer": True, "comment": "c"})
    document = {
        "architecture": "amd64", "os": "linux", "created": CREATED, "author": "me",
        "config": {"Cmd": ["/usr/bin/tool"], "Env": ["A=1"], "Labels": {"l": "1"}},
        "rootfs": {"type": "layers", "diff_ids": [of(one) for one in layers]}, "history": history,
    }  # fmt: skip
    return json.dumps(document | members).encode()


def docker_archive(images: list[tuple[list[bytes], list[str] | None]], **members: Any) -> bytes:
    """An archive in docker's layout."""
    files: dict[str, bytes] = {}
    manifest = []
    for layers, tags in images:
        made = config(layers, **members)
        names = [f"{of(one)[7:]}/layer.tar" for one in layers]
        files |= dict(zip(names, layers, strict=True)) | {f"{of(made)[7:]}.json": made}
        manifest.append({"Config": f"{of(made)[7:]}.json", "RepoTags": tags, "Layers": names})
    return tar(entry(name, data) for name, data in (files | {"manifest.json": json.dumps(manifest).encode()}).items())


def v1_archive() -> bytes:
    """An archive as docker 1.9 wrote it: a chain of documents, and `repositories`."""
    files = {}
    parent = ""
    for number, one in enumerate(LAYERS):
        name = hashlib.sha256(b"v1 %d" % number).hexdigest()
        document = {
            "id": name, "created": CREATED, "author": "me <you & them>", "os": "linux", "architecture": "amd64",
            "container_config": {"Cmd": ["/bin/sh", "-c", f"#(nop) step {number} <&>"]}, "Size": len(one),
            "config": {"Cmd": ["/usr/bin/tool"], "Env": ["A=1"]}, "docker_version": "1.9.1", "comment": "é",
        }  # fmt: skip
        document |= {"parent": parent} if parent else {}
        text = json.dumps(document, ensure_ascii=False).encode()
        files |= {f"{name}/VERSION": b"1.0", f"{name}/json": text, f"{name}/layer.tar": one}
        parent = name
    files["repositories"] = json.dumps({f"{PREFIX}/v1": {"a": parent, "b": parent}}).encode()
    return tar(entry(name, data) for name, data in files.items())


def linked_archive() -> bytes:
    """An archive whose second image has its layer as a symbolic link, as docker 1.10 to 24 wrote shared ones."""
    made = config([BASE])
    shared = f"{of(BASE)[7:]}/layer.tar"
    manifest = [{"Config": "c.json", "RepoTags": [f"{PREFIX}/linked:1"], "Layers": ["other/layer.tar"]}]
    return tar([
        entry(shared, BASE), entry("other/layer.tar", f"../{shared}", tarfile.SYMTYPE), entry("c.json", made),
        entry("manifest.json", json.dumps(manifest)),
    ])  # fmt: skip


LOADS: dict[str, bytes] = {
    "docker": docker_archive([(LAYERS, [f"{PREFIX}/a:1", f"{PREFIX}/a:2"])]),
    "docker gzip": gzip.compress(docker_archive([(LAYERS[:2], [f"{PREFIX}/gz:1"])]), mtime=0),
    "two images": docker_archive([([BASE], [f"{PREFIX}/one:1"]), (LAYERS[:2], [f"{PREFIX}/two:1"])]),
    "no tag": docker_archive([([BASE], None)]),
    "no layers": docker_archive([([], [f"{PREFIX}/none:1"])], history=[]),
    "linked": linked_archive(),
    "v1": v1_archive(),
}
IMPORTS: dict[str, list[str]] = {
    "plain": [],
    "changes": [
        'CMD ["sh", "-c", "x"]', "ENTRYPOINT exec <top> && true", 'ENV A=1 B="x y" C=\'z\'', "ENV D the rest",
        "EXPOSE 80 443/udp 8000-8002", 'LABEL a=b "c d"="e f"', "ONBUILD RUN x", "STOPSIGNAL SIGINT", "USER app:staff",
        'VOLUME ["/d", "/e f"]', "VOLUME /g /h", "WORKDIR a", "WORKDIR b/../c", "ENV A=2",
        "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=4 CMD test -f /x",
    ],
}  # fmt: skip
BAD_IMPORTS: dict[str, str] = {
    "unknown": "FOO x",
    "not a change": "RUN x",
    "no argument": "ENV",
    "no single argument": "USER",
    "numbers": 'CMD ["a", 1]',
    "proto": "EXPOSE 5/xyz",
    "no volume": "VOLUME []",
    "port": "EXPOSE abc",
    "env": "ENV A",
    "env without name": "ENV =x",
    "label": "LABEL a=b c",
    "health": "HEALTHCHECK FOO",
    "health empty": "HEALTHCHECK CMD",
    "health flag": "HEALTHCHECK --foo=1 CMD x",
    "onbuild": "ONBUILD ONBUILD RUN x",
    "onbuild from": "ONBUILD FROM x",
}
REFERENCES: list[str] = [
    "busybox", "busybox:1", "UPPER", "a/Bc", "localhost/x", "localhost:5000/x:y", "Host/x", "a.b/c", "a..b", "-a", "a:",
    "a:b:c", "a@sha256:12", "a" * 64, "f" * 64, "a//b", "/a", "a/", "a_b", "a__b", "a___b", "x" * 300, "a:" + "t" * 129,
    "docker.io/library/a", "index.docker.io/a", "docker.io/a/b", "[::1]:5000/a", "a@sha256:" + "0" * 64, "a b", "",
]  # fmt: skip


def facts(inspect: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    """What must be equal of an image's inspection and history."""
    keys = ("Id", "RepoTags", "RepoDigests", "Size", "Created", "Architecture", "Os", "RootFS")
    steps = [{key: value for key, value in step.items() if key != "Tags"} for step in history]
    return {key: inspect[key] for key in keys} | {"History": steps}


def exported(archive: bytes) -> dict[str, Any]:
    """The tree of an exported container's file system; what the engine itself puts there left out."""
    own = ("dev", "proc", "sys", ".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf")
    found: dict[str, Any] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for one in opened:
            if one.name.split("/")[0] in own or one.name in own:
                continue
            file = opened.extractfile(one) if one.isreg() else None
            content = file.read().decode() if file else one.linkname
            found[one.name] = [one.type.decode(), oct(one.mode), one.uid, one.gid, content]
    return dict(sorted(found.items()))
