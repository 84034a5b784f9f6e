"""Bodies are read as dockerd reads them."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import schema
from sampan.api.schema import ContainerCreate, ExecCreate

READ = [
    # nothing, and null, are the default
    ({}, ContainerCreate()),
    (None, ContainerCreate()),
    ({"Image": None, "Env": None, "HostConfig": None, "Labels": None}, ContainerCreate()),
    ({"HostConfig": {"Binds": None, "Memory": None, "LogConfig": None}}, ContainerCreate()),
    # unknown fields are ignored
    ({"Nonsense": 1, "HostConfig": {"Nonsense": [{}]}}, ContainerCreate()),
    # names match regardless of case
    ({"image": "x", "HOSTCONFIG": {"memory": 5}}, ContainerCreate(image="x", host_config=schema.HostConfig(memory=5))),
    # one string is a list of one
    ({"Cmd": "a b", "Entrypoint": "c"}, ContainerCreate(cmd=["a b"], entrypoint=["c"])),
    ({"Cmd": ["a"], "Entrypoint": []}, ContainerCreate(cmd=["a"], entrypoint=[])),
    # null as an element is the element's zero value
    ({"Volumes": {"/a": None}}, ContainerCreate(volumes={"/a": {}})),
    ({"ExposedPorts": {"80/tcp": None}}, ContainerCreate(exposed_ports={"80/tcp": {}})),
    ({"Env": ["a", None]}, ContainerCreate(env=["a", ""])),
    ({"Labels": {"a": None}}, ContainerCreate(labels={"a": ""})),
    (
        {"HostConfig": {"PortBindings": {"80/tcp": None, "81/tcp": [{"HostPort": "1"}, None]}}},
        ContainerCreate(
            host_config=schema.HostConfig(
                port_bindings={"80/tcp": None, "81/tcp": [schema.PortBinding(host_port="1"), schema.PortBinding()]}
            )
        ),
    ),
    ({"HostConfig": {"MemorySwappiness": 0}}, ContainerCreate(host_config=schema.HostConfig(memory_swappiness=0))),
    ({"StopTimeout": 0}, ContainerCreate(stop_timeout=0)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), READ)
def test_read(body: Any, expected: ContainerCreate) -> None:
    assert schema.decode(json.dumps(body).encode(), ContainerCreate) == expected


HOST = "Go struct field ContainerCreate.HostConfig"
REFUSED = [
    (b"", "invalid JSON: got EOF while reading request body"),
    (b" \n", "invalid JSON: got EOF while reading request body"),
    (b'{"a":', "invalid JSON: unexpected EOF"),
    (b"xx", "invalid JSON: invalid character 'x' looking for beginning of value"),
    (b"{} {}", "unexpected content after JSON"),
    (b"[" * 100_000 + b"]" * 100_000, "invalid JSON: exceeded max depth"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "invalid JSON: exceeded max depth"),
    (b'{"Volumes":{"/v":{"a":' + b"[" * 300 + b"]" * 300 + b"}}}", "invalid JSON: exceeded max depth"),
    (b"[]", "invalid JSON: json: cannot unmarshal array into Go value of type ContainerCreate"),
    (
        b'{"Image":1}',
        "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreate.Image of type string",
    ),
    (
        b'{"Env":["a",1]}',
        "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreate.Env of type string",
    ),
    (
        b'{"Labels":{"a":"b","c":1}}',
        "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreate.Labels of type string",
    ),
    (
        b'{"Cmd":1}',
        "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreate.Cmd of type []string",
    ),
    (b'{"HostConfig":{"Memory":"a"}}', f"invalid JSON: json: cannot unmarshal string into {HOST}.Memory of type int64"),
    (
        b'{"HostConfig":{"Memory":1.5}}',
        f"invalid JSON: json: cannot unmarshal number 1.5 into {HOST}.Memory of type int64",
    ),
    (
        b'{"HostConfig":{"Memory":99999999999999999999}}',
        f"invalid JSON: json: cannot unmarshal number 99999999999999999999 into {HOST}.Memory of type int64",
    ),
    (
        b'{"HostConfig":{"Privileged":"yes"}}',
        f"invalid JSON: json: cannot unmarshal string into {HOST}.Privileged of type bool",
    ),
    (
        b'{"HostConfig":{"Devices":[{"PathOnHost":1}]}}',
        f"invalid JSON: json: cannot unmarshal number into {HOST}.Devices.PathOnHost of type string",
    ),
    (
        b'{"HostConfig":{"PidsLimit":"x"}}',
        f"invalid JSON: json: cannot unmarshal string into {HOST}.PidsLimit of type int64",
    ),
    (
        b'{"HostConfig":3}',
        "invalid JSON: json: cannot unmarshal number into Go struct field ContainerCreate.HostConfig of type object",
    ),
]


@pytest.mark.parametrize(("body", "text"), REFUSED)
def test_refused(body: bytes, text: str) -> None:
    with pytest.raises(schema.BodyError) as error:
        schema.decode(body, ContainerCreate)
    assert str(error.value) == text
    assert error.value.status == 400


def test_many_values_beside_one_another_are_not_deep() -> None:
    body = b'{"Volumes":{"/v":{"a":[' + b",".join([b"[]"] * 1000) + b"]}}}"
    assert schema.decode(body, ContainerCreate).volumes == {"/v": {"a": [[]] * 1000}}


def test_invalid_utf8_is_replaced_as_go_does() -> None:
    assert schema.decode(b'{"Image":"a\xffb"}', ContainerCreate).image == "a\ufffdb"


def test_defaults_are_not_shared() -> None:
    one, two = ContainerCreate(), ContainerCreate()
    one.host_config.log_config.config = {"a": "b"}
    one.host_config.console_size.append(3)
    one.exposed_ports["80/tcp"] = {}
    assert two == ContainerCreate()
    assert two.host_config.log_config.config == {}
    assert two.host_config.console_size == [0, 0]
    assert two.exposed_ports == {}


def test_the_portable_half_is_what_was_sent() -> None:
    body = ContainerCreate(image="x", cmd=["a"], labels={"a": "b"})
    assert body.config() == schema.ContainerConfig(image="x", cmd=["a"], labels={"a": "b"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Image", "Cmd", "HostConfig", "Memory", "Env", "Labels", "env"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([ContainerCreate, ExecCreate, schema.HostConfig]))
def test_any_json_is_read_or_refused(value: Any, kind: type[schema.Struct]) -> None:
    try:
        read = schema.decode(json.dumps(value).encode(), kind)
    except schema.BodyError:
        return
    assert schema.decode(schema.encode(read), kind) == read


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(schema.BodyError):
        schema.decode(body, ContainerCreate)


def test_every_field_has_a_name_of_the_api() -> None:
    """Names follow one rule; what it can't know has to be written down, and would show an underscore otherwise."""
    for name in schema.__all__:
        kind = getattr(schema, name)
        if isinstance(kind, type) and issubclass(kind, schema.Struct):
            for field in msgspec.structs.fields(kind):
                assert "_" not in field.encode_name or name == "SearchResult"  # Docker Hub's own words
