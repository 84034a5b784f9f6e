"""Answers of a Docker daemon, read into our types and written again, are the same field by field."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.api import schema
from sampan.api.server import versions

RECORDED = Path(__file__).parents[3] / "peer" / "api"
V = (1, 45)

CASES: list[tuple[str, Any, Any]] = [
    ("create", schema.ContainerCreated, None),
    ("inspect-created", schema.ContainerInspect, versions.container_json),
    ("inspect-size", schema.ContainerInspect, versions.container_json),
    ("inspect-running", schema.ContainerInspect, versions.container_json),
    ("inspect-exited", schema.ContainerInspect, versions.container_json),
    ("inspect-full", schema.ContainerInspect, versions.container_json),
    ("list-none-running", list[schema.ContainerSummary], versions.summary_json),
    ("list-running", list[schema.ContainerSummary], versions.summary_json),
    ("list-exited", list[schema.ContainerSummary], versions.summary_json),
    ("exec-new", schema.ExecInspect, None),
    ("exec-ended", schema.ExecInspect, None),
    ("wait", schema.ContainerWait, None),
    ("image-list", list[schema.ImageSummary], versions.image_summary_json),
    ("image-inspect", schema.ImageInspect, versions.image_json),
    ("image-history", list[schema.ImageHistory], None),
    ("image-untag", list[schema.ImageDelete], None),
    ("version", schema.Version, None),
    ("info", schema.Info, versions.info_json),
]
NETWORKS: list[tuple[str, Any, Any]] = [
    ("builtin", list[schema.NetworkResource], versions.networks_json),
    ("bridge", schema.NetworkResource, versions.network_json),
    ("inspect-config", schema.NetworkResource, versions.network_json),
    ("inspect-empty", schema.NetworkResource, versions.network_json),
    ("inspect", schema.NetworkResource, versions.network_json),
    ("create", schema.NetworkCreated, None),
    ("prune", schema.NetworksPruned, None),
    ("list", list[schema.ContainerSummary], versions.summary_json),
]
SAMPLES = {"str": "x", "int": 1, "bool": True, "<number>": 7}
PORTS = {"<port>": 40000, "<one of 28182-28190>": 28182}


def sample(value: Any) -> Any:
    """A recorded answer with values in place of marks and types."""
    if isinstance(value, dict):
        return {name: sample(item) for name, item in value.items()}
    if isinstance(value, list):
        return [sample(item) for item in value]
    return (SAMPLES | PORTS).get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize(("name", "kind", "reshape"), CASES)
def test_round_trip(name: str, kind: Any, reshape: Any) -> None:
    _check(json.loads((RECORDED / f"{name}.json").read_text()), kind, reshape)


@pytest.mark.parametrize(("name", "kind", "reshape"), NETWORKS)
def test_networks_round_trip(name: str, kind: Any, reshape: Any) -> None:
    _check(json.loads((RECORDED.parent / "networks.json").read_text())[name], kind, reshape)


def _check(recorded: Any, kind: Any, reshape: Any) -> None:
    value = sample(recorded.get("body", recorded) if isinstance(recorded, dict) else recorded)
    read = [schema.convert(item, kind.__args__[0]) for item in value] if isinstance(value, list) else None
    ours: Any = schema.convert(value, kind) if read is None else read
    ours = reshape(ours, V) if reshape else ours
    assert _without_reason(msgspec.json.decode(schema.encode(ours))) == value


def _without_reason(answer: Any) -> Any:
    """An answer without what Sampan adds: the sentence that says why a container's last run ended."""
    if isinstance(answer, dict) and isinstance(answer.get("State"), dict):
        assert answer["State"].pop("Reason") == ""
    return answer
