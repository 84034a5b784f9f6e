"""sampand's command line: dockerd's flags in pflag's syntax, as a table.

Syntax. ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``; a switch takes ``=true`` and
        ``=false``; ``--`` ends the flags. There are no arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sampan.daemon import values
from sampan.daemon.values import Value

_SHOWN: Final = {
    "switch": "", "text": " string", "list": " list", "map": " map", "number": " int", "size": " bytes",
    "address": " ip", "addresses": " ipSlice", "ulimits": " ulimit", "pools": " pool-options",
}  # fmt: skip


class UsageError(Exception):
    """A command line or a configuration file that can't be understood."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting; ``name`` is its flag, ``key`` its name in daemon.json; "" where it has none."""

    name: str
    kind: str  # of `sampan.daemon.values`
    help: str
    short: str = ""
    key: str = ""


FLAGS: Final = (
    Flag("bip", "text", "Specify default-bridge IPv4 network", key="bip"),
    Flag("cgroup-parent", "text", "Set parent cgroup for all containers", key="cgroup-parent"),
    Flag("config-file", "text", "Daemon configuration file"),
    Flag("data-root", "text", "Root directory of persistent state", key="data-root"),
    Flag("debug", "switch", "Enable debug mode", short="D", key="debug"),
    Flag(
        "default-address-pool",
        "pools",
        "Default address pools for networks: base=…,size=…",
        key="default-address-pools",
    ),
    Flag(
        "default-cgroupns-mode",
        "text",
        'Default mode for containers cgroup namespace ("host" | "private")',
        key="default-cgroupns-mode",
    ),
    Flag(
        "default-ipc-mode",
        "text",
        'Default mode for containers ipc ("shareable" | "private") (default "private")',
        key="default-ipc-mode",
    ),
    Flag("default-shm-size", "size", "Default shm size for containers (default 64MiB)", key="default-shm-size"),
    Flag("default-ulimit", "ulimits", "Default ulimits for containers", key="default-ulimits"),
    Flag("dns", "addresses", "DNS server to use", key="dns"),
    Flag("dns-opt", "list", "DNS options to use", key="dns-opts"),
    Flag("dns-search", "list", "DNS search domains to use", key="dns-search"),
    Flag("exec-root", "text", "Root directory for execution state files", key="exec-root"),
    Flag("group", "text", 'Group for the unix socket (default "sampan")', short="G", key="group"),
    Flag("help", "switch", "Print usage"),
    Flag("host", "list", "Daemon socket(s) to connect to: unix:///path, tcp://address:port", short="H", key="hosts"),
    Flag("icc", "switch", "Enable inter-container communication on the default bridge (default true)", key="icc"),
    Flag("insecure-registry", "list", "Enable insecure registry communication", key="insecure-registries"),
    Flag("ip", "address", "Host IP for port publishing from the default bridge network (default 0.0.0.0)", key="ip"),
    Flag("ip-masq", "switch", "Enable IP masquerading of the default bridge (default true)", key="ip-masq"),
    Flag("label", "list", "Set key=value labels to the daemon", key="labels"),
    Flag("log-driver", "text", 'Default driver for container logs (default "json-file")', key="log-driver"),
    Flag("log-level", "text", "Set the logging level (debug, info, warn, error, fatal)", short="l", key="log-level"),
    Flag("log-opt", "map", "Default log driver options for containers", key="log-opts"),
    Flag(
        "max-concurrent-downloads",
        "number",
        "Set the max concurrent downloads (default 3)",
        key="max-concurrent-downloads",
    ),
    Flag(
        "max-concurrent-uploads", "number", "Set the max concurrent uploads (default 5)", key="max-concurrent-uploads"
    ),
    Flag(
        "max-download-attempts",
        "number",
        "Set the max download attempts for each pull (default 5)",
        key="max-download-attempts",
    ),
    Flag("mtu", "number", "Set the MTU for the default bridge network", key="mtu"),
    Flag(
        "no-new-privileges",
        "switch",
        "Set no-new-privileges by default for new containers",
        key="no-new-privileges",
    ),
    Flag("pidfile", "text", "Path to use for daemon PID file", short="p", key="pidfile"),
    Flag("registry-mirror", "list", "Preferred Docker registry mirror", key="registry-mirrors"),
    Flag("shutdown-timeout", "number", "Seconds for answers under way when sampand ends", key="shutdown-timeout"),
    Flag("storage-driver", "text", "Storage driver to use: overlay, copy", short="s", key="storage-driver"),
    Flag(
        "tls", "switch", "Use TLS; --tls=false allows TCP sockets without it, open to whoever reaches them", key="tls"
    ),
    Flag("version", "switch", "Print version information and quit", short="v"),
    Flag("", "mirrors", "", key="mirrors"),  # of any registry: in the file only
)
_LONG: Final = {flag.name: flag for flag in FLAGS if flag.name}
_SHORT: Final = {flag.short: flag for flag in FLAGS if flag.short}


def parse(arguments: list[str]) -> dict[str, Value]:
    """Return the flags that were given, by name. Raises UsageError."""
    given: dict[str, Value] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            flag = _LONG.get(name)
            if flag is None:
                raise UsageError(f"unknown flag: --{name}")
            _take(given, flag, text if equals else None, rest)
        elif word.startswith("-") and len(word) > 1:
            _take_short(given, word[1:], rest)
        else:
            raise UsageError(f'"sampand" accepts no arguments: {word}')
    if rest:
        raise UsageError(f'"sampand" accepts no arguments: {rest[0]}')
    return given


def _take_short(given: dict[str, Value], letters: str, rest: list[str]) -> None:
    while letters:
        flag = _SHORT.get(letters[0])
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letters[0]}' in -{letters}")
        tail, letters = letters[1:], ""
        if flag.kind == "switch" and not tail.startswith("="):
            given[flag.name], letters = True, tail
        else:
            _take(given, flag, tail.removeprefix("=") if tail else None, rest)


def _take(given: dict[str, Value], flag: Flag, text: str | None, rest: list[str]) -> None:
    if text is None and flag.kind != "switch":
        if not rest:
            raise UsageError(f"flag needs an argument: --{flag.name}")
        text = rest.pop(0)
    before = given.get(flag.name) if flag.kind in values.GATHERED else None
    try:
        given[flag.name] = True if text is None else values.from_text(flag.kind, text, before)
    except ValueError as error:
        raise UsageError(f'invalid argument "{text}" for "--{flag.name}" flag: {error}') from None


def usage() -> str:
    """Return the help text."""
    lines = []
    for flag in _LONG.values():
        short = f"-{flag.short}, " if flag.short else "    "
        kind = _SHOWN[flag.kind]
        lines.append(f"  {short}--{flag.name + kind:<34} {flag.help}")
    return "Usage:  sampand [OPTIONS]\n\nThe container engine behind sampan.\n\nOptions:\n" + "\n".join(lines) + "\n"
