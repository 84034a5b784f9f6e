"""The flags of ``run`` and ``create`` as the body of POST /containers/create, field by field what docker 28 sends."""

from __future__ import annotations

import os

from sampan.cli.container_network import check_mac, endpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from sampan.cli.parser import Arguments

    Json = dict[str, Any]

_HEALTH = (
    ("health-interval", "Interval"),
    ("health-timeout", "Timeout"),
    ("health-start-period", "StartPeriod"),
    ("health-start-interval", "StartInterval"),
    ("health-retries", "Retries"),
)


def container_body(arguments: Arguments, environ: Mapping[str, str], console: tuple[int, int]) -> Json:
    """The request's JSON; `console` is (height, width) of the terminal. Raises ValueError in Docker's words."""
    attach = arguments["attach"] or ()
    _check_modes(arguments)
    exposed, bindings = _ports(arguments)
    binds, volumes = _volumes(arguments["volume"] or ())
    stdin = "stdin" in attach or arguments["interactive"]
    body: Json = {
        "Hostname": arguments["hostname"],
        "Domainname": arguments["domainname"],
        "User": arguments["user"],
        "AttachStdin": stdin,
        "AttachStdout": not attach or "stdout" in attach,
        "AttachStderr": not attach or "stderr" in attach,
        "Tty": arguments["tty"],
        "OpenStdin": arguments["interactive"],
        "StdinOnce": arguments["interactive"] and stdin,
        "Env": _environment(arguments, environ),
        "Cmd": arguments.rest[1:] or None,
        "Image": arguments.rest[0],
        "Volumes": volumes,
        "WorkingDir": arguments["workdir"],
        "Entrypoint": [arguments["entrypoint"]] if "entrypoint" in arguments.given else None,
        "OnBuild": None,
        "Labels": dict(_pair(t) for t in [*_files(arguments["label-file"]), *(arguments["label"] or ())]),
    }
    _add(body, "ExposedPorts", exposed)
    _add(body, "StopSignal", arguments["stop-signal"])
    _add(body, "Healthcheck", _health(arguments))
    if "stop-timeout" in arguments.given:
        body["StopTimeout"] = arguments["stop-timeout"]
    body["HostConfig"] = _host_config(arguments, binds, bindings, console)
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints(arguments)}
    return body


def _host_config(arguments: Arguments, binds: list[str] | None, bindings: Json, console: tuple[int, int]) -> Json:
    security, masked = _security(arguments["security-opt"])
    networks = arguments["network"]
    cap_add, cap_drop = _capabilities(arguments["cap-add"] or (), arguments["cap-drop"] or ())
    config: Json = {
        "Binds": binds,
        "ContainerIDFile": arguments["cidfile"],
        "LogConfig": {"Type": arguments["log-driver"], "Config": _log_options(arguments)},
        "NetworkMode": networks[0]["name"] if networks else "default",
        "PortBindings": bindings,
        "RestartPolicy": _restart_policy(arguments["restart"]),
        "AutoRemove": arguments["rm"],
        "VolumeDriver": arguments["volume-driver"],
        "VolumesFrom": arguments["volumes-from"],
        "ConsoleSize": list(console),
        "CapAdd": cap_add,
        "CapDrop": cap_drop,
        "CgroupnsMode": arguments["cgroupns"],
        "Dns": arguments["dns"] or [],
        "DnsOptions": arguments["dns-option"] or [],
        "DnsSearch": arguments["dns-search"] or [],
        "ExtraHosts": arguments["add-host"],
        "GroupAdd": arguments["group-add"],
        "IpcMode": arguments["ipc"],
        "Cgroup": "",
        "Links": arguments["link"],
        "OomScoreAdj": arguments["oom-score-adj"],
        "PidMode": arguments["pid"],
        "Privileged": arguments["privileged"],
        "PublishAllPorts": arguments["publish-all"],
        "ReadonlyRootfs": arguments["read-only"],
        "SecurityOpt": security,
        "UTSMode": arguments["uts"],
        "UsernsMode": arguments["userns"],
        "ShmSize": arguments["shm-size"],
        "Isolation": arguments["isolation"],
        "MaskedPaths": masked,
        "ReadonlyPaths": masked,
        **_resources(arguments),
    }
    _add(config, "StorageOpt", _storage_options(arguments["storage-opt"] or ()))
    _add(config, "Tmpfs", {path: options for path, _, options in (t.partition(":") for t in arguments["tmpfs"] or ())})
    _add(config, "Sysctls", arguments["sysctl"])
    _add(config, "Runtime", arguments["runtime"])
    _add(config, "Mounts", arguments["mount"])
    _add(config, "Annotations", arguments["annotation"])
    if "init" in arguments.given:
        config["Init"] = arguments["init"]
    if arguments["rm"] and config["RestartPolicy"]["Name"] not in {"", "no"}:
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    return config


