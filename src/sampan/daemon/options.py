"""What sampand is to do: the command line, daemon.json and defaults made one.

A setting may stand on the command line or in the file, not in both; an unknown one stops the daemon with its name.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sampan.daemon import configfile, registries
from sampan.daemon.flags import FLAGS, UsageError
from sampan.daemon.values import Value, shown
from sampan.distribution.config import Registries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sampan.daemon.configfile import ConfigFile

_LEVELS: Final = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
_IPC_MODES: Final = ("private", "shareable")
_DRIVERS: Final = {"overlay2": "overlay", "vfs": "copy"}  # dockerd's words for the same
_RESERVED: Final = ("com.docker.", "io.docker.", "org.dockerproject.")  # of labels
_DOMAIN: Final = re.compile(r"(?=.{1,255}$)(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_MTU_MOST: Final = 65535  # bytes; what the kernel takes for a bridge
CERTS: Final = (Path("/etc/sampan/certs.d"), Path("/etc/docker/certs.d"))


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that was decided."""

    data_root: Path
    exec_root: Path
    pidfile: Path
    hosts: tuple[str, ...]
    debug: bool = False
    log_level: str = "INFO"  # logging's word
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    storage_driver: str = ""
    group: str = "sampan"
    cgroup_parent: str = ""
    allow_plain_tcp: bool = False
    labels: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    bip: str = ""  # the default bridge's address with its prefix, "10.1.0.1/16"
    address_pools: tuple[dict[str, Any], ...] = ()  # as in daemon.json; () for the defaults
    mtu: int = 0  # bytes, of the default bridge; 0: the uplink's
    binding_ip: str = ""  # where -p binds on the default bridge when it isn't told; "": everywhere
    icc: bool = True  # on the default bridge
    masquerade: bool = True  # likewise
    ulimits: tuple[dict[str, Any], ...] = ()  # of containers: Name, Soft, Hard
    shm_size: int = 0  # bytes; 0: Docker's 64 MiB
    ipc_mode: str = "private"
    cgroupns_mode: str = ""  # "": as the machine's control groups are
    no_new_privileges: bool = False
    shutdown_timeout: int | None = None  # seconds; negative: as long as it takes; None: the default
    registries: Registries = field(default_factory=Registries)
    config_file: Path | None = None  # that was read
    warnings: tuple[str, ...] = ()  # about the file


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are when nobody says otherwise."""

    data_root: Path
    exec_root: Path
    config_file: Path
    dockers_file: Path | None = None  # read where there is no file of our own
    certs: tuple[Path, ...] = CERTS


def default_places(uid: int, environment: Mapping[str, str]) -> Places:
    """Return root's places, or those of the XDG base directories for anybody else."""
    if uid == 0:
        return Places(
            Path("/var/lib/sampan"),
            Path("/run/sampan"),
            Path("/etc/sampan/daemon.json"),
            Path("/etc/docker/daemon.json"),
        )
    home = environment.get("HOME", "/")
    data = Path(environment.get("XDG_DATA_HOME") or f"{home}/.local/share")
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    config = Path(environment.get("XDG_CONFIG_HOME") or f"{home}/.config")
    return Places(data / "sampan", runtime / "sampan", config / "sampan" / "daemon.json")


def decide(given: Mapping[str, Value], places: Places) -> Options:
    """Return the options. Raises UsageError for the file's faults and for contradictions."""
    named = str(given.get("config-file", ""))
    path, dockers = configfile.find(named, places.config_file, places.dockers_file)
    file = configfile.read(path, must_exist=bool(named), dockers=dockers)
    try:
        _check_not_both(given, file.values)
        return _decide({**file.values, **given}, places, file)
    except UsageError as error:
        if file.path is None:
            raise
        raise configfile.broken(file.path, str(error)) from None


