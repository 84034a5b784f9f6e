"""``attach``."""

from __future__ import annotations

from sampan.cli.errors import CommandError, ExitStatus
from sampan.cli.kinds import BOOL, BOOL_TRUE, STRING
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def attach(session: Session, arguments: Arguments) -> int:
    """``sampan attach``."""
    from sampan.cli import attachment
    from sampan.cli.streams import Detached

    name = arguments.rest[0]
    # Asked for before anything else, so that a container that ends in between still tells its exit code.
    found = _running(session, name)
    waiting = session.client.wait_container(name)
    tty, container = found["Config"]["Tty"], found["Id"]
    session.check_terminal(stdin=not arguments["no-stdin"], tty=tty)
    watch = attachment.watch_signals(session, container, forward=arguments["sig-proxy"] and not tty, tty=tty)
    stdin = bool(not arguments["no-stdin"] and found["Config"]["OpenStdin"])
    keys = arguments["detach-keys"]
    carrier = attachment.attach(session, name, tty=tty, stdin=stdin, stdout=True, stderr=True, detach_keys=keys)
    try:
        _running(session, name)  # it may have ended meanwhile, and then nothing would ever come
        if tty:
            _wake_terminal(session, container)
            watch.resize_now(lambda: attachment.resize_failed(session))
    except CommandError:
        carrier.abandon()
        raise
    try:
        carrier.finish()
    except Detached as detached:
        raise CommandError(str(detached)) from None
    raise ExitStatus(attachment.exit_code(session, waiting))


def _wake_terminal(session: Session, container: str) -> None:
    """A size that differs by one makes the program in the container draw its prompt again."""
    from sampan.api.client.errors import ClientError

    height, width = session.terminal_size()
    if not (height or width):
        return
    try:
        session.client.resize_container(container, height + 1, width + 1)
    except ClientError as error:
        session.debug(f"Error resize: {error}")


def _running(session: Session, name: str) -> dict[str, Any]:
    found = session.client.inspect_container(name)
    state = found["State"]
    if not state["Running"]:
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandError("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandError("You cannot attach to a restarting container, wait until it is running")
    return found


ATTACH = Command(
    "attach [OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    attach,
    (
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("no-stdin", BOOL, "Do not attach STDIN"),
        Flag("sig-proxy", BOOL_TRUE, "Proxy all received signals to the process"),
    ),
    aliases=("container attach", "attach"),
    minimum=1,
    maximum=1,
)
