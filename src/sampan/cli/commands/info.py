"""``info``."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import binary_size
from sampan.cli.kinds import STRING
from sampan.cli.output.listing import INSPECT_FORMAT_HELP
from sampan.cli.parser import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session


def info(session: Session, arguments: Arguments) -> int:
    """``sampan info``. The client's part is shown even where no daemon answers."""
    from sampan.api.client.errors import ClientError, ConnectionFailed
    from sampan.cli.commands.version import client_info

    layout = arguments["format"]
    template = _parse(layout) if layout not in {"", "json"} else None
    server: dict[str, Any] | None = None
    problem: Exception | None = None
    try:
        server = session.client.info()
    except ConnectionFailed as error:
        problem = error
    except ClientError as error:
        session.error_line(f"ERROR: {error}")
        problem = CommandError("errors pretty printing info")
    client = client_info("") | {"Debug": session.debugging, "Plugins": [], "Warnings": None}
    if layout:
        _show(session, template, (server or {}) | {"ClientInfo": client})
    else:
        session.out(_client_lines(client) + "\nServer:\n")
        if server is not None:
            session.out("".join(f"{line}\n" for line in _server_lines(server, debug=session.debugging)))
            for warning in server.get("Warnings") or ():
                session.error_line(warning)
    if problem is not None:
        raise CommandError(str(problem))
    return 0


def _show(session: Session, template: Any, value: dict[str, Any]) -> None:
    """Run a ``--format`` (None: all as JSON); a faulty one prints an empty line, and raises CommandError."""
    from sampan.cli.template import TemplateError
    from sampan.cli.template.values import object_of, to_json

    try:
        text = to_json(value) if template is None else template.run(object_of(value, "system.dockerInfo"))
    except TemplateError as error:
        session.line("")
        raise CommandError(str(error)) from None
    session.line(text)


def _parse(layout: str) -> Any:
    from sampan.cli.template import Template, TemplateError

    try:
        return Template(layout)
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def _client_lines(client: dict[str, Any]) -> str:
    debug = _bool(client["Debug"])
    return f"Client:\n Version:    {client['Version']}\n Context:    {client['Context']}\n Debug Mode: {debug}\n"


def _bool(value: object) -> str:
    return "true" if value else "false"


def _server_lines(server: dict[str, Any], *, debug: bool) -> list[str]:
    lines = [
        f" Containers: {server.get('Containers', 0)}",
        f"  Running: {server.get('ContainersRunning', 0)}",
        f"  Paused: {server.get('ContainersPaused', 0)}",
        f"  Stopped: {server.get('ContainersStopped', 0)}",
        f" Images: {server.get('Images', 0)}",
        *_named(server, ("Server Version", "ServerVersion"), ("Storage Driver", "Driver")),
        *(f"  {key}: {value}" for key, value in server.get("DriverStatus") or ()),
        *_named(
            server,
            ("Logging Driver", "LoggingDriver"),
            ("Cgroup Driver", "CgroupDriver"),
            ("Cgroup Version", "CgroupVersion"),
        ),
        *_plugin_lines(server.get("Plugins") or {}),
    ]
    lines += _list_of("CDI spec directories", server.get("CDISpecDirs"))
    lines.append(f" Swarm: {(server.get('Swarm') or {}).get('LocalNodeState', '')}")
    if server.get("Runtimes"):
        lines.append(f" Runtimes: {' '.join(server['Runtimes'])}")
        lines.append(f" Default Runtime: {server.get('DefaultRuntime', '')}")
    if server.get("OSType") == "linux":
        lines += _linux_lines(server)
    lines += _machine_lines(server, debug=debug)
    return [*lines, *_registry_lines(server), *_last_lines(server), ""]


def _named(server: dict[str, Any], *pairs: tuple[str, str]) -> list[str]:
    """Lines of fields that are left out when empty."""
    return [f" {title}: {server[name]}" for title, name in pairs if server.get(name)]


def _list_of(title: str, items: list[str] | None) -> list[str]:
    return [f" {title}:", *(f"  {item}" for item in items)] if items else []


def _plugin_lines(plugins: dict[str, Any]) -> list[str]:
    shown = [
        name for name in ("Volume", "Network", "Authorization", "Log") if name != "Authorization" or plugins.get(name)
    ]
    return [" Plugins:", *(f"  {name}: {' '.join(plugins.get(name) or ())}" for name in shown)]


def _linux_lines(server: dict[str, Any]) -> list[str]:
    lines = [f" Init Binary: {server.get('InitBinary', '')}"]
    for title, name in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        lines.append(f" {title} version: {(server.get(name) or {}).get('ID', '')}")
    options = server.get("SecurityOptions")
    if options:
        lines.append(" Security Options:")
    for option in options or ():
        pairs = dict(part.partition("=")[::2] for part in option.split(","))
        lines.append(f"  {pairs.get('name', option)}")
        lines += [f"   Profile: {pairs['profile']}"] if "profile" in pairs else []
    return lines


def _machine_lines(server: dict[str, Any], *, debug: bool) -> list[str]:
    lines = _named(
        server,
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
    )
    lines += [f" CPUs: {server.get('NCPU', 0)}", f" Total Memory: {binary_size(server.get('MemTotal', 0))}"]
    lines += _named(server, ("Name", "Name"), ("ID", "ID"))
    lines += [f" Docker Root Dir: {server.get('DockerRootDir', '')}", f" Debug Mode: {_bool(server.get('Debug'))}"]
    if server.get("Debug") or debug:
        lines += [
            f"  File Descriptors: {server.get('NFd', 0)}",
            f"  Goroutines: {server.get('NGoroutines', 0)}",
            f"  System Time: {server.get('SystemTime', '')}",
            f"  EventsListeners: {server.get('NEventsListener', 0)}",
        ]
    lines += _named(server, ("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy"))
    lines += _list_of("Labels", server.get("Labels"))
    return [*lines, f" Experimental: {_bool(server.get('ExperimentalBuild'))}"]


def _registry_lines(server: dict[str, Any]) -> list[str]:
    registry = server.get("RegistryConfig") or {}
    indexes, ranges = registry.get("IndexConfigs") or {}, registry.get("InsecureRegistryCIDRs") or []
    insecure = [name for name, index in indexes.items() if not index.get("Secure")]
    lines = _list_of("Insecure Registries", [*insecure, *ranges])
    if not lines and indexes:
        lines = [" Insecure Registries:"]
    return lines + _list_of("Registry Mirrors", registry.get("Mirrors"))


def _last_lines(server: dict[str, Any]) -> list[str]:
    lines = [f" Live Restore Enabled: {_bool(server.get('LiveRestoreEnabled'))}"]
    lines += _named(server, ("Product License", "ProductLicense"))
    pools = server.get("DefaultAddressPools") or []
    if pools:
        lines.append(" Default Address Pools:")
        lines += [f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools]
    return lines


INFO = Command(
    "info [OPTIONS]",
    "Display system-wide information",
    info,
    (Flag("format", STRING, INSPECT_FORMAT_HELP, "f"),),
    aliases=("system info", "info"),
)