def _decide(values: Mapping[str, Value], places: Places, file: ConfigFile) -> Options:
    level = str(values.get("log-level") or "info")
    if level not in _LEVELS:
        raise UsageError(f"invalid logging level: {level}; use one of {', '.join(_LEVELS)}")
    exec_root = Path(str(values.get("exec-root") or places.exec_root)).absolute()
    debug = bool(values.get("debug", False))
    driver = str(values.get("storage-driver", ""))
    timeout = values.get("shutdown-timeout")
    return Options(
        data_root=Path(str(values.get("data-root") or places.data_root)).absolute(),
        exec_root=exec_root,
        pidfile=Path(str(values.get("pidfile") or exec_root / "sampand.pid")).absolute(),
        hosts=_texts(values, "host") or (f"unix://{exec_root / 'sampan.sock'}",),
        debug=debug,
        log_level="DEBUG" if debug else _LEVELS[level],
        log_driver=str(values.get("log-driver") or "json-file"),
        log_opts=_map(values, "log-opt"),
        storage_driver=_DRIVERS.get(driver, driver),
        group=str(values.get("group", "sampan")),
        cgroup_parent=str(values.get("cgroup-parent", "")),
        allow_plain_tcp=values.get("tls") is False,
        labels=_labels(_texts(values, "label")),
        dns=_texts(values, "dns"),
        dns_search=tuple(_domain(one) for one in _texts(values, "dns-search")),
        dns_options=tuple(_option(one) for one in _texts(values, "dns-opt")),
        bip=_bip(str(values.get("bip", ""))),
        address_pools=_texts(values, "default-address-pool"),
        mtu=_mtu(values.get("mtu", 0)),
        binding_ip=_binding_ip(str(values.get("ip", ""))),
        icc=values.get("icc") is not False,
        masquerade=values.get("ip-masq") is not False,
        ulimits=tuple(_map(values, "default-ulimit").values()),
        shm_size=_number(values, "default-shm-size"),
        ipc_mode=_ipc_mode(str(values.get("default-ipc-mode") or "private")),
        cgroupns_mode=_cgroupns_mode(str(values.get("default-cgroupns-mode", ""))),
        no_new_privileges=values.get("no-new-privileges") is True,
        shutdown_timeout=timeout if isinstance(timeout, int) else None,
        registries=registries.decide(values, places.certs),
        config_file=file.path,
        warnings=file.warnings,
    )


def _texts(values: Mapping[str, Value], name: str) -> tuple[Any, ...]:
    value = values.get(name)
    return tuple(value) if isinstance(value, list) else ()


def _map(values: Mapping[str, Value], name: str) -> dict[str, Any]:
    value = values.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _number(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name, 0)
    assert isinstance(value, int)
    return value


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Check labels: each has a value, none is Docker's own or contradicts another; return each once."""
    found: dict[str, str] = {}
    for label in labels:
        key, equals, _value = label.partition("=")
        if not equals or not key:
            raise UsageError(f"bad attribute format: {label}")
        if key.lower().startswith(_RESERVED):
            raise UsageError(
                f"label {label} is not allowed: the namespaces com.docker.*, io.docker.*, and org.dockerproject.* are "
                "reserved for internal use"
            )
        if found.setdefault(key, label) != label:
            raise UsageError(f"conflict labels for {label} and {found[key]}")
    return tuple(found.values())


def _domain(text: str) -> str:
    text = text.strip()
    if text != "." and not _DOMAIN.fullmatch(text):
        raise UsageError(f"{text} is not a valid domain")
    return text


def _option(text: str) -> str:
    """Return an option of resolv.conf(5); it must not become two, or another line."""
    if not text or any(letter <= " " or letter == "\x7f" for letter in text):
        raise UsageError(f"invalid dns-opts {text!r}: it has a space or a control character")
    return text


def _bip(text: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        raise UsageError(f"bip: invalid CIDR address: {text}") from None
    own = (address.network.network_address, address.network.broadcast_address)
    if "/" not in text or address.network.prefixlen > 30 or address.ip in own:
        raise UsageError(f"bip: {text} is no address of a bridge: an address of its network and the prefix's length")
    return str(address)


def _mtu(value: Value) -> int:
    if not isinstance(value, int) or not (value == 0 or 68 <= value <= _MTU_MOST):  # 68: RFC 791
        raise UsageError(f"invalid default MTU: {value}")
    return value


def _binding_ip(text: str) -> str:
    if not text or ipaddress.ip_address(text).is_unspecified:
        return ""
    if ":" in text:
        raise UsageError(f"ip: {text} is no IPv4 address")
    return text


def _ipc_mode(text: str) -> str:
    if text not in _IPC_MODES:
        raise UsageError(f'default IPC mode setting ({text}) is invalid; use "shareable" or "private"')
    return text


def _cgroupns_mode(text: str) -> str:
    if text not in ("", "host", "private"):
        raise UsageError(f'default cgroup namespace mode ({text}) is invalid; use "host" or "private"')
    return text


def _check_not_both(given: Mapping[str, Value], values: Mapping[str, Value]) -> None:
    keys = {flag.name: flag.key for flag in FLAGS if flag.name}
    both = sorted((keys[name], name) for name in set(given) & set(values))
    if both:
        told = ", ".join(
            f"{key}: (from flag: {shown(given[name])}, from file: {shown(values[name])})" for key, name in both
        )
        raise UsageError(f"the following directives are specified both as a flag and in the configuration file: {told}")
