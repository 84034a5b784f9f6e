"""What `rmi`, `image prune` and `images --filter` do, as a play of scenes on a Docker daemon and on sampand.

Each scene begins with nothing of the play's on the daemon; all that it makes has the label ``sampan.record=removal``.
What a scene says: the client's command, exit code and words, with IDs as they are (the images are made of constant
bytes, so they are the same everywhere) and containers' IDs as ``<id>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import quote

from peer.image_cases import directory, entry, tar
from support.http import ask
from support.images import save_archive

LABEL = "sampan.record"
MARK = f"label={LABEL}"
P = "sampan-record"
L1 = tar([directory("bin"), entry("bin/a", "1" * 1000)])
L2 = tar([entry("bin/b", "2" * 2000)])
L3 = tar([entry("bin/c", "3" * 500)])
SHOW = "{{.Repository}}:{{.Tag}} {{.ID}}"


class Answer(Protocol):
    """How a client ended."""

    code: int
    out: str
    err: str


class Client(Protocol):
    """The docker CLI."""

    def docker(self, *args: str, stdin: bytes | None = None) -> Answer:
        """Run it."""
        ...


def _in_order(text: str) -> str:
    """Two values of a filter are shown in the order of a Go map: in any."""
    return text.replace("[true false]", "[false true]")


class Stage:
    """One scene on one daemon."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.said: list[str] = []

    def quietly(self, *args: str, stdin: bytes | None = None) -> str:
        """Run what belongs to the scenery."""
        answer = self._client.docker(*args, stdin=stdin)
        assert answer.code == 0, f"{args}: {answer.err}"
        return answer.out.strip()

    def clear(self) -> None:
        """Remove all that is the play's."""
        for container in self.quietly("ps", "-aq", "--filter", MARK).split():
            self.quietly("rm", "-f", container)
        for image in sorted(set(self.quietly("images", "-aq", "--no-trunc", "--filter", MARK).split())):
            self._client.docker("rmi", "-f", image)

    def load(self, layers: list[bytes], *tags: str, **labels: str) -> str:
        """Load an image; return its ID."""
        config: dict[str, object] = {"Cmd": ["/bin/a"], "Labels": {LABEL: "removal", **labels}}
        self.quietly("load", stdin=save_archive(layers, config, [f"{P}/{tag}" for tag in tags]))
        return self.quietly("image", "inspect", "-f", "{{.Id}}", f"{P}/{tags[0]}")

    def use(self, tag: str, name: str = "sampan-record-1") -> None:
        """Make a container of an image."""
        self.quietly("create", "--net=none", "--label", f"{LABEL}=removal", "--name", name, f"{P}/{tag}", "/bin/a")

    def say(self, *args: str) -> None:
        """Run what the scene is about."""
        answer = self._client.docker(*args)
        text = re.sub(r"container [0-9a-f]{12}", "container <id>", answer.out + answer.err)
        text = _in_order(text)
        if args[0] == "images":  # the client shows the names of an image in any order
            text = "\n".join(sorted(text.splitlines()))
        self.said.append(f"{' '.join(args)} -> {answer.code}\n{text}")


def _plain(stage: Stage) -> None:
    stage.load([L1, L2], "a:1")
    stage.say("rmi", f"{P}/a:1")


def _two_tags(stage: Stage) -> None:
    image = stage.load([L1, L2], "a:1", "a:2")
    stage.say("rmi", image)
    stage.say("rmi", f"{P}/a:1")
    stage.say("rmi", image[7:19])


def _two_repositories(stage: Stage) -> None:
    image = stage.load([L1, L2], "a:1", "b:1")
    stage.say("rmi", image)
    stage.say("rmi", "-f", image)


def _shared_layers(stage: Stage) -> None:
    stage.load([L1, L2], "a:1")
    stage.load([L1, L3], "b:1")
    stage.say("rmi", f"{P}/a:1")
    stage.say("rmi", f"{P}/b:1")


def _several(stage: Stage) -> None:
    stage.load([L1], "a:1")
    stage.load([L1, L3], "b:1")
    stage.say("rmi", f"{P}/a:1", f"{P}/nosuch", f"{P}/b:1")
    stage.say("rmi", "-f", f"{P}/nosuch")


def _used(stage: Stage) -> None:
    image = stage.load([L1], "a:1")
    stage.use("a:1")
    stage.say("rmi", f"{P}/a:1")
    stage.say("rmi", image[7:19])
    stage.say("tag", f"{P}/a:1", f"{P}/a:2")
    stage.say("rmi", f"{P}/a:1")
    stage.say("rmi", image[7:19])
    stage.say("rmi", f"{P}/a:2")
    stage.say("rmi", "-f", image[7:19])
    stage.say("ps", "-a", "--filter", MARK, "--format", "{{.Image}} {{.Status}}")
    stage.say("rm", "sampan-record-1")


def _used_and_forced_by_name(stage: Stage) -> None:
    stage.load([L1], "a:1")
    stage.use("a:1")
    stage.say("rmi", "-f", f"{P}/a:1")
    stage.say("images", "-a", "--filter", MARK, "--format", SHOW)


def _used_under_two_names(stage: Stage) -> None:
    image = stage.load([L1], "a:1", "b:1")
    stage.use("a:1")
    stage.say("rmi", image)
    stage.say("rmi", "-f", image)


def _ids(stage: Stage) -> None:
    image = stage.load([L1], "a:1")
    stage.say("rmi", image[7:])
    stage.load([L1], "a:1")
    stage.say("rmi", image[:15])


def _after_a_removed_container(stage: Stage) -> None:
    stage.load([L1, L2], "a:1")
    stage.use("a:1")
    stage.quietly("rm", "sampan-record-1")
    stage.say("rmi", f"{P}/a:1")


