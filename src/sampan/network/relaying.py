"""Which published ports the relay serves, kept in step with where a sandbox is.

The sockets that hold those ports stay sampand's too (`Sandbox.holders`): the next change of networks may need a relay.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from sampan.network import ruleset
from sampan.network.model import Publication
from sampan.network.relay import Relays, Target, stop_listening
from sampan.network.sandbox import Sandbox, port_name

log = logging.getLogger(__name__)


def hold(sandbox: Sandbox, sockets: Mapping[str, int]) -> None:
    """Keep copies of the sockets, by `port_name`, that a relay may listen on one day."""
    for one in sandbox.publications:
        name = port_name(one)
        if ":" in one.host_ip and one.protocol in ("tcp", "udp") and name in sockets and name not in sandbox.holders:
            sandbox.holders[name] = socket.socket(fileno=os.dup(sockets[name]))


async def tend(relays: Relays, sandbox: Sandbox, *, loopback: bool) -> None:
    """Start and stop relays as the publications want it now.

    One whose target has changed begins anew: what it had open led to an address that somebody else may have.
    ``loopback``: see `ruleset.is_relayed`.
    """
    wanted = {port_name(one): _target(one) for one in sandbox.publications if _is_relayed(one, sandbox, loopback)}
    for name, target in list(sandbox.relays.items()):
        if wanted.get(name) != target:
            del sandbox.relays[name]
            await relays.stop(_key(sandbox, name))
    for name, target in wanted.items():
        if name not in sandbox.relays and _start(relays, sandbox, name, target):
            sandbox.relays[name] = target


def quiet(sandbox: Sandbox) -> None:
    """Let nobody be accepted at ports without a relay: the listener of a sampand that died lives on in the sockets."""
    for name in sandbox.holders.keys() - sandbox.relays.keys():
        stop_listening(sandbox.holders[name])


async def stop(relays: Relays, sandbox: Sandbox) -> None:
    """Stop all relays of a sandbox, and let go of its sockets."""
    while sandbox.relays:
        await relays.stop(_key(sandbox, sandbox.relays.popitem()[0]))
    while sandbox.holders:
        sandbox.holders.popitem()[1].close()


def _is_relayed(one: Publication, sandbox: Sandbox, loopback: bool) -> bool:
    return (
        port_name(one) in sandbox.holders
        and bool(one.target_ipv4 or one.target_ipv6)
        and ruleset.is_relayed(one, relay_loopback=loopback)
    )


def _target(one: Publication) -> Target:
    return one.target_ipv4 or one.target_ipv6, one.container_port


def _key(sandbox: Sandbox, name: str) -> str:
    return f"{sandbox.id}:{name}"


def _start(relays: Relays, sandbox: Sandbox, name: str, target: Target) -> bool:
    listener = sandbox.holders[name].dup()
    try:
        relays.start(_key(sandbox, name), listener, target)
    except OSError as error:
        listener.close()
        log.warning("port %s of container %s is not relayed from IPv6: %s", name, sandbox.id[:12], error)
        return False
    return True
