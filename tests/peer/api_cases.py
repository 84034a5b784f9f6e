"""The Engine API's answers field by field: a scenario to play on a Docker daemon and on sampand, and how to compare.

What differs from run to run or from machine to machine is replaced by a mark; what is left must be the same.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from support.images import BUSYBOX

Ask = Callable[..., tuple[int, Any]]  # (method, path, body) → status, decoded answer

NAME = "sampan-record-api"
TAG = "sampan-record/api:1"
LABELS = {"sampan.record": "api"}

MINIMAL = {"Image": BUSYBOX, "Labels": LABELS, "HostConfig": {"NetworkMode": "none"}}
SLEEPER = {**MINIMAL, "Cmd": ["sleep", "1000"], "StopSignal": "KILL"}
FULL = {
    "Hostname": "box",
    "Domainname": "example.org",
    "User": "app",
    "AttachStdin": True,
    "AttachStdout": True,
    "AttachStderr": True,
    "ExposedPorts": {"80/tcp": {}},
    "Tty": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "Env": ["A=1", "B=two words"],
    "Cmd": ["-c", "true"],
    "Entrypoint": "sh",
    "Image": BUSYBOX,
    "WorkingDir": "/tmp",
    "Labels": {**LABELS, "empty": ""},
    "StopSignal": "SIGINT",
    "StopTimeout": 3,
    "Shell": ["/bin/sh", "-c"],
    "Healthcheck": {"Test": ["NONE"]},
    "HostConfig": {
        "NetworkMode": "none",
        "Binds": ["/etc:/host-etc:ro"],
        "AutoRemove": False,
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["MKNOD"],
        "Dns": ["192.0.2.1"],
        "ExtraHosts": ["other:192.0.2.2"],
        "GroupAdd": ["extra"],
        "IpcMode": "private",
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        "Memory": 67108864,
        "NanoCpus": 500000000,
        "PidsLimit": 50,
        "OomScoreAdj": 100,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges"],
        "ShmSize": 1048576,
        "Tmpfs": {"/run": "size=1m"},
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rwm"}],
        "Sysctls": {"kernel.msgmax": "65536"},
        "ConsoleSize": [24, 80],
        "Annotations": {"a": "b"},
    },
}

ERRORS: list[tuple[str, str, Any]] = [
    ("POST", "/containers/create", {}),
    ("POST", "/containers/create", None),
    ("POST", "/containers/create", {"Image": "sampan-record/none:1"}),
    ("POST", "/containers/create?name=a", MINIMAL),
    ("POST", "/containers/create?name=/x%20y", MINIMAL),
    ("GET", "/containers/nobody/json", None),
    ("POST", "/containers/nobody/start", None),
    ("POST", "/containers/nobody/wait", None),
    ("POST", "/containers/nobody/exec", {"Cmd": ["true"]}),
    ("GET", "/containers/nobody/logs?stdout=1", None),
    ("GET", f"/containers/{NAME}/logs", None),
    ("POST", f"/containers/{NAME}/wait?condition=foo", None),
    ("POST", f"/containers/{NAME}/kill?signal=FOO", None),
    ("POST", f"/containers/{NAME}/kill", None),
    ("POST", f"/containers/{NAME}/rename", None),
    ("POST", f"/containers/{NAME}/rename?name=a", None),
    ("POST", f"/containers/{NAME}/resize?h=a&w=1", None),
    ("POST", f"/containers/{NAME}/resize?h=1&w=1", None),
    ("POST", f"/containers/{NAME}/exec", {}),
    ("POST", f"/containers/{NAME}/exec", {"Cmd": ["true"]}),
    ("POST", f"/containers/create?name={NAME}", MINIMAL),
    ("GET", "/containers/json?filters=abc", None),
    ("GET", '/containers/json?filters={"foo":["a"]}', None),
    ("GET", '/images/json?filters={"foo":["a"]}', None),
    ("GET", "/images/nobody/json", None),
    ("GET", "/images/UPPER/json", None),
    ("GET", "/images/a@b/json", None),
    ("POST", "/images/nobody/tag?repo=x", None),
    ("POST", f"/images/{BUSYBOX}/tag?repo=UPPER", None),
    ("DELETE", "/images/nobody", None),
    ("POST", "/exec/nobody/start", {}),
    ("GET", "/exec/nobody/json", None),
    ("GET", "/nothing/here", None),
]


def answers(ask: Ask) -> Iterator[tuple[str, Any]]:
    """Play the scenario: (name of the case, normalised answer). Needs the image BUSYBOX; removes what it makes."""
    for path in (f"/containers/{NAME}", f"/containers/{NAME}-full", f"/images/{TAG}"):
        ask("DELETE", f"{path}?force=1")
    try:
        yield from _play(ask)
    finally:
        for path in (f"/containers/{NAME}", f"/containers/{NAME}-full", f"/images/{TAG}"):
            ask("DELETE", f"{path}?force=1")


def _play(ask: Ask) -> Iterator[tuple[str, Any]]:
    def case(name: str, method: str, path: str, body: object = None) -> tuple[str, Any]:
        status, value = ask(method, path, body)
        return name, {"request": f"{method} {path}", "status": status, "body": normalised(value)}

    mine = f'/containers/json?filters={{"name":["^/{NAME}$"]}}'
    one = f"/containers/{NAME}"
    yield case("create", "POST", f"/containers/create?name={NAME}", SLEEPER)
    yield case("inspect-created", "GET", f"{one}/json")
    yield case("list-none-running", "GET", mine)
    yield case("inspect-size", "GET", f"{one}/json?size=1")
    yield "errors", [[m, p, *_message(ask(m, p, b))] for m, p, b in ERRORS]
    yield case("start", "POST", f"{one}/start")
    yield case("start-again", "POST", f"{one}/start")
    yield case("inspect-running", "GET", f"{one}/json")
    yield case("list-running", "GET", mine)
    yield from _execs(ask, case)
    yield case("stop", "POST", f"{one}/stop?t=1")
    yield case("stop-again", "POST", f"{one}/stop?t=1")
    yield case("wait", "POST", f"{one}/wait")
    yield case("inspect-exited", "GET", f"{one}/json")
    yield case("list-exited", "GET", f"{mine}&all=1")
    yield case("remove", "DELETE", one)
    yield case("create-full", "POST", f"/containers/create?name={NAME}-full", FULL)
    yield case("inspect-full", "GET", f"/containers/{NAME}-full/json")
    yield from _images(case)
    for name in ("version", "info"):
        yield name, shape(ask("GET", f"/{name}")[1])


def _execs(ask: Ask, case: Callable[..., tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    body = {"Cmd": ["sh", "-c", "exit 3"], "AttachStdout": True, "User": "app", "Env": ["A=1"]}
    _, made = ask("POST", f"/containers/{NAME}/exec", body)
    one = f"/exec/{made['Id']}"
    yield "exec-create", normalised(made)
    name, value = case("exec-new", "GET", f"{one}/json")
    yield name, value | {"request": "GET /exec/<id>/json"}
    ask("POST", f"{one}/start", {"Detach": True})
    while ask("GET", f"{one}/json")[1]["Running"]:
        pass
    name, value = case("exec-ended", "GET", f"{one}/json")
    yield name, value | {"request": "GET /exec/<id>/json"}


def _images(case: Callable[..., tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    repo, tag = TAG.split(":")
    yield case("image-tag", "POST", f"/images/{BUSYBOX}/tag?repo={repo}&tag={tag}")
    yield case("image-list", "GET", f'/images/json?filters={{"reference":["{TAG}"]}}')
    yield case("image-inspect", "GET", f"/images/{TAG}/json")
    yield case("image-history", "GET", f"/images/{TAG}/history")
    yield case("image-untag", "DELETE", f"/images/{TAG}")


def _message(answer: tuple[int, Any]) -> tuple[int, str]:
    status, value = answer
    text = value["message"] if isinstance(value, dict) else value
    return status, re.sub(r"[0-9a-f]{64}", "<id>", text)


_MARKS = [
    (re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$"), "<time>"),
    (re.compile(r"[0-9a-f]{64}"), "<id>"),
    (re.compile(r"^[0-9a-f]{12}$"), "<short id>"),
    (re.compile(r"^Up .*|^Exited \((\d+)\) .*"), r"<since \1>"),
    (
        re.compile(r"^/\S+/(?=<id>/|<id>$)|^/\S+/(resolv.conf|hostname|hosts)$|^/\S+(netns|overlay2|layers)/\S+$"),
        "<path>",
    ),
]
_NUMBERS = frozenset(("Created", "Pid", "SizeRootFs", "SizeRw", "Size"))
_TAGS = frozenset(("RepoTags", "Tags"))  # the image may have other names on the peer
_PATHS = frozenset(("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "SandboxKey"))


def normalised(value: Any, key: str = "") -> Any:
    """`value` with what may differ replaced by marks; `key` is the name it has in its parent."""
    if isinstance(value, dict):
        return {name: normalised(item, name) for name, item in value.items()}
    if isinstance(value, list):
        kept = [item for item in value if key not in _TAGS or item == TAG]
        return [normalised(item, key) for item in kept]
    if isinstance(value, int) and not isinstance(value, bool) and key in _NUMBERS and value > 0:
        return "<number>"
    if not isinstance(value, str) or value.startswith("0001-"):
        return value
    if key in _PATHS and value:
        return "<path>"
    for pattern, mark in _MARKS:
        value = pattern.sub(mark, value)
    return value


def shape(value: Any) -> Any:
    """The fields and types of `value`, for answers that tell of the machine; of each list the first element."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return None if value is None else type(value).__name__


def differences(recorded: Any, ours: Any, at: str = "") -> list[str]:
    """Where two normalised answers differ, one line each: a key more or less, another type, another value."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        found = [f"{at}.{name} is missing" for name in recorded.keys() - ours.keys()]
        found += [f"{at}.{name} is too much" for name in ours.keys() - recorded.keys()]
        for name in recorded.keys() & ours.keys():
            found += differences(recorded[name], ours[name], f"{at}.{name}")
        return sorted(found)
    if isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        pairs = zip(recorded, ours, strict=True)
        return [line for index, (a, b) in enumerate(pairs) for line in differences(a, b, f"{at}[{index}]")]
    return [] if recorded == ours else [f"{at}: Docker {json.dumps(recorded)}, here {json.dumps(ours)}"]
