"""``top``."""

from __future__ import annotations

from sampan.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

TOP_SIZES = (20, 3)  # minimum column width and padding


def top(session: Session, arguments: Arguments) -> int:
    """``sampan top``."""
    from sampan.cli.output.tabwriter import align

    answer = session.client.top(arguments.rest[0], " ".join(arguments.rest[1:]))
    lines = [answer.get("Titles") or [], *(answer.get("Processes") or [])]
    session.out(align("".join("\t".join(line) + "\n" for line in lines), *TOP_SIZES))
    return 0


TOP = Command(
    "top CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    top,
    aliases=("container top", "top"),
    minimum=1,
    maximum=None,
    interspersed=False,
)
