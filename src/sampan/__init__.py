"""Sampan: a small, fast container engine that speaks the Docker Engine API.

``from sampan import Client`` gives the client of the API; it is imported when first asked for.
"""

__version__ = "0.1.0"

__all__ = ["Client", "__version__"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.api.client.client import Client


def __getattr__(name: str) -> object:
    if name == "Client":
        from sampan.api.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
