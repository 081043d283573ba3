"""Lines of load balancers' access logs: AWS's fields, whatever a client sends; what is lost is counted."""

import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.agent.balancers.access_log import counted
from neargate.model.balancing import (
    BalancerPlan,
    Forward,
    PlannedCertificate,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    WeightedGroup,
)
from neargate.proxying import access_lines
from neargate.proxying.access_format import Entry, entry
from neargate.proxying.access_lines import line, names_of, quoted
from neargate.proxying.names import backend

ELB = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
GROUP = f"{ELB}:targetgroup/shop/0123456789abcdef"
NODE = PlannedNode(place="p", eni_id="eni-1", zone="a", private_ipv4="10.0.0.4", host_id="h")
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PLAN = BalancerPlan(
    arn=f"{ELB}:loadbalancer/app/shop/50dc6c495c0c9188",
    vpc_id="v",
    name="shop",
    kind="application",
    generation=1,
    nodes=(NODE,),
    groups=(PlannedGroup(arn=GROUP, protocol="HTTP"),),
    listeners=(
        PlannedListener(
            arn="l",
            port=443,
            protocol="HTTPS",
            default=Forward(groups=(WeightedGroup(arn=GROUP),)),
            certificates=(PlannedCertificate(arn="arn:aws:acm:us-east-1:1:certificate/c", names=(), pem=PEM),),
        ),
    ),
    access_log="access-50dc6c495c0c9188",
)
KNOWN = names_of(PLAN, NODE)
# A quoted field, or a word.
_FIELD = re.compile(r'"[^"]*"|[^ "]+')


def told(number: int = 1, **changes: str) -> bytes:
    """As HAProxy says it of one request."""
    words = {
        "version": "1",
        "process": "77",
        "frontend": "l1",
        "number": str(number),
        "ended_us": "1530570180186641",
        "client_ip": "192.168.131.39",
        "client_port": "2817",
        "port": "80",
        "read_ms": "1",
        "queue_ms": "0",
        "connect_ms": "2",
        "answer_ms": "30",
        "total_ms": "37",
        "status": "200",
        "ending": "----",
        "received": "34",
        "sent": "366",
        "backend": backend(GROUP),
        "target_ip": "10.0.0.1",
        "target_port": "8080",
        "cipher": "-",
        "tls_version": "-",
        "rule": "0:forward",
        "connection": "1234abcd5678ef90",
        "major": "1",
        "method": b"GET".hex().upper(),
        "http_version": b"HTTP/1.1".hex().upper(),
        "server_name": "-",
        "certificate": "-",
        "location": "-",
        "agent": b"curl/7.46.0".hex().upper(),
        "host": b"www.example.com".hex().upper(),
        "trace": b"Root=1-58337262-36d228ad5d99923122bbe354".hex().upper(),
        "uri": b"/".hex().upper(),
        **changes,
    }
    return " ".join(words.values()).encode() + b"\n"


def read(**changes: str) -> Entry:
    found = entry(told(**changes))
    assert found is not None
    return found


def fields(text: str) -> list[str]:
    found = _FIELD.findall(text)
    assert " ".join(found) == text
    return found


def test_a_request_is_the_line_of_aws_s_example() -> None:
    assert line(read(), KNOWN) == (
        "http 2018-07-02T22:23:00.186641Z app/shop/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:8080 "
        '0.003 0.030 0.004 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - '
        f'{GROUP} "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:23:00.149641Z "forward" "-" "-" '
        '"10.0.0.1:8080" "200" "-" "-" TID_1234abcd5678ef90'
    )


def test_what_the_load_balancer_answered_itself_has_no_target() -> None:
    redirected = read(
        target_ip="-",
        target_port="-",
        backend="l1",
        connect_ms="-1",
        answer_ms="-1",
        status="301",
        rule="5:redirect",
        location=b"https://www.example.com:443/?a b".hex().upper(),
    )
    found = fields(line(redirected, KNOWN))
    assert found[4:10] == ["-", "-1", "-1", "-1", "301", "-"]
    assert (found[16], found[20], found[22], found[23]) == (
        "-",
        "5",
        '"redirect"',
        '"https://www.example.com:443/?a b"',
    )


def test_a_target_that_gave_no_answer_is_named_and_has_no_status() -> None:
    found = fields(line(read(answer_ms="-1", connect_ms="-1", status="502", ending="SC--"), KNOWN))
    assert found[4:10] == ["10.0.0.1:8080", "-1", "-1", "-1", "502", "-"]
    assert found[25:27] == ['"10.0.0.1:8080"', '"-"']


def test_a_client_that_left_before_any_answer_is_aws_s_460() -> None:
    assert fields(line(read(status="-1", ending="CH--", answer_ms="-1"), KNOWN))[8:10] == ["460", "-"]


