"""Kinds of flag values: how each is read from the command line, and what its help says.

A kind's `read(text, before)` gives the flag's new value, where `before` is its value so far (repeated flags add to it);
it raises ValueError with the sentence that Docker (Go's strconv, go-units) has for the fault.
"""

from __future__ import annotations

from sampan.cli.gotext import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_SUFFIX_POWER = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATIONS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


class Kind:
    """A kind of value: its name in help, its value when the flag is absent, and how it is read."""

    __slots__ = ("absent", "bare", "name", "read", "shown")

    def __init__(
        self, name: str, read: Callable[[str, Any], Any], absent: Any, *, bare: str = "", shown: str = ""
    ) -> None:
        self.name = name
        self.read = read
        self.absent = absent
        self.bare = bare  # the value that the flag has when written without one
        self.shown = shown  # the default as help shows it; "" for a zero that it hides


def read_bool(text: str, _before: bool) -> bool:
    """strconv.ParseBool."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def integer(text: str, function: str, bits: int = 64, base: int = 0, *, signed: bool = True) -> int:
    """strconv.ParseInt and its like: `base` 0 takes 0x, 0o, 0b and underscores. `function` is named in the fault."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    try:
        if text != text.strip() or (base and "_" in text) or not text.isascii() or (not signed and text[:1] in "+-"):
            raise ValueError
        number = _go_int(text, base)
    except ValueError:
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: invalid syntax") from None
    if not low <= number <= high:
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: value out of range")
    return number


def _go_int(text: str, base: int) -> int:
    digits = text.lstrip("+-")
    if base == 0 and len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal():
        return int(text.replace(digits, digits.lstrip("0") or "0"), 8)  # Go reads a leading 0 as octal
    return int(text, base)


def read_size(text: str) -> int:
    """Bytes from ``64m``, ``1.5GiB`` …, units of 1024 (go-units RAMInBytes)."""
    edge = max((text.rfind(c) for c in "0123456789. "), default=-1)
    if edge < 0:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = text[: edge + (text[edge] != " ")], text[edge + 1 :]
    try:
        size = float(number)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {quote(number)}: invalid syntax") from None
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if not suffix:
        return int(size)
    if len(suffix) > 3:
        raise ValueError(f"invalid suffix: '{suffix}'")
    suffix = suffix.lower()
    if suffix == "b":
        return int(size)
    power = _SUFFIX_POWER.get(suffix[0])
    if power is None or suffix[1:] not in {"", "b", "ib"}:
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * 1024**power)


def read_swap(text: str, _before: int) -> int:
    """Bytes, or -1 for no limit."""
    return -1 if text == "-1" else read_size(text)


def read_cpus(text: str, _before: int) -> int:
    """Billionths of a CPU from a decimal or a fraction: ``0.5``, ``1/2``."""
    from fractions import Fraction

    try:
        nano = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if nano.denominator != 1:
        raise ValueError("value is too precise")
    return int(nano)


def read_duration(text: str, _before: int = 0) -> int:
    """Nanoseconds from ``1h30m``, ``1.5s`` … (Go's time.ParseDuration)."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0
    total = 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quote(text)}")
    while rest:
        size = _span(rest, "0123456789.")
        number, rest = rest[:size], rest[size:]
        if not number.strip(".") or number.count(".") > 1:
            raise ValueError(f"time: invalid duration {quote(text)}")
        size = next((i for i, c in enumerate(rest) if c in "0123456789."), len(rest))
        unit, rest = rest[:size], rest[size:]
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if unit not in _DURATIONS:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total += float(number) * _DURATIONS[unit]
    return int(-total if text[:1] == "-" else total)


def _span(text: str, among: str) -> int:
    return next((i for i, c in enumerate(text) if c not in among), len(text))


def _no_check(text: str) -> str:
    return text


def list_of(check: Callable[[str], str] = _no_check, name: str = "list", shown: str = "") -> Kind:
    """A flag that may be given many times; `check` validates and normalises each value."""

    def read(text: str, before: list[str] | None) -> list[str]:
        return [*(before or ()), check(text)]

    return Kind(name, read, None, shown=shown)


def read_strings(text: str, before: list[str] | None) -> list[str]:
    """Values with commas between them, and more of them from each further flag."""
    from sampan.cli.csvtext import split_csv

    return [*(before or ()), *split_csv(text)]


def map_of(check: Callable[[str], str] = _no_check) -> Kind:
    """A flag of ``key=value`` that may be given many times: a dict."""

    def read(text: str, before: dict[str, str] | None) -> dict[str, str]:
        key, _, value = check(text).partition("=")
        return {**(before or {}), key: value}

    return Kind("map", read, None, shown="map[]")


def read_filter(text: str, before: dict[str, list[str]] | None) -> dict[str, list[str]]:
    """``name=value`` of --filter: values by name."""
    filters = dict(before or {})
    if not text:
        return filters
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError("bad format of filter (expected name=value)")
    name = name.strip().lower()
    filters[name] = [*filters.get(name, ()), value.strip()]
    return filters


def integer_kind(name: str = "int", bits: int = 64, *, signed: bool = True, absent: int = 0) -> Kind:
    """An integer; `name` is what help calls it."""
    function = "ParseInt" if signed else "ParseUint"
    shown = str(absent) if absent else ""
    return Kind(name, lambda text, _: integer(text, function, bits, signed=signed), absent, shown=shown)


BOOL = Kind("", read_bool, False, bare="true")
BOOL_TRUE = Kind("", read_bool, True, bare="true", shown="true")
STRING = Kind("string", lambda text, _: text, "")
INT = integer_kind()
UINT16 = integer_kind("uint16", 16, signed=False)
UINT64 = integer_kind("uint", signed=False)
BYTES = Kind("bytes", lambda text, _: read_size(text), 0)
SWAP_BYTES = Kind("bytes", read_swap, 0)
DECIMAL = Kind("decimal", read_cpus, 0)
DURATION = Kind("duration", read_duration, 0)
LIST = list_of()
STRINGS = Kind("strings", read_strings, None)
FILTER = Kind("filter", read_filter, None)


def string_default(text: str) -> Kind:
    """A string whose value is `text` when the flag is absent."""
    return Kind("string", lambda value, _: value, text, shown=quote(text))
