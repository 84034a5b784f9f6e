"""What can go wrong between a client and the daemon.

* ClientError                                    anything below
  x ApiError(status, message)                    the daemon answered with an error
    - NotFound                                   404
  x ConnectionFailed(address)                    nobody answers there
  x InvalidAddress(text)                         not an address of a daemon
  x ProtocolError(what)                          the answer is not HTTP, or ends too early
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors that a `Client` raises."""


class ApiError(ClientError):
    """The daemon answered with HTTP status `status` (400 to 599); `message` is its own sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.status = status
        self.message = message


class NotFound(ApiError):
    """The daemon has no such container, image, network …: HTTP status 404."""


class ConnectionFailed(ClientError):
    """Nobody answers at `address`, or this user may not connect (`denied`)."""

    def __init__(self, address: str, reason: str, *, denied: bool = False) -> None:
        if denied:
            text = f"permission denied while trying to connect to the Docker daemon socket at {address}: {reason}"
        else:
            text = f"Cannot connect to the Docker daemon at {address}. Is the docker daemon running?"
        super().__init__(text)
        self.address = address
        self.reason = reason
        self.denied = denied


class InvalidAddress(ClientError):
    """`text` does not name a daemon's socket."""

    def __init__(self, text: str, why: str = "") -> None:
        why = why or f"invalid bind address format: {text}"
        super().__init__(f"Failed to initialize: unable to resolve docker endpoint: {why}")
        self.text = text


class ProtocolError(ClientError):
    """The other side does not speak HTTP as it should, or stopped in the middle."""


def from_status(status: int, message: str) -> ApiError:
    """The error that stands for an answer with `status` and the daemon's `message`."""
    return (NotFound if status == 404 else ApiError)(status, message)
