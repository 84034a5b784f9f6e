"""docker save, export, diff, commit. Each of these was first run on Docker."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import Engine
from support.images import BUSYBOX

MADE = "sampan-test/made:1"
WORK = """
echo hi > /new; ln /new /new2; chmod 4755 /new; mkdir -p /d/e; echo x > /d/e/f; touch -d @1700000000 /d/old
chmod 700 /bin; rm /bin/vi; rm /bin/ls; echo 2 > /bin/ls; touch /etc/passwd
rm -r /home; mkdir /home; touch /home/zz; ln -s /x /lnk; mkfifo /fi; echo 1 > /root/a; echo f > /usr
mkdir /sp; mknod /sp/c c 5 6; truncate -s 10M /sp/sparse; mkdir -m 1777 /sp/t; chown 5:6 /sp/t; touch /sp/a.b
mkdir /sp/a; touch /sp/a/z; touch "/sp/nl
x"; touch /e; rm /e
"""
CHANGES = """
C /bin A /d A /d/e A /d/e/f A /d/old C /bin/ls D /bin/vi C /etc C /etc/passwd A /fi C /home D /home/app A /home/zz
A /lnk A /new A /new2 C /root A /root/a A /sp A /sp/a A /sp/a.b A /sp/a/z A /sp/c A /sp/sparse A /sp/t A /usr
"""


@pytest.fixture
def worked(engine: Engine) -> Iterator[str]:
    """A stopped container that changed much."""
    name = engine.name()
    answer = engine.run("-i", "--name", name, BUSYBOX, "sh", stdin=WORK.encode())
    assert answer.code == 0, answer.err
    yield name
    engine.docker("rm", "-f", name)
    engine.docker("rmi", "-f", MADE)


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    """The entries of an archive by name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: one for one in tar}


def saved(engine: Engine, *names: str) -> tuple[bytes, dict[str, bytes]]:
    """An archive of images, and its files."""
    archive = engine.docker("save", *names).raw
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return archive, {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]


def test_diff(engine: Engine, worked: str) -> None:
    lines = engine.ok("diff", worked).split("\n")
    words = CHANGES.split()
    expected = [f"{letter} {path}" for letter, path in zip(words[::2], words[1::2], strict=True)]
    assert sorted(lines) == sorted([*expected, "A /sp/nl", "x"])


def test_diff_of_what_never_ran_and_of_what_runs(engine: Engine) -> None:
    created = engine.create(BUSYBOX)
    assert engine.ok("diff", created) == ""
    running = engine.start(BUSYBOX, "sh", "-c", "echo 1 > /root/a; echo up; exec sleep 1000")
    while not engine.ok("logs", running):
        pass
    assert engine.ok("diff", running) == "C /root\nA /root/a"
    missing = engine.docker("diff", "nosuch")
    assert (missing.code, missing.err) == (1, "Error response from daemon: No such container: nosuch\n")


def test_export_has_every_file_as_it_is(engine: Engine, worked: str) -> None:
    found = members(engine.docker("export", worked).raw)
    assert found["new"].mode == 0o4755 and found["new2"].islnk() and found["new2"].linkname == "new"
    assert found["d/old"].mtime == 1700000000
    assert found["lnk"].linkname == "/x" and found["fi"].isfifo()
    assert (found["sp/c"].devmajor, found["sp/c"].devminor) == (5, 6)
    assert (found["sp/t"].mode, found["sp/t"].uid, found["sp/t"].gid) == (0o1777, 5, 6)
    assert found["sp/sparse"].size == 10 << 20 and "sp/nl\nx" in found
    assert "home/app" not in found and "bin/vi" not in found and found["home/zz"].isfile()
    assert {".dockerenv", "dev/console", "etc/hosts", "etc/mtab", "proc", "sys"} < set(found)
    assert list(found) == sorted(found, key=lambda name: name.split("/"))


def test_export_leaves_out_what_is_mounted(engine: Engine, tmp_path: Path) -> None:
    secret = engine.root / str(tmp_path).lstrip("/")
    secret.mkdir(parents=True, exist_ok=True)
    (secret / "secret").touch()
    running = engine.start(
        "-v", f"{tmp_path}:/data", "--tmpfs", "/t", BUSYBOX, "sh", "-c", "touch /t/x /own; echo up; exec sleep 1000"
    )
    while not engine.ok("logs", running):
        pass
    found = members(engine.docker("export", running).raw)
    assert "own" in found and "data" in found and "t" in found
    assert not [name for name in found if name.startswith(("data/", "t/", "proc/", "sys/", "dev/null"))]


def test_export_and_import_make_the_same_files(engine: Engine, worked: str, tmp_path: Path) -> None:
    path = tmp_path / "root.tar"
    assert engine.ok("export", "-o", str(path), worked) == ""
    assert path.stat().st_mode & 0o777 == 0o600
    engine.ok("import", str(path), MADE)
    again = engine.create(MADE, "true")
    before, after = members(path.read_bytes()), members(engine.docker("export", again).raw)
    assert before["d/old"].mtime == after["d/old"].mtime == 1700000000
    shape = ("mode", "uid", "gid", "size", "type", "linkname")
    assert {n: [getattr(one, key) for key in shape] for n, one in before.items()} == {
        n: [getattr(one, key) for key in shape] for n, one in after.items()
    }


