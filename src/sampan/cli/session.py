"""`Session`: what a command works with. The one place that sees the environment, the terminal and the streams."""

from __future__ import annotations

import os
import select

from sampan.cli.errors import CommandError, explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sampan.api.client.client import Client
    from sampan.cli.credentials import Credentials
    from sampan.cli.parser import Arguments


class Session:
    """One call of the command line.

    `called_as` is the command's name as typed ("images" or "ls"). The client is made, and on our own default socket
    the daemon started, when a command first asks for it.
    """

    def __init__(self, options: Arguments, environ: Mapping[str, str]) -> None:
        self.options = options
        self.environ = environ
        self.called_as = ""
        self.debugging = bool(options["debug"]) or options["log-level"] in {"debug", "trace"}
        self._client: Client | None = None
        self._config: dict[str, Any] | None = None
        self.restore_terminal: Callable[[], None] = _nothing  # while a container has it, for who must end at once

    @property
    def client(self) -> Client:
        """The client of the daemon, with the API version settled. Raises ConnectionFailed, CommandError."""
        if self._client is None:
            self._refuse_unsupported()
            from sampan.api.client.address import find
            from sampan.api.client.client import Client
            from sampan.api.client.errors import ConnectionFailed

            client = Client(find(self.options["host"] or [], self.environ))
            try:
                client.ping()
            except ConnectionFailed as error:
                if client.address.chosen or error.denied:
                    raise
                from sampan.cli.daemon_start import start_daemon

                start_daemon(client.address.path, self.environ, self.debug)
                client.ping()
            self._client = client
        return self._client

    def second_client(self) -> Client:
        """Another client of the same daemon, for a thread."""
        from sampan.api.client.client import Client

        return Client(self.client.address, version=self.client.version)

    @property
    def config(self) -> dict[str, Any]:
        """``config.json`` of Docker's clients: detachKeys, psFormat, proxies …; {} where there is none."""
        if self._config is None:
            self._config = self._read_config()
        return self._config

    @property
    def config_path(self) -> str:
        """Where ``config.json`` of Docker's clients is, or would be."""
        directory = self.options["config"] or self.environ.get("DOCKER_CONFIG")
        if not directory:
            directory = os.path.join(self.environ.get("HOME") or os.path.expanduser("~"), ".docker")
        return os.path.join(directory, "config.json")

    @property
    def credentials(self) -> Credentials:
        """The user's credentials at registries; `header` makes X-Registry-Auth of them."""
        from sampan.cli.credentials import Credentials

        return Credentials(self.config_path, self.environ, self.error_line)

    def out(self, text: str | bytes) -> None:
        """Write to stdout. Raises BrokenPipeError."""
        write_all(1, text)

    def err(self, text: str | bytes) -> None:
        """Write to stderr."""
        write_all(2, text)

    def line(self, text: str) -> None:
        """Write a line to stdout."""
        write_all(1, text + "\n")

    def error_line(self, text: str) -> None:
        """Write a line to stderr."""
        write_all(2, text + "\n")

    @staticmethod
    def read_line() -> str:
        """A line of stdin; what is behind it is left there."""
        line = b""
        while not line.endswith(b"\n") and (octet := os.read(0, 1)):
            line += octet
        return line.decode(errors="replace")

    @staticmethod
    def read_all() -> str:
        """All of stdin."""
        data = b""
        while piece := os.read(0, 1 << 16):
            data += piece
        return data.decode(errors="replace")

    def debug(self, text: str) -> None:
        """Write a line to stderr when ``-D`` was given."""
        if self.debugging:
            self.error_line(f"DEBUG: {text}")

    @staticmethod
    def is_terminal(descriptor: int) -> bool:
        """Whether 0, 1 or 2 is a terminal."""
        try:
            return os.isatty(descriptor)
        except OSError:
            return False

    def check_terminal(self, *, stdin: bool, tty: bool) -> None:
        """A container's terminal can only be driven from a terminal. Raises CommandError."""
        if stdin and tty and not self.is_terminal(0):
            raise CommandError("the input device is not a TTY")

    def terminal_size(self) -> tuple[int, int]:
        """(height, width) of the terminal on stdout, (0, 0) where it is none."""
        try:
            size = os.get_terminal_size(1)
        except OSError:
            return 0, 0
        return size.lines, size.columns

    def platform(self, arguments: Arguments) -> str:
        """The --platform flag, or the default that the environment has for it."""
        return str(arguments["platform"] or self.environ.get("DOCKER_DEFAULT_PLATFORM", ""))

    def _refuse_unsupported(self) -> None:
        context = self.options["context"] or self.environ.get("DOCKER_CONTEXT", "")
        if context not in {"", "default"} and not self.options["host"]:
            raise explain(
                f"cannot use context {context}",
                "sampan has no contexts: it talks to its own daemon, or to the one at an address",
                "-H unix:///path/to.sock, or -H tcp://host:port, in place of --context",
            )
        if self.options["tls"] or self.options["tlsverify"]:
            raise explain(
                "cannot connect with TLS",
                "this client speaks plain unix and TCP sockets only",
                "-H unix:///path/to.sock; for a remote machine forward it: ssh -L /tmp/d.sock:/run/docker.sock host",
            )

    def _read_config(self) -> dict[str, Any]:
        path = self.config_path
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                self.error_line(f"WARNING: Error loading config file: open {path}: {error.strerror}")
            return {}
        import json

        try:
            config = json.loads(raw or b"{}")
        except ValueError as error:
            self.error_line(f"WARNING: Error parsing config file ({path}): {error}")
            return {}
        return config if isinstance(config, dict) else {}


def write_all(descriptor: int, text: str | bytes | memoryview) -> None:
    """Write all of `text` (as UTF-8; octets of the command line unharmed) to a descriptor. Raises OSError."""
    view = memoryview(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody who shares the terminal or pipe made it non-blocking
            wait_for(descriptor, select.POLLOUT)


def wait_for(descriptor: int, event: int) -> None:
    """Block until `event` (of `select`) holds for a descriptor."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def _nothing() -> None:
    pass
