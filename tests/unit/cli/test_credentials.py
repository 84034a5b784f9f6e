"""Whose credentials are whose: config.json, credential helpers, X-Registry-Auth."""

import base64
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sampan.cli import config_json
from sampan.cli.credentials import INDEX, Credentials, encode, hostname
from sampan.cli.errors import CommandError

ME = base64.b64encode(b"me:a:b").decode()
SOMEBODY = base64.b64encode(b"somebody:else").decode()


class Kept:
    """A config.json with `document`, and helper programs made of shell."""

    def __init__(self, directory: Path, document: object) -> None:
        self.path = directory / "config.json"
        self.bin = directory / "bin"
        self.bin.mkdir()
        if document is not None:
            self.path.write_text(document if isinstance(document, str) else json.dumps(document))
        self.warnings: list[str] = []
        environ: Mapping[str, str] = {"PATH": f"{self.bin}:/usr/bin:/bin", "OUT": str(directory / "calls")}
        self.credentials = Credentials(str(self.path), environ, self.warnings.append)
        self.calls = directory / "calls"

    def helper(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def header(self, domain: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(self.credentials.header(domain)))

    @property
    def document(self) -> Any:
        return json.loads(self.path.read_text())


HOSTS = [
    ("https://shop.example/v1/", "shop.example"),
    ("http://shop.example:5000", "shop.example:5000"),
    ("shop.example/x", "shop.example"),
    ("shop.example", "shop.example"),
    ("https://user@evil/shop.example", "user@evil"),
]


@pytest.mark.parametrize(("server", "host"), HOSTS)
def test_the_host_of_a_server(server: str, host: str) -> None:
    assert hostname(server) == host


FOUND = [
    ("shop.example", "shop.example", True),
    ("https://shop.example/v2/", "shop.example", True),
    ("http://shop.example:5000/", "shop.example:5000", True),
    (INDEX, "docker.io", True),
    (INDEX, "index.docker.io", True),
    ("shop.example", "shop.example:5000", False),
    ("shop.example:5000", "shop.example", False),
    ("shop.example", "evil.shop.example", False),
    ("shop.example", "shop.example.evil", False),
    ("https://evil/shop.example", "shop.example", False),
    ("https://shop.example@evil", "shop.example", False),
    ("docker.io", "docker.io", False),  # Docker Hub's are kept under INDEX alone
    (INDEX, "registry-1.docker.io", False),
]


@pytest.mark.parametrize(("key", "domain", "found"), FOUND)
def test_credentials_are_for_their_host_alone(key: str, domain: str, found: bool, tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"auths": {key: {"auth": ME}, "other.example": {"auth": SOMEBODY}}})
    server = INDEX if domain in ("docker.io", "index.docker.io") else domain
    wanted = {"username": "me", "password": "a:b", "serveraddress": server} if found else {}
    assert kept.header(domain) == wanted and not kept.warnings


ENTRIES = [
    ({"auth": ME}, {"username": "me", "password": "a:b"}),
    ({"username": "me", "password": "x"}, {"username": "me", "password": "x"}),
    ({"auth": base64.b64encode(b"me:").decode(), "identitytoken": "t"}, {"username": "me", "identitytoken": "t"}),
    ({"registrytoken": "t"}, {"registrytoken": "t"}),
    ({}, None),
    ({"email": "me@example"}, None),
]


@pytest.mark.parametrize(("entry", "sent"), ENTRIES)
def test_what_an_entry_sends(entry: dict[str, str], sent: dict[str, str] | None, tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"auths": {"shop": entry}})
    assert kept.header("shop") == ({**sent, "serveraddress": "shop"} if sent else {})


def test_the_header_is_safe_in_a_url() -> None:
    assert encode({}) == "e30="
    assert set("+/") & set(base64.b64encode(b'{"username":"\xc3\xbf\xc3\xbe?>?"}').decode())
    assert not set("+/") & set(encode({"username": "ÿþ?>?"}))


@pytest.mark.parametrize(
    "document", ["{", "[]", {"auths": {"shop": {"auth": "!!"}}}, {"auths": {"shop": {"auth": "bm8="}}}]
)
def test_a_damaged_file_is_told_and_nothing_is_sent(document: object, tmp_path: Path) -> None:
    kept = Kept(tmp_path, document)
    assert kept.header("shop") == {}
    assert len(kept.warnings) == 1 and kept.warnings[0].startswith("WARNING: no credentials for shop: ")


def test_damage_elsewhere_is_nobodys_harm(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"auths": {"other": {"auth": "!!"}, "shop": {"auth": ME}}})
    assert kept.header("shop")["username"] == "me" and not kept.warnings


def test_nothing_is_written_into_a_damaged_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "{")
    with pytest.raises(CommandError, match="Error parsing config file"):
        kept.credentials.store("shop", "me", "x")
    assert kept.path.read_text() == "{" and sorted(os.listdir(tmp_path)) == ["bin", "config.json"]


