"""``ps`` and ``container ls``."""

from __future__ import annotations

from sampan.cli.kinds import BOOL, FILTER, STRING, integer_kind
from sampan.cli.output.containers import COLUMNS, CONTAINERS
from sampan.cli.output.listing import FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

RAW = (
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\n"
    "ports: {{- pad .Ports 1 0}}\n"
)


def list_containers(session: Session, arguments: Arguments) -> int:
    """``sampan ps``."""
    text, quiet, size = arguments["format"], arguments["quiet"], arguments["size"]
    if not text:
        text = session.config.get("psFormat", "")
    elif quiet:
        session.err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
    limit = 1 if arguments["latest"] and arguments["last"] == -1 else arguments["last"]
    if text and not quiet and not size and "size" not in arguments.given:
        size = "Size" in CONTAINERS.check(text, ({"Id": "", "Names": []}, False))
    found = session.client.containers(everything=arguments["all"], limit=limit, size=size, filters=arguments["filter"])
    items = [(summary, not arguments["no-trunc"]) for summary in found]
    if text in {"", "table"} and not quiet:
        columns = (*COLUMNS, "Size") if size else COLUMNS
        session.out(CONTAINERS.table(columns, items))
        return 0
    if quiet:
        text = "container_id: {{.ID}}" if text == "raw" else "{{.ID}}"
    elif text == "raw":
        text = RAW + ("size: {{.Size}}\\n" if size else "")
    session.out(CONTAINERS.formatted(text, items))
    return 0


_FLAGS = (
    Flag("all", BOOL, "Show all containers (default shows just running)", "a"),
    Flag("filter", FILTER, "Filter output based on conditions provided", "f"),
    Flag("format", STRING, FORMAT_HELP),
    Flag("last", integer_kind(absent=-1), "Show n last created containers (includes all states)", "n"),
    Flag("latest", BOOL, "Show the latest created container (includes all states)", "l"),
    Flag("no-trunc", BOOL, "Don't truncate output"),
    Flag("quiet", BOOL, "Only display container IDs", "q"),
    Flag("size", BOOL, "Display total file sizes", "s"),
)
_ALIASES = ("container ls", "container list", "container ps", "ps")
PS = Command("ps [OPTIONS]", "List containers", list_containers, _FLAGS, aliases=_ALIASES)
LS = Command("ls [OPTIONS]", "List containers", list_containers, _FLAGS, aliases=_ALIASES)
