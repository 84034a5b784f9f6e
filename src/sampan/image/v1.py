"""Image configurations made of version 1 layer documents (before docker 1.10), byte for byte as dockerd makes them.

Documents of docker before 1.8.3 get the same treatment, where dockerd writes theirs anew.

Source: moby image/v1/imagev1.go, MakeConfigFromV1Config and HistoryFromConfig.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sampan.image.model import shortest_time

_DROPPED: Final = frozenset(("id", "parent", "Size", "parent_id", "layer_id", "throwaway"))


def configuration(documents: Sequence[dict[str, Any]], diff_ids: Sequence[str]) -> bytes:
    """Return the configuration of the image whose layers have these documents, bottom first."""
    config = {key: value for key, value in documents[-1].items() if key not in _DROPPED}
    config["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    config["history"] = [_history(document) for document in documents]
    return go_json(dict(sorted(config.items())))


def _history(document: dict[str, Any]) -> dict[str, Any]:
    container = document.get("container_config")
    command = container.get("Cmd") if isinstance(container, dict) else None
    history = {
        "created": shortest_time(str(document.get("created") or "")),
        "created_by": " ".join(map(str, command)) if isinstance(command, list) else "",
        "author": document.get("author"),
        "comment": document.get("comment"),
        "empty_layer": document.get("throwaway"),
    }
    return {key: value for key, value in history.items() if value}


def go_json(value: object) -> bytes:
    """Encode as Go's encoding/json does: no blanks, ``<>&`` and two line separators escaped, else plain UTF-8."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "surrogatepass")
