"""``images`` and ``image ls``."""

from __future__ import annotations

from sampan.cli.gotext import quote
from sampan.cli.kinds import BOOL, FILTER, STRING
from sampan.cli.output.images import COLUMNS, DIGEST_COLUMNS, IMAGES, rows
from sampan.cli.output.listing import FORMAT_HELP
from sampan.cli.parser import PROGRAM, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.parser import Arguments
    from sampan.cli.session import Session

RAW = (
    "repository: {{ .Repository }}\ntag: {{.Tag}}\n%simage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\n"
    "virtual_size: {{.Size}}\n"
)
_SUBCOMMANDS = frozenset(
    ("build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag")
)


def list_images(session: Session, arguments: Arguments) -> int:
    """``sampan images``."""
    name = arguments.rest[0] if arguments.rest else ""
    quiet, digests = arguments["quiet"], arguments["digests"]
    filters = dict(arguments["filter"] or {})
    if name:
        filters["reference"] = [*filters.get("reference", ()), name]
    if arguments["tree"]:
        from sampan.cli.output.image_tree import show

        return show(session, arguments, filters)
    images = session.client.images(everything=arguments["all"], filters=filters)
    text = arguments["format"] or ("" if quiet else session.config.get("imagesFormat", "")) or "table"
    trunc = not arguments["no-trunc"]
    items = rows(images, trunc=trunc, digests=digests, need_digest="{{.Digest}}" in text)
    if text == "table" and not quiet:
        session.out(IMAGES.table(DIGEST_COLUMNS if digests else COLUMNS, items))
    else:
        session.out(IMAGES.formatted(_template(text, quiet=quiet, digests=digests), items))
    if name in _SUBCOMMANDS and not images and session.called_as == "images":
        hint = f'did you mean "{PROGRAM} image {name}"?'
        session.err(f"\nNo images found matching {quote(name)}: {hint}\n")
    return 0


def _template(text: str, *, quiet: bool, digests: bool) -> str:
    if text == "table":
        return "{{.ID}}"
    if text == "raw":
        return "image_id: {{.ID}}" if quiet else RAW % ("digest: {{.Digest}}\n" if digests else "")
    if text.startswith("table") and digests and "{{.Digest}}" not in text:
        return text + "\t{{.Digest}}"
    return text


_FLAGS = (
    Flag("all", BOOL, "Show all images (default hides intermediate images)", "a"),
    Flag("digests", BOOL, "Show digests"),
    Flag("filter", FILTER, "Filter output based on conditions provided", "f"),
    Flag("format", STRING, FORMAT_HELP),
    Flag("no-trunc", BOOL, "Don't truncate output"),
    Flag("quiet", BOOL, "Only show image IDs", "q"),
    Flag("tree", BOOL, "Show which images share which layers, each layer's size once"),
)
_ALIASES = ("image ls", "image list", "images")
IMAGES_USE = "[OPTIONS] [REPOSITORY[:TAG]]"
IMAGES_COMMAND = Command(f"images {IMAGES_USE}", "List images", list_images, _FLAGS, aliases=_ALIASES, maximum=1)
LS = Command(f"ls {IMAGES_USE}", "List images", list_images, _FLAGS, aliases=_ALIASES, maximum=1)
