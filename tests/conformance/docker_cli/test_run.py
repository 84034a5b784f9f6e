"""docker run and create: what the flags do, seen from inside."""

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import Engine
from support.images import BUSYBOX


@pytest.fixture
def shared(engine: Engine) -> Iterator[tuple[str, Path]]:
    """A host directory with one file: its path for the daemon, and the way to it from here."""
    name = f"/tmp/sampan-bind-{secrets.token_hex(4)}"
    here = engine.root / name.lstrip("/")
    here.mkdir(mode=0o755)
    (here / "greeting").write_text("hello from the host\n")
    yield name, here
    engine.clean()
    shutil.rmtree(here)


def inside(engine: Engine, script: str, *flags: str) -> str:
    """What a shell script prints in a container made with ``flags``."""
    answer = engine.run("--rm", *flags, BUSYBOX, "sh", "-c", script)
    assert answer.code == 0, answer.err
    return answer.line


def test_output_and_errors_keep_apart(engine: Engine) -> None:
    answer = engine.run("--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out, answer.err) == (7, "out\n", "err\n")


def test_detached_prints_the_id(engine: Engine) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", engine.start(BUSYBOX, "true"))


def test_rm_removes(engine: Engine) -> None:
    name = engine.name()
    engine.run("--rm", "--name", name, BUSYBOX, "true")
    assert engine.ok("ps", "-aq", "--filter", f"name={name}") == ""


def test_detached_rm_removes_at_exit(engine: Engine) -> None:
    name = engine.name()
    engine.start("--rm", "--name", name, BUSYBOX, "cat", "/etc/passwd")
    engine.docker("wait", name)
    left = engine.docker("wait", name)
    assert left.code == 1 and "No such container" in left.err


def test_environment(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# a comment\nFROM_FILE=file value\nBOTH=file\n")
    flags = ["--env-file", str(tmp_path / "env"), "-e", "BOTH=flag", "-e", "EMPTY="]
    lines = inside(engine, "env", *flags).splitlines()
    assert {"FROM_FILE=file value", "BOTH=flag", "EMPTY=", "HOME=/root"} <= set(lines)


def test_a_variable_of_the_client_is_passed_by_name(engine: Engine) -> None:
    answer = engine.run("--rm", "-e", "PASSED", BUSYBOX, "sh", "-c", "echo $PASSED", env={"PASSED": "on"})
    assert answer.line == "on"


def test_working_directory_is_made(engine: Engine) -> None:
    assert inside(engine, "pwd", "-w", "/made/for/it") == "/made/for/it"


def test_hostname(engine: Engine) -> None:
    assert inside(engine, "hostname; cat /etc/hostname", "--hostname", "boat").split() == ["boat", "boat"]


def test_hostname_is_the_short_id_otherwise(engine: Engine) -> None:
    container = engine.start(BUSYBOX, "hostname")
    engine.ok("wait", container)
    assert engine.ok("logs", container) == container[:12]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("app", "1000 1000 1000 2000"),
        ("1000", "1000 1000 1000 2000"),
        ("app:extra", "1000 2000 2000"),
        ("4711", "4711 0 0"),
        ("4711:815", "4711 815 815"),
    ],
)
def test_user(engine: Engine, user: str, expected: str) -> None:
    assert inside(engine, "echo $(id -u) $(id -g) $(id -G)", "-u", user) == expected


def test_home_follows_the_user(engine: Engine) -> None:
    assert inside(engine, "echo $HOME", "-u", "app") == "/home/app"
    assert inside(engine, "echo $HOME", "-u", "4711") == "/"


def test_entrypoint_takes_the_command_as_arguments(engine: Engine) -> None:
    assert engine.run("--rm", "--entrypoint", "echo", BUSYBOX, "a", "b c").line == "a b c"


def test_read_only_root_bites_and_tmpfs_helps(engine: Engine) -> None:
    script = "touch /file 2>&1; touch /scratch/file && echo scratch"
    out = inside(engine, script, "--read-only", "--tmpfs", "/scratch")
    assert out == "touch: /file: Read-only file system\nscratch"


def test_tmpfs_options(engine: Engine) -> None:
    line = inside(engine, "grep ' /scratch ' /proc/mounts", "--tmpfs", "/scratch:size=4m,mode=700,exec")
    assert "size=4096k" in line and "mode=700" in line and "noexec" not in line


