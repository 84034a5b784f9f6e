"""The engine that these tests talk to: a sampand of their own, or the daemon that SAMPAN_TEST_HOST names (to prove a
test on Docker first: SAMPAN_TEST_HOST=unix:///run/docker.sock make test ARGS=tests/conformance)."""

import os
from collections.abc import Iterator

import pytest

from support.daemon import Sampand
from support.engine import Engine, docker_or_skip


@pytest.fixture(scope="session")
def shared_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One engine with the image BUSYBOX, for all tests of this folder."""
    docker_or_skip()
    host = os.environ.get("SAMPAN_TEST_HOST")
    if host:
        engine = Engine(host, is_peer=True)
    else:
        sampand: Sampand = request.getfixturevalue("shared_sampand")
        engine = sampand.engine
    engine.load_busybox()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """The shared engine; containers of the test are removed behind it."""
    yield shared_engine
    shared_engine.clean()
