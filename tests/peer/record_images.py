"""Record what a Docker daemon makes of image archives: images.json and saved.tar.gz beside this file.

    SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record_images.py

Every image that it makes is called ``sampan-record…`` and removed again.
"""

import gzip
import json
import os
import sys
import urllib.parse
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer import image_cases as cases  # noqa: E402 - found only through the line above
from support.http import UnixConnection  # noqa: E402


class Peer:
    """The daemon's API with raw bodies."""

    def __init__(self, host: str) -> None:
        self._path = host.removeprefix("unix://")

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/x-tar"
    ) -> tuple[int, bytes]:
        """One request; returns status and bytes."""
        connection = UnixConnection(self._path)
        try:
            connection.request(method, f"/v1.45{path}", body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The decoded answer of a GET."""
        return json.loads(self.ask("GET", path)[1])

    def messages(self, path: str, body: bytes) -> list[dict[str, Any]]:
        """The JSON lines of a POST."""
        status, raw = self.ask("POST", path, body)
        lines = [json.loads(line) for line in raw.splitlines() if line.strip()]
        return lines if status == 200 else [{"status": status, **line} for line in lines]

    def images(self) -> set[str]:
        """The IDs of all images."""
        return {one["Id"] for one in self.json("/images/json?all=1")}

    def facts(self, identity: str) -> dict[str, Any]:
        """What is recorded of an image."""
        return cases.facts(self.json(f"/images/{identity}/json"), self.json(f"/images/{identity}/history"))

    def tree(self, image: str) -> dict[str, Any]:
        """The file system of a container of the image."""
        body = json.dumps({"Image": image, "Cmd": ["x"]}).encode()
        created = json.loads(self.ask("POST", "/containers/create", body, "application/json")[1])["Id"]
        try:
            return cases.exported(self.ask("GET", f"/containers/{created}/export")[1])
        finally:
            self.ask("DELETE", f"/containers/{created}")

    def remove(self, identities: set[str]) -> None:
        """Remove images by ID, names and all."""
        for identity in identities:
            self.ask("DELETE", f"/images/{identity}?force=1")


def record_loads(peer: Peer) -> dict[str, Any]:
    """Load each archive and describe what came."""
    found: dict[str, Any] = {}
    for name, archive in cases.LOADS.items():
        before = peer.images()
        messages = peer.messages("/images/load?quiet=1", archive)
        new = peer.images() - before
        found[name] = {"messages": messages, "images": sorted((peer.facts(one) for one in new), key=lambda f: f["Id"])}
        if name == "docker":
            found[name]["tree"] = peer.tree(f"{cases.PREFIX}/a:1")
            saved = peer.ask("GET", f"/images/get?names={cases.PREFIX}/a:1&names={cases.PREFIX}/a:2")[1]
            (HERE / "saved.tar.gz").write_bytes(gzip.compress(saved, mtime=0))
        peer.remove(new)
    return found


def record_imports(peer: Peer) -> dict[str, Any]:
    """Import the base layer with changes and keep the configuration."""
    found: dict[str, Any] = {}
    for name, changes in cases.IMPORTS.items():
        query = urllib.parse.urlencode([("fromSrc", "-"), *(("changes", one) for one in changes)])
        messages = peer.messages(f"/images/create?{query}", cases.BASE)
        identity = messages[-1]["status"]
        found[name] = {key: peer.json(f"/images/{identity}/json")[key] for key in ("Config", "Comment", "Os", "Size")}
        peer.remove({identity})
    for name, change in cases.BAD_IMPORTS.items():
        query = urllib.parse.urlencode([("fromSrc", "-"), ("changes", change)])
        status, raw = peer.ask("POST", f"/images/create?{query}", cases.BASE)
        found[f"bad: {name}"] = [status, json.loads(raw.splitlines()[-1]).get("message")]
    return found


def record_references(peer: Peer) -> dict[str, Any]:
    """Ask for images by every kind of name."""
    found: dict[str, Any] = {}
    for text in cases.REFERENCES:
        if text:
            status, raw = peer.ask("GET", f"/images/{urllib.parse.quote(text, safe='/:@[]')}/json")
            found[text] = [status, json.loads(raw).get("message") if raw.startswith(b"{") else raw.decode()]
    return found


def main() -> None:
    """Record everything."""
    peer = Peer(os.environ["SAMPAN_PEER"])
    before = peer.images()
    try:
        record = {"loads": record_loads(peer), "imports": record_imports(peer), "references": record_references(peer)}
    finally:
        peer.remove({one for one in peer.images() - before if _is_ours(peer, one)})
    (HERE / "images.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print("images")


def _is_ours(peer: Peer, identity: str) -> bool:
    """Whether a name says so: someone else may use the same daemon."""
    tags = peer.json(f"/images/{identity}/json").get("RepoTags") or []
    return any(tag.startswith(cases.PREFIX) for tag in tags)


if __name__ == "__main__":
    main()
