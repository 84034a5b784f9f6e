"""Query parameters, read as dockerd reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_FALSE: Final = frozenset(("", "0", "no", "false", "none"))
_UNIX_TIME: Final = re.compile(r"(-?\d{1,18})(?:\.(\d{1,9}))?")
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?")


class QueryError(ValueError):
    """A parameter that can't be read; its text is meant for the client."""

    status: Final = 400


class Query:
    """The parameters of one request. Where a name comes several times, the first one counts (but see `all`)."""

    __slots__ = ("_pairs",)

    def __init__(self, raw: str) -> None:
        if "%" in raw and (bad := _BAD_ESCAPE.search(raw)):
            raise QueryError(f'invalid URL escape "{bad.group()}"')
        self._pairs: dict[str, list[str]] = {}
        for part in raw.split("&") if raw else ():
            key, _, value = part.partition("=")
            self._pairs.setdefault(unquote_plus(key), []).append(unquote_plus(value))

    def __contains__(self, name: str) -> bool:
        return name in self._pairs

    def text(self, name: str, default: str = "") -> str:
        """The value, or `default` if there is none."""
        return self._pairs[name][0] if name in self._pairs else default

    def all(self, name: str) -> list[str]:
        """Every value of a name that may come several times."""
        return self._pairs.get(name, [])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """False for "", "0", "no", "false", "none" and for no value; true for anything else."""
        return self._pairs[name][0].strip().lower() not in _FALSE if name in self._pairs else default

    def number(self, name: str) -> int | None:
        """A decimal number, None for none. Raises QueryError in the words of Go's strconv."""
        return self.required_number(name) if self.text(name) else None

    def required_number(self, name: str) -> int:
        """A decimal number that must be there."""
        text = self.text(name)
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise QueryError(f'strconv.Atoi: parsing "{text}": invalid syntax')
        return int(text)

    def filters(self) -> dict[str, list[str]]:
        """The parameter `filters`: `{"label": ["a", "b"]}` or, as old clients say it, `{"label": {"a": true}}`."""
        raw = self.text("filters")
        if not raw:
            return {}
        try:
            value = msgspec.json.decode(raw.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise QueryError("invalid filter") from error
        if not isinstance(value, dict):
            raise QueryError("invalid filter")
        return {name: _filter_values(values) for name, values in value.items()}

    def platform(self) -> str:
        """The parameter `platform` where it is OCI's JSON: "os/architecture[/variant]", "" where there is none."""
        raw = self.text("platform")
        if not raw:
            return ""
        try:
            value = msgspec.json.decode(raw.encode(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise QueryError(f"failed to parse platform: {error}") from error
        parts = [value.get(key) or "" for key in ("os", "architecture", "variant")]
        if not all(isinstance(part, str) for part in parts):
            raise QueryError("failed to parse platform: os, architecture and variant are texts")
        if not parts[0] or not parts[1]:
            raise QueryError("both OS and Architecture must be provided")
        return "/".join(filter(None, parts))

    def time_ns(self, name: str) -> int | None:
        """A point in time in nanoseconds since 1970, None for none; "1700000000.5" or RFC 3339."""
        text = self.text(name)
        return parse_time(text) if text else None


def _filter_values(values: Any) -> list[str]:
    names = list(values) if isinstance(values, (list, dict)) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise QueryError("invalid filter")
    if isinstance(values, dict) and not all(isinstance(flag, bool) for flag in values.values()):
        raise QueryError("invalid filter")
    return names


def parse_time(text: str) -> int:
    """`text` ("1700000000", "1700000000.123456789", RFC 3339 with or without zone, a date) as nanoseconds since 1970.

    Without a zone it is taken as UTC. Raises QueryError.
    """
    if match := _UNIX_TIME.fullmatch(text):
        seconds, fraction = match.groups(default="")
        sign = -1 if seconds.startswith("-") else 1
        return int(seconds) * 1_000_000_000 + sign * int(fraction.ljust(9, "0"))
    match = _RFC3339.fullmatch(text)
    if not match:
        raise QueryError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    day, clock, fraction, zone = match.groups(default="")
    try:
        whole = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone.upper().replace('Z', '+00:00')}")
    except ValueError as error:
        raise QueryError(f'parsing time "{text}": {error}') from error
    whole = whole if whole.tzinfo else whole.replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000_000 + int(fraction[1:].ljust(9, "0"))
