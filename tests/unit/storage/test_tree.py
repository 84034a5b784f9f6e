"""Layers and active snapshots on disk, as far as no mount and no root is needed."""

import os
from pathlib import Path

import pytest

from sampan.linux.overlayfs import Flavour
from sampan.storage.copy import CopyDriver
from sampan.storage.merge import merge
from sampan.storage.snapshots import SnapshotBusy, SnapshotMissing
from sampan.storage.tree import ActiveTree, LayerTree, hex_of, remove_tree

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


def commit(driver: CopyDriver, chain_id: str, parent: str | None, **files: str) -> None:
    pending = driver.begin(chain_id, parent)
    for name, text in files.items():
        (pending.path / name.replace("__", "/")).parent.mkdir(exist_ok=True)
        (pending.path / name.replace("__", "/")).write_text(text)
    pending.commit()


@pytest.mark.parametrize(
    "text", ["", "a" * 64, "sha256:", "sha256:" + "a" * 63, "sha256:" + "../" * 21 + "a", "sha512:" + "a" * 64]
)
def test_what_is_no_chain_id(text: str) -> None:
    with pytest.raises(SnapshotMissing):
        hex_of(text)


def test_layers_know_what_they_stand_on(tmp_path: Path) -> None:
    driver = CopyDriver(tmp_path)
    for chain_id, parent in ((A, None), (B, A), (C, B)):
        commit(driver, chain_id, parent, x=chain_id)
    again = CopyDriver(tmp_path)
    assert sorted(again.layers()) == [A, B, C]
    again.prepare("k", [A, B])
    assert again.used() == {A, B}
    with pytest.raises(SnapshotMissing, match="are not one stack"):
        again.prepare("l", [A, C])


def test_a_damaged_stack_keeps_what_is_left(tmp_path: Path) -> None:
    driver = CopyDriver(tmp_path)
    commit(driver, A, None, x="1")
    commit(driver, B, A, y="2")
    driver.prepare("k", [A, B])
    remove_tree(tmp_path / "layers" / hex_of(A))
    again = CopyDriver(tmp_path)
    assert again.used() == {A, B}
    again.forget(B)
    assert list(again.layers()) == [B]


def test_layers_of_another_flavour_are_not_there_and_may_be_replaced(tmp_path: Path) -> None:
    files = LayerTree(tmp_path, Flavour.FILES, frozenset((Flavour.FILES,)))
    files.begin(hex_of(A), None).commit()
    trusted = LayerTree(tmp_path, Flavour.TRUSTED, frozenset((Flavour.TRUSTED,)))
    assert files.has(hex_of(A)) and not trusted.has(hex_of(A))
    pending = trusted.begin(hex_of(A), None)
    (pending.path / "x").write_text("1")
    pending.commit()
    assert trusted.has(hex_of(A)) and (trusted.path(hex_of(A)) / "x").exists()
    trusted.sweep()
    assert os.listdir(tmp_path) == [hex_of(A)]


def test_directories_of_others_are_no_snapshots(tmp_path: Path) -> None:
    for name in ("only-files", "plain"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "top").write_text("no link")
    (tmp_path / "file").write_text("1")
    assert ActiveTree(tmp_path).keys() == set()


def test_one_owner(tmp_path: Path) -> None:
    tree = ActiveTree(tmp_path)
    with tree.lock:
        tree.add("k", None, ("rw",))
    owner = tree.own("k")
    with pytest.raises(SnapshotBusy, match="the file system of k is in use"):
        ActiveTree(tmp_path).own("k")
    os.close(owner)
    os.close(tree.own("k"))
    again = tree.own("k")
    assert not os.get_inheritable(again)
    os.close(again)


def test_copies_are_made_once_and_whole(tmp_path: Path) -> None:
    driver = CopyDriver(tmp_path)
    commit(driver, A, None, x="1", d__y="2")
    commit(driver, B, A, **{".wh.x": "", "z": "3"})
    driver.prepare("k", [A, B])
    rw = tmp_path / "containers/k/rw"
    assert (rw / "d/y").read_text() == "2" and (rw / "z").exists() and not (rw / "x").exists()
    assert (rw / ".dockerenv").exists()
    (rw / "new").write_text("12345")
    driver.prepare("k", [A, B])
    assert driver.usage("k") == 5
    (tmp_path / "containers/k/copied").unlink()  # as if the first copy had been cut off
    driver.prepare("k", [A, B])
    assert not (rw / "new").exists() and driver.usage("k") == 0


def test_merging_never_writes_through_links(tmp_path: Path) -> None:
    for name in ("victim", "one", "two", "target"):
        (tmp_path / name).mkdir()
    os.symlink("../victim", tmp_path / "one/d")
    os.symlink("../victim/f", tmp_path / "one/f")
    (tmp_path / "two/d").mkdir()
    (tmp_path / "two/d/x").write_text("1")
    (tmp_path / "two/f").write_text("2")
    merge([(tmp_path / "one", Flavour.FILES), (tmp_path / "two", Flavour.FILES)], tmp_path / "target")
    assert os.listdir(tmp_path / "victim") == []
    assert (tmp_path / "target/d/x").read_text() == "1" and (tmp_path / "target/f").read_text() == "2"
