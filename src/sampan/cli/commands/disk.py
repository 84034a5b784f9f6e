"""``system df``: how much images and containers take; with --why, what holds each byte of the data root."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.kinds import BOOL, STRING
from sampan.cli.output.disk import RAW, SUMMARY, holdings_table, summaries, verbose, verbose_formatted
from sampan.cli.output.listing import FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def usage(session: Session, arguments: Arguments) -> int:
    """``sampan system df``."""
    text = arguments["format"] or "table"
    if arguments["why"]:
        return _why(session, text)
    found = session.client.disk_usage()
    if arguments["verbose"]:
        session.out(verbose(found) if text in {"table", "raw"} else verbose_formatted(text, found))
    elif text == "table":
        session.out(SUMMARY.table(("Type", "TotalCount", "Active", "Size", "Reclaimable"), summaries(found)))
    else:
        session.out(SUMMARY.formatted(RAW if text == "raw" else text, summaries(found)))
    return 0


def _why(session: Session, text: str) -> int:
    found = session.client.disk_holdings()
    if text == "json":
        from sampan.cli.template.values import to_json

        session.line(to_json(found))
    elif text == "table":
        session.out(holdings_table(found))
    else:
        raise CommandError("--why is shown as a table, or with --format json")
    return 0


DF = Command(
    "df [OPTIONS]",
    "Show disk usage",
    usage,
    (
        Flag("format", STRING, FORMAT_HELP),
        Flag("verbose", BOOL, "Show detailed information on space usage", "v"),
        Flag("why", BOOL, "Show what is on the disk and what holds it"),
    ),
)