def test_what_was_no_request_has_no_words_of_one() -> None:
    broken = read(method="-", http_version="-", uri="-", agent="-", host="-", trace="-", status="400", rule="-")
    found = fields(line(replace(broken, target=""), KNOWN))
    assert (found[12], found[13], found[20], found[22]) == ('"- http://10.0.0.4:80- -"', '"-"', "-", '"-"')


def test_types_are_aws_s() -> None:
    tls = {"cipher": "ECDHE-RSA-AES128-GCM-SHA256", "tls_version": "TLSv1.2"}
    grpc = names_of(replace(PLAN, groups=(PlannedGroup(arn=GROUP, protocol="HTTP", version="GRPC"),)), NODE)
    kinds = [
        line(read(), KNOWN),
        line(read(**tls), KNOWN),
        line(read(**tls, major="2"), KNOWN),
        line(read(**tls, major="2"), grpc),
        line(read(status="101"), KNOWN),
        line(read(**tls, status="101"), KNOWN),
    ]
    assert [kind.split(" ")[0] for kind in kinds] == ["http", "https", "h2", "grpcs", "ws", "wss"]
    absolute = read(**tls, port="443", uri=b"https://other.example/p?q=1".hex().upper(), host="-")
    assert fields(line(absolute, KNOWN))[12] == '"GET https://other.example:443/p?q=1 HTTP/1.1"'


def test_the_certificate_that_was_shown_is_named() -> None:
    [shown] = KNOWN.certificates
    name = b"shop.example".hex().upper()
    found = fields(line(read(certificate=shown.upper(), server_name=name), KNOWN))
    assert found[18:20] == ['"shop.example"', '"arn:aws:acm:us-east-1:1:certificate/c"']
    assert fields(line(read(certificate="00" * 20), KNOWN))[19] == '"-"'


def test_what_was_called_so_a_moment_ago_is_still_known() -> None:
    later = access_lines.also(names_of(replace(PLAN, groups=(), listeners=()), NODE), KNOWN)
    assert fields(line(read(), later))[16] == GROUP


@given(st.lists(st.binary(max_size=300), min_size=7, max_size=7))
def test_no_client_can_forge_a_field_or_a_line(sent: list[bytes]) -> None:
    names = ("method", "server_name", "location", "agent", "host", "trace", "uri")
    values = {name: value.hex().upper() or "-" for name, value in zip(names, sent, strict=True)}
    text = line(read(**values), KNOWN)
    assert text.isascii() and text.isprintable()
    found = fields(text)
    assert len(found) == 30
    assert (found[2], found[3], found[8], found[16]) == (KNOWN.balancer, "192.168.131.39:2817", "200", GROUP)
    for at, value in ((13, sent[3]), (17, sent[5]), (18, sent[1]), (23, sent[2])):
        assert _unquoted(found[at]) == (value or b"-")


def _unquoted(field: str) -> bytes:
    return re.sub(rb"\\x([0-9a-f]{2})", lambda hit: bytes.fromhex(hit[1].decode()), field[1:-1].encode())


@given(st.binary(max_size=400))
def test_what_is_no_line_of_a_proxy_is_nothing(datagram: bytes) -> None:
    assert entry(datagram) is None


@given(st.sampled_from(range(34)), st.binary(max_size=40).filter(lambda one: b" " not in one))
def test_a_word_of_another_kind_is_nothing_or_harmless(at: int, word: bytes) -> None:
    words = told().removesuffix(b"\n").split(b" ")
    words[at] = word
    found = entry(b" ".join(words))
    if found is not None:
        text = line(found, KNOWN)
        assert text.isascii() and text.isprintable() and len(fields(text)) == 30


def test_the_quote_and_what_is_not_printable_are_written_as_numbers() -> None:
    assert quoted(b'a"b\\c\n\x00\xff ') == '"a\\x22b\\x5cc\\x0a\\x00\\xff "'
    assert quoted(b"") == '"-"'


def test_lines_that_never_came_are_counted_by_their_numbers() -> None:
    def of(numbers: Iterable[int], process: str = "77") -> list[bytes]:
        return [told(number, process=process) for number in numbers]

    first = counted(of([5, 6, 9]), KNOWN, {})
    assert (len(first.events), first.lost) == (3, 2)
    second = counted([*of([10, 12]), *of([0, 1], "78"), b"nonsense"], KNOWN, first.numbers)
    assert (len(second.events), second.lost) == (4, 1)
    assert counted(of([10**17]), KNOWN, second.numbers).lost == 1_000_000


def test_lines_are_in_the_order_of_their_times() -> None:
    late, early = told(1, ended_us="2000000"), told(2, ended_us="1000000")
    assert [at for at, _ in counted([late, early], KNOWN, {}).events] == [1000, 2000]