def _resources(arguments: Arguments) -> Json:
    ulimits = arguments["ulimit"] or {}
    return {
        "CpuShares": arguments["cpu-shares"],
        "Memory": arguments["memory"],
        "NanoCpus": arguments["cpus"],
        "CgroupParent": arguments["cgroup-parent"],
        "BlkioWeight": arguments["blkio-weight"],
        "BlkioWeightDevice": arguments["blkio-weight-device"] or [],
        "BlkioDeviceReadBps": arguments["device-read-bps"] or [],
        "BlkioDeviceWriteBps": arguments["device-write-bps"] or [],
        "BlkioDeviceReadIOps": arguments["device-read-iops"] or [],
        "BlkioDeviceWriteIOps": arguments["device-write-iops"] or [],
        "CpuPeriod": arguments["cpu-period"],
        "CpuQuota": arguments["cpu-quota"],
        "CpuRealtimePeriod": arguments["cpu-rt-period"],
        "CpuRealtimeRuntime": arguments["cpu-rt-runtime"],
        "CpusetCpus": arguments["cpuset-cpus"],
        "CpusetMems": arguments["cpuset-mems"],
        "Devices": [_device(text) for text in arguments["device"] or ()],
        "DeviceCgroupRules": arguments["device-cgroup-rule"],
        "DeviceRequests": None,
        "MemoryReservation": arguments["memory-reservation"],
        "MemorySwap": arguments["memory-swap"],
        "MemorySwappiness": arguments["memory-swappiness"],
        "OomKillDisable": arguments["oom-kill-disable"],
        "PidsLimit": arguments["pids-limit"],
        "Ulimits": [ulimits[name] for name in sorted(ulimits)],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _check_modes(arguments: Arguments) -> None:
    if arguments["mac-address"]:
        check_mac(arguments["mac-address"])
    swappiness = arguments["memory-swappiness"]
    if not -1 <= swappiness <= 100:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    pid = arguments["pid"]
    if pid not in {"", "host"} and not (pid.startswith("container:") and len(pid) > len("container:")):
        raise ValueError("--pid: invalid PID mode")
    for flag, what, allowed in (
        ("uts", "UTS", {"", "host"}),
        ("userns", "USER", {"", "host"}),
        ("cgroupns", "CGROUP", {"", "host", "private"}),
    ):
        if arguments[flag] not in allowed:
            raise ValueError(f"--{flag}: invalid {what} mode")


def _ports(arguments: Arguments) -> tuple[Json, Json]:
    if not arguments["publish"] and not arguments["expose"]:
        return {}, {}
    from sampan.cli.container_ports import port_maps

    exposed, bindings = port_maps(arguments["publish"] or (), arguments["expose"] or ())
    return dict(exposed), dict(bindings)


def _volumes(texts: Iterable[str]) -> tuple[list[str] | None, Json]:
    """(Binds, Volumes): what has a source, and the targets of anonymous volumes."""
    binds: list[str] = []
    anonymous: Json = {}
    for text in dict.fromkeys(texts):
        sections = _volume_sections(text)
        if len(sections) == 1:
            anonymous[text] = {}
            continue
        source = sections[0]
        binds.append(f"{os.path.abspath(source)}{text[len(source) :]}" if source.startswith(".") else text)
    return binds or None, anonymous


def _volume_sections(text: str) -> list[str]:
    """The parts of ``source:target:options``. Raises ValueError."""
    if not text:
        raise ValueError("invalid empty volume spec")
    if len(text) <= 2:
        return [text]
    sections: list[str] = []
    drive = False
    for part in text.split(":"):
        # Docker takes one letter before a colon for a Windows drive, on every system: `a:/b` is one section.
        if drive:
            sections[-1] += f":{part}"
        else:
            sections.append(part)
        drive = not drive and len(part) == 1 and part.isalpha()
    if not all(sections):
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons")
    return sections


def _environment(arguments: Arguments, environ: Mapping[str, str]) -> list[str] | None:
    # A name that is given again replaces the earlier one; the files come first and are left as they are.
    given = {text.partition("=")[0]: text for text in arguments["env"] or ()}
    return [*_files(arguments["env-file"], environ.get), *given.values()] or None


def _files(paths: Iterable[str] | None, look_up: Callable[[str], str | None] | None = None) -> list[str]:
    if not paths:
        return []
    from sampan.cli.pair_files import read_pairs

    return [pair for path in paths for pair in read_pairs(path, look_up)]


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _add(body: Json, key: str, value: object) -> None:
    """Put in what Docker leaves out when it is empty."""
    if value:
        body[key] = value


def _capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[list[str] | None, list[str] | None]:
    """Normalised and sorted; ALL swallows the others, and what is added is not dropped."""
    added, dropped = ({_capability(name) for name in names} for names in (add, drop))
    added = {"ALL"} if "ALL" in added else added
    dropped = {"ALL"} if "ALL" in dropped else dropped
    return sorted(added - {"RESET"}) or None, sorted(dropped - added - {"RESET"}) or None


def _capability(name: str) -> str:
    name = name.strip().upper()
    return name if name in {"ALL", "RESET"} or name.startswith("CAP_") else f"CAP_{name}"


def _log_options(arguments: Arguments) -> dict[str, str]:
    options = arguments["log-opt"] or ()
    if arguments["log-driver"] == "none" and options:
        raise ValueError("invalid logging opts for driver none")
    return dict(_pair(text) for text in options)


def _restart_policy(text: str) -> Json:
    name, separator, count = text.partition(":")
    if separator and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    try:
        return {"Name": name, "MaximumRetryCount": int(count) if count else 0}
    except ValueError:
        raise ValueError("invalid restart policy format: maximum retry count must be an integer") from None


def _security(options: list[str] | None) -> tuple[list[str] | None, list[str] | None]:
    """(SecurityOpt, masked paths): a seccomp profile is sent by content; systempaths is the client's own affair."""
    if options is None:
        return None, None
    result: list[str] = []
    masked: list[str] | None = None
    for text in options:
        if text == "systempaths=unconfined":
            masked = []
            continue
        key, separator, value = text.partition("=")
        if not separator and key != "no-new-privileges":
            key, separator, value = text.partition(":")
        if not value and key != "no-new-privileges":
            from sampan.cli.gotext import quote

            raise ValueError(f"Invalid --security-opt: {quote(text)}")
        result.append(_seccomp(value) if key == "seccomp" and value not in {"builtin", "unconfined"} else text)
    return result, masked


def _seccomp(path: str) -> str:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            profile = json.load(file)
    except OSError as error:
        reason = f"open {path}: {(error.strerror or '').lower()}"
        raise ValueError(f"opening seccomp profile ({path}) failed: {reason}") from None
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None
    return "seccomp=" + json.dumps(profile, separators=(",", ":"), ensure_ascii=False)


def _storage_options(options: Iterable[str]) -> dict[str, str]:
    if any("=" not in text for text in options):
        raise ValueError("invalid storage option")
    return dict(_pair(text) for text in options)


def _device(text: str) -> Json:
    """``host[:container][:mode]``."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    if len(parts) == 2 and _is_mode(parts[1]):
        parts = [parts[0], "", parts[1]]
    source, target, mode = [*parts, "", ""][:3]
    if len(parts) == 3 and not _is_mode(mode):
        raise ValueError(f"bad mode specified: {mode}")
    if not (target or source).startswith("/"):
        raise ValueError(f"{target or source} is not an absolute path")
    return {"PathOnHost": source, "PathInContainer": target or source, "CgroupPermissions": mode or "rwm"}


def _is_mode(text: str) -> bool:
    return bool(text) and not text.strip("rwm") and len(set(text)) == len(text)


def _health(arguments: Arguments) -> Json | None:
    command = arguments["health-cmd"]
    settings = {name: arguments[flag] for flag, name in _HEALTH if arguments[flag]}
    if arguments["no-healthcheck"]:
        if command or settings:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for flag, _name in _HEALTH:
        if arguments[flag] < 0:
            raise ValueError(f"--{flag} cannot be negative")
    if command:
        settings["Test"] = ["CMD-SHELL", command]
    return settings or None
