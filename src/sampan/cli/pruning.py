"""What all ``prune`` commands share: the question, and the filters of the client's configuration."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sampan.cli.session import Session

_OPPOSITE = {"label": "label!", "label!": "label"}


def confirmed(session: Session, question: str) -> bool:
    """Ask on stdout; only "y" in the first line of stdin is a yes. Raises KeyboardInterrupt."""
    session.out(f"{question} [y/N] ")
    return session.read_line().strip().lower() == "y"


def prune_filters(session: Session, given: Mapping[str, list[str]] | None) -> dict[str, list[str]]:
    """--filter, and ``pruneFilters`` of config.json where the flags don't say the opposite."""
    filters = {name: list(values) for name, values in (given or {}).items()}
    for text in session.config.get("pruneFilters") or ():
        name, separator, value = text.partition("=")
        if separator and value not in filters.get(_OPPOSITE.get(name, ""), ()):
            filters.setdefault(name, []).append(value)
    return filters
