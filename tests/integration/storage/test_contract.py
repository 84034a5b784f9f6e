"""What every storage driver must do, and every way of mounting."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from integration.storage.conftest import Make
from integration.storage.suite import active, chain_id, commit, files, listing, opaque, opened, stack
from sampan.storage.snapshots import PendingLayer, SnapshotBusy, SnapshotMissing, Snapshots

KEY = "c" * 64
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep, linux/capability.h


def nothing(pending: PendingLayer) -> None:
    """An empty layer."""


def mount_points() -> str:
    return Path("/proc/self/mountinfo").read_text()


def test_a_snapshot_shows_its_layers_on_top_of_each_other(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1", d__x="1", d__y="1"), files(a="2", d__y="2", e="2"))
    with active(driver, KEY, chain) as root:
        assert listing(root) == {"a": "2", "d": None, "d/x": "1", "d/y": "2", "e": "2"}


def test_whiteouts_hide_files_and_directories(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1", d__x="1", keep="1"), files(a=None, d=None), files(a="3"))
    with active(driver, KEY, chain[:2]) as root:
        assert listing(root) == {"keep": "1"}
    with active(driver, "other", chain) as root:
        assert listing(root) == {"keep": "1", "a": "3"}


def test_an_opaque_directory_hides_what_is_below(driver: Snapshots) -> None:
    chain = stack(driver, files(d__x="1", d__sub__y="1"), opaque("d", z="2"))
    with active(driver, KEY, chain) as root:
        assert listing(root) == {"d": None, "d/z": "2"}


def test_a_file_takes_the_place_of_a_directory_and_back(driver: Snapshots) -> None:
    chain = stack(driver, files(a__x="1", b="1"), files(a="2", b__y="2"))
    with active(driver, KEY, chain) as root:
        assert listing(root) == {"a": "2", "b": None, "b/y": "2"}


def test_a_container_is_furnished(driver: Snapshots) -> None:
    chain = stack(driver, files(etc__hosts="mine"))
    for key in ("one", "two"):
        with active(driver, key, chain) as root:
            assert (root / ".dockerenv").exists() and (root / "proc").is_dir()
            assert (root / "etc/hosts").read_text() == "mine" and os.readlink(root / "etc/mtab") == "/proc/mounts"
            (root / "etc/hosts").write_text(key)
        assert driver.usage(key) == (len(key) if driver.name == "overlay" else 0)


def test_a_writable_layer_holds_what_was_written_and_nothing_else(driver: Snapshots, tmp_path: Path) -> None:
    if driver.name == "copy":
        pytest.skip("a copy has all in one place")
    with active(driver, KEY, stack(driver, files(a="1"))) as root:
        (root / "etc/new").write_text("1")
    rw = tmp_path / "root/containers" / KEY / "rw"
    assert sorted(str(one.relative_to(rw)) for one in rw.rglob("*")) == ["etc", "etc/new"]


def test_what_is_written_stays_and_is_counted(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1", b=""))
    with active(driver, KEY, chain) as root:
        assert driver.usage(KEY) == 0
        (root / "new").write_text("hello")
        os.link(root / "new", root / "again")
        (root / "b").unlink()
        (root / "a").chmod(0o600)
    with opened(driver.mount(KEY)) as root:
        assert listing(root) == {"a": "1", "new": "hello", "again": "hello"}
    with active(driver, "other", chain) as root:
        assert listing(root) == {"a": "1", "b": ""}
    assert driver.usage(KEY) in (5, 6)  # overlay copied `a` up; the copy driver counts what it has more
    assert driver.usage("other") == 0


def test_attributes_come_through(driver: Snapshots) -> None:
    def build(pending: PendingLayer) -> None:
        path = pending.path / "program"
        path.write_bytes(b"x" * 10)
        os.chown(path, 12, 34)
        path.chmod(0o4751)
        os.setxattr(path, "user.note", b"\0\xff")
        os.setxattr(path, "security.capability", CAPABILITY)
        os.utime(path, ns=(1_000_000_000, 2_000_000_123))
        os.link(path, pending.path / "twin")
        os.symlink("program", pending.path / "link")
        os.lchown(pending.path / "link", 5, 6)
        os.mkfifo(pending.path / "fifo", 0o640)
        os.mknod(pending.path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    with active(driver, KEY, stack(driver, build, files(other="1"))) as root:
        status = (root / "program").stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o4751)
        assert status.st_mtime_ns == 2_000_000_123
        assert os.getxattr(root / "program", "user.note") == b"\0\xff"
        assert os.getxattr(root / "program", "security.capability") == CAPABILITY
        assert (root / "twin").stat().st_ino == status.st_ino and status.st_nlink == 2
        assert os.readlink(root / "link") == "program"
        assert (root / "link").lstat().st_uid == 5
        assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
        assert (root / "null").stat().st_rdev == os.makedev(1, 3)


def test_holes_take_no_space(driver: Snapshots) -> None:
    def build(pending: PendingLayer) -> None:
        with (pending.path / "sparse").open("wb") as file:
            file.seek(50 << 20)
            file.write(b"end")

    with active(driver, KEY, stack(driver, build)) as root:
        status = (root / "sparse").stat()
        assert status.st_size == (50 << 20) + 3
        assert status.st_blocks * 512 < 1 << 20


def test_the_root_has_the_image_roots_owner_and_mode(driver: Snapshots) -> None:
    def build(pending: PendingLayer) -> None:
        os.chown(pending.path, 7, 8)
        pending.path.chmod(0o1750)

    with active(driver, KEY, stack(driver, nothing, build)) as root:
        status = root.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (7, 8, 0o1750)


def test_the_root_is_0755_by_default(driver: Snapshots) -> None:
    with active(driver, KEY, stack(driver, files(a="1"))) as root:
        assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_an_image_without_layers_is_an_empty_root(driver: Snapshots) -> None:
    with active(driver, KEY, []) as root:
        assert listing(root) == {}
        (root / "new").write_text("1")
    with opened(driver.mount(KEY)) as root:
        assert listing(root) == {"new": "1"}


def test_127_layers(driver: Snapshots) -> None:
    chain = stack(driver, *(files(**{f"f{number}": str(number)}) for number in range(127)))
    with active(driver, KEY, chain) as root:
        assert len(listing(root)) == 127


def test_mounts_are_seen_by_nobody(driver: Snapshots) -> None:
    before = mount_points()
    with active(driver, KEY, stack(driver, files(a="1"))):
        assert mount_points() == before


def test_a_snapshot_has_one_owner(driver: Snapshots) -> None:
    with active(driver, KEY, stack(driver, files(a="1"))), pytest.raises(SnapshotBusy):
        driver.mount(KEY)
    driver.mount(KEY).close()


def test_the_lock_dies_with_its_last_holder(driver: Snapshots) -> None:
    driver.prepare(KEY, stack(driver, files(a="1")))
    mounted = driver.mount(KEY)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        pass_fds=(mounted.lock,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    mounted.close()  # the other process has the lock still, like a monitor after sampand's death
    with pytest.raises(SnapshotBusy):
        driver.mount(KEY)
    holder.kill()
    holder.communicate()
    driver.mount(KEY).close()


def test_a_failed_mount_gives_the_lock_back(driver: Snapshots, tmp_path: Path) -> None:
    driver.prepare(KEY, stack(driver, files(a="1")))
    aside = tmp_path / "aside"
    rw = tmp_path / "root" / "containers" / KEY / "rw"
    rw.rename(aside)
    with pytest.raises(OSError, match="No such file"):
        driver.mount(KEY)
    aside.rename(rw)
    driver.mount(KEY).close()


def test_no_descriptor_is_left_open(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1"))
    with active(driver, KEY, chain):  # the first mount may start a thread
        pass
    before = len(os.listdir("/proc/self/fd"))
    with active(driver, KEY, chain), pytest.raises(SnapshotBusy):
        driver.mount(KEY)
    driver.discard(KEY)
    assert len(os.listdir("/proc/self/fd")) == before


def test_read_only(driver: Snapshots) -> None:
    driver.prepare(KEY, stack(driver, files(a="1")))
    with opened(driver.mount(KEY, readonly=True)) as root, pytest.raises(OSError, match="Read-only file system"):
        (root / "b").write_text("1")
    with opened(driver.mount(KEY)) as root:
        (root / "b").write_text("1")


def test_volatile_mounts(driver: Snapshots) -> None:
    driver.prepare(KEY, stack(driver, files(a="1")))
    with opened(driver.mount(KEY, volatile=True)) as root:
        (root / "b").write_text("1")
    driver.discard(KEY)


def test_snapshots_are_found_again(make_driver: Make, driver: Snapshots, tmp_path: Path) -> None:
    chain = stack(driver, files(a="1"), files(b="2"))
    with active(driver, KEY, chain) as root:
        (root / "mine").write_text("3")
    again = make_driver(tmp_path / "root")
    again.sweep()
    assert list(again.keys()) == [KEY]
    assert again.used() == set(chain)
    with opened(again.mount(KEY)) as root:
        assert listing(root) == {"a": "1", "b": "2", "mine": "3"}


def test_prepare_and_discard_may_be_repeated(driver: Snapshots, tmp_path: Path) -> None:
    chain = stack(driver, files(a="1"))
    with active(driver, KEY, chain) as root:
        (root / "b").write_text("1")
    driver.prepare(KEY, chain)
    with opened(driver.mount(KEY)) as root:
        assert listing(root) == {"a": "1", "b": "1"}
    for _ in range(2):
        driver.discard(KEY)
    assert list(driver.keys()) == []
    assert os.listdir(tmp_path / "root" / "containers") == []
    with pytest.raises(SnapshotMissing):
        driver.mount(KEY)


def test_discard_leaves_the_engines_files(driver: Snapshots, tmp_path: Path) -> None:
    directory = tmp_path / "root" / "containers" / KEY
    directory.mkdir()
    (directory / "hostname").write_text("web\n")
    with active(driver, KEY, stack(driver, files(a="1"))):
        pass
    driver.discard(KEY)
    assert os.listdir(directory) == ["hostname"]


def test_discard_after_the_directory_went_elsewhere(driver: Snapshots, tmp_path: Path) -> None:
    chain = stack(driver, files(a="1"))
    driver.prepare(KEY, chain)
    (tmp_path / "root" / "containers" / KEY).rename(tmp_path / "removed")
    driver.discard(KEY)
    assert list(driver.keys()) == [] and driver.used() == set()


def test_layers_that_are_not_there(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1"), files(b="2"))
    for parents in ([chain_id("no such")], [chain[0], chain_id("no such")], [chain[1]], ["sha256:../../etc"]):
        with pytest.raises(SnapshotMissing):
            driver.prepare(KEY, parents)
    with pytest.raises(SnapshotMissing):
        driver.layer(chain_id("no such"))
    assert not driver.has(chain_id("no such"))
    assert list(driver.keys()) == []


@pytest.mark.parametrize("key", ["", "..", "a/b", "../x", "."])
def test_keys_that_are_no_names(driver: Snapshots, key: str) -> None:
    with pytest.raises(SnapshotMissing):
        driver.prepare(key, [])


def test_a_layer_in_use_is_not_forgotten(driver: Snapshots) -> None:
    chain = stack(driver, files(a="1"), files(b="2"))
    driver.prepare(KEY, chain)
    for one in chain:
        driver.forget(one)
    assert set(driver.layers()) == set(chain)
    driver.discard(KEY)
    for one in chain * 2:
        driver.forget(one)
    assert list(driver.layers()) == []


def test_of_two_equal_layers_the_first_stays(driver: Snapshots, tmp_path: Path) -> None:
    first, second = (driver.begin(chain_id("one"), None) for _ in range(2))
    (first.path / "who").write_text("first")
    (second.path / "who").write_text("second")
    assert not driver.has(chain_id("one"))
    first.commit()
    second.commit()
    assert (driver.layer(chain_id("one")) / "who").read_text() == "first"
    assert len(os.listdir(tmp_path / "root" / "layers")) == 1


def test_nothing_is_left_of_unfinished_layers(make_driver: Make, driver: Snapshots, tmp_path: Path) -> None:
    aborted = driver.begin(chain_id("one"), None)
    (aborted.path / "a").write_text("1")
    aborted.abort()
    aborted.abort()
    assert os.listdir(tmp_path / "root" / "layers") == []
    crashed = driver.begin(chain_id("two"), None)
    (crashed.path / "a").write_text("1")
    again = make_driver(tmp_path / "root")
    again.sweep()
    assert os.listdir(tmp_path / "root" / "layers") == []
    assert not again.has(chain_id("two"))


@pytest.mark.parametrize("name", ["with space", "a:b,c=d", "back\\slash", "x" * 120 + "/" + "y" * 120 + "/" + "z" * 60])
def test_data_roots_with_strange_names(make_driver: Make, tmp_path: Path, name: str) -> None:
    driver = make_driver(tmp_path / name)
    with active(driver, KEY, stack(driver, files(a="1"), files(a=None, b="2"))) as root:
        (root / "c").write_text("3")
        assert listing(root) == {"b": "2", "c": "3"}


def test_a_layers_own_redirect_is_not_followed(driver: Snapshots) -> None:
    """The unpacker drops such attributes; should one get there all the same, overlayfs must not obey."""

    def build(pending: PendingLayer) -> None:
        (pending.path / "innocent").mkdir()
        os.setxattr(pending.path / "innocent", "trusted.overlay.redirect", b"/secret")

    chain = stack(driver, files(secret__key="1"), build)
    with active(driver, KEY, chain) as root:
        # overlayfs refuses to look it up at all; the copy driver knows no redirects.
        with contextlib.suppress(PermissionError):
            assert os.listdir(root / "innocent") == []
        assert (root / "secret/key").read_text() == "1"


def test_disk_full_while_unpacking_leaves_nothing(make_driver: Make, tmp_path: Path) -> None:
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", mount_point], check=True)
    try:
        driver = make_driver(mount_point)
        pending = driver.begin(chain_id("big"), None)
        with pytest.raises(OSError, match="No space"):
            (pending.path / "big").write_bytes(bytes(2 << 20))
        pending.abort()
        assert os.listdir(mount_point / "layers") == []
        commit(driver, "small", None, files(a="1"))
    finally:
        subprocess.run(["umount", mount_point], check=True)


def test_usage_of_what_is_not_there(driver: Snapshots) -> None:
    with pytest.raises(SnapshotMissing):
        driver.usage(KEY)


def test_an_interrupted_prepare_is_done_again(driver: Snapshots, tmp_path: Path) -> None:
    """What a crash leaves between two steps of prepare: a directory without the link that makes it a snapshot."""
    chain = stack(driver, files(a="1"))
    driver.prepare(KEY, chain)
    directory = tmp_path / "root" / "containers" / KEY
    for leftover in set(os.listdir(directory)) - {"rw"}:
        path = directory / leftover
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with active(driver, KEY, chain) as root:
        assert listing(root) == {"a": "1"}
