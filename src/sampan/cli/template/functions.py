"""The functions that templates may call: Go's own, and Docker's json, join, lower, pad, split, title, truncate, upper.

Each takes the arguments and returns a value; it raises ValueError with Go's sentence.
"""

from __future__ import annotations

from sampan.cli.gotext import quote
from sampan.cli.template.values import Fields, Nil, show, to_json, truth, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None or isinstance(value, Nil):
            raise ValueError("index of untyped nil")
        if isinstance(value, dict):
            value = value.get(key if isinstance(key, str) else show(key), "" if _all_strings(value) else None)
            continue
        if not isinstance(value, (list, str)):
            raise ValueError(f"can't index item of type {type_name(value)}")
        if not isinstance(key, int) or isinstance(key, bool):
            raise ValueError(f"cannot index slice/array with type {type_name(key)}")
        if not 0 <= key < len(value):
            raise ValueError(f"index out of range: {key}")
        value = value[key] if isinstance(value, list) else value.encode()[key]
    return value


def _all_strings(value: dict[str, Any]) -> bool:
    """Whether a map is one of strings, whose zero value is the empty string."""
    return bool(value) and all(isinstance(item, str) for item in value.values())


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, dict)):
        return len(value)
    if isinstance(value, Nil) and value.shown != "<no value>":
        return 0
    raise ValueError(f"len of type {type_name(value)}")


def _slice(value: Any, *bounds: int) -> Any:
    whole = value.encode() if isinstance(value, str) else value
    if not isinstance(whole, (bytes, list)):
        raise ValueError(f"can't slice item of type {type_name(value)}")
    start, stop = bounds[0] if bounds else 0, bounds[1] if len(bounds) > 1 else len(whole)
    if not 0 <= start <= stop <= len(whole):
        bad = stop if stop > len(whole) else start
        raise ValueError(f"index out of range: {bad}")
    part = whole[start:stop]
    return part.decode(errors="surrogateescape") if isinstance(part, bytes) else part


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if first is None or other is None:
            if first is other:
                return True
            continue
        if _basic(first) != _basic(other):
            raise ValueError("incompatible types for comparison")
        if first == other:
            return True
    return False


def _basic(value: Any) -> str:
    name = type_name(value)
    if name not in {"bool", "string", "int", "float64"}:
        raise ValueError(f"non-comparable type {value}: {name}")
    return name


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def call(first: Any, second: Any) -> bool:
        if _basic(first) != _basic(second):
            raise ValueError("incompatible types for comparison")
        if isinstance(first, bool):
            raise ValueError("invalid type for comparison")
        return compare(first, second)

    return call


def _printf(layout: str, *values: Any) -> str:
    """fmt.Sprintf for the verbs v, s, d, q, x, X, f, g, e, t, c, o, b, U and %%, with flags, width and precision."""
    import re

    left = list(values)

    def put(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, left.pop(0), flags, precision)
        if width and len(text) < int(width):
            if "-" in flags:
                return text.ljust(int(width))
            return text.rjust(int(width), "0" if "0" in flags else " ")
        return text

    text = re.sub(r"%([-+# 0]*)(\d*)(?:\.(\d*))?(.)", put, layout, flags=re.DOTALL)
    extra = ", ".join(f"{type_name(value)}={show(value)}" for value in left)
    return f"{text}%!(EXTRA {extra})" if left else text


def _verb(verb: str, value: Any, flags: str, precision: str | None) -> str:  # noqa: PLR0911 - one verb after another
    if isinstance(value, Fields):
        value = value.as_json()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if verb == "v" or (verb == "s" and not number and not isinstance(value, bool)):
        text = show(value)
        return text[: int(precision)] if precision and verb == "s" else text
    if verb == "q" and isinstance(value, str):
        return quote(value)
    if verb in "dxXobc" and isinstance(value, int) and not isinstance(value, bool):
        return ("+" if "+" in flags and value >= 0 else "") + format(value, verb)
    if verb in "xX" and isinstance(value, str):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    if verb in "feEgG" and isinstance(value, float):
        return format(value, f".{precision or 6}{verb}" if verb != "g" or precision else "g")
    if verb == "t" and isinstance(value, bool):
        return show(value)
    return f"%!{verb}({type_name(value)}={show(value)})"


def _join(items: Any, separator: str) -> str:
    if not isinstance(items, list):
        if items is None or isinstance(items, Nil):
            return ""
        raise ValueError(f"wrong type for value; expected []string; got {type_name(items)}")
    return separator.join(show(item) for item in items)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(value)}")
    return value


def _split(text: Any, separator: str) -> list[str]:
    return _string(text).split(separator) if separator else list(_string(text))


def _title(text: Any) -> str:
    result, start = [], True
    for char in _string(text):
        result.append(char.upper() if start else char)
        start = not (char.isalnum() or char in "_'")
    return "".join(result)


def _pad(text: Any, before: int, after: int) -> str:
    return " " * before + _string(text) + " " * after if text else ""


def _truncate(text: Any, length: int) -> str:
    return _string(text).encode()[:length].decode(errors="surrogateescape")


def _print(*values: Any) -> str:
    """fmt.Sprint: a space between two operands of which neither is a string."""
    text = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            text += " "
        text += show(value)
    return text


def _html(*values: Any) -> str:
    import html

    return html.escape(_print(*values), quote=False).replace('"', "&#34;").replace("'", "&#39;")


def _url(*values: Any) -> str:
    from sampan.api.client.transport import quote as percent

    return percent(_print(*values))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "index": _index,
    "len": _length,
    "slice": _slice,
    "eq": _equal,
    "ne": lambda a, b: not _equal(a, b),
    "lt": _ordered(lambda a, b: a < b),
    "le": _ordered(lambda a, b: a <= b),
    "gt": _ordered(lambda a, b: a > b),
    "ge": _ordered(lambda a, b: a >= b),
    "not": lambda value: not truth(value),
    "print": _print,
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "printf": _printf,
    "html": _html,
    "urlquery": _url,
    "json": to_json,
    "join": _join,
    "split": _split,
    "title": _title,
    "lower": lambda text: _string(text).lower(),
    "upper": lambda text: _string(text).upper(),
    "pad": _pad,
    "truncate": _truncate,
}

# For a table's header line the same template runs on the columns' titles, which these leave as they are.
HEADER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: (lambda value, *_: value) for name in ("json", "join", "split", "title", "lower", "upper", "truncate")
}
LAZY = frozenset(("and", "or"))  # evaluated by `evaluate`, argument by argument
NAMES = frozenset(FUNCTIONS) | LAZY | {"call", "js"}
