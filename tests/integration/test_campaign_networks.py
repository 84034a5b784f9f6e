"""Kill sampand, its zygote and monitors at random moments of run, remove, connect, disconnect, of making networks.

After every crash the database's rows, the host's links, the firewall's elements and the held ports say what the
containers that run do (`support.seas`): no address is given twice, nothing of the dead is left. An echo beside it all
answers through its published port the whole time, over one connection.
SAMPAN_CRASHES is the number of crashes (40), SAMPAN_SEED repeats a run. `make crash` runs long.
"""

import http.client
import os
import random
import threading
import time
from typing import Any

import pytest

from support.doom import Doomed
from support.http import UnixConnection
from support.netlab import netlab
from support.processes import Process, wait_for
from support.seas import Sea, echo, settled

CRASHES = int(os.environ.get("SAMPAN_CRASHES", "40"))
SEED = int(os.environ.get("SAMPAN_SEED") or random.SystemRandom().randrange(1 << 32))
NETWORKS = ("red", "green", "narrow")
NAMES = ("ann", "bob", "cid", "dan", "eve")
PORTS = ("8080", "8081", "8082", "")
LATEST_S = 0.08
ECHO_PORT = 7777
CUT = (ConnectionError, http.client.HTTPException, TimeoutError)


class Campaign:
    """One daemon under fire."""

    def __init__(self, sea: Sea, dice: random.Random) -> None:
        self.sea, self.dice = sea, dice
        self.facts: list[str] = []
        for number, name in enumerate(NETWORKS):
            sea.network(name, f"10.9.{number}.0/{29 if name == 'narrow' else 24}")
        sea.run(name="echo", network="red", ports={"80/tcp": str(ECHO_PORT)})
        wait_for(self._connect, "the echo listens")

    def _connect(self) -> bool:
        try:
            self.client = self.sea.connect(ECHO_PORT)
        except OSError:
            return False
        return True

    def request(self) -> tuple[str, str, Any]:
        """Choose something to ask for."""
        name, network = self.dice.choice(NAMES), self.dice.choice(("bridge", *NETWORKS))
        match self.dice.choice(("run", "run", "run", "remove", "stop", "connect", "disconnect", "make", "drop")):
            case "run":
                return "RUN", name, self.wanted(network)
            case "remove":
                return "DELETE", f"/containers/{name}?force=1", None
            case "stop":
                return "POST", f"/containers/{name}/kill", None
            case "connect":
                return "POST", f"/networks/{network}/connect", {"Container": name}
            case "disconnect":
                return "POST", f"/networks/{network}/disconnect", {"Container": name}
            case "make":
                return "POST", "/networks/create", {"Name": "brief", "IPAM": {"Config": [{"Subnet": "10.10.0.0/24"}]}}
            case _:
                return "DELETE", "/networks/brief", None

    def wanted(self, network: str) -> dict[str, Any]:
        """What a new container is to be."""
        port = self.dice.choice(PORTS)
        more: dict[str, Any] = {"network": network, "ports": {"80/tcp": port}, "host": {}}
        if self.dice.random() < 0.3:
            more["host"]["AutoRemove"] = True
        if network == "red" and self.dice.random() < 0.5:
            more["address"] = f"10.9.0.{self.dice.randint(50, 52)}"
        more["command"] = self.dice.choice((("sleep", "1000"), ("sleep", "1000"), ("true",), ("nothing",)))
        return more

    def fire(self) -> str:
        """Send a request; kill a moment later; tell what was done and what came back."""
        method, path, body = self.request()
        victim = self.dice.choice(("sampand", "sampand", "monitor", "zygote"))
        delay = self.dice.uniform(0, LATEST_S)
        told = f"{method} {path} {body}, {victim} killed after {delay * 1000:.1f} ms"
        answers: list[Any] = []
        thread = threading.Thread(target=self.send, args=(method, path, body, answers))
        self.sea.daemon.remember()
        before = {one.pid for one in self.sea.daemon.monitors()}
        thread.start()
        time.sleep(delay)
        self.kill(victim, before)
        thread.join(40)
        assert not thread.is_alive(), told
        if self.sea.daemon.process is not None and self.sea.daemon.process.poll() is not None:
            self.sea.daemon.start()
        return f"{told}: {answers}"

    def kill(self, victim: str, before: set[int]) -> None:
        """Kill sampand, its zygote, or the monitor of what is being started if there is one by now."""
        if victim == "sampand":
            self.sea.daemon.kill()
            return
        zygote = self.sea.daemon.zygote() if victim == "zygote" else None
        if zygote is not None:
            zygote.kill()
            return
        new: list[Process] = [one for one in self.sea.daemon.monitors() if one.pid not in before]
        if new:
            new[0].kill()

    def send(self, method: str, path: str, body: Any, answers: list[Any]) -> None:
        """One request, or two for a container that is to run."""
        connection = UnixConnection(str(self.sea.daemon.socket), timeout=35)
        try:
            if method != "RUN":
                answers.append(connection.ask(method, path, body))
                return
            command, rest = body["command"], {key: value for key, value in body.items() if key != "command"}
            wanted = self.sea.body(*command, **rest)
            answers.append(connection.ask("POST", f"/containers/create?name={path}", wanted))
            answers.append(connection.ask("POST", f"/containers/{path}/start"))
        except CUT as error:
            answers.append(repr(error))
        finally:
            connection.close()

    def check(self) -> None:
        """All fits together, the echo goes on, and what was cut off can be done."""
        settled(self.sea)
        assert echo(self.client, b"there?") == b"there?"
        for name in NAMES:
            status, facts = self.sea.ask("GET", f"/containers/{name}/json")
            if status == 200 and not facts["State"]["Running"] and self.dice.random() < 0.5:
                self.sea.ok("DELETE", f"/containers/{name}?force=1")


@pytest.mark.timeout(3600)
def test_crashes_of_networks_at_random_moments() -> None:
    """CRASHES rounds; on failure the seed and the round tell how to see it again."""
    print(f"\n{CRASHES} crashes, SAMPAN_SEED={SEED}")
    with netlab() as lab, Doomed(space=lab.host) as daemon:
        daemon.engine.load_busybox()
        campaign = Campaign(Sea(daemon, lab), random.Random(SEED))
        for number in range(CRASHES):
            told = campaign.fire()
            try:
                campaign.check()
            except (AssertionError, OSError) as error:
                raise AssertionError(f"round {number} of seed {SEED}: {told}\n{error}") from error
