"""Drivers on a data root of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.linux.overlayfs import Flavour
from sampan.storage.copy import CopyDriver
from sampan.storage.namespace import NamespaceMounter
from sampan.storage.overlay import DirectMounter, Mounter, OverlayDriver
from sampan.storage.probe import overlay_trouble
from sampan.storage.snapshots import Snapshots
from support.privileges import root_or_skip

Make = Callable[[Path], Snapshots]


@pytest.fixture(scope="session")
def old_mounter() -> Iterator[NamespaceMounter]:
    """The way of kernels before 6.7; one thread for the whole session, as in the daemon."""
    mounter = NamespaceMounter()
    yield mounter
    mounter.close()


@pytest.fixture(params=["overlay", "overlay-old-mount", "overlay-user-attributes", "copy"])
def make_driver(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that opens the driver on a data root."""
    root_or_skip()
    if request.param == "copy":
        return CopyDriver
    flavour = Flavour.USER if request.param == "overlay-user-attributes" else Flavour.TRUSTED
    mounter: Mounter = DirectMounter()
    if request.param == "overlay-old-mount" or overlay_trouble(tmp_path, mounter, flavour) is not None:
        if request.param == "overlay":
            pytest.skip("this kernel has no lowerdir+ (Linux 6.7)")
        mounter = request.getfixturevalue("old_mounter")
    return lambda root: OverlayDriver(root, mounter, flavour)


@pytest.fixture
def driver(make_driver: Make, tmp_path: Path) -> Snapshots:
    """The driver on an empty data root."""
    return make_driver(tmp_path / "root")
