"""How a command ends other than well.

* CommandError(text, code)       `text` goes to stderr, the process exits with `code`
* ExitStatus(code)               nothing more is said; the code is a container's
"""

from __future__ import annotations


class CommandError(Exception):
    """A command failed: its text, as printed, and the exit code (1, or Docker's 125, 126, 127, 64)."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class ExitStatus(Exception):
    """End with `code` and say nothing: the code is that of a process in a container."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def explain(what: str, because: str, attempt: str, code: int = 1) -> CommandError:
    """An error in four parts: which thing and what is wrong (`what`), why (`because`), what to do (`attempt`)."""
    return CommandError(f"sampan: {what}\n  because  {because}\n  try      {attempt}", code)
