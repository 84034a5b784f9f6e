"""``system stop``."""

from __future__ import annotations

import sys

from sampan.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.api.client.client import Client
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


STOP_TIMEOUT_MS = 30_000  # running operations end first


def stop(session: Session, _arguments: Arguments) -> int:
    """``sampan system stop``: returns when the daemon has ended. None is started only to be stopped."""
    from sampan.api.client.address import find
    from sampan.api.client.client import Client
    from sampan.api.client.errors import ConnectionFailed
    from sampan.cli.errors import explain

    client = Client(find(session.options["host"] or [], session.environ))
    try:
        process = _process_of(client)
        client.stop_daemon()
    except ConnectionFailed:
        if client.address.chosen:
            raise
        session.error_line(f"sampand is not running (nobody listens at {client.address.text})")
        return 0
    if process is not None and not _has_ended(process):
        raise explain(
            "sampand has been asked to stop, and still runs",
            f"it is waiting for something for more than {STOP_TIMEOUT_MS // 1000} s",
            "its log, sampand.log beside its socket, to see for what",
        )
    return 0


def _process_of(client: Client) -> int | None:
    """A pidfd of the daemon at the other end of a unix socket, None where there is none to have."""
    import _socket
    import os

    from sampan.api.client.transport import Connection

    connection = Connection(client.address)
    try:
        if client.address.family != "unix":
            return None
        credentials = connection.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return os.pidfd_open(int.from_bytes(credentials[:4], sys.byteorder))
    except OSError:
        return None  # it lives in another pid namespace, say: its end can't be waited for
    finally:
        connection.close()


def _has_ended(process: int) -> bool:
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(STOP_TIMEOUT_MS))


STOP = Command("stop", "Stop the daemon; containers go on running", stop)
