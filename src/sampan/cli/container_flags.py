"""The flags of ``run`` and ``create``, and the checks that each value gets while it is read.

What a value means is the engine's affair; here is only what Docker's client refuses itself, in its words.
"""

from __future__ import annotations

import os

from sampan.cli.kinds import (
    BOOL,
    BOOL_TRUE,
    BYTES,
    DECIMAL,
    DURATION,
    INT,
    LIST,
    STRING,
    SWAP_BYTES,
    UINT16,
    Kind,
    integer,
    integer_kind,
    list_of,
    map_of,
    read_size,
    string_default,
)
from sampan.cli.parser import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ULIMITS = frozenset(
    (
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
        *("rss", "rtprio", "rttime", "sigpending", "stack"),
    )
)
SYSCTLS = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_RATE = (
    "invalid rate for device: {}. The correct format is <device-path>:<number>{}. Number must be a positive integer{}"
)


def check_env(text: str) -> str:
    """``NAME=value``; a NAME alone takes its value from the environment, if it is there."""
    name, separator, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if not separator and name in os.environ:
        return f"{name}={os.environ[name]}"
    return text


def check_label(text: str) -> str:
    """``key=value`` or a key alone."""
    key = text.partition("=")[0].lstrip(" \t")
    if not key:
        raise ValueError(f"invalid label '{text}': empty name")
    if " " in key or "\t" in key:
        raise ValueError(f"label '{key}' contains whitespaces")
    return text


