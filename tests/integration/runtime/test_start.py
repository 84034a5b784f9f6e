"""What a program finds when it starts, and what is said when it can't."""

import shutil

import pytest

from sampan.runtime.supervisor import StartFailed

from .conftest import Runtime, read_all


def test_exit_codes(runtime: Runtime) -> None:
    for code in (0, 1, 7, 255):
        ended = runtime.end(runtime.start(runtime.spec("sh", "-c", f"exit {code}")))
        assert (ended.code, ended.signal, ended.started) == (code, 0, True)


def test_a_signal_is_128_and_its_number(runtime: Runtime) -> None:
    monitor = runtime.start(runtime.spec("sleep", "1000"))
    runtime.run(monitor.signal(9))
    ended = runtime.end(monitor)
    assert (ended.code, ended.signal) == (137, 9)


def test_it_is_alone_in_its_namespaces(runtime: Runtime) -> None:
    text = runtime.output("sh", "-c", "echo $$; hostname; ls /proc | grep -c '^[0-9]*$'; ip link | grep -c mtu; pwd")
    pid, name, processes, links, directory = text.split()
    assert (pid, name, links, directory) == ("1", "box", "1", "/")
    assert int(processes) <= 3  # the shell and the two of the pipeline


def test_loopback_is_up(runtime: Runtime) -> None:
    assert "UP" in runtime.output("ip", "link", "show", "lo")


def test_no_descriptor_is_left_open(runtime: Runtime) -> None:
    """CVE-2024-21626: a descriptor of the host's file system would lead out."""
    assert runtime.output("ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]  # 3: the listing itself


def test_signals_are_as_for_a_new_process(runtime: Runtime) -> None:
    fields = dict(
        line.split(":\t", 1) for line in runtime.output("cat", "/proc/self/status").splitlines() if ":\t" in line
    )
    assert int(fields["SigIgn"], 16) == 0
    assert int(fields["SigBlk"], 16) == 0
    assert int(fields["CapEff"], 16) == 0xA80425FB
    assert fields["CapInh"] == fields["CapAmb"] == "0" * 16


def test_devices(runtime: Runtime) -> None:
    listed = runtime.output("sh", "-c", "cd /dev; stat -c '%n %a %F' *; readlink fd; readlink ptmx")
    assert "null 666 character special file" in listed
    assert "tty 666 character special file" in listed
    assert listed.endswith("/proc/self/fd\npts/ptmx\n")


def test_masked_and_read_only_paths(runtime: Runtime) -> None:
    text = runtime.output(
        "sh", "-c", "wc -c < /proc/keys; ls /sys/firmware; echo 1 > /proc/sys/kernel/domainname; echo"
    )
    assert text.startswith("0\n")
    assert "Read-only file system" in text


def test_devices_that_are_not_allowed_cannot_be_opened(runtime: Runtime) -> None:
    text = runtime.output(
        "sh", "-c", "mknod /tmp/sda b 8 0; mknod /tmp/vda b 254 0; cat /tmp/vda; cat /tmp/sda; rm /tmp/?da"
    )
    assert text.count("Operation not permitted") == 2


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("ann", "uid=1000(ann) gid=1001(ann) groups=10(wheel),1001(ann)"),
        ("1000:0", "uid=1000(ann) gid=0(root)"),
        ("4711", "uid=4711 gid=0(root)"),
        ("ann:wheel", "uid=1000(ann) gid=10(wheel)"),
    ],
)
def test_users(runtime: Runtime, user: str, expected: str) -> None:
    text = runtime.output("id", user={"uid": 0, "gid": 0, "username": user})
    assert text.replace(",1001(ann)", "").startswith(expected.replace(",1001(ann)", ""))


def test_a_user_without_rights_has_no_capability_and_owns_its_streams(runtime: Runtime) -> None:
    script = "grep CapEff /proc/self/status; echo open > /dev/stdout; echo $HOME"
    text = runtime.output("sh", "-c", script, user={"uid": 0, "gid": 0, "username": "ann"})
    assert text == "CapEff:\t0000000000000000\nopen\n/home/ann\n"


