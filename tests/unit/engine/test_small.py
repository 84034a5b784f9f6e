"""The engine's small parts: reasons, names, events, keys, frames, files, top, errors."""

import asyncio
import signal
from types import SimpleNamespace

import pytest

from sampan.api import schema
from sampan.engine import attach, execs, lifecycle, names, netfiles, reason, resources, top
from sampan.engine.catalog import Catalog, check_name
from sampan.engine.errors import BadParameter, Conflict, EngineError, Internal, NameTaken
from sampan.engine.events import EventBus
from sampan.runtime.supervisor import Exit, StartFailed

from .conftest import stored


def exit_(code: int = 0, signum: int = 0, **rest: object) -> Exit:
    values: dict[str, object] = {"oom": False, "started": True, "step": "", "error": "", "finished_at_ns": 1, **rest}
    return Exit(code=code, signal=signum, **values)  # type: ignore[arg-type]


WHO = "POST /containers/web/stop (docker, pid 4711, uid 0)"
REASONS = [
    (exit_(0), {}, "exited with code 0"),
    (exit_(137, 9), {}, "killed by SIGKILL"),
    (exit_(139, 11), {}, "killed by SIGSEGV"),
    (exit_(3), {"asked": WHO}, f"exited with code 3, asked by {WHO}"),
    (exit_(137, 9), {"asked": WHO, "unanswered": "SIGTERM went unanswered for 10 s"},
     f"killed by SIGKILL after SIGTERM went unanswered for 10 s, asked by {WHO}"),
    (exit_(137, 9, oom=True), {"memory": 64 << 20}, "out of memory: the limit is 64 MiB"),
    (exit_(137, 9, oom=True), {}, "out of memory: the machine or a group above it had no more"),
    (exit_(1, oom=True), {}, "exited with code 1, after the kernel killed one of its processes for want of memory"),
    (exit_(128, started=False, step="mount /x", error="No such file"), {}, "start failed at mount /x: No such file"),
    (exit_(137, 9, error="its monitor (pid 7) died, and the container with it"), {},
     "its monitor (pid 7) died, and the container with it"),
]  # fmt: skip


@pytest.mark.parametrize(("ended", "known", "text"), REASONS)
def test_a_reason(ended: Exit, known: dict[str, object], text: str) -> None:
    assert reason.ended(ended, **known) == text  # type: ignore[arg-type]


ACTORS = [
    (("POST /x", 4711, 0, "docker"), "POST /x (docker, pid 4711, uid 0)"),
    (("POST /x", 0, -1, ""), "POST /x"),
]


@pytest.mark.parametrize(("actor", "text"), ACTORS)
def test_who_asked(actor: tuple[str, int, int, str], text: str) -> None:
    what, pid, uid, comm = actor
    assert reason.asked_by(SimpleNamespace(what=what, pid=pid, uid=uid, comm=comm)) == text


def test_signal_names() -> None:
    assert reason.signal_name(15) == "SIGTERM"
    assert reason.signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"


def test_sizes() -> None:
    assert [reason.size(one) for one in (512, 64 << 20, 3 << 29)] == ["512 bytes", "64 MiB", "1.5 GiB"]


MOUNTS = [{"destination": "/etc", "source": "/host/file"}]
START_TEXTS = [
    (("mount /etc", "not a directory", 128),
     ("failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
     'unable to start container process: error during container init: error mounting "/host/file" to rootfs at "/etc": '
     "not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)? "
     "Check if the specified host path exists and is the expected type"), 400),
    (("exec", 'exec: "foo": executable file not found in $PATH', 127),
     ("failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
     'unable to start container process: exec: "foo": executable file not found in $PATH: unknown'), 400),
    (("exec", 'exec: "/tmp": is a directory', 126),
     ("failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
     'unable to start container process: exec: "/tmp": is a directory: unknown: permission denied'), 400),
    (("user", "unable to find user foo: no matching entries in passwd file", 128),
     "unable to find user foo: no matching entries in passwd file", 500),
]  # fmt: skip


