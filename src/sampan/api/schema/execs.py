"""Exec: more processes in a running container."""

from sampan.api.schema.base import Int64, StrSlice, Struct, Uint, omitted, shown


class ExecCreate(Struct):
    """The body of POST /containers/{id}/exec."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: list[Uint] | None = None
    """Height, width."""
    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach: bool = False
    detach_keys: str = ""
    env: list[str] = omitted([])
    working_dir: str = ""
    cmd: StrSlice = omitted([])


class ExecCreated(Struct):
    """The answer to it."""

    id: str = shown("")


class ExecStart(Struct):
    """The body of POST /exec/{id}/start."""

    detach: bool = False
    tty: bool = False
    console_size: list[Uint] | None = None


class ExecProcess(Struct, rename=None):
    """The command, in lower-case keys."""

    tty: bool = shown(False)
    entrypoint: str = shown("")
    arguments: list[str] = shown([])
    privileged: bool | None = None
    user: str = ""


class ExecInspect(Struct):
    """GET /exec/{id}/json; `exit_code` is None until it ended."""

    id: str = shown("", "ID")
    running: bool = shown(False)
    exit_code: Int64 | None = shown(None)
    process_config: ExecProcess = shown(ExecProcess())
    open_stdin: bool = shown(False)
    open_stderr: bool = shown(False)
    open_stdout: bool = shown(False)
    can_remove: bool = shown(False)
    container_id: str = shown("", "ContainerID")
    detach_keys: str = shown("")
    pid: Int64 = shown(0)
