"""Runs a parsed template on a value."""

from __future__ import annotations

from sampan.cli.gotext import quote
from sampan.cli.template.errors import TemplateError
from sampan.cli.template.functions import FUNCTIONS, HEADER_FUNCTIONS, NAMES
from sampan.cli.template.syntax import Node, Parser, line_of
from sampan.cli.template.values import MISSING, Fields, Nil, Struct, show, truth, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_NONE = object()


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A template that was parsed. `name` is what errors call it; `extra` are functions of its own."""

    def __init__(self, text: str, name: str = "", extra: dict[str, Callable[..., Any]] | None = None) -> None:
        """Parse `text`. Raises TemplateError."""
        self.text = text
        self.name = name
        self._functions = FUNCTIONS | (extra or {})
        self._nodes = Parser(name, text, NAMES | frozenset(extra or ())).parse()

    def run(self, value: Any, *, strict: bool = False, header: bool = False) -> str:
        """The text for `value`. `strict`: a key that a map lacks is an error. Raises TemplateError."""
        functions = self._functions | HEADER_FUNCTIONS if header else self._functions
        return _Run(self, value, functions, strict=strict).text()


class _Run:
    """One run: the output so far and the variables in reach."""

    def __init__(
        self, template: Template, value: Any, functions: dict[str, Callable[..., Any]], *, strict: bool
    ) -> None:
        self._template = template
        self._functions = functions
        self._strict = strict
        self._root = value
        self._variables: list[tuple[str, Any]] = [("$", value)]
        self._out: list[str] = []

    def text(self) -> str:
        self._walk(self._template._nodes, self._root)
        return "".join(self._out)

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _walk(self, nodes: list[Node], dot: Any) -> None:
        for node in nodes:
            if node.kind == "text":
                self._out.append(node.value)
            elif node.kind == "action":
                value = self._pipe(node.parts, dot)
                if not node.parts.value[0]:
                    self._out.append(show(value, top=True))
            elif node.kind in {"if", "with"}:
                self._branch(node, dot)
            elif node.kind == "range":
                self._range(node, dot)
            else:
                raise _Break if node.kind == "break" else _Continue

    def _branch(self, node: Node, dot: Any) -> None:
        depth = len(self._variables)
        value = self._pipe(node.parts, dot)
        if truth(value):
            self._walk(node.body, value if node.kind == "with" else dot)
        else:
            self._walk(node.other, dot)
        del self._variables[depth:]

    def _range(self, node: Node, dot: Any) -> None:
        depth = len(self._variables)
        names, _assign = node.parts.value
        value = self._pipe(node.parts, dot, declare=False)
        ran = False
        for key, item in self._items(node, value):
            ran = True
            if names:
                self._variables += zip(names, (key, item) if len(names) > 1 else (item,), strict=True)
            try:
                self._walk(node.body, item)
            except _Break:
                break
            except _Continue:
                continue
            finally:
                del self._variables[depth:]
        if not ran:
            self._walk(node.other, dot)

    def _items(self, node: Node, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, (list, tuple)):
            return enumerate(value)
        if isinstance(value, dict):
            return ((key, value[key]) for key in sorted(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return ((i, i) for i in range(value))
        if value is None or isinstance(value, Nil):
            return ()
        raise self._error(node.parts, f"range can't iterate over {show(value)}")

    # ── pipelines ────────────────────────────────────────────────────────────────────────────────────────────────

    def _pipe(self, pipe: Node, dot: Any, *, declare: bool = True) -> Any:
        value: Any = _NONE
        for command in pipe.parts:
            value = self._command(command, dot, value)
        names, assign = pipe.value
        if names and declare:
            if assign:
                self._assign(names[0], value)
            else:
                self._variables.append((names[0], value))
        return value

    def _assign(self, name: str, value: Any) -> None:
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return

    def _command(self, command: Node, dot: Any, last: Any) -> Any:
        first, *others = command.parts
        if first.kind == "function":
            return self._call(first, others, dot, last, command)
        arguments = [self._operand(node, dot) for node in others]
        if last is not _NONE:
            arguments.append(last)
        if first.kind in {"field", "variable", "chain"}:
            return self._chain(first, dot, arguments)
        if arguments:
            raise self._error(first, f"can't give argument to non-function {first.text}")
        if first.kind == "nil":
            raise self._error(first, "nil is not a command")
        return self._operand(first, dot)

    def _operand(self, node: Node, dot: Any) -> Any:
        if node.kind == "constant":
            return node.value
        if node.kind == "dot":
            return dot
        if node.kind == "nil":
            return None
        if node.kind == "pipe":
            return self._pipe(node, dot)
        if node.kind == "function":
            return self._call(node, [], dot, _NONE, node)
        return self._chain(node, dot, [])

    def _chain(self, node: Node, dot: Any, arguments: list[Any]) -> Any:
        if node.kind == "field":
            value = dot
        elif node.kind == "variable":
            value = next(v for name, v in reversed(self._variables) if name == node.value)
        else:
            value = self._operand(node.value, dot)
        if not node.parts and arguments:
            raise self._error(node, f"can't give argument to non-function {node.text}")
        for index, name in enumerate(node.parts):
            value = self._field(node, value, name, arguments if index == len(node.parts) - 1 else [])
        return value

    def _field(self, node: Node, value: Any, name: str, arguments: list[Any]) -> Any:
        if isinstance(value, Fields):
            return self._computed(node, value, name, arguments)
        if arguments:
            raise self._error(node, f"{name} is not a method but has arguments")
        if isinstance(value, Struct):
            try:
                return value.field(name)
            except KeyError:
                raise self._error(node, f"can't evaluate field {name}") from None
        if isinstance(value, dict):
            if name in value:
                return value[name]
            if self._strict:
                raise self._error(node, f"map has no entry for key {quote(name)}")
            return MISSING
        if value is None or isinstance(value, Nil):
            what = "nil data; no entry for key" if value is self._root else "nil pointer evaluating interface {}"
            text = f"{what} {quote(name)}" if value is self._root else f"{what}.{name}"
            raise self._error(node, text)
        raise self._error(node, f"can't evaluate field {name} in type {_in_interface(value)}")

    def _computed(self, node: Node, value: Fields, name: str, arguments: list[Any]) -> Any:
        if name in value.methods:
            if len(arguments) != 1:
                raise self._error(node, f"wrong number of args for {name}: want 1 got {len(arguments)}")
            return value.methods[name](value.item, *arguments)
        try:
            result = value.field(name)
        except KeyError:
            raise self._error(node, f"can't evaluate field {name} in type {value.type_name}") from None
        if arguments:
            raise self._error(node, f"wrong number of args for {name}: want 0 got {len(arguments)}")
        return result

    def _call(self, function: Node, operands: list[Node], dot: Any, last: Any, command: Node) -> Any:
        name = function.value
        if name in {"and", "or"}:
            return self._lazy(name, operands, dot, last, function)
        arguments = [self._operand(node, dot) for node in operands]
        if last is not _NONE:
            arguments.append(last)
        try:
            return self._functions[name](*arguments)
        except ValueError as error:
            raise self._error(command if operands else function, f"error calling {name}: {error}") from None
        except (TypeError, KeyError):
            raise self._error(function, f"wrong number of args for {name}: got {len(arguments)}") from None

    def _lazy(self, name: str, operands: list[Node], dot: Any, last: Any, function: Node) -> Any:
        """and, or: the first value that decides, without looking at the rest."""
        value: Any = _NONE
        for node in operands:
            value = self._operand(node, dot)
            if truth(value) == (name == "or"):
                return value
        if last is not _NONE:
            return last
        if value is _NONE:
            raise self._error(function, f"wrong number of args for {name}: want at least 1 got 0")
        return value

    def _error(self, node: Node, what: str) -> TemplateError:
        text, name = self._template.text, self._template.name
        before = text[: node.offset]
        column = len(before) - before.rfind("\n") - 1
        where = f"{name}:{line_of(text, node.offset)}:{column}"
        return TemplateError(f"template: {where}: executing {quote(name)} at <{node.text}>: {what}")


def _in_interface(value: Any) -> str:
    return "interface {}" if not isinstance(value, (str, bool, int, float)) else type_name(value)
