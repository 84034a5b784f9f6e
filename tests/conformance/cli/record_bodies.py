"""Record what the docker CLI sends for `create` and `network` with their flags: run this file, it writes the answers.

No daemon is asked: a few lines here answer in place of one, so that only the client is looked at. The results:
``tests/peer/cli/create_bodies.json`` is ``{"base": {…}, "cases": [{"argv": […], "query": "…", "changes": {…}}]}``: the
body of a plain ``create``, and for each line what differs from it (keys of HostConfig with that name before them).
``tests/peer/cli/network_requests.json`` is ``[{"argv": […], "requests": [[method, target, body], …]}, …]``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.recorder import API_VERSION, Recorder

RECORDED = Path(__file__).parents[2] / "peer" / "cli" / "create_bodies.json"
RECORDED_NETWORKS = RECORDED.with_name("network_requests.json")

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
--network a --network b busybox
--network default busybox
--network name=bridge busybox
--network name=a busybox
--network name= busybox
--network name=host,ip=1.2.3.4 busybox
--network bridge --ip 1.2.3.4 busybox
--network bridge --network host busybox
--network bridge --link x busybox
--network NAME=a,Alias=X,IP6=fd::1,gw-priority=-5,link-local-ip=169.254.1.1,link-local-ip=169.254.1.2 busybox
--network 'name=a,"driver-opt=x=y,z",driver-opt=u=v=w,driver-opt=t=' busybox
--network name=a,mac-address=92:d0:c6:0a:29:33 --network-alias x --network b busybox
--net a --net b --net-alias q busybox
--network none --mac-address 92-d0-c6-0a-29-33 busybox
--network container:a --mac-address 92d0.c60a.2933 -p 80:80 busybox
--ip 1.2.3.4 busybox
--link-local-ip 169.254.1.1 busybox
--network a --link /x:/y --link z busybox
--hostname a_b.c --domainname d --network host busybox
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
-p target=80 -p target=90,published=8090-8099,mode=ingress -p "target=70,published=8070" busybox
-p 80-82/udp -p 83/UDP -p 84/sctp -p 85/ -p 8086:86/tcp/udp busybox
-p :80 -p ::81 -p 0:82 -p 080:83 -p 8085:084 busybox
-p 127.0.0.1::80 -p 127.0.0.1:8081-8083:81-83/udp -p [::1]::84 -p [::]:85:85 -p 0.0.0.0:87:87 busybox
-p 8080:80 -p 8080:80 -p 8081:80 -p 127.0.0.1:8080:80 -p [::1]:8080:80 -p 8080:80/udp busybox
-p 8080-8090:80 -p 65535:65535 busybox
--expose 80-82/foo --expose 90/UDP --expose 91/ --expose 92/tcp/udp --expose 93 -p 8093:93 busybox
-P=false --expose 80 busybox
--restart always busybox
--restart on-failure:3 busybox
--restart= busybox
--health-cmd 'true' --health-interval 1m30s --health-retries 3 --health-timeout 1.5s --health-start-period 10s busybox
--no-healthcheck busybox
--annotation a=b --annotation c busybox
--platform linux/amd64 --pull never -q busybox
--dns 1.1.1.1 --dns-search a.b --dns-option ndots:1 busybox
--dns FE80::1 --dns ::ffff:1.2.3.4 --dns-search . --dns-search foo.bar. --dns-opt ndots:1 --dns-opt '' busybox
--add-host a:1.2.3.4 --add-host b=[::1] --add-host c:host-gateway busybox
--add-host a:::1 --add-host a=::2 --add-host b:[1.2.3.4] --add-host c=host-gateway --add-host 'd e:1.1.1.1' busybox
--storage-opt size=1G --isolation default --runtime runc busybox
-it --detach-keys ctrl-a,a busybox
--tty=false -i=false busybox
"""


NETWORKS = """
network create a
network create --ipv4=false --ipv6 a
network create --ipv4 --ipv6=false a
network create -d macvlan --subnet 10.0.0.0/16 --ip-range 10.0.1.0/24 --gateway 10.0.0.1 -o parent=eth0 -o b a
network create --subnet 10.0.0.0/16,fd00::/64 --gateway fd00::1 --aux-address x=10.0.0.9 --aux-address y=fd00::7 a
network create --ipam-driver foo --ipam-opt c=d --ipam-opt e --label e=f --label g --label e=h a
network create --config-only --ingress --scope swarm --internal --attachable a
network create --config-from b --subnet '' a
network create --subnet 10.0.0.5 a
network connect a b
network connect --ip 1.2.3.4 --ip6 fd::1 --alias x,y --alias z --link-local-ip 169.254.1.1,169.254.1.2 a b
network connect --link db:d --link e --driver-opt k=v --driver-opt ' q = r ' --gw-priority -3 a b
network connect --ip '' --alias '' a b
network connect 'a b' ' c '
network disconnect a b
network disconnect -f a/b c
network rm a b
network prune -f
network prune --force --filter until=1h --filter label=x --filter label!=y --filter label=z
network ls -f name=x --filter name=y -f driver=bridge
network inspect -v a
network inspect --verbose=false a/b
"""


def split(line: str) -> list[str]:
    """The words of a line, quotes as in a shell. `--detach-keys` belongs to run only and is left out."""
    words = shlex.split(line)
    if "--detach-keys" in words:
        at = words.index("--detach-keys")
        del words[at : at + 2]
    return words


def record(docker: str, commands: Iterable[list[str]]) -> Iterator[list[tuple[str, str, bytes]]]:
    """What `docker` sends for each command, its pings left out."""
    with tempfile.TemporaryDirectory() as directory:
        recorder = Recorder(f"{directory}/docker.sock")
        environ = {"HOME": directory, "PATH": os.defpath, "SAMPAN_TEST_SET": "yes"}
        environ |= {"DOCKER_HOST": f"unix://{directory}/docker.sock", "DOCKER_API_VERSION": API_VERSION}
        for argv in commands:
            recorder.requests.clear()
            subprocess.run([docker, *argv], env=environ, cwd="/usr", check=True, capture_output=True)
            yield [request for request in recorder.requests if "_ping" not in request[1]]


def record_creates(docker: str) -> list[dict[str, Any]]:
    """The bodies of ARGUMENTS."""
    results: list[dict[str, Any]] = []
    lines = [split(line) for line in ARGUMENTS.strip().splitlines()]
    for argv, requests in zip(lines, record(docker, (["create", *argv] for argv in lines)), strict=True):
        _, target, body = next(request for request in requests if "/create" in request[1])
        results.append({"argv": argv, "query": target.partition("?")[2], "body": json.loads(body)})
    return results


def record_networks(docker: str) -> list[dict[str, Any]]:
    """The requests of NETWORKS."""
    lines = [split(line) for line in NETWORKS.strip().splitlines()]
    return [
        {"argv": argv, "requests": [[method, target, json.loads(body or "null")] for method, target, body in requests]}
        for argv, requests in zip(lines, record(docker, lines), strict=True)
    ]


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
    docker = sys.argv[1] if len(sys.argv) > 1 else shutil.which("docker") or "docker"
    results = record_creates(docker)
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    base = results[0]["body"]
    cases = [{"argv": r["argv"], "query": r["query"], "changes": changes(base, r["body"])} for r in results]
    lines = ",\n".join(json.dumps(case, sort_keys=True) for case in cases)
    RECORDED.write_text(f'{{"base": {json.dumps(base, sort_keys=True)},\n"cases": [\n{lines}\n]}}\n')
    lines = ",\n".join(json.dumps(case, sort_keys=True) for case in record_networks(docker))
    RECORDED_NETWORKS.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
