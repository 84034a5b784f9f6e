"""Images come, get names, go; and what is on the disk after each of it."""

import gzip
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from integration.image.conftest import Machine
from integration.image.suite import archive, config, docker_files, gzipped, layer, oci_files
from integration.storage.suite import active, listing
from sampan.image.digest import of
from sampan.image.errors import (
    AmbiguousId,
    BadArchive,
    DigestMismatch,
    ImageConflict,
    ImageError,
    ImageNotFound,
    InvalidReference,
    WrongPlatform,
)
from sampan.image.removal import Use
from sampan.image.store import Images

ONE, TWO = layer(("a", b"1"), "d/"), layer(("b", b"2"), ("d/x", b"3"))
EMPTY: dict[str, list[str]] = {"content/blobs/sha256": [], "content/ingest": [], "layers": []}


def load(machine: Machine, files: dict[str, bytes] | bytes) -> list[str]:
    """Load an archive quietly and return what was said."""
    said: list[dict[str, object]] = []
    content = files if isinstance(files, bytes) else archive(files)
    machine.images.load(io.BytesIO(content), said.append, quiet=True)
    return [str(one["stream"]) for one in said]


def nobody(image_id: str) -> list[Use]:
    """No container uses any image."""
    return []


def shown(machine: Machine, ref: str) -> dict[str, str | None]:
    """What a container of the image sees."""
    with active(machine.snapshots, "shown", machine.images.resolve(ref).chain_ids) as root:
        found = listing(root)
    machine.snapshots.discard("shown")
    return found


