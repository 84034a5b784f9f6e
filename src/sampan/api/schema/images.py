"""Images: list, inspect, history, removal."""

from typing import Any

from sampan.api.schema.base import ZERO_TIME, Int64, StrSlice, Struct, omitted, shown
from sampan.api.schema.containers import GraphDriver, HealthConfig


class ImageSummary(Struct):
    """One element of GET /images/json; `created` in seconds since 1970, sizes in bytes, -1 where not counted."""

    containers: Int64 = shown(-1)
    created: Int64 = shown(0)
    id: str = shown("")
    labels: dict[str, str] | None = shown(None)
    parent_id: str = shown("")
    repo_digests: list[str] = shown([])
    repo_tags: list[str] = shown([])
    shared_size: Int64 = shown(-1)
    size: Int64 = shown(0)


class ImageConfig(Struct):
    """The defaults that an image gives to its containers, as from API 1.50 on (older versions get more keys)."""

    user: str = shown("")
    exposed_ports: dict[str, dict[str, Any]] = omitted({})
    env: list[str] | None = shown(None)
    cmd: StrSlice | None = shown(None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    volumes: dict[str, dict[str, Any]] | None = shown(None)
    working_dir: str = shown("")
    entrypoint: StrSlice | None = shown(None)
    on_build: list[str] | None = shown(None)
    labels: dict[str, str] | None = shown(None)
    stop_signal: str = ""
    shell: StrSlice = omitted([])


class RootFS(Struct):
    """The layers of an image, by diff ID, bottom first."""

    type: str = shown("layers")
    layers: list[str] = omitted([])


class ImageMetadata(Struct):
    """What is known about an image beside its own content."""

    last_tag_time: str = shown(ZERO_TIME)


class ImageInspect(Struct):
    """GET /images/{name}/json."""

    id: str = shown("")
    repo_tags: list[str] = shown([])
    repo_digests: list[str] = shown([])
    parent: str = shown("")
    comment: str = shown("")
    created: str = omitted("", "Created")
    """RFC 3339; empty where the image does not say."""
    docker_version: str = shown("")
    author: str = shown("")
    config: ImageConfig | None = shown(None)
    architecture: str = shown("")
    variant: str = ""
    os: str = shown("linux")
    os_version: str = ""
    size: Int64 = shown(0)
    graph_driver: GraphDriver = shown(GraphDriver())
    root_fs: RootFS = shown(RootFS(), "RootFS")
    metadata: ImageMetadata = shown(ImageMetadata())


class ImageHistory(Struct):
    """One step of GET /images/{name}/history, newest first; `id` is "<missing>" for steps that are no image here."""

    comment: str = shown("")
    created: Int64 = shown(0)
    created_by: str = shown("")
    id: str = shown("<missing>")
    size: Int64 = shown(0)
    tags: list[str] | None = shown(None)


class ImageDelete(Struct):
    """One thing that a removal did: exactly one of the two is set."""

    untagged: str = ""
    deleted: str = ""


class ImageDifference(Struct):
    """One line of GET /sampan/v1/images/{name}/diff: what the image `to` has otherwise."""

    kind: str = shown("")
    """"A" for added, "C" for changed, "D" for deleted."""
    path: str = shown("")
    size: Int64 = shown(0)
    """Bytes that it has more."""


class ImageLayer(Struct):
    """A layer on the layers that it was made for: images that share its chain ID share all of them."""

    chain_id: str = shown("")
    size: Int64 = shown(0)


class ImageLayers(Struct):
    """One image of GET /sampan/v1/images/layers."""

    id: str = shown("")
    layers: list[ImageLayer] = shown([])
    """Bottom first."""
