"""What the peer was asked about users and capabilities; tests/peer/users.json and capabilities.json are its answers."""

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
toor:x:0:0:root:/toor:/bin/sh
foo:x:1000:1000:Foo:/home/foo:/bin/sh
 spaced :x:1001:1001::/home/spaced:/bin/sh
# comment:x:5:5::/:/bin/sh

short:x
1234:x:4321:4321::/home/number:/bin/sh
homeless:x:1002:1002:::/bin/sh
nonum:x:ab:cd::/home/nonum:/bin/sh
"""
GROUP = b"""\
root:x:0:
wheel:x:10:root,foo
bar:x:2000:foo
many:x:2001:a,foo,b
foo:x:1000:
99:x:3000:
empty:x:2002:,
"""

USER_CASES: list[tuple[str, list[str]]] = [
    *((spec, []) for spec in (
        "", "root", "toor", "foo", "1000", "foo:", ":", ":2000", ":bar", "foo:root", "foo:bar", "1000:2000", "foo:1234",
        "1234", "4321", "0:0", "spaced", " foo", "01000", "+5", "0x10", "1_0", "homeless", "short", "nonum", "5",
        "2147483647", "2147483648", "-1", "4294967296", "0:2147483648", "foo:-1", "99999999999999999999", "nobody",
        "root:nogroup", "foo:bar:baz", "foo:99", "1000:1000", "# comment", "99999",
    )),
    ("foo", ["bar"]), ("foo", ["4321"]), ("foo", ["nogroup"]), ("root", ["2147483648"]), ("99999", ["bar", "99"]),
    ("root", ["10"]), ("root", ["wheel", "2000"]), ("foo:bar", ["many"]), ("foo", ["-1"]),
]  # fmt: skip

CAPABILITY_CASES: list[tuple[list[str], list[str]]] = [
    ([], []),
    (["ALL"], []),
    ([], ["ALL"]),
    (["all"], ["chown"]),
    (["ALL"], ["all"]),
    (["chown", "cap_Kill"], ["All"]),
    (["SYS_ADMIN"], ["CAP_CHOWN", "kill"]),
    (["chown"], ["chown"]),
    (["sys_admin", "SYS_ADMIN"], []),
    (["foo"], []),
    ([], ["CAP_FOO"]),
    (["CAP_ALL"], []),
    (["ALL"], ["foo"]),
    ([" chown"], []),
    (["bar"], ["foo"]),
]
