"""NUL bytes are refused by the name of the field that has them."""

from typing import Any

import pytest

from sampan.api import schema
from sampan.engine import text
from sampan.engine.errors import BadParameter

SPOILT = [
    ({"Cmd": ["a", "b\0c"]}, "Cmd"),
    ({"Entrypoint": "\0"}, "Entrypoint"),
    ({"Env": ["A=\0"]}, "Env"),
    ({"Hostname": "a\0"}, "Hostname"),
    ({"WorkingDir": "/a\0"}, "WorkingDir"),
    ({"User": "a\0"}, "User"),
    ({"Image": "a\0"}, "Image"),
    ({"Volumes": {"/a\0": {}}}, "Volumes"),
    ({"HostConfig": {"Binds": ["/a:/b\0"]}}, "HostConfig.Binds"),
    ({"HostConfig": {"CgroupParent": "a\0"}}, "HostConfig.CgroupParent"),
    ({"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/a\0", "Target": "/b"}]}}, "HostConfig.Mounts.Source"),
    ({"HostConfig": {"Sysctls": {"net.x\0": "1"}}}, "HostConfig.Sysctls"),
    ({"HostConfig": {"Tmpfs": {"/a": "size=1\0"}}}, "HostConfig.Tmpfs./a"),
]


@pytest.mark.parametrize(("body", "field"), SPOILT)
def test_a_nul_byte_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadParameter) as caught:
        text.check(schema.convert(body, schema.ContainerCreate))
    assert str(caught.value) == f"invalid {field}: it has a NUL byte"


def test_so_it_is_for_an_exec() -> None:
    with pytest.raises(BadParameter, match="invalid Cmd: it has a NUL byte"):
        text.check(schema.convert({"Cmd": ["\0"]}, schema.ExecCreate))


def test_what_only_looks_like_one_is_not_and_labels_are_free() -> None:
    text.check(schema.convert({"Cmd": ["\\u0000", "\\0"], "Labels": {"a\0": "\0"}}, schema.ContainerCreate))
