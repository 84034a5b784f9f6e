"""Pull and push with Debian's docker-registry: what comes is what went, for every client and every way in."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support.cache import find_program
from support.daemon import Sampand
from support.images import BUSYBOX
from support.registry import PASSWORD, USER, Registry

HOST = "127.0.0.1:5000"


@pytest.fixture
def place(sampand: Sampand) -> Iterator[tuple[Sampand, Registry]]:
    """A daemon with an image, and a registry on its loopback."""
    sampand.engine.load_busybox()
    with Registry(sampand.space) as one:
        yield sampand, one


def digest(sampand: Sampand, name: str) -> str:
    """The digest that an image has in a repository."""
    pinned = json.loads(sampand.engine.ok("image", "inspect", name))[0]["RepoDigests"]
    repository = name.rpartition(":")[0]
    return str(next(one.partition("@")[2] for one in pinned if one.startswith(f"{repository}@")))


def skopeo(sampand: Sampand, *arguments: str) -> str:
    program = find_program("skopeo")
    if program is None:
        pytest.skip("skopeo is not installed")
    return sampand.space.run(program, *arguments, timeout=60)


def test_what_is_pulled_is_what_was_pushed(place: tuple[Sampand, Registry]) -> None:
    sampand, _ = place
    engine, name = sampand.engine, f"{HOST}/some/where:1"
    engine.ok("tag", BUSYBOX, name)
    identity = engine.look(name, "{{.Id}}")
    said = engine.ok("push", name).splitlines()
    pushed = digest(sampand, name)
    assert said[0] == f"The push refers to repository [{HOST}/some/where]"
    assert said[-1].startswith(f"1: digest: {pushed} size: ")
    assert skopeo(sampand, "inspect", "--tls-verify=false", "-f", "{{.Digest}}", f"docker://{name}").strip() == pushed
    engine.ok("rmi", "-f", name, BUSYBOX)
    said = engine.ok("pull", name).splitlines()
    assert said[0] == "1: Pulling from some/where"
    assert said[-3:] == [f"Digest: {pushed}", f"Status: Downloaded newer image for {name}", name]
    assert (engine.look(name, "{{.Id}}"), digest(sampand, name)) == (identity, pushed)
    assert engine.run(name, "echo", "hi").out == "hi\n"
    copy = f"{HOST}/else/where:2"
    engine.ok("tag", name, copy)
    assert "Mounted from some/where" in engine.ok("push", copy)
    assert digest(sampand, copy) == pushed


def test_a_layer_that_is_there_is_not_pulled_again(place: tuple[Sampand, Registry]) -> None:
    sampand, registry = place
    engine, base, name = sampand.engine, f"{HOST}/base:1", f"{HOST}/more:1"
    engine.run("--name", "more", "--entrypoint", "touch", BUSYBOX, "/more")
    engine.ok("tag", BUSYBOX, base)
    engine.ok("commit", "more", name)
    engine.ok("push", base)
    engine.ok("push", name)
    engine.ok("rm", "more")
    engine.ok("rmi", name)
    before = len(registry.requests())
    said = engine.ok("pull", name).splitlines()
    states = [line.partition(": ")[2] for line in said[1:-3]]
    assert states[:2] == ["Already exists", "Pulling fs layer"]
    assert states[-1] == "Pull complete" and states.count("Pull complete") == 1
    assert len([one for one in registry.requests()[before:] if "/blobs/" in one]) == 2  # configuration and layer


def test_what_is_there_costs_one_request(place: tuple[Sampand, Registry]) -> None:
    sampand, registry = place
    engine, name = sampand.engine, f"{HOST}/a/b:1"
    engine.ok("tag", BUSYBOX, name)
    engine.ok("push", name)
    before = len(registry.requests())
    assert f"Status: Image is up to date for {name}" in engine.ok("pull", name)
    assert registry.requests()[before:] == ["GET /v2/a/b/manifests/1"]
    before = len(registry.requests())
    assert "Layer already exists" in engine.ok("push", name)
    assert not [one for one in registry.requests()[before:] if one.startswith(("POST", "PATCH"))]


def test_images_by_reference_tell_those_names_only(place: tuple[Sampand, Registry]) -> None:
    sampand, _ = place
    engine, name = sampand.engine, f"{HOST}/a/b"
    engine.ok("tag", BUSYBOX, f"{name}:1")
    engine.ok("push", f"{name}:1")

    def told(pattern: str) -> tuple[list[str], list[str]]:
        filters = json.dumps({"reference": [pattern]})
        url = f"http://d/images/json?filters={quote(filters)}"
        (image,) = json.loads(sampand.space.run("curl", "-s", "--unix-socket", str(sampand.socket), url))
        return image["RepoTags"], [one.partition("@")[0] for one in image["RepoDigests"]]

    assert told(BUSYBOX) == ([BUSYBOX], [])
    assert told(f"{name}:1") == ([f"{name}:1"], [])
    assert told(name) == ([f"{name}:1"], [name])


def test_by_digest_and_all_tags(place: tuple[Sampand, Registry]) -> None:
    sampand, _ = place
    engine = sampand.engine
    for tag in ("1", "2", "3"):
        engine.ok("tag", BUSYBOX, f"{HOST}/many:{tag}")
    said = engine.ok("push", "-a", f"{HOST}/many")
    assert [line.partition(":")[0] for line in said.splitlines() if "digest: " in line] == ["1", "2", "3"]
    pushed = digest(sampand, f"{HOST}/many:1")
    engine.ok("rmi", "-f", BUSYBOX, *(f"{HOST}/many:{tag}" for tag in "123"))
    by_digest = f"{HOST}/many@{pushed}"
    said = engine.ok("pull", by_digest)
    assert said.splitlines()[0] == f"{HOST}/many@{pushed}: Pulling from many".removeprefix(f"{HOST}/many@")
    listed = engine.ok("images", "--format", "{{.Repository}} {{.Tag}}").splitlines()
    assert listed == [f"{HOST}/many <none>"]
    engine.ok("pull", "-a", f"{HOST}/many")
    listed = engine.ok("images", "--format", "{{.Repository}} {{.Tag}}").splitlines()
    assert sorted(listed) == [f"{HOST}/many {tag}" for tag in "123"]


def test_what_skopeo_pushed_as_oci_and_zstd_is_pushed_again_unchanged(
    place: tuple[Sampand, Registry], busybox: Path, tmp_path: Path
) -> None:
    sampand, _ = place
    engine = sampand.engine
    flags = ("--dest-tls-verify=false", "--format", "oci", "--dest-compress-format", "zstd", "--dest-compress")
    skopeo(sampand, "--insecure-policy", "copy", *flags, f"docker-archive:{busybox}", f"docker://{HOST}/oci:1")
    raw = skopeo(sampand, "inspect", "--raw", "--tls-verify=false", f"docker://{HOST}/oci:1")
    assert "zstd" in raw or "oci.image" in raw
    engine.ok("rmi", "-f", BUSYBOX)
    engine.ok("pull", f"{HOST}/oci:1")
    assert engine.run(f"{HOST}/oci:1", "echo", "hi").out == "hi\n"
    engine.ok("tag", f"{HOST}/oci:1", f"{HOST}/again:1")
    engine.ok("push", f"{HOST}/again:1")
    assert skopeo(sampand, "inspect", "--raw", "--tls-verify=false", f"docker://{HOST}/again:1") == raw


def test_delete_and_push_again(place: tuple[Sampand, Registry]) -> None:
    sampand, _ = place
    engine, name = sampand.engine, f"{HOST}/gone:1"
    engine.ok("tag", BUSYBOX, name)
    engine.ok("push", name)
    first = digest(sampand, name)
    skopeo(sampand, "delete", "--tls-verify=false", f"docker://{name}")
    assert "manifest unknown" in engine.docker("pull", f"{HOST}/gone:1").err
    engine.ok("push", name)
    assert digest(sampand, name) == first
    assert "up to date" in engine.ok("pull", name)


def test_search_looks_into_a_private_registry(place: tuple[Sampand, Registry]) -> None:
    sampand, _ = place
    engine = sampand.engine
    for name in ("redis", "my/redis", "other"):
        engine.ok("tag", BUSYBOX, f"{HOST}/{name}:1")
        engine.ok("push", f"{HOST}/{name}:1")
    found = engine.ok("search", "--format", "{{.Name}}", f"{HOST}/redis").splitlines()
    assert sorted(found) == [f"{HOST}/my/redis", f"{HOST}/redis"]


@pytest.mark.parametrize("client", ["docker", "sampan"])
def test_a_password(sampand: Sampand, tmp_path: Path, client: str) -> None:
    """``login`` with each command line; its own configuration, nothing of the machine's."""
    engine = sampand.engine
    engine.load_busybox()
    name = f"{HOST}/secret/box:1"
    engine.ok("tag", BUSYBOX, name)
    config = {"DOCKER_CONFIG": str(tmp_path / "config")}

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return command(engine.environment | config, client, *arguments, stdin=stdin)

    with Registry(sampand.space, password=True):
        denied = run("push", name)
        assert denied.returncode == 1 and b"no basic auth credentials" in denied.stderr
        wrong = run("login", "-u", USER, "--password-stdin", HOST, stdin=b"wrong")
        assert wrong.returncode == 1 and b"unauthorized" in wrong.stderr.lower(), wrong
        done = run("login", "-u", USER, "--password-stdin", HOST, stdin=PASSWORD.encode())
        assert done.returncode == 0 and b"Login Succeeded" in done.stdout, done
        assert run("push", name).returncode == 0
        engine.ok("rmi", "-f", name, BUSYBOX)
        assert run("pull", name).returncode == 0
        assert run("logout", HOST).returncode == 0
        engine.ok("rmi", "-f", name)
        assert run("pull", name).returncode == 1


def command(
    environment: dict[str, str], client: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    program = find_program("docker") if client == "docker" else str(Path(sys.executable).with_name("sampan"))
    assert program is not None
    return subprocess.run([program, *arguments], env=environment, input=stdin, capture_output=True, check=False)
