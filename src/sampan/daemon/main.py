"""sampand: the daemon.

Life.   flags → locks → sockets → parts → what the last sampand left is taken over → requests are answered →
        SIGTERM, SIGINT or POST /sampan/v1/stop → running operations end → everything is let go; containers go on.
Signals SIGHUP reads daemon.json again (`sampan.daemon.reload`). SIGUSR1 writes what every task is doing to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import sampan
from sampan.daemon import flags, locks, options
from sampan.daemon.reload import Reloader

if TYPE_CHECKING:
    import socket

    from sampan.api.server.http import Server
    from sampan.daemon.options import Options
    from sampan.daemon.wiring import Parts

log = logging.getLogger("sampan.daemon")

FOREVER_S: Final = 365 * 86400.0  # a --shutdown-timeout below 0
LEAST_GRACE_S: Final = 0.1
GRACE_S: Final = 5.0  # seconds for answers under way when sampand ends


def main() -> NoReturn:
    """Run sampand; the console script's entry."""
    try:
        code = run(sys.argv[1:])
    except (flags.UsageError, locks.Occupied) as error:
        code = fail(str(error))
    except OSError as error:
        code = fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(code)


def fail(text: str) -> int:
    """Say on standard error why sampand can't run; return the exit code."""
    print(f"sampand: {text}", file=sys.stderr)
    return 1


def run(arguments: list[str]) -> int:
    """Run sampand to its end; return its exit code."""
    given = flags.parse(arguments)
    if given.get("help"):
        print(flags.usage(), end="")
        return 0
    if given.get("version"):
        print(f"Sampan version {sampan.__version__}")
        return 0
    places = options.default_places(os.geteuid(), os.environ)
    chosen = options.decide(given, places)
    logging.basicConfig(
        level=chosen.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for text in chosen.warnings:
        log.warning("%s", text)
    os.umask(0o022)
    with contextlib.ExitStack() as stack:
        for directory, flag in ((chosen.data_root, "--data-root"), (chosen.exec_root, "--exec-root")):
            stack.callback(os.close, locks.hold(directory, flag))
        locks.claim(chosen.exec_root, chosen.data_root)
        stack.enter_context(locks.pidfile(chosen.pidfile))
        return asyncio.run(_serve(Reloader(given, places, chosen), raise_open_files()))


def raise_open_files() -> tuple[int, int]:
    """Let this process have as many descriptors as it may, as dockerd does; return what the limit was, for containers.

    A container takes two of them here, on networks up to eight, and each question of its resolver to others one more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


async def _serve(reloader: Reloader, open_files: tuple[int, int]) -> int:
    # Heavy imports come after the locks: a second sampand is told at once.
    from sampan.api.server.app import App
    from sampan.api.server.http import Server
    from sampan.daemon import wiring
    from sampan.daemon.dataroot import LostDatabase
    from sampan.engine.errors import EngineError
    from sampan.network.errors import NetworkError
    from sampan.state.database import UnusableDatabase
    from sampan.storage.snapshots import StorageError

    chosen, stop = reloader.current, asyncio.Event()
    _handle_signals(stop)
    sockets = [_listen(host, chosen) for host in chosen.hosts]
    locks.reserve(chosen.exec_root)
    try:
        parts = await asyncio.to_thread(wiring.build, chosen, open_files)
    except (LostDatabase, UnusableDatabase, StorageError, EngineError, NetworkError) as error:
        _close(sockets, chosen)
        return fail(str(error))
    zygote = asyncio.create_task(_start_zygote(parts))
    server = Server(App(parts.engine, stop.set))
    try:
        await _recover(parts)
        for sock in sockets:
            await server.add(sock)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.reload, parts.core)
        log.info("sampand %s listens on %s", sampan.__version__, ", ".join(chosen.hosts))
        await stop.wait()
    except NetworkError as error:
        return fail(f"the default network can't be had: {error}")
    finally:
        await zygote
        await _end(server, parts, reloader.current.shutdown_timeout)
        _close(sockets, chosen)
    return 0


def _listen(host: str, chosen: Options) -> socket.socket:
    """Listen at an address; where the exec root is full, in the room that the last sampand kept there for that."""
    from sampan.daemon import listen

    def attempt() -> socket.socket:
        return listen.listen(host, group=chosen.group, allow_plain_tcp=chosen.allow_plain_tcp)

    try:
        return attempt()
    except OSError as error:
        if error.errno not in locks.NO_ROOM or not locks.release(chosen.exec_root):
            raise
        log.error("the file system of %s is full: containers can be stopped, and hardly any started", chosen.exec_root)
        return attempt()


async def _start_zygote(parts: Parts) -> None:
    """Start the zygote beside everything else; the first launch waits for it, and tries again if this failed."""
    try:
        await parts.supervisor.start()
    except (OSError, TimeoutError):
        log.exception("the zygote does not start; each start of a container will try again")


async def _recover(parts: Parts) -> None:
    await parts.engine.recover()
    await asyncio.to_thread(parts.core.images.sweep)


def grace(timeout: int | None) -> float:
    """Return the seconds that a --shutdown-timeout means; even with 0 connections are ended in order."""
    if timeout is None:
        return GRACE_S
    return max(float(timeout), LEAST_GRACE_S) if timeout >= 0 else FOREVER_S


async def _end(server: Server, parts: Parts, timeout: int | None) -> None:
    log.info("sampand ends; containers go on")
    await server.close(grace(timeout))
    await parts.close()


def _close(sockets: list[socket.socket], chosen: Options) -> None:
    from sampan.daemon import listen  # loaded by now

    for sock, host in zip(sockets, chosen.hosts, strict=True):
        sock.close()
        listen.unlink(host)


def _handle_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, dump_tasks)
    loop.add_signal_handler(signal.SIGHUP, lambda: log.warning("SIGHUP: sampand is just starting: nothing is reloaded"))


def dump_tasks() -> None:
    """Write what every task is doing to the log."""
    for task in asyncio.all_tasks():
        text = io.StringIO()
        task.print_stack(file=text)
        log.warning("%s", text.getvalue().rstrip())


if __name__ == "__main__":
    main()
