"""What a container may use: memory, processors, processes."""

import re
from pathlib import Path

from support.engine import Engine
from support.images import BUSYBOX


def test_memory_ends_who_takes_more(engine: Engine) -> None:
    container = engine.start("--memory", "64m", BUSYBOX, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
    assert engine.ok("wait", container) == "137"
    if not engine.is_peer:  # dockerd 26 on cgroup v1 hears of it too late now and then
        assert engine.look(container, "{{.State.OOMKilled}}") == "true"


def test_a_child_that_takes_too_much_does_not_end_the_container(engine: Engine) -> None:
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo child $?"
    answer = engine.run("--rm", "--memory", "64m", BUSYBOX, "sh", "-c", script)
    assert (answer.code, answer.out) == (0, "child 137\n")


def test_half_a_processor(engine: Engine) -> None:
    script = "time timeout 2 sh -c 'while :; do :; done'"
    report = engine.run("--rm", "--cpus", "0.5", BUSYBOX, "sh", "-c", script).err
    seconds = {key: 60 * int(m) + float(s) for key, m, s in re.findall(r"(real|user|sys)\s+(\d+)m ?([\d.]+)s", report)}
    assert seconds["user"] + seconds["sys"] < 0.65 * seconds["real"]


def test_a_fork_bomb_stops(engine: Engine) -> None:
    script = "for i in $(seq 40); do sleep 20 & done; echo never"
    answer = engine.run("--rm", "--pids-limit", "10", BUSYBOX, "sh", "-c", script)
    assert answer.code != 0 and "can't fork" in answer.err and "never" not in answer.out


def test_the_limits_stand_in_inspect(engine: Engine) -> None:
    flags = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "77", "--memory-swap", "128m"]
    container = engine.create(*flags, BUSYBOX)
    host = "{{with .HostConfig}}{{.Memory}} {{.NanoCpus}} {{.PidsLimit}} {{.MemorySwap}}{{end}}"
    assert engine.look(container, host) == f"{64 << 20} 500000000 77 {128 << 20}"


def test_the_oom_score_is_the_containers_alone(engine: Engine) -> None:
    before = Path("/proc/1/oom_score_adj").read_text()
    for flags in ([], ["--pid", "host"], ["-v", "/proc:/proc"]):
        answer = engine.run("--rm", *flags, "--oom-score-adj", "7", BUSYBOX, "cat", "/proc/self/oom_score_adj")
        assert answer.line == "7", (flags, answer)
        assert Path("/proc/1/oom_score_adj").read_text() == before


def test_cpu_shares_and_sets_are_taken(engine: Engine) -> None:
    answer = engine.run("--rm", "--cpu-shares", "512", "--cpuset-cpus", "0", BUSYBOX, "nproc")
    assert answer.line == "1"
