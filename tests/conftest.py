"""Fixtures: a daemon for one test (`sampand`), one for the session (`shared_sampand`), images."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import daemon
from support.daemon import Sampand
from support.images import busybox_archive
from support.privileges import root_or_skip


@pytest.fixture
def sampand() -> Iterator[Sampand]:
    """A daemon for this test alone; whatever it leaves behind fails the test."""
    root_or_skip()
    with Sampand() as one:
        yield one


@pytest.fixture(scope="session")
def shared_sampand() -> Iterator[Sampand]:
    """A daemon that many tests use one after another; its leaks fail the last of them."""
    root_or_skip()
    with Sampand() as one:
        yield one


@pytest.fixture(scope="session")
def busybox() -> Path:
    """The archive of an image with busybox, as `docker save` makes them."""
    return busybox_archive()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """Add the logs of the daemons that run to the report of a failed test."""
    report = yield
    if report.failed:
        for one in daemon.LIVE:
            report.sections.append((f"log of sampand {one.home}", one.tail()))
    return report