def check_stream(text: str) -> str:
    """A stream of --attach, in any case."""
    if text.lower() not in {"stdin", "stdout", "stderr"}:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def check_sysctl(text: str) -> str:
    """A sysctl that belongs to a namespace."""
    name, separator, _ = text.partition("=")
    if separator and (name in SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        return text
    raise ValueError(f"sysctl '{text}' is not allowed")


def check_link(text: str) -> str:
    """``container[:alias]``."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def check_address(text: str) -> str:
    """An IP address, in its canonical form."""
    from sampan.cli.addresses import parse_ip

    address = parse_ip(text.strip())
    if address is None:
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return str(address)


def check_domain(text: str) -> str:
    """A DNS search domain, or ``.``."""
    import re

    text = text.strip(" ")
    if text == ".":
        return text
    label = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?"
    match = re.match(rf"({label}(?:\.{label})*)\.?\s*$", text)
    if not re.search("[a-zA-Z]", text) or match is None or len(match[1]) >= 255:
        raise ValueError(f"{text} is not a valid domain")
    return match[1]


def check_host(text: str) -> str:
    """``name:address`` or ``name=address`` of --add-host; the answer has a colon."""
    from sampan.cli.gotext import quote

    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if not separator or not name or ":" in name:
        raise ValueError(f"bad format for add-host: {quote(text)}")
    if address != "host-gateway":
        if len(address) > 2 and address[0] == "[" and address[-1] == "]":
            address = address[1:-1]
        try:
            check_address(address)
        except ValueError:
            raise ValueError(f"invalid IP address in add-host: {quote(address)}") from None
    return f"{name}:{address}"


def check_device_rule(text: str) -> str:
    """``type major:minor mode`` of --device-cgroup-rule."""
    import re

    if not re.match(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}\Z", text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def read_ulimit(text: str, before: dict[str, Any] | None) -> dict[str, Any]:
    """``name=soft[:hard]``: API ulimits by name."""
    name, separator, limits = text.partition("=")
    if not separator:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    hard = integer(parts[-1], "ParseInt", base=10)
    soft = integer(parts[0], "ParseInt", base=10)
    if hard != -1 and (soft == -1 or soft > hard):
        shown = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {shown}")
    return {**(before or {}), name: {"Name": name, "Hard": hard, "Soft": soft}}


def _device_setting(text: str) -> tuple[str, str]:
    path, separator, value = text.partition(":")
    if not separator or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def read_byte_rate(text: str, before: list[Any] | None) -> list[Any]:
    """``/dev/path:rate[unit]``, bytes a second."""
    path, value = _device_setting(text)
    try:
        rate = read_size(value)
    except ValueError:
        raise ValueError(_RATE.format(text, "[<unit>]", ". Unit is optional and can be kb, mb, or gb")) from None
    return [*(before or ()), {"Path": path, "Rate": rate}]


def read_io_rate(text: str, before: list[Any] | None) -> list[Any]:
    """``/dev/path:rate``, operations a second."""
    path, value = _device_setting(text)
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(_RATE.format(text, "", ""))
    return [*(before or ()), {"Path": path, "Rate": int(value)}]


def read_weight(text: str, before: list[Any] | None) -> list[Any]:
    """``/dev/path:weight``, 10 to 1000, or 0."""
    path, value = _device_setting(text)
    if not (value.isascii() and value.isdecimal()) or not (int(value) == 0 or 10 <= int(value) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return [*(before or ()), {"Path": path, "Weight": int(value)}]


def read_network(text: str, before: list[Any] | None) -> list[Any]:
    """A network's name, or ``name=…,alias=…,ip=…``."""
    from sampan.cli.container_network import attachment, is_long

    return [*(before or ()), attachment(text) if is_long(text) else {"name": text}]


def read_mount(text: str, before: list[Any] | None) -> list[Any]:
    """``type=…,source=…,target=…`` of --mount."""
    from sampan.cli.container_mounts import mount

    return [*(before or ()), mount(text)]


ENV = list_of(check_env)
_RATES = {
    "device-read-bps": Kind("list", read_byte_rate, None, shown="[]"),
    "device-write-bps": Kind("list", read_byte_rate, None, shown="[]"),
    "device-read-iops": Kind("list", read_io_rate, None, shown="[]"),
    "device-write-iops": Kind("list", read_io_rate, None, shown="[]"),
}
_NETWORK = Kind("network", read_network, None)
_CGROUPNS = """Cgroup namespace to use (host|private)
'host':    Run the container in the Docker host's cgroup namespace
'private': Run the container in its own private cgroup namespace
'':        Use the cgroup namespace as configured by the
           default-cgroupns-mode option on the daemon (default)"""
_START_PERIOD = (
    "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)"
)

# Accepted for the sake of scripts: Docker's own content trust has ended, and there is none here to disable.
UNTRUSTED = Flag("disable-content-trust", BOOL_TRUE, "Skip image verification")

CONTAINER_FLAGS = (
    Flag("add-host", list_of(check_host), "Add a custom host-to-IP mapping (host:ip)"),
    Flag("annotation", map_of(), "Add an annotation to the container (passed through to the OCI runtime)"),
    Flag("attach", list_of(check_stream), "Attach to STDIN, STDOUT or STDERR", "a"),
    Flag("blkio-weight", UINT16, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
    Flag(
        "blkio-weight-device", Kind("list", read_weight, None, shown="[]"), "Block IO weight (relative device weight)"
    ),
    Flag("cap-add", LIST, "Add Linux capabilities"),
    Flag("cap-drop", LIST, "Drop Linux capabilities"),
    Flag("cgroup-parent", STRING, "Optional parent cgroup for the container"),
    Flag("cgroupns", STRING, _CGROUPNS),
    Flag("cidfile", STRING, "Write the container ID to the file"),
    Flag("cpu-period", INT, "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", INT, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-rt-period", INT, "Limit CPU real-time period in microseconds"),
    Flag("cpu-rt-runtime", INT, "Limit CPU real-time runtime in microseconds"),
    Flag("cpu-shares", INT, "CPU shares (relative weight)", "c"),
    Flag("cpus", DECIMAL, "Number of CPUs"),
    Flag("cpuset-cpus", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", STRING, "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("device", LIST, "Add a host device to the container"),
    Flag("device-cgroup-rule", list_of(check_device_rule), "Add a rule to the cgroup allowed devices list"),
    Flag("device-read-bps", _RATES["device-read-bps"], "Limit read rate (bytes per second) from a device"),
    Flag("device-read-iops", _RATES["device-read-iops"], "Limit read rate (IO per second) from a device"),
    Flag("device-write-bps", _RATES["device-write-bps"], "Limit write rate (bytes per second) to a device"),
    Flag("device-write-iops", _RATES["device-write-iops"], "Limit write rate (IO per second) to a device"),
    UNTRUSTED,
    Flag("dns", list_of(check_address), "Set custom DNS servers"),
    Flag("dns-opt", LIST, "Set DNS options", hidden=True, target="dns-option"),
    Flag("dns-option", LIST, "Set DNS options"),
    Flag("dns-search", list_of(check_domain), "Set custom DNS search domains"),
    Flag("domainname", STRING, "Container NIS domain name"),
    Flag("entrypoint", STRING, "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", ENV, "Set environment variables", "e"),
    Flag("env-file", LIST, "Read in a file of environment variables"),
    Flag("expose", LIST, "Expose a port or a range of ports"),
    Flag("group-add", LIST, "Add additional groups to join"),
    Flag("health-cmd", STRING, "Command to run to check health"),
    Flag("health-interval", DURATION, "Time between running the check (ms|s|m|h) (default 0s)"),
    Flag("health-retries", INT, "Consecutive failures needed to report unhealthy"),
    Flag(
        "health-start-interval",
        DURATION,
        "Time between running the check during the start period (ms|s|m|h) (default 0s)",
    ),
    Flag("health-start-period", DURATION, _START_PERIOD),
    Flag("health-timeout", DURATION, "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
    Flag("help", BOOL, "Print usage"),
    Flag("hostname", STRING, "Container host name", "h"),
    Flag("init", BOOL, "Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", BOOL, "Keep STDIN open even if not attached", "i"),
    Flag("ip", STRING, "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", STRING, "IPv6 address (e.g., 2001:db8::33)"),
    Flag("ipc", STRING, "IPC mode to use"),
    Flag("isolation", STRING, "Container isolation technology"),
    Flag("kernel-memory", BYTES, "Kernel memory limit"),
    Flag("label", list_of(check_label), "Set meta data on a container", "l"),
    Flag("label-file", LIST, "Read in a line delimited file of labels"),
    Flag("link", list_of(check_link), "Add link to another container"),
    Flag("link-local-ip", LIST, "Container IPv4/IPv6 link-local addresses"),
    Flag("log-driver", STRING, "Logging driver for the container"),
    Flag("log-opt", LIST, "Log driver options"),
    Flag("mac-address", STRING, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("memory", BYTES, "Memory limit", "m"),
    Flag("memory-reservation", BYTES, "Memory soft limit"),
    Flag("memory-swap", SWAP_BYTES, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    Flag("memory-swappiness", integer_kind(absent=-1), "Tune container memory swappiness (0 to 100)"),
    Flag("mount", Kind("mount", read_mount, None), "Attach a filesystem mount to the container"),
    Flag("name", STRING, "Assign a name to the container"),
    Flag("net", _NETWORK, "Connect a container to a network", hidden=True, target="network"),
    Flag("net-alias", LIST, "Add network-scoped alias for the container", hidden=True, target="network-alias"),
    Flag("network", _NETWORK, "Connect a container to a network"),
    Flag("network-alias", LIST, "Add network-scoped alias for the container"),
    Flag("no-healthcheck", BOOL, "Disable any container-specified HEALTHCHECK"),
    Flag("oom-kill-disable", BOOL, "Disable OOM Killer"),
    Flag("oom-score-adj", INT, "Tune host's OOM preferences (-1000 to 1000)"),
    Flag("pid", STRING, "PID namespace to use"),
    Flag("pids-limit", INT, "Tune container pids limit (set -1 for unlimited)"),
    Flag("platform", STRING, "Set platform if server is multi-platform capable"),
    Flag("privileged", BOOL, "Give extended privileges to this container"),
    Flag("publish", LIST, "Publish a container's port(s) to the host", "p"),
    Flag("publish-all", BOOL, "Publish all exposed ports to random ports", "P"),
    Flag("quiet", BOOL, "Suppress the pull output", "q"),
    Flag("read-only", BOOL, "Mount the container's root filesystem as read only"),
    Flag("restart", string_default("no"), "Restart policy to apply when a container exits"),
    Flag("rm", BOOL, "Automatically remove the container and its associated anonymous volumes when it exits"),
    Flag("runtime", STRING, "Runtime to use for this container"),
    Flag("security-opt", LIST, "Security Options"),
    Flag("shm-size", BYTES, "Size of /dev/shm"),
    Flag("stop-signal", STRING, "Signal to stop the container"),
    Flag("stop-timeout", INT, "Timeout (in seconds) to stop a container"),
    Flag("storage-opt", LIST, "Storage driver options for the container"),
    Flag("sysctl", map_of(check_sysctl), "Sysctl options"),
    Flag("tmpfs", LIST, "Mount a tmpfs directory"),
    Flag("tty", BOOL, "Allocate a pseudo-TTY", "t"),
    Flag("ulimit", Kind("ulimit", read_ulimit, None, shown="[]"), "Ulimit options"),
    Flag("user", STRING, "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
    Flag("userns", STRING, "User namespace to use"),
    Flag("uts", STRING, "UTS namespace to use"),
    Flag("volume", LIST, "Bind mount a volume", "v"),
    Flag("volume-driver", STRING, "Optional volume driver for the container"),
    Flag("volumes-from", LIST, "Mount volumes from the specified container(s)"),
    Flag("workdir", STRING, "Working directory inside the container", "w"),
)
