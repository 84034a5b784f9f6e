"""Programs that keep credentials: ``docker-credential-NAME get|store|erase``.

Protocol. ``get`` reads a server's address and writes {"ServerURL", "Username", "Secret"}; ``store`` reads such an
          object; ``erase`` reads the address. A failure is an exit code with its reason on standard output. The user
          name ``<token>`` marks an identity token. (github.com/docker/docker-credential-helpers, README)
"""

from __future__ import annotations

import json

from sampan.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "docker-credential-"
TOKEN_USER = "<token>"  # noqa: S105 - a word of the protocol
NOT_FOUND = "credentials not found in native keychain"


class HelperFailed(CommandError):
    """A helper is missing or said that it failed; the text is that of Docker's client."""


def get(helper: str, server: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return a server's (user name, secret), None where the helper has none. Raises HelperFailed."""
    code, out = _run(helper, "get", server, environ)
    if code:
        if out == NOT_FOUND:
            return None
        raise HelperFailed(f"error getting credentials - err: {code}, out: `{out}`")
    try:
        answer = json.loads(out)
        return str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HelperFailed(f"error getting credentials - err: {PREFIX}{helper} answered with no credentials") from None


def store(helper: str, server: str, username: str, secret: str, environ: Mapping[str, str]) -> None:
    """Have a server's credentials kept. Raises HelperFailed."""
    body = json.dumps({"ServerURL": server, "Username": username, "Secret": secret})
    code, out = _run(helper, "store", body, environ)
    if code:
        raise HelperFailed(f"error storing credentials - err: {code}, out: `{out}`")


def erase(helper: str, server: str, environ: Mapping[str, str]) -> None:
    """Have a server's credentials forgotten; none is fine. Raises HelperFailed."""
    code, out = _run(helper, "erase", server, environ)
    if code and out != NOT_FOUND:
        raise HelperFailed(f"error erasing credentials - err: {code}, out: `{out}`")


def exists(helper: str, environ: Mapping[str, str]) -> bool:
    """Tell whether there is such a program."""
    return _find(PREFIX + helper, environ) is not None


def default(environ: Mapping[str, str]) -> str:
    """Return the helper that is used unless one is configured, as Docker's client chooses on Linux; "" for none."""
    helper = "pass" if _find("pass", environ) else "secretservice"
    return helper if exists(helper, environ) else ""


def _find(program: str, environ: Mapping[str, str]) -> str | None:
    import shutil

    return None if "/" in program else shutil.which(program, path=environ.get("PATH", ""))


def _run(helper: str, action: str, text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Run a helper; return why it failed ("" when it didn't) and what it wrote. Its standard error is the user's."""
    import subprocess

    program = _find(PREFIX + helper, environ)
    if program is None:
        return f'exec: "{PREFIX}{helper}": executable file not found in $PATH', ""
    try:
        done = subprocess.run(
            [program, action], input=text.encode(), stdout=subprocess.PIPE, env=dict(environ), check=False
        )
    except OSError as error:
        return f"fork/exec {program}: {(error.strerror or '').lower()}", ""
    code = "" if done.returncode == 0 else f"exit status {done.returncode}"
    if done.returncode < 0:
        code = f"signal: {-done.returncode}"
    return code, done.stdout.decode(errors="replace").strip()
