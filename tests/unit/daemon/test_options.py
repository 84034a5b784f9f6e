"""sampand's command line, daemon.json, locks."""

import json
from pathlib import Path

import pytest

from sampan.daemon import flags, locks, options
from sampan.daemon.flags import UsageError
from sampan.daemon.options import Places

LINES = [
    ([], {}),
    (["-D"], {"debug": True}),
    (["--debug=false"], {"debug": False}),
    (["-D=false"], {"debug": False}),
    (["-H", "unix:///a", "--host=tcp://b:1", "-Hunix:///c"], {"host": ["unix:///a", "tcp://b:1", "unix:///c"]}),
    (["-Dlinfo"], {"debug": True, "log-level": "info"}),
    (["--log-opt", "max-size=1m", "--log-opt=max-file=2"], {"log-opt": {"max-size": "1m", "max-file": "2"}}),
    (["--data-root", "/x", "-p/y"], {"data-root": "/x", "pidfile": "/y"}),
    (["--tls=false", "--"], {"tls": False}),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_a_command_line(line: list[str], wanted: dict[str, object]) -> None:
    assert flags.parse(line) == wanted


BAD_LINES = [
    (["--nono"], "unknown flag: --nono"),
    (["-x"], "unknown shorthand flag: 'x' in -x"),
    (["--data-root"], "flag needs an argument: --data-root"),
    (["--debug=maybe"], 'invalid argument "maybe" for "--debug" flag'),
    (["--log-opt", "x"], "must be name=value"),
    (["word"], '"sampand" accepts no arguments: word'),
    (["--", "word"], '"sampand" accepts no arguments: word'),
]


@pytest.mark.parametrize(("line", "text"), BAD_LINES)
def test_a_bad_command_line(line: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        flags.parse(line)
    assert text in str(caught.value)


def test_the_help_names_every_flag() -> None:
    assert all(f"--{flag.name}" in flags.usage() for flag in flags.FLAGS)


PLACES = Places(Path("/var/lib/sampan"), Path("/run/sampan"), Path("/nowhere/daemon.json"))


def test_defaults() -> None:
    found = options.decide({}, PLACES)
    assert found.hosts == ("unix:///run/sampan/sampan.sock",)
    assert found.pidfile == Path("/run/sampan/sampand.pid")
    assert (found.log_driver, found.log_level, found.allow_plain_tcp) == ("json-file", "INFO", False)


def test_a_user_without_privileges_has_places_of_their_own() -> None:
    found = options.default_places(1000, {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/1000"})
    assert found == Places(
        Path("/home/u/.local/share/sampan"),
        Path("/run/user/1000/sampan"),
        Path("/home/u/.config/sampan/daemon.json"),
    )


def decide(tmp_path: Path, document: object, given: dict[str, flags.Value] | None = None) -> options.Options:
    path = tmp_path / "daemon.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return options.decide({"config-file": str(path), **(given or {})}, PLACES)


def test_the_file_is_read(tmp_path: Path) -> None:
    document = {"hosts": ["unix:///a"], "debug": True, "log-opts": {"max-size": "1m"}, "data-root": "/x", "tls": False}
    found = decide(tmp_path, document)
    assert (found.hosts, found.debug, found.log_level) == (("unix:///a",), True, "DEBUG")
    assert (found.log_opts, found.data_root, found.allow_plain_tcp) == ({"max-size": "1m"}, Path("/x"), True)


BAD_FILES = [
    ({"nono": 1, "also": 2}, "the following directives don't match any configuration option: also, nono"),
    ({"debug": "yes"}, "debug must be a JSON boolean"),
    ({"hosts": "unix:///a"}, "hosts must be a JSON array of strings"),
    ({"log-opts": {"max-file": 3}}, "log-opts must be a JSON object of strings"),
    ("{", "unable to configure sampand with file"),
    ("[]", "it must hold one JSON object"),
]


@pytest.mark.parametrize(("document", "text"), BAD_FILES)
def test_a_bad_file(tmp_path: Path, document: object, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decide(tmp_path, document)
    assert text in str(caught.value)


def test_a_setting_stands_in_one_place_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="specified both as a flag and in the configuration file: debug"):
        decide(tmp_path, {"debug": True}, {"debug": True})


def test_a_file_that_was_named_must_be_there() -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        options.decide({"config-file": "/nowhere/x.json"}, PLACES)


def test_an_unknown_level() -> None:
    with pytest.raises(UsageError, match="invalid logging level: loud"):
        options.decide({"log-level": "loud"}, PLACES)


def test_one_to_a_directory(tmp_path: Path) -> None:
    import os

    first = locks.hold(tmp_path, "--data-root")
    with pytest.raises(locks.Occupied) as caught:
        locks.hold(tmp_path, "--data-root")
    assert f"another sampand (pid {os.getpid()}) uses it" in str(caught.value)
    assert "`sampan system stop`" in str(caught.value) and "--data-root" in str(caught.value)
    os.close(first)
    os.close(locks.hold(tmp_path, "--data-root"))


def test_an_exec_root_belongs_to_one_data_root(tmp_path: Path) -> None:
    locks.claim(tmp_path, Path("/a"))
    locks.claim(tmp_path, Path("/b"))
    (tmp_path / "containers" / "x").mkdir(parents=True)
    locks.claim(tmp_path, Path("/b"))
    with pytest.raises(locks.Occupied, match="containers of the data root /b run there"):
        locks.claim(tmp_path, Path("/a"))
