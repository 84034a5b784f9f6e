"""``logs``."""

from __future__ import annotations

from sampan.cli.kinds import BOOL, STRING, string_default
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def logs(session: Session, arguments: Arguments) -> int:
    """``sampan logs``."""
    from sampan.cli.errors import CommandError
    from sampan.cli.streams import copy_frames, copy_raw
    from sampan.cli.timestamps import timestamp

    container = session.client.inspect_container(arguments.rest[0])
    try:
        since = timestamp(arguments["since"])
    except ValueError as error:
        raise CommandError(f'invalid value for "since": {error}') from None
    try:
        until = timestamp(arguments["until"])
    except ValueError as error:
        raise CommandError(f'invalid value for "until": {error}') from None
    response = session.client.logs(
        container["Id"],
        stdout=True,
        stderr=True,
        since=since,
        until=until,
        timestamps=arguments["timestamps"],
        details=arguments["details"],
        follow=arguments["follow"],
        tail=arguments["tail"],
    )
    copy = copy_raw if container["Config"]["Tty"] else copy_frames
    copy(response.chunks())
    return 0


_MOMENT = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'
LOGS = Command(
    "logs [OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    logs,
    (
        Flag("details", BOOL, "Show extra details provided to logs"),
        Flag("follow", BOOL, "Follow log output", "f"),
        Flag("since", STRING, f"Show logs since timestamp {_MOMENT}"),
        Flag("tail", string_default("all"), "Number of lines to show from the end of the logs", "n"),
        Flag("timestamps", BOOL, "Show timestamps", "t"),
        Flag("until", STRING, f"Show logs before a timestamp {_MOMENT}"),
    ),
    aliases=("container logs", "logs"),
    minimum=1,
    maximum=1,
)
