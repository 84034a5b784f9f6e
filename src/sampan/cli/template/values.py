"""Values as Go sees them: truth, printing, comparing, and an object whose fields are computed when asked for."""

from __future__ import annotations

import json

from sampan.cli.gotext import go_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


class Nil:
    """A value that is not there: false, ``null`` in JSON, printed as `shown` (which depends on its type in Go)."""

    __slots__ = ("shown",)

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __bool__(self) -> bool:
        return False


MISSING = Nil("<no value>")  # of a key that a map lacks
NIL_LIST = Nil("[]")
NIL_MAP = Nil("map[]")
NIL_POINTER = Nil("<nil>")


class Fields:
    """An object with computed fields, as Docker's formatting contexts are.

    `getters` computes a field from the object; `methods` are fields that take an argument (``.Label "x"``); `type_name`
    is what errors call it.
    """

    __slots__ = ("getters", "item", "methods", "type_name", "used")

    def __init__(
        self,
        item: Any,
        getters: Mapping[str, Callable[[Any], Any]],
        type_name: str,
        methods: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.item = item
        self.getters = getters
        self.type_name = type_name
        self.methods = methods or {}
        self.used: set[str] = set()

    def field(self, name: str) -> Any:
        """The field's value. Raises KeyError."""
        value = self.getters[name](self.item)
        self.used.add(name)
        return value

    def as_json(self) -> dict[str, Any]:
        """All fields by name, sorted: what ``json`` writes."""
        return {name: self.getters[name](self.item) for name in sorted(self.getters)}


def object_of(value: dict[str, Any], type_name: str) -> Fields:
    """An object with the keys of `value` as fields; a template that names another one fails."""
    return Fields(value, {key: _getter(key) for key in value}, type_name)


def _getter(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value[key]


class Struct(dict):  # type: ignore[type-arg]  # subscripting it would need typing at run time
    """An object of JSON that stands for a Go struct.

    `zeros` has the values of fields that are absent or null, `names` the JSON names of fields that Go calls otherwise.
    `order` are the JSON names of all fields in Go's order; with it the struct prints as ``{a b}``, not as a map.
    """

    __slots__ = ("names", "order", "zeros")

    def __init__(
        self,
        items: dict[str, Any],
        zeros: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
        order: Sequence[str] | None = None,
    ) -> None:
        super().__init__(items)
        self.zeros = zeros
        self.names = names or {}
        self.order = order

    def value(self, key: str) -> Any:
        """The value of a JSON name, its zero where it is absent or null. Raises KeyError."""
        found = self.get(key)
        return self.zeros[key] if found is None and key in self.zeros else self[key]

    def field(self, name: str) -> Any:
        """The field that Go calls `name`. Raises KeyError."""
        if name not in self.names and name in self.names.values():
            raise KeyError(name)
        return self.value(self.names.get(name, name))


class Moment(str):
    """A time: in JSON as the API has it, printed as Go's time.Time prints itself."""

    __slots__ = ()


def truth(value: Any) -> bool:
    """Go's truth: not empty, not zero, not nil."""
    return True if isinstance(value, Fields) else bool(value)


def show(value: Any, *, top: bool = False) -> str:  # noqa: PLR0911 - one type after another
    """``%v`` of a value; at the `top` of an action nothing is ``<no value>``."""
    if isinstance(value, str):
        return go_time(value) if isinstance(value, Moment) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>" if top else "<nil>"
    if isinstance(value, Nil):
        return value.shown
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, Struct) and value.order is not None:
        return "{" + " ".join(show(value.value(key)) for key in value.order) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(show(item) for item in value) + "]"
    if isinstance(value, Fields):
        return show(value.as_json())
    return str(value)


def show_float(value: float) -> str:
    """``%v`` of a float64: the shortest digits; an exponent from 1e21 on."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    mantissa, separator, exponent = text.partition("e")
    if not separator:
        return text
    return f"{mantissa.removesuffix('.0')}e{exponent}"


def to_json(value: Any) -> str:
    """What Docker's ``json`` function writes: compact, nothing escaped for HTML."""
    if isinstance(value, Fields):
        # Such a thing writes itself in Go, and then with HTML's marks escaped.
        text = to_json(value.as_json())
        return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Nil):
        return None
    raise TypeError(type(value).__name__)


def type_name(value: Any) -> str:
    """What Go calls the type of a value, for errors."""
    if isinstance(value, Fields):
        return value.type_name
    for kind, name in (
        (bool, "bool"),
        (str, "string"),
        (int, "int"),
        (float, "float64"),
        (dict, "map[string]interface {}"),
        (list, "[]interface {}"),
    ):
        if isinstance(value, kind):
            return name
    return "nil"