@pytest.mark.parametrize(("failed", "text", "status"), START_TEXTS)
def test_a_failed_start(failed: tuple[str, str, int], text: str, status: int) -> None:
    error = lifecycle.StartError(StartFailed(*failed), MOUNTS)
    assert (str(error), error.status) == (text, status)


# Where dockerd's runtime gives no exit code, dockerd goes by the words.
CODES = [
    (("mount /etc", "not a directory", 128), 127),
    (("sysctl", "open /proc/sys/net/bogus: no such file or directory", 128), 127),
    (("rlimits", "error setting rlimit type 7: operation not permitted", 128), 128),
    (("working directory", "Cannot mkdir: /a is not a directory", 128), 128),
    (("exec", "exec /a: permission denied", 126), 126),
]


@pytest.mark.parametrize(("failed", "code"), CODES)
def test_the_exit_code_of_a_failed_start(failed: tuple[str, str, int], code: int) -> None:
    assert lifecycle.StartError(StartFailed(*failed)).code == code


EXECS = [
    (("cwd", "Cwd must be an absolute path", 126),
     "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown", 500),
    (("user", "unable to find user a: no matching entries in passwd file", 128),
     "unable to find user a: no matching entries in passwd file", 500),
    (("cwd", 'chdir to cwd ("/a") set in config.json failed: not a directory', 128),
     ("OCI runtime exec failed: exec failed: unable to start container process: "
     'chdir to cwd ("/a") set in config.json failed: not a directory: unknown: Are you trying to mount a directory '
     "onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"), 400),
]  # fmt: skip


@pytest.mark.parametrize(("failed", "text", "status"), EXECS)
def test_a_failed_session(failed: tuple[str, str, int], text: str, status: int) -> None:
    error = execs.ExecError(StartFailed(*failed))
    assert (str(error), error.status) == (text, status)


SHARES = [(1, "the minimum allowed cpu-shares is 2"), (300000, "the maximum allowed cpu-shares is 262144")]


@pytest.mark.parametrize(("shares", "text"), SHARES)
def test_shares_out_of_range_fail_the_start(shares: int, text: str) -> None:
    with pytest.raises(Internal, match=f"error setting cgroup config for procHooks process: {text}: unknown"):
        resources.resources(schema.HostConfig(cpu_shares=shares), [])


def test_generated_names() -> None:
    assert check_name(names.generate(lambda _name: False))
    assert names.generate(lambda name: not name[-1].isdigit(), choose=lambda words: words[0]) == "able_abbe6"


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A_.-"])
def test_a_name(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["w", "-x", "a b", "a/b", "", "ä1"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(BadParameter, match=r"only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"):
        check_name(name)


def test_a_name_is_held_by_one() -> None:
    catalog = Catalog()
    catalog.reserve("web", "1" * 64)
    with pytest.raises(NameTaken, match='The container name "/web" is already in use by container "1111'):
        catalog.reserve("web", "2" * 64)
    catalog.release("web")
    catalog.reserve("web", "2" * 64)


def test_an_error_within_another_keeps_its_status() -> None:
    error: EngineError = NameTaken("web", "1").within("Error when allocating new name: ")
    assert isinstance(error, Conflict) and error.status == 409
    assert str(error).startswith("Error when allocating new name: Conflict. The container name")


KEYS = [
    (None, b"\x10\x11"),
    ("", b"\x10\x11"),
    ("ctrl-a,b", b"\x01b"),
    ("ctrl-@", b"\x00"),
    ("ctrl-[", b"\x1b"),
    ("DEL"[0], b"D"),
]


@pytest.mark.parametrize(("text", "keys"), KEYS)
def test_detach_keys(text: str | None, keys: bytes) -> None:
    assert attach.parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "a,,b"])
def test_detach_keys_that_are_none(text: str) -> None:
    with pytest.raises(BadParameter, match="Invalid detach keys"):
        attach.parse_detach_keys(text)


FRAMES = [(("stdout", b"hi\n"), "01000000 00000003 68690a"), (("stderr", b""), "02000000 00000000")]


