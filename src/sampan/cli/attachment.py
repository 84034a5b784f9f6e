"""What ``run``, ``start -a`` and ``attach`` share: signals to the container, its terminal's size, its exit code."""

from __future__ import annotations

import os

from sampan.api.client.errors import ClientError
from sampan.cli.signals import PATIENCE, SignalWatch
from sampan.cli.streams import Carrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.api.client.client import Waiting
    from sampan.cli.session import Session


def watch_signals(session: Session, container: str, *, forward: bool, tty: bool) -> SignalWatch:
    """Start to pass signals on to `container` (if `forward`) and to follow the terminal's size (if `tty`)."""
    client = session.second_client()

    def kill(name: str) -> None:
        try:
            client.kill_container(container, name)
        except (ClientError, OSError) as error:
            session.debug(f"Error sending signal: {error}")

    def give_up() -> None:
        session.restore_terminal()
        session.error_line(f"\ngot {PATIENCE} SIGTERM/SIGINTs, forcefully exiting")
        os._exit(1)  # the main thread waits for the container

    resize = resizer(session, lambda height, width: client.resize_container(container, height, width))
    watch = SignalWatch(kill if forward else None, resize if tty and session.is_terminal(1) else None, give_up)
    watch.start()
    return watch


def resizer(session: Session, change: Callable[[int, int], None]) -> Callable[[], bool]:
    """A function that tells `change` our terminal's height and width, and says whether that went well."""

    def resize() -> bool:
        height, width = session.terminal_size()
        if not (height or width):
            return True
        try:
            change(height, width)
        except (ClientError, OSError) as error:
            session.debug(f"Error resize: {error}")
            return False
        return True

    return resize


def resize_failed(session: Session) -> None:
    """Said once when a container's terminal could not be given our size."""
    session.error_line("failed to resize tty, using default size")


def exit_code(session: Session, waiting: Waiting) -> int:
    """Block until the container has ended, and return its code; 125 when that could not be learnt."""
    try:
        answer = waiting.result()
    except (ClientError, OSError) as error:
        session.error_line(f"error waiting for container: {error}")
        return 125
    problem = (answer.get("Error") or {}).get("Message")
    if problem:
        session.error_line(f"Error waiting for container: {problem}")
        return 125
    return int(answer["StatusCode"])


def attach(
    session: Session, container: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool, detach_keys: str
) -> Carrier:
    """Attach to `container` and start to carry input."""
    keys = detach_keys or session.config.get("detachKeys", "")
    stream = session.client.attach_container(container, stdin=stdin, stdout=stdout, stderr=stderr, detach_keys=keys)
    carrier = Carrier(session, stream, tty=tty, stdin=stdin, output=stdout or stderr, detach_keys=keys)
    carrier.start()
    return carrier
