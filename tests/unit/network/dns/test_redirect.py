"""The rules that lead 127.0.0.11:53 to a resolver, as nft(8) lists them."""

from sampan.network.dns import redirect

LISTED = """table ip sampan-dns {
\tchain there {
\t\ttype filter hook output priority raw; policy accept;
\t\tip daddr 127.0.0.11 meta l4proto udp th dport 53 th dport set 4000
\t\tip daddr 127.0.0.11 meta l4proto tcp th dport 53 th dport set 5000
\t}

\tchain back {
\t\ttype filter hook postrouting priority 300; policy accept;
\t\tip saddr 127.0.0.11 meta l4proto udp th sport 4000 th sport set 53
\t\tip saddr 127.0.0.11 meta l4proto tcp th sport 5000 th sport set 53
\t}
}
"""


def test_the_table() -> None:
    assert redirect.table(udp_port=4000, tcp_port=5000).text == LISTED
