"""SIGHUP: daemon.json is read again, and what can change while containers run changes.

What.   debug, log-level, labels, registries (mirrors, insecure ones, limits of downloads), shutdown-timeout. The rest
        waits for the next start, which is said. A key that is gone is back at its default.
Rules.  A file that is wrong changes nothing; it is told in the log, since nobody waits for an answer.
"""

from __future__ import annotations

import json
import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from sampan.daemon import options
from sampan.daemon.flags import UsageError
from sampan.distribution.config import HUB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sampan.daemon.options import Options, Places
    from sampan.daemon.values import Value
    from sampan.engine.core import Core

log = logging.getLogger(__name__)

DOCKERS_TIMEOUT_S: Final = 15  # what dockerd tells when nothing was configured
_LIVE: Final = frozenset({"debug", "log_level", "labels", "registries", "shutdown_timeout"})
_OF_NO_EFFECT: Final = frozenset({"config_file", "warnings"})


class Reloader:
    """Reads the configuration again for a daemon that runs; ``current`` is what counts."""

    def __init__(self, given: Mapping[str, Value], places: Places, started_with: Options) -> None:
        self._given = given
        self._places = places
        self._started_with = started_with
        self.current = started_with

    def reload(self, core: Core) -> None:
        """Take over what has changed, and tell of it: in the log, and as the event ``daemon reload``."""
        log.info("Got signal to reload configuration, reloading from: %s", self._path())
        try:
            wanted = options.decide(self._given, self._places)
        except UsageError as error:
            log.error("%s; nothing is changed", error)
            return
        for text in wanted.warnings:
            log.warning("%s", text)
        for name in waiting(self._started_with, wanted):
            log.warning("%s has changed: that takes effect when sampand is started again", name)
        self.current = replace(self.current, **{name: getattr(wanted, name) for name in _LIVE})
        logging.getLogger().setLevel(self.current.log_level)
        core.settings = replace(core.settings, debug=wanted.debug, labels=wanted.labels, registries=wanted.registries)
        told = attributes(core, self.current)
        log.info("Reloaded configuration: %s", json.dumps(told))
        core.events.publish("daemon", "reload", core.engine_id, told)

    def _path(self) -> str:
        return str(self._given.get("config-file") or self._started_with.config_file or self._places.config_file)


def waiting(before: Options, wanted: Options) -> list[str]:
    """Return what of the new options is taken over only by a start, by name."""
    names = (one.name for one in fields(before) if one.name not in _LIVE | _OF_NO_EFFECT)
    return [name.replace("_", "-") for name in names if getattr(before, name) != getattr(wanted, name)]


def attributes(core: Core, current: Options) -> dict[str, str]:
    """Return what dockerd's event says, as far as there is such a thing here."""
    known, timeout = current.registries, current.shutdown_timeout
    return {
        "debug": str(current.debug).lower(),
        "default-ipc-mode": current.ipc_mode,
        "default-shm-size": str(core.settings.shm_size),
        "insecure-registries": json.dumps(known.insecure),
        "labels": json.dumps(current.labels),
        "live-restore": "true",
        "max-concurrent-downloads": str(known.max_downloads),
        "max-concurrent-uploads": str(known.max_uploads),
        "max-download-attempts": str(known.max_attempts),
        "name": core.host.hostname,
        "registry-mirrors": json.dumps(known.mirrors.get(HUB, ())),
        "shutdown-timeout": str(DOCKERS_TIMEOUT_S if timeout is None else timeout),
    }
