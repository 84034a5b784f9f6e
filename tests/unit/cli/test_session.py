"""What a session takes from the environment and from Docker's configuration file."""

from pathlib import Path

import pytest

from sampan.api.client.address import Address
from sampan.cli.commands.run import _add_proxies
from sampan.cli.errors import CommandError
from sampan.cli.main import GLOBAL_FLAGS
from sampan.cli.parser import parse
from sampan.cli.session import Session


def _session(*argv: str, **environ: str) -> Session:
    return Session(parse(GLOBAL_FLAGS, argv), environ)


def test_where_the_configuration_is(tmp_path: Path) -> None:
    for name in ("flag", "variable", "home/.docker"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(f'{{"detachKeys": "{name}"}}')
    environ = {"HOME": str(tmp_path / "home")}
    assert _session(**environ).config["detachKeys"] == "home/.docker"
    environ["DOCKER_CONFIG"] = str(tmp_path / "variable")
    assert _session(**environ).config["detachKeys"] == "variable"
    assert _session("--config", str(tmp_path / "flag"), **environ).config["detachKeys"] == "flag"
    assert _session("--config", "/nonexistent").config == {}


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_faulty_configuration_is_told_and_passed_over(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(text)
    assert _session("--config", str(tmp_path)).config == {}
    assert ("WARNING: Error parsing config file" in capfd.readouterr().err) == (text == "{")


class _Client:
    address = Address("unix:///s")


def test_proxies_of_the_configuration(tmp_path: Path) -> None:
    text = '{"proxies": {"default": {"httpProxy": "http://p", "noProxy": "a"}, "unix:///other": {"httpProxy": "x"}}}'
    (tmp_path / "config.json").write_text(text)
    session = _session("--config", str(tmp_path))
    session._client = _Client()  # type: ignore[assignment]
    body = {"Env": ["no_proxy=mine"]}
    _add_proxies(session, body)
    assert body["Env"] == ["no_proxy=mine", "HTTP_PROXY=http://p", "http_proxy=http://p", "NO_PROXY=a"]


@pytest.mark.parametrize(("argv", "environ"), [(["-c", "x"], {}), ([], {"DOCKER_CONTEXT": "x"})])
def test_contexts_are_refused(argv: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=r"^sampan: cannot use context x\n  because  .*\n  try      -H "):
        _ = _session(*argv, **environ).client


def test_the_default_platform() -> None:
    arguments = parse(GLOBAL_FLAGS, [])
    arguments.values["platform"] = ""
    assert _session(DOCKER_DEFAULT_PLATFORM="linux/arm64").platform(arguments) == "linux/arm64"
    arguments.values["platform"] = "linux/amd64"
    assert _session(DOCKER_DEFAULT_PLATFORM="linux/arm64").platform(arguments) == "linux/amd64"
