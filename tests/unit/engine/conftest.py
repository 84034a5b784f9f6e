"""A machine and stored containers for tests that need no kernel."""

import pytest

from sampan.api import schema
from sampan.engine import validate
from sampan.engine.container import Container, State, Stored
from sampan.engine.host import Host, Settings
from sampan.runtime import capabilities


def machine(**changes: object) -> Host:
    values: dict[str, object] = {
        "hostname": "vm",
        "boot_id": "boot",
        "kernel_release": "6.12.1-amd64",
        "architecture": "x86_64",
        "go_architecture": "amd64",
        "operating_system": "Debian",
        "os_version": "13",
        "cpus": 2,
        "cpu_list": "0-1",
        "memory_nodes": "0",
        "memory": 1 << 34,
        "cgroup_version": 1,
        "controllers": frozenset({"memory", "cpu", "cpuset", "pids"}),
        "capabilities": capabilities.NAMES,
        **changes,
    }
    return Host(**values)  # type: ignore[arg-type]


def settings(**changes: object) -> Settings:
    from pathlib import Path

    values: dict[str, object] = {"data_root": Path("/d"), "exec_root": Path("/e"), "version": "0", **changes}
    return Settings(**values)  # type: ignore[arg-type]


def stored(host: dict[str, object] | None = None, **config: object) -> Stored:
    """A stored container; ``host`` is HostConfig and ``config`` is Config in the API's names."""
    body = schema.convert({"Cmd": ["true"], "Image": "img", "Labels": {}, **config}, schema.ContainerConfig)
    wanted = schema.convert({"NetworkMode": "none", **(host or {})}, schema.HostConfig)
    validate.settle(body, wanted, machine(), settings())
    body.hostname = body.hostname or "abcdefabcdef"
    command = [*(body.entrypoint or []), *(body.cmd or [])]
    return Stored(body, wanted, command[0], command[1:], "overlay")


def container(number: int = 1, name: str = "web", state: State | None = None, **rest: object) -> Container:
    kept = stored(**rest)  # type: ignore[arg-type]
    return Container(f"{number:064x}", name, number * 1_000_000_000, "sha256:1", kept, state or State())


@pytest.fixture(name="machine")
def machine_fixture() -> Host:
    return machine()
