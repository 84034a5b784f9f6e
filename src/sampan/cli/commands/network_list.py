"""``network ls``."""

from __future__ import annotations

from sampan.cli.gotext import natural
from sampan.cli.kinds import BOOL, FILTER, STRING
from sampan.cli.output.listing import FORMAT_HELP
from sampan.cli.output.networks import COLUMNS, NETWORKS
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

RAW = "network_id: {{.ID}}\\nname: {{.Name}}\\ndriver: {{.Driver}}\\nscope: {{.Scope}}\\n"


def list_networks(session: Session, arguments: Arguments) -> int:
    """``sampan network ls``: by name, numbers in it by their value."""
    quiet, text = arguments["quiet"], arguments["format"]
    found = session.client.networks(filters=arguments["filter"])
    found.sort(key=lambda network: natural(network["Name"]))
    items = [(network, not arguments["no-trunc"]) for network in found]
    text = text or ("" if quiet else session.config.get("networksFormat", "")) or "table"
    if text == "table" and not quiet:
        session.out(NETWORKS.table(COLUMNS, items))
        return 0
    if text == "table":
        text = "{{.ID}}"
    elif text == "raw":
        text = "network_id: {{.ID}}" if quiet else RAW
    session.out(NETWORKS.formatted(text, items))
    return 0


LS = Command(
    "ls [OPTIONS]",
    "List networks",
    list_networks,
    (
        Flag("filter", FILTER, 'Provide filter values (e.g. "driver=bridge")', "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Do not truncate the output"),
        Flag("quiet", BOOL, "Only display network IDs", "q"),
    ),
    aliases=("network ls", "network list"),
)
