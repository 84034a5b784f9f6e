"""``--change`` of an import or a commit: a few Dockerfile instructions that edit an image's configuration.

Source: the Dockerfile reference; moby builder/dockerfile (which instructions a change may be, and messages). Variables
(``$NAME``) are expanded by the configuration's own environment, as far as the changes before have made it.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any, Final

from sampan.image.errors import InvalidChange
from sampan.image.expansion import environment, expand

_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([a-zA-Z]+))?")
_FIRST_WORD: Final = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_HEALTH_TIMES: Final = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_SINGLE: Final = ("USER", "WORKDIR", "STOPSIGNAL")
_MAY_BE_EMPTY: Final = ("CMD", "ENTRYPOINT")
_EXPANDED: Final = ("ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
SHELL: Final = ["/bin/sh", "-c"]

Config = dict[str, Any]

_OMITTED: Final = object()  # a member that is there only when it was set
_MEMBERS: Final[dict[str, Any]] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": _OMITTED,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Healthcheck": _OMITTED,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
    "StopSignal": _OMITTED,
}  # of a configuration, in the order that Docker writes them in


def empty_config() -> Config:
    """Return what Docker writes for an image without any settings; members in its order."""
    return {name: value for name, value in _MEMBERS.items() if value is not _OMITTED}


def apply_changes(changes: Iterable[str], base: Config | None = None) -> Config:
    """Return the configuration that the instructions make of ``base``, or of an empty one. Raises InvalidChange.

    What is in ``base`` is changed in place.
    """
    config = empty_config() if base is None else base
    command_set = False
    for change in changes:
        for line in filter(None, map(str.strip, change.splitlines())):
            keyword, _, rest = line.partition(" ")
            handler = _HANDLERS.get(keyword.upper())
            if handler is None:
                raise InvalidChange(f"{keyword} is not a valid change command")
            if not rest.strip() and keyword.upper() not in _MAY_BE_EMPTY:
                count = "exactly" if keyword.upper() in _SINGLE else "at least"
                raise InvalidChange(f"{keyword.upper()} requires {count} one argument")
            if keyword.upper() in _EXPANDED:
                rest = expand(rest, environment(config["Env"] or ()))
            command_set = command_set or keyword.upper() == "CMD"
            if keyword.upper() == "ENTRYPOINT" and not command_set:
                config["Cmd"] = None  # the command of the other entry point would be nonsense to this one
            handler(config, rest.strip())
    if base is not None:
        return config
    return {name: config[name] for name in _MEMBERS if name in config}


def _json_list(text: str) -> list[str] | None:
    """Return the strings of the JSON form, or None when ``text`` isn't that: then it is the shell form."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, list):
        return None
    if not all(isinstance(item, str) for item in value):
        raise InvalidChange("when using JSON array syntax, arrays must be comprised of strings only")
    return value


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidChange(f"{text}: {error}") from None


def _command(text: str) -> list[str] | None:
    if not text:
        return None
    listed = _json_list(text)
    return listed if listed is not None else [*SHELL, text]


def _cmd(config: Config, text: str) -> None:
    config["Cmd"] = _command(text)


def _entrypoint(config: Config, text: str) -> None:
    config["Entrypoint"] = _command(text)