@pytest.mark.parametrize(("parts", "wire"), FRAMES)
def test_a_frame(parts: tuple[str, bytes], wire: str) -> None:
    assert attach.frame(*parts) == bytes.fromhex(wire)


def test_files_over_the_images_own() -> None:
    kept = stored({"ExtraHosts": ["db:10.0.0.1", "v6=[::1]"], "Dns": ["9.9.9.9"]}, Hostname="box")
    found = netfiles.files(kept, b"1.2.3.4 host\n", b"# c\nnameserver 1.1.1.1\nsearch a b\n")
    assert found["hostname"] == b"box\n"
    assert b"127.0.0.1\tlocalhost\n" in found["hosts"] and b"1.2.3.4" not in found["hosts"]
    assert found["hosts"].endswith(b"10.0.0.1\tdb\n::1\tv6\n")
    kept_lines = [line for line in found["resolv.conf"].splitlines() if line and not line.startswith(b"#")]
    assert kept_lines == [b"nameserver 9.9.9.9", b"search a b"]


def test_the_hosts_own_files_in_its_network() -> None:
    kept = stored({"NetworkMode": "host"})
    assert netfiles.files(kept, b"1.2.3.4 host", b"")["hosts"] == b"1.2.3.4 host"
    added = stored({"NetworkMode": "host", "ExtraHosts": ["db:10.0.0.1"]})
    assert b"1.2.3.4" not in netfiles.files(added, b"1.2.3.4 host", b"")["hosts"]


PS = "  PID USER  CMD\n    1 root  init a  b\n   42 root  sleep 10\n    - -     -\n   43 root  other\n"


def test_top_keeps_the_containers_lines() -> None:
    found = top.parse(PS, [42])
    assert found.titles == ["PID", "USER", "CMD"]
    assert found.processes == [["42", "root", "sleep 10"], ["-", "-", "-"]]


def test_top_needs_a_pid_column() -> None:
    with pytest.raises(EngineError, match="Couldn't find PID field in ps output"):
        top.parse("USER\nroot\n", [1])


def run_events(since: int | None, until: int | None, filters: dict[str, list[str]]) -> list[str]:
    async def collect() -> list[str]:
        clock = iter(range(1_000_000_000, 20_000_000_000, 1_000_000_000))
        bus = EventBus(clock=lambda: next(clock))
        bus.publish("container", "create", "c1", {"image": "busybox:1", "name": "web", "a": "1"})
        bus.publish("container", "exec_create: ls -l", "c1", {"image": "busybox:1", "name": "web"})
        bus.publish("image", "tag", "sha256:9", {"name": "busybox:1"})
        subscription = bus.subscribe(since=since, until=until, filters=filters)
        found = [event.action async for event in subscription]
        assert bus.listeners == 0
        return found

    return asyncio.run(collect())


EVENTS = [
    ({}, ["create", "exec_create: ls -l", "tag"]),
    ({"type": ["image"]}, ["tag"]),
    ({"container": ["web"]}, ["create", "exec_create: ls -l"]),
    ({"event": ["exec_create"]}, ["exec_create: ls -l"]),
    ({"image": ["busybox"]}, ["create", "exec_create: ls -l", "tag"]),
    ({"label": ["a=1"]}, ["create"]),
    ({"container": ["web"], "event": ["tag"]}, []),
    ({"foo": ["x"]}, ["create", "exec_create: ls -l", "tag"]),  # dockerd passes over what it doesn't know
]


@pytest.mark.parametrize(("filters", "wanted"), EVENTS)
def test_past_events(filters: dict[str, list[str]], wanted: list[str]) -> None:
    assert run_events(0, 3_000_000_000, filters) == wanted


def test_events_begin_at_since() -> None:
    assert run_events(2_000_000_000, 2_000_000_000, {}) == ["exec_create: ls -l"]


def test_live_events_reach_a_listener() -> None:
    async def listen() -> str:
        bus = EventBus()
        subscription = bus.subscribe(since=None, until=None, filters={})
        bus.publish("container", "start", "c1", {})
        event = await anext(subscription)
        await subscription.aclose()
        return event.action

    assert asyncio.run(listen()) == "start"
