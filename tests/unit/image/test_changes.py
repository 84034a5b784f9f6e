"""Instructions of `import --change`."""

import pytest

from sampan.image.changes import apply_changes, empty_config
from sampan.image.errors import InvalidChange

CHANGES = [
    (["CMD echo $HOME"], {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
    (["ENV A=1", "ENV B=$A:$PATH", "WORKDIR $A"], {"Env": ["A=1", "B=1:"], "WorkingDir": "/1"}),
    (['cmd ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
    (["CMD [a"], {"Cmd": ["/bin/sh", "-c", "[a"]}),
    (["CMD"], {"Cmd": None}),
    (['CMD ["a"]', 'ENTRYPOINT ["b"]'], {"Cmd": ["a"], "Entrypoint": ["b"]}),
    (["ENV A=1 B='2 3'", "ENV A=4", "ENV C the rest  of it"], {"Env": ["A=4", "B=2 3", "C=the rest  of it"]}),
    (["ENV A="], {"Env": ["A="]}),
    (["LABEL a=1", 'LABEL "b c"=2 a=3'], {"Labels": {"a": "3", "b c": "2"}}),
    (["EXPOSE 80 53/UDP", "EXPOSE 9000-9001/sctp"],
     {"ExposedPorts": {"53/udp": {}, "80/tcp": {}, "9000/sctp": {}, "9001/sctp": {}}}),
    (["VOLUME /a /b", 'VOLUME ["/c d"]'], {"Volumes": {"/a": {}, "/b": {}, "/c d": {}}}),
    (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
    (["WORKDIR a"], {"WorkingDir": "/a"}),
    (["USER  app:staff"], {"User": "app:staff"}),
    (["STOPSIGNAL SIGQUIT"], {"StopSignal": "SIGQUIT"}),
    (["ONBUILD RUN a", "ONBUILD COPY b c"], {"OnBuild": ["RUN a", "COPY b c"]}),
    (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    (['HEALTHCHECK --start-period=1h1.5s --start-interval=2ms CMD ["a"]'],
     {"Healthcheck": {"Test": ["CMD", "a"], "StartPeriod": 3_601_500_000_000, "StartInterval": 2_000_000}}),
    (["CMD a\nENV B=1"], {"Cmd": ["/bin/sh", "-c", "a"], "Env": ["B=1"]}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_changes(changes: list[str], expected: dict[str, object]) -> None:
    assert apply_changes(changes) == empty_config() | expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("FOO x", "FOO is not a valid change command"),
        ("USER", "USER requires exactly one argument"),
        ("ENV", "ENV requires at least one argument"),
        ('ENV A="open', 'ENV.*|A="open: No closing quotation'),
        ("EXPOSE 0", "Invalid containerPort: 0"),
        ("EXPOSE 5-4", "Invalid containerPort: 5-4"),
        ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
        ("HEALTHCHECK --interval=1us CMD a", "cannot be less than 1ms"),
        ("HEALTHCHECK --retries=x CMD a", "invalid syntax"),
        ('VOLUME ["", "/a"]', "VOLUME specified can not be an empty string"),
    ],
)
def test_bad_changes(change: str, message: str) -> None:
    with pytest.raises(InvalidChange, match=message):
        apply_changes([change])
