"""Go templates: what they print, and Go's words for what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.output.inspection import Inspector
from sampan.cli.template import Template, TemplateError
from sampan.cli.template.values import Fields

DATA = {
    "Name": "web",
    "List": ["a", "b"],
    "Map": {"b": 1, "a": "z"},
    "Null": None,
    "Empty": {},
    "True": True,
    "Number": 3,
    "Nested": {"Deep": {"x-y": "v"}},
}

PRINTED = [
    ("{{.Name}}", "web"),
    ("a {{- .Name -}} b", "awebb"),
    ("{{/* nothing */}}x{{- /* */ -}} y", "xy"),
    ("{{.List}} {{.Map}} {{.Null}} {{.True}} {{.Missing}}", "[a b] map[a:z b:1] <no value> true <no value>"),
    ("{{.Nested}}", "map[Deep:map[x-y:v]]"),
    ("{{.Map.b}}{{.Nested.Deep}}", "1map[x-y:v]"),
    ('{{index .Nested.Deep "x-y"}} {{index .List 1}} {{(index .List 0)}}', "v b a"),
    ("{{range .List}}<{{.}}>{{end}}", "<a><b>"),
    ("{{range $i, $v := .List}}{{$i}}={{$v}};{{end}}", "0=a;1=b;"),
    ("{{range $k, $v := .Map}}{{$k}}:{{$v}} {{end}}", "a:z b:1 "),
    ("{{range .Empty}}x{{else}}none{{end}}", "none"),
    ("{{range .List}}{{if eq . `b`}}{{break}}{{end}}{{.}}{{end}}", "a"),
    ("{{range .List}}{{if eq . `a`}}{{continue}}{{end}}{{.}}{{end}}", "b"),
    ("{{if .True}}y{{else}}n{{end}}{{if .Null}}y{{else}}n{{end}}", "yn"),
    ('{{if eq .Name "x"}}1{{else if .True}}2{{else}}3{{end}}', "2"),
    ("{{with .Nested}}{{.Deep}}{{end}}{{with .Null}}x{{else}}-{{end}}", "map[x-y:v]-"),
    ("{{with $n := .Nested}}{{$n.Deep}}{{$.Name}}{{end}}", "map[x-y:v]web"),
    ('{{$x := .Name}}{{$x = "new"}}{{$x}}', "new"),
    ("{{len .List}} {{len .Name}} {{len .Map}}", "2 3 2"),
    ('{{join .List ","}} {{upper .Name}} {{title .Name}} {{lower "ABC"}} {{split "a-b" "-"}}', "a,b WEB Web abc [a b]"),
    ('{{pad .Name 1 2}}|{{pad "" 1 2}}|{{truncate .Name 2}}|{{truncate .Name 9}}', " web  ||we|web"),
    ("{{json .List}}{{json .Map}}{{json .Name}}{{json .Null}}", '["a","b"]{"b":1,"a":"z"}"web"null'),
    ('{{json "<é>"}}', '"<é>"'),
    ("{{println .Name 1}}{{print 1 2 `a`}}", "web 1\n1 2a"),
    ('{{printf "%-5s|%5d|%05d|%q|%v|%x|%%" .Name 3 7 "a" .List 255}}', 'web  |    3|00007|"a"|[a b]|ff|%'),
    ('{{printf "%d" .Name}}{{printf "%s"}}{{printf "" 1}}', "%!d(string=web)%!s(MISSING)%!(EXTRA int=1)"),
    ('{{.Name | upper | printf "%s-%s" "x"}}', "x-WEB"),
    ('{{and .True (eq .Name "web" "other")}} {{or .Null .Name}} {{not .True}}', "true web false"),
    ("{{lt 1 2}} {{le 2 2}} {{gt `a` `b`}} {{ge 1 2}} {{ne 1 2}} {{eq 1 1}}", "true true false false true true"),
    ("{{slice .Name 1}} {{slice .List 0 1}}", "eb [a]"),
    ("{{html `<a>`}} {{urlquery `a b`}}", "&lt;a&gt; a%20b"),
    ("{{\"a\\tb\\u00e9\"}}{{'a'}}{{1.50}}{{0x10}}", "a\tbé971.516"),
    ("{{nil | print}}", None),
    ("{{.}}", None),
]


@pytest.mark.parametrize(("text", "expected"), [case for case in PRINTED if case[1] is not None])
def test_prints(text, expected) -> None:
    assert Template(text).run(DATA) == expected


AT = 'executing "" at'
FAULTS = [
    ("{{.Name", "template: :1: unclosed action"),
    ("a\n{{.Name\n", "template: :3: unclosed action started at :2"),
    ("{{foo}}", 'template: :1: function "foo" not defined'),
    ("{{.Name | foo}}", 'template: :1: function "foo" not defined'),
    ("{{}}", "template: :1: missing value for command"),
    ("{{.Name |}}", "template: :1: missing value for command"),
    ("{{if}}{{end}}", "template: :1: missing value for if"),
    ("{{end}}", "template: :1: unexpected {{end}}"),
    ("{{if .}}", "template: :1: unexpected EOF"),
    ("{{range .}}{{else}}{{else}}{{end}}", "template: :1: expected end; found {{else}}"),
    ("{{ .Name }", 'template: :1: unexpected "}" in operand'),
    ('{{"a}}', "template: :1: unterminated quoted string"),
    ("{{$x}}", 'template: :1: undefined variable "$x"'),
    ("{{break}}", "template: :1: {{break}} outside {{range}}"),
    ("{{(.Name}}", "template: :1: unclosed left paren"),
    ("{{.Name | 1}}", "template: :1: non executable command in pipeline stage 2"),
    ("{{.Foo}}", f'template: :1:2: {AT} <.Foo>: map has no entry for key "Foo"'),
    ("x\n {{.Nested.Foo.Bar}}", f'template: :2:10: {AT} <.Nested.Foo.Bar>: map has no entry for key "Foo"'),
    ("{{.Null.Foo}}", f"template: :1:7: {AT} <.Null.Foo>: nil pointer evaluating interface {{}}.Foo"),
    ("{{.Name.Foo}}", f"template: :1:7: {AT} <.Name.Foo>: can't evaluate field Foo in type string"),
    ("{{index .List 5}}", f"template: :1:2: {AT} <index .List 5>: error calling index: index out of range: 5"),
    ("{{len .Number}}", f"template: :1:2: {AT} <len .Number>: error calling len: len of type int"),
    ("{{range .Name}}{{end}}", f"template: :1:8: {AT} <.Name>: range can't iterate over web"),
    ("{{eq .Name 1}}", f"template: :1:2: {AT} <eq .Name 1>: error calling eq: incompatible types for comparison"),
    ("{{upper .Number}}", f"{AT} <upper .Number>: error calling upper: wrong type for value; expected string; got int"),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_faults(text, fault) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).run(DATA, strict=True)
    assert str(caught.value).endswith(fault)


def test_computed_fields() -> None:
    thing = Fields(
        {"n": 1}, {"ID": lambda d: d["n"], "Name": lambda _: "<a>"}, "*x.Thing", {"Label": lambda _, n: f"l{n}"}
    )
    assert Template('{{.ID}} {{.Label "x"}}').run(thing) == "1 lx"
    assert thing.used == {"ID"}
    assert Template("{{json .}}").run(thing) == '{"ID":1,"Name":"\\u003ca\\u003e"}'
    with pytest.raises(TemplateError, match=r"<\.Foo>: can't evaluate field Foo in type \*x\.Thing"):
        Template("{{.Foo}}").run(thing)
    with pytest.raises(TemplateError, match=r"wrong number of args for Label: want 1 got 0"):
        Template("{{.Label}}").run(thing)


def test_a_name_of_its_own_and_functions_of_its_own() -> None:
    assert Template("{{twice .}}", "version", {"twice": lambda v: v * 2}).run(2) == "4"
    with pytest.raises(TemplateError, match=r"^template: version:1: "):
        Template("{{x}}", "version")


@given(st.text(alphabet='{}.|()"`$ -/*abrangeifend=:,1\n'))
def test_any_text_prints_or_is_refused(text) -> None:
    try:
        printed = Template(text).run(DATA)
    except TemplateError as error:
        printed = str(error)
    assert isinstance(printed, str)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_is_itself(text) -> None:
    assert Template(text).run(None) == text


CONTAINER = (
    b'{"Id":"abc","State":{"Status":"exited","ExitCode":0},"Config":{"Cmd":["sh"],"Entrypoint":null,"Labels":{"a":"b"}},'
    b'"HostConfig":{"Binds":null,"PortBindings":null,"PidsLimit":null,"Memory":9007199254740993},'
    b'"Mounts":[],"NetworkSettings":{"Ports":{}}}'
)
INSPECTED = [
    ("{{.State.Status}} {{.Config.Cmd}}", "exited [sh]"),
    (
        "{{.Config.Entrypoint}}{{.HostConfig.Binds}}{{.HostConfig.PortBindings}}{{.HostConfig.PidsLimit}}",
        "[][]map[]<nil>",
    ),
    ("{{.Config.StopSignal}}|{{.State.Health}}", "|<nil>"),
    ("{{if .State.Health}}h{{else}}none{{end}}", "none"),
    ('{{index .Config.Labels "a"}}{{index .Config.Labels "b"}}', "b"),
    ("{{.HostConfig.Memory}}", "9007199254740993"),
    ("{{json .HostConfig.Binds}}{{json .Config}}", 'null{"Cmd":["sh"],"Entrypoint":null,"Labels":{"a":"b"}}'),
    ("{{range $p, $b := .NetworkSettings.Ports}}{{$p}}{{end}}{{len .Config.Entrypoint}}", "0"),
]


@pytest.mark.parametrize(("text", "expected"), INSPECTED)
def test_inspect_knows_zero_values(text, expected) -> None:
    inspector = Inspector(text)
    inspector.add("container", CONTAINER)
    assert inspector.text() == expected + "\n"


NETWORK = (
    b'{"Name":"n","Id":"abc","Created":"2026-11-24T11:37:48.301814018Z","Scope":"local","Driver":"bridge",'
    b'"EnableIPv6":true,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.1.0.0/16","IPRange":'
    b'"10.1.1.0/24","Gateway":"10.1.0.1","AuxiliaryAddresses":{"a":"10.1.0.9"}},{"Subnet":"fd77::/64"}]},'
    b'"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,'
    b'"Containers":{"c1":{"Name":"web","EndpointID":"e","MacAddress":"m","IPv4Address":"10.1.0.5/16",'
    b'"IPv6Address":""}},"Options":{},"Labels":{"a":"b"}}'
)
# as docker 28 printed them on an API 1.45 daemon, which does not tell EnableIPv4
NETWORKS = [
    ("{{.IPAM.Config}}", "[{10.1.0.0/16 10.1.1.0/24 10.1.0.1 map[a:10.1.0.9]} {fd77::/64   map[]}]"),
    (
        "{{.IPAM}} {{.ConfigFrom}}",
        "{default map[] [{10.1.0.0/16 10.1.1.0/24 10.1.0.1 map[a:10.1.0.9]} {fd77::/64   map[]}]} {}",
    ),
    ("{{range .IPAM.Config}}{{.Gateway}}|{{.AuxAddress}}|{{end}}", "10.1.0.1|map[a:10.1.0.9]||map[]|"),
    ("{{(index .IPAM.Config 0).Subnet}}", "10.1.0.0/16"),
    ("{{.ID}} {{.Created}}", "abc 2026-11-24 11:37:48.301814018 +0000 UTC"),
    ("{{.Id}}", "abc"),
    ("{{json .Created}}", '"2026-11-24T11:37:48.301814018Z"'),
    ("{{.EnableIPv4}} {{.Peers}} {{.Services}}", "false [] map[]"),
    ("{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "web 10.1.0.5/16"),
    ("{{.Containers}}", "map[c1:{web e m 10.1.0.5/16 }]"),
    (
        "{{json .}}",
        NETWORK.decode().replace('"EnableIPv6"', '"EnableIPv4":false,"EnableIPv6"'),
    ),
]


@pytest.mark.parametrize(("text", "expected"), NETWORKS)
def test_inspect_of_a_network(text, expected) -> None:
    inspector = Inspector(text)
    inspector.add("network", NETWORK)
    assert inspector.text() == expected + "\n"


PUBLISHED = (
    b'{"Id":"abc","Config":{"ExposedPorts":{"80/tcp":{},"81/tcp":{}},"Volumes":{"/v":{}}},"HostConfig":{"PortBindings":'
    b'{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}},"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0",'
    b'"HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"81/tcp":null},"Networks":{"n":{"IPAMConfig":'
    b'{"IPv4Address":"10.1.0.5"},"Links":null,"Aliases":["a"],"NetworkID":"i","DriverOpts":null,"DNSNames":null}}}}'
)
ENDPOINT = (
    '{"IPAMConfig":{"IPv4Address":"10.1.0.5"},"Links":null,"Aliases":["a"],"DriverOpts":null,"GwPriority":0,'
    '"NetworkID":"i","DNSNames":null}'
)
PORTS = [
    ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 8080} {:: 8080}] 81/tcp:[]]"),
    ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8080}]]"),
    ("{{.Config.ExposedPorts}} {{.Config.Volumes}}", "map[80/tcp:{} 81/tcp:{}] map[/v:{}]"),
    ("{{json .Config.ExposedPorts}}", '{"80/tcp":{},"81/tcp":{}}'),
    ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
    (
        "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{range $c}} {{.HostIP}}{{end}};{{end}}",
        "80/tcp 0.0.0.0 ::;81/tcp;",
    ),
    (
        "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{range $c}} {{.HostIp}}{{end}};{{end}}",
        "80/tcp 0.0.0.0 ::;81/tcp;",
    ),
    (
        "{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}} {{.IPAMConfig.LinkLocalIPs}}{{end}}",
        "10.1.0.5 []",
    ),
    (
        "{{json .NetworkSettings.Networks.n}}",
        ENDPOINT,
    ),
]


@pytest.mark.parametrize(("text", "expected"), PORTS)
def test_inspect_of_ports(text, expected) -> None:
    inspector = Inspector(text)
    inspector.add("container", PUBLISHED)
    assert inspector.text() == expected + "\n"


def test_inspect_falls_back_to_the_plain_json() -> None:
    with pytest.raises(TemplateError, match=r'<\.State\.Health\.Status>: map has no entry for key "Health"'):
        Inspector("{{.State.Health.Status}}").add("container", CONTAINER)


def test_inspect_keeps_every_token_as_it_came() -> None:
    inspector = Inspector("")
    inspector.add("image", b'{"a":1.0,"b":[],"c":{},"d":["\\u003c","x{}[],:"],"e":{"f":null}}\n')
    inspector.add("image", b"{}")
    expected = """[
    {
        "a": 1.0,
        "b": [],
        "c": {},
        "d": [
            "\\u003c",
            "x{}[],:"
        ],
        "e": {
            "f": null
        }
    },
    {}
]
"""
    assert inspector.text() == expected
    assert Inspector("").text() == "[]\n"
