"""daemon.json: which file it is, and what it says.

Order.  What --config-file names; else Sampan's own; else Docker's, which tutorials edit, without what would have the
        two engines meet (``NOT_SHARED``), and without drivers that are Docker's alone. No file is no error, unless it
        was named.
Rules.  A key that nobody knows, or of another type, stops sampand with its name. A key of dockerd's that has no effect
        here is warned of. ``null`` is "not said".
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sampan.daemon import values, withouteffect
from sampan.daemon.flags import FLAGS, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.daemon.values import Value

_DRIVERS: Final = {  # what a driver of Docker's file may be, to be ours too
    "log-driver": frozenset({"json-file", "none"}),
    "storage-driver": frozenset({"overlay2", "overlay", "vfs", "copy"}),
}
NOT_SHARED: Final = frozenset({"data-root", "exec-root", "hosts", "pidfile", "bip"})


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read; ``values`` by the names of the flags, ``path`` None: there is none."""

    path: Path | None = None
    values: dict[str, Value] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find(named: str, own: Path, dockers: Path | None) -> tuple[Path, bool]:
    """Return the path of the file, and whether it is Docker's."""
    if named:
        return own.__class__(named), False
    if dockers is not None and not os.path.lexists(own):
        return dockers, True
    return own, False


def read(path: Path, *, must_exist: bool, dockers: bool = False) -> ConfigFile:
    """Read the file. Raises UsageError."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if not must_exist:
            return ConfigFile()
        raise broken(path, f"open {path}: no such file or directory") from None
    except OSError as error:
        raise broken(path, f"open {path}: {os.strerror(error.errno or 0).lower()}") from None
    if not text.strip():
        return ConfigFile(path)
    document = _parse(path, text)
    if dockers:
        document = {key: value for key, value in document.items() if key not in NOT_SHARED}
    found = _checked(path, document)
    return _without_drivers(found) if dockers else found


def _without_drivers(file: ConfigFile) -> ConfigFile:
    """Leave out the drivers of Docker's file that there are not here, and options of logs with theirs."""
    gone = {name for name, ours in _DRIVERS.items() if name in file.values and file.values[name] not in ours}
    warnings = tuple(f"{file.path}: {name} {file.values[name]} is not there in Sampan" for name in sorted(gone))
    gone |= {"log-opt"} if "log-driver" in gone else set()
    kept = {name: value for name, value in file.values.items() if name not in gone}
    return ConfigFile(file.path, kept, file.warnings + warnings)


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except RecursionError:
        raise broken(path, "exceeded max depth") from None
    except ValueError as error:  # of UTF-8 too
        raise broken(path, str(error)) from None
    if not isinstance(document, dict):
        raise broken(path, "it must hold one JSON object")
    return document


def _checked(path: Path, document: dict[str, Any]) -> ConfigFile:
    known = {flag.key: flag for flag in FLAGS if flag.key}
    unknown = sorted(set(document) - set(known) - set(withouteffect.KINDS))
    if unknown:
        raise broken(path, f"the following directives don't match any configuration option: {', '.join(unknown)}")
    found, warnings = {}, []
    for key, value in document.items():
        if value is None:
            continue
        flag = known.get(key)
        try:
            read_ = values.from_json(key, flag.kind if flag else withouteffect.KINDS[key], value)
        except ValueError as error:
            text = str(error)
            raise broken(path, text if key in text else f"{key}: {text}") from None
        if flag is None:
            warnings.append(f"{path}: {key} has no effect in Sampan")
        else:
            found[flag.name or key] = read_
    return ConfigFile(path, found, tuple(warnings))


def broken(path: Path, why: str) -> UsageError:
    """Return the error of a file that can't be used."""
    return UsageError(f"unable to configure sampand with file {path}: {why}")
