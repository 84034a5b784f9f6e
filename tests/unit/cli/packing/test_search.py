"""Where libraries are looked for; ldconfig reads the caches that we write."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sampan.cli.packing import search
from sampan.cli.packing.elf import Elf

AMD64 = Elf(62, 64, True, "/lib64/ld-linux-x86-64.so.2", (), "", (), ())
NAMES = ("libb.so.2", "libb.so.10", "libb.so", "liba.so.1", "libc.so.6", "lib1.so", "libz", "libz.so.1.2.13")
LIBRARIES = {(name, 64): (f"/opt/lib/{name}", AMD64) for name in NAMES}


def test_a_cache_that_we_wrote_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(search.made_cache(LIBRARIES))
    system = search.System(str(tmp_path / "cache"), str(tmp_path / "none"))
    for name in NAMES:
        assert next(system.places(name, AMD64, "/lib64/ld-linux-x86-64.so.2")) == f"/opt/lib/{name}"


def test_ldconfig_reads_it_in_the_order_that_the_loader_wants(tmp_path: Path) -> None:
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if ldconfig is None:
        pytest.skip("no ldconfig on this machine")
    (tmp_path / "cache").write_bytes(search.made_cache(LIBRARIES))
    done = subprocess.run([ldconfig, "-p", "-C", str(tmp_path / "cache")], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()[1:] if "=>" in line]
    assert {(line[0], line[-1]) for line in lines} == {(name, f"/opt/lib/{name}") for name in NAMES}
    assert all(line[1] == "(libc6,x86-64)" for line in lines), lines
    order = [line[0] for line in lines]
    assert order.index("libb.so.10") < order.index("libb.so.2") < order.index("libb.so") < order.index("liba.so.1")


def test_the_same_libraries_give_the_same_cache() -> None:
    assert search.made_cache(LIBRARIES) == search.made_cache(dict(reversed(LIBRARIES.items())))


@pytest.mark.parametrize("content", [b"", b"glibc-ld.so.cache1.1", search.made_cache(LIBRARIES)[:90], b"\0" * 400])
def test_a_broken_cache_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache").write_bytes(content)
    system = search.System(str(tmp_path / "cache"), str(tmp_path / "none"))
    places = list(system.places("libx.so", AMD64, ""))
    assert places[0] == "/lib/x86_64-linux-gnu/libx.so" and "/usr/lib64/libx.so" in places


def test_without_a_cache_the_configuration_counts(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf").write_text(f"include {tmp_path}/conf.d/*.conf\n/opt/b  # why\n\nhwcap 0 nosegneg\n")
    (tmp_path / "conf.d/a.conf").write_text(f"/opt/a/\ninclude {tmp_path}/conf\n")  # one that includes itself
    system = search.System(str(tmp_path / "none"), str(tmp_path / "conf"))
    places = list(system.places("l.so", AMD64, ""))
    assert [place for place in dict.fromkeys(places) if place.startswith("/opt")] == ["/opt/a/l.so", "/opt/b/l.so"]


def test_variables() -> None:
    said = ("$ORIGIN/../lib", "${ORIGIN}/x", "/opt/$LIB", "/p/$PLATFORM", "/$UNKNOWN")
    assert list(search.expanded(said, "/o", AMD64)) == [
        "/o/../lib", "/o/x", "/opt/lib/x86_64-linux-gnu", "/opt/lib64", "/opt/lib", "/p/x86_64"
    ]  # fmt: skip


def test_musl_is_its_own_library() -> None:
    assert search.is_musl("/lib/ld-musl-x86_64.so.1") and not search.is_musl("/lib64/ld-linux-x86-64.so.2")
    assert search.means_musl("libc.musl-x86_64.so.1") and search.means_musl("libpthread.so.0")
    assert not search.means_musl("libcrypto.so.3")
    assert search.musl_path("/lib/ld-musl-x86_64.so.1") == "/etc/ld-musl-x86_64.path"
