"""A program on a real pseudo-terminal: type, expect, resize."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence


class Terminal:
    """Runs ``argv`` as the session leader of a new terminal; a context manager that ends it on the way out."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self.output = b""  # everything printed so far
        self._seen = 0  # how much of it expect() has consumed
        self._status: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts what runs in the background without it
            os.execvpe(argv[0], list(argv), dict(env))
        self.resize(rows, columns)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._poll() is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; the kernel sends SIGWINCH to the foreground program."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data: bytes) -> None:
        """Type ``data``."""
        os.write(self._fd, data)

    def expect(self, pattern: bytes, timeout: float = 20.0) -> re.Match[bytes]:
        """Wait until what was printed since the last match matches ``pattern``."""
        limit = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.DOTALL).search(self.output, self._seen)
            if match:
                self._seen = match.end()
                return match
            assert self._read(limit - time.monotonic()), f"{pattern!r} not in {self.output[self._seen :]!r}"

    def read(self, timeout: float) -> bytes:
        """Wait up to ``timeout`` seconds for output; everything printed so far."""
        self._read(timeout)
        return self.output

    def wait(self, timeout: float = 20.0) -> int:
        """Read to the end and return the exit code (128 + n for signal n)."""
        limit = time.monotonic() + timeout
        while self._poll() is None:
            self._read(min(0.05, limit - time.monotonic()))
            assert time.monotonic() < limit, f"still running after {timeout} s; printed {self.output[-2000:]!r}"
        while self._read(0.05):
            pass
        return os.waitstatus_to_exitcode(self._status or 0)

    def _poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status

    def _read(self, timeout: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(timeout, 0))
        if not ready:
            return False
        try:
            chunk = os.read(self._fd, 65536)
        except OSError:  # EIO: the last holder of the other side is gone
            return False
        self.output += chunk
        return bool(chunk)
