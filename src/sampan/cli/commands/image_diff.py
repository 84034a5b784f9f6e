"""``image diff``."""

from __future__ import annotations

from sampan.cli.errors import CommandError, explain
from sampan.cli.gotext import human_size
from sampan.cli.kinds import STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_FORMAT_HELP = (
    "Format output using a custom template:\n'json':             Print in JSON format, a line for each path\n"
)
_FORMAT_HELP += "'TEMPLATE':         Print output using the given Go template (.Kind, .Path, .Size in bytes)"
_SIZE_WIDTH = 9  # columns: "+1.234GB" and a blank
_PORTION = 500  # lines written at once


def diff(session: Session, arguments: Arguments) -> int:
    """``sampan image diff``: paths added (A), changed (C) and deleted (D), with the bytes that came or went."""
    first, second = arguments.rest
    found = _differences(session, first, second)
    text = arguments["format"]
    lines = _formatted(text, found) if text else map(_line, found)
    portion: list[str] = []
    for line in lines:
        portion.append(line)
        if len(portion) >= _PORTION:
            session.out("".join(portion))
            portion.clear()
    session.out("".join(portion))
    return 0


def _differences(session: Session, first: str, second: str) -> Iterator[dict[str, Any]]:
    from sampan.api.client.client import json_stream
    from sampan.api.client.errors import NotFound

    try:
        response = session.client.image_differences(first, second)
    except NotFound as error:
        if error.message != "page not found":
            raise
        raise explain(
            f"cannot compare {first} and {second}",
            f"the daemon at {session.client.address.text} is not a sampand that can",
            "a newer sampand",
        ) from None
    for one in json_stream(response.chunks()):
        if "error" in one:
            raise CommandError(str(one["error"]))
        yield one


def _line(one: dict[str, Any]) -> str:
    size = one["Size"]
    shown = ("+" if size > 0 else "-") + human_size(abs(size), 3) if size else ""
    return f"{one['Kind']} {shown:>{_SIZE_WIDTH}}  {_printable(one['Path'])}\n"


def _printable(path: str) -> str:
    """A path that can't steer a terminal: names in images are anybody's."""
    return path if path.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in path)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _formatted(text: str, found: Iterable[dict[str, Any]]) -> Iterator[str]:
    from sampan.cli.template import Template, TemplateError
    from sampan.cli.template.values import Fields

    fields = {name: (lambda one, name=name: one[name]) for name in ("Kind", "Path", "Size")}
    try:
        template = Template("{{json .}}" if text == "json" else text.replace("\\t", "\t").replace("\\n", "\n"))
        for one in found:
            yield template.run(Fields(one, fields, "image.Difference", {})) + "\n"
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}") from None


DIFF = Command(
    "diff [OPTIONS] IMAGE OTHER_IMAGE",
    "Show what OTHER_IMAGE has otherwise than IMAGE: paths added (A), changed (C) and deleted (D)",
    diff,
    (Flag("format", STRING, _FORMAT_HELP),),
    aliases=("image diff",),
    minimum=2,
    maximum=2,
)