def _nameless(stage: Stage) -> None:
    stage.load([L1], "a:1")
    stage.load([L1, L2], "a:1")
    for filters in ([], ["dangling=true"], ["dangling=false"], ["dangling=1"]):
        given = [word for one in filters for word in ("--filter", one)]
        stage.say("images", "--filter", MARK, *given, "--format", SHOW + " {{.Digest}}")
    stage.say("image", "prune", "-f", "--filter", MARK)
    stage.say("image", "prune", "-a", "-f", "--filter", f"{MARK}=other")
    stage.say("image", "prune", "-a", "-f", "--filter", f"label!={LABEL}=removal", "--filter", MARK)
    stage.say("image", "prune", "-a", "-f", "--filter", MARK, "--filter", "until=2023-01-01")
    stage.say("image", "prune", "-a", "-f", "--filter", MARK, "--filter", "until=1h")


def _prune_of_used(stage: Stage) -> None:
    stage.load([L1], "a:1", "a:2")
    stage.use("a:1")
    stage.say("image", "prune", "-a", "-f", "--filter", MARK)
    stage.say("images", "--filter", MARK, "--format", SHOW)


def _faults(stage: Stage) -> None:
    names = [f"{P}/A:1", "x@sha256:12", "nosuch@sha256:" + "1" * 64, "sha256:" + "0" * 64, "0" * 64, "-", " ", ":x"]
    for name in [*names, "deadbeef", "sha256:zz", "a b"]:
        stage.say("rmi", name)
    for name in ("nosuch", "A"):
        stage.say("history", name)


def _filters(stage: Stage) -> None:
    stage.load([L1], "a:1", "a:2", "x/y:3")
    stage.load([L1, L2], "b:1", z="")
    for filters in (
        ["label=z"], ["label=z="], ["label=z=1"], [f"reference={P}/a"], [f"reference={P}/*"], [f"reference={P}/*:1"],
        ["reference=*/*/y"], [f"reference={P}/a:2", f"reference={P}/b"], [f"reference={P}"], ["reference=*record*"],
        [f"reference=docker.io/{P}/a"], [f"reference={P}/[ab]"], [f"reference={P}/[^a]"], [f"reference={P}/a*"],
        [f"reference={P}/A"], [f"reference={P}/\\a"], ["reference=[a-"], ["reference=a\\"], [f"before={P}/b:1"],
        [f"since={P}/b:1"], ["before=nosuch"], ["since=nosuch"], ["until=1h"], ["until=2023-01-01"], ["until=x"],
        ["until=1h", "until=2h"], ["until=1704067201"], ["until=1704067200"], ["dangling=x"], ["dangling=T"],
        ["dangling=true", "dangling=false"], ["foo=bar"], ["label!=z"],
    ):  # fmt: skip
        given = [word for one in filters for word in ("--filter", one)]
        stage.say("images", "--filter", MARK, *given, "--format", SHOW)
    for flags in (["-q"], ["-q", "--no-trunc"], ["--digests"], ["-aq"], ["--no-trunc"]):
        stage.say("images", "--filter", MARK, *flags)
    for name in ("a", "a:2", "a@sha256:" + "1" * 64):
        stage.say("images", f"{P}/{name}", "--format", SHOW)
    for flags in ([], ["-q"], ["--no-trunc"], ["-H=false"], ["--format", "{{json .}}"]):
        stage.say("history", *flags, f"{P}/b:1")


_ALL = (
    _plain, _two_tags, _two_repositories, _shared_layers, _several, _used, _used_and_forced_by_name,
    _used_under_two_names, _ids, _after_a_removed_container, _nameless, _prune_of_used, _faults, _filters,
)  # fmt: skip
SCENES = {scene.__name__.strip("_"): scene for scene in _ALL}


_NONE = [f"{LABEL}=none"]  # nothing has it: these remove nothing, wherever they are asked
REQUESTS = [
    *(("POST", f"/{what}/prune", {"label": _NONE, **more})
      for what in ("containers", "images", "volumes", "build")
      for more in ({}, {"foo": ["x"]})),
    *(("POST", f"/{what}/prune", {"label": _NONE, **more})
      for what in ("containers", "images")
      for more in ({"until": ["maybe"]}, {"until": ["1h", "2h"]}, {"until": ["2h"]}, {"label!": ["x"]},
                   {"dangling": ["maybe"]}, {"dangling": ["0"]}, {"dangling": ["true", "false"]})),
    *(("GET", "/images/json", filters)
      for filters in ({"reference": ["[a-"]}, {"until": ["x"]}, {"dangling": ["true", "false"]}, {"label!": ["x"]},
                      {"since": ["sampan-record/nosuch"]}, {"before": ["A"]})),
    ("POST", "/build/prune?keep-storage=x", None),
    ("GET", "/system/df?type=foo", None),
    ("GET", "/system/df?type=volume&type=foo", None),
    ("DELETE", "/images/%20", None),
    ("GET", "/images/%20/json", None),
]  # fmt: skip


def answered(host: str) -> list[list[object]]:
    """Every request of the list with status and answer."""
    found: list[list[object]] = []
    for method, path, filters in REQUESTS:
        target = path if filters is None else f"{path}?filters={quote(json.dumps(filters))}"
        status, answer = ask(host, method, target)
        found.append([method, path, filters, status, json.loads(_in_order(json.dumps(answer)))])
    return found


def play(client: Client) -> Iterator[tuple[str, list[str]]]:
    """Yield what each scene said."""
    for name, scene in SCENES.items():
        stage = Stage(client)
        stage.clear()
        try:
            scene(stage)
        finally:
            stage.clear()
        yield name, stage.said