def _pairs(instruction: str, text: str) -> list[tuple[str, str]]:
    """``K=V K2="v w"``, or the old form ``K the rest``."""
    first = _FIRST_WORD.match(text)
    if first is None or "=" not in first[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidChange(f"{instruction} must have two arguments")
        return [(key, value.strip())]
    pairs = []
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidChange(f"Syntax error - can't find = in {json.dumps(word)}. Must be of the form: name=value")
        if not key:
            raise InvalidChange(f"{instruction} names can not be blank")
        pairs.append((key, value))
    return pairs


def _env(config: Config, text: str) -> None:
    environment: list[str] = config["Env"] or []
    for key, value in _pairs("ENV", text):
        at = next((i for i, one in enumerate(environment) if one.startswith(f"{key}=")), len(environment))
        environment[at : at + 1] = [f"{key}={value}"]
    config["Env"] = environment


def _label(config: Config, text: str) -> None:
    config["Labels"] = {**(config["Labels"] or {}), **dict(_pairs("LABEL", text))}


def _expose(config: Config, text: str) -> None:
    ports: dict[str, Any] = config.get("ExposedPorts") or {}
    for word in _words(text):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        protocol = (match[3] or "tcp").lower() if match else ""
        if not 0 < first <= last <= 65535:
            raise InvalidChange(f"Invalid containerPort: {word}")
        if protocol not in ("tcp", "udp", "sctp"):
            raise InvalidChange(f"Invalid proto: {protocol}")
        ports |= {f"{port}/{protocol}": {} for port in range(first, last + 1)}
    config["ExposedPorts"] = dict(sorted(ports.items()))


def _volume(config: Config, text: str) -> None:
    listed = _json_list(text)
    paths = listed if listed is not None else _words(text)
    if not paths:
        raise InvalidChange("VOLUME requires at least one argument")
    if not all(path.strip() for path in paths):
        raise InvalidChange("VOLUME specified can not be an empty string")
    config["Volumes"] = {**(config["Volumes"] or {}), **{path.strip(): {} for path in paths}}


def _workdir(config: Config, text: str) -> None:
    config["WorkingDir"] = posixpath.normpath(posixpath.join("/", config["WorkingDir"], _unquoted(text)))


def _user(config: Config, text: str) -> None:
    config["User"] = _unquoted(text)


def _stopsignal(config: Config, text: str) -> None:
    config["StopSignal"] = _unquoted(text)


def _unquoted(text: str) -> str:
    return " ".join(_words(text))


def _onbuild(config: Config, text: str) -> None:
    keyword = text.split(maxsplit=1)[0].upper()
    if keyword == "ONBUILD":
        raise InvalidChange("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in ("FROM", "MAINTAINER"):
        raise InvalidChange(f"{keyword} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config["OnBuild"] or []), text]


def _healthcheck(config: Config, text: str) -> None:
    health: dict[str, Any] = {}
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        _health_flag(health, flag[2:])
        text = text.strip()
    keyword, _, command = text.partition(" ")
    if keyword.upper() == "NONE" and not command.strip():
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if keyword.upper() != "CMD":
        raise InvalidChange(f"Unknown type {json.dumps(keyword)} in HEALTHCHECK (try CMD)")
    if not command.strip():
        raise InvalidChange("Missing command after HEALTHCHECK CMD")
    listed = _json_list(command)
    test = ["CMD", *listed] if listed is not None else ["CMD-SHELL", command.strip()]
    config["Healthcheck"] = {"Test": test, **health}


def _health_flag(health: dict[str, Any], flag: str) -> None:
    name, _, value = flag.partition("=")
    if name in _HEALTH_TIMES:
        health[_HEALTH_TIMES[name]] = _duration(name, value)
    elif name == "retries":
        if not value.isdigit():
            raise InvalidChange(f"strconv.ParseInt: parsing {json.dumps(value)}: invalid syntax")
        health["Retries"] = int(value)
    else:
        raise InvalidChange(f"unknown flag: {name}")


def _duration(name: str, text: str) -> int:
    """Return the nanoseconds of one of Go's durations ("1m30s")."""
    total, at = 0.0, 0
    while at < len(text) and (match := _DURATION.match(text, at)):
        total += float(match[1]) * _UNIT_NS[match[2]]
        at = match.end()
    if at != len(text) or not text:
        raise InvalidChange(f"time: invalid duration {json.dumps(text)}")
    if total < 1_000_000:
        raise InvalidChange(f"Interval {json.dumps(name)} cannot be less than 1ms")
    return int(total)


_HANDLERS: Final[dict[str, Callable[[Config, str], None]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
