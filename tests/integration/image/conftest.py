"""Images on a data root of their own."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.image.store import Images
from sampan.state.database import Database
from sampan.state.images import SqlImageRows
from sampan.storage.overlay import OverlayDriver
from sampan.storage.probe import choose
from sampan.storage.snapshots import Snapshots
from support.privileges import root_or_skip


class Machine:
    """A data root with its database, driver and images; ``again`` opens them anew, as after a restart."""

    def __init__(self, root: Path) -> None:
        root_or_skip()
        self.root = root
        root.mkdir(exist_ok=True)
        self.reports: list[dict[str, object]] = []
        self._open()

    def _open(self) -> None:
        self.database = Database(self.root / "state.db")
        self.snapshots: Snapshots = choose(self.root).snapshots
        self.images = Images(
            self.root, SqlImageRows(self.database), self.snapshots, clock=lambda: 1_700_000_000_000_000_001,
            architecture="amd64",
        )  # fmt: skip

    def close(self) -> None:
        """End threads and connections."""
        self.database.close()
        if isinstance(self.snapshots, OverlayDriver) and hasattr(self.snapshots.mounter, "close"):
            self.snapshots.mounter.close()

    def again(self) -> None:
        """Restart without a word of goodbye."""
        self.close()
        self._open()
        self.images.sweep()

    def stored(self) -> dict[str, list[str]]:
        """The names of everything that images keep on disk."""
        places = ("content/blobs/sha256", "content/ingest", "layers")
        return {place: sorted(path.name for path in (self.root / place).iterdir()) for place in places}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A fresh data root."""
    one = Machine(tmp_path / "root")
    yield one
    one.close()


@pytest.fixture
def make_machine(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """More data roots."""
    made: list[Machine] = []

    def make(name: str) -> Machine:
        made.append(Machine(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    root_or_skip()
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)
