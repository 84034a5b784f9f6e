"""What ``inspect`` prints: the daemon's own JSON, indented or compact, or a template on it.

Docker runs a template on Go structs first, where an absent field is a zero value, and on the plain JSON if that fails,
where an absent key is an error. `shapes` knows the zero values.
"""

from __future__ import annotations

import json

from sampan.cli.errors import CommandError

INDENT = "    "


class Inspector:
    """Collects things and prints them all. `text` of a template that can't be parsed: CommandError with code 64."""

    def __init__(self, layout: str) -> None:
        from sampan.cli.template import Template, TemplateError

        self._layout = layout
        self._raw: list[bytes] = []
        self._lines: list[str] = []
        if layout not in {"", "json"}:
            try:
                self._template = Template(layout)
            except TemplateError as error:
                raise CommandError(f"template parsing error: {error}", 64) from None

    def add(self, kind: str, raw: bytes) -> None:
        """Take a thing; `kind` is "container", "image" …. Raises TemplateError."""
        if self._layout in {"", "json"}:
            self._raw.append(raw.strip())
            return
        from sampan.cli.output.shapes import shaped
        from sampan.cli.template import TemplateError

        value = json.loads(raw)
        try:
            text = self._template.run(shaped(kind, value), strict=True)
        except TemplateError:
            text = self._template.run(value, strict=True)
        self._lines.append(text + "\n")

    def text(self) -> str:
        """All that was added."""
        if self._layout not in {"", "json"}:
            return "".join(self._lines) or "\n"
        if not self._raw:
            return "[]\n"
        whole = (b"[" + b",".join(self._raw) + b"]").decode(errors="surrogateescape")
        return (_spaced(whole) if self._layout == "" else _compact(whole)) + "\n"


def _words(text: str) -> list[str]:
    """Strings, marks and words of JSON, just as they are written."""
    import re

    return re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', text)


def _compact(text: str) -> str:
    return "".join(_words(text))


def _spaced(text: str) -> str:
    """Indented, every word as the daemon wrote it (Python's own writer would change numbers and escapes)."""
    result: list[str] = []
    depth, empty = 0, False
    for word in _words(text):
        if word in "[{":
            result.append(word if not empty else f"\n{INDENT * depth}{word}")
            depth, empty = depth + 1, True
            continue
        if word in "]}":
            depth -= 1
            result.append(word if empty else f"\n{INDENT * depth}{word}")
            empty = False
            continue
        if empty:
            result.append(f"\n{INDENT * depth}")
            empty = False
        result.append({",": f",\n{INDENT * depth}", ":": ": "}.get(word, word))
    return "".join(result)
