"""Kill sampand, its zygote and monitors at random moments of create, start, exec, stop, restart and remove.

After every crash: nothing that was acknowledged is lost, a container whose start was cut off can be started or removed,
and nothing of a removed container stays. A container that counts runs beside it all; its log has no hole.
SAMPAN_CRASHES is the number of crashes (40), SAMPAN_SEED repeats a run. `make crash` runs long.
"""

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.daemon import Sampand
from support.http import UnixConnection, ask, load
from support.images import BUSYBOX, busybox_archive
from support.processes import Process, cgroup_directories, descendants, look, wait_for

CRASHES = int(os.environ.get("SAMPAN_CRASHES", "40"))
SEED = int(os.environ.get("SAMPAN_SEED") or random.SystemRandom().randrange(1 << 32))
VERBS = ("create", "start", "exec", "stop", "restart", "remove")
VICTIMS = ("sampand", "zygote", "monitor")
LATEST_S = 0.06  # a crash comes at most this long after its request; a start takes 10 to 30 ms
COUNT = "i=0; while :; do i=$((i+1)); echo $i; usleep 5000; done"
CUT = (ConnectionError, http.client.HTTPException, TimeoutError)  # what a client sees of a daemon that dies


@dataclass
class Reply:
    """What a request got: a status, or None when the connection was cut before an answer."""

    status: int | None = None
    body: Any = None

    @property
    def ok(self) -> bool:
        """True when it was acknowledged."""
        return self.status is not None and self.status < 400


@dataclass
class Boat:
    """The container of one round and what is known of it."""

    name: str
    id: str | None = None
    facts: list[str] = field(default_factory=list)


def body(command: list[str], user: str = "") -> dict[str, object]:
    """A request to create a container."""
    host = {"NetworkMode": "none"}
    return {"Image": BUSYBOX, "Cmd": command, "User": user, "StopTimeout": 1, "HostConfig": host}


