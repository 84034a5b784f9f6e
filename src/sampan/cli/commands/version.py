"""``version``."""

from __future__ import annotations

import os
import sys

from sampan.cli.errors import CommandError
from sampan.cli.kinds import STRING
from sampan.cli.output.listing import INSPECT_FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

SIZES = (20, 1)  # minimum column width and padding
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_ENGINE = (
    ("Version", "Version"),
    ("API version", "ApiVersion"),
    ("Go version", "GoVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
    ("OS/Arch", "Os"),
    ("Experimental", "Experimental"),
)


def client_info(api_version: str) -> dict[str, Any]:
    """What there is to say about this client, with the names of Docker's."""
    from sampan import __version__
    from sampan.api.client.client import API_VERSION

    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": api_version,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
        "Os": "linux",
        "Arch": _ARCHITECTURES.get(machine, machine),
        "Context": "default",
    }


def version(session: Session, arguments: Arguments) -> int:
    """``sampan version``. The client's part is shown even where no daemon answers."""
    from sampan.api.client.client import API_VERSION
    from sampan.api.client.errors import ClientError

    layout, problem, server = arguments["format"], None, None
    template = _parse(layout) if layout not in {"", "json"} else None
    api_version = API_VERSION
    try:
        server = _readable_build_time(session.client.server_version())
        api_version = session.client.version
    except (ClientError, OSError) as error:
        problem = error
    client = client_info(api_version)
    if layout == "json":
        from sampan.cli.template.values import to_json

        session.line(to_json({"Client": client, "Server": server}))
    elif template is not None:
        _show(session, template, client, server)
    else:
        session.out(_pretty(client, server))
    if problem is not None:
        raise CommandError(str(problem))
    return 0


def _show(session: Session, template: Any, client: dict[str, Any], server: dict[str, Any] | None) -> None:
    """Run a ``--format``; a faulty one prints an empty line, as Docker's does, and raises CommandError."""
    from sampan.cli.template import TemplateError
    from sampan.cli.template.values import Struct, object_of

    names = {"APIVersion": "ApiVersion"}
    ours = Struct(client, {"GitCommit": "", "GoVersion": "", "BuildTime": ""}, names)
    value = {"Client": ours, "Server": None if server is None else Struct(server, {"Experimental": False}, names)}
    try:
        text = template.run(object_of(value, "system.versionInfo"))
    except TemplateError as error:
        session.line("")
        raise CommandError(str(error)) from None
    session.line(text)


def _parse(layout: str) -> Any:
    from sampan.cli.template import Template, TemplateError

    try:
        return Template(layout, "version")
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def _pretty(client: dict[str, Any], server: dict[str, Any] | None) -> str:
    from sampan.cli.output.tabwriter import align

    api = client["ApiVersion"]
    downgraded = "" if api == client["DefaultAPIVersion"] else f" (downgraded from {client['DefaultAPIVersion']})"
    lines = [
        "Client:",
        f" Version:\t{client['Version']}",
        f" API version:\t{api}{downgraded}",
        f" Python version:\t{client['PythonVersion']}",
        f" OS/Arch:\t{client['Os']}/{client['Arch']}",
        f" Context:\t{client['Context']}",
    ]
    if server is not None:
        lines += _server_lines(server)
    return align("\n".join(lines) + "\n", *SIZES)


def _server_lines(server: dict[str, Any]) -> list[str]:
    platform = (server.get("Platform") or {}).get("Name") or ""
    lines = ["", f"Server: {platform}".rstrip()]
    components = list(server.get("Components") or [])
    if not any(component["Name"] == "Engine" for component in components):
        details = {key: server.get(key, "") for key in ("ApiVersion", "MinAPIVersion", "GoVersion", "GitCommit")}
        details |= {key: server.get(key, "") for key in ("Os", "Arch", "BuildTime")}
        details["Experimental"] = "true" if server.get("Experimental") else "false"
        components.append({"Name": "Engine", "Version": server.get("Version", ""), "Details": details})
    for component in components:
        lines.append(f" {component['Name']}:")
        lines += _component_lines(component)
    return lines


def _component_lines(component: dict[str, Any]) -> list[str]:
    details = component.get("Details") or {}
    if component["Name"] != "Engine":
        version_line = f"  Version:\t{component['Version']}"
        return [version_line, *(f"  {name}:\t{details[name]}" for name in sorted(details))]
    values = details | {
        "Version": component["Version"],
        "ApiVersion": f"{details.get('ApiVersion', '')} (minimum version {details.get('MinAPIVersion', '')})",
        "Os": f"{details.get('Os', '')}/{details.get('Arch', '')}",
    }
    # Ours has no Go and may have no commit: such lines are left out.
    return [f"  {title}:\t{values[name]}" for title, name in _ENGINE if name == "GitCommit" or values.get(name)]


def _readable_build_time(server: dict[str, Any]) -> dict[str, Any]:
    """The engine's build time in the form that people read."""
    for component in server.get("Components") or ():
        details = component.get("Details") or {}
        if component["Name"] == "Engine" and "BuildTime" in details:
            details["BuildTime"] = _ansi_time(details["BuildTime"])
    return server


def _ansi_time(text: str) -> str:
    """RFC 3339 as ``Thu Aug 13 05:35:48 2026``; anything else as it is."""
    import time

    try:
        moment = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return text
    return time.asctime(moment)


VERSION = Command(
    "version [OPTIONS]",
    "Show the Sampan version information",
    version,
    (Flag("format", STRING, INSPECT_FORMAT_HELP, "f"),),
)
