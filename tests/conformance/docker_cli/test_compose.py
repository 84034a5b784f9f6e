"""A project of two services by Docker Compose 2: its network, its names, several containers of one service."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cache import cache_dir, find_program
from support.images import BUSYBOX
from support.site import Site, site

PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins")
PROJECT = f"""
services:
  web:
    image: {BUSYBOX}
    command: [sleep, "1000"]
    stop_signal: KILL
    ports: ["28480:80"]
    depends_on: [crew]
  crew:
    image: {BUSYBOX}
    command: [sleep, "1000"]
    stop_signal: KILL
    networks:
      default:
        aliases: [sailors]
"""


def compose_or_skip() -> str:
    """A Compose of version 2 or later, which runs as a program of its own too."""
    found = [str(cache_dir() / "bin/docker-compose"), *(f"{one}/docker-compose" for one in PLUGINS)]
    for program in filter(None, [*found, find_program("docker-compose")]):
        if Path(program).is_file():
            asked = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and int(asked.stdout.lstrip("v").partition(".")[0]) >= 2:
                return program
    pytest.skip("no Docker Compose 2, and it could not be installed: apt-get install docker-compose of Debian 13")


class Project:
    """The project in a directory of its own, on one engine."""

    def __init__(self, net: Site, program: str, directory: Path) -> None:
        self.net, self._program = net, program
        self._file = directory / "compose.yaml"
        self._file.write_text(PROJECT)
        self.name = f"fleet-{net.engine.token}"

    def __call__(self, *args: str) -> str:
        """Run compose; return what it printed. AssertionError when it failed."""
        argv = [self._program, "-p", self.name, "-f", str(self._file), *args]
        done = subprocess.run(
            argv, env=self.net.engine.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """The names of a service's running containers."""
        rows = [json.loads(line) for line in self("ps", "--format", "json", service).splitlines()]
        return sorted(row["Name"] for row in rows)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Project]:
    """The project, up with three of a crew, and taken down whatever happens."""
    program = compose_or_skip()
    with site() as net:
        one = Project(net, program, tmp_path)
        try:
            one("up", "-d", "--scale", "crew=3")
            yield one
        finally:
            one("down", "-t", "0")
        assert net.engine.ok("ps", "-aq") == "" and one.name not in net.engine.ok("network", "ls")


def test_a_project_of_two_services(fleet: Project) -> None:
    net, network = fleet.net, f"{fleet.name}_default"
    crew, (web,) = fleet.containers("crew"), fleet.containers("web")
    addresses = {net.address(name, network) for name in crew}
    assert len(crew) == len(addresses) == 3
    assert net.finds(web, "crew") == net.finds(web, "sailors") == addresses
    assert net.finds(crew[0], "web") == {net.address(web, network)}
    assert net.finds(web, crew[1]) == {net.address(crew[1], network)}
    assert fleet("port", "web", "80").strip() == "0.0.0.0:28480"
    net.serve(web)
    assert net.ask(net.host, "127.0.0.1", 28480).startswith(web)
    assert net.ask(net.space(crew[0]), net.address(web, network), 80).startswith(web)


def test_changes_of_scale_and_restarts(fleet: Project) -> None:
    net, network = fleet.net, f"{fleet.name}_default"
    (web,) = fleet.containers("web")
    fleet("up", "-d", "--scale", "crew=2")
    assert len(fleet.containers("crew")) == len(net.finds(web, "crew")) == 2
    fleet("restart", "-t", "0", "crew")
    assert net.finds(web, "crew") == {net.address(name, network) for name in fleet.containers("crew")}
    fleet("stop", "-t", "0", "crew")
    assert net.finds(web, "crew") == set()
    fleet("start")
    assert len(net.finds(web, "crew")) == 2
