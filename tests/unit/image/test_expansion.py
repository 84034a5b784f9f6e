"""Variables of instructions: (text, what comes out)."""

import shlex

import pytest

from sampan.image.changes import apply_changes, empty_config
from sampan.image.errors import InvalidChange
from sampan.image.expansion import environment, expand

VALUES = environment(["PATH=/bin:/usr/bin", "A=a", "SPACE=two words", 'QUOTE=it\'s "so"', "EMPTY="])

CASES = [
    ("$A", ["a"]),
    ("x${A}y", ["xay"]),
    ("$AB", []),
    ("P=$PATH:/x", ["P=/bin:/usr/bin:/x"]),
    ("S=$SPACE", ["S=two words"]),
    ('S="$SPACE $A"', ["S=two words a"]),
    ("S='$SPACE'", ["S=$SPACE"]),
    (r"S=\$A", ["S=$A"]),
    ("Q=$QUOTE", ['Q=it\'s "so"']),
    ('Q="$QUOTE"', ['Q=it\'s "so"']),
    ("${EMPTY:-other} ${A:-other}", ["other", "a"]),
    ("${EMPTY:+set}- ${A:+set}-", ["-", "set-"]),
    ('"it\'s $A"', ["it's a"]),
]


@pytest.mark.parametrize(("text", "words"), CASES)
def test_expand(text: str, words: list[str]) -> None:
    assert shlex.split(expand(text, VALUES)) == words


def test_changes_of_a_container_s_configuration() -> None:
    base = empty_config() | {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "1"}, "WorkingDir": "/w", "Shell": []}
    changed = apply_changes(["ENV PATH=$PATH:/x HOME=/h", "WORKDIR $HOME/sub", "LABEL b=$HOME"], base)
    assert changed["Env"] == ["PATH=/bin:/x", "HOME=/h"]
    assert (changed["WorkingDir"], changed["Labels"]) == ("/h/sub", {"a": "1", "b": "/h"})
    assert changed["Cmd"] == ["sh"] and "Shell" in changed


def test_a_new_entry_point_takes_the_command_away_unless_it_comes_too() -> None:
    assert apply_changes(['ENTRYPOINT ["e"]'], empty_config() | {"Cmd": ["sh"]})["Cmd"] is None
    assert apply_changes(["CMD c", 'ENTRYPOINT ["e"]'], empty_config())["Cmd"] == ["/bin/sh", "-c", "c"]


def test_an_import_expands_what_the_changes_before_have_set() -> None:
    assert apply_changes(["ENV A=1 B=$A", "ENV C=$A"])["Env"] == ["A=1", "B=", "C=1"]
    with pytest.raises(InvalidChange):
        apply_changes(["FROM x"], empty_config())
