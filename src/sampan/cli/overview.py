"""The help pages that list commands: of the program and of its groups."""

from __future__ import annotations

from sampan.cli.help import flag_usages, list_commands, terminal_width
from sampan.cli.main import GLOBAL_FLAGS
from sampan.cli.parser import PROGRAM
from sampan.cli.table import COMMON, GROUPS, HIDDEN_GROUPS, OTHERS


def root_help() -> str:
    """The page of ``sampan --help``."""
    more = f"Run '{PROGRAM} COMMAND --help' for more information on a command."
    groups = sorted((name, group) for name, group in GROUPS.items() if name not in HIDDEN_GROUPS)
    parts = (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
        "A self-sufficient runtime for containers",
        list_commands("Common Commands", ((name, place[2]) for name, place in COMMON.items())),
        list_commands("Management Commands", ((name, group[0]) for name, group in groups)),
        list_commands("Commands", ((name, place[2]) for name, place in OTHERS.items())),
        "Global Options:\n" + flag_usages(GLOBAL_FLAGS, terminal_width() - 1).rstrip(),
        more,
    )
    return "\n\n".join(parts) + "\n"


def group_help(group: str) -> str:
    """The page of ``sampan GROUP --help``."""
    summary, commands, _others = GROUPS[group]
    listing = list_commands("Commands", ((name, place[2]) for name, place in sorted(commands.items())))
    usage = f"Usage:  {PROGRAM} {group} COMMAND"
    more = f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command."
    return "\n\n".join((usage, summary, listing, more)) + "\n"
