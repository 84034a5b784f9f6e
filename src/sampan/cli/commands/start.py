"""``start``."""

from __future__ import annotations

from sampan.api.client.errors import ClientError
from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def start(session: Session, arguments: Arguments) -> int:
    """``sampan start``."""
    if not (arguments["attach"] or arguments["interactive"]):
        return _start_all(session, arguments.rest)
    if len(arguments.rest) > 1:
        raise CommandError("you cannot start and attach multiple containers at once")
    return _start_attached(session, arguments)


def _start_all(session: Session, containers: list[str]) -> int:
    failed = []
    for container in containers:
        try:
            warnings = session.client.start_container(container)
        except ClientError as error:
            session.error_line(str(error))
            failed.append(container)
            continue
        _warn(session, warnings)
        session.line(container)
    if failed:
        raise CommandError(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _warn(session: Session, warnings: list[str]) -> None:
    for warning in warnings:
        session.error_line(f"WARNING: {warning}")


def _start_attached(session: Session, arguments: Arguments) -> int:
    from sampan.cli.attachment import attach, exit_code, resize_failed, watch_signals
    from sampan.cli.streams import Detached

    found = session.client.inspect_container(arguments.rest[0])
    container, config, tty = found["Id"], found["Config"], found["Config"]["Tty"]
    removed = found["HostConfig"]["AutoRemove"]
    watch = watch_signals(session, container, forward=not tty, tty=tty)
    stdin = bool(arguments["interactive"] and config["OpenStdin"])
    keys = arguments["detach-keys"]
    carrier = attach(session, container, tty=tty, stdin=stdin, stdout=True, stderr=True, detach_keys=keys)
    waiting = session.client.wait_container(container, "removed" if removed else "next-exit")
    try:
        _warn(session, session.client.start_container(container))
    except ClientError:
        carrier.abandon()
        if removed:
            exit_code(session, waiting)
        raise
    if tty:
        watch.resize_now(lambda: resize_failed(session))
    try:
        carrier.finish()
    except Detached:
        return 0
    raise ExitStatus(exit_code(session, waiting))


START = Command(
    "start [OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    start,
    (
        Flag("attach", BOOL, "Attach STDOUT/STDERR and forward signals", "a"),
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("interactive", BOOL, "Attach container's STDIN", "i"),
    ),
    aliases=("container start", "start"),
    minimum=1,
    maximum=None,
)
