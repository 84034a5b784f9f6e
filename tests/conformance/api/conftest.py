"""The engine that these tests talk to: a sampand of their own, or the daemon that SAMPAN_TEST_HOST names (to prove a
test on Docker first)."""

import os
from collections.abc import Iterator

import docker
import pytest

from support.daemon import Sampand
from support.engine import API_VERSION, LABEL
from support.images import BUSYBOX, busybox_archive


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> str:
    """The engine's address; it has the image BUSYBOX."""
    named = os.environ.get("SAMPAN_TEST_HOST")
    if not named:
        sampand: Sampand = request.getfixturevalue("shared_sampand")
        named = sampand.engine.host
    client = docker.DockerClient(named, version=API_VERSION, timeout=30)
    if not client.images.list(BUSYBOX):
        client.images.load(busybox_archive().read_bytes())
    client.close()
    return named


@pytest.fixture
def client(host: str) -> Iterator[docker.DockerClient]:
    """A docker-py client; containers with the tests' label are removed behind it."""
    one = docker.DockerClient(host, version=API_VERSION, timeout=30)
    yield one
    for container in one.containers.list(all=True, filters={"label": f"{LABEL}=api"}):
        container.remove(force=True)
    one.close()
