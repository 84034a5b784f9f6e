"""A network of namespaces for tests: ``host``, where the product works, and ``outside``, a neighbour on its uplink.

::

    outside                          host                         more: lab.space("c1")
      eth0 192.0.2.1/24  ── veth ──  eth0 192.0.2.2/24              lo up, nothing else
           2001:db8:1::1/64               2001:db8:1::2/64
                                     default via outside (v4, v6)

The namespaces have no names and no processes: descriptors of this process keep them, so however the test ends they end
with it, and with them every link, rule and sysctl in them. Programs that are started in them die with this process.
Nothing of the machine's own network is touched. Forwarding, rp_filter and route_localnet begin as 0, whatever the
machine's are. `ip` of Debian's iproute2 sets it up and is the tests' oracle.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sampan.linux import netlink, process, rtnetlink
from support.cache import find_program
from support.privileges import root_or_skip

T = TypeVar("T")
PATIENCE_S = 30.0  # for a program that takes milliseconds


class Space:
    """One network namespace."""

    def __init__(self, name: str, pid: int = 0) -> None:
        """Make one, or take up that of process ``pid`` as it is."""
        self.name = name
        self._running: list[subprocess.Popen[bytes]] = []
        if pid:
            self.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            return
        self.fd = _new_namespace()
        for key in ("ipv4/ip_forward", "ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"):
            self.sysctl(key, "0")
        with rtnetlink.Rtnetlink(self.fd) as route:
            route.apply([rtnetlink.set_link("lo", up=True)])

    @property
    def path(self) -> str:
        """A path that stands for it, for programs that want one."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Run the body with this thread in the namespace (files of /proc/sys/net are those of the thread's
        namespace).
        """
        with netlink.inside(self.fd):
            yield

    def call(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call ``function`` with this thread in the namespace."""
        with self.inside():
            return function(*args, **named)

    def run(self, *argv: str, check: bool = True, stdin: str = "", timeout: float = PATIENCE_S) -> str:
        """Run a program in it; return what it printed. AssertionError with both outputs when it failed and
        ``check``.
        """
        one = self.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output = one.communicate(stdin.encode(), timeout)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            one.kill()
            output = one.communicate()[0].decode(errors="replace")
            raise AssertionError(f"{argv} in {self.name}: {output} and no end after {timeout} s") from None
        assert not check or one.returncode == 0, f"{argv} in {self.name}: {one.returncode}, {output}"
        return output

    def status(self, *argv: str, timeout: float = PATIENCE_S) -> int:
        """Run a program in it; return its exit status."""
        one = self.popen(*argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return one.wait(timeout)

    def reaches(self, address: str, wait_s: int = 3) -> bool:
        """Tell whether ``address`` answers a ping within ``wait_s`` seconds."""
        return self.status("busybox", "ping", "-c", "1", "-W", str(wait_s), address) == 0

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program in it; it is ended with the lab, or with this process."""
        program = find_program(argv[0])
        if program is None:
            pytest.skip(f"needs {argv[0]}")

        with self.inside():  # a child begins in the namespace of the thread that makes it
            one = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", program, *argv[1:]], **options)
        self._running = [other for other in self._running if other.poll() is None] + [one]
        return one

    def links(self) -> list[str]:
        """The names of its links."""
        with rtnetlink.Rtnetlink(self.fd) as route:
            return [link.name for link in route.links()]

    def ip(self, *args: str) -> list[dict[str, Any]]:
        """What `ip -j -d ARGS` says; an empty list when it says nothing."""
        found: list[dict[str, Any]] = json.loads(self.run("ip", "-j", "-d", *args) or "[]")
        return found

    def batch(self, *commands: str) -> None:
        """Run several commands of `ip` at once."""
        self.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Set ``net/KEY`` when a value is given; return what it is."""
        path = Path("/proc/sys/net", key)
        with self.inside():
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

    def close(self) -> None:
        """End what runs in it and let it go."""
        for one in self._running:
            if one.poll() is None:
                one.kill()
                one.wait(PATIENCE_S)
        os.close(self.fd)


class Box(Space):
    """The network namespace of a process, such as a running container's first; nothing in it is changed."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._running = []


def _new_namespace() -> int:
    """A descriptor of a new network namespace. A thread of its own makes it: this one must stay where it is."""
    made: list[int] = []

    def make() -> None:
        process.unshare(process.CLONE_NEWNET)
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert made, "unshare(CLONE_NEWNET) failed"
    return made[0]


class Netlab:
    """``host`` and ``outside``, joined by an uplink of ``mtu`` bytes."""

    HOST4, OUTSIDE4 = "192.0.2.2", "192.0.2.1"
    HOST6, OUTSIDE6 = "2001:db8:1::2", "2001:db8:1::1"

    def __init__(self, mtu: int = 1500) -> None:
        self._spaces: list[Space] = []
        self._world: subprocess.Popen[bytes] | None = None
        try:
            self.host, self.outside = self.space("host"), self.space("outside")
            self._join(mtu)
        except BaseException:
            self.close()
            raise

    def space(self, name: str) -> Space:
        """Another namespace, unconnected."""
        one = Space(name)
        self._spaces.append(one)
        return one

    def run(self, space: Space, argv: Sequence[str], check: bool = True) -> str:
        """The same as ``space.run``."""
        return space.run(*argv, check=check)

    def open_world(self, mtu: int = 1400) -> None:
        """Lead host's default route to the internet, over an uplink ``tap0`` of ``mtu`` bytes, by IPv4.

        slirp4netns translates it in user space to connections of the machine, whose network stays as it is.
        """
        program = find_program("slirp4netns")
        if program is None:
            pytest.skip("needs slirp4netns (Debian: slirp4netns)")
        self.host.batch("route del default", "route del ::/0")
        ready, told = os.pipe()
        flags = ["--configure", f"--mtu={mtu}", "--disable-host-loopback", f"--ready-fd={told}", "--netns-type=path"]
        argv = ["setpriv", "--pdeathsig", "KILL", "--", program, *flags, self.host.path, "tap0"]
        self._world = subprocess.Popen(argv, pass_fds=(told,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(told)
        with os.fdopen(ready, "rb") as waiting:
            assert waiting.read(1), "slirp4netns ended at once"

    def close(self) -> None:
        """Let everything go, last first."""
        if self._world is not None:
            self._world.kill()
            self._world.wait(PATIENCE_S)
        while self._spaces:
            self._spaces.pop().close()

    def _join(self, mtu: int) -> None:
        # not the index that it has in host: the kernel takes a second for the carrier of a veth whose ends share one
        veth = f"link add name eth0 index 9 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {self.host.path}"
        self.outside.batch(veth)
        for space in (self.host, self.outside):  # its link-local address counts at once, or IPv6 would wait 2 s for it
            space.sysctl("ipv6/conf/eth0/accept_dad", "0")
        self.host.batch(
            f"address add {self.HOST4}/24 dev eth0",
            f"address add {self.HOST6}/64 dev eth0 nodad",
            "link set eth0 up",
        )
        self.outside.batch(
            f"address add {self.OUTSIDE4}/24 dev eth0",
            f"address add {self.OUTSIDE6}/64 dev eth0 nodad",
            "link set eth0 up",
        )
        self.host.batch(f"route add default via {self.OUTSIDE4}", f"route add ::/0 via {self.OUTSIDE6}")


@contextlib.contextmanager
def netlab(mtu: int = 1500) -> Iterator[Netlab]:
    """A lab for the body; skips the test where there can't be one."""
    root_or_skip()
    if find_program("ip") is None:
        pytest.skip("needs ip (Debian: iproute2)")
    lab = Netlab(mtu)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def lab() -> Iterator[Netlab]:
    """A lab with an uplink of 1,500 bytes."""
    with netlab() as one:
        yield one
