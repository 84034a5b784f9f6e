"""What sampand is to do: the command line, daemon.json and defaults made one.

A setting may stand on the command line or in the file, not in both; an unknown one stops the daemon with its name.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sampan.daemon.flags import FLAGS, Flag, UsageError, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS: Final = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
_TYPES: Final[dict[str, type]] = {"switch": bool, "text": str, "list": list, "map": dict}


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that was decided."""

    data_root: Path
    exec_root: Path
    pidfile: Path
    hosts: tuple[str, ...]
    debug: bool = False
    log_level: str = "INFO"  # logging's word
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    storage_driver: str = ""
    group: str = "sampan"
    cgroup_parent: str = ""
    allow_plain_tcp: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are when nobody says otherwise."""

    data_root: Path
    exec_root: Path
    config_file: Path


def default_places(uid: int, environment: Mapping[str, str]) -> Places:
    """Return root's places, or those of the XDG base directories for anybody else."""
    if uid == 0:
        return Places(Path("/var/lib/sampan"), Path("/run/sampan"), Path("/etc/sampan/daemon.json"))
    home = environment.get("HOME", "/")
    data = Path(environment.get("XDG_DATA_HOME") or f"{home}/.local/share")
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    config = Path(environment.get("XDG_CONFIG_HOME") or f"{home}/.config")
    return Places(data / "sampan", runtime / "sampan", config / "sampan" / "daemon.json")


def decide(given: Mapping[str, Value], places: Places) -> Options:
    """Return the options. Raises UsageError for the file's faults and for contradictions."""
    named = given.get("config-file")
    values = _from_file(Path(str(named)) if named else places.config_file, must_exist=bool(named))
    _check_not_both(given, values)
    values |= given
    level = str(values.get("log-level", "info"))
    if level not in _LEVELS:
        raise UsageError(f"invalid logging level: {level}; use one of {', '.join(_LEVELS)}")
    exec_root = Path(str(values.get("exec-root") or places.exec_root)).absolute()
    hosts = values.get("host") or [f"unix://{exec_root / 'sampan.sock'}"]
    debug = bool(values.get("debug", False))
    options = values.get("log-opt", {})
    return Options(
        data_root=Path(str(values.get("data-root") or places.data_root)).absolute(),
        exec_root=exec_root,
        pidfile=Path(str(values.get("pidfile") or exec_root / "sampand.pid")).absolute(),
        hosts=tuple(hosts) if isinstance(hosts, list) else (str(hosts),),
        debug=debug,
        log_level="DEBUG" if debug else _LEVELS[level],
        log_driver=str(values.get("log-driver", "json-file")),
        log_opts=dict(options) if isinstance(options, dict) else {},
        storage_driver=str(values.get("storage-driver", "")),
        group=str(values.get("group", "sampan")),
        cgroup_parent=str(values.get("cgroup-parent", "")),
        allow_plain_tcp=values.get("tls") is False,
    )


def _from_file(path: Path, *, must_exist: bool) -> dict[str, Value]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        if not must_exist:
            return {}
        raise _broken(path, f"open {path}: no such file or directory") from None
    except OSError as error:
        raise _broken(path, f"open {path}: {os.strerror(error.errno or 0).lower()}") from None
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _broken(path, str(error)) from None
    if not isinstance(document, dict):
        raise _broken(path, "it must hold one JSON object")
    return _checked(path, document)


def _checked(path: Path, document: dict[str, Any]) -> dict[str, Value]:
    known = {flag.key: flag for flag in FLAGS if flag.key}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise _broken(path, f"the following directives don't match any configuration option: {', '.join(unknown)}")
    return {known[key].name: _typed(path, known[key], value) for key, value in document.items()}


def _typed(path: Path, flag: Flag, value: Any) -> Value:
    parts: list[Any] = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not isinstance(value, _TYPES[flag.kind]) or not all(isinstance(part, str) for part in parts):
        raise _broken(path, f"{flag.key} must be a JSON {_json_name(flag.kind)}")
    return cast("Value", value)


def _json_name(kind: str) -> str:
    return {"switch": "boolean", "text": "string", "list": "array of strings", "map": "object of strings"}[kind]


def _check_not_both(given: Mapping[str, Value], values: Mapping[str, Value]) -> None:
    both = sorted(set(given) & set(values))
    if both:
        shown = ", ".join(f"{name}: (from flag: {given[name]}, from file: {values[name]})" for name in both)
        raise UsageError(
            f"the following directives are specified both as a flag and in the configuration file: {shown}"
        )


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"unable to configure sampand with file {path}: {why}")
