"""``system stop``."""

from __future__ import annotations

from sampan.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def stop(session: Session, _arguments: Arguments) -> int:
    """``sampan system stop``: the daemon ends, and is not started only to be stopped."""
    from sampan.api.client.address import find
    from sampan.api.client.client import Client
    from sampan.api.client.errors import ConnectionFailed

    client = Client(find(session.options["host"] or [], session.environ))
    try:
        client.stop_daemon()
    except ConnectionFailed:
        if client.address.chosen:
            raise
        session.error_line(f"sampand is not running (nobody listens at {client.address.text})")
    return 0


STOP = Command("stop", "Stop the daemon; containers go on running", stop)
