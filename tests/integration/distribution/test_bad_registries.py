"""Registries that break, lie, redirect and ask for secrets: one clear error, nothing stored, nothing given away."""

import base64
import contextlib
import gzip
import io
import json
import secrets
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.daemon import Sampand
from support.fakeregistry import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    OCI_INDEX,
    FakeRegistry,
    digest_of,
    manifest_of,
    send,
    serving,
)

HOST = "127.0.0.1:5000"


@pytest.fixture
def fake(shared_sampand: Sampand) -> Iterator[FakeRegistry]:
    with FakeRegistry(shared_sampand.space) as one:
        yield one


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


LAYER = tar_of(file=b"hello")


def fresh() -> bytes:
    """A layer that no pull has brought in before, not even in part."""
    return tar_of(file=secrets.token_bytes(64))


def refused(sampand: Sampand, name: str, text: str) -> None:
    """The pull fails with the text, and leaves nothing."""
    before = stored(sampand)
    answer = sampand.engine.docker("pull", f"{HOST}/{name}", timeout=60)
    assert answer.code == 1
    assert text in answer.err, answer.err
    assert not set(stored(sampand)) - set(before)
    assert sampand.engine.ok("images", "-q", f"{HOST}/{name}") == ""


def stored(sampand: Sampand) -> list[str]:
    """Blobs, partial blobs and layers."""
    places = (sampand.data / "content", sampand.data / "layers")
    return sorted(str(one.relative_to(sampand.data)) for place in places for one in place.rglob("*"))


# --- what is wrong with an image -------------------------------------------------------------------------------------


