"""``images --tree``: images on the layers that they share.

Words.  *node*: layers that the same images have, one upon the other. A node is shown as the image that ends with it, or
        as a number of layers where none ends or several do.
Output. SIZE is what a line adds to the one that it hangs on: each byte is counted once, and the last line is the sum.
        TOTAL is the size of an image, with all that it stands on.
"""

from __future__ import annotations

from sampan.cli.errors import CommandError, explain
from sampan.cli.gotext import human_size
from sampan.cli.output.images import NONE
from sampan.cli.output.tabwriter import TABLE, align
from sampan.cli.references import short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

    Json = dict[str, Any]

_TITLES = ("IMAGE", "IMAGE ID", "SIZE", "TOTAL")
_NOT_WITH = ("digests", "format", "quiet")


class Node:
    """Layers, what stands on them, and the images that end with them."""

    __slots__ = ("above", "images", "layers", "size")

    def __init__(self) -> None:
        self.layers: list[str] = []  # chain IDs
        self.size = 0
        self.above: dict[str, Node] = {}
        self.images: list[Json] = []


def show(session: Session, arguments: Arguments, filters: Mapping[str, Iterable[str]]) -> int:
    """Write the tree of the images that pass the filters. Raises CommandError."""
    for name in _NOT_WITH:
        if arguments[name]:
            raise CommandError(f"--{name} is not supported with --tree")
    images = session.client.images(everything=arguments["all"], filters=filters)
    layers = {one["Id"]: one["Layers"] for one in _layers(session)}
    root = tree(images, layers)
    lines = [_TITLES, *_lines(root, "", trunc=not arguments["no-trunc"])]
    lines.append((_summary(images, root), "", human_size(total(root), 3), ""))
    table = align("\n".join(map("\t".join, lines)), *TABLE)
    session.out("".join(f"{line.rstrip()}\n" for line in table.split("\n")))
    return 0


def _layers(session: Session) -> list[Json]:
    from sampan.api.client.errors import NotFound

    try:
        return session.client.image_layers()
    except NotFound:
        raise explain(
            "cannot show which layers are shared",
            f"the daemon at {session.client.address.text} is not a sampand that tells",
            "the same without --tree, or a newer sampand",
        ) from None


def tree(images: Iterable[Json], layers: Mapping[str, list[Json]]) -> Node:
    """The images on their layers, in the order that they come in. The root has no layers."""
    root = Node()
    for image in images:
        node = root
        for layer in layers.get(image["Id"], ()):
            if layer["ChainId"] not in node.above:
                node.above[layer["ChainId"]] = below = Node()
                below.layers, below.size = [layer["ChainId"]], layer["Size"]
            node = node.above[layer["ChainId"]]
        node.images.append(image)
    for node in root.above.values():
        _join(node)
    return root


def _join(node: Node) -> None:
    """Make one node of those that the same images have."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        while len(node.above) == 1 and not node.images:
            (only,) = node.above.values()
            node.layers += only.layers
            node.size += only.size
            node.images, node.above = only.images, only.above
        waiting += node.above.values()


def total(root: Node) -> int:
    """The bytes of all layers, each once."""
    return sum(node.size for node in _all(root))


def _all(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.above.values()


def _lines(node: Node, indent: str, *, trunc: bool) -> Iterator[tuple[str, str, str, str]]:
    """The lines of what hangs on a node: images that add nothing to it, and other nodes."""
    things = [*(node.images if _is_bare(node) else ()), *node.above.values()]
    for index, thing in enumerate(things):
        last = index == len(things) - 1
        branch = "" if not node.layers else "└─ " if last else "├─ "
        if not isinstance(thing, Node):
            yield _of_image(indent + branch, thing, 0, trunc=trunc)
            continue
        if _is_bare(thing):
            count = len(thing.layers)
            text = f"{count} {'layer' if count == 1 else 'layers'}"
            yield indent + branch + text, "", human_size(thing.size, 3), ""
        else:
            yield _of_image(indent + branch, thing.images[0], thing.size, trunc=trunc)
        below = "" if not node.layers else "   " if last else "│  "
        yield from _lines(thing, indent + below, trunc=trunc)


def _is_bare(node: Node) -> bool:
    """Whether a node is not shown as one image."""
    return len(node.images) != 1 or not node.layers


def _of_image(start: str, image: Json, size: int, *, trunc: bool) -> tuple[str, str, str, str]:
    tags = [tag for tag in image.get("RepoTags") or () if tag != f"{NONE}:{NONE}"]
    identity = short_id(image["Id"]) if trunc else image["Id"]
    return start + (", ".join(tags) or NONE), identity, human_size(size, 3), human_size(image.get("Size") or 0, 3)


def _summary(images: list[Json], root: Node) -> str:
    count = sum(len(node.layers) for node in _all(root))
    several = "image" if len(images) == 1 else "images"
    return f"{len(images)} {several}, {count} {'layer' if count == 1 else 'layers'}"