WHOLE = {"a": "1", "b": "2", "d": None, "d/x": "3"}
LAYOUTS: dict[str, dict[str, bytes]] = {
    "docker": docker_files([ONE, TWO], ["app:1"]),
    "docker, gzip layers": docker_files([ONE, TWO], ["app:1"], [gzipped(ONE), gzip.compress(TWO)]),
    "oci": oci_files([ONE, TWO], "docker.io/library/app:1"),
    "oci, gzip layers": oci_files([ONE, TWO], "docker.io/library/app:1", [gzipped(ONE), gzip.compress(TWO)]),
    "oci, zstd layers": oci_files([ONE, TWO], "app:1", [zstandard.compress(ONE), zstandard.compress(TWO)]),
    "oci, nested index": oci_files([ONE, TWO], "app:1", nested=True),
    "both": docker_files([ONE, TWO], ["app:1"]) | oci_files([ONE, TWO], "docker.io/library/app:1"),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzipped,
    "zstd": zstandard.compress,
    "zstd in two frames": lambda data: zstandard.compress(data[:700]) + zstandard.compress(data[700:]),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_compressions(machine: Machine, layout: str, packed: str) -> None:
    assert load(machine, PACKED[packed](archive(LAYOUTS[layout]))) == ["Loaded image: app:1\n"]
    image = machine.images.resolve("app:1")
    assert image.diff_ids == (of(ONE), of(TWO))
    assert image.size == 3 and image.tags == ("app:1",)
    assert (image.manifest is not None) == ("oci" in layout or layout == "both")
    assert shown(machine, image.id) == WHOLE
    assert machine.stored()["content/ingest"] == []
    machine.images.remove("app:1", in_use=nobody)
    assert machine.stored() == EMPTY


def test_only_what_the_image_needs_stays(machine: Machine) -> None:
    load(machine, docker_files([ONE, TWO], ["app:1"]) | {"unused": b"x", "repositories": b"{}"})
    image = machine.images.resolve("app:1")
    kept = sorted(one[7:] for one in (image.id, *image.blobs))
    assert machine.stored()["content/blobs/sha256"] == kept
    for blob in image.blobs:
        assert of(machine.images.content.path(blob).read_bytes()) == blob


def test_a_stream_that_comes_in_drops(machine: Machine) -> None:
    class Drops(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read1(7)

    machine.images.load(Drops(gzipped(archive(LAYOUTS["docker"]))), machine.reports.append)
    assert shown(machine, "app:1") == WHOLE


def test_progress_is_shown_unless_quiet(machine: Machine) -> None:
    machine.images.load(io.BytesIO(archive(LAYOUTS["docker"])), machine.reports.append)
    bars = [one for one in machine.reports if one.get("status") == "Loading layer"]
    assert {one["id"] for one in bars} == {of(ONE)[7:19], of(TWO)[7:19]}
    total = len(ONE)
    assert bars[0]["progressDetail"] == {"current": total, "total": total}
    assert bars[0]["progress"] == "[" + "=" * 50 + ">]  10.24kB/10.24kB"


def test_loading_again_changes_nothing(machine: Machine) -> None:
    load(machine, LAYOUTS["docker"])
    before = machine.stored()
    assert load(machine, LAYOUTS["docker"]) == ["Loaded image: app:1\n"]
    assert machine.stored() == before


def test_blobs_and_manifest_of_an_image_stay_together(machine: Machine) -> None:
    """Loaded plain, then from an OCI layout with packed layers, then plain again."""
    oci = oci_files([ONE, TWO], "app:oci", [gzipped(ONE), gzipped(TWO)])
    made = next(content for content in oci.values() if b"rootfs" in content)
    docker = docker_files([ONE, TWO], ["app:docker"])
    manifest = json.loads(docker["manifest.json"])
    docker[manifest[0]["Config"]] = made
    load(machine, docker)
    assert machine.images.resolve("app:docker").blobs == (of(ONE), of(TWO))
    for files in (oci, docker):
        load(machine, files)
        image = machine.images.resolve("app:oci")
        assert image.tags == ("app:docker", "app:oci")
        assert image.blobs == (of(gzipped(ONE)), of(gzipped(TWO))) and image.manifest is not None
        assert len(machine.stored()["content/blobs/sha256"]) == 4
    assert len(machine.stored()["layers"]) == 2


def test_a_name_moves_to_the_image_loaded_last(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["app:1"]))
    first = machine.images.resolve("app:1").id
    moved = f"The image app:1 already exists, renaming the old one with ID {first} to empty string\n"
    assert load(machine, docker_files([TWO], ["app:1"])) == [moved, "Loaded image: app:1\n"]
    assert machine.images.resolve(first).tags == ()


def test_a_nested_index_gives_the_name_to_this_machines_image(machine: Machine) -> None:
    arm = oci_files([ONE], None, architecture="arm64")
    amd = oci_files([TWO], None)
    descriptors = [json.loads(files["index.json"])["manifests"][0] for files in (arm, amd)]
    index = json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode()
    top = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": of(index), "size": len(index)}
    top["annotations"] = {"org.opencontainers.image.ref.name": "example.org/app:2"}
    files = (
        arm | amd | {f"blobs/sha256/{of(index)[7:]}": index, "index.json": json.dumps({"manifests": [top]}).encode()}
    )
    assert load(machine, files) == ["Loaded image: example.org/app:2\n"]
    assert machine.images.resolve("example.org/app:2").architecture == "amd64"
    with pytest.raises(WrongPlatform, match=r"its platform \(linux/amd64\) does not match the specified platform"):
        machine.images.resolve("example.org/app:2", "linux/arm64")
    assert machine.images.resolve("example.org/app:2", "linux/amd64").diff_ids == (of(TWO),)


def test_a_bare_tag_as_ref_name_is_no_name(machine: Machine) -> None:
    files = oci_files([ONE], None)
    index = json.loads(files["index.json"])
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    files["index.json"] = json.dumps(index).encode()
    identity = of(config([ONE], architecture="amd64"))
    assert load(machine, files) == [f"Loaded image ID: {identity}\n"]


def _broken() -> dict[str, tuple[bytes, str]]:
    good = docker_files([ONE], ["app:1"])
    manifest = json.loads(good["manifest.json"])
    oci = oci_files([ONE], "app:1")
    blob = next(name for name in oci if oci[name] == ONE)

    def with_manifest(**changes: Any) -> bytes:
        return archive(good | {"manifest.json": json.dumps([manifest[0] | changes]).encode()})

    def with_config(content: bytes) -> bytes:
        return archive(good | {manifest[0]["Config"]: content})

    whole = archive(good)
    return {
        "nothing": (b"", "open repositories: no such file or directory"),
        "zeros": (bytes(4096), "open repositories: no such file or directory"),
        "junk": (b"junk", "unexpected EOF"),
        "text": (b"junk" * 1000, "invalid tar header"),
        "half": (whole[: len(ONE) // 2], "unexpected EOF"),
        "half gzip": (gzip.compress(whole)[:200], "unexpected EOF"),
        "broken gzip": (gzip.compress(whole)[:50] + b"\xff" * 100, "corrupt compressed data"),
        "broken zstd": (zstandard.compress(whole)[:50] + b"\xff" * 9999, "corrupt compressed data"),
        "cut zstd": (zstandard.compress(whole)[:-200], "unexpected EOF"),
        "no manifest": (archive({"a": b"1"}), "open repositories: no such file or directory"),
        "manifest no JSON": (archive(good | {"manifest.json": b"{"}), "invalid archive: manifest.json"),
        "manifest of another type": (archive(good | {"manifest.json": b"{}"}), "manifest.json has the wrong type"),
        "manifest of numbers": (archive(good | {"manifest.json": b"[1]"}), "manifest.json has the wrong type"),
        "manifest deep": (archive(good | {"manifest.json": b"[" * 100_000}), "invalid archive: manifest.json"),
        "layers no list": (with_manifest(Layers={}), "Layers in manifest.json has the wrong type"),
        "config missing": (with_manifest(Config="x.json"), "open x.json: no such file or directory"),
        "config null": (with_manifest(Config=None), "open None: no such file or directory"),
        "config outside": (with_manifest(Config="../x.json"), "open ../x.json: no such file or directory"),
        "layer missing": (with_manifest(Layers=["y"]), "open y: no such file or directory"),
        "too few layers": (with_manifest(Layers=[]), "layers length mismatch: expected 0, got 1"),
        "bad tag": (with_manifest(RepoTags=["UPPER:1"]), "must be lowercase"),
        "tag without tag": (with_manifest(RepoTags=["app"]), 'invalid tag "app"'),
        "config no JSON": (with_config(b"{"), "invalid image configuration"),
        "config no object": (with_config(b"[]"), "invalid image configuration: not a JSON object"),
        "config empty": (with_config(b"{}"), "invalid image JSON, no RootFS key"),
        "diff IDs no digests": (
            with_config(b'{"rootfs":{"diff_ids":["sha256:../../x"]}}'), "diff_ids must be a list of sha256 digests"),
        "windows": (with_config(b'{"os":"windows","rootfs":{"diff_ids":[]}}'), "cannot load windows image on linux"),
        "config of a wrong type": (with_config(b'{"config":1,"rootfs":{}}'), "config has the wrong type"),
        "wrong diff ID": (
            with_config(config([TWO])),
            f'invalid diffID for layer 0: expected "{of(TWO)}", got "{of(ONE)}"',
        ),
        "layer no tar": (archive(docker_files([b"x" * 2000], ["a:1"])), "invalid tar header"),
        "absolute name": (archive({"/etc/evil": b"1"}), '"/etc/evil" is an absolute name'),
        "dots": (archive({"../evil": b"1"}), '"../evil" is outside of "/"'),
        "links in a circle": (
            archive({k: v for k, v in good.items() if not k.endswith("layer.tar")},
                    {manifest[0]["Layers"][0]: "../x", "x": manifest[0]["Layers"][0]}), "no such file or directory"),
        "blob with another name": (archive(oci | {blob: TWO}), f"blob verification failed: expected {of(ONE)}"),
        "index without manifests": (archive(oci | {"index.json": b"{}"}), "index.json lists no manifests"),
        "manifest missing": (
            archive({k: v for k, v in oci.items() if "index" in k}), "no such file or directory"),
        "layer attacks": (archive(docker_files([layer(("../x", b"1"))], ["a:1"])), '"../x" is outside of "/"'),
        "second layer broken": (
            archive(docker_files([ONE, layer(("../x", b"1"))], ["a:1"])), '"../x" is outside of "/"'),
    }  # fmt: skip


BROKEN = _broken()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives_leave_nothing(machine: Machine, name: str) -> None:
    content, message = BROKEN[name]
    with pytest.raises(BadArchive) as caught:
        load(machine, content)
    assert message in str(caught.value)
    assert caught.value.status == 500  # as dockerd, where it hasn't begun to answer
    assert machine.images.list() == []
    assert machine.stored() == EMPTY


def test_a_broken_second_image_leaves_the_first(machine: Machine) -> None:
    good, bad = docker_files([ONE], ["good:1"]), docker_files([TWO, layer(("../x", b"1"))], ["bad:1"])
    manifest = [*json.loads(good["manifest.json"]), *json.loads(bad["manifest.json"])]
    with pytest.raises(BadArchive):
        load(machine, good | bad | {"manifest.json": json.dumps(manifest).encode()})
    assert [image.tags for image in machine.images.list()] == [("good:1",)]
    assert len(machine.stored()["layers"]) == 1 and len(machine.stored()["content/blobs/sha256"]) == 2


def test_a_full_disk_leaves_nothing(small_disk: Path, make_machine: Callable[[str], Machine]) -> None:
    machine = make_machine(str(small_disk))
    big = layer(("big", os.urandom(600_000)), ("more", os.urandom(600_000)))
    with pytest.raises(ImageError) as caught:
        load(machine, docker_files([big], ["big:1"]))
    assert "no space left on device" in str(caught.value).lower() and caught.value.status == 500
    assert machine.stored() == EMPTY
    load(machine, docker_files([ONE], ["small:1"]))
    assert shown(machine, "small:1") == {"a": "1", "d": None}


def test_images_survive_a_restart(machine: Machine) -> None:
    load(machine, LAYOUTS["oci"])
    machine.images.tag("app:1", "other", "x")
    before = machine.images.list()
    machine.again()
    assert machine.images.list() == before
    assert shown(machine, "other:x") == WHOLE


def test_a_restart_removes_what_a_crash_left(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["app:1"]))
    before = machine.stored()
    ingest = machine.images.content.ingest()
    ingest.write(b"half")
    machine.images.content.put(b"a blob that no image has")
    pending = machine.snapshots.begin(of(TWO), None)
    (pending.path / "half").write_text("x")
    orphan = machine.snapshots.begin(of(b"orphan"), None)
    orphan.commit()
    machine.again()
    assert machine.stored() == before


def test_a_damaged_configuration_stops_nobody_else(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["good:1"]))
    load(machine, docker_files([TWO], ["bad:1"]))
    bad = machine.images.resolve("bad:1").id
    machine.images.content.path(bad).write_bytes(b"{}")
    machine.again()
    assert shown(machine, "good:1") == {"a": "1", "d": None}
    assert list(machine.images.damaged) == [bad]
    assert {"Deleted": bad} in machine.images.remove("bad:1", in_use=nobody)


def test_layers_in_use_stay_until_the_container_goes(machine: Machine) -> None:
    load(machine, LAYOUTS["docker"])
    image = machine.images.resolve("app:1")
    machine.snapshots.prepare("c", image.chain_ids)
    records = machine.images.remove(image.id, force=True, in_use=lambda _: [Use("c" * 64, False)])
    assert records == [{"Untagged": "app:1"}, {"Deleted": image.id}]
    with active(machine.snapshots, "c", image.chain_ids) as root:
        assert listing(root) == WHOLE
    machine.again()
    assert len(machine.stored()["layers"]) == 2
    machine.snapshots.discard("c")
    machine.images.collect()
    assert machine.stored() == EMPTY


def test_shared_layers_stay_for_the_other_image(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["one:1"]))
    load(machine, docker_files([ONE, TWO], ["two:1"]))
    two = machine.images.resolve("two:1")
    records = machine.images.remove("two:1", in_use=nobody)
    assert records == [{"Untagged": "two:1"}, {"Deleted": two.id}, {"Deleted": two.chain_ids[1]}]
    assert shown(machine, "one:1") == {"a": "1", "d": None}


