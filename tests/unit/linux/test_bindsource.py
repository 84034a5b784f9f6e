"""Which mount a path lies on, from tables in mountinfo's format (proc_pid_mountinfo(5))."""

from pathlib import Path

import pytest

from sampan.linux import bindsource

TABLE = r"""22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:5 / /srv rw shared:7 - tmpfs tmpfs rw
31 30 0:6 / /srv/deep rw shared:8 master:7 - tmpfs tmpfs rw
32 22 0:7 / /with\040blank rw master:3 propagate_from:2 - tmpfs tmpfs rw
33 22 0:8 / /srv rw - tmpfs tmpfs rw
"""
CASES = [
    ("/", "/", set()),
    ("/srvx", "/", set()),
    ("/srv/deep/er", "/srv/deep", {"shared", "master"}),
    ("/with blank/a", "/with blank", {"master", "propagate_from"}),
    ("/srv/a", "/srv", set()),  # the last one on a point covers the others
]


@pytest.mark.parametrize(("path", "point", "ways"), CASES)
def test_the_mount_of_a_path(tmp_path: Path, path: str, point: str, ways: set[str]) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert bindsource.mounted_on(path, str(table)) == (point, ways)
