"""From a template's text to its nodes.

Nodes carry the offset at which Go says that they are, for errors: a chain like ``.A.B`` is at its second field.
"""

from __future__ import annotations

import re

from sampan.cli.gotext import quote
from sampan.cli.template.errors import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\.)+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
          |(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<variable>\$\w*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<declare>:=)
      | (?P<mark>[.|(),=])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))")
_CONSTANTS = {"true": True, "false": False}
_KEYWORDS = frozenset(("if", "else", "end", "range", "with", "break", "continue", "define", "template", "block"))


class Node:
    """Part of a template. `kind` tells which; `text` is how Go writes it in errors; the rest depends on the kind.

    text(value) · action(pipe) · if/with/range(pipe, body, other) · break · continue
    pipe(declared, assign, commands) · command(operands) · field(names) · variable(names) · dot · nil
    chain(base, names) · constant(value) · function(value)
    """

    __slots__ = ("body", "kind", "offset", "other", "parts", "text", "value")

    def __init__(self, kind: str, offset: int, text: str = "", value: Any = None, parts: Any = ()) -> None:
        self.kind = kind
        self.offset = offset
        self.text = text
        self.value = value
        self.parts = parts
        self.body: list[Node] = []
        self.other: list[Node] = []


class Token:
    """A word inside an action."""

    __slots__ = ("kind", "offset", "text")

    def __init__(self, kind: str, text: str, offset: int) -> None:
        self.kind = kind
        self.text = text
        self.offset = offset


def line_of(text: str, offset: int) -> int:
    """The line of an offset, from 1."""
    return text.count("\n", 0, offset) + 1


