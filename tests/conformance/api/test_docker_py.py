"""docker-py 7 against the engine: what its users do."""

import io
import tarfile
import threading
from typing import Any

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

from support.engine import LABEL
from support.images import BUSYBOX

MARK: dict[str, Any] = {"labels": {LABEL: "api"}, "network_mode": "none"}


def test_ping_and_version(client: docker.DockerClient) -> None:
    assert client.ping() is True
    version = client.version()
    assert version["Os"] == "linux"
    assert version["MinAPIVersion"] == "1.24"


def test_version_is_negotiated(host: str) -> None:
    negotiated = docker.DockerClient(host, version="auto")
    assert negotiated.api.api_version in ("1.45", "1.51")
    negotiated.close()


def test_info_counts(client: docker.DockerClient) -> None:
    info = client.info()
    assert info["OSType"] == "linux"
    assert info["Containers"] == info["ContainersRunning"] + info["ContainersPaused"] + info["ContainersStopped"]


def test_run_returns_the_output(client: docker.DockerClient) -> None:
    assert client.containers.run(BUSYBOX, ["echo", "hi"], remove=True, **MARK) == b"hi\n"


def test_run_with_a_failing_command(client: docker.DockerClient) -> None:
    with pytest.raises(ContainerError) as error:
        client.containers.run(BUSYBOX, ["sh", "-c", "echo bad >&2; exit 3"], remove=True, **MARK)
    assert error.value.exit_status == 3
    assert b"bad" in error.value.stderr


def test_run_of_a_missing_image(client: docker.DockerClient) -> None:
    with pytest.raises((ImageNotFound, NotFound, APIError)):
        client.containers.create("sampan-test/none:1", **MARK)


def until_it_says(container: Any, text: bytes) -> None:
    """Wait until the log is `text`."""
    log = b""
    for chunk in container.logs(stream=True, follow=True):
        log += chunk
        if log == text:
            return
    raise AssertionError(log)


def test_the_life_of_a_container(client: docker.DockerClient) -> None:
    container = client.containers.create(BUSYBOX, ["sh", "-c", "echo one; exec sleep 1000"], stop_signal="KILL", **MARK)
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    assert container in client.containers.list(filters={"label": f"{LABEL}=api"})
    container.rename(f"{container.name}-again")
    until_it_says(container, b"one\n")
    container.restart(timeout=1)
    until_it_says(container, b"one\none\n")
    container.stop(timeout=1)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.status == "exited"
    assert container.logs() == b"one\none\n"
    container.remove()
    with pytest.raises(NotFound):
        container.reload()


def test_logs_by_stream_and_followed(client: docker.DockerClient) -> None:
    script = "echo out; echo err >&2; read line; echo got $line"
    container = client.containers.create(BUSYBOX, ["sh", "-c", script], stdin_open=True, **MARK)
    container.start()
    lines = iter(container.logs(stream=True, follow=True, stdout=True, stderr=False))
    assert next(lines) == b"out\n"
    socket = container.attach_socket(params={"stdin": 1, "stream": 1})
    socket._sock.sendall(b"word\n")
    assert b"".join(lines) == b"got word\n"
    socket.close()
    assert container.logs(stdout=False) == b"err\n"
    assert container.logs(stderr=False, tail=1) == b"got word\n"
    assert container.logs(timestamps=True).count(b"Z ") == 3


def test_attach_streams_both(client: docker.DockerClient) -> None:
    container = client.containers.create(BUSYBOX, ["sh", "-c", "echo out; echo err >&2"], **MARK)
    stream = container.attach(stream=True, demux=True)
    container.start()
    outs, errs = zip(*stream, strict=True)
    assert b"".join(filter(None, outs)) == b"out\n"
    assert b"".join(filter(None, errs)) == b"err\n"


def test_attach_on_a_terminal(client: docker.DockerClient) -> None:
    container = client.containers.create(BUSYBOX, ["sh", "-c", "tty; stty size"], tty=True, **MARK)
    stream = container.attach(stream=True)
    container.start()
    assert b"/dev/pts/0\r\n" in b"".join(stream)


def test_exec_run(client: docker.DockerClient) -> None:
    container = client.containers.run(BUSYBOX, ["sleep", "1000"], detach=True, **MARK)
    assert container.exec_run(["echo", "hi"]) == (0, b"hi\n")
    assert container.exec_run("sh -c 'echo out; echo err >&2; exit 4'", demux=True) == (4, (b"out\n", b"err\n"))
    assert container.exec_run("sh -c 'echo $A; id -u'", environment={"A": "1"}, user="app") == (0, b"1\n1000\n")
    code, lines = container.exec_run("echo hi", stream=True)
    assert (code, b"".join(lines)) == (None, b"hi\n")
    code, _ = container.exec_run("echo hi", detach=True)
    assert code in (None, 0)


def test_exec_through_a_socket(client: docker.DockerClient) -> None:
    container = client.containers.run(BUSYBOX, ["sleep", "1000"], detach=True, **MARK)
    made = client.api.exec_create(container.id, ["cat"], stdin=True)
    sock = client.api.exec_start(made["Id"], socket=True)
    sock._sock.sendall(b"through\n")
    assert sock._sock.recv(64).endswith(b"through\n")
    sock._sock.shutdown(1)
    assert sock._sock.recv(64) == b""
    sock.close()
    details = client.api.exec_inspect(made["Id"])
    assert (details["ExitCode"], details["Running"], details["ContainerID"]) == (0, False, container.id)


