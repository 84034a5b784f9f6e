"""The types of an image configuration's members: a container could not be made of what has wrong ones.

Source. OCI image specification, config.md; names count regardless of case and null is absent, as in Go's decoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sampan.image.errors import BadArchive


def document(content: bytes, what: str) -> Any:
    """Parse JSON that came from outside; ``what`` says which. Raises BadArchive."""
    try:
        return json.loads(content)
    except RecursionError:
        raise BadArchive(f"{what}: nested too deep") from None
    except json.JSONDecodeError as error:
        raise BadArchive(f"{what}: no JSON from character {error.pos} on") from None
    except ValueError:  # no text
        raise BadArchive(f"{what}: no JSON") from None


def check(config: dict[str, Any]) -> None:
    """Check a configuration that came from outside. Raises BadArchive."""
    os_name = config.get("os")
    if os_name not in (None, "", "linux"):
        raise BadArchive(f"cannot load {os_name} image on linux")
    _check_types(config, _CONFIGURATION, "")
    for step in config.get("history") or ():
        if not isinstance(step, dict):
            raise BadArchive("invalid image configuration: history has the wrong type")
        _check_types(step, _STEP, "history.")
    defaults = config.get("config") or {}
    _check_types(defaults, _DEFAULTS, "config.")
    for name, value in defaults.items():
        if name.lower() == "healthcheck" and value is not None:
            _check_types(value, _HEALTHCHECK, "config.Healthcheck.")


def _check_types(values: dict[str, Any], wanted: dict[str, Callable[[Any], bool]], where: str) -> None:
    for name, value in values.items():
        check = wanted.get(name.lower())
        if check is not None and value is not None and not check(value):
            raise BadArchive(f"invalid image configuration: {where}{name} has the wrong type")


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_command(value: Any) -> bool:
    return isinstance(value, str) or _are_strings(value)


def _is_map(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(one, kind | None) for one in value.values())


_text, _number = _is(str), _is(int)
_CONFIGURATION: Final = {
    "config": _is(dict),
    "history": _is(list),
    **dict.fromkeys(("architecture", "variant", "os.version", "created", "author", "docker_version", "comment"), _text),
}
_STEP: Final = {
    **dict.fromkeys(("created", "created_by", "author", "comment"), _text),
    "empty_layer": _is(bool),
}
_DEFAULTS: Final = {
    **dict.fromkeys(("hostname", "domainname", "user", "image", "workingdir", "macaddress", "stopsignal"), _text),
    **dict.fromkeys(("env", "onbuild"), _are_strings),
    **dict.fromkeys(("cmd", "entrypoint", "shell"), _is_command),
    **dict.fromkeys(("exposedports", "volumes"), _is_map(dict)),
    "labels": _is_map(str),
    "healthcheck": _is(dict),
    "stoptimeout": _number,
    **dict.fromkeys(
        ("attachstdin", "attachstdout", "attachstderr", "tty", "openstdin", "stdinonce", "argsescaped"), _is(bool)
    ),
    "networkdisabled": _is(bool),
}
_HEALTHCHECK: Final = {
    "test": _are_strings,
    **dict.fromkeys(("interval", "timeout", "startperiod", "startinterval", "retries"), _number),
}
