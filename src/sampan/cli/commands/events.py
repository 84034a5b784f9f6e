"""``events``."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import rfc3339
from sampan.cli.kinds import FILTER, STRING
from sampan.cli.output.listing import INSPECT_FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

_FIELDS = ("Status", "ID", "From", "Type", "Action", "Actor", "Scope", "Time", "TimeNano")
_JSON_NAMES = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time", "TimeNano": "timeNano"}


def events(session: Session, arguments: Arguments) -> int:
    """``sampan events``."""
    from sampan.cli.timestamps import timestamp

    show = _shower(arguments["format"])
    try:
        since, until = timestamp(arguments["since"]), timestamp(arguments["until"])
    except ValueError as error:
        raise CommandError(str(error)) from None
    for event in session.client.events(since=since, until=until, filters=arguments["filter"]):
        session.out(show(event) + "\n")
    return 0


def _shower(layout: str) -> Callable[[dict[str, Any]], str]:
    if not layout:
        return _pretty
    from sampan.cli.template import Template, TemplateError
    from sampan.cli.template.values import Fields, to_json

    if layout in {"json", "{{json .}}"}:
        return lambda event: to_json(_in_order(event))
    getters = {name: _getter(_JSON_NAMES.get(name, name)) for name in _FIELDS}
    try:
        template = Template(layout)
        template.run(Fields({"Actor": {"ID": "", "Attributes": {}}}, getters, "*events.Message"))
    except TemplateError as error:
        raise CommandError(f"Error parsing format: {error}", 64) from None
    return lambda event: template.run(Fields(event, getters, "events.Message"))


def _in_order(event: dict[str, Any]) -> dict[str, Any]:
    """The event's fields in the order of Docker's, whatever the daemon's was."""
    actor = event.get("Actor") or {}
    ordered = {name: event[name] for name in ("status", "id", "from") if event.get(name)}
    ordered |= {"Type": event.get("Type", ""), "Action": event.get("Action", "")}
    attributes = actor.get("Attributes")
    ordered["Actor"] = {
        "ID": actor.get("ID", ""),
        "Attributes": attributes if attributes is None else {name: attributes[name] for name in sorted(attributes)},
    }
    return ordered | {name: event[name] for name in ("scope", "time", "timeNano") if event.get(name)}


def _getter(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda event: event.get(name, 0 if name.startswith("time") else "")


def _pretty(event: dict[str, Any]) -> str:
    nanoseconds = event.get("timeNano") or (event.get("time") or 0) * 10**9
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    text = f"{event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    if nanoseconds:
        text = f"{rfc3339(nanoseconds // 10**9, nanoseconds % 10**9)} {text}"
    if attributes:
        text += " (" + ", ".join(f"{name}={attributes[name]}" for name in sorted(attributes)) + ")"
    return text


EVENTS = Command(
    "events [OPTIONS]",
    "Get real time events from the server",
    events,
    (
        Flag("filter", FILTER, "Filter output based on conditions provided", "f"),
        Flag("format", STRING, INSPECT_FORMAT_HELP),
        Flag("since", STRING, "Show all events created since timestamp"),
        Flag("until", STRING, "Stream events until this timestamp"),
    ),
    aliases=("system events", "events"),
)
