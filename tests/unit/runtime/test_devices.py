"""Device rules: policies, their lines for cgroup v1, and that the v2 program says the same."""

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import bpf
from sampan.runtime import devices
from sampan.runtime.devices import ALLOW_ALL, ANY, DENY_ALL, RUNTIME_RULES, DeviceRuleError, Policy, Rule, policy
from unit.linux.ebpf_machine import decide

PEER = json.loads((Path(__file__).parents[2] / "peer" / "devices.json").read_text())


def test_the_default_policy_is_dockers() -> None:
    lines = devices.v1_lines(policy([DENY_ALL, *RUNTIME_RULES]))
    assert lines[0] == ("devices.deny", "a")
    assert {file for file, _ in lines[1:]} == {"devices.allow"}
    assert sorted(line for _, line in lines[1:]) == PEER["default"]


def test_privileged_is_everything() -> None:
    assert devices.v1_lines(policy([DENY_ALL, *RUNTIME_RULES, ALLOW_ALL])) == [("devices.allow", "a")]
    assert PEER["privileged"] == ["a *:* rwm"]


def test_default_nodes_are_dockers() -> None:
    nodes = [
        f"{Path(n.path).name} character special file {n.major:x} {n.minor:x} {n.mode:o} {n.uid} {n.gid}"
        for n in devices.DEFAULT_NODES
    ]
    links = [f"{Path(path).name} {target}" for path, target in devices.DEFAULT_LINKS]
    assert sorted(nodes + links) == [line for line in PEER["dev"] if " directory " not in line]


PARSED = [
    ("c 1:3 r", Rule(True, "c", 1, 3, "r")),
    ("b 7:* rwm", Rule(True, "b", 7, ANY, "rwm")),
    ("a *:* rwm", Rule(True, "a", ANY, ANY, "rwm")),
]


@pytest.mark.parametrize(("text", "rule"), PARSED)
def test_rules_are_read(text: str, rule: Rule) -> None:
    assert devices.parse_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "c 1:3", "x 1:3 r", "c 1:x r", "c 1:3  r", "c 1:3 rwmm", "c *:3 rx", "c 1:-1 r", "c 1:٣ r"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(DeviceRuleError, match=f"^invalid device cgroup rule format: '{text.replace('*', '.')}'$"):
        devices.parse_rule(text)


SPEC = [
    ({"allow": False, "access": "rwm"}, DENY_ALL),
    ({"allow": True, "type": "c", "major": 9, "minor": -1, "access": "m"}, Rule(True, "c", 9, ANY, "m")),
    ({"allow": True, "type": "b", "major": 8}, Rule(True, "b", 8, ANY, "rwm")),
]


@pytest.mark.parametrize(("entry", "rule"), SPEC)
def test_spec_entries_are_rules(entry: dict[str, object], rule: Rule) -> None:
    assert devices.spec_rules([entry]) == [rule]


@pytest.mark.parametrize("entry", [{"type": "x"}, {"type": "c", "access": "q"}])
def test_a_spec_entry_that_is_no_rule_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(DeviceRuleError, match="invalid device rule"):
        devices.spec_rules([entry])


POLICIES = [
    ("accesses add up", [DENY_ALL, Rule(True, "c", 1, 3, "r"), Rule(True, "c", 1, 3, "w")], False, {("c", 1, 3): "rw"}),
    ("denying takes back", [DENY_ALL, Rule(True, "c", 1, 3), Rule(False, "c", 1, 3, "w")], False, {("c", 1, 3): "rm"}),
    ("denying what is not allowed", [DENY_ALL, Rule(False, "c", 10, 229)], False, {}),
    ("a broader rule takes back", [DENY_ALL, Rule(True, "c", 1, 3), Rule(False, "c", 1, ANY)], False, {}),
    ("all starts again", [Rule(False, "c", 1, 3), DENY_ALL], False, {}),
    ("exceptions from allow", [ALLOW_ALL, Rule(False, "b", 8, ANY, "w")], True, {("b", 8, ANY): "w"}),
]


@pytest.mark.parametrize(
    ("rules", "default", "exceptions"), [case[1:] for case in POLICIES], ids=[case[0] for case in POLICIES]
)
def test_rules_come_to_a_policy(rules: list[Rule], default: bool, exceptions: dict[tuple[str, int, int], str]) -> None:
    assert policy(rules) == Policy(default, {key: frozenset(access) for key, access in exceptions.items()})


def test_a_part_of_a_broader_rule_cannot_be_taken_out() -> None:
    with pytest.raises(DeviceRuleError, match="part of the broader rule"):
        policy([DENY_ALL, Rule(True, "c", 1, ANY), Rule(False, "c", 1, 3)])


def v1_allows(rules: Policy, kind: str, major: int, minor: int, access: str) -> bool:
    """As security/device_cgroup.c: one exception must have all, or (allowing by default) none may have any."""
    matching = [
        have
        for (type_, *numbers), have in rules.exceptions.items()
        if type_ == kind and all(n in (ANY, m) for n, m in zip(numbers, (major, minor), strict=True))
    ]
    if rules.allow_by_default:
        return not any(have & set(access) for have in matching)
    return any(have >= set(access) for have in matching)


NUMBERS = st.sampled_from([ANY, 0, 1, 7, 1 << 20])
RULES = st.builds(
    Rule,
    st.booleans(),
    st.sampled_from("aabbcc"),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
)


@given(st.lists(RULES, max_size=6))
def test_the_v2_program_says_what_the_v1_controller_says(rules: list[Rule]) -> None:
    try:
        resolved = policy(rules)
    except DeviceRuleError:
        return
    program = bpf.device_program(devices.v2_matches(resolved), allow_by_default=resolved.allow_by_default)
    for kind, major, minor, access in product("bc", (0, 1, 7, 9), (0, 7, 1 << 20), ("r", "w", "m", "rw", "wm", "rwm")):
        bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
        answer = decide(program, {"b": 1, "c": 2}[kind], bits, major, minor)
        assert answer == v1_allows(resolved, kind, major, minor, access)
