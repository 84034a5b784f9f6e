"""Record the JSON that the docker CLI sends for `create` and its flags: ``python -m`` this file writes the answers.

No daemon is asked: a few lines here answer ping and create, so that only the client is looked at. The result,
``tests/peer/cli/create_bodies.json``, is ``{"base": {…}, "cases": [{"argv": […], "query": "…", "changes": {…}}]}``: the
body of a plain ``create``, and for each line what differs from it (keys of HostConfig with that name before them).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

API_VERSION = "1.45"
RECORDED = Path(__file__).parents[2] / "peer" / "cli" / "create_bodies.json"
IMAGE = "busybox"

ARGUMENTS = """
busybox
busybox sh -c 'echo hi'
-it busybox
-i -a stdin busybox
-a stdout -a STDERR busybox
-t --rm --name web busybox
-e A=1 -e B= -e SAMPAN_TEST_SET -e SAMPAN_TEST_UNSET -w /srv -u 1000:1000 busybox env
--entrypoint /bin/ls busybox /
--entrypoint= busybox /
--hostname h --domainname d busybox
-l a=b --label c --label=a=d busybox
--privileged --cap-add NET_ADMIN --cap-add SYS_TIME --cap-drop all busybox
-m 64m --memory-swap -1 --memory-reservation 32MiB --memory-swappiness 10 --kernel-memory 1g busybox
--cpus 0.5 -c 512 --cpuset-cpus 0-1 --cpuset-mems 0 --cpu-period 100000 --cpu-quota 50000 busybox
--cpu-rt-period 1 --cpu-rt-runtime 2 --pids-limit 100 --oom-kill-disable --oom-score-adj 500 busybox
--ulimit nofile=1024:2048 --ulimit core=0 --ulimit nproc=-1 busybox
--read-only --tmpfs /run --tmpfs /tmp:size=64m,mode=1777 --shm-size 128m busybox
--stop-signal SIGINT --stop-timeout 3 busybox
--stop-timeout 0 busybox
--network none busybox
--net=host busybox
--network bridge busybox
--network mine --network-alias a --network-alias b --ip 10.1.2.3 --ip6 fd00::1 --link-local-ip 169.254.1.1 busybox
--network name=mine,alias=a,ip=10.0.0.2,driver-opt=x=y,gw-priority=3 --network other busybox
--mac-address 92:d0:c6:0a:29:33 busybox
--network mine --mac-address 92:d0:c6:0a:29:33 --link db:database busybox
--link db busybox
--network container:abc busybox
-v /srv:/data:ro -v cache:/cache -v /anon -v ./rel:/rel busybox
-v a:/b -v /ab:/c:d:e -v /x:y:/z busybox
-v /a:/b --volumes-from other:ro --volume-driver local busybox
--mount type=bind,src=/srv,dst=/data,ro busybox
--mount type=volume,src=v,dst=/data,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=o=x busybox
--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770 busybox
--mount type=bind,src=/srv,dst=/data,bind-propagation=rshared,bind-recursive=disabled busybox
--log-driver json-file --log-opt max-size=1m --log-opt max-file=2 busybox
--log-driver none busybox
--security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt label=disable busybox
--security-opt systempaths=unconfined busybox
--group-add wheel --group-add 44 busybox
--pid host --ipc host --uts host --userns host --cgroupns private busybox
--pid container:x --ipc shareable busybox
--init busybox
--init=false busybox
--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=65536 busybox
--device /dev/null --device /dev/zero:/dev/nil --device /dev/full:r --device /dev/tty:/dev/x:rw busybox
--device-cgroup-rule 'c 1:* rwm' --cgroup-parent /mine busybox
--device-read-bps /dev/sda:1m --device-write-bps /dev/sda:2k busybox
--blkio-weight 100 --blkio-weight-device /dev/sda:20 busybox
--device-read-iops /dev/sda:10 --device-write-iops /dev/sda:20 busybox
-p 8080:80 -p 127.0.0.1:53:53/udp -p 443 busybox
-p 8000-8002:80-82 -p 9000-9010:90 -p [::1]:1:1 busybox
-p published=81,target=8081,protocol=udp -P --expose 99 --expose 7-9/udp busybox
--restart always busybox
--restart on-failure:3 busybox
--restart= busybox
--health-cmd 'true' --health-interval 1m30s --health-retries 3 --health-timeout 1.5s --health-start-period 10s busybox
--no-healthcheck busybox
--annotation a=b --annotation c busybox
--platform linux/amd64 --pull never -q busybox
--dns 1.1.1.1 --dns-search a.b --dns-option ndots:1 busybox
--add-host a:1.2.3.4 --add-host b=[::1] --add-host c:host-gateway busybox
--storage-opt size=1G --isolation default --runtime runc busybox
-it --detach-keys ctrl-a,a busybox
--tty=false -i=false busybox
"""


def split(line: str) -> list[str]:
    """The words of a line, quotes as in a shell. `--detach-keys` belongs to run only and is left out."""
    import shlex

    words = shlex.split(line)
    if "--detach-keys" in words:
        at = words.index("--detach-keys")
        del words[at : at + 2]
    return words


class Recorder:
    """Answers the docker CLI's ping and create on a unix socket, and keeps what it was sent."""

    def __init__(self, path: str) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while line := stream.readline().decode():
            length = 0
            while header := stream.readline().strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.requests.append((line.split()[1], stream.read(length)))
            body = _answer_to(line)
            status = "201 Created" if "/create" in line else "200 OK"
            stream.write(
                f"HTTP/1.1 {status}\r\nApi-Version: {API_VERSION}\r\nOstype: linux\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            stream.flush()


def _answer_to(line: str) -> bytes:
    """A body for a request line: enough for a client to go on."""
    method, target, _ = line.split()
    path = target.partition("?")[0]
    if path.endswith("/create"):
        return b'{"Id":"0123456789ab","Warnings":[]}'
    if path.endswith("/prune"):
        return b'{"NetworksDeleted":["one","two"]}'
    if path.endswith("/networks"):
        return b"[]"
    return b"{}" if method == "GET" else b""


def record(docker: str) -> list[dict[str, Any]]:
    """What `docker` sends for each line of ARGUMENTS."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        recorder = Recorder(f"{directory}/docker.sock")
        environ = {"HOME": directory, "PATH": os.defpath, "SAMPAN_TEST_SET": "yes"}
        environ |= {"DOCKER_HOST": f"unix://{directory}/docker.sock", "DOCKER_API_VERSION": API_VERSION}
        for line in ARGUMENTS.strip().splitlines():
            argv = split(line)
            recorder.requests.clear()
            subprocess.run([docker, "create", *argv], env=environ, cwd="/usr", check=True, capture_output=True)
            target, body = next(r for r in recorder.requests if "/create" in r[0])
            results.append({"argv": argv, "query": target.partition("?")[2], "body": json.loads(body)})
    return results


def changes(base: dict[str, Any], body: dict[str, Any]) -> dict[str, object]:
    """What differs between two bodies, keys of HostConfig by themselves."""
    result = {key: value for key, value in body.items() if key != "HostConfig" and base.get(key, ...) != value}
    host, base_host = body["HostConfig"], base["HostConfig"]
    result |= {f"HostConfig.{k}": v for k, v in host.items() if base_host.get(k, ...) != v}
    gone = [key for key in (*base, *base_host) if key not in body and key not in host]
    assert not gone, gone
    return result


def main() -> None:
    """Write the answers of the docker CLI named by the first argument (default: the one on PATH)."""
    results = record(sys.argv[1] if len(sys.argv) > 1 else "docker")
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    base = results[0]["body"]
    cases = [{"argv": r["argv"], "query": r["query"], "changes": changes(base, r["body"])} for r in results]
    lines = ",\n".join(json.dumps(case, sort_keys=True) for case in cases)
    RECORDED.write_text(f'{{"base": {json.dumps(base, sort_keys=True)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
