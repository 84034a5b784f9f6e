"""What the engine refuses, in Docker's words; each error knows its HTTP status.

* EngineError                      500
  x NotModified                    304   nothing to do: it runs already, or it is stopped already
  x BadParameter                   400
  x Forbidden                      403
  x NotFound                       404
    - NoSuchContainer(ref)         404
    - NoSuchExec(ref)              404
    - AmbiguousPrefix(ref)         404
  x Conflict                       409
    - NameTaken(name, holder)      409
    - NotRunning(id)               409
  x Internal                       500
  x Unsupported                    501
"""

from __future__ import annotations

from typing import ClassVar, Final


class EngineError(Exception):
    """A request that can't be served; `str()` is Docker's message."""

    status: ClassVar[int] = 500  # HTTP

    def within(self, context: str) -> EngineError:
        """Return an error of the same status whose text begins with ``context``."""
        kind = next(one for one in _KINDS if isinstance(self, one))
        return kind(f"{context}{self}")


class NotModified(EngineError):
    """The object is in the state that was asked for."""

    status = 304


class BadParameter(EngineError):
    """The request is wrong in itself."""

    status = 400


class Forbidden(EngineError):
    """The request is right and is not allowed."""

    status = 403


class NotFound(EngineError):
    """There is no such object."""

    status = 404


class Conflict(EngineError):
    """The request doesn't fit the state that the object is in."""

    status = 409


class Internal(EngineError):
    """The engine, the kernel or the disk failed."""

    status = 500


class Unsupported(EngineError):
    """Docker has it and this engine does not."""

    status = 501


class NoSuchContainer(NotFound):
    """No container has this id, prefix or name."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"No such container: {ref}")
        self.ref = ref


class NoSuchExec(NotFound):
    """No exec session has this id."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"No such exec instance: {ref}")


class AmbiguousPrefix(BadParameter):
    """More than one id starts so."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"multiple IDs found with provided prefix: {ref}")


class NameTaken(Conflict):
    """Another container has the name."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
        self.name, self.holder = name, holder


class NotRunning(Conflict):
    """What was asked needs a running container."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"container {container_id} is not running")


# What dockerd puts before the texts of those who work for it; its clients look at them.
TASK_FAILED: Final = "failed to create task for container: "
RUNC_FAILED: Final = (
    f"{TASK_FAILED}failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)
INIT_FAILED: Final = f"{RUNC_FAILED}error during container init: "
NOT_A_DIRECTORY: Final = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)

_KINDS: Final = (NotModified, BadParameter, Forbidden, NotFound, Conflict, Unsupported, Internal, EngineError)