def test_bind_a_directory(engine: Engine, shared: tuple[str, Path]) -> None:
    name, here = shared
    assert inside(engine, "cat /data/greeting; echo back > /data/new", "-v", f"{name}:/data") == "hello from the host"
    assert (here / "new").read_text() == "back\n"


def test_bind_a_directory_read_only(engine: Engine, shared: tuple[str, Path]) -> None:
    out = inside(engine, "touch /data/new 2>&1 || true", "-v", f"{shared[0]}:/data:ro")
    assert out == "touch: /data/new: Read-only file system"


def test_bind_a_file(engine: Engine, shared: tuple[str, Path]) -> None:
    assert inside(engine, "cat /etc/greeting", "-v", f"{shared[0]}/greeting:/etc/greeting") == "hello from the host"


def test_bind_makes_a_missing_source(engine: Engine, shared: tuple[str, Path]) -> None:
    inside(engine, "true", "-v", f"{shared[0]}/later:/data")
    assert (shared[1] / "later").is_dir()


def test_mount_refuses_a_missing_source(engine: Engine, shared: tuple[str, Path]) -> None:
    refused = engine.run("--rm", "--mount", f"type=bind,src={shared[0]}/nosuch,dst=/data", BUSYBOX, "true")
    assert refused.code == 125 and "bind source path does not exist" in refused.err


def test_labels_and_stop_settings_are_kept(engine: Engine) -> None:
    container = engine.create("--label", "a=b", "--stop-signal", "INT", "--stop-timeout", "3", BUSYBOX)
    assert engine.look(container, '{{index .Config.Labels "a"}}') == "b"
    assert engine.look(container, "{{.Config.StopSignal}} {{.Config.StopTimeout}}") == "INT 3"


def test_privileged_sees_the_devices(engine: Engine) -> None:
    script = "grep CapEff /proc/self/status; ls /dev | wc -l; mount -t tmpfs none /tmp"
    capabilities, devices = inside(engine, script, "--privileged").splitlines()[:2]
    assert int(capabilities.split()[1], 16) == int(
        re.findall(r"CapBnd:\s+(\w+)", Path("/proc/self/status").read_text())[0], 16
    )
    assert int(devices) > 20


def test_capabilities_go_and_come(engine: Engine) -> None:
    show = "grep CapEff /proc/self/status | cut -f2"
    assert inside(engine, show) == "00000000a80425fb"
    assert inside(engine, show, "--cap-drop", "all") == "0000000000000000"
    assert inside(engine, show, "--cap-drop", "all", "--cap-add", "CHOWN") == "0000000000000001"
    assert inside(engine, show, "--cap-add", "SYS_TIME") == "00000000aa0425fb"


def test_dropped_capabilities_bite(engine: Engine) -> None:
    assert inside(engine, "chown 1:1 /tmp 2>&1 || true", "--cap-drop", "all") == "chown: /tmp: Operation not permitted"


def test_ulimit(engine: Engine) -> None:
    assert inside(engine, "ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200").split() == ["100", "200"]


def test_seccomp_refuses_what_docker_refuses(engine: Engine) -> None:
    out = inside(engine, "unshare -U true 2>&1; unshare -m true 2>&1; grep Seccomp: /proc/self/status || true")
    assert out.count("Operation not permitted") == 2 and out.endswith("Seccomp:\t2")


def test_cidfile(engine: Engine, tmp_path: Path) -> None:
    container = engine.start("--cidfile", str(tmp_path / "id"), BUSYBOX, "true")
    assert (tmp_path / "id").read_text() == container


def test_init_is_reaped_as_pid_1(engine: Engine) -> None:
    assert inside(engine, "echo $$") == "1"


def test_network_none_has_loopback_only(engine: Engine) -> None:
    assert inside(engine, "ls /sys/class/net") == "lo"


def test_network_host_is_the_daemons(engine: Engine) -> None:
    answer = engine.docker("run", "--rm", "--network", "host", BUSYBOX, "readlink", "/proc/self/ns/net")
    assert answer.line == str(Path(f"/proc/{engine.pid}/ns/net").readlink())
