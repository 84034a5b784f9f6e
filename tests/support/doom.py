"""A sampand that is killed at a chosen moment: before or after a function of its own is called.

A place is named ``module:Class.function``. What a SIGKILL from outside leaves is left here too: the process kills
itself, nothing of it runs on.
"""

from __future__ import annotations

import sys

from support.daemon import Sampand

_PROGRAM = """
import functools, importlib, inspect, os, signal, sys
place, moment, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
kept = inspect.getattr_static(owner, name)
real = kept.__func__ if isinstance(kept, staticmethod) else kept
calls = 0

def die(now):
    if now == moment and calls >= count:
        os.kill(os.getpid(), signal.SIGKILL)

@functools.wraps(real)
def plain(*arguments, **named):
    global calls
    calls += 1
    die("before")
    result = real(*arguments, **named)
    die("after")
    return result

@functools.wraps(real)
async def waiting(*arguments, **named):
    global calls
    calls += 1
    die("before")
    result = await real(*arguments, **named)
    die("after")
    return result

doomed = waiting if inspect.iscoroutinefunction(real) else plain
setattr(owner, name, staticmethod(doomed) if isinstance(kept, staticmethod) else doomed)
from sampan.daemon import main
main.main()
"""


class Doomed(Sampand):
    """`start` with a doom set makes a sampand that dies there; the next start is an ordinary one."""

    doom: tuple[str, str, int] | None = None

    def argv(self) -> list[str]:
        """Its command line."""
        argv = super().argv()
        if self.doom is None:
            return argv
        place, moment, count = self.doom
        at = argv.index("sampan.daemon.main")
        return [sys.executable, "-c", _PROGRAM, place, moment, str(count), *argv[at + 1 :]]

    def doomed(self, place: str, moment: str, count: int = 1) -> None:
        """Replace the running one by one that dies at the ``count``-th call of ``place``."""
        self.stop()
        self.doom = place, moment, count
        self.start()
        self.doom = None

    def wait_dead(self) -> None:
        """Wait until it has died."""
        assert self.process is not None
        self.process.wait(20)
