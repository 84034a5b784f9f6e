"""``image pack``: what it refuses, what it puts into the image's configuration, what it writes."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.cli.main import run

Captured = pytest.CaptureFixture[str]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
Pack = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pack(tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """Run it in a directory of its own, without a daemon; (exit code, stdout, stderr)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*words: str, **environ: str) -> tuple[int, str, str]:
        code = run(["image", "pack", *words], {"PATH": PATH, "DOCKER_HOST": "unix:///nonexistent/d.sock", **environ})
        return code, *capfd.readouterr()

    return call


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def opened(path: str) -> tuple[dict[str, Any], list[str]]:
    """The configuration and the names of an archive's layer."""
    with tarfile.open(path) as tar:
        name = next(m.name for m in tar if m.name.endswith(".json") and m.name != "manifest.json")
        config = json.loads(tar.extractfile(name).read())  # type: ignore[union-attr]
        layer = tar.extractfile("layer.tar").read()  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return config, tar.getnames()


def test_names_are_said_and_the_archive_is_written(pack: Pack) -> None:
    code, out, err = pack("-t", "a", "-t", "x/b:2", "-o", "i.tar", "true")
    assert (code, err) == (0, "")
    names = out.split()
    assert names[:2] == ["a:latest", "x/b:2"] and names[2].startswith("sha256:")
    config, files = opened("i.tar")
    assert config["config"]["Cmd"][0].endswith("/bin/true") and config["config"]["Entrypoint"] is None
    assert any(name.endswith("/bin/true") for name in files) and "etc/passwd" in files
    assert os.listdir() == ["i.tar"]


def test_the_same_twice_is_the_same(pack: Pack) -> None:
    first, second = (pack("-t", "a", "-o", f"{n}.tar", "sh", "ls", "python3") for n in "12")
    assert first == second and first[0] == 0
    assert Path("1.tar").read_bytes() == Path("2.tar").read_bytes()
    dated = pack("-t", "a", "-o", "3.tar", "sh", "ls", "python3", SOURCE_DATE_EPOCH="86400")
    assert dated[1] != first[1] and opened("3.tar")[0]["created"] == "1970-01-02T00:00:00Z"


def test_settings(pack: Pack, tmp_path: Path) -> None:
    own = script(tmp_path / "own/prog", "#!/bin/sh\n")
    words = [
        "--entrypoint",
        "prog -x 'a b'",
        "--cmd",
        '["c", "d"]',
        "-e",
        "A=1",
        "-e",
        "A=2",
        "-l",
        "k=v",
        "-w",
        "/srv/w",
    ]
    code, _, err = pack("-t", "a", "-o", "i.tar", *words, str(own))
    assert code == 0 and "prog is a script: of what it starts only that is in the image which you name too" in err
    config, files = opened("i.tar")
    assert config["config"] == {
        "Cmd": ["c", "d"], "Entrypoint": ["prog", "-x", "a b"], "Labels": {"k": "v"}, "WorkingDir": "/srv/w",
        "Env": [f"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{own.parent}", "A=2"],
    }  # fmt: skip
    assert "srv/w" in files and f"{str(own)[1:]}" in files and any(name.endswith("bin/sh") for name in files)


def test_what_is_included_is_there_as_it_is(pack: Pack, tmp_path: Path) -> None:
    script(tmp_path / "data/a/f", "f", 0o600)
    script(tmp_path / "one", "one", 0o644)
    assert pack("-t", "a", "-o", "i.tar", "--include", str(tmp_path / "data"), "--include", "../one", "true")[0] == 0
    assert {f"{tmp_path}/data/a/f"[1:], f"{tmp_path}/one"[1:]} <= set(opened("i.tar")[1])