def test_tag(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["app:1"]))
    image = machine.images.resolve("app:1")
    machine.images.tag("app:1", "localhost:5000/x/y", "v2")
    machine.images.tag(image.id[7:19], "docker.io/library/other")
    assert machine.images.resolve(image.id[7:]).tags == ("app:1", "localhost:5000/x/y:v2", "other:latest")
    for repo, tag in (("UPPER", ""), ("x", "bad tag"), ("x@sha256:" + "0" * 64, "")):
        with pytest.raises(InvalidReference):
            machine.images.tag("app:1", repo, tag)
    with pytest.raises(ImageNotFound, match="No such image: nope:latest"):
        machine.images.tag("nope", "x", "1")


def test_removal_by_name_and_id(machine: Machine) -> None:
    load(machine, docker_files([ONE], ["app:1", "app:2", "other:1"]))
    image = machine.images.resolve("app:1")
    with pytest.raises(
        ImageConflict, match=f"unable to delete {image.id[7:19]} .must be forced. - image is referenced"
    ):
        machine.images.remove(image.id[7:19], in_use=nobody)
    assert machine.images.remove("app:2", in_use=nobody) == [{"Untagged": "app:2"}]
    records = machine.images.remove(image.id, force=True, in_use=nobody)
    assert records[:2] == [{"Untagged": "app:1"}, {"Untagged": "other:1"}]
    with pytest.raises(ImageNotFound):
        machine.images.remove("app:1", in_use=nobody)


