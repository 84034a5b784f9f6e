"""``docker history``: the steps that made an image, newest first, each with the size of its layer."""

from __future__ import annotations

from typing import Any

from sampan.image.model import Image, parse_time


def history(image: Image) -> list[dict[str, Any]]:
    """Return the API's HistoryResponseItem objects of ``image``."""
    steps = image.config.get("history")
    if not isinstance(steps, list):
        return []
    sizes = iter(image.layer_sizes)
    items = [_item(step if isinstance(step, dict) else {}, sizes) for step in steps]
    items.reverse()
    if items:
        items[0]["Id"] = image.id
        items[0]["Tags"] = list(image.tags) or None
    return items


def _item(step: dict[str, Any], sizes: Any) -> dict[str, Any]:
    size = 0 if step.get("empty_layer") else next(sizes, 0)
    return {
        "Id": "<missing>",
        "Created": parse_time(str(step.get("created") or "")),
        "CreatedBy": str(step.get("created_by") or ""),
        "Tags": None,
        "Size": size,
        "Comment": str(step.get("comment") or ""),
    }