def test_exec_in_a_stopped_container(client: docker.DockerClient) -> None:
    container = client.containers.create(BUSYBOX, ["true"], **MARK)
    with pytest.raises(APIError) as error:
        container.exec_run("true")
    assert error.value.status_code == 409


def test_wait_from_another_thread(client: docker.DockerClient) -> None:
    container = client.containers.run(BUSYBOX, ["sleep", "1000"], detach=True, **MARK)
    answers: list[Any] = []
    waiter = threading.Thread(target=lambda: answers.append(container.wait()))
    waiter.start()
    container.kill("TERM")
    container.kill()
    waiter.join(20)
    assert answers == [{"StatusCode": 137}] or answers == [{"StatusCode": 143}]


def test_top(client: docker.DockerClient) -> None:
    container = client.containers.run(BUSYBOX, ["sleep", "1000"], detach=True, **MARK)
    try:
        top = container.top()
    except APIError as error:
        pytest.skip(f"the engine finds no ps: {error.explanation}")
    assert "PID" in top["Titles"]
    assert any("sleep 1000" in row[-1] for row in top["Processes"])


def test_events(client: docker.DockerClient) -> None:
    stream = client.events(decode=True, filters={"label": f"{LABEL}=api", "type": "container"})
    container = client.containers.create(BUSYBOX, ["true"], **MARK)
    container.start()
    container.wait()
    container.remove()
    actions = []
    for event in stream:
        assert event["Actor"]["ID"] == container.id
        assert event["Actor"]["Attributes"]["image"] == BUSYBOX
        actions.append(event["Action"])
        if event["Action"] == "destroy":
            break
    stream.close()
    assert actions == ["create", "start", "die", "destroy"]


def test_past_events(client: docker.DockerClient) -> None:
    container = client.containers.create(BUSYBOX, ["true"], **MARK)
    container.start()
    container.wait()
    past = client.events(decode=True, since=0, until="4102444800", filters={"container": container.id, "event": "die"})
    event = next(iter(past))
    past.close()
    assert event["Actor"]["Attributes"]["exitCode"] == "0"


def test_images(client: docker.DockerClient) -> None:
    image = client.images.get(BUSYBOX)
    assert BUSYBOX in image.tags
    assert image.tag("sampan-test/api", "2") is True
    assert client.images.get("sampan-test/api:2").id == image.id
    assert image.history()[0]["Tags"]
    assert "sampan-test/api:2" in [tag for one in client.images.list("sampan-test/api") for tag in one.tags]
    client.images.remove("sampan-test/api:2")
    with pytest.raises(ImageNotFound):
        client.images.get("sampan-test/api:2")


def test_import_of_a_root_file_system(client: docker.DockerClient) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("etc/made")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"yes"))
    answer = client.api.import_image_from_data(out.getvalue(), repository="sampan-test/imported", tag="1")
    assert "sha256:" in answer
    image = client.images.get("sampan-test/imported:1")
    assert image.attrs["Os"] == "linux"
    client.images.remove("sampan-test/imported:1")


def test_a_large_environment_arrives(client: docker.DockerClient) -> None:
    value = "x" * 100_000
    script = "printf %s $BIG | wc -c"
    out = client.containers.run(BUSYBOX, ["sh", "-c", script], environment={"BIG": value}, remove=True, **MARK)
    assert out.strip() == b"100000"


def test_one_connection_serves_many_requests(client: docker.DockerClient) -> None:
    for _ in range(200):
        assert client.ping()


def test_save_export_diff_commit(client: docker.DockerClient) -> None:
    container = client.containers.run(BUSYBOX, ["sh", "-c", "echo new > /root/n"], detach=True, **MARK)
    container.wait()
    assert sorted(container.diff(), key=lambda one: str(one["Path"])) == [
        {"Path": "/root", "Kind": 0},
        {"Path": "/root/n", "Kind": 1},
    ]
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
        assert tar.extractfile("root/n").read() == b"new\n"  # type: ignore[union-attr]
    image = container.commit(
        "sampan-test/py", "1", message="why", author="me", changes=["LABEL a=b"], conf={"Cmd": ["c"]}
    )
    assert image.tags == ["sampan-test/py:1"] and image.labels["a"] == "b"
    assert image.attrs["Config"]["Cmd"] == ["c"] and image.attrs["Comment"] == "why"
    archive = b"".join(image.save(named=True))
    client.images.remove("sampan-test/py:1")
    (loaded,) = client.images.load(archive)
    assert (loaded.id, loaded.tags) == (image.id, ["sampan-test/py:1"])
    client.images.remove(loaded.id, force=True)
    with pytest.raises(NotFound):
        client.api.commit("nosuch")
    with pytest.raises(NotFound):
        list(client.api.export("nosuch"))
    with pytest.raises(NotFound):
        list(client.api.get_image("nosuch"))
