"""What ``system df`` shows. An item of the summary is (type, count, active, bytes, reclaimable text)."""

from __future__ import annotations

from sampan.cli.errors import CommandError
from sampan.cli.gotext import human_size
from sampan.cli.output.containers import CONTAINERS
from sampan.cli.output.images import IMAGES, NONE, Row
from sampan.cli.output.listing import Listing
from sampan.cli.output.tabwriter import TABLE, align
from sampan.cli.references import familiar_name, take_apart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Summary = tuple[str, int, int, int, str]

RAW = "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n"
SUMMARY = Listing(
    {
        "Type": lambda item: item[0],
        "TotalCount": lambda item: str(item[1]),
        "Active": lambda item: str(item[2]),
        "Size": lambda item: human_size(item[3]),
        "Reclaimable": lambda item: item[4],
    },
    {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
    "*formatter.diskUsageImagesContext",
)
_IMAGE_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
_CONTAINER_COLUMNS = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
_ALIVE = ("running", "paused", "restarting")
_SHOWN_HOLDERS = 3  # of one thing in the table; all are in --format json


def summaries(usage: dict[str, Any]) -> Iterator[Summary]:
    """The four lines."""
    images, containers = usage.get("Images") or [], usage.get("Containers") or []
    used = sum(_own(one) for one in images if one["Containers"])
    total = usage.get("LayersSize") or 0
    yield "Images", len(images), sum(one["Containers"] > 0 for one in images), total, _part(total - used, total)
    written = sum(one.get("SizeRw") or 0 for one in containers)
    ended = [one for one in containers if not _is_alive(one)]
    free = sum(one.get("SizeRw") or 0 for one in ended)
    yield "Containers", len(containers), len(containers) - len(ended), written, _part(free, written)
    yield _volumes(usage.get("Volumes") or [])
    caches = usage.get("BuildCache") or []
    size = sum(one.get("Size") or 0 for one in caches if not one.get("Shared"))
    busy = sum(one.get("Size") or 0 for one in caches if one.get("InUse") and not one.get("Shared"))
    yield "Build Cache", len(caches), sum(bool(one.get("InUse")) for one in caches), size, human_size(size - busy)


def _own(image: dict[str, Any]) -> int:
    size, shared = image.get("Size", -1), image.get("SharedSize", -1)
    return 0 if -1 in {size, shared} else size - shared


def _is_alive(container: dict[str, Any]) -> bool:
    return any(word in container.get("State", "") for word in _ALIVE)


def _volumes(volumes: list[dict[str, Any]]) -> Summary:
    known = [one["UsageData"] for one in volumes if (one.get("UsageData") or {}).get("Size", -1) != -1]
    size = sum(one["Size"] for one in known)
    free = sum(one["Size"] for one in known if one["RefCount"] == 0)
    active = sum((one.get("UsageData") or {}).get("RefCount", 0) > 0 for one in volumes)
    return "Local Volumes", len(volumes), active, size, _part(free, size)


def _part(size: int, total: int) -> str:
    return f"{human_size(size)} ({size * 100 // total}%)" if total > 0 else human_size(size)


def verbose(usage: dict[str, Any]) -> str:
    """The tables of ``-v``."""
    caches = usage.get("BuildCache") or []
    titles = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED")
    blocks = (
        ("Images space usage:", IMAGES.table(_IMAGE_COLUMNS, _image_rows(usage, trunc=True))),
        ("Containers space usage:", CONTAINERS.table(_CONTAINER_COLUMNS, _container_rows(usage, trunc=True))),
        ("Local Volumes space usage:", _volume_table(usage.get("Volumes") or [])),
        (f"Build cache usage: {human_size(sum(one.get('Size') or 0 for one in caches))}", _table([titles])),
    )
    return "\n".join(f"{title}\n\n{table}" for title, table in blocks)


def _volume_table(volumes: list[dict[str, Any]]) -> str:
    rows = [("VOLUME NAME", "LINKS", "SIZE")]
    for one in volumes:
        used = one.get("UsageData") or {}
        rows.append((one["Name"], str(used.get("RefCount", "N/A")), human_size(used.get("Size", 0))))
    return _table(rows)


def _table(rows: Iterable[Iterable[str]]) -> str:
    return align("".join("\t".join(row) + "\n" for row in rows), *TABLE)


def _image_rows(usage: dict[str, Any], *, trunc: bool) -> list[Row]:
    """A row for each image, with its first name alone."""
    found = []
    for image in usage.get("Images") or ():
        name, tag, _ = take_apart(image["RepoTags"][0]) if image.get("RepoTags") else (NONE, NONE, "")
        shown = name if name == NONE else familiar_name(name)
        found.append(Row(image, shown, tag, "", trunc=trunc))
    return found


def _container_rows(usage: dict[str, Any], *, trunc: bool) -> list[tuple[dict[str, Any], bool]]:
    return [({**one, "SizeRootFs": 0}, trunc) for one in usage.get("Containers") or ()]


def verbose_formatted(text: str, usage: dict[str, Any]) -> str:
    """``-v --format``: one thing that has all the lists. Raises CommandError for a faulty template."""
    from sampan.cli.template import Template, TemplateError
    from sampan.cli.template.values import Fields

    def rows(listing: Listing, items: Iterable[Any]) -> list[Fields]:
        return [Fields(item, listing.fields, listing.type_name, listing.methods) for item in items]

    lists: dict[str, Callable[[Any], Any]] = {
        "Images": lambda _: rows(IMAGES, _image_rows(usage, trunc=False)),
        "Containers": lambda _: rows(CONTAINERS, _container_rows(usage, trunc=False)),
        "Volumes": lambda _: usage.get("Volumes") or [],
        "BuildCache": lambda _: usage.get("BuildCache") or [],
    }
    if text == "json":
        return _as_json(lists)
    source = text.removeprefix("table").strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    try:
        return str(Template(source).run(Fields(usage, lists, "*formatter.diskUsageContext")))
    except TemplateError as error:
        raise CommandError(str(error)) from None


def _as_json(lists: dict[str, Callable[[Any], Any]]) -> str:
    from sampan.cli.template.values import Fields, to_json

    parts = []
    for name, read in lists.items():
        things = (to_json(dict(sorted(one.as_json().items())) if isinstance(one, Fields) else one) for one in read(0))
        parts.append(f'"{name}":[{",".join(things)}]')
    text = "{" + ",".join(parts) + "}"
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def holdings_table(found: dict[str, Any]) -> str:
    """The table of ``--why``, largest first, and the sum."""
    rows = [("SIZE", "KIND", "NAME", "HELD BY")]
    rows += [(human_size(one["Size"]), one["Kind"], _short(one["Name"]), _held_by(one)) for one in found["Holdings"]]
    size = found["Size"]
    return _table(rows) + f"\nTotal: {human_size(size)} ({size} bytes, as du -s --block-size=1 {found['Root']})\n"


def _short(name: str) -> str:
    algorithm, colon, digits = name.partition(":")
    if colon and len(digits) >= 64:
        return f"{algorithm}:{digits[:12]}"
    return name[:12] if len(name) == 64 and "/" not in name else name


def _held_by(one: dict[str, Any]) -> str:
    holders = one["HeldBy"]
    more = len(holders) - _SHOWN_HOLDERS
    shown = ", ".join(holders[:_SHOWN_HOLDERS])
    return (f"{shown}, and {more} more" if more > 0 else shown) or "nothing: the next clean-up removes it"
