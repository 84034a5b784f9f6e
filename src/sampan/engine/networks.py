"""Networks for the API: what Docker means by each call, over `sampan.network.fabric`.

The texts and statuses are those of dockerd 26.1 (tests/peer/networks.json).
"""

from __future__ import annotations

import builtins
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.api import schema
from sampan.engine import netfiles, places
from sampan.engine.errors import BadParameter, Conflict, EngineError, Forbidden, Internal, NoSuchContainer, NotFound
from sampan.engine.listing import matches
from sampan.engine.units import rfc3339, until
from sampan.linux import hostfiles
from sampan.network import files, parent, pools
from sampan.network.errors import AlreadyConnected, NetworkError, NetworkNameTaken, NoSuchNetwork
from sampan.network.model import (
    DEFAULT_BRIDGE,
    DEFAULT_NETWORK,
    OPTION_BRIDGE_NAME,
    OPTION_DEFAULT_BRIDGE,
    OPTION_HOST_BINDING,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    Network,
)
from sampan.network.predefined import PREDEFINED
from sampan.runtime.supervisor import MonitorGone

if TYPE_CHECKING:
    from sampan.engine.container import Container
    from sampan.engine.contracts import Actor, Filters
    from sampan.engine.core import Core
    from sampan.network.sandbox import Sandbox

log = logging.getLogger(__name__)

_DRIVERS: Final = ("bridge", "host", "null", "macvlan", "ipvlan")
_FILTERS: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_BOOLEANS: Final = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
_LINK_NAME: Final = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,15}")
_MTU_LEAST, _MTU_MOST = 68, 65535  # bytes; RFC 791, and what the kernel takes for a bridge
_POOLS, _AUXILIARY = 64, 1024
_NO_NAME: Final = (OPTION_BRIDGE_NAME, "")
_NO_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_DEFAULT_OPTIONS: Final = {
    OPTION_DEFAULT_BRIDGE: "true",
    OPTION_ICC: "true",
    OPTION_MASQUERADE: "true",
    OPTION_HOST_BINDING: "0.0.0.0",
    OPTION_BRIDGE_NAME: DEFAULT_BRIDGE,
}


