"""Clean-up and disk usage by docker-py, unchanged."""

import docker
import pytest

from support.images import BUSYBOX


def test_prune_of_containers(client: docker.DockerClient) -> None:
    made = client.containers.create(BUSYBOX, "true", network_mode="none", labels={"pruned": "py"})
    assert client.containers.prune(filters={"label": ["pruned=other"]}) == {
        "ContainersDeleted": None,
        "SpaceReclaimed": 0,
    }
    assert client.containers.prune(filters={"label": ["pruned=py"]}) == {
        "ContainersDeleted": [made.id],
        "SpaceReclaimed": 0,
    }
    with pytest.raises(docker.errors.APIError, match="invalid filter 'foo'"):
        client.containers.prune(filters={"foo": ["x"]})


def test_prune_of_images(client: docker.DockerClient) -> None:
    image = client.images.get(BUSYBOX)
    assert client.images.prune(filters={"dangling": False, "label": ["pruned=other"]}) == {
        "ImagesDeleted": None,
        "SpaceReclaimed": 0,
    }
    assert client.images.get(BUSYBOX).id == image.id
    assert client.images.prune_builds() == {"CachesDeleted": None, "SpaceReclaimed": 0}
    assert client.volumes.prune() == {"VolumesDeleted": [], "SpaceReclaimed": 0}


def test_disk_usage(client: docker.DockerClient) -> None:
    made = client.containers.create(BUSYBOX, "true", network_mode="none")
    try:
        usage = client.df()
        assert {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"} == usage.keys()
        (container,) = (one for one in usage["Containers"] if one["Id"] == made.id)
        (image,) = (one for one in usage["Images"] if BUSYBOX in (one["RepoTags"] or ()))
        assert image["Containers"] >= 1 and image["Size"] == container["SizeRootFs"]
    finally:
        made.remove()
