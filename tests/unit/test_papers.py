"""The papers name files that exist."""

import re
from pathlib import Path

import pytest

from sampan.daemon import flags, withouteffect

ROOT = Path(__file__).parents[2]
PAPERS = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/threats.md",
    "docs/architecture.md",
    "docs/dependencies.md",
    "docs/configuration.md",
]


def candidates(name: str) -> list[Path]:
    """Where a name in a paper may point: from the repository, or a room of the package."""
    return [ROOT / name, ROOT / "src/sampan" / name]


@pytest.mark.parametrize("paper", PAPERS)
def test_files_named_in_papers_exist(paper: str) -> None:
    text = (ROOT / paper).read_text()
    names = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)
    missing = [name for name in names if not any(path.exists() for path in candidates(name))]
    assert not missing


@pytest.mark.parametrize("paper", PAPERS)
def test_links_in_papers_lead_somewhere(paper: str) -> None:
    text = (ROOT / paper).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert not [link for link in links if not ((ROOT / paper).parent / link).exists()]


def test_every_key_of_daemon_json_is_told() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    keys = {flag.key for flag in flags.FLAGS if flag.key} | set(withouteffect.KINDS)
    assert not sorted(key for key in keys if f"`{key}`" not in text)


def test_every_dependency_has_a_line() -> None:
    names = re.findall(r'^    "([a-z0-9-]+)[>=]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    table = (ROOT / "docs/dependencies.md").read_text()
    assert not [
        name for name in names if f"| {name} " not in table and f"{name}," not in table and f" {name} " not in table
    ]
