"""The three files that Docker puts over an image's own: /etc/hostname, /etc/hosts, /etc/resolv.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.network import files as network_files
from sampan.network import resolvconf
from sampan.network.resolvconf import Overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sampan.engine.container import Stored
    from sampan.network.files import Entry
    from sampan.network.resolvconf import Kind, Resolution


def files(
    stored: Stored,
    host_hosts: bytes,
    host_resolv: bytes,
    defaults: Overrides = Overrides(),  # noqa: B008 - frozen
) -> dict[str, bytes]:
    """Return the files by name, of a container without a network of its own; the arguments are the host's own.

    ``defaults``: as `resolution` has them.
    """
    kind: Kind = "host" if stored.host.network_mode == "host" else "legacy"
    return {
        "hostname": hostname(stored),
        "hosts": hosts(stored, host_hosts),
        **network_files.resolv_files(resolution(stored, host_resolv, kind, defaults=defaults).content),
    }


def hostname(stored: Stored) -> bytes:
    """Return /etc/hostname."""
    return (stored.config.hostname + "\n").encode()


def hosts(
    stored: Stored,
    host_hosts: bytes,
    addresses: Sequence[str] = (),
    *,
    links: Sequence[Entry] = (),
    gateways: Sequence[str] = (),
    ipv6: bool = True,
) -> bytes:
    """Return /etc/hosts: the host's in its network (unless hosts are added), else made of names and addresses.

    ``addresses``: of its endpoints. ``links``: lines of linked containers. ``gateways``: what host-gateway stands for.
    """
    extra = [*network_files.extra_entries(stored.host.extra_hosts or [], gateways), *links]
    if stored.host.network_mode == "host" and host_hosts and not extra:
        return network_files.hosts(base=host_hosts)
    own = network_files.own_entries(addresses, stored.config.hostname, stored.config.domainname)
    return network_files.hosts(extra, own, ipv6=ipv6)


def resolution(
    stored: Stored,
    host_resolv: bytes,
    kind: Kind,
    *,
    ipv6: bool = False,
    path: str = resolvconf.HOST_FILE,
    defaults: Overrides = Overrides(),  # noqa: B008 - frozen
) -> Resolution:
    """Return /etc/resolv.conf and the servers behind it; what a container doesn't say, ``defaults`` (daemon.json) do.

    Raises BadConfig for a --dns that is no address.
    """
    host = stored.host
    overrides = Overrides(
        servers=host.dns or defaults.servers,
        search=host.dns_search or defaults.search,
        options=host.dns_options or defaults.options,
    )
    return resolvconf.resolve_conf(host_resolv, kind, overrides, ipv6=ipv6, path=path)
