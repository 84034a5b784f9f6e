"""``save``."""

from __future__ import annotations

from sampan.cli.kinds import STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def save(session: Session, arguments: Arguments) -> int:
    """``sampan save``."""
    from sampan.cli.output.archive import write

    names = arguments.rest
    write(session, arguments["output"], "failed to save image", lambda: session.client.save_images(names))
    return 0


SAVE = Command(
    "save [OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    save,
    (Flag("output", STRING, "Write to a file, instead of STDOUT", "o"),),
    aliases=("image save", "save"),
    minimum=1,
    maximum=None,
)