class Campaign:
    """One daemon under fire."""

    def __init__(self, sampand: Sampand, dice: random.Random) -> None:
        self.sampand = sampand
        self.dice = dice
        self.host = sampand.engine.host
        self.crashes = 0
        self.orphans: list[Process] = []  # what the monitor killed last had below it
        self.counter = self.begin_counting()

    def ask(self, method: str, path: str, data: object = None) -> tuple[int, Any]:
        """A request that must be answered."""
        return ask(self.host, method, path, data, timeout=30)

    def expect(self, method: str, path: str, *statuses: int, data: object = None) -> Any:
        """A request that must be answered with one of ``statuses``."""
        status, answer = self.ask(method, path, data)
        assert status in statuses, f"{method} {path}: {status} {answer}"
        return answer

    def begin_counting(self) -> str:
        """Start the container that counts."""
        made = self.expect("POST", "/containers/create", 201, data=body(["sh", "-c", COUNT]))
        self.expect("POST", f"/containers/{made['Id']}/start", 204)
        return str(made["Id"])

    def state(self, ref: str) -> dict[str, Any]:
        """State of a container that must be known."""
        return dict(self.expect("GET", f"/containers/{ref}/json", 200)["State"])

    def round(self, number: int) -> None:
        """One container, one request, one crash, and the look afterwards."""
        boat = Boat(f"round-{number}")
        verb, victim = self.dice.choice(VERBS), self.dice.choice(VICTIMS)
        user = self.dice.choice(["", "app", "4711"])
        if verb != "create":
            boat.id = self.expect(
                "POST", f"/containers/create?name={boat.name}", 201, data=body(["sleep", "1000"], user)
            )["Id"]
        if verb in ("exec", "stop", "restart", "remove"):
            self.expect("POST", f"/containers/{boat.id}/start", 204)
        target = self.target(victim, boat)
        delay = self.dice.uniform(0, LATEST_S)
        boat.facts.append(f"{verb} as {user or 'root'}, {victim} killed after {delay * 1000:.1f} ms")
        reply = self.fire(verb, boat, target, delay)
        boat.facts.append(f"reply {reply.status} {reply.body}")
        if self.sampand.process is not None and self.sampand.process.poll() is not None:
            self.sampand.start()
        self.check(verb, victim, boat, reply)
        self.remove(boat)

    def target(self, victim: str, boat: Boat) -> Callable[[], None]:
        """What to do at the moment of the crash."""
        if victim == "sampand":
            return self.sampand.kill
        if victim == "zygote":
            return lambda: self._kill(self.sampand.zygote())
        before = {p.pid for p in self.sampand.monitors()} - {self.monitor(boat)}
        return lambda: self._kill(next((p for p in self.sampand.monitors() if p.pid not in before), None))

    def monitor(self, boat: Boat) -> int | None:
        """The monitor of this round's container: the parent of its first process."""
        pid = self.state(boat.id)["Pid"] if boat.id else 0
        process = look(pid) if pid else None
        return process.parent if process else None

    def _kill(self, process: Process | None) -> None:
        if process is not None:
            self.orphans = descendants(process.pid) if process.comm.startswith("sampan-mon") else []
            process.kill()

    def fire(self, verb: str, boat: Boat, crash: Callable[[], None], delay: float) -> Reply:
        """Send the request; kill ``delay`` seconds later; what came back."""
        reply = Reply()
        self.sampand.remember()

        def request() -> None:
            try:
                reply.status, reply.body = self.send(verb, boat)
            except CUT as error:
                reply.body = repr(error)

        thread = threading.Thread(target=request)
        thread.start()
        time.sleep(delay)
        crash()
        self.crashes += 1
        thread.join(40)
        assert not thread.is_alive(), f"no answer and no end of the connection: {boat.facts}"
        return reply

    def send(self, verb: str, boat: Boat) -> tuple[int, Any]:
        """The request of this round."""
        connection = UnixConnection(self.host.removeprefix("unix://"), timeout=35)
        try:
            if verb == "create":
                return connection.ask("POST", f"/containers/create?name={boat.name}", body(["sleep", "1000"]))
            if verb == "exec":
                return self._exec(connection, boat)
            if verb == "remove":
                return connection.ask("DELETE", f"/containers/{boat.id}?force=1")
            query = "?t=1" if verb in ("stop", "restart") else ""
            return connection.ask("POST", f"/containers/{boat.id}/{verb}{query}")
        finally:
            connection.close()

    def _exec(self, connection: UnixConnection, boat: Boat) -> tuple[int, Any]:
        status, made = connection.ask("POST", f"/containers/{boat.id}/exec", {"Cmd": ["true"]})
        if status != 201:
            return status, made
        return connection.ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})

    def check(self, verb: str, victim: str, boat: Boat, reply: Reply) -> None:
        """Nothing acknowledged is lost; what was cut off is whole or gone."""
        if verb == "create":
            self.check_create(boat, reply)
        elif verb == "remove":
            self.check_remove(boat, reply)
        else:
            self.check_life(verb, victim, boat, reply)

    def check_create(self, boat: Boat, reply: Reply) -> None:
        """Created and known, or unknown; if known, it starts."""
        status, facts = self.ask("GET", f"/containers/{boat.name}/json")
        assert status == 200 or not reply.ok, f"acknowledged and lost: {boat.facts}"
        if status == 200:
            boat.id = facts["Id"]
            self.start_again(boat)

    def check_remove(self, boat: Boat, reply: Reply) -> None:
        """Removed, or still there and removable."""
        status, _ = self.ask("GET", f"/containers/{boat.id}/json")
        assert not reply.ok or status == 404, f"acknowledged as removed, still known: {boat.facts}"

    def check_life(self, verb: str, victim: str, boat: Boat, reply: Reply) -> None:
        """The state tells the truth, and the container can be started."""
        assert boat.id
        if victim == "monitor":
            wait_for(lambda: not any(p.alive() for p in self.orphans), f"a dead monitor's container ends: {boat.facts}")
            wait_for(lambda: self.truthful(boat), f"a state that is true: {boat.facts} {self.state(boat.id)}")
        state = self.state(boat.id)
        assert self.truthful(boat), f"state {state}: {boat.facts}"
        if reply.ok and victim != "monitor":
            assert state["Running"] == (verb != "stop"), f"acknowledged, but {state}: {boat.facts}"
        if reply.ok and verb == "stop":
            assert not state["Running"], boat.facts
        if state["Status"] == "exited" and state["ExitCode"] == 0:
            raise AssertionError(f"an exit code that nobody caused: {state} {boat.facts}")
        self.start_again(boat)

    def truthful(self, boat: Boat) -> bool:
        """`running` has a live process, anything else has none."""
        assert boat.id
        state = self.state(boat.id)
        process = look(state["Pid"]) if state["Pid"] else None
        alive = process is not None and process.state not in "ZX"
        return bool(state["Running"]) == alive

    def start_again(self, boat: Boat) -> None:
        """Whatever happened, it starts now, and runs."""

        def started() -> bool:
            status, answer = self.ask("POST", f"/containers/{boat.id}/start")
            boat.facts.append(f"start again {status} {answer}")
            return status in (204, 304)

        wait_for(started, f"the container can be started: {boat.facts}")
        assert boat.id
        wait_for(lambda: self.truthful(boat), f"a state that is true: {boat.facts}")
        assert self.state(boat.id)["Running"], boat.facts

    def remove(self, boat: Boat) -> None:
        """It can be removed, and nothing of it stays."""
        ref = boat.id or boat.name
        self.expect("DELETE", f"/containers/{ref}?force=1", 204, 404)
        assert self.ask("GET", f"/containers/{ref}/json")[0] == 404, boat.facts
        if boat.id:
            wait_for(lambda: not self.traces(boat.id or ""), f"nothing is left: {self.traces(boat.id)} {boat.facts}")

    def traces(self, container: str) -> list[str]:
        """Cgroups and directories named after a container."""
        cgroups = [path for path in cgroup_directories() if container in path]
        bases = (self.sampand.data / "containers", self.sampand.exec)
        walks = (os.walk(base) for base in bases)  # which passes over what goes away meanwhile, as rglob doesn't
        found = (f"{place}/{name}" for walk in walks for place, names, files in walk for name in (*names, *files))
        return cgroups + [path for path in found if container in path.rpartition("/")[2]]

    def check_counter(self) -> None:
        """The log counts from 1 without a hole to somewhere near now; then the counter is replaced."""
        state = self.state(self.counter)
        last = self.counted()
        if state["Running"]:
            wait_for(lambda: self.counted() > last, "the counter goes on")
        self.expect("DELETE", f"/containers/{self.counter}?force=1", 204)
        self.counter = self.begin_counting()

    def counted(self) -> int:
        """How far it has counted; every number is there once and in order."""
        path = self.sampand.data / "containers" / self.counter / f"{self.counter}-json.log"
        files = [*sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -int(p.suffix[1:])), path]
        text = b"".join(file.read_bytes() for file in files)
        numbers = [int(json.loads(line)["log"]) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
        first = numbers[0] if numbers else 1
        assert numbers == list(range(first, first + len(numbers))), "a hole in the log"
        assert first == 1 or len(files) > 1, f"the log begins with {first}"
        return numbers[-1] if numbers else 0


@pytest.mark.timeout(3600)
def test_crashes_at_random_moments(sampand: Sampand) -> None:
    """CRASHES rounds; on failure the seed and the rounds so far tell how to see it again."""
    print(f"\n{CRASHES} crashes, SAMPAN_SEED={SEED}")
    load(sampand.engine.host, busybox_archive())
    campaign = Campaign(sampand, random.Random(SEED))
    for number in range(CRASHES):
        try:
            campaign.round(number)
            if number % 10 == 9:
                campaign.check_counter()
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {SEED}: {error}") from error
    assert campaign.crashes == CRASHES