def test_save_and_load_keep_the_id(engine: Engine) -> None:
    image = engine.look(BUSYBOX, "{{.Id}}")
    archive, files = saved(engine, BUSYBOX)
    (listed,) = json.loads(files["manifest.json"])
    assert listed["Config"] == f"blobs/sha256/{image[7:]}" and listed["RepoTags"] == [BUSYBOX]
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads(files["repositories"]) == {"sampan-test/busybox": {"1": listed["Layers"][-1].rpartition("/")[2]}}
    (descriptor,) = json.loads(files["index.json"])["manifests"]
    assert descriptor["annotations"] == {
        "io.containerd.image.name": f"docker.io/{BUSYBOX}",
        "org.opencontainers.image.ref.name": "1",
    }
    engine.ok("tag", BUSYBOX, "sampan-test/kept:1")
    engine.ok("rmi", BUSYBOX)
    assert engine.ok("load", stdin=archive) == f"Loaded image: {BUSYBOX}"
    assert engine.look(BUSYBOX, "{{.Id}}") == image
    engine.ok("rmi", "sampan-test/kept:1")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("nosuch",), "No such image: nosuch"),
        (("sampan-test/busybox:9",), "reference does not exist"),
        ((BUSYBOX, "deadbeef00"), "No such image: deadbeef00"),
        (("BAD",), "invalid reference format: repository name (library/BAD) must be lowercase"),
    ],
)
def test_save_refuses(engine: Engine, names: tuple[str, ...], text: str) -> None:
    answer = engine.docker("save", *names)
    assert (answer.code, answer.err, answer.raw) == (1, f"Error response from daemon: {text}\n", b"")


def test_commit_merges_settings_and_changes(engine: Engine) -> None:
    name = engine.name()
    options = ("-e", "A=b", "-l", "x=y", "--expose", "99", "-h", "hosty", "-w", "/w")
    engine.run("--name", name, *options, BUSYBOX, "touch", "/new")
    asked = ("-a", "me", "-m", "why", "-c", "ENV Q=1 P=$PATH:/x", "-c", 'CMD ["cat", "/etc/plain"]', "-c", "LABEL l=1")
    image = engine.ok("commit", *asked, name, MADE)
    assert image == engine.look(MADE, "{{.Id}}")
    found = json.loads(engine.ok("image", "inspect", MADE))[0]
    assert found["Config"]["Env"] == ["A=b", found["Config"]["Env"][1], "Q=1", f"P={found['Config']['Env'][1][5:]}:/x"]
    assert found["Config"]["Cmd"] == ["cat", "/etc/plain"] and found["Config"]["WorkingDir"] == "/w"
    assert {"x": "y", "l": "1"}.items() <= found["Config"]["Labels"].items()
    assert found["Config"]["ExposedPorts"] == {"99/tcp": {}}
    assert (found["Author"], found["Comment"], len(found["RootFS"]["Layers"])) == ("me", "why", 2)
    assert engine.ok("history", "--format", "{{.CreatedBy}}|{{.Comment}}", MADE) == "touch /new|why\ntest|"
    _, files = saved(engine, MADE)
    config = json.loads(files[json.loads(files["manifest.json"])[0]["Config"]])
    assert config["config"]["Hostname"] == "hosty" and config["container_config"]["Cmd"] == ["touch", "/new"]
    assert config["history"][1]["author"] == "me" and "empty_layer" not in config["history"][1]
    assert engine.run("--rm", MADE).line == "not a program"
    engine.docker("rmi", "-f", MADE)


def test_what_was_committed_runs_with_the_same_files(engine: Engine, worked: str) -> None:
    engine.ok("commit", worked, MADE)
    again = engine.create(MADE, "true")
    before = members(engine.docker("export", worked).raw)
    after = members(engine.docker("export", again).raw)
    shape = ("mode", "uid", "gid", "size", "type", "linkname")
    assert {n: [getattr(one, key) for key in shape] for n, one in before.items()} == {
        n: [getattr(one, key) for key in shape] for n, one in after.items()
    }
    assert engine.ok("diff", again) == ""


def test_commit_of_nothing_has_no_layer_of_its_own(engine: Engine) -> None:
    created = engine.create(BUSYBOX)
    engine.ok("commit", created, MADE)
    assert engine.look(MADE, "{{json .RootFS}}") == engine.look(BUSYBOX, "{{json .RootFS}}")
    engine.ok("rmi", MADE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-c", "FROM x"), "Error response from daemon: FROM is not a valid change command"),
        (("-c", "ENV"), "Error response from daemon: ENV requires at least one argument"),
    ],
)
def test_commit_refuses_bad_changes(engine: Engine, arguments: tuple[str, ...], text: str) -> None:
    created = engine.create(BUSYBOX)
    answer = engine.docker("commit", *arguments, created, MADE)
    assert (answer.code, answer.err.strip()) == (1, text)
    assert engine.docker("image", "inspect", MADE).code == 1


def test_commit_pauses_while_it_reads_unless_told_not_to(engine: Engine) -> None:
    """A counter in a file stands still in what is committed and goes on after it."""
    running = engine.start(BUSYBOX, "sh", "-c", "while :; do echo x >> /root/n; echo x >> /root/m; done")
    for flags in ((), ("--pause=false",)):
        engine.ok("commit", *flags, running, MADE)
        counts = engine.run("--rm", MADE, "wc", "-l", "/root/n", "/root/m").out.split()
        assert int(counts[0]) - int(counts[2]) in (0, 1) or flags
        before = engine.ok("exec", running, "wc", "-l", "/root/n")
        while engine.ok("exec", running, "wc", "-l", "/root/n") == before:
            pass
        engine.ok("rmi", MADE)
