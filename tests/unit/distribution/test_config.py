"""What is known of registries before one is asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.distribution.config import BadCertificates, Certificates, Registries


def test_a_host_has_its_own_mirrors_before_those_for_all_and_each_once() -> None:
    known = Registries(mirrors={"ghcr.io": ("https://a/", "https://b/"), "*": ("https://b/", "https://c/")})
    assert known.mirrors_of("ghcr.io") == ("https://a/", "https://b/", "https://c/")
    assert known.mirrors_of("quay.io") == ("https://b/", "https://c/")
    assert Registries().mirrors_of("docker.io") == ()


INSECURE = [
    ("localhost", True),
    ("localhost:5000", True),
    ("127.0.0.1:5000", True),
    ("127.9.9.9", True),
    ("[::1]:5000", True),
    ("::1", True),
    ("10.1.2.3:5000", True),
    ("10.1.2.3", True),
    ("[fd00::7]:443", True),
    ("11.1.2.3:5000", False),
    ("shop.example:5000", True),
    ("shop.example", False),  # another port is another registry
    ("shop.example:5001", False),
    ("docker.io", False),
    ("nowhere.invalid", False),
    ("a" * 300, False),  # no name that DNS could carry
]


@pytest.mark.parametrize(("host", "insecure"), INSECURE)
def test_who_may_go_without_tls(host: str, insecure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def lookup(name: str, *args: object, **kwargs: object) -> object:
        if name not in ("localhost", "a" * 300):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    known = Registries(insecure=("10.0.0.0/8", "fd00::/8", "shop.example:5000"))
    assert known.is_insecure(host) is insecure


def test_a_name_is_looked_up_for_a_listed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def lookup(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(name)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 0, 0, 2)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.20.0.9", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert Registries(insecure=("10.20.0.0/16",)).is_insecure("shop.example:5000")
    assert not Registries(insecure=("10.21.0.0/16",)).is_insecure("shop.example:5000")
    assert not Registries(insecure=("10.20.0.0/16",)).is_insecure("docker.io")
    assert asked == ["shop.example", "shop.example"]


def make(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text("")
    return directory


def test_files_are_told_apart_by_their_extension(tmp_path: Path) -> None:
    there = make(tmp_path / "shop.example:5000", "ca.crt", "b.crt", "client.cert", "client.key", "notes.txt")
    assert Registries(certs=(tmp_path,)).certificates("shop.example:5000") == Certificates(
        authorities=(there / "b.crt", there / "ca.crt"), client=((there / "client.cert", there / "client.key"),)
    )


def test_the_first_directory_that_has_the_host_counts(tmp_path: Path) -> None:
    ours = make(tmp_path / "sampan" / "shop", "ca.crt")
    make(tmp_path / "docker" / "shop", "other.crt")
    theirs = make(tmp_path / "docker" / "quay.io", "ca.crt")
    known = Registries(certs=(tmp_path / "sampan", tmp_path / "docker"))
    assert known.certificates("shop").authorities == (ours / "ca.crt",)
    assert known.certificates("quay.io").authorities == (theirs / "ca.crt",)
    assert known.certificates("nobody") == Certificates()


@pytest.mark.parametrize("host", ["", ".", "..", "../secret", "/etc"])
def test_a_host_is_no_path(host: str, tmp_path: Path) -> None:
    make(tmp_path / "secret", "x.crt")
    make(tmp_path / "certs", "x.crt")
    assert Registries(certs=(tmp_path / "certs",)).certificates(host) == Certificates()


HALVES = [
    (
        "client.cert",
        "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt",
    ),
    ("client.key", "missing client certificate client.cert for key client.key"),
]


@pytest.mark.parametrize(("name", "text"), HALVES)
def test_half_a_pair_is_told_with_the_missing_file(name: str, text: str, tmp_path: Path) -> None:
    make(tmp_path / "shop", "ca.crt", name)
    with pytest.raises(BadCertificates) as told:
        Registries(certs=(tmp_path,)).certificates("shop")
    assert str(told.value) == text
