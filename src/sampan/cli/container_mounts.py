"""``--mount type=…,source=…,target=…`` as the API's mount."""

from __future__ import annotations

import os

from sampan.cli.kinds import read_bool, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Mount = dict[str, Any]

_RECURSIVE = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}
_OPTIONS = {
    "VolumeOptions": ("volume", "volume-*"),
    "ImageOptions": ("image", "image-*"),
    "BindOptions": ("bind", "bind-*"),
    "TmpfsOptions": ("tmpfs", "tmpfs-*"),
}


def mount(text: str) -> Mount:
    """One --mount. Raises ValueError with Docker's sentences."""
    import csv

    result: Mount = {"Type": "volume"}
    for field in next(csv.reader([text])):
        key, separator, value = field.partition("=")
        key = key.lower()
        if not separator:
            if key not in {"readonly", "ro", "volume-nocopy", "bind-nonrecursive"}:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if key not in _FIELDS:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
        _FIELDS[key](result, key, value)
    _check(result)
    return {key: value for key, value in result.items() if value not in ("", False)}


def _check(result: Mount) -> None:
    kind = result["Type"]
    if not kind:
        raise ValueError("type is required")
    if not result.get("Target"):
        raise ValueError("target is required")
    for options, (owner, names) in _OPTIONS.items():
        if options in result and kind != owner:
            raise ValueError(f"cannot mix '{names}' options with mount type '{kind}'")
    bind = result.get("BindOptions", {})
    for key, word in (("ReadOnlyNonRecursive", "writable"), ("ReadOnlyForceRecursive", "readonly")):
        if bind.get(key) and not result.get("ReadOnly"):
            raise ValueError(f"option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyForceRecursive") and bind.get("Propagation") != "rprivate":
        needs = "'bind-propagation=rprivate' to be specified in conjunction"
        raise ValueError(f"option 'bind-recursive=readonly' requires {needs}")


def _volume(result: Mount) -> Mount:
    options: Mount = result.setdefault("VolumeOptions", {"Labels": {}, "DriverConfig": {}})
    return options


def _set_source(result: Mount, _key: str, value: str) -> None:
    result["Source"] = os.path.abspath(value) if value.startswith(".") else value


def _flag(value: str, fault: str) -> bool:
    try:
        return read_bool(value, False)
    except ValueError:
        raise ValueError(fault) from None


def _set_read_only(result: Mount, key: str, value: str) -> None:
    result["ReadOnly"] = _flag(value, f"invalid value for {key}: {value}")


def _set_recursive(result: Mount, key: str, value: str) -> None:
    if value == "enabled":
        return
    if value not in _RECURSIVE:
        allowed = '(must be "enabled", "disabled", "writable", or "readonly")'
        raise ValueError(f"invalid value for {key}: {value} {allowed}")
    result.setdefault("BindOptions", {})[_RECURSIVE[value]] = True


def _set_non_recursive(result: Mount, key: str, value: str) -> None:
    if _flag(value, f"invalid value for {key}: {value}"):
        result.setdefault("BindOptions", {})["NonRecursive"] = True


def _set_no_copy(result: Mount, _key: str, value: str) -> None:
    if _flag(value, f"invalid value for volume-nocopy: {value}"):
        _volume(result)["NoCopy"] = True


def _set_pair(target: Mount, value: str) -> None:
    name, _, setting = value.partition("=")
    if name:
        target[name] = setting


def _set_tmpfs_size(result: Mount, key: str, value: str) -> None:
    try:
        result.setdefault("TmpfsOptions", {})["SizeBytes"] = read_size(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _set_tmpfs_mode(result: Mount, key: str, value: str) -> None:
    if not value or value.strip("01234567"):
        raise ValueError(f"invalid value for {key}: {value}")
    result.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)


def _plain(name: str, *, lower: bool = False) -> Callable[[Mount, str, str], None]:
    def set_it(result: Mount, _key: str, value: str) -> None:
        result[name] = value.lower() if lower else value

    return set_it


_FIELDS: dict[str, Callable[[Mount, str, str], None]] = {
    "type": _plain("Type", lower=True),
    **dict.fromkeys(("source", "src"), _set_source),
    **dict.fromkeys(("target", "dst", "destination"), _plain("Target")),
    **dict.fromkeys(("readonly", "ro"), _set_read_only),
    "consistency": _plain("Consistency", lower=True),
    "bind-propagation": lambda r, _, v: r.setdefault("BindOptions", {}).update(Propagation=v.lower()),
    "bind-nonrecursive": _set_non_recursive,
    "bind-recursive": _set_recursive,
    "volume-subpath": lambda r, _, v: _volume(r).update(Subpath=v),
    "volume-nocopy": _set_no_copy,
    "volume-label": lambda r, _, v: _set_pair(_volume(r)["Labels"], v),
    "volume-driver": lambda r, _, v: _volume(r)["DriverConfig"].update(Name=v),
    "volume-opt": lambda r, _, v: _set_pair(_volume(r)["DriverConfig"].setdefault("Options", {}), v),
    "image-subpath": lambda r, _, v: r.setdefault("ImageOptions", {}).update(Subpath=v),
    "tmpfs-size": _set_tmpfs_size,
    "tmpfs-mode": _set_tmpfs_mode,
}
