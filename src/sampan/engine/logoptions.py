"""Log drivers and their options.

Order.  As dockerd: names and how logs are delivered are checked when a container is created, what json-file is to do
        when it is started.
"""

from __future__ import annotations

import re
from typing import Final

from sampan.engine.errors import TASK_FAILED, BadParameter, EngineError, Internal
from sampan.engine.units import parse_size

MAX_SIZE: Final = 10_000_000  # bytes; logs are rotated by default
MAX_FILES: Final = 3
_JSON_FILE: Final = frozenset({"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"})
_DELIVERY: Final = frozenset({"mode", "max-buffer-size"})
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")


def check(driver: str, options: dict[str, str]) -> None:
    """Check what is checked when a container is created. Raises BadParameter."""
    if driver not in ("json-file", "none"):
        raise BadParameter(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    _check_delivery(options)
    allowed = _DELIVERY | (_JSON_FILE if driver == "json-file" else frozenset())
    for key in options:
        if key not in allowed:
            raise BadParameter(f"unknown log opt '{key}' for {driver} log driver")
    if "{{" in options.get("tag", ""):
        raise BadParameter("templates in the log opt 'tag' are not there yet: give the tag itself")
    if options.get("compress") in _TRUE:
        raise BadParameter("the log opt 'compress' is not there yet: rotated logs stay as they are")


def _check_delivery(options: dict[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise BadParameter(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" not in options:
        return
    if mode != "non-blocking":
        raise BadParameter("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    try:
        parse_size(options["max-buffer-size"])
    except BadParameter as error:
        raise BadParameter(f"error parsing option max-buffer-size: {error}") from None


def check_all(driver: str, options: dict[str, str]) -> None:
    """Check everything, as for the daemon's own defaults. Raises BadParameter."""
    check(driver, options)
    try:
        limits(options)
    except EngineError as error:
        raise BadParameter(str(error)) from None


def limits(options: dict[str, str]) -> tuple[int, int]:
    """Return max-size in bytes (-1: never rotate) and max-file, having checked json-file's options.

    Raises Internal with dockerd's words for a start that fails by them.
    """
    try:
        return _limits(options)
    except (BadParameter, ValueError) as error:
        raise Internal(f"{TASK_FAILED}failed to initialize logging driver: {error}") from None


def _limits(options: dict[str, str]) -> tuple[int, int]:
    size_text = options.get("max-size")
    size = MAX_SIZE if size_text is None else -1 if size_text == "-1" else parse_size(size_text)
    if size == 0:
        raise ValueError("max-size must be a positive number")
    files_text = options.get("max-file", str(MAX_FILES))
    if not _INTEGER.fullmatch(files_text):
        raise ValueError(f'strconv.Atoi: parsing "{files_text}": invalid syntax')
    if int(files_text) < 1:
        raise ValueError("max-file cannot be less than 1")
    compress = options.get("compress", "false")
    if compress not in _TRUE | _FALSE:
        raise ValueError(f'strconv.ParseBool: parsing "{compress}": invalid syntax')
    for key in ("labels-regex", "env-regex"):
        _check_pattern(options.get(key, ""))
    return size, int(files_text)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error}: `{pattern}`") from None
