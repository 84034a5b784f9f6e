"""nginx of Debian: installed in a container through the host's uplink, published, and fetched from everywhere."""

from urllib.parse import urlsplit

import pytest

from support.images import DEBIAN
from support.netlab import Netlab, Space
from support.processes import wait_for
from support.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MIRROR = "deb.debian.org"
INSTALL = "apt-get -q update && apt-get -qq -y install --no-install-recommends nginx-light"
SERVE = "exec nginx -g 'daemon off;'"


@pytest.fixture(scope="module")
def web(debian: Site) -> str:
    """A container that installs nginx and serves, published on every address of the host."""
    name = f"nginx-{debian.engine.token}"
    back = debian.network("back")
    flags = f"-e DEBIAN_FRONTEND=noninteractive --network {back} --network-alias www -p 28480:80 -p 127.0.0.1:28481:80"
    mine = ("--label", f"sampan.test={debian.engine.token}")
    debian.engine.ok("run", "-d", *mine, "--name", name, *flags.split(), DEBIAN, "sh", "-c", f"{INSTALL} && {SERVE}")

    def serves() -> bool:
        assert debian.engine.look(name, "{{.State.Running}}") == "true", debian.engine.ok("logs", name)
        return "Welcome to nginx" in fetch(debian.host, "http://127.0.0.1:28480/")

    wait_for(serves, "nginx is installed and serves", timeout=110)
    return name


def fetch(space: Space, url: str) -> str:
    """What curl gets; "" when nothing answers within two seconds."""
    assert urlsplit(url).port
    return space.run("curl", "-gs", "-m", "2", url, check=False)


def test_apt_got_its_lists_and_nginx(debian: Site, web: str) -> None:
    said = debian.engine.docker("logs", web).out
    assert "Reading package lists" in said and "Err:" not in said and "Setting up nginx-light" in said


def test_the_uplinks_mtu_is_the_containers(debian: Site, web: str) -> None:
    assert debian.host.ip("link", "show", "tap0")[0]["mtu"] == 1400
    assert debian.inside(web, "cat /sys/class/net/eth0/mtu") == "1400"


def test_it_is_fetched_from_everywhere(debian: Site, web: str) -> None:
    assert debian.outside is not None
    stranger = debian.space(debian.sleeper("stranger"))
    for space, host in (
        (debian.outside, Netlab.HOST4),
        (debian.outside, f"[{Netlab.HOST6}]"),
        (debian.host, Netlab.HOST4),
        (debian.host, "127.0.0.1"),
        (debian.host, "[::1]"),
        (stranger, Netlab.HOST4),
        (debian.space(web), Netlab.HOST4),
    ):
        assert "Welcome to nginx" in fetch(space, f"http://{host}:28480/"), f"{space.name} at {host}"
    assert "Welcome to nginx" in fetch(debian.host, "http://127.0.0.1:28481/")
    assert fetch(debian.outside, f"http://{Netlab.HOST4}:28481/") == ""


def test_it_sees_who_asks(debian: Site, web: str) -> None:
    assert debian.outside is not None
    fetch(debian.outside, f"http://{Netlab.HOST4}:28480/who")
    log = debian.inside(web, "cat /var/log/nginx/access.log")
    assert any(line.startswith(f"{Netlab.OUTSIDE4} ") and "/who" in line for line in log.splitlines()), log


def test_its_name_is_found(debian: Site, web: str) -> None:
    asker = debian.sleeper("asker", "--network", f"back-{debian.engine.token}")
    for name in ("www", web):
        assert "Welcome to nginx" in debian.inside(asker, f"wget -q -O - http://{name}/")


def test_names_of_the_world_on_the_default_bridge(debian: Site) -> None:
    assert MIRROR in debian.run(DEBIAN, "getent", "hosts", MIRROR).out
