"""Record what a Docker daemon does with users, capabilities, devices, logs and seccomp, for the tests to compare with.

    SAMPAN_PEER=unix:///path/docker.sock python tests/peer/record_security.py

Writes users.json, capabilities.json, devices.json, logs.json and seccomp.json beside this file. Needs the docker CLI,
busybox-static and, for seccomp.json, gcc. Images and containers it makes carry the prefix ``sampan-record``.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer.log_cases import LOG_INPUT, comparable  # noqa: E402 - found only through the line above
from peer.security_cases import CAPABILITY_CASES, GROUP, PASSWD, USER_CASES  # noqa: E402

IMAGE = "sampan-record:1"
PROBE = HERE / "seccomp_probe.c"


def docker(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the docker CLI on the peer."""
    environment = {**os.environ, "DOCKER_HOST": os.environ["SAMPAN_PEER"], "DOCKER_API_VERSION": "1.45"}
    return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, env=environment, check=False)


def build_image(probe: Path) -> None:
    """Import an image with busybox, the users of the cases, the log input and the seccomp probe."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        files = {
            "bin/busybox": Path("/bin/busybox").read_bytes(),
            "probe": probe.read_bytes(),
            "log-input": LOG_INPUT,
            "etc/passwd": PASSWD,
            "etc/group": GROUP,
        }
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    done = docker("import", "-", IMAGE, stdin=out.getvalue())
    done.check_returncode()


def run(options: list[str], *command: str) -> str:
    """Return the output of a container, or the error of the daemon without the CLI's prefix."""
    done = docker("run", "--rm", "--net=none", *options, IMAGE, *command)
    if done.returncode in (125, 126) and not done.stdout:
        return "error: " + done.stderr.decode().split("Error response from daemon: ")[-1].split("\n")[0]
    return done.stdout.decode("utf-8", "surrogateescape")


def users() -> list[dict[str, object]]:
    """uid, gid, groups and home for each case."""
    cases = []
    for spec, groups in USER_CASES:
        options = ["--user", spec, *(f"--group-add={group}" for group in groups)]
        script = "/bin/busybox grep -E '^(Uid|Gid|Groups):' /proc/self/status; echo Home: $HOME"
        answer = run(options, "/bin/busybox", "sh", "-c", script)
        cases.append({"user": spec, "groups": groups, "answer": answer.replace("\t", " ").strip()})
    return cases


def capabilities() -> dict[str, object]:
    """The bounding set for each case, and what the daemon itself may give."""
    cases = []
    for add, drop in CAPABILITY_CASES:
        options = [*(f"--cap-add={name}" for name in add), *(f"--cap-drop={name}" for name in drop)]
        answer = run(options, "/bin/busybox", "grep", "CapBnd", "/proc/self/status").strip()
        cases.append({"add": add, "drop": drop, "answer": answer.removeprefix("CapBnd:\t")})
    privileged = run(["--privileged"], "/bin/busybox", "grep", "CapBnd", "/proc/self/status")
    return {"available": privileged.strip().removeprefix("CapBnd:\t"), "cases": cases}


def devices() -> dict[str, object]:
    """/dev as the container sees it and, where the peer uses cgroup v1, its device list."""
    script = "cd /dev; for f in *; do if [ -L $f ]; then echo $f $(/bin/busybox readlink $f); else "
    script += "echo $f $(/bin/busybox stat -c '%F %t %T %a %u %g' $f); fi; done"
    answer: dict[str, object] = {}
    listing = run([], "/bin/busybox", "sh", "-c", script.replace("cd /dev", "cd /dev && set -- *"))
    answer["dev"] = sorted(listing.splitlines())
    for name, options in {"default": [], "privileged": ["--privileged"]}.items():
        mount = ["-v", "/sys/fs/cgroup:/cg:ro", "--cgroupns=host"]
        find = "/bin/busybox cat /cg/devices/$(/bin/busybox sed -n 's/.*:devices://p' /proc/self/cgroup)/devices.list"
        answer[name] = sorted(run([*options, *mount], "/bin/busybox", "sh", "-c", find).splitlines())
    return answer


def logs() -> list[str]:
    """The json-file lines of LOG_INPUT, their times taken out."""
    done = docker("run", "--name=sampan-record-logs", "--net=none", IMAGE, "/bin/busybox", "cat", "/log-input")
    done.check_returncode()
    path = docker("inspect", "-f", "{{.LogPath}}", "sampan-record-logs").stdout.decode().strip()
    pid = docker("run", "--rm", "--pid=host", "--net=none", IMAGE, "/bin/busybox", "pidof", "dockerd").stdout.split()[0]
    text = Path(f"/proc/{pid.decode()}/root{path}").read_bytes()
    docker("rm", "sampan-record-logs")
    return [comparable(line) for line in text.splitlines()]


def seccomp() -> dict[str, dict[str, int]]:
    """What each probe of seccomp_probe.c gets: errno, or 0."""
    cases = {"default": [], "sys_admin": ["--cap-add=SYS_ADMIN"], "unconfined": ["--security-opt=seccomp=unconfined"]}
    return {
        name: {line.split()[0]: int(line.split()[1]) for line in run(options, "/probe").splitlines()}
        for name, options in cases.items()
    }


def main() -> None:
    """Record everything."""
    with tempfile.TemporaryDirectory() as work:
        probe = Path(work) / "probe"
        subprocess.run(["gcc", "-static", "-O1", "-o", probe, PROBE], check=True)
        build_image(probe)
    for record in (users, capabilities, devices, logs, seccomp):
        path = HERE / f"{record.__name__}.json"
        path.write_text(json.dumps(record(), indent=1, ensure_ascii=True) + "\n")
    docker("rmi", IMAGE)


if __name__ == "__main__":
    main()