def test_ambiguous_prefixes(machine: Machine) -> None:
    for number in range(40):
        load(machine, docker_files([layer((f"f{number}", b"x"))], None))
    firsts = [image.id[7] for image in machine.images.list()]
    twice = next(one for one in firsts if firsts.count(one) > 1)
    with pytest.raises(AmbiguousId, match=f"No such image: {twice}:latest"):
        machine.images.resolve(twice)
    image = machine.images.list()[0]
    for ref in (image.id, image.id[7:], image.id[:40], image.id[7:30]):
        assert machine.images.resolve(ref) is image


def test_hello_world_comes_when_asked_for(machine: Machine) -> None:
    with pytest.raises(ImageNotFound):
        machine.images.resolve("hello-world")
    assert machine.images.list() == []
    image = machine.images.obtain("hello-world")
    assert machine.images.resolve("hello-world:latest") is image
    assert image.tags == ("hello-world:latest",)
    assert machine.images.builtin("hello-world") == image
    with active(machine.snapshots, "h", image.chain_ids) as root:
        status = os.spawnv(os.P_WAIT, root / "hello", ["hello"])
    assert status == 0
    assert machine.images.remove("hello-world", in_use=nobody)[0] == {"Untagged": "hello-world:latest"}
    for name in ("hello-world:1", "hello", "x/hello-world"):
        with pytest.raises(ImageNotFound):
            machine.images.obtain(name)


