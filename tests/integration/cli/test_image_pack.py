"""``image pack`` on this machine's own programs, and the images run for real."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.engine import Answer, Engine
from support.images import need

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MODULES = "ssl, json, sqlite3, ctypes, lzma, bz2, zlib, hashlib, uuid, decimal, multiprocessing, asyncio, socket, pwd"
TLS = "c = ssl.create_default_context(); print(c.cert_store_stats()['x509_ca'] or len(os.listdir(p.capath)))"
PYTHON = f"import os, {MODULES}; p = ssl.get_default_verify_paths(); {TLS}; print(pwd.getpwuid(0).pw_dir)"


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own programs, not those of a virtual environment or a version manager."""
    monkeypatch.setenv("PATH", PATH)


def pack(engine: Engine, *words: str) -> str:
    """Pack, expect success, return the image's ID."""
    answer = engine.sampan("image", "pack", *words)
    assert answer.code == 0, answer
    return answer.out.split()[-1]


def run(engine: Engine, *words: str) -> Answer:
    return engine.sampan("run", "--rm", "--network", "none", *words)


def ok(engine: Engine, *words: str) -> str:
    answer = run(engine, *words)
    assert answer.code == 0, answer
    return answer.line


def compiled(target: Path, source: str, *flags: str) -> Path:
    """A program or library of C text."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [need("gcc", "gcc libc6-dev"), "-x", "c", "-", "-o", str(target), *flags]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True)
    return target


def test_python_runs_with_its_library_and_certificates(engine: Engine) -> None:
    if shutil.which("python3", path=PATH) is None:
        pytest.skip("no python3 on this machine")
    image = pack(engine, "-t", "tools", "sh", "ls", "python3")
    lines = ok(engine, "tools", "python3", "-c", PYTHON).splitlines()
    assert int(lines[0]) > 50, "authorities to trust"
    assert lines[1] == "/root"
    listed = ok(engine, "tools", "ls", "-ld", "/root", "/tmp").splitlines()
    assert [line.split()[0] for line in listed] == ["drwx------", "drwxrwxrwt"]
    assert ok(engine, "tools", "/bin/sh", "-c", "echo $0 $PATH") == f"/bin/sh {PATH}"
    assert pack(engine, "-t", "again", "sh", "ls", "python3") == image, "the same input is the same image"
    assert engine.sampan("images", "-q", "--no-trunc", "tools").line == image


def test_every_module_of_python_finds_its_libraries(engine: Engine) -> None:
    python = shutil.which("python3", path=PATH)
    if python is None:
        pytest.skip("no python3 on this machine")
    answer = engine.sampan("image", "pack", "-t", "py", python)
    assert answer.code == 0
    text = (
        "import sys, os, importlib.machinery as m, importlib.util as u\n"
        "d = next(p for p in sys.path if p.endswith('lib-dynload'))\n"
        "for f in sorted(os.listdir(d)):\n"
        "    n = f.partition('.')[0]\n"
        "    try: __import__(n)\n"
        "    except ImportError as e: print(n, e)\n"
    )
    wrong = [line.split()[0] for line in ok(engine, "py", "python3", "-c", text).splitlines()]
    assert [name for name in wrong if f"/{name}." not in answer.err] == [], "missing, and it was not said"


def test_the_first_program_runs_when_none_is_named(engine: Engine) -> None:
    pack(engine, "-t", "t1", "ls", "sh")
    assert "etc" in ok(engine, "t1").split()
    pack(engine, "-t", "t2", "--entrypoint", "ls -d", "--cmd", "/tmp", "-w", "/srv", "-e", "A=b", "ls", "sh")
    assert ok(engine, "t2") == "/tmp"
    assert ok(engine, "--entrypoint", "sh", "t2", "-c", "pwd; echo $A").split() == ["/srv", "b"]


def test_libraries_are_found_as_the_loader_finds_them(engine: Engine, tmp_path: Path) -> None:
    """By $ORIGIN of the program, and by the name of one that is loaded already."""
    lib = tmp_path / "app/lib"
    compiled(lib / "libinner.so", "int inner(void) { return 40; }", "-shared", "-fPIC", "-Wl,-soname,libinner.so")
    link = ("-shared", "-fPIC", f"-L{lib}", "-linner")
    compiled(lib / "libouter.so.1.2", "int inner(void); int outer(void) { return inner() + 2; }", *link)
    (lib / "libouter.so").symlink_to("libouter.so.1.2")
    source = "int outer(void); int inner(void); int main(void) { return outer() + inner() - 40; }"
    flags = (f"-L{lib}", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", "-linner", "-louter")
    program = compiled(tmp_path / "app/bin/prog", source, *flags)
    pack(engine, "-t", "origin", str(program))
    assert run(engine, "origin").code == 42
    assert run(engine, "origin", "prog").code == 42, "its directory is on the image's PATH"
    (lib / "libinner.so").unlink()
    answer = engine.sampan("image", "pack", "-t", "less", str(program))
    assert answer.code == 1
    assert f"{program} is linked with libinner.so, which is missing" in answer.err
    assert engine.sampan("images", "-q", "less").line == ""


def test_scripts_come_with_their_interpreters(engine: Engine, tmp_path: Path) -> None:
    for name, first in (
        ("one", "#!/bin/sh -e"),
        ("two", "#!/usr/bin/env sh"),
        ("three", "#!/usr/bin/env -S A=1 sh -e"),
    ):
        (tmp_path / name).write_text(f"{first}\necho {name} $A\n")
        (tmp_path / name).chmod(0o755)
    pack(engine, "-t", "scripts", *(str(tmp_path / name) for name in ("one", "two", "three")))
    assert [ok(engine, "scripts", name) for name in ("one", "two", "three")] == ["one", "two", "three 1"]


def test_static_programs_and_data(engine: Engine, tmp_path: Path) -> None:
    busybox = need("busybox", "busybox-static")
    (tmp_path / "data/sub").mkdir(parents=True)
    (tmp_path / "data/sub/f").write_text("content")
    pack(engine, "-t", "static", "--include", str(tmp_path / "data"), busybox)
    assert ok(engine, "static", "busybox", "cat", f"{tmp_path}/data/sub/f") == "content"
    found = ok(engine, "static", "busybox", "find", "/", "-xdev", "-type", "f").split()
    assert not any("ld.so" in name or name.endswith(".so.6") for name in found), "it needs no loader"


def test_it_takes_no_privilege(tmp_path: Path) -> None:
    """Anybody may pack what they may read; what they may not is said."""
    (tmp_path / "prog").write_bytes(Path("/bin/true").read_bytes())
    (tmp_path / "prog").chmod(0o711)
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o111)
    code = (
        "import os, sys, shlex, json, tempfile, encodings.ascii, sampan.cli.references, sampan.cli.packing.archive\n"
        "import sampan.cli.packing.collect, sampan.cli.commands.image_pack; from sampan.cli.main import run\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(run(sys.argv[1:], os.environ))"
    )

    def call(program: str) -> "subprocess.CompletedProcess[str]":
        words = ["image", "pack", "-t", "x", "-o", str(tmp_path / "out/x.tar"), program]
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)

    assert call("/bin/true").returncode == 0
    assert (tmp_path / "out/x.tar").stat().st_uid == 65534
    denied = call(str(tmp_path / "prog"))
    assert denied.returncode == 1 and "permission denied" in denied.stderr, denied


def test_it_loads_elsewhere_too(engine: Engine, tmp_path: Path) -> None:
    """The archive is one that others can read, and the daemon that loads it agrees about the ID."""
    image = pack(engine, "-t", "elsewhere:1", "-o", str(tmp_path / "i.tar"), "ls")
    assert engine.sampan("load", "-q", "-i", str(tmp_path / "i.tar")).line == "Loaded image: elsewhere:1"
    assert engine.sampan("images", "-q", "--no-trunc", "elsewhere:1").line == image
    assert engine.sampan("history", "--format", "{{.CreatedBy}}", "elsewhere:1").line == "sampan image pack ls"