def test_what_is_not_ours_is_kept(tmp_path: Path) -> None:
    other = {
        "HttpHeaders": {"X": "ü"},
        "proxies": {"default": {"noProxy": "a"}},
        "new": [1, {"x": 12345678901234567890}],
    }
    kept = Kept(tmp_path, {**other, "auths": {"z": {"auth": SOMEBODY}, "shop": {"email": "e", "auth": SOMEBODY}}})
    os.chmod(kept.path, 0o644)
    assert kept.credentials.store("shop", "me", "a:b")
    assert kept.document == {**other, "auths": {"shop": {"email": "e", "auth": ME}, "z": {"auth": SOMEBODY}}}
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert not kept.credentials.store("shop", "me", "a:b")  # there already: no second warning
    kept.credentials.erase("shop")
    assert kept.document == {**other, "auths": {"z": {"auth": SOMEBODY}}}


def test_an_identity_token_takes_the_passwords_place(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"auths": {"shop": {"auth": ME}}})
    assert not kept.credentials.store("shop", "me", "a:b", "token")
    assert kept.document == {"auths": {"shop": {"auth": "bWU6", "identitytoken": "token"}}}
    assert kept.header("shop") == {"username": "me", "serveraddress": "shop", "identitytoken": "token"}


def test_a_new_file_and_its_directory_are_the_users_alone(tmp_path: Path) -> None:
    kept = Credentials(str(tmp_path / "new" / "config.json"), {"PATH": ""}, print)
    kept.store("shop", "me", "a:b")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "config.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "new") == ["config.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    kept = Kept(tmp_path, None)
    (tmp_path / "real.json").write_text("{}")
    kept.path.symlink_to("real.json")
    kept.credentials.store("shop", "me", "a:b")
    assert kept.path.is_symlink() and json.loads((tmp_path / "real.json").read_text())["auths"]


def test_a_failed_change_leaves_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, {"auths": {}})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config_json.os, "fsync", full)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="No space left"):
        kept.credentials.store("shop", "me", "x")
    assert kept.document == {"auths": {}} and sorted(os.listdir(tmp_path)) == ["bin", "config.json"]


KEEPER = """
read -r text
echo "$1 $text" >> "$OUT"
[ "$1" = get ] && echo '{"ServerURL": "'"$text"'", "Username": "me", "Secret": "from '"$0"'"}'
exit 0
"""


def test_a_helper_keeps_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"credHelpers": {"shop": "one"}, "credsStore": "two"})
    kept.helper("docker-credential-one", KEEPER)
    kept.helper("docker-credential-two", KEEPER)
    assert kept.header("shop")["password"].endswith("docker-credential-one")
    assert kept.header("docker.io")["password"].endswith("docker-credential-two")
    assert not kept.credentials.store("shop", "me", "pass<>")
    assert not kept.credentials.store(INDEX, "me", "x", "token")
    kept.credentials.erase("shop")
    calls = kept.calls.read_text().splitlines()
    assert calls[:2] == ["get shop", f"get {INDEX}"]
    assert json.loads(calls[2].removeprefix("store ")) == {"ServerURL": "shop", "Username": "me", "Secret": "pass<>"}
    assert json.loads(calls[3].removeprefix("store "))["Username"] == "<token>"
    assert calls[4:] == ["erase shop"]
    assert kept.document == {"credHelpers": {"shop": "one"}, "credsStore": "two", "auths": {INDEX: {}}}
    assert "pass" not in kept.path.read_text()


def test_a_helpers_identity_token(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"credsStore": "x"})
    kept.helper("docker-credential-x", """echo '{"ServerURL": "shop", "Username": "<token>", "Secret": "t"}'""")
    assert kept.header("shop") == {"identitytoken": "t", "serveraddress": "shop"}


FAILURES = [
    ("echo it broke; exit 3", "error getting credentials - err: exit status 3, out: `it broke`"),
    ("echo no json", "error getting credentials - err: docker-credential-x answered with no credentials"),
    ("echo '{}'", "error getting credentials - err: docker-credential-x answered with no credentials"),
    ("kill -9 $$", "error getting credentials - err: signal: 9, out: ``"),
]


@pytest.mark.parametrize(("script", "text"), FAILURES)
def test_a_helper_that_fails_is_told(script: str, text: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"credsStore": "x", "auths": {"shop": {"auth": ME}}})
    kept.helper("docker-credential-x", script)
    assert kept.header("shop") == {}
    assert kept.warnings == [f"WARNING: no credentials for shop: {text}"]


@pytest.mark.parametrize("name", ["nope", "../x", "/bin/sh"])
def test_a_helper_that_is_missing(name: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"credsStore": name})
    with pytest.raises(CommandError) as told:
        kept.credentials.store("shop", "me", "x")
    why = f'exec: "docker-credential-{name}": executable file not found in $PATH'
    assert str(told.value) == f"error storing credentials - err: {why}, out: ``"
    assert kept.document == {"credsStore": name}


def test_a_helper_without_them_is_no_failure(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"credsStore": "x"})
    kept.helper("docker-credential-x", "echo credentials not found in native keychain; exit 1")
    assert kept.header("shop") == {} and not kept.warnings
    kept.credentials.erase("shop")


def test_the_machines_own_keeper_is_used_where_nothing_is_said(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"psFormat": "x"})
    kept.helper("pass", "")
    kept.helper("docker-credential-pass", KEEPER)
    assert not kept.credentials.store("shop", "me", "x")
    assert kept.document == {"psFormat": "x", "auths": {"shop": {}}, "credsStore": "pass"}
