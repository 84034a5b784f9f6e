"""Lists of things by ``--format``: a table, ``json``, or a template, as all of Docker's ``ls`` commands do it."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.output.tabwriter import TABLE, align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Getter = Callable[[Any], Any]

FORMAT_HELP = """Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""
INSPECT_FORMAT_HELP = """Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""


class Listing:
    """What can be shown of a kind of thing: computed `fields`, their `titles` in a table's header.

    `type_name` is what a template's error calls the thing; `methods` are fields that take an argument.
    """

    def __init__(
        self,
        fields: Mapping[str, Getter],
        titles: Mapping[str, str],
        type_name: str,
        methods: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.fields = fields
        self.titles = titles
        self.type_name = type_name
        self.methods = methods or {}

    def table(self, columns: Sequence[str], items: Iterable[Any]) -> str:
        """A table of `columns`, without the template engine."""
        rows = [[self.titles[column] for column in columns]]
        rows += [[str(self.fields[column](item)) for column in columns] for item in items]
        return align("\n".join("\t".join(row) for row in rows) + "\n", *TABLE)

    def formatted(self, text: str, items: Iterable[Any]) -> str:
        """`items` by a ``--format``. Raises CommandError for a faulty template."""
        from sampan.cli.template import Template, TemplateError
        from sampan.cli.template.values import Fields

        table = text.startswith("table")
        source = text.removeprefix("table") if table else "{{json .}}" if text == "json" else text
        source = source.strip(" ").replace("\\t", "\t").replace("\\n", "\n")
        try:
            template = Template(source)
            things = (Fields(item, self.fields, self.type_name, self.methods) for item in items)
            lines = [template.run(thing) for thing in things]
            if not table:
                return "".join(f"{line}\n" for line in lines)
            header = Fields(
                self.titles, {name: _title(name) for name in self.titles}, "header", {"Label": _label_title}
            )
            return align("".join(f"{line}\n" for line in [_header(template, header), *lines]), *TABLE)
        except TemplateError as error:
            raise CommandError(f"template parsing error: {error}") from None

    def check(self, text: str, blank: Any) -> set[str]:
        """Run a ``--format`` on a `blank` thing, to find faults before asking the daemon; returns the fields used."""
        from sampan.cli.template import Template, TemplateError
        from sampan.cli.template.values import Fields

        try:
            template = Template(text)
        except TemplateError as error:
            raise CommandError(f"failed to parse template: {error}") from None
        thing = Fields(blank, self.fields, self.type_name, self.methods)
        try:
            template.run(thing)
        except TemplateError as error:
            raise CommandError(f"failed to execute template: {error}") from None
        return thing.used


def _header(template: Any, header: Any) -> str:
    """The header line: the same template on the titles. A template that can't run on titles has an empty one."""
    from sampan.cli.template import TemplateError

    try:
        return str(template.run(header, header=True))
    except TemplateError:
        return ""


def _title(name: str) -> Getter:
    return lambda titles: titles[name]


def _label_title(_titles: Any, name: str) -> str:
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")
