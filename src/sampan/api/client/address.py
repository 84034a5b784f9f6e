"""Where the daemon listens: ``unix:///path`` or ``tcp://host:port``.

The order of precedence is Docker's with our variable in front: the ``--host`` flag, SAMPAN_HOST, DOCKER_HOST, and
then our own default socket, the only one at which a missing daemon may be started.
"""

from __future__ import annotations

import os

from sampan.api.client.errors import InvalidAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 2375  # Docker's plain TCP port


class Address:
    """An address of a daemon. `family` is "unix" or "tcp"; `chosen` is False for our own default socket."""

    __slots__ = ("chosen", "family", "host", "path", "port", "text")

    def __init__(self, text: str, *, chosen: bool = True) -> None:
        """Take `text` apart; raises InvalidAddress."""
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise InvalidAddress(text)
        self.text = text
        self.chosen = chosen
        self.family = scheme
        self.path, self.host, self.port = "", "", 0
        if scheme == "unix":
            self.path = rest
        elif scheme == "tcp":
            self.host, self.port = _host_and_port(text, rest)
        else:
            raise InvalidAddress(text)

    def __repr__(self) -> str:
        """The address as it was given."""
        return f"Address({self.text!r})"


def run_directory(environ: Mapping[str, str]) -> str:
    """The directory of the default socket: /run/sampan for root, else below XDG_RUNTIME_DIR."""
    uid = os.geteuid()
    if uid == 0:
        return "/run/sampan"
    return os.path.join(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}", "sampan")


def find(hosts: list[str], environ: Mapping[str, str]) -> Address:
    """The daemon to talk to; `hosts` are the ``--host`` flags. Raises InvalidAddress."""
    if len(hosts) > 1:
        raise InvalidAddress(hosts[1], "Specify only one -H")
    text = hosts[0] if hosts else environ.get("SAMPAN_HOST") or environ.get("DOCKER_HOST")
    if text:
        return Address(text if "://" in text else f"tcp://{text}")
    return Address(f"unix://{run_directory(environ)}/sampan.sock", chosen=False)


def _host_and_port(text: str, rest: str) -> tuple[str, int]:
    authority = rest.partition("/")[0]
    host, separator, port = authority.rpartition(":")
    if not separator or port.endswith("]"):
        host, port = authority, str(DEFAULT_PORT)
    if not port.isdecimal():
        raise InvalidAddress(text, f'parse "{text}": invalid port ":{port}" after host')
    return host.strip("[]") or "localhost", int(port)
