"""Networks when something dies: the rows of the table in docs/architecture.md, "Networks when something dies"."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.doom import Doomed
from support.images import BUSYBOX
from support.netlab import Netlab, netlab
from support.processes import cgroup_directories, look, wait_for
from support.seas import ECHO, Sea, answer, echo, settled

CUT_OFF = "the start was cut off: sampand ended in the middle of it"
NO_NETWORK = "start failed at network: sampand ended before the network was there"
CUT = (ConnectionError, http.client.HTTPException, TimeoutError)  # what a client sees of a daemon that dies


@pytest.fixture
def sea() -> Iterator[Sea]:
    """A daemon in a lab; whatever doesn't fit together at the end fails the test."""
    with netlab() as lab, Doomed(space=lab.host) as daemon:
        daemon.engine.load_busybox()
        one = Sea(daemon, lab)
        yield one
        settled(one)


# --- sampand, at rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_sampand_away_and_back(sea: Sea, end: str) -> None:
    """Connections live on, questions are answered late, all is as it was, and all of it can be changed."""
    sea.network("back", "10.9.0.0/24")
    web = sea.run(name="web", network="back", ports={"80/tcp": "8080", "53/udp": ""})
    asker = sea.run("sleep", "1000", name="asker", network="back")
    plain = sea.run(name="plain", ports={"80/tcp": "8081"})
    before = [sea.shown(one) for one in (web, asker, plain)]
    wait_for(lambda: listens(sea, 8080) and listens(sea, 8081), "they listen")
    clients = [sea.connect(8080), sea.connect(8081)]
    assert [echo(one, b"before") for one in clients] == [b"before"] * 2

    getattr(sea.daemon, end)()
    assert [echo(one, b"without") for one in clients] == [b"without"] * 2
    assert echo(sea.connect(8080), b"new") == b"new"
    for port in (8080, 8081):
        with sea.lab.host.inside(), socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("0.0.0.0", port))
    question, number = sea.question(asker, "web"), sea.question(web, "asker")
    sea.daemon.start()

    assert answer(question) == [sea.address(web)]
    assert answer(number) == [sea.address(asker)]
    assert [echo(one, b"after") for one in clients] == [b"after"] * 2
    assert [sea.shown(one) for one in (web, asker, plain)] == before
    settled(sea)
    assert sea.names(asker, "web") == [sea.address(web)]
    third = sea.run(name="third", network="back", ports={"80/tcp": "8082"})
    assert sea.names(asker, "third") == [sea.address(third)]
    status, why = sea.ask("POST", f"/containers/{sea.create(ports={'80/tcp': '8080'})}/start")
    assert (status, "port is already allocated" in why["message"]) == (500, True), why
    sea.ok("POST", "/networks/back/connect", {"Container": plain})
    assert sea.names(plain, "web") == [sea.address(web)]
    sea.ok("POST", "/networks/back/disconnect", {"Container": web})
    assert sea.names(asker, "web") == []
    sea.ok("POST", f"/containers/{plain}/stop?t=0")
    settled(sea)
    sea.run(name="again", ports={"80/tcp": "8081"})


def listens(sea: Sea, port: int, address: str = Netlab.HOST4) -> bool:
    """Whether a published port echoes."""
    with contextlib.suppress(OSError), sea.connect(port, address) as client:
        return echo(client, b"?") == b"?"
    return False


def test_twice_away(sea: Sea) -> None:
    """What is kept goes on being kept."""
    sea.network("back")
    one = sea.run(name="one", network="back", ports={"80/tcp": "8080"})
    for _ in range(3):
        sea.daemon.kill()
        question = sea.question(one, "one")
        sea.daemon.start()
        assert answer(question) == [sea.address(one)]
        settled(sea)