class Parser:
    """Parses one template; `functions` are the names that may be called."""

    def __init__(self, name: str, text: str, functions: frozenset[str]) -> None:
        self._name = name
        self._text = text
        self._functions = functions
        self._tokens: list[Token] = []
        self._offset = 0
        self._variables = ["$"]
        self._loops = 0

    def parse(self) -> list[Node]:
        """The nodes of the whole text. Raises TemplateError."""
        nodes, ended_by = self._list(top=True)
        assert ended_by == ""
        return nodes

    # ── text and actions ─────────────────────────────────────────────────────────────────────────────────────────

    def _list(self, *, top: bool = False) -> tuple[list[Node], str]:
        """Nodes up to ``{{end}}`` or ``{{else …}}``, whose tokens are left in `_tokens`."""
        nodes: list[Node] = []
        while True:
            start = self._text.find("{{", self._offset)
            literal = self._text[self._offset : start if start >= 0 else len(self._text)]
            if start >= 0 and self._text.startswith("{{-", start) and self._text[start + 3 : start + 4].isspace():
                literal = literal.rstrip(" \t\r\n")
            if literal:
                nodes.append(Node("text", self._offset, value=literal))
            if start < 0:
                self._offset = len(self._text)
                if not top:
                    self._fail("unexpected EOF")
                return nodes, ""
            if self._comment(start):
                continue
            self._read_action(start)
            word = self._tokens[0].text if self._tokens and self._tokens[0].kind == "name" else ""
            if word in {"end", "else"}:
                if top:
                    self._fail(f"unexpected {{{{{word}}}}}", self._tokens[0].offset)
                return nodes, word
            nodes.append(self._action(word, start))

    def _comment(self, start: int) -> bool:
        match = re.compile(r"\{\{(?:-[ \t\r\n]+)?/\*").match(self._text, start)
        if match is None:
            return False
        end = self._text.find("*/", match.end())
        if end < 0:
            self._fail("unclosed comment", start)
        close = re.compile(r"\*/([ \t\r\n]+-)?\}\}").match(self._text, end)
        if close is None:
            self._fail("comment ends before closing delimiter", start)
        assert close is not None
        self._offset = close.end()
        if close[1]:
            self._skip_space()
        return True

    def _read_action(self, start: int) -> None:
        """Cut the action at `start` into `_tokens`; leaves `_offset` behind it."""
        position = start + 2
        if self._text.startswith("-", position) and self._text[position + 1 : position + 2].isspace():
            position += 1
        self._tokens = []
        while True:
            match = _TOKEN.match(self._text, position)
            if match and match.lastgroup == "space":
                position = match.end()
                if self._text.startswith("-}}", position):
                    self._offset = position + 3
                    self._skip_space()
                    return
                continue
            if self._text.startswith("}}", position):
                self._offset = position + 2
                return
            if match is None:
                self._bad_character(position, start)
                return
            self._tokens.append(Token(str(match.lastgroup), match[0], position))
            position = match.end()

    def _skip_space(self) -> None:
        while self._offset < len(self._text) and self._text[self._offset] in " \t\r\n":
            self._offset += 1

    def _bad_character(self, position: int, start: int) -> None:
        if position >= len(self._text):
            first, last = line_of(self._text, start), line_of(self._text, position)
            started = "" if first == last else f" started at {self._name}:{first}"
            self._fail(f"unclosed action{started}", position)
        char = self._text[position]
        if char in '"`':
            self._fail("unterminated quoted string" if char == '"' else "unterminated raw quoted string", position)
        if char == "'":
            self._fail("unterminated character constant", position)
        if char in "{}":
            what = f"unexpected {quote(char)} in operand" if self._tokens else f"unexpected {quote(char)} in command"
            self._fail(what, start)
        self._fail(f"unexpected bad character U+{ord(char):04X} {char!r} in command", position)

    def _action(self, word: str, start: int) -> Node:
        if word in {"if", "with", "range"}:
            del self._tokens[0]
            return self._control(word, start)
        if word in {"break", "continue"}:
            if not self._loops:
                self._fail(f"{{{{{word}}}}} outside {{{{range}}}}", start)
            return Node(word, start)
        if word in _KEYWORDS:
            self._fail(f"{word} is not supported in --format", start)
        return Node("action", start, parts=self._pipe("command"))

    def _control(self, word: str, start: int) -> Node:
        known = len(self._variables)
        node = Node(word, start, parts=self._pipe(word, ranging=word == "range"))
        self._loops += word == "range"
        node.body, ended_by = self._list()
        self._loops -= word == "range"
        if ended_by == "else":
            node.other = self._else(word)
        del self._variables[known:]
        return node

    def _else(self, word: str) -> list[Node]:
        """What follows ``{{else}}``; ``{{else if …}}`` and ``{{else with …}}`` share its ``{{end}}``."""
        if len(self._tokens) > 1:
            following = self._tokens[1].text
            if following not in {"if", "with"} or following != word:
                self._fail(f"unexpected {quote(following)} in else", self._tokens[1].offset)
            offset = self._tokens[0].offset
            del self._tokens[:2]
            return [self._control(following, offset)]
        nodes, ended_by = self._list()
        if ended_by == "else":
            self._fail("expected end; found {{else}}", self._tokens[0].offset)
        return nodes

    # ── inside an action ─────────────────────────────────────────────────────────────────────────────────────────

    def _pipe(self, context: str, *, ranging: bool = False, until: str = "") -> Node:
        """A pipeline, up to the end of the action or to a `until` mark."""
        offset = self._tokens[0].offset if self._tokens else self._offset
        pipe = Node("pipe", offset)
        declared, assign = self._declarations(ranging=ranging)
        pipe.value = (declared, assign)
        commands: list[Node] = []
        while True:
            if not self._tokens or (until and self._tokens[0].text == until and self._tokens[0].kind == "mark"):
                if until and not self._tokens:
                    self._fail("unclosed left paren")
                break
            commands.append(self._command(until))
            if self._tokens and self._tokens[0].text == "|":
                del self._tokens[0]
                if not self._tokens:
                    self._fail("missing value for command")
        if not commands:
            self._fail(f"missing value for {context}", offset)
        for index, command in enumerate(commands[1:], 2):
            first = command.parts[0].kind
            if first in {"constant", "dot", "nil"}:
                self._fail(f"non executable command in pipeline stage {index}", command.offset)
        pipe.parts = commands
        head = ", ".join(declared) + (" = " if assign else " := ") if declared else ""
        pipe.text = head + " | ".join(command.text for command in commands)
        self._variables += [] if assign else declared
        return pipe

    def _declarations(self, *, ranging: bool) -> tuple[list[str], bool]:
        tokens = self._tokens
        if len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text in {":=", "="}:
            name, assign = tokens[0].text, tokens[1].text == "="
            if assign and name not in self._variables:
                self._fail(f"undefined variable {quote(name)}", tokens[0].offset)
            del tokens[:2]
            return [name], assign
        if ranging and len(tokens) > 3 and tokens[1].text == "," and tokens[3].text in {":=", "="}:
            names = [tokens[0].text, tokens[2].text]
            assign = tokens[3].text == "="
            del tokens[:4]
            return names, assign
        return [], False

    def _command(self, until: str) -> Node:
        offset = self._tokens[0].offset
        operands: list[Node] = []
        while self._tokens:
            token = self._tokens[0]
            if token.kind == "mark" and token.text in {"|", until}:
                break
            operands.append(self._operand())
        if not operands:
            self._fail("empty command", offset)
        return Node("command", offset, " ".join(o.text for o in operands), parts=operands)

    def _operand(self) -> Node:
        node = self._term(self._tokens.pop(0))
        names: list[str] = []
        at = -1
        while self._tokens and self._tokens[0].kind == "field" and self._adjacent(self._tokens[0], node, names):
            token = self._tokens.pop(0)
            at = token.offset if at < 0 else at
            names.append(token.text[1:])
        if not names:
            return node
        text = node.text + "".join(f".{name}" for name in names)
        if node.kind in {"field", "variable"}:
            return Node(node.kind, at, text, node.value, [*node.parts, *names])
        if node.kind in {"constant", "nil"}:
            self._fail(f"unexpected . after term {quote(node.text)}", at)
        return Node("chain", at, text, node, names)

    def _adjacent(self, token: Token, node: Node, names: list[str]) -> bool:
        """Whether `token` follows without a space, so that it is part of a chain."""
        return not self._text[token.offset - 1].isspace() and (bool(names) or token.offset > node.offset)

    def _term(self, token: Token) -> Node:
        kind, text, offset = token.kind, token.text, token.offset
        if kind == "field":
            return Node("field", offset, text, parts=[text[1:]])
        if kind == "variable":
            if text not in self._variables:
                self._fail(f"undefined variable {quote(text)}", offset)
            return Node("variable", offset, text, text, [])
        if kind in {"string", "raw", "char", "number"}:
            return Node("constant", offset, text, self._constant(kind, text, offset))
        if kind == "name":
            return self._name_term(text, offset)
        if text == ".":
            return Node("dot", offset, ".")
        if text == "(":
            pipe = self._pipe("parenthesized pipeline", until=")")
            del self._tokens[0]
            pipe.text, pipe.offset = f"({pipe.text})", offset
            return pipe
        self._fail(f"unexpected {quote(text)} in operand", offset)
        raise AssertionError

    def _name_term(self, text: str, offset: int) -> Node:
        if text in _CONSTANTS:
            return Node("constant", offset, text, _CONSTANTS[text])
        if text == "nil":
            return Node("nil", offset, text)
        if text not in self._functions:
            self._fail(f"function {quote(text)} not defined", offset)
        return Node("function", offset, text, text)

    def _constant(self, kind: str, text: str, offset: int) -> Any:
        if kind == "raw":
            return text[1:-1]
        if kind in {"string", "char"}:
            value = _ESCAPE.sub(_unescape, text[1:-1])
            return ord(value[0]) if kind == "char" else value
        digits = text.replace("_", "")
        try:
            return int(digits, 0)
        except ValueError:
            pass
        try:
            return float(digits)
        except ValueError:
            self._fail(f"bad number syntax: {quote(text)}", offset)
            raise AssertionError from None

    def _fail(self, what: str, offset: int | None = None) -> None:
        line = line_of(self._text, self._offset if offset is None else offset)
        raise TemplateError(f"template: {self._name}:{line}: {what}")


def _unescape(match: re.Match[str]) -> str:
    if match[5]:
        return _ESCAPES.get(match[5], match[5])
    return chr(int(match[1] or match[2] or match[3], 16)) if not match[4] else chr(int(match[4], 8))
