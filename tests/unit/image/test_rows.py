"""Rows of images in SQLite."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sampan.image.errors import ImageError
from sampan.image.rows import ImageRow, LayerRow
from sampan.state.database import Database
from sampan.state.images import SqlImageRows

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ROW = ImageRow(A, (LayerRow("d1", "b1", 1), LayerRow("d2", "b2", 2)), None, 7, ("x:1", "y:2"), (f"x@{B}",))


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[SqlImageRows]:
    database = Database(tmp_path / "state.db")
    yield SqlImageRows(database)
    database.close()


def test_what_is_put_is_found(rows: SqlImageRows) -> None:
    assert rows.all() == []
    rows.put(ROW)
    assert rows.all() == [ROW]


def test_putting_again_replaces_all_but_names(rows: SqlImageRows) -> None:
    rows.put(ROW)
    layers = (LayerRow("d1", "other", 1),)
    rows.put(replace(ROW, layers=layers, manifest=B, names=("z:3",), pinned=(), added_ns=9))
    assert rows.all() == [replace(ROW, layers=layers, manifest=B, added_ns=9, names=("x:1", "y:2", "z:3"))]


def test_a_name_has_one_image(rows: SqlImageRows) -> None:
    rows.put(ROW)
    rows.put(ImageRow(B, (), None, 1, ("x:1",)))
    rows.name(B, ["y:2"], now_ns=5)
    found = {row.id: row for row in rows.all()}
    assert found[A].names == () and found[B].names == ("x:1", "y:2") and found[B].added_ns == 5


def test_names_and_images_go(rows: SqlImageRows) -> None:
    rows.put(ROW)
    rows.unname(["x:1", f"x@{B}", "unknown"])
    assert rows.all()[0].names == ("y:2",) and rows.all()[0].pinned == ()
    rows.delete(A)
    rows.delete(A)
    assert rows.all() == []
    rows.put(replace(ROW, names=()))
    assert rows.all()[0].names == ()


def test_a_name_for_no_image_is_an_error_of_ours(rows: SqlImageRows) -> None:
    with pytest.raises(ImageError, match="cannot record the image"):
        rows.name(A, ["x:1"])
