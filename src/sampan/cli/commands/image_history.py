"""``history``."""

from __future__ import annotations

import time

from sampan.cli.gotext import ellipsis, human_duration, human_size, rfc3339
from sampan.cli.kinds import BOOL, BOOL_TRUE, STRING
from sampan.cli.output.listing import FORMAT_HELP, Listing
from sampan.cli.parser import Command, Flag
from sampan.cli.references import short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

EPOCH = 946684800  # 2000-01-01: earlier times are made up by tools and not shown


class Step:
    """A line of the history."""

    __slots__ = ("human", "item", "trunc")

    def __init__(self, item: dict[str, Any], *, trunc: bool, human: bool) -> None:
        self.item = item
        self.trunc = trunc
        self.human = human


def _since(step: Step) -> str:
    created = int(step.item.get("Created") or 0)
    if not step.human:
        return rfc3339(created)
    return "N/A" if created <= EPOCH else human_duration(time.time() - created) + " ago"


def _created_by(step: Step) -> str:
    text = str(step.item.get("CreatedBy") or "").replace("\t", " ")
    return ellipsis(text, 45) if step.trunc else text


def _size(step: Step) -> str:
    size = step.item.get("Size") or 0
    return human_size(size, 3) if step.human else str(size)


HISTORY_LIST = Listing(
    {
        "ID": lambda step: short_id(step.item["Id"]) if step.trunc else step.item["Id"],
        "CreatedSince": _since,
        "CreatedAt": lambda step: rfc3339(int(step.item.get("Created") or 0)),
        "CreatedBy": _created_by,
        "Size": _size,
        "Comment": lambda step: step.item.get("Comment") or "",
    },
    {
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
    "*image.historyContext",
)


def history(session: Session, arguments: Arguments) -> int:
    """``sampan history``."""
    human, text = arguments["human"], arguments["format"] or "table"
    answer = session.client.image_history(arguments.rest[0])
    steps = [Step(item, trunc=not arguments["no-trunc"], human=human) for item in answer]
    if text != "table":
        session.out(HISTORY_LIST.formatted(text, steps))
    elif arguments["quiet"]:
        session.out(HISTORY_LIST.formatted("{{.ID}}", steps))
    else:
        since = "CreatedSince" if human else "CreatedAt"
        session.out(HISTORY_LIST.table(("ID", since, "CreatedBy", "Size", "Comment"), steps))
    return 0


HISTORY = Command(
    "history [OPTIONS] IMAGE",
    "Show the history of an image",
    history,
    (
        Flag("format", STRING, FORMAT_HELP),
        Flag("human", BOOL_TRUE, "Print sizes and dates in human readable format", "H"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only show image IDs", "q"),
    ),
    aliases=("image history", "history"),
    minimum=1,
    maximum=1,
)
