"""Known ways out of a container, tried by programs that do what the published exploits do, short of the damage."""

import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from support.daemon import Sampand
from support.engine import Engine
from support.images import BUSYBOX, busybox_layer, save_archive, static_program
from support.processes import wait_for

LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def overwrite(tmp_path: Path) -> Path:
    """The program of CVE-2019-5736, in a directory of its own."""
    program = static_program(Path(__file__).with_name("overwrite.c").read_text())
    return Path(shutil.copy(program, tmp_path / "overwrite"))


def test_cve_2019_5736_a_watcher_cannot_write_to_what_joins(engine: Engine, overwrite: Path) -> None:
    """While `docker exec` joins the container, its process's executable is out of reach or on a read-only mount."""
    container = engine.start("-v", f"{overwrite}:/overwrite:ro", BUSYBOX, "/overwrite", "watch", "6")
    wait_for(lambda: "watching" in engine.docker("logs", container).out, "the watcher runs")
    for _ in range(25):
        engine.ok("exec", container, "true")
    assert engine.ok("wait", container, timeout=30) == "0"
    log = engine.ok("logs", container)
    assert "watched" in log and "WRITABLE" not in log, log


@pytest.mark.parametrize("way", ["run", "exec"])
def test_cve_2019_5736_a_script_that_runs_the_runtime(
    engine: Engine, overwrite: Path, tmp_path: Path, way: str
) -> None:
    """`#!/proc/self/exe` runs the runtime's interpreter in the container, here with the container's own ELF loader."""
    script = tmp_path / "script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    before = os.stat(os.path.realpath(sys.executable))
    flags = ["-v", f"{script}:/script:ro", "-v", f"{overwrite}:{LOADER}:ro"]
    if way == "run":
        answer = engine.run("--rm", *flags, BUSYBOX, "/script")
    else:
        container = engine.start(*flags, BUSYBOX, "sleep", "1000")
        answer = engine.docker("exec", container, "/script")
    assert answer.code != 0 and "WRITABLE" not in answer.out, answer
    after = os.stat(os.path.realpath(sys.executable))
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


@pytest.mark.parametrize("way", ["run", "exec", "link"])
def test_cve_2024_21626_a_leaked_descriptor_as_working_directory(
    engine: Engine, shared_sampand: Sampand, tmp_path: Path, way: str
) -> None:
    """No working directory /proc/self/fd/N leads to the host."""
    secret = shared_sampand.home / "secret"
    secret.write_text("of the host\n")
    probe = f"cat $(printf '../%.0s' 1 2 3 4 5 6 7 8).{secret} ../../../../../../..{secret} .{secret}; pwd -P"
    container = engine.start(BUSYBOX, "sleep", "1000") if way == "exec" else ""
    for number in range(3, 24):
        place = f"/proc/self/fd/{number}"
        if way == "exec":
            answer = engine.docker("exec", "-w", place, container, "sh", "-c", probe)
        elif way == "run":
            answer = engine.run("--rm", "-w", place, BUSYBOX, "sh", "-c", probe)
        else:
            link = tmp_path / f"link{number}"
            link.symlink_to(place)
            answer = engine.run(
                "--rm", "-v", f"{tmp_path}:/links", "-w", f"/links/link{number}", BUSYBOX, "sh", "-c", probe
            )
        assert "of the host" not in answer.out, f"{place}: {answer}"


@pytest.mark.parametrize("target", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/self/exe"])
@pytest.mark.parametrize("name", ["null", "console", "zero", "pts"])
def test_cve_2025_31133_links_in_place_of_devices(engine: Engine, tmp_path: Path, name: str, target: str) -> None:
    """/dev is the container's, and its null (console: CVE-2025-52565) a link: no mask or device lands on the target."""
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()
    (tmp_path / name).symlink_to(target)
    write = "(echo owned >/proc/sys/kernel/core_pattern) 2>/dev/null && echo OWNED"
    script = f"{write}; echo keys $(head -c 64 /proc/keys | wc -c)"
    answer = engine.run("--rm", "-t", "-v", f"{tmp_path}:/dev", BUSYBOX, "sh", "-c", script)
    assert "OWNED" not in answer.out, answer
    assert answer.code != 0 or "keys 0" in answer.out, answer
    assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before


LINKS = [
    "proc",
    "sys",
    "dev",
    "dev/shm",
    "etc",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
    "sys/fs/cgroup",
    "data",
]


@pytest.mark.parametrize("name", LINKS)
def test_cve_2021_30465_an_image_whose_mount_points_are_links(
    engine: Engine, shared_sampand: Sampand, name: str
) -> None:
    """Every mount point is resolved inside the root: nothing is mounted on, or written to, the host's directory."""
    victim = shared_sampand.home / "victim"
    victim.mkdir(exist_ok=True)
    (victim / "file").write_text("mine\n")
    tag = "sampan-test/links:1"
    engine.ok("load", stdin=save_archive([busybox_layer(), _link(name, str(victim))], {"Cmd": ["true"]}, [tag]))
    mounts = Path("/proc/self/mountinfo").read_text().count(str(victim))
    try:
        engine.run("--rm", "-v", f"{shared_sampand.home}/log:/data/log:ro", tag, "true")
    finally:
        engine.ok("rmi", "-f", tag)
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"file": "mine\n"}
    assert Path("/proc/self/mountinfo").read_text().count(str(victim)) == mounts


def _link(name: str, target: str) -> bytes:
    """A layer in which ``name`` is a link to ``target``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    return out.getvalue()


def test_cve_2020_15257_no_abstract_sockets(engine: Engine, shared_sampand: Sampand) -> None:
    """On the host's network a container sees abstract sockets: the engine has none."""
    engine.ok("run", "-d", "--label", f"sampan.test={engine.token}", "--network", "host", BUSYBOX, "sleep", "1000")
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    abstract = {f"socket:[{row[6]}]" for row in rows if len(row) > 7 and row[7].startswith("@")}
    for process in shared_sampand.own():
        held = {os.readlink(f.path) for f in os.scandir(f"/proc/{process.pid}/fd") if os.path.lexists(f.path)}
        assert not held & abstract, process


def test_cve_2022_0492_release_agent(engine: Engine) -> None:
    """No way to a writable release_agent: existing hierarchies are read-only, new ones can't be mounted."""
    script = (
        "for f in /sys/fs/cgroup/*/release_agent; do (echo /x >$f) 2>/dev/null && echo WROTE $f; done;"
        "mount -t cgroup -o memory none /tmp 2>/dev/null && echo MOUNTED;"
        "unshare -UrmC mount -t cgroup -o memory none /tmp 2>/dev/null && echo UNSHARED; echo done"
    )
    assert engine.run("--rm", BUSYBOX, "sh", "-c", script).line == "done"


def test_pid_1_holds_no_descriptor_of_the_engine(engine: Engine) -> None:
    """What init inherits is what it was given: 0, 1, 2 and nothing else, in run and exec."""
    show = "for f in /proc/$$/fd/*; do readlink $f; done; true"
    container = engine.start(BUSYBOX, "sh", "-c", f"{show}; sleep 1000")
    lines = wait_for(lambda: engine.ok("logs", container).splitlines(), "the list")
    ours = engine.ok("exec", container, "sh", "-c", show).splitlines()
    for line in (*lines, *ours):
        assert line.startswith(("pipe:", "/dev/null", "/proc/")), (lines, ours)
