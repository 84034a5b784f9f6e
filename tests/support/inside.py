"""The view from inside a container: made by ``inside.sh``, stripped of what differs from one container to the next."""

import re
from pathlib import Path

from support.engine import Engine
from support.images import BUSYBOX

SCRIPT = Path(__file__).parent.parent / "conformance/docker_cli/inside.sh"
RECORDED = Path(__file__).parent.parent / "peer/inside.json"
VARIANTS: dict[str, list[str]] = {
    "default": [],
    "privileged": ["--privileged"],
    "terminal": ["-t"],
    "read-only": ["--read-only", "--tmpfs", "/tmp"],
    "user": ["--user", "app"],
    "numeric user": ["--user", "4711:815"],
    "cap-add": ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"],
    "cap-drop": ["--cap-drop", "ALL", "--cap-add", "CHOWN"],
    "cap-add all": ["--cap-add", "ALL"],
    "limits": ["--memory", "64m", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--pids-limit", "50"],
    "named": ["--hostname", "boat", "-w", "/made/here", "-e", "A=b"],
}
View = dict[str, list[str]]


def look(engine: Engine, flags: list[str]) -> View:
    """Run the probe in a container with ``flags``; each block's lines by its name, normalised."""
    container = engine.create("-e", f"PROBE={SCRIPT.read_text()}", *flags, BUSYBOX, "sh", "-c", 'eval "$PROBE"')
    engine.ok("start", container)
    engine.ok("wait", container)
    answer = engine.docker("logs", container)
    return _blocks(answer.out.replace("\r\n", "\n") + answer.err, container)


def _blocks(text: str, container: str) -> View:
    text = text.replace(container, "<id>").replace(container[:12], "<short id>")
    view: View = {}
    for block in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        view[name] = [line for raw in body.splitlines() if (line := _normal(name, raw))]
    view["env"] = [line for line in view["env"] if re.match(r"(HOME|HOSTNAME|PATH|TERM|A|SHLVL|PWD)=", line)]
    view["mounts"].sort()
    return view


def _normal(block: str, line: str) -> str:
    if block == "mounts":
        return _mount(line)
    if block == "cgroup":
        return re.sub(r"(?<=:/).*<id>$", "…<id>", line)
    return line.rstrip()


def _mount(line: str) -> str:
    """`root point options - type source super` without what names this machine's disks and directories."""
    before, _, after = line.partition(" - ")
    root, point, options = before.split()[:3]
    kind, _, rest = after.partition(" ")
    source, _, more = rest.partition(" ")
    if kind == "overlay":
        root, source, more = "/", "overlay", "rw"
    if kind in ("ext4", "xfs", "btrfs", "tmpfs") and point.startswith("/etc/"):
        root, kind, source, more = "<file>", "<host>", "<disk>", "rw"
    if kind in ("sysfs", "tmpfs") and options.startswith("ro,"):
        more = "…"  # a read-only mount; that its superblock is read-only too, or how large a mask is, changes nothing
    if kind.startswith("cgroup"):
        root = re.sub(r"^/.*<id>$", "/…<id>", root)
    more = ",".join(o for o in more.split(",") if not o.startswith(("inode64", "nr_inodes", "huge", "seclabel")))
    propagation = " ".join(re.sub(r":\d+", "", word) for word in before.split()[3:])
    return " ".join(filter(None, (point, root, options, propagation, "-", kind, source, more)))