def test_import_of_compressed_archives(machine: Machine) -> None:
    plain = machine.images.import_(io.BytesIO(ONE), "app:plain", message="why")
    packed = machine.images.import_(io.BytesIO(gzipped(ONE)), "app:packed", platform="linux/arm64/v8")
    assert plain.diff_ids == packed.diff_ids == (of(ONE),)
    assert plain.config["comment"] == "why" and plain.architecture == "amd64"
    assert (packed.architecture, packed.variant) == ("arm64", "v8")
    assert packed.tags == ("app:packed",)
    assert shown(machine, "app:packed") == {"a": "1", "d": None}


@pytest.mark.parametrize(
    ("content", "ref", "message"),
    [
        (b"junk", "a", "unexpected EOF"),
        (ONE[:700], "a", "unexpected EOF"),
        (layer(("../x", b"1")), "a", "is outside of"),
        (ONE, "UPPER", "must be lowercase"),
        (ONE, "a@sha256:" + "0" * 64, "cannot import digest reference"),
    ],
)
def test_bad_imports_leave_nothing(machine: Machine, content: bytes, ref: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        machine.images.import_(io.BytesIO(content), ref)
    assert machine.stored() == EMPTY


def test_loads_and_removals_at_once(machine: Machine) -> None:
    """The same layers loaded, removed and mounted by several threads: never a broken image, nothing left at the end."""
    archives = [archive(docker_files([ONE, TWO][: 1 + n % 2], [f"app:{n}"])) for n in range(4)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(10):
                load(machine, archives[number])
                try:
                    chain = machine.images.resolve(f"app:{number}").chain_ids
                    with active(machine.snapshots, f"c{number}", chain) as root:
                        assert (root / "a").read_text() == "1"
                finally:
                    machine.snapshots.discard(f"c{number}")
                machine.images.remove(f"app:{number}", in_use=nobody)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    machine.images.collect()
    assert machine.stored() == EMPTY


def test_digest_mismatch_carries_both(machine: Machine) -> None:
    files = docker_files([ONE], ["app:1"])
    name = next(name for name in files if name.endswith("layer.tar"))
    with pytest.raises(DigestMismatch) as caught:
        load(machine, files | {name: TWO})
    assert (caught.value.expected, caught.value.actual) == (of(ONE), of(TWO))


def test_pinned_names_of_loaded_images(machine: Machine) -> None:
    load(machine, LAYOUTS["oci"])
    image = machine.images.resolve("app:1")
    assert image.manifest is not None
    assert machine.images.resolve(f"app@{image.manifest}") is image
    assert isinstance(machine.images, Images)