def test_other_kinds_of_networks(sea: Sea) -> None:
    """IPv6 translated and relayed, macvlan, internal, several at once: as before, and reached as before."""
    config = [{"Subnet": "10.9.0.0/24"}, {"Subnet": "fd00:9::/64"}]
    sea.network("six", EnableIPv6=True, IPAM={"Config": config})
    sea.network("mac", "192.0.2.0/24", Driver="macvlan", Options={"parent": "eth0"})
    sea.network("inner", "10.8.0.0/24", Internal=True)
    six = sea.run(name="six", network="six", ports={"80/tcp": "8080"})
    relayed = sea.run(name="relayed", ports={"80/tcp": "8081"})
    both = sea.run("sleep", "1000", name="both", network="inner")
    sea.ok("POST", "/networks/mac/connect", {"Container": both})
    before = [sea.shown(one) for one in (six, relayed, both)]
    wait_for(lambda: all(listens(sea, port, Netlab.HOST6) for port in (8080, 8081)), "they listen")
    client, found = sea.connect(8080, Netlab.HOST6), sea.names(both, "both")
    assert echo(client, b"before") == b"before"
    sea.daemon.kill()
    assert echo(client, b"without") == b"without"
    late = sea.connect(8081, Netlab.HOST6)  # to a relay that isn't there
    late.sendall(b"late")
    question = sea.question(both, "both")
    sea.daemon.start()
    assert echo(client, b"after") == b"after"
    assert late.recv(4) == b"late"
    assert answer(question) == found
    assert [sea.shown(one) for one in (six, relayed, both)] == before
    settled(sea)
    sea.ok("POST", "/networks/mac/disconnect", {"Container": both})
    sea.ok("POST", "/networks/six/connect", {"Container": both})
    assert sea.names(both, "six") == [sea.address(six)]
    settled(sea)


# --- sampand, in the middle of something ------------------------------------------------------------------------------

FABRIC, HOST, ENDPOINT = "sampan.network.fabric:Fabric", "sampan.network.host:Host", "sampan.network.endpoint"
ROWS = "sampan.state.networks:SqlNetworkRows"
MONITOR, SUPERVISOR = "sampan.runtime.handle:Monitor", "sampan.runtime.supervisor:Supervisor"
NETWORKS = "sampan.engine.networks:Networks"


def cut(sea: Sea, place: str, method: str, path: str, body: object = None, *, count: int = 1) -> None:
    """Ask a sampand for something that it dies of at ``place`` ("before …" or "after …"), and start the next."""
    moment, _, where = place.partition(" ")
    sea.daemon.doomed(where, moment, count)
    with pytest.raises(CUT):
        sea.ask(method, path, body)
    sea.daemon.wait_dead()
    sea.daemon.start()


