"""/etc/hosts of containers as dockerd 26.1 writes it, and both files' changes while the container runs."""

import os
from pathlib import Path

from sampan.network import files

LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def test_extra_hosts_then_own_addresses() -> None:
    extra = files.extra_entries(["a:1.2.3.4", "a:::5", "b=[::1]", "c:host-gateway"], ["172.29.0.1"])
    own = files.own_entries(["10.77.0.3/24", "fd00:78::2/64"], "f4bc802e0fb5")
    assert files.hosts(extra, own).decode() == LOCAL + (
        "1.2.3.4\ta\n::5\ta\n::1\tb\n172.29.0.1\tc\n10.77.0.3\tf4bc802e0fb5\nfd00:78::2\tf4bc802e0fb5\n"
    )


def test_without_ipv6_there_is_no_line_of_it() -> None:
    extra = files.extra_entries(["a:1.2.3.4", "a:::5"])
    own = files.own_entries(["10.77.0.3", "fd00::3"], "h")
    assert files.hosts(extra, own, ipv6=False).decode() == "127.0.0.1\tlocalhost\n1.2.3.4\ta\n10.77.0.3\th\n"


def test_a_full_name_has_the_bare_one_beside_it() -> None:
    assert files.own_entries(["10.77.0.3"], "foo", "bar.com") == [("10.77.0.3", "foo.bar.com foo")]
    assert files.own_entries(["10.77.0.3"], "foo.baz.com") == [("10.77.0.3", "foo.baz.com foo")]
    assert files.own_entries(["", "10.77.0.3"], "foo") == [("10.77.0.3", "foo")]


def test_linked_containers_have_their_names_in_dockers_order() -> None:
    assert files.link_entries("172.29.0.2/16", "", "foo", "hh", "fd_l1") == [("172.29.0.2", "foo hh fd_l1")]
    assert files.link_entries("172.29.0.2", "fd00::2/64", "fd_l1", "hh", "fd_l1") == [
        ("172.29.0.2", "fd_l1 hh"),
        ("fd00::2", "fd_l1 hh"),
    ]


def test_the_hosts_own_file_replaces_all() -> None:
    assert files.hosts([("1.1.1.1", "x")], base=b"host's") == b"host's"


def test_several_host_gateways() -> None:
    assert files.extra_entries(["h=host-gateway"], ["172.17.0.1", "fd00::1"]) == [
        ("172.17.0.1", "h"),
        ("fd00::1", "h"),
    ]


def test_lines_come_and_go_and_what_somebody_else_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(files.hosts(own=files.own_entries(["172.29.0.2"], "h")))
    inode, inside = path.stat().st_ino, os.open(path, os.O_RDONLY)  # a bind mount keeps the inode
    files.add_lines(path, files.own_entries(["10.77.0.3/24", "fd00::3/64"], "h"))
    assert path.read_text() == LOCAL + "172.29.0.2\th\n10.77.0.3\th\nfd00::3\th\n"
    with path.open("a") as file:
        file.write("9.9.9.9 mine\n10.77.0.30\tother\n# end")
    files.add_lines(path, files.own_entries(["172.21.0.2"], "h"))
    files.remove_lines(path, ["10.77.0.3/24", "fd00::3/64", ""])
    assert path.read_text() == LOCAL + "172.29.0.2\th\n9.9.9.9 mine\n10.77.0.30\tother\n# end\n172.21.0.2\th\n"
    assert path.stat().st_ino == inode and os.pread(inside, 1 << 20, 0) == path.read_bytes()
    os.close(inside)


def test_a_hosts_file_that_was_blown_up_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    files.add_lines(path, [("1.1.1.1", "x")])
    files.remove_lines(path, ["1.1.1.1"])
    assert path.stat().st_size == 1 << 40


def write(directory: Path, content: bytes) -> None:
    for name, text in files.resolv_files(content).items():
        (directory / name).write_bytes(text)


def test_resolv_conf_changes_while_nobody_else_changed_it(tmp_path: Path) -> None:
    write(tmp_path, b"one, and rather long\n")
    path = tmp_path / "resolv.conf"
    inode = path.stat().st_ino
    assert files.update_resolv(tmp_path, b"two\n") and path.read_bytes() == b"two\n"
    assert files.update_resolv(tmp_path, b"three, longer than two\n")
    assert files.update_resolv(tmp_path, b"three, longer than two\n")
    assert path.read_bytes() == b"three, longer than two\n" and path.stat().st_ino == inode


def test_a_resolv_conf_that_somebody_changed_stays(tmp_path: Path) -> None:
    write(tmp_path, b"one\n")
    with (tmp_path / "resolv.conf").open("ab") as file:
        file.write(b"nameserver 9.9.9.9\n")
    assert not files.update_resolv(tmp_path, b"two\n")
    assert (tmp_path / "resolv.conf").read_bytes() == b"one\nnameserver 9.9.9.9\n"


def test_a_resolv_conf_of_which_nothing_is_known_stays(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_bytes(b"one\n")
    assert not files.update_resolv(tmp_path, b"two\n")
