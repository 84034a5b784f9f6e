"""Users: what dockerd answered (tests/peer/users.json), files that are missing or odd."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.security_cases import GROUP, PASSWD
from sampan.runtime.users import User, UserError, resolve

ANSWERS = json.loads((Path(__file__).parents[2] / "peer" / "users.json").read_text())
# runc looks gids up once more, as if they were names: a group called "99" there turns gid 99 into its own.
DIFFERENT = {"foo:99": "Uid: 1000 1000 1000 1000\nGid: 99 99 99 99\nGroups: 99 \nHome: /home/foo"}
FILES = {"/etc/passwd": PASSWD, "/etc/group": GROUP}


def as_the_peer_shows(user: User) -> str:
    uid, gid = (" ".join([str(number)] * 4) for number in (user.uid, user.gid))
    groups = "".join(f"{gid} " for gid in sorted(user.additional_gids))
    return f"Uid: {uid}\nGid: {gid}\nGroups: {groups}\nHome: {user.home}"


@pytest.mark.parametrize("case", ANSWERS, ids=[f"{case['user']}+{','.join(case['groups'])}" for case in ANSWERS])
def test_users_are_what_dockerd_makes_of_them(case: dict[str, Any]) -> None:
    try:
        answer = as_the_peer_shows(resolve(FILES.get, case["user"], case["groups"]))
    except UserError as error:
        answer = f"error: {error}"
    assert answer.strip() == DIFFERENT.get(str(case["user"]), case["answer"])


def test_without_files_only_numbers_work() -> None:
    assert resolve(lambda _: None, "") == User(0, 0, (0,), "/")
    assert resolve(lambda _: None, "12:34", ["56"]) == User(12, 34, (34, 56), "/")
    with pytest.raises(UserError, match=r"^unable to find user root: no matching entries in passwd file$") as caught:
        resolve(lambda _: None, "root")
    assert caught.value.status == 400
    with pytest.raises(UserError, match=r"^unable to find group root: no matching entries in group file$"):
        resolve(lambda _: None, "0:root")


def test_the_primary_group_is_always_among_the_groups() -> None:
    assert resolve(FILES.get, "foo").additional_gids == (1000, 10, 2000, 2001)
    assert resolve(FILES.get, "foo:bar").additional_gids == (2000,)


def test_a_group_may_be_added_twice() -> None:
    """dockerd refuses the second one: "Unable to find group bar"."""
    assert resolve(FILES.get, "0", ["bar", "bar", "2000"]).additional_gids == (0, 10, 2000)


@given(st.text(), st.binary(max_size=200), st.binary(max_size=200), st.lists(st.text(), max_size=3))
def test_no_file_and_no_name_breaks_it(spec: str, passwd: bytes, group: bytes, groups: list[str]) -> None:
    files = {"/etc/passwd": passwd, "/etc/group": group}
    with contextlib.suppress(UserError):
        user = resolve(files.get, spec, groups)
        assert user.additional_gids[0] == user.gid


@pytest.mark.parametrize("line", [b"u:x:-5:0::/h:", b"u:x:4294967295:0::/h:", b"u:x:7:-1::/h:"])
def test_an_id_that_the_kernel_lacks_is_refused(line: bytes) -> None:
    """dockerd hands these on; 4294967295 means "no change" to the kernel."""
    with pytest.raises(UserError, match="uids and gids must be in range 0-2147483647"):
        resolve({"/etc/passwd": line}.get, "u")


def test_an_id_of_the_file_may_be_large() -> None:
    assert resolve({"/etc/passwd": b"nfsnobody:x:4294967294:4294967294::/:"}.get, "nfsnobody").uid == 4294967294
