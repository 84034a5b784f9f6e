"""The built-in hello-world and ``--platform``, as with an image that a registry has for several."""

import platform

import pytest

from support.daemon import Sampand
from support.engine import Engine

OWN = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
FOREIGN = {"amd64": "arm64", "arm64": "amd64"}.get(OWN, "")
HELLO = ("run", "--rm", "--network", "none")


def architecture(engine: Engine) -> str:
    return engine.sampan("image", "inspect", "-f", "{{.Architecture}}", "hello-world").line


@pytest.mark.skipif(not OWN, reason="there is no built-in program for this machine")
def test_each_platform_has_its_own(sampand: Sampand) -> None:
    engine = sampand.engine
    answer = engine.sampan(*HELLO, "--platform", f"linux/{FOREIGN}", "hello-world")
    if answer.code:  # without an emulator registered with the kernel
        assert "exec format error" in answer.err, answer
    assert architecture(engine) == FOREIGN
    answer = engine.sampan(*HELLO, "hello-world")
    warning = f"WARNING: The requested image's platform (linux/{FOREIGN}) does not match the detected host platform"
    assert answer.err.startswith(warning), answer
    answer = engine.sampan(*HELLO, "--platform", f"linux/{OWN}", "hello-world")
    assert answer.code == 0 and "Hello from Sampan!" in answer.out and answer.err == ""
    assert architecture(engine) == OWN
    assert engine.sampan(*HELLO, "hello-world").code == 0
    assert engine.sampan(*HELLO, "--platform", "linux/riscv64", "hello-world").code == 125


def test_an_image_of_somebody_elses_keeps_the_name(sampand: Sampand) -> None:
    engine = sampand.engine
    engine.load_busybox()
    engine.sampan("tag", "sampan-test/busybox:1", "hello-world")
    answer = engine.sampan("create", "--pull", "never", "--platform", "linux/arm64", "hello-world")
    assert answer.code == 1 and "does not match the specified platform" in answer.err
    assert architecture(engine) == "amd64"