class Networks:
    """All networks of one engine. ``ref`` is a name, an id, or an unambiguous beginning of one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._fabric = core.fabric

    # Making and removing

    async def create(self, body: schema.NetworkCreateRequest) -> schema.NetworkCreated:
        """Make a network."""
        return await self._core.run(self._create(body))

    async def _create(self, body: schema.NetworkCreateRequest) -> schema.NetworkCreated:
        self._check_name(body)
        body = self._configured(body)
        driver = body.driver or "bridge"
        _check_kind(body, driver)
        config = [msgspec.to_builtins(one) for one in (body.ipam.config if body.ipam else None) or []]
        config.sort(key=lambda one: ":" in (one.get("Subnet") or ""))  # as dockerd shows them; clients send any order
        ipv6 = bool(body.enable_ipv6)
        if not body.config_only:
            _check_pools(config)
            pools.check_config(pools.parse_config(config), enable_ipv6=ipv6)
            _check_options(driver, body.options or {})

        def shape(network: Network) -> Network:
            made = replace(
                network,
                enable_ipv6=ipv6,
                internal=body.internal,
                attachable=body.attachable,
                labels=dict(body.labels or {}),
                options={name: value for name, value in (body.options or {}).items() if (name, value) != _NO_NAME},
                ipam_driver=(body.ipam.driver if body.ipam else "") or "default",
                ipam_options=dict((body.ipam.options if body.ipam else None) or {}),
                config_given=tuple(config),
                config_only=body.config_only,
                config_from=body.config_from.network if body.config_from else "",
            )
            self._check_clash(made)
            return made

        network = await self._fabric.create(body.name, "null" if body.config_only else driver, shape)
        self._event(network, "create")
        return schema.NetworkCreated(id=network.id)

    def _check_name(self, body: schema.NetworkCreateRequest) -> None:
        if not body.name.strip():
            raise BadParameter(f"invalid name: {body.name}")
        if body.name in PREDEFINED or body.name == "default":
            raise Forbidden(f"operation is not permitted on predefined {body.name} network ")
        if any(one.name == body.name for one in self._fabric.networks.values()):
            raise NetworkNameTaken(body.name)

    def _configured(self, body: schema.NetworkCreateRequest) -> schema.NetworkCreateRequest:
        """Return the request with what a configuration network says."""
        source = body.config_from.network if body.config_from else ""
        if not source:
            return body
        if body.config_only:
            raise Forbidden("a configuration network cannot depend on another configuration network")
        found = next((one for one in self._fabric.networks.values() if one.name == source and one.config_only), None)
        if found is None:
            raise NotFound(f'configuration network "{source}" does not exist')
        if body.ipam and (body.ipam.config or body.ipam.options):
            raise Forbidden("user supplied configuration IPAM in conflict with configuration network")
        return msgspec.structs.replace(
            body,
            ipam=schema.IPAM(
                driver=found.ipam_driver,
                options=found.ipam_options,
                config=[msgspec.convert(one, schema.IPAMConfig) for one in found.config_given],
            ),
            options={**found.options, **(body.options or {})},
            labels={**found.labels, **(body.labels or {})},
            enable_ipv6=found.enable_ipv6 or body.enable_ipv6,
        )

    def _check_clash(self, network: Network) -> None:
        """Refuse a bridge or parent that another network has."""
        if network.driver == "bridge" and OPTION_BRIDGE_NAME in network.options:
            for other in self._fabric.networks.values():
                if other.driver == "bridge" and other.bridge == network.bridge:
                    raise Forbidden(
                        f"cannot create network {network.id} ({network.bridge}): conflicts with network {other.id} "
                        f"({other.bridge}): networks have same bridge name"
                    )
        if network.driver in ("macvlan", "ipvlan"):
            name = parent.parent_name(network)
            for other in self._fabric.networks.values():
                if other.driver in ("macvlan", "ipvlan") and parent.parent_name(other) == name:
                    raise Internal(f"network dm-{other.id[:12]} is already using parent interface {name}")

    async def remove(self, ref: str, *, by: Actor) -> None:
        """Remove a network. Raises NetworkInUse; Forbidden: it is a predefined one."""
        network = self._fabric.find(ref)
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        await self._core.run(self._remove(network))

    async def _remove(self, network: Network) -> None:
        await self._fabric.remove(network)
        self._event(network, "destroy")

    async def prune(self, filters: Filters) -> schema.NetworksPruned:
        """Remove the networks that no container refers to."""
        _check_filters(filters, frozenset({"label", "label!", "until"}))
        before = _until(filters)
        removed = []
        used = {name for one in self._core.catalog for name in places.settings_of(one)}
        for network in list(self._fabric.networks.values()):
            if network.name in PREDEFINED or network.name in used or network.id in used or network.config_only:
                continue
            if (before is None or network.created_ns < before) and _labelled(network, filters):
                await self._core.run(self._remove(network))
                removed.append(network.name)
        return schema.NetworksPruned(networks_deleted=removed or None)

    # Looking

    async def list(self, filters: Filters) -> builtins.list[schema.NetworkResource]:
        """Return the networks that pass the filters."""
        return [self._resource(one) for one in self._select(filters)]

    def _select(self, filters: Filters) -> builtins.list[Network]:
        _check_filters(filters, _FILTERS)
        kinds = filters.get("type") or []
        for kind in kinds:
            if kind not in ("custom", "builtin"):
                raise Internal(f"invalid filter: 'type'='{kind}'")
        dangling = _boolean(filters, "dangling")
        tests: tuple[Callable[[Network], bool], ...] = (
            lambda one: not filters.get("name") or any(matches(text, one.name) for text in filters["name"]),
            lambda one: not filters.get("id") or any(matches(text, one.id) for text in filters["id"]),
            lambda one: not filters.get("driver") or one.driver in filters["driver"],
            lambda one: not filters.get("scope") or "local" in filters["scope"],
            lambda one: not kinds or ("builtin" if one.name in PREDEFINED else "custom") in kinds,
            lambda one: dangling is None or dangling is (one.name not in PREDEFINED and not self._fabric.on(one)),
            lambda one: _labelled(one, filters),
        )
        return [one for one in self._fabric.networks.values() if all(test(one) for test in tests)]

    async def inspect(self, ref: str, *, verbose: bool, scope: str) -> schema.NetworkResource:
        """Return everything about a network; ``scope`` "" is any."""
        network = self._fabric.find(ref)
        if scope not in ("", "local"):
            raise NoSuchNetwork(ref)
        shown = self._resource(network)
        shown.containers = {}
        for one in self._fabric.on(network):
            container = self._core.catalog.find(one.sandbox_id)
            shown.containers[one.sandbox_id] = schema.NetworkContainer(
                name=container.name if container else "",
                endpoint_id=one.id,
                mac_address=one.mac,
                ipv4_address=one.ipv4,
                ipv6_address=one.ipv6,
            )
        if network.driver in ("host", "null"):
            shown.containers |= self._users(network)
        return shown

    def _users(self, network: Network) -> dict[str, schema.NetworkContainer]:
        """Return the running containers in the mode of a network without endpoints."""
        return {
            one.id: schema.NetworkContainer(name=one.name, endpoint_id=one.id)
            for one in self._core.catalog
            if one.running and one.stored.host.network_mode == network.name
        }

    def _resource(self, network: Network) -> schema.NetworkResource:
        config = [msgspec.convert(one, schema.IPAMConfig) for one in network.config_given] or [
            schema.IPAMConfig(subnet=pool.subnet, gateway=pool.gateway) for pool in network.ipv4 + network.ipv6
        ]
        options = dict(network.options)
        if network.name == DEFAULT_NETWORK:
            options = {**_DEFAULT_OPTIONS, OPTION_MTU: "1500", **options}
        given = network.ipam_options or None
        return schema.NetworkResource(
            name=network.name,
            id=network.id,
            created=rfc3339(network.created_ns),
            driver=network.driver,
            enable_ipv6=network.enable_ipv6,
            ipam=schema.IPAM(driver=network.ipam_driver, options=given, config=config or None),
            internal=network.internal,
            attachable=network.attachable,
            config_from=schema.ConfigReference(network=network.config_from),
            config_only=network.config_only,
            options=options,
            labels=network.labels,
        )

    # Connecting

    async def connect(self, ref: str, body: schema.NetworkConnect) -> None:
        """Put a container on one more network, live if it runs."""
        network = self._fabric.find(ref)
        if not body.container:
            raise BadParameter('invalid name or ID supplied: ""')
        container = self._core.catalog.get(body.container)
        await self._core.run(self._connect(network, container, body.endpoint_config or schema.EndpointSettings()))

    async def _connect(self, network: Network, container: Container, asked: schema.EndpointSettings) -> None:
        async with container.lock:
            asked = schema.EndpointSettings(
                asked.ipam_config, asked.links, asked.aliases, asked.mac_address, asked.driver_opts, asked.gw_priority
            )
            self._check_modes(network, container)
            settings = dict(places.settings_of(container))
            if network.name in settings:
                raise AlreadyConnected(container.name, network.name)
            wish = places.wish(container, network, asked)
            sandbox = self._fabric.sandbox(container.id)
            if container.run is not None and sandbox is not None:
                await self._fabric.connect(sandbox, wish)
                try:
                    await self._tell_inside(container, sandbox)
                    await self._keep(container, {**settings, network.name: asked})
                except BaseException:
                    await self._unplug(network, container, sandbox)
                    raise
            else:
                await self._keep(container, {**settings, network.name: asked})
        self._event(network, "connect", container)

    def _check_modes(self, network: Network, container: Container) -> None:
        mode = container.stored.host.network_mode
        if network.driver == "host" or mode == "host":
            raise BadParameter("container cannot be disconnected from host network or connected to host network")
        if mode.startswith(places.SHARED):
            raise BadParameter(
                "container sharing network namespace with another container or host cannot be connected to any other "
                "network"
            )
        if network.driver == "null" or mode == "none":
            raise BadParameter(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )

    async def disconnect(self, ref: str, body: schema.NetworkDisconnect) -> None:
        """Take a container from a network, live if it runs."""
        network = self._fabric.find(ref)
        container = self._core.catalog.find(body.container)
        if container is None:
            raise NotFound(f"endpoint {body.container} not found") if body.force else NoSuchContainer(body.container)
        await self._core.run(self._disconnect(network, container))

    async def _disconnect(self, network: Network, container: Container) -> None:
        async with container.lock:
            if container.stored.host.network_mode == "host" and network.driver == "host":
                raise BadParameter("container cannot be disconnected from host network or connected to host network")
            settings = dict(places.settings_of(container))
            if network.name not in settings:
                raise Internal(f"container {container.id} is not connected to network {network.name}")
            del settings[network.name]
            await self._keep(container, settings)  # from here on `take_up` would finish it
            sandbox = self._fabric.sandbox(container.id)
            if container.run is not None and sandbox is not None and network.id in sandbox.endpoints:
                await self._unplug(network, container, sandbox)
        self._event(network, "disconnect", container)

    async def _unplug(self, network: Network, container: Container, sandbox: Sandbox) -> None:
        gone = await self._fabric.disconnect(sandbox, network)
        directory = self._core.directories.path(container.id)
        await self._core.thread(files.remove_lines, directory / "hosts", (gone.ipv4, gone.ipv6))
        await self._tell_inside(container, sandbox)

    async def take_up(self) -> None:
        """After a restart: bring running containers to what is known of them, where a change was cut off."""
        for container in self._core.catalog:
            sandbox = self._fabric.sandbox(container.id)
            if container.run is None or sandbox is None:
                continue
            try:
                await self._take_up(container, sandbox)
            except (EngineError, NetworkError, OSError) as error:  # the others must be served all the same
                log.error("container %s: its networks: %s", container.short_id, error)

    async def _take_up(self, container: Container, sandbox: Sandbox) -> None:
        self._fabric.rename(container.id, places.namer(self._fabric, container))
        settings = places.settings_of(container)
        for network, _one in self._fabric.places(sandbox):
            if network.name not in settings:
                log.info("container %s is taken from network %s: that was cut off", container.short_id, network.name)
                await self._unplug(network, container, sandbox)
        if sandbox.resolver is None and self._core.resolution(container, sandbox) is not None:
            await self._tell_inside(container, sandbox)

    async def _keep(self, container: Container, settings: dict[str, schema.EndpointSettings]) -> None:
        stored = container.stored
        before, stored.networking = stored.networking, schema.NetworkingConfig(endpoints_config=settings)
        try:
            await self._core.durable(self._core.rows.set_config(container.id, container.row("").config))
        except BaseException:
            stored.networking = before
            raise

    async def _tell_inside(self, container: Container, sandbox: Sandbox) -> None:
        """Bring /etc/hosts, /etc/resolv.conf and the resolver of a running container up to date."""
        core, directory = self._core, self._core.directories.path(container.id)
        addresses = [text for one in sandbox.endpoints.values() for text in (one.ipv4, one.ipv6)]
        stored = container.stored
        own = files.own_entries(addresses, stored.config.hostname, stored.config.domainname)

        def rewrite() -> None:
            files.remove_lines(directory / "hosts", addresses)
            files.add_lines(directory / "hosts", own)

        await core.thread(rewrite)
        resolution = core.resolution(container, sandbox)
        if resolution is None:
            plain = netfiles.resolution(
                stored, hostfiles.read("/etc/resolv.conf"), "legacy", defaults=core.settings.dns
            )
            await core.thread(files.update_resolv, directory, plain.content)
        else:
            await core.thread(files.update_resolv, directory, resolution.content)
            kept = await self._fabric.resolve_in(sandbox, resolution)
            if kept and container.run is not None:
                try:
                    await container.run.monitor.keep(kept)
                except MonitorGone as error:
                    raise Conflict(f"container {container.id} is not running") from error

    def _event(self, network: Network, action: str, container: Container | None = None) -> None:
        attributes = {"name": network.name, "type": network.driver}
        if container is not None:
            attributes["container"] = container.id
        self._core.events.publish("network", action, network.id, attributes)


def _check_kind(body: schema.NetworkCreateRequest, driver: str) -> None:
    if body.ingress:
        raise Forbidden("Ingress network can only be global scope network")
    if driver == "overlay":
        raise Forbidden(_NO_SWARM)
    if body.scope not in ("", "local"):
        raise Forbidden(f"cannot create a {body.scope} scoped network when swarm is not active")
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver not in _DRIVERS:
        raise NotFound(f'plugin "{driver}" not found')
    if body.ipam and body.ipam.driver not in ("", "default"):
        raise NotFound(f'plugin "{body.ipam.driver}" not found')


def _check_options(driver: str, options: dict[str, str]) -> None:
    if driver != "bridge":
        return
    for name in (OPTION_ICC, OPTION_MASQUERADE):
        value = options.get(name)
        if value is not None and value not in _BOOLEANS:
            why = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            raise BadParameter(f"failed to parse {name} value: {value} ({why})")
    mtu = options.get(OPTION_MTU)
    if mtu is not None:
        try:
            number = int(mtu)
        except ValueError:
            why = f'strconv.Atoi: parsing "{mtu}": invalid syntax'
            raise BadParameter(f"failed to parse {OPTION_MTU} value: {mtu} ({why})") from None
        if number < 0:
            raise BadParameter(f"invalid MTU number: {number}")
        if not _MTU_LEAST <= (number or _MTU_LEAST) <= _MTU_MOST:
            raise BadParameter(f"invalid MTU number: {number}: a bridge takes {_MTU_LEAST} to {_MTU_MOST}")
    bridge = options.get(OPTION_BRIDGE_NAME)
    if bridge and not _LINK_NAME.fullmatch(bridge):
        raise BadParameter(f'invalid bridge name "{bridge}": at most 15 letters, digits, ".", "_" and "-"')
    address = options.get(OPTION_HOST_BINDING)
    if address is not None and not _is_ipv4(address):
        raise BadParameter(f"failed to parse {OPTION_HOST_BINDING} value: {address} (nil ip)")


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)


def _check_pools(config: list[dict[str, Any]]) -> None:
    """Refuse more than anybody means, before it is compared with each other; and what no link can have."""
    if len(config) > _POOLS or any(len(one.get("AuxiliaryAddresses") or ()) > _AUXILIARY for one in config):
        raise BadParameter(f"invalid network config: at most {_POOLS} subnets, with {_AUXILIARY} aux addresses each")
    for one in config:
        try:
            net = ip_network(one.get("Subnet") or "10.0.0.0/8", strict=False)
        except ValueError:
            continue  # told by `pools.check_config`
        if net.is_multicast or net.is_loopback or net.is_unspecified:
            raise BadParameter(f"invalid network config: no container can have an address of {net}")


def _check_filters(filters: dict[str, Any], known: frozenset[str]) -> None:
    for name in filters:
        if name not in known:
            raise BadParameter(f"invalid filter '{name}'")


def _boolean(filters: dict[str, list[str]], name: str) -> bool | None:
    values = filters.get(name)
    if not values:
        return None
    if values[0] not in ("true", "1", "false", "0"):
        raise BadParameter(f'invalid value for filter \'{name}\', must be "true" (or "1"), or "false" (or "0")')
    return values[0] in ("true", "1")


def _labelled(network: Network, filters: dict[str, list[str]]) -> bool:
    def has(text: str) -> bool:
        name, equals, value = text.partition("=")
        return name in network.labels and (not equals or network.labels[name] == value)

    return all(map(has, filters.get("label") or [])) and not any(map(has, filters.get("label!") or []))


def _until(filters: dict[str, list[str]]) -> int | None:
    values = filters.get("until") or []
    if len(values) > 1:
        raise BadParameter("more than one until filter specified")
    if not values:
        return None
    try:
        return until(values[0], time.time_ns())
    except BadParameter:
        raise BadParameter(f'failed to parse value as time or duration: "{values[0]}"') from None
