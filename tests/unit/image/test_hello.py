"""The built-in image: a program of two system calls, always the same bytes."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from sampan.image import digest, hello
from sampan.image.errors import ImageNotFound
from sampan.image.model import check_config


def test_it_greets_and_ends_with_0(tmp_path: Path) -> None:
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("no program for this machine")
    program = tmp_path / "hello"
    program.write_bytes(hello.program({"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]))
    program.chmod(0o755)
    done = subprocess.run([program], capture_output=True, check=True)
    assert done.stdout == hello.GREETING
    with open("/dev/full", "wb") as full:
        assert subprocess.run([program], stdout=full, check=False).returncode == 1


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_its_configuration_and_layer_fit(architecture: str) -> None:
    layer = hello.layer(architecture)
    config, diff_ids = check_config(hello.configuration(architecture, layer))
    assert diff_ids == (digest.of(layer),)
    assert config["architecture"] == architecture and config["config"]["Cmd"] == ["/hello"]


def test_its_bytes_are_the_same_every_time() -> None:
    """A change of the program is a change of the image's ID: fine, but let it be noticed."""
    assert hello.layer("amd64") == hello.layer("amd64")
    assert hashlib.sha256(hello.layer("amd64")).hexdigest()[:12] == AMD64
    assert hashlib.sha256(hello.layer("arm64")).hexdigest()[:12] == ARM64


AMD64, ARM64 = "a098b47ad19f", "ac99442cb007"


def test_other_machines() -> None:
    with pytest.raises(ImageNotFound, match="no built-in program for riscv64"):
        hello.program("riscv64")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("hello-world", True), ("hello-world:latest", True), ("docker.io/library/hello-world", True), ("hello", False),
     ("hello-world:1", False), ("x/hello-world", False), ("UPPER", False), ("ghcr.io/hello-world", False)],
)  # fmt: skip
def test_names(text: str, answer: bool) -> None:
    assert hello.is_name(text) is answer


def test_its_own_images_are_known() -> None:
    for architecture in ("amd64", "arm64"):
        content = hello.configuration(architecture, hello.layer(architecture))
        assert hello.is_own(digest.of(content))
    assert not hello.is_own(digest.of(b"{}"))