@pytest.mark.parametrize(
    "place",
    [
        f"after {ROWS}.open_sandbox",
        f"after {FABRIC}._add_endpoint",
        f"after {FABRIC}._reserve",
        "before sampan.engine.launching:prepare",
        f"before {SUPERVISOR}._ask_monitor",
        f"before {SUPERVISOR}._plug",
        f"before {MONITOR}.namespace",
        f"after {ENDPOINT}:_make_veth",
        f"after {HOST}.plug",
        f"after {HOST}.bind_resolver",
        f"before {HOST}.publish",
        f"after {HOST}.publish",
        f"before {MONITOR}.go",
    ],
)
def test_a_start_is_cut_off_before_the_program_may_run(sea: Sea, place: str) -> None:
    """Nothing is left, and it can be started."""
    sea.network("back", "10.9.0.0/24")
    one = sea.create(name="one", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
    cut(sea, place, "POST", f"/containers/{one}/start")
    state = sea.inspect(one)["State"]
    assert (state["Status"], state["Running"]) == ("created", False), state
    assert state["Reason"] in ("", CUT_OFF, NO_NETWORK), state  # "": the row did not say yet that it was being started
    settled(sea)
    two = sea.run(name="two", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
    sea.ok("DELETE", f"/containers/{two}?force=1")
    sea.ok("POST", f"/containers/{one}/start")
    assert sea.address(one) == "10.9.0.9"


@pytest.mark.parametrize("place", [f"after {MONITOR}.go", f"before {SUPERVISOR}._until_ready"])
def test_a_start_goes_through_once_the_program_may_run(sea: Sea, place: str) -> None:
    sea.network("back")
    one = sea.create(name="one", network="back", ports={"80/tcp": "8080"})
    cut(sea, place, "POST", f"/containers/{one}/start")
    state = sea.inspect(one)["State"]
    assert state["Status"] == "running", state
    sea.pids[one] = state["Pid"]
    settled(sea)
    assert sea.names(one, "one") == [sea.address(one)]
    wait_for(lambda: listens(sea, 8080), "it is reached")


@pytest.mark.parametrize(
    "place",
    [
        f"after {ROWS}.open_sandbox",
        f"after {FABRIC}._reserve",
        f"after {HOST}.plug",
        f"before {MONITOR}.go",
    ],
)
def test_a_start_with_rm_is_cut_off(sea: Sea, place: str) -> None:
    """Nothing is left of it at all."""
    one = sea.create(name="one", ports={"80/tcp": "8080"}, host={"AutoRemove": True})
    cut(sea, place, "POST", f"/containers/{one}/start")
    wait_for(lambda: sea.ask("GET", f"/containers/{one}/json")[0] == 404 or startable(sea, one), "it is gone or whole")
    settled(sea)


def startable(sea: Sea, one: str) -> bool:
    """Whether a container can be started; it is ended again."""
    status, _ = sea.ask("POST", f"/containers/{one}/start")
    sea.ask("POST", f"/containers/{one}/kill")
    return status == 204


@pytest.mark.parametrize(
    "place",
    [
        f"before {FABRIC}.connect",
        f"after {ROWS}.add_endpoint",
        f"before {HOST}.connect",
        f"after {ENDPOINT}:_make_veth",
        f"after {ENDPOINT}:plug",
        f"after {HOST}.connect",
        f"before {FABRIC}._republish",
        f"after {FABRIC}.connect",
        f"after {HOST}.bind_resolver",
        f"after {NETWORKS}._tell_inside",
    ],
)
def test_connecting_is_cut_off(sea: Sea, place: str) -> None:
    """It is as before, and can be asked for again."""
    sea.network("aback", "10.9.0.0/24")  # by its name the default route would be its
    one = sea.run(name="one", ports={"80/tcp": "8080"})
    before, files = sea.shown(one), inner_files(sea, one)
    cut(sea, place, "POST", "/networks/aback/connect", {"Container": one})
    settled(sea)
    assert sea.shown(one) == before
    assert inner_files(sea, one) == files
    wait_for(lambda: listens(sea, 8080), "it is reached")
    sea.ok("POST", "/networks/aback/connect", {"Container": one})
    settled(sea)
    assert set(sea.places(one)) == {"bridge", "aback"}
    assert sea.names(one, "one") == [sea.places(one)["aback"]]


def inner_files(sea: Sea, one: str) -> list[list[str]]:
    """The lines of hosts and resolv.conf of a running container."""
    root = Path(f"/proc/{sea.pids[one]}/root/etc")
    return [sorted((root / name).read_text().splitlines()) for name in ("hosts", "resolv.conf")]


@pytest.mark.parametrize(
    ("place", "done"),
    [
        (f"before {NETWORKS}._keep", False),
        (f"after {NETWORKS}._keep", True),
        (f"before {FABRIC}._republish", True),
        (f"before {HOST}.disconnect", True),
        (f"after {ENDPOINT}:set_default", True),
        (f"after {HOST}.disconnect", True),
        (f"before {ROWS}.remove_endpoint", True),
        (f"after {FABRIC}.disconnect", True),
    ],
)
def test_disconnecting_is_cut_off(sea: Sea, place: str, done: bool) -> None:
    """It is as before, or disconnected: all of it."""
    sea.network("aback", "10.9.0.0/24")
    one = sea.run(name="one", ports={"80/tcp": "8080"})
    sea.ok("POST", "/networks/aback/connect", {"Container": one})
    cut(sea, place, "POST", "/networks/aback/disconnect", {"Container": one})
    settled(sea)
    assert set(sea.places(one)) == ({"bridge"} if done else {"bridge", "aback"})
    wait_for(lambda: listens(sea, 8080), "it is reached")
    if done:
        sea.ok("POST", "/networks/aback/connect", {"Container": one})
    sea.ok("POST", "/networks/aback/disconnect", {"Container": one})
    settled(sea)
    sea.ok("DELETE", "/networks/aback")


@pytest.mark.parametrize(
    "place",
    [
        f"before {FABRIC}.close",
        f"before {FABRIC}._bury",
        f"before {HOST}.unpublish",
        f"after {HOST}.unpublish",
        "before sampan.network.host:reap",
        "after sampan.network.host:reap",
        f"before {ROWS}.close_sandbox",
    ],
)
def test_an_end_is_cut_off(sea: Sea, place: str) -> None:
    """Address and port are free, nothing leads there any more."""
    sea.network("back", "10.9.0.0/24")
    one = sea.run(name="one", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
    moment, _, where = place.partition(" ")
    sea.daemon.doomed(where, moment)
    with contextlib.suppress(CUT):
        sea.ask("POST", f"/containers/{one}/kill")
    sea.daemon.wait_dead()
    sea.daemon.start()
    assert sea.inspect(one)["State"]["Status"] == "exited"
    settled(sea)
    sea.run(name="two", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")


@pytest.mark.parametrize(
    "place",
    [f"after {ROWS}.add_network", "before sampan.network.bridge:ensure", "after sampan.network.bridge:ensure",
     f"after {HOST}.add_network"],
)  # fmt: skip
def test_making_a_network_is_cut_off(sea: Sea, place: str) -> None:
    """It is there and works, or it isn't and can be made."""
    cut(sea, place, "POST", "/networks/create", {"Name": "back", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}})
    settled(sea)
    if not [one for one in sea.ok("GET", "/networks") if one["Name"] == "back"]:
        sea.network("back", "10.9.0.0/24")
    sea.run(name="one", network="back")
    settled(sea)


@pytest.mark.parametrize(
    "place",
    [
        f"before {HOST}.remove_network",
        "after sampan.network.bridge:remove",
        f"before {ROWS}.remove_network",
        f"before {FABRIC}._forget",
    ],
)
def test_removing_a_network_is_cut_off(sea: Sea, place: str) -> None:
    """It is there and works, or nothing of it is, not its bridge either."""
    sea.network("back", "10.9.0.0/24")
    cut(sea, place, "DELETE", "/networks/back")
    settled(sea)
    if [one for one in sea.ok("GET", "/networks") if one["Name"] == "back"]:
        one = sea.run("sleep", "1000", network="back")
        settled(sea)
        assert sea.ask("DELETE", "/networks/back")[0] == 403
        sea.ok("DELETE", f"/containers/{one}?force=1")
        sea.ok("DELETE", "/networks/back")
    settled(sea)
    sea.network("other", "10.9.0.0/24")


@pytest.mark.parametrize(
    "place",
    [
        f"after {FABRIC}.load",
        f"after {FABRIC}.remember",
        f"after {FABRIC}.adopt",
        f"before {HOST}.unplug",
        f"after {HOST}.unplug",
        f"before {ROWS}.close_sandbox",
        f"before {HOST}.restore",
        f"before {NETWORKS}.take_up",
    ],
)
def test_taking_over_is_cut_off(sea: Sea, place: str) -> None:
    """The one after the next finds the same."""
    sea.network("back", "10.9.0.0/24")
    lives = sea.run(name="lives", network="back", ports={"80/tcp": "8080"})
    dies = sea.run(name="dies", network="back", ports={"80/tcp": "8081"}, address="10.9.0.9")
    before = sea.shown(lives)
    sea.daemon.kill()
    os.kill(sea.pids[dies], signal.SIGKILL)
    moment, _, where = place.partition(" ")
    sea.daemon.doom = (where, moment, 1)
    with contextlib.suppress(AssertionError, *CUT):
        sea.daemon.start()
    sea.daemon.wait_dead()
    sea.daemon.doom = None
    sea.daemon.start()
    settled(sea)
    assert sea.shown(lives) == before
    assert sea.names(lives, "lives") == [sea.address(lives)]
    sea.run(name="two", network="back", ports={"80/tcp": "8081"}, address="10.9.0.9")


# --- everything at once ----------------------------------------------------------------------------------------------


def test_the_machine_goes_down() -> None:
    """A new boot: no namespace, no run directory; the same data root. Addresses and ports are free, networks there."""
    with netlab() as lab, netlab() as next_lab:
        daemon = Doomed(space=lab.host)
        with daemon:
            daemon.engine.load_busybox()
            sea = Sea(daemon, lab)
            sea.network("back", "10.9.0.0/24")
            one = sea.run(name="one", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
            plain = sea.run("sleep", "1000", name="plain", ports={"80/tcp": ""})
            gone = sea.run("sleep", "1000", name="gone", network="back", host={"AutoRemove": True})
            daemon.kill()
            go_down(daemon)
            with contextlib.closing(sqlite3.connect(daemon.data / "state.db")) as connection, connection:
                connection.execute("UPDATE containers SET boot_id = 'an earlier one'")
            daemon._space = next_lab.host
            sea.lab = next_lab
            daemon.start()
            states = [sea.inspect(one)["State"] for one in (one, plain)]
            assert [(state["Status"], state["ExitCode"]) for state in states] == [("exited", 255)] * 2
            wait_for(lambda: sea.ask("GET", f"/containers/{gone}/json")[0] == 404, "the --rm container goes")
            settled(sea)
            assert sea.rows("SELECT * FROM sandboxes") == []
            assert sea.links("bridge") == {}
            assert {row["Name"] for row in sea.ok("GET", "/networks")} == {"bridge", "host", "none", "back"}
            two = sea.run(name="two", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
            wait_for(lambda: listens(sea, 8080), "it is reached")
            sea.ok("DELETE", f"/containers/{two}?force=1")
            sea.ok("POST", f"/containers/{one}/start")
            assert sea.address(one) == "10.9.0.9"
            settled(sea)


def groups_removed(daemon: Doomed) -> bool:
    """Remove what can be removed of a daemon's control groups; whether none is left."""
    for directory in sorted((d for d in cgroup_directories() if daemon.home.name in d), key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return not any(daemon.home.name in directory for directory in cgroup_directories())


def go_down(daemon: Doomed) -> None:
    """End all that runs, as power loss does, and clear what a boot clears."""
    for process in sorted(daemon.family(), key=lambda one: one.comm != "sampan-zygote"):
        process.kill()
    wait_for(lambda: not any(one.alive() for one in daemon.family()), "all has ended")
    wait_for(lambda: groups_removed(daemon), "the groups are empty: what was killed leaves them a moment later")
    shutil.rmtree(daemon.exec)


@pytest.mark.parametrize("victims", ["monitor", "monitor and sampand", "monitor, zygote and sampand"])
def test_a_monitor_dies(sea: Sea, victims: str) -> None:
    """Its container is ended; address and port are free."""
    sea.network("back", "10.9.0.0/24")
    one = sea.run(name="one", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9", User="app")
    lives = sea.run(name="lives", network="back", ports={"80/tcp": "8081"})
    monitor = look(look(sea.pids[one]).parent)
    zygote = sea.daemon.zygote()
    if "sampand" in victims:
        sea.daemon.kill()
    if "zygote" in victims:
        zygote.kill()
    monitor.kill()
    if "sampand" in victims:
        sea.daemon.start()
    wait_for(lambda: sea.inspect(one)["State"]["Status"] == "exited", "the container ends")
    settled(sea)
    assert sea.names(lives, "one") == []
    sea.run(name="two", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")


def test_the_zygote_dies(sea: Sea) -> None:
    one = sea.run(name="one", ports={"80/tcp": "8080"})
    sea.daemon.zygote().kill()
    sea.run(name="two", ports={"80/tcp": "8081"})
    sea.daemon.restart()
    settled(sea)
    wait_for(lambda: listens(sea, 8080) and listens(sea, 8081), "both are reached")
    assert sea.inspect(one)["State"]["Running"]


def test_an_exit_while_sampand_was_away(sea: Sea) -> None:
    """Address, name and port go with it, those of others stay."""
    sea.network("back", "10.9.0.0/24")
    lives = sea.run("sleep", "1000", name="lives", network="back")
    dies = sea.run(name="dies", network="back", ports={"80/tcp": "8080"}, address="10.9.0.9")
    gone = sea.run(name="gone", network="back", ports={"80/tcp": "8081"}, host={"AutoRemove": True})
    sea.daemon.kill()
    for one in (dies, gone):
        os.kill(sea.pids[one], signal.SIGKILL)
    wait_for(lambda: not any(os.path.exists(f"/proc/{sea.pids[one]}") for one in (dies, gone)), "both end")
    with sea.lab.host.inside(), socket.socket() as other:
        other.bind(("0.0.0.0", 8080))  # nobody holds it any more
    sea.daemon.start()
    wait_for(lambda: sea.ask("GET", f"/containers/{gone}/json")[0] == 404, "the --rm container goes")
    settled(sea)
    assert [sea.names(lives, name) for name in ("dies", "gone", "lives")] == [[], [], [sea.address(lives)]]
    sea.run(name="two", network="back", ports={"80/tcp": "8081"}, address="10.9.0.9")
    sea.ok("DELETE", f"/containers/{lives}?force=1")


def test_an_end_in_the_middle_of_taking_over(sea: Sea) -> None:
    """A container that ends while the next sampand looks at it takes no other's ports with it."""
    others = [sea.run(name=f"other-{number}", ports={"80/tcp": str(8080 + number)}) for number in range(4)]
    for _ in range(5):
        dies = sea.run("sleep", "1000", ports={"80/tcp": ""})
        sea.daemon.kill()
        ending = threading.Timer(0.25, os.kill, (sea.pids[dies], signal.SIGKILL))
        ending.start()
        sea.daemon.start()
        ending.join()
        wait_for(lambda one=dies: sea.inspect(one)["State"]["Status"] == "exited", "it ends")
        settled(sea)
    assert all(sea.inspect(one)["State"]["Running"] for one in others)


def test_a_container_that_shares(sea: Sea) -> None:
    """It has no place of its own, before and after."""
    owner = sea.run(name="owner", ports={"80/tcp": "8080"})
    shares = sea.run("sleep", "1000", name="shares", network=f"container:{owner}")
    sea.daemon.restart()
    settled(sea)
    with sea.inside(shares), socket.create_connection(("127.0.0.1", 80), timeout=5) as client:
        assert echo(client, b"hello") == b"hello"
    sea.ok("POST", f"/containers/{owner}/stop?t=0")
    settled(sea)


def test_a_name_given_while_the_database_did_not_hear_of_it(sea: Sea) -> None:
    """A rename is whole after a crash: found by the new name, not by the old."""
    sea.network("back")
    one = sea.run(name="before", network="back")
    # The first call is of taking over.
    cut(sea, f"before {FABRIC}.rename", "POST", f"/containers/{one}/rename?name=behind", count=2)
    assert sea.inspect(one)["Name"] == "/behind"
    assert [sea.names(one, name) for name in ("behind", "before")] == [[sea.address(one)], []]


# --- starts that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto_remove", [False, True])
@pytest.mark.parametrize(
    ("command", "more", "why"),
    [
        (("nothing",), {}, "executable file not found"),
        (ECHO, {"ports": {"80/tcp": "8080", "81/tcp": "9090"}}, "address already in use"),
        (ECHO, {"address": "10.9.0.9"}, "Address already in use"),
        (ECHO, {"host": {"Sysctls": {"net.ipv4.nothing": "1"}}}, ""),
        (ECHO, {"WorkingDir": "/bin/busybox"}, "not a directory"),
        (ECHO, {"User": "nobody-there"}, "unable to find user"),
    ],
)
def test_a_start_fails(sea: Sea, command: tuple[str, ...], more: dict[str, Any], why: str, auto_remove: bool) -> None:
    """Nothing is left of it but the container, if that stays."""
    sea.network("back", "10.9.0.0/24")
    sea.run("sleep", "1000", network="back", address="10.9.0.9")
    more = {"ports": {"80/tcp": "8080"}, **more}
    more["host"] = {**more.get("host", {}), "AutoRemove": auto_remove}
    one = sea.create(*command, network="back", **more)
    with sea.lab.host.call(socket.create_server, ("0.0.0.0", 9090)):
        status, answered = sea.ask("POST", f"/containers/{one}/start")
    assert status >= 400
    assert why.lower() in answered["message"].lower(), answered
    settled(sea)
    if auto_remove:
        wait_for(lambda: sea.ask("GET", f"/containers/{one}/json")[0] == 404, "the --rm container goes")
    sea.run(network="back", ports={"80/tcp": "8080"})


def test_the_same_address_and_port_again_and_again(sea: Sea) -> None:
    """`docker run --rm --ip X -p N:80`, one behind the other; also where a network has one address only."""
    sea.network("back", "10.9.0.0/24")
    sea.network("narrow", "10.9.1.0/30")
    for _ in range(10):
        fixed = ("--network", "back", "--ip", "10.9.0.9", "-p", "8080:80", "-p", "8080:80/udp")
        assert sea.daemon.engine.docker("run", "--rm", *fixed, BUSYBOX, "true").code == 0
        assert sea.daemon.engine.docker("run", "--rm", "--network", "narrow", BUSYBOX, "true").code == 0
    for _ in range(10):
        one = sea.create("sleep", "1000", network="narrow", ports={"80/tcp": "8080"}, host={"AutoRemove": True})
        sea.ok("POST", f"/containers/{one}/start")
        sea.ok("DELETE", f"/containers/{one}?force=1")
    sea.ok("DELETE", "/networks/narrow")


def test_many_ports(sea: Sea) -> None:
    """More than a packet between sampand and a monitor takes."""
    ports = {f"{number}/tcp": str(number) for number in range(9000, 9300)}
    one = sea.run("nc", "-ll", "-p", "9299", "-e", "cat", name="one", ports=ports)
    before = sea.shown(one)
    sea.daemon.restart()
    assert sea.shown(one) == before
    settled(sea)
    wait_for(lambda: listens(sea, 9299), "it is reached")
    sea.ok("DELETE", f"/containers/{one}?force=1")
