"""Image configurations with wrong types are refused when they are loaded."""

import json
from typing import Any

import pytest

from sampan.image.errors import BadArchive
from sampan.image.model import check_config

ROOTFS = {"type": "layers", "diff_ids": []}

WRONG = [
    ({"config": 5}, "config"),
    ({"config": []}, "config"),
    ({"architecture": 5}, "architecture"),
    ({"created": {}}, "created"),
    ({"history": {}}, "history"),
    ({"history": [5]}, "history"),
    ({"history": [{"created_by": 5}]}, "history.created_by"),
    ({"history": [{"empty_layer": "yes"}]}, "history.empty_layer"),
    ({"config": {"Env": 5}}, "config.Env"),
    ({"config": {"env": 5}}, "config.env"),
    ({"config": {"Env": [5]}}, "config.Env"),
    ({"config": {"Env": "A=b"}}, "config.Env"),
    ({"config": {"Cmd": {}}}, "config.Cmd"),
    ({"config": {"Entrypoint": [["a"]]}}, "config.Entrypoint"),
    ({"config": {"User": 0}}, "config.User"),
    ({"config": {"WorkingDir": ["/"]}}, "config.WorkingDir"),
    ({"config": {"Labels": ["a"]}}, "config.Labels"),
    ({"config": {"Labels": {"a": 5}}}, "config.Labels"),
    ({"config": {"Volumes": {"/v": 5}}}, "config.Volumes"),
    ({"config": {"ExposedPorts": "80"}}, "config.ExposedPorts"),
    ({"config": {"StopTimeout": "1"}}, "config.StopTimeout"),
    ({"config": {"StopTimeout": True}}, "config.StopTimeout"),
    ({"config": {"Tty": 1}}, "config.Tty"),
    ({"config": {"Healthcheck": []}}, "config.Healthcheck"),
    ({"config": {"Healthcheck": {"Test": 5}}}, "config.Healthcheck.Test"),
    ({"config": {"Healthcheck": {"Interval": "1s"}}}, "config.Healthcheck.Interval"),
]

RIGHT = [
    {},
    {"config": None, "history": None, "created": None},
    {"config": {"Env": None, "Cmd": None, "Labels": None, "Healthcheck": None, "Volumes": {"/v": None}}},
    {"config": {"Cmd": "ls", "Entrypoint": ["/bin/sh", "-c"], "StopTimeout": 3, "Tty": False}},
    {"config": {"Healthcheck": {"Test": ["NONE"], "Interval": 10**9}, "ExposedPorts": {"80/tcp": {}}}},
    {"config": {"Unknown": 5, "Labels": {"a": "b"}}, "history": [{"created_by": "x", "empty_layer": True}, {}]},
]


@pytest.mark.parametrize(("config", "where"), WRONG)
def test_a_wrong_type_is_refused(config: dict[str, Any], where: str) -> None:
    with pytest.raises(BadArchive) as caught:
        check_config(json.dumps({"os": "linux", "rootfs": ROOTFS, **config}).encode())
    assert str(caught.value) == f"invalid image configuration: {where} has the wrong type"


@pytest.mark.parametrize("config", RIGHT)
def test_what_may_be_is_taken(config: dict[str, Any]) -> None:
    assert check_config(json.dumps({"os": "linux", "rootfs": ROOTFS, **config}).encode())[1] == ()
