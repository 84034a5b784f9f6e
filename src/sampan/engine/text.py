"""What no text of a container may hold: NUL bytes, at which the kernel, or a library, would cut it short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sampan.api import schema
from sampan.engine.errors import BadParameter

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPED: Final = b"\\u0000"
_FREE: Final = frozenset({"Labels", "Annotations"})  # kept and shown, and never given to the kernel


def check(value: schema.Struct) -> None:
    """Look into every field. Raises BadParameter, which names the field."""
    if _ESCAPED not in schema.encode(value):
        return
    for name in _spoilt(schema.to_json(value), ""):
        raise BadParameter(f"invalid {name}: it has a NUL byte")


def _spoilt(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield name
    elif isinstance(value, list):
        for part in value:
            yield from _spoilt(part, name)
    elif isinstance(value, dict):
        for key, part in value.items():
            if "\0" in key:  # a field's own name has none: this is a map
                yield name
            elif key not in _FREE:
                yield from _spoilt(part, f"{name}.{key}".lstrip("."))