def test_a_good_one_for_comparison(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    fake.image("good", "latest", LAYER)
    assert "Downloaded newer image" in shared_sampand.engine.ok("pull", f"{HOST}/good")
    shared_sampand.engine.ok("rmi", f"{HOST}/good")


def test_a_layer_with_another_digest(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = fresh()
    fake.image("bad", "latest", layer)
    other = layer[:-1] + b"x"
    fake.answers[f"GET /v2/bad/blobs/{digest_of(layer)}"] = serving(other, "application/octet-stream")
    refused(shared_sampand, "bad", "filesystem layer verification failed")


@pytest.mark.parametrize("change", [-1, 1])
def test_a_layer_of_another_size(shared_sampand: Sampand, fake: FakeRegistry, change: int) -> None:
    layer = fresh()
    manifest = json.loads(fake.image("bad", "latest", layer))
    manifest["layers"][0]["size"] += change
    fake.manifest("bad", "latest", json.dumps(manifest).encode())
    answer = shared_sampand.engine.docker("pull", f"{HOST}/bad", timeout=60)
    assert answer.code == 1
    expected = "is longer than" if change < 0 else "unexpected EOF"
    assert expected in answer.err or "verification failed" in answer.err


def test_a_diff_id_of_something_else(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = fresh()
    wrong = {"rootfs": {"type": "layers", "diff_ids": [digest_of(b"else")]}}
    fake.image("bad", "latest", gzip.compress(layer), config=wrong)
    refused(shared_sampand, "bad", "invalid diffID for layer 0")


def test_a_manifest_by_digest_that_is_another(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    content = fake.image("bad", "latest", LAYER)
    digest = digest_of(content)
    fake.answers[f"GET /v2/bad/manifests/{digest}"] = serving(content + b" ", "application/json")
    refused(shared_sampand, f"bad@{digest}", "manifest verification failed for digest")


def test_a_manifest_of_a_hundred_megabytes(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    fake.manifest("bad", "latest", b"[" * (100 << 20))
    refused(shared_sampand, "bad", "has more than 4194304 bytes")


CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()


def manifest_with(**changes: Any) -> bytes:
    return json.dumps(json.loads(manifest_of(CONFIG, ())) | changes).encode()


def layers(count: int) -> list[dict[str, Any]]:
    return [{"mediaType": DOCKER_LAYER, "size": 1, "digest": digest_of(str(i).encode())} for i in range(count)]


MANIFESTS = [
    (b"<html>hello</html>", "is no JSON: '<html>hello</html>'"),
    (b"[]", "a manifest must be a JSON object"),
    (b"[" * 100_000, "is no JSON"),
    (manifest_with(layers=layers(20_000)), "20000 layers; 127 at most"),
    (manifest_with(layers=layers(128)), "128 layers; 127 at most"),
    (
        manifest_with(layers=[{"mediaType": "text/plain", "size": 1, "digest": digest_of(b"")}]),
        "unsupported type text/pl",
    ),
    (manifest_with(layers=[{"mediaType": DOCKER_LAYER, "size": 1, "digest": "sha256:../../etc"}]), "no valid digest"),
    (manifest_with(layers=[{"mediaType": DOCKER_LAYER, "size": -1, "digest": digest_of(b"")}]), "no valid size"),
    (manifest_with(layers=[{"mediaType": DOCKER_LAYER, "size": 1 << 60, "digest": digest_of(b"")}]), "a layer of 1152"),
    (manifest_with(layers=None), "lists no layers"),
    (manifest_with(layers={}), "lists no layers"),
    (manifest_with(config=None), "config is no descriptor"),
    (manifest_with(config={"mediaType": "x", "size": 1, "digest": digest_of(b"")}), "it is no image"),
    (
        manifest_with(config={"mediaType": DOCKER_CONFIG, "size": 1 << 40, "digest": digest_of(b"")}),
        "an image configuration of",
    ),
    (manifest_with(mediaType="application/x-other"), "it calls itself"),
    (manifest_with(manifests=[]), "both an index and a manifest"),
    (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), "schema 1 are not supported"),
]


@pytest.mark.parametrize(("content", "text"), MANIFESTS, ids=range(len(MANIFESTS)))
def test_broken_manifests(shared_sampand: Sampand, fake: FakeRegistry, content: bytes, text: str) -> None:
    fake.blob("bad", CONFIG)
    kind = "text/html" if b"html" in content else "application/vnd.docker.distribution.manifest.v2+json"
    if text == "it calls itself":
        text = "Downloaded newer image"  # a type that nobody knows in the content: the header counts
        fake.manifest("bad", "latest", content, kind)
        assert text in shared_sampand.engine.ok("pull", f"{HOST}/bad")
        shared_sampand.engine.ok("rmi", f"{HOST}/bad")
        return
    fake.manifest("bad", "latest", content, kind)
    refused(shared_sampand, "bad", text)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (b"no json", "invalid image configuration"),
        (b"[" * 100_000, "invalid image configuration: nested too deep"),
        (b"{}", "no RootFS key"),
        (b'{"rootfs":{"diff_ids":["sha256:x"]}}', "rootfs.diff_ids must be a list of sha256 digests"),
        (CONFIG.replace(b"[]", json.dumps([digest_of(b"")]).encode()), "configuration has 1 layers, its manifest 0"),
    ],
)
def test_broken_configurations(shared_sampand: Sampand, fake: FakeRegistry, config: bytes, text: str) -> None:
    fake.blob("bad", config)
    fake.manifest("bad", "latest", manifest_of(config, ()))
    refused(shared_sampand, "bad", text)


def test_a_list_of_tags_on_three_pages(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = fresh()
    pages = ["one", "two", "three"]
    for tag in pages:
        fake.image("paged", tag, layer)

    def page(handler: Any) -> None:
        number = int(handler.path.partition("last=")[2] or "0")
        more = {"Link": f'</v2/paged/tags/list?n=1&last={number + 1}>; rel="next"'} if number < 2 else {}
        send(handler, 200, json.dumps({"name": "paged", "tags": [pages[number]]}).encode(), **more)

    fake.answers["GET /v2/paged/tags/list"] = page
    shared_sampand.engine.ok("pull", "-a", f"{HOST}/paged")
    names = shared_sampand.engine.ok("images", "--format", "{{.Tag}}", f"{HOST}/paged").split()
    assert sorted(names) == sorted(pages)
    shared_sampand.engine.ok("rmi", "-f", *(f"{HOST}/paged:{tag}" for tag in pages))


def test_a_layer_in_two_envelopes(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    plain = tar_of(zeros=bytes(300 << 20))
    config = {"rootfs": {"type": "layers", "diff_ids": [digest_of(plain)]}}
    fake.image("bad", "latest", gzip.compress(gzip.compress(plain)), config=config)
    refused(shared_sampand, "bad", "invalid tar header")


def bomb() -> bytes:
    """A layer of 1.25 GiB in 1.3 MB."""
    member = tarfile.TarInfo("zeros")
    member.size = 1280 << 20
    return gzip.compress(member.tobuf()) + gzip.compress(bytes(64 << 20)) * 20 + gzip.compress(bytes(1024))


@pytest.mark.parametrize("way", ["pull", "import", "load", "load compressed"])
def test_a_bomb(shared_sampand: Sampand, fake: FakeRegistry, way: str) -> None:
    text, layer = "an archive that unpacks to more than 200 times its size", bomb()
    config = {"rootfs": {"type": "layers", "diff_ids": [digest_of(b"")]}}
    if way == "pull":
        fake.image("bad", "latest", layer, config=config)
        refused(shared_sampand, "bad", text)
        return
    described = json.dumps([{"Config": "config", "RepoTags": None, "Layers": ["layer"]}]).encode()
    archive = tar_of(**{"manifest.json": described, "config": json.dumps(config).encode(), "layer": layer})
    command, content = {"import": (("import", "-"), layer), "load": (("load",), archive)}.get(way, (("load",), layer))
    before = stored(shared_sampand)
    answer = shared_sampand.engine.docker(*command, stdin=content, timeout=60)
    assert answer.code == 1 and text in answer.err
    assert stored(shared_sampand) == before


def test_no_platform_fits(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    content = fake.image("many", "arm", LAYER, config={"architecture": "arm64"})
    fake.manifest("many", "latest", index_of(("arm64", content)), OCI_INDEX)
    refused(shared_sampand, "many", "no matching manifest for linux/amd64 in the manifest list entries")
    said = shared_sampand.engine.ok("pull", "--platform", "linux/arm64", f"{HOST}/many")
    assert "Downloaded newer image" in said
    assert shared_sampand.engine.look(f"{HOST}/many", "{{.Architecture}}") == "arm64"
    shared_sampand.engine.ok("rmi", f"{HOST}/many")


def test_one_image_for_another_platform(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    fake.image("foreign", "latest", fresh(), config={"architecture": "arm64"})
    engine = shared_sampand.engine
    before = stored(shared_sampand)
    answer = engine.docker("pull", "--platform", "linux/s390x", f"{HOST}/foreign")
    text = f"image with reference {HOST}/foreign:latest was found but does not match the specified platform"
    assert answer.code == 1 and f"{text}: wanted linux/s390x, actual: linux/arm64" in answer.err
    assert stored(shared_sampand) == before
    answer = engine.docker("pull", "--platform", "bogus", f"{HOST}/foreign")
    assert '"bogus": unknown operating system or architecture' in answer.err
    engine.ok("pull", f"{HOST}/foreign")  # nobody asked for another
    assert engine.docker("pull", "--platform", "linux/s390x", f"{HOST}/foreign").code == 1
    engine.ok("rmi", f"{HOST}/foreign")


def index_of(*manifests: tuple[str, bytes]) -> bytes:
    listed = [
        {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": len(content),
            "digest": digest_of(content),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, content in manifests
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()


def test_an_index_within_an_index(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    inner = index_of()
    fake.manifest("deep", "inner", inner, OCI_INDEX)
    document = json.loads(index_of(("amd64", inner)))
    document["manifests"][0]["mediaType"] = OCI_INDEX
    fake.manifest("deep", "latest", json.dumps(document).encode(), OCI_INDEX)
    refused(shared_sampand, "deep", "an index within an index")


# --- lines that break ------------------------------------------------------------------------------------------------


def test_a_broken_line_is_taken_up_where_it_ended(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    """The registry hangs up after a third of what is asked for, each time."""
    layer = tar_of(noise=bytes(range(256)) * 40_000)
    fake.image("slow", "latest", layer)
    asked: list[str] = []

    def breaking(handler: Any) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        asked.append(handler.headers.get("Range") or "")
        rest = layer[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(rest)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(layer) - 1}/{len(layer)}")
        handler.end_headers()
        handler.wfile.write(rest[: max(len(layer) // 8, 1)])
        handler.close_connection = True

    fake.answers[f"GET /v2/slow/blobs/{digest_of(layer)}"] = breaking
    assert "Downloaded newer image" in shared_sampand.engine.ok("pull", f"{HOST}/slow", timeout=60)
    assert asked[0] == "" and len(asked) >= 8
    starts = [int(one.removeprefix("bytes=").rstrip("-")) for one in asked[1:]]
    assert starts == sorted(set(starts)) and starts[0] > 0, "it never started over"
    shared_sampand.engine.ok("rmi", f"{HOST}/slow")


def test_a_registry_without_ranges_starts_over(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = tar_of(noise=bytes(range(256)) * 20_000)
    fake.image("slow", "latest", layer)
    tries = []

    def whole(handler: Any) -> None:
        tries.append(handler.headers.get("Range"))
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(layer)))
        handler.end_headers()
        handler.wfile.write(layer[: len(layer) // 2] if len(tries) < 3 else layer)
        handler.close_connection = True

    fake.answers[f"GET /v2/slow/blobs/{digest_of(layer)}"] = whole
    shared_sampand.engine.ok("pull", f"{HOST}/slow", timeout=60)
    assert tries[0] is None and tries[1] is not None
    shared_sampand.engine.ok("rmi", f"{HOST}/slow")


def test_an_interrupted_pull_is_taken_up_after_a_crash(sampand: Sampand) -> None:
    """sampand is killed while a layer comes in; the next one asks for the rest."""
    layer = tar_of(noise=bytes(range(256)) * 40_000)
    with FakeRegistry(sampand.space) as fake:
        fake.image("slow", "latest", LAYER, layer)
        blob = f"GET /v2/slow/blobs/{digest_of(layer)}"
        halfway = threading.Event()

        def stuck(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(layer)))
            handler.end_headers()
            handler.wfile.write(layer[: len(layer) // 2])
            handler.wfile.flush()
            halfway.set()
            with contextlib.suppress(OSError):
                handler.rfile.read(1)
            handler.close_connection = True

        fake.answers[blob] = stuck
        pulling = subprocess.Popen(
            sampand.engine.argv("pull", f"{HOST}/slow"),
            env=sampand.engine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert halfway.wait(20)
        time.sleep(0.3)
        sampand.restart()
        assert pulling.wait(20) != 0
        assert sampand.engine.ok("images", "-q") == ""
        fake.answers[blob] = serving(layer, "application/octet-stream")
        before = len(fake.seen)
        sampand.engine.ok("pull", f"{HOST}/slow", timeout=60)
        again = [headers for _, path, headers in fake.seen[before:] if path.endswith(digest_of(layer))]
        assert len(again) == 1 and again[0].get("Range", "").startswith("bytes=")
        sampand.engine.ok("rmi", f"{HOST}/slow")


def test_a_client_that_leaves_ends_its_pull(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = tar_of(noise=bytes(range(256)) * 40_000)
    fake.image("slow", "latest", layer)
    begun, gone = threading.Event(), threading.Event()

    def dripping(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(layer)))
        handler.end_headers()
        begun.set()
        try:
            for at in range(0, len(layer), 4096):
                handler.wfile.write(layer[at : at + 4096])
                time.sleep(0.01)
        except OSError:
            gone.set()
        handler.close_connection = True

    fake.answers[f"GET /v2/slow/blobs/{digest_of(layer)}"] = dripping
    engine = shared_sampand.engine
    pulling = subprocess.Popen(engine.argv("pull", f"{HOST}/slow"), env=engine.environment, stdout=subprocess.DEVNULL)
    assert begun.wait(20)
    pulling.terminate()
    pulling.wait(10)
    assert gone.wait(10), "the download went on"


def test_two_pulls_download_once(shared_sampand: Sampand, fake: FakeRegistry) -> None:
    layer = tar_of(noise=bytes(range(256)) * 10_000)
    fake.image("twice", "latest", layer)
    path = f"/v2/twice/blobs/{digest_of(layer)}"
    plain = fake.answers[f"GET {path}"]

    def slowly(handler: Any) -> None:
        time.sleep(0.5)
        plain(handler)

    fake.answers[f"GET {path}"] = slowly
    engine = shared_sampand.engine
    pulls = [
        subprocess.Popen(engine.argv("pull", f"{HOST}/twice"), env=engine.environment, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [one.wait(30) for one in pulls] == [0, 0, 0]
    assert fake.asked("GET").count(path) == 1
    engine.ok("rmi", f"{HOST}/twice")


# --- redirects and secrets -------------------------------------------------------------------------------------------

SECRET = base64.urlsafe_b64encode(json.dumps({"username": "me", "password": "hush"}).encode()).decode()


def pull(sampand: Sampand, name: str, auth: str = SECRET) -> str:
    """Pull over the API with credentials; return the whole answer."""
    done = subprocess.run(
        ["curl", "-s", "--max-time", "30", "--unix-socket", str(sampand.socket), "-X", "POST",
         "-H", f"X-Registry-Auth: {auth}", f"http://d/images/create?fromImage={HOST}/{name}&tag=latest"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def elsewhere(shared_sampand: Sampand) -> Iterator[FakeRegistry]:
    with FakeRegistry(shared_sampand.space, 5001) as one:
        yield one


def test_credentials_stay_at_home(shared_sampand: Sampand, fake: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """The registry wants a password and sends layers elsewhere: a CDN gets no password."""
    layer = fresh()
    fake.image("cdn", "latest", layer)
    guarded = dict(fake.answers)

    def guard(action: Any) -> Any:
        def ask(handler: Any) -> None:
            if not handler.headers.get("Authorization"):
                send(handler, 401, b"{}", WWW_Authenticate='Basic realm="x"')
                return
            action(handler)

        return ask

    for key, action in guarded.items():
        fake.answers[key] = guard(action)
    path = f"/v2/cdn/blobs/{digest_of(layer)}"
    elsewhere.answers[f"GET {path}"] = serving(layer, "application/octet-stream")
    fake.answers[f"GET {path}"] = guard(lambda handler: send(handler, 307, Location=f"http://127.0.0.1:5001{path}"))
    assert "Downloaded newer image" in pull(shared_sampand, "cdn")
    assert elsewhere.seen, "it went there"
    assert all("Authorization" not in headers for _, _, headers in elsewhere.seen)
    basic = "Basic " + base64.b64encode(b"me:hush").decode()
    assert basic in {headers.get("Authorization") for _, _, headers in fake.seen}
    shared_sampand.engine.ok("rmi", f"{HOST}/cdn")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("file:///etc/passwd", "which is not HTTP"),
        ("ftp://127.0.0.1/x", "which is not HTTP"),
        ("http://user:pass@127.0.0.1:5001/x", "redirects to a URL with credentials"),
        ("{own}", "stopped after 8 redirects"),
    ],
)
def test_redirects_that_lead_astray(shared_sampand: Sampand, fake: FakeRegistry, target: str, text: str) -> None:
    layer = fresh()
    fake.image("astray", "latest", layer)
    path = f"/v2/astray/blobs/{digest_of(layer)}"
    fake.answers[f"GET {path}"] = lambda handler: send(handler, 302, Location=target.format(own=path))
    refused(shared_sampand, "astray", text)


def test_tokens(shared_sampand: Sampand, fake: FakeRegistry, elsewhere: FakeRegistry) -> None:
    """A token server gives tokens for scopes; an expired one is asked for again."""
    layer = fresh()
    fake.image("tok/en", "latest", layer)
    served = dict(fake.answers)
    valid: set[str] = set()

    def guard(action: Any) -> Any:
        def ask(handler: Any) -> None:
            given = handler.headers.get("Authorization", "").removeprefix("Bearer ")
            if given not in valid:
                challenge = 'Bearer realm="http://127.0.0.1:5001/token",service="reg",scope="repository:tok/en:pull"'
                send(handler, 401, b"{}", WWW_Authenticate=challenge)
                return
            valid.discard(given)  # each is good for one request
            action(handler)

        return ask

    for key, action in served.items():
        fake.answers[key] = guard(action)

    def token(handler: Any) -> None:
        valid.add(f"t{len(elsewhere.seen)}")
        send(handler, 200, json.dumps({"token": f"t{len(elsewhere.seen)}", "expires_in": 300}).encode())

    elsewhere.answers["GET /token"] = token
    assert "Downloaded newer image" in pull(shared_sampand, "tok/en")
    method, path, headers = elsewhere.seen[0]
    assert (method, path) == ("GET", "/token?service=reg&scope=repository%3Atok%2Fen%3Apull&account=me")
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:hush").decode()
    assert all(h.get("Authorization", "Bearer").startswith("Bearer") for _, _, h in fake.seen)
    shared_sampand.engine.ok("rmi", f"{HOST}/tok/en")


@pytest.mark.parametrize(
    ("challenge", "answer", "text"),
    [
        ('Bearer realm="file:///etc/passwd"', b"", "names a token server that is none"),
        ('Bearer realm="http://u:p@127.0.0.1:5001/token"', b"", "names a token server that is none"),
        ('Bearer realm="http://127.0.0.1:5001/token"', b"<html>", "answer is no JSON object"),
        ('Bearer realm="http://127.0.0.1:5001/token"', b"{}", "did not include a token"),
        ('Bearer realm="http://127.0.0.1:5001/token"', b'{"token":"a\\r\\nX: y"}', "did not include a token"),
        (
            'Bearer realm="http://127.0.0.1:5001/token"',
            b'{"token":"' + b"a" * (2 << 20) + b'"}',
            "token server answered",
        ),
        ("Nonsense", b"", "unauthorized"),
        ("", b"", "unauthorized"),
    ],
)
def test_broken_challenges(
    shared_sampand: Sampand, fake: FakeRegistry, elsewhere: FakeRegistry, challenge: str, answer: bytes, text: str
) -> None:
    fake.answers["GET /v2/x/manifests/latest"] = lambda handler: send(
        handler, 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}', WWW_Authenticate=challenge
    )
    elsewhere.answers["GET /token"] = lambda handler: send(handler, 200, answer)
    assert text in pull(shared_sampand, "x")


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a//b", "A/b", "x:..", "x/%2e%2e/y", "x@sha256:12", "-", "x y"])
def test_names_against_the_grammar(shared_sampand: Sampand, name: str) -> None:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/stdout", "-w", "%{http_code}", "--unix-socket", str(shared_sampand.socket), "-G",
         "-X", "POST", "http://d/images/create", "--data-urlencode", f"fromImage={HOST}/{name}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("400"), done.stdout
    assert "invalid" in done.stdout