@pytest.mark.parametrize(
    ("args", "process", "text", "code"),
    [
        (["nosuch"], {}, 'exec: "nosuch": executable file not found in $PATH', 127),
        (["/nosuch"], {}, 'exec: "/nosuch": stat /nosuch: no such file or directory', 127),
        (["/etc/text"], {}, 'exec: "/etc/text": permission denied', 126),
        (["/etc"], {}, 'exec: "/etc": is a directory', 126),
        (["id"], {"user": {"uid": 0, "gid": 0, "username": "bob"}}, "unable to find user bob", 128),
        (["id"], {"cwd": "/etc/text"}, "is not a directory", 128),
        (["id"], {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]}, "rlimit", 128),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(
    runtime: Runtime, args: list[str], process: dict[str, object], text: str, code: int
) -> None:
    launch = runtime.prepare(runtime.spec(*args, **process))
    with pytest.raises(StartFailed) as failed:
        runtime.run(runtime.supervisor.launch(launch))
    assert text in str(failed.value)
    assert failed.value.code == code
    assert not launch.run_dir.exists()


def test_a_mount_that_fails_is_named(runtime: Runtime) -> None:
    spec = runtime.spec("true")
    spec["mounts"].append({"destination": "/x", "type": "tmpfs", "options": ["nonsense=1"]})
    with pytest.raises(StartFailed) as failed:
        runtime.start(spec)
    assert failed.value.step == "mount /x"
    assert "nonsense" in str(failed.value)


def test_a_file_cannot_be_mounted_onto_a_directory(runtime: Runtime) -> None:
    (runtime.home / "file").write_text("x")
    spec = runtime.spec("true")
    spec["mounts"].append({"destination": "/tmp", "type": "bind", "source": str(runtime.home / "file")})
    with pytest.raises(StartFailed, match="not a directory") as failed:
        runtime.start(spec)
    assert failed.value.step == "mount /tmp"


def test_a_missing_working_directory_is_made(runtime: Runtime) -> None:
    assert runtime.output("pwd", cwd="/tmp/new/place") == "/tmp/new/place\n"


def test_bind_mounts_come_from_the_host(runtime: Runtime) -> None:
    (runtime.home / "dir").mkdir()
    (runtime.home / "dir/file").write_text("hello")
    spec = runtime.spec("sh", "-c", "cat /data/file /f; echo new > /data/new; echo x > /ro/new")
    spec["mounts"] += [
        {"destination": "/data", "type": "bind", "source": str(runtime.home / "dir"), "options": ["rbind"]},
        {"destination": "/ro", "type": "bind", "source": str(runtime.home / "dir"), "options": ["rbind", "ro"]},
        {"destination": "/f", "type": "bind", "source": str(runtime.home / "dir/file"), "options": ["bind"]},
    ]
    monitor, client = runtime.attached(spec)
    text = read_all(client).decode()
    runtime.end(monitor)
    assert text.startswith("hellohello")
    assert "Read-only file system" in text
    assert (runtime.home / "dir/new").read_text() == "new\n"


def test_a_bind_below_the_interpreter_stays_writable(
    runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The zygote sees all of the host read-only; containers must not."""
    source = tmp_path_factory.mktemp("outside")
    spec = runtime.spec("sh", "-c", "echo new > /data/new")
    spec["mounts"].append({"destination": "/data", "type": "bind", "source": str(source), "options": ["rbind"]})
    assert runtime.end(runtime.start(spec)).code == 0
    assert (source / "new").exists()


@pytest.mark.parametrize("target", ["/", ".", "/..", "/etc", "../../../.."])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_an_image_whose_proc_is_a_link_is_refused(runtime: Runtime, name: str, target: str) -> None:
    """Mounted on the root itself, /proc would show what the masks, laid where /proc should be, do not cover."""
    root = runtime.home / "hostile"
    for directory in {"bin", "etc", "dev", "proc", "sys"} - {name}:
        (root / directory).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/sh")
    (root / name).symlink_to(target)
    with pytest.raises(StartFailed, match="ordinary directory") as failed:
        runtime.start(runtime.spec("sh", "-c", "true"), rootfs=root)
    assert failed.value.step == f"mount /{name}"


def test_nothing_is_mounted_on_the_root_itself(runtime: Runtime) -> None:
    spec = runtime.spec("true")
    spec["mounts"].append({"destination": "/tmp/..", "type": "tmpfs"})
    with pytest.raises(StartFailed, match="root of the container itself"):
        runtime.start(spec)


@pytest.mark.parametrize(
    "name", ["kernel.core_pattern", "../../kernel/x", "kernel.hostname", "vm.swappiness", "fs.file-max"]
)
def test_sysctls_of_the_host_are_refused(runtime: Runtime, name: str) -> None:
    spec = runtime.spec("true")
    spec["linux"]["sysctl"] = {name: "must not be written"}
    with pytest.raises(StartFailed, match="not in a separate kernel namespace"):
        runtime.start(spec)


def test_sysctls_of_the_container_are_set(runtime: Runtime) -> None:
    spec = runtime.spec("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax")
    spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}
    monitor, client = runtime.attached(spec)
    assert read_all(client) == b"1\n4096\n"
    runtime.end(monitor)


def test_a_link_in_the_image_leads_no_mount_out(runtime: Runtime) -> None:
    """CVE-2021-30465: a mount's target that is a link to the host's directory."""
    (runtime.rootfs / "tmp/link").symlink_to("/../../../../../../etc")
    spec = runtime.spec("sh", "-c", "cat /etc/inside; ls /tmp")
    (runtime.home / "d").mkdir()
    (runtime.home / "d/inside").write_text("inside")
    spec["mounts"].append({"destination": "/tmp/link", "type": "bind", "source": str(runtime.home / "d")})
    monitor, client = runtime.attached(spec)
    assert read_all(client).startswith(b"inside")
    runtime.end(monitor)
    (runtime.rootfs / "tmp/link").unlink()
