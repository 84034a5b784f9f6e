"""Values of sampand's settings: from the command line's words and from daemon.json's JSON to one form.

Words.  *kind*: what a setting takes. ``switch``, ``text``, ``number``, ``list`` (of texts), ``map`` (of texts);
        ``address``, ``addresses`` (IP addresses as texts); ``size`` (bytes, from "64M"); ``ulimits``
        (name → {"Name", "Soft", "Hard"}); ``pools`` (list of {"base", "size"}); ``mirrors`` (host → list of URLs).
Source. The texts are dockerd's, seen on 26.1: encoding/json's where JSON is ill-typed, pflag's on the command line.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any, Final

Value = str | bool | int | list[Any] | dict[str, Any]

TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
GO_TYPES: Final = {
    "switch": "bool", "text": "string", "number": "int", "list": "[]string", "map": "map[string]string",
    "address": "net.IP", "addresses": "[]net.IP", "size": "string", "ulimits": "map[string]*units.Ulimit",
    "pools": "[]*ipamutils.NetworkToSplit", "mirrors": "map[string][]string", "switches": "map[string]bool",
    "maps": "map[string]map[string]string", "object": "map[string]interface {}",
}  # fmt: skip
GATHERED: Final = frozenset({"list", "map", "addresses", "ulimits", "pools"})  # a flag of these may be given again
_ELEMENT: Final = {
    "list": "text", "map": "text", "addresses": "address", "mirrors": "list", "switches": "switch", "maps": "map",
}  # fmt: skip
_PYTHON: Final[dict[str, type]] = {
    "switch": bool, "text": str, "number": int, "size": str, "address": str, "list": list, "addresses": list,
    "pools": list,
}  # fmt: skip
_ULIMIT: Final = {"Name": str, "Soft": int, "Hard": int}
_POOL: Final = {"base": str, "size": int}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_SIZES: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class WrongType(ValueError):
    """JSON of another type than the setting's; the text is encoding/json's."""

    def __init__(self, key: str, kind: str, value: Any) -> None:
        seen = _seen(value)
        super().__init__(f"json: cannot unmarshal {seen} into Go struct field Config.{key} of type {kind}")


def _seen(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return f"number {json.dumps(value)}"
    return {str: "string", int: "number", list: "array", dict: "object"}[type(value)]


def from_json(key: str, kind: str, value: Any) -> Value:
    """Return the value of a key of daemon.json, which isn't null. Raises ValueError with the text for the user."""
    _typed(key, kind, value)
    found: Value = value
    if kind == "size":
        found = parse_size(value)
    elif kind == "address":
        found = parse_address(value)
    elif kind == "ulimits":
        found = _ulimits(key, value)
    elif kind == "pools":
        found = [_fields(key, "ipamutils.NetworkToSplit", one, _POOL) for one in value]
    elif kind in ("list", "addresses"):
        found = [from_json(key, _ELEMENT[kind], one) for one in value]
    elif kind in _ELEMENT:
        found = {name: from_json(key, _ELEMENT[kind], one) for name, one in value.items()}
    return found


def _typed(key: str, kind: str, value: Any) -> None:
    wanted = _PYTHON.get(kind, dict)
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return
    if kind == "size":
        raise ValueError(f'invalid size: "{json.dumps(value)}"')
    raise WrongType(key, GO_TYPES[kind], value)


def _fields(key: str, kind: str, value: Any, wanted: dict[str, type]) -> dict[str, Any]:
    """Return the fields of an object that are known, as encoding/json does; 0 and "" for those that aren't there."""
    if not isinstance(value, dict):
        raise WrongType(key, kind, value)
    found = {}
    for name, type_ in wanted.items():
        field = value.get(name, type_())
        if not isinstance(field, type_) or isinstance(field, bool):
            raise WrongType(f"{key}.{name}", {str: "string", int: "int64"}[type_], field)
        if isinstance(field, int) and not -(1 << 63) <= field < 1 << 63:
            raise WrongType(f"{key}.{name}", "int64", field)
        found[name] = field
    return found


def _ulimits(key: str, value: dict[str, Any]) -> dict[str, Any]:
    found = {name: _fields(key, "units.Ulimit", one, _ULIMIT) for name, one in value.items()}
    return {name: {**one, "Name": one["Name"] or name} for name, one in found.items()}


def from_text(kind: str, text: str, before: Value | None) -> Value:
    """Return the value of a flag; ``before`` is what the same flag said earlier on the command line.

    Raises ValueError with the reason.
    """
    if kind in _SINGLE:
        return _SINGLE[kind](text)
    if kind == "addresses":
        return [*_list(before), *(_flag_address(one.strip()) for one in text.split(","))]
    if kind in ("list", "pools"):
        return [*_list(before), _pool(text) if kind == "pools" else text]
    name, value = _ulimit(text) if kind == "ulimits" else _pair(text)
    return {**(before if isinstance(before, dict) else {}), name: value}


def _list(before: Value | None) -> list[Any]:
    return before if isinstance(before, list) else []


def _switch(text: str) -> bool:
    if text not in TRUE | FALSE:
        raise ValueError("it must be true or false")
    return text in TRUE


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _flag_address(text: str) -> str:
    try:
        return parse_address(text)
    except ValueError:
        raise ValueError(f"invalid string being converted to IP address: {text}") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError("it must be name=value")
    return key, value


def _pool(text: str) -> dict[str, Any]:
    """Read ``base=172.30.0.0/16,size=24``."""
    found: dict[str, Any] = {"base": "", "size": 0}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"invalid field '{part}' must be a key=value pair")
        if name.lower() not in found:
            raise ValueError(f"unexpected key '{name}' in '{part}'")
        if name.lower() == "size" and not value.isdecimal():
            raise ValueError(f"invalid size value: {value} (must be integer): strconv.Atoi: parsing "
                             f'"{value}": invalid syntax')  # fmt: skip
        found[name.lower()] = int(value) if name.lower() == "size" else value
    return found


def _ulimit(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``nofile=1024:2048`` or ``nofile=1024``."""
    name, equals, limits = text.partition("=")
    if not equals or not limits:
        raise ValueError(f"invalid ulimit argument: {text}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    numbers = [_number(part) for part in parts]
    return name, {"Name": name, "Soft": numbers[0], "Hard": numbers[-1]}


def parse_address(text: str) -> str:
    """Return an IP address in canonical form. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"invalid IP address: {text}") from None


def parse_size(text: str) -> int:
    """Return the bytes of "64M", "1.5g", "4096": powers of 1024, as --shm-size. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _SIZES[match[2].lower()])


_SINGLE: Final[dict[str, Callable[[str], Value]]] = {
    "switch": _switch, "text": str, "number": _number, "size": parse_size, "address": parse_address,
}  # fmt: skip


def shown(value: Value) -> str:
    """Return a value as Go's ``%v`` prints it, which is how dockerd tells of two that contradict each other."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{' '.join(shown(one) for one in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{shown(one)}' for key, one in sorted(value.items()))}]"
    return str(value)
