"""A data root that lost its database is not begun anew."""

from pathlib import Path

import pytest

from sampan.daemon import dataroot


@pytest.mark.parametrize("kept", ["containers/" + "a" * 64, "content/blobs/sha256/" + "b" * 64])
@pytest.mark.parametrize("database", [None, b""])
def test_something_without_a_database_is_refused(tmp_path: Path, kept: str, database: bytes | None) -> None:
    (tmp_path / kept).mkdir(parents=True)
    if database is not None:
        (tmp_path / "state.db").write_bytes(database)
    with pytest.raises(dataroot.LostDatabase) as caught:
        dataroot.check(tmp_path)
    assert f"{tmp_path}/state.db is missing or empty" in str(caught.value)
    assert "restore state.db" in str(caught.value)
    (tmp_path / "state.db").write_bytes(b"x")
    dataroot.check(tmp_path)


def test_nothing_at_all_is_a_beginning(tmp_path: Path) -> None:
    dataroot.check(tmp_path)
    for empty in ("containers", "content/blobs/sha256"):
        (tmp_path / empty).mkdir(parents=True)
    dataroot.check(tmp_path)
