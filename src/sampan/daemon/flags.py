"""sampand's command line: dockerd's flags in pflag's syntax, as a table.

Syntax. ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``; a switch takes ``=true`` and
        ``=false``; ``--`` ends the flags. There are no arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Value = str | bool | list[str] | dict[str, str]


class UsageError(Exception):
    """A command line or a configuration file that can't be understood."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; ``key`` is its name in daemon.json, "" for those that have no place there."""

    name: str
    kind: str  # "switch" | "text" | "list" | "map"
    help: str
    short: str = ""
    key: str = ""


FLAGS: Final = (
    Flag("cgroup-parent", "text", "Set parent cgroup for all containers", key="cgroup-parent"),
    Flag("config-file", "text", "Daemon configuration file"),
    Flag("data-root", "text", "Root directory of persistent state", key="data-root"),
    Flag("debug", "switch", "Enable debug mode", short="D", key="debug"),
    Flag("exec-root", "text", "Root directory for execution state files", key="exec-root"),
    Flag("group", "text", 'Group for the unix socket (default "sampan")', short="G", key="group"),
    Flag("help", "switch", "Print usage"),
    Flag("host", "list", "Daemon socket(s) to connect to: unix:///path, tcp://address:port", short="H", key="hosts"),
    Flag("log-driver", "text", 'Default driver for container logs (default "json-file")', key="log-driver"),
    Flag("log-level", "text", "Set the logging level (debug, info, warn, error, fatal)", short="l", key="log-level"),
    Flag("log-opt", "map", "Default log driver options for containers", key="log-opts"),
    Flag("pidfile", "text", "Path to use for daemon PID file", short="p", key="pidfile"),
    Flag("storage-driver", "text", "Storage driver to use: overlay, copy", short="s", key="storage-driver"),
    Flag(
        "tls", "switch", "Use TLS; --tls=false allows TCP sockets without it, open to whoever reaches them", key="tls"
    ),
    Flag("version", "switch", "Print version information and quit", short="v"),
)
_LONG: Final = {flag.name: flag for flag in FLAGS}
_SHORT: Final = {flag.short: flag for flag in FLAGS if flag.short}
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


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
    if flag.kind == "switch":
        given[flag.name] = True if text is None else _switch(flag, text)
        return
    if text is None:
        if not rest:
            raise UsageError(f"flag needs an argument: --{flag.name}")
        text = rest.pop(0)
    if flag.kind == "text":
        given[flag.name] = text
    elif flag.kind == "list":
        _list(given, flag.name).append(text)
    else:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f'invalid argument "{text}" for "--{flag.name}" flag: it must be name=value')
        _map(given, flag.name)[key] = value


def _switch(flag: Flag, text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise UsageError(f'invalid argument "{text}" for "--{flag.name}" flag: it must be true or false')
    return text in _TRUE


def _list(given: dict[str, Value], name: str) -> list[str]:
    value = given.setdefault(name, [])
    assert isinstance(value, list)
    return value


def _map(given: dict[str, Value], name: str) -> dict[str, str]:
    value = given.setdefault(name, {})
    assert isinstance(value, dict)
    return value


def usage() -> str:
    """Return the help text."""
    lines = []
    for flag in FLAGS:
        short = f"-{flag.short}, " if flag.short else "    "
        kind = {"switch": "", "text": " string", "list": " list", "map": " map"}[flag.kind]
        lines.append(f"  {short}--{flag.name + kind:<24} {flag.help}")
    return "Usage:  sampand [OPTIONS]\n\nThe container engine behind sampan.\n\nOptions:\n" + "\n".join(lines) + "\n"
