"""``search``."""

from __future__ import annotations

from sampan.cli.gotext import ellipsis
from sampan.cli.kinds import BOOL, FILTER, INT, STRING
from sampan.cli.output.listing import Listing
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


class Hit:
    """A line of what was found."""

    __slots__ = ("item", "trunc")

    def __init__(self, item: dict[str, Any], *, trunc: bool) -> None:
        self.item = item
        self.trunc = trunc


def _description(hit: Hit) -> str:
    text = str(hit.item.get("description") or "").replace("\n", " ").replace("\r", " ")
    return ellipsis(text, 45) if hit.trunc else text


SEARCH_LIST = Listing(
    {
        "Name": lambda hit: hit.item.get("name") or "",
        "Description": _description,
        "StarCount": lambda hit: str(hit.item.get("star_count") or 0),
        "IsOfficial": lambda hit: "[OK]" if hit.item.get("is_official") else "",
    },
    {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"},
    "*search.searchContext",
)


def search(session: Session, arguments: Arguments) -> int:
    """``sampan search``."""
    from sampan.cli.references import registry_of

    term, text = arguments.rest[0], arguments["format"] or "table"
    host = term.partition("/")[0]
    found = session.client.search_images(
        term,
        arguments["limit"],
        filters=arguments["filter"],
        auth=session.credentials.header(registry_of(f"{host}/any")),
    )
    hits = [Hit(item, trunc=not arguments["no-trunc"]) for item in found]
    if text == "table":
        session.out(SEARCH_LIST.table(("Name", "Description", "StarCount", "IsOfficial"), hits))
    else:
        session.out(SEARCH_LIST.formatted(text, hits))
    return 0


SEARCH = Command(
    "search [OPTIONS] TERM",
    "Search Docker Hub, or the registry that TERM begins with, for images",
    search,
    (
        Flag("filter", FILTER, "Filter output based on conditions provided", "f"),
        Flag("format", STRING, "Pretty-print search using a Go template"),
        Flag("limit", INT, "Max number of search results"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
    ),
    minimum=1,
    maximum=1,
)
