"""``images --tree``: which lines come of which images and layers."""

import pytest

from sampan.cli.output.image_tree import _lines, total, tree

Image = dict[str, object]


def image(name: str, *layers: str) -> tuple[Image, list[dict[str, object]]]:
    """An image whose layers are written "chain:size"."""
    split = [layer.split(":") for layer in layers]
    sized = [{"ChainId": chain, "Size": int(size)} for chain, size in split]
    return {"Id": f"sha256:{name}", "RepoTags": [name], "Size": sum(int(size) for _, size in split)}, sized


CASES = [
    ([image("a", "1:5", "2:6")], ["a|11B|11B"], 11),
    ([image("a", "1:5"), image("b", "1:5", "2:1"), image("c", "1:5", "3:2")],
     ["a|5B|5B", "├─ b|1B|6B", "└─ c|2B|7B"], 8),
    ([image("b", "1:5", "2:5", "3:1"), image("c", "1:5", "2:5", "4:2")],
     ["2 layers|10B|", "├─ b|1B|11B", "└─ c|2B|12B"], 13),
    ([image("a", "1:5"), image("b", "1:5")], ["1 layer|5B|", "├─ a|0B|5B", "└─ b|0B|5B"], 5),
    ([image("a", "1:5"), image("b", "1:5"), image("c", "1:5", "2:1"), image("d", "1:5", "2:1", "3:1")],
     ["1 layer|5B|", "├─ a|0B|5B", "├─ b|0B|5B", "└─ c|1B|6B", "   └─ d|1B|7B"], 7),
    ([image("a", "1:1", "2:1", "3:1"), image("b", "1:1", "2:1"), image("c", "1:1", "4:1"), image("z", "9:9")],
     ["1 layer|1B|", "├─ b|1B|2B", "│  └─ a|1B|3B", "└─ c|1B|2B", "z|9B|9B"], 13),
    ([image("empty"), image("a", "1:5")], ["empty|0B|0B", "a|5B|5B"], 5),
    ([], [], 0),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected", "size"), CASES)
def test_lines(given: list[tuple[Image, list[dict[str, object]]]], expected: list[str], size: int) -> None:
    root = tree([one for one, _ in given], {str(one["Id"]): layers for one, layers in given})
    assert ["|".join((line[0], line[2], line[3])) for line in _lines(root, "", trunc=True)] == expected
    assert total(root) == size
