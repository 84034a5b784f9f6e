"""An image's defaults put into what a container was asked to be, as `docker create` does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sampan.api import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def with_image_defaults(asked: schema.ContainerConfig, defaults: Mapping[str, Any]) -> schema.ContainerConfig:
    """Return what was asked, completed by the ``config`` of an image's configuration.

    Environment, labels, ports and volumes are united (what was asked wins); the rest is taken where nothing was asked.
    The image's command counts only if neither command nor entry point was given.
    """
    image = schema.convert(dict(defaults), schema.ContainerConfig)
    config = msgspec.structs.replace(asked)
    config.user = asked.user or image.user
    config.working_dir = asked.working_dir or image.working_dir
    config.stop_signal = asked.stop_signal or image.stop_signal
    config.shell = asked.shell or image.shell
    config.healthcheck = _healthcheck(asked.healthcheck, image.healthcheck)
    config.exposed_ports = {**image.exposed_ports, **asked.exposed_ports}
    config.labels = {**(image.labels or {}), **(asked.labels or {})}
    config.env = _environment(asked.env, image.env)
    if image.volumes:
        config.volumes = {**image.volumes, **(asked.volumes or {})}
    if not asked.entrypoint:
        if not asked.cmd:
            config.cmd = image.cmd
            config.args_escaped = image.args_escaped
        if asked.entrypoint is None:
            config.entrypoint = image.entrypoint
    return config


def _healthcheck(asked: schema.HealthConfig | None, image: schema.HealthConfig | None) -> schema.HealthConfig | None:
    if asked is None or image is None:
        return asked or image
    merged = msgspec.structs.replace(asked)
    for name in schema.HealthConfig.__struct_fields__:
        if not getattr(merged, name):
            setattr(merged, name, getattr(image, name))
    return merged


def _environment(asked: list[str] | None, image: list[str] | None) -> list[str] | None:
    if not asked:
        return image or asked
    named = {entry.partition("=")[0] for entry in asked}
    return asked + [entry for entry in image or [] if entry.partition("=")[0] not in named]


def command(config: schema.ContainerConfig) -> list[str]:
    """Return entry point and command as one list; an entry point of one empty word is none."""
    entrypoint = config.entrypoint or []
    if entrypoint == [""]:
        entrypoint = []
    return [*entrypoint, *(config.cmd or [])]


def override_environment(defaults: Iterable[str], changes: Iterable[str]) -> list[str]:
    """Return ``defaults`` with ``changes``: a variable there is replaced in place, one without ``=`` is taken out."""
    result: list[str | None] = list(defaults)
    places = {entry.partition("=")[0]: index for index, entry in enumerate(result) if entry is not None}
    for entry in changes:
        name, equals, _value = entry.partition("=")
        if name in places:
            result[places[name]] = entry if equals else None
        elif equals:
            result.append(entry)
    return [entry for entry in result if entry is not None]