REFUSED = [
    (["nosuchprogram"], "cannot pack nosuchprogram\n  because  it is in no directory of PATH"),
    (["/no/such"], "cannot pack /no/such\n  because  no such file or directory"),
    (["ls", "true", "ls"], "cannot pack ls twice\n  because  "),
    (["ls", "/bin/../bin/ls"], "cannot pack /bin/../bin/ls twice\n  because  /bin/../bin/ls is the same path as ls"),
    (["true", "--include", "/etc/hosts", "--include", "/etc/hosts"], "cannot pack /etc/hosts twice"),
    (["true", "--include", "nothing"], "cannot pack nothing\n"),
    (["/etc"], "cannot pack /etc\n  because  it is a directory"),
    (["/dev/null"], "cannot pack /dev/null\n  because  it is no regular file"),
    (["../plain"], "cannot pack ../plain\n  because  it may not be run"),
    (["../text"], "it is neither an ELF program nor a script that begins with #!"),
    (["../gone"], "because  its interpreter /no/such/sh is missing: no such file or directory"),
    (["../env"], "because  its interpreter nosuchinterpreter is missing: it is in no directory of PATH"),
    (["../self"], "more than 5 scripts are one another's interpreters"),
    (["../broken"], "broken\n  because  its ELF header is broken"),
    (["true", "-t", "Upper"], 'invalid argument "Upper" for "-t, --tag" flag: invalid reference format'),
    (["true", "-e", "A"], 'invalid argument "A" for "-e, --env" flag: expected NAME=VALUE'),
    (["true", "--cmd", "[1]"], 'invalid argument "[1]" for "--cmd" flag: expected a list of strings'),
    (["true", "--entrypoint", "'a"], 'invalid argument "\'a" for "--entrypoint" flag: No closing quotation'),
    (["true", "-w", "x"], "cannot start in x\n  because  it is not an absolute path"),
    (["true", "-o", "/no/such/file"], "open /no/such/file: no such file or directory"),
    (["true", "-o", "/dev/null"], "cannot write to /dev/null"),
    ([""], "cannot pack a program\n  because  its name is empty"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED)
def test_what_is_refused(pack: Pack, tmp_path: Path, words: list[str], text: str) -> None:
    script(tmp_path / "plain", "x", 0o644)
    script(tmp_path / "text", "text")
    script(tmp_path / "gone", "#!/no/such/sh\n")
    script(tmp_path / "env", "#!/usr/bin/env nosuchinterpreter\n")
    script(tmp_path / "broken", "\x7fELF")
    for number in range(9):
        script(tmp_path / f"self{number or ''}", f"#!{tmp_path}/self{number + 1}\n")
    output = [] if "-o" in words else ["-o", "i.tar"]
    code, out, err = pack("-t", "a", *output, *words)
    assert code in {1, 125} and out == "" and text in err, err
    assert os.listdir() == [], "nothing is left of it"


def test_all_that_is_wrong_is_said_at_once(pack: Pack) -> None:
    code, _, err = pack("-t", "a", "-o", "i.tar", "nosuch1", "ls", "/no/such2", "--include", "/no/such3")
    assert code == 1 and [f"such{n}" in err for n in "123"] == [True] * 3 and err.count("because") == 3


def test_without_a_name_or_a_program(pack: Pack) -> None:
    assert "cannot pack an image without a name" in pack("true")[2]
    assert "'sampan image pack' requires at least 1 argument" in pack("-t", "a")[2]


def test_dates_that_are_none(pack: Pack) -> None:
    for text in ("x", "-1", "999999999999999", "1e3"):
        code, _, err = pack("-t", "a", "-o", "i.tar", "true", SOURCE_DATE_EPOCH=text)
        assert code == 1 and "cannot date the image" in err and os.listdir() == []


def test_what_was_there_stays_when_it_fails(pack: Pack, tmp_path: Path) -> None:
    Path("i.tar").write_text("before")
    assert pack("-t", "a", "-o", "i.tar", "nosuch")[0] == 1
    assert Path("i.tar").read_text() == "before"


def test_hostile_programs_bring_nothing_but_objects(pack: Pack, tmp_path: Path) -> None:
    """A file that names another as its loader or interpreter doesn't get it into the image by that."""
    (tmp_path / "secret").write_text("secret")
    script(tmp_path / "s", f"#!{tmp_path}/secret\n")
    code, _, err = pack("-t", "a", "-o", "i.tar", "../s")
    assert code == 1 and "secret is missing: it may not be run" in err
    program = Path("/bin/true").read_bytes()
    loader = b"/lib64/ld-linux-x86-64.so.2\0"
    if loader not in program:
        pytest.skip("another loader than that of x86-64")
    (tmp_path / "p").write_bytes(program.replace(loader, b"/etc/passwd".ljust(len(loader), b"\0"), 1))
    (tmp_path / "p").chmod(0o755)
    code, _, err = pack("-t", "a", "-o", "i.tar", "../p")
    assert code == 1 and "the loader /etc/passwd is missing" in err


def test_no_other_command_pays_for_it() -> None:
    code = (
        "import sys; from sampan.cli.main import run; run(['images', '--help'], {}); "
        "sys.exit(any('packing' in name or name in ('tarfile', 'hashlib') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
