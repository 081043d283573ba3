"""The names of a VPC: what is answered here, what is said not to exist, and what is somebody else's."""

import struct
from ipaddress import IPv4Address, IPv4Network, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.dns.answering import Forward, answer
from neargate.dns.message import AAAA, ANY, CNAME, PTR, SOA, SRV, TXT, A, Malformed, is_cut, name
from neargate.dns.names import Names, address_data, find, srv_data, text_data, vpc_names, zone
from neargate.testing import libresolv
from neargate.vpc.addresses import private_dns_name

PUBLIC_DOMAIN = "compute-1.amazonaws.com"
NAMES = vpc_names("ec2.internal", ["10.0.0.0/16", "100.64.0.0/20", "fd00:ec2::/56"])
HOSTNAMES = vpc_names(
    "ec2.internal",
    ["10.0.0.0/20"],
    public_domain=PUBLIC_DOMAIN,
    pools=["198.18.0.0/24"],
    publics={"198.18.0.7": "10.0.1.5"},
)
NO_SUCH_NAME = 3


def asked(names: Names, what: str, kind: int = A, **options: int) -> libresolv.Seen | None:
    """As the C library asks and reads; None for what is to be asked elsewhere."""
    told = answer(libresolv.query(what, kind), names, **options)
    assert told is not None
    return None if isinstance(told, Forward) else libresolv.read(told)


def records(names: Names, what: str, kind: int = A) -> list[str]:
    seen = asked(names, what, kind)
    assert seen is not None and seen.outcome == 0, (what, seen)
    return [record.split(" IN ", 1)[1] for record in seen.records["answer"]]


def is_unknown(names: Names, what: str, kind: int = A) -> bool:
    """No such name, and who says so for how long."""
    seen = asked(names, what, kind)
    if seen is None or seen.outcome == 0:
        return False
    assert seen.outcome == NO_SUCH_NAME and not seen.records["answer"]
    (authority,) = seen.records["authority"]
    assert " IN SOA " in authority and what.lower().endswith(authority.split(" ")[0].rstrip(".").lower())
    return True


def is_of_another_type(names: Names, what: str, kind: int) -> bool:
    seen = asked(names, what, kind)
    return (
        seen is not None
        and seen.outcome == 0
        and not seen.records["answer"]
        and [" IN SOA " in record for record in seen.records["authority"]] == [True]
    )


def test_a_private_name_is_its_address_whoever_has_it() -> None:
    assert records(NAMES, "ip-10-0-1-5.ec2.internal") == ["A 10.0.1.5"]
    assert records(NAMES, "IP-10-0-1-5.EC2.Internal") == ["A 10.0.1.5"]
    assert records(NAMES, "ip-100-64-15-255.ec2.internal") == ["A 100.64.15.255"]
    assert is_of_another_type(NAMES, "ip-10-0-1-5.ec2.internal", AAAA)
    assert is_of_another_type(NAMES, "ec2.internal", A)
    assert records(NAMES, "ec2.internal", SOA)[0].startswith("SOA ns.ec2.internal. hostmaster.ec2.internal.")


@pytest.mark.parametrize(
    "other",
    [
        "ip-10-1-0-5.ec2.internal",
        "ip-100-64-16-0.ec2.internal",
        "ip-10-0-1-05.ec2.internal",
        "ip-10-0-1-256.ec2.internal",
        "ip-10-0-1.ec2.internal",
        "ec2-10-0-1-5.ec2.internal",
        "xip-10-0-1-5.ec2.internal",
        "a.ip-10-0-1-5.ec2.internal",
        "db.ec2.internal",
    ],
)
def test_nobody_else_is_asked_for_names_of_the_private_domain(other: str) -> None:
    assert is_unknown(NAMES, other) and is_unknown(NAMES, other, AAAA)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-3"])
def test_names_are_those_that_tasks_are_given(region: str) -> None:
    given = private_dns_name("10.0.1.5", region)
    names = vpc_names(given.partition(".")[2], ["10.0.0.0/16"])
    assert records(names, given) == ["A 10.0.1.5"] and records(names, "5.1.0.10.in-addr.arpa", PTR) == [f"PTR {given}."]


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_an_address_has_a_name_that_leads_back_or_is_asked_elsewhere(address: IPv4Address) -> None:
    inside = address in IPv4Network("10.0.0.0/16") or address in IPv4Network("100.64.0.0/20")
    found = find(NAMES, name(address.reverse_pointer), PTR)
    here = inside or address in IPv4Network("127.0.0.0/8") or address in IPv4Network("0.0.0.0/8")
    assert (found is not None) == here
    if inside:
        assert found is not None
        (record,) = found.records
        back = find(NAMES, record.data, A)
        assert back is not None and back.records[0].data == address.packed


def test_the_reverse_of_the_vpc_is_answered_here_whole_or_in_part() -> None:
    assert is_of_another_type(NAMES, "5.1.0.10.in-addr.arpa", A)
    assert is_of_another_type(NAMES, "1.0.10.in-addr.arpa", PTR) and is_of_another_type(NAMES, "0.10.in-addr.arpa", SOA)
    assert is_unknown(NAMES, "x.5.1.0.10.in-addr.arpa", PTR)
    for other in ("10.in-addr.arpa", "1.10.in-addr.arpa", "5.0.1.10.in-addr.arpa", "8.8.8.8.in-addr.arpa"):
        assert asked(NAMES, other, PTR) is None
    for odd in ("in-addr.arpa", "x.0.10.in-addr.arpa", "05.1.0.10.in-addr.arpa", "256.1.0.10.in-addr.arpa"):
        assert asked(NAMES, odd, PTR) is None, "no address: nothing is known of it"
    assert is_unknown(NAMES, ip_address("fd00:ec2::5").reverse_pointer, PTR)
    assert asked(NAMES, ip_address("fd01:ec2::5").reverse_pointer, PTR) is None


def test_the_loopback_is_answered_here() -> None:
    for what in ("localhost", "db.localhost"):
        assert records(NAMES, what) == ["A 127.0.0.1"] and records(NAMES, what, AAAA) == ["AAAA ::1"]
        assert is_of_another_type(NAMES, what, TXT)
    assert records(NAMES, "1.0.0.127.in-addr.arpa", PTR) == ["PTR localhost."]
    assert records(NAMES, ip_address("::1").reverse_pointer, PTR) == ["PTR localhost."]
    assert is_unknown(NAMES, "2.0.0.127.in-addr.arpa", PTR) and is_unknown(NAMES, "never.invalid")


def test_with_host_names_on_public_names_lead_inside_and_private_reverses_stay_here() -> None:
    assert records(HOSTNAMES, f"ec2-198-18-0-7.{PUBLIC_DOMAIN}") == ["A 10.0.1.5"]
    assert records(HOSTNAMES, f"ec2-198-18-0-8.{PUBLIC_DOMAIN}") == ["A 198.18.0.8"], "of another VPC, or nobody's"
    assert is_of_another_type(HOSTNAMES, f"ec2-198-18-0-8.{PUBLIC_DOMAIN}", AAAA)
    assert records(HOSTNAMES, "7.0.18.198.in-addr.arpa", PTR) == [f"PTR ec2-198-18-0-7.{PUBLIC_DOMAIN}."]
    for other in (
        f"ec2-3-4-5-6.{PUBLIC_DOMAIN}",
        PUBLIC_DOMAIN,
        f"ip-10-0-1-5.{PUBLIC_DOMAIN}",
        "9.1.18.198.in-addr.arpa",
    ):
        assert asked(HOSTNAMES, other) is None, "AWS's own"
    for private in ("1.1.168.192.in-addr.arpa", "1.1.16.172.in-addr.arpa", "9.0.16.10.in-addr.arpa"):
        assert is_unknown(HOSTNAMES, private, PTR)
    assert is_of_another_type(HOSTNAMES, "10.in-addr.arpa", SOA) and is_of_another_type(
        HOSTNAMES, "0.10.in-addr.arpa", PTR
    )
    assert asked(HOSTNAMES, "1.1.32.172.in-addr.arpa", PTR) is None
    without = vpc_names("ec2.internal", ["10.0.0.0/20"], pools=["198.18.0.0/24"])
    for other in (f"ec2-198-18-0-7.{PUBLIC_DOMAIN}", "7.0.18.198.in-addr.arpa", "1.1.168.192.in-addr.arpa"):
        assert asked(without, other, PTR) is None


ENDPOINT = zone("ecs.us-east-1.amazonaws.com", [("ecs.us-east-1.amazonaws.com", *address_data("169.254.170.10"))])
BALANCER = zone(
    "elb.example",
    [("web.elb.example", *address_data(f"10.0.2.{n}")) for n in range(1, 5)]
    + [("web.elb.example", *address_data("fd00::1")), ("deep.er.elb.example", TXT, text_data("x"))],
    ttl_s=30,
)
MAP = zone(
    "prod.local",
    [
        ("api.prod.local", SRV, srv_data(1, 1, 8080, "t1.api.prod.local")),
        ("t1.api.prod.local", *address_data("10.0.3.1")),
        ("www.prod.local", CNAME, name("web.elb.example")),
        ("out.prod.local", CNAME, name("db.example.org")),
        ("round.prod.local", CNAME, name("about.prod.local")),
        ("about.prod.local", CNAME, name("round.prod.local")),
        ("void.prod.local", CNAME, name("nobody.prod.local")),
    ],
)
ZONES = vpc_names("ec2.internal", ["10.0.0.0/16"], zones=[ENDPOINT, BALANCER, MAP])


def test_zones_that_are_handed_in() -> None:
    assert records(ZONES, "ecs.us-east-1.amazonaws.com") == ["A 169.254.170.10"]
    assert is_of_another_type(ZONES, "ecs.us-east-1.amazonaws.com", AAAA)
    assert is_unknown(ZONES, "x.ecs.us-east-1.amazonaws.com") and asked(ZONES, "s3.us-east-1.amazonaws.com") is None
    assert records(ZONES, "web.elb.example", AAAA) == ["AAAA fd00::1"]
    assert records(ZONES, "api.prod.local", SRV) == ["SRV 1 1 8080 t1.api.prod.local."]
    assert is_unknown(ZONES, "nobody.prod.local") and is_of_another_type(ZONES, "api.prod.local", A)
    assert is_of_another_type(ZONES, "er.elb.example", A), "only names below it: it exists, and has nothing"
    assert is_unknown(ZONES, "other.er.elb.example")
    assert records(ZONES, "prod.local", SOA)[0].startswith("SOA ns.prod.local.")


def test_clients_take_the_first_address_so_each_gets_another() -> None:
    firsts = []
    for turn in range(8):
        seen = asked(ZONES, "web.elb.example", turn=turn)
        assert seen is not None and len(seen.records["answer"]) == 4
        firsts.append(seen.records["answer"][0].split(" ")[-1])
    assert firsts == [f"10.0.2.{n}" for n in (1, 2, 3, 4)] * 2


def test_aliases_lead_on_here_and_elsewhere() -> None:
    assert (
        records(ZONES, "www.prod.local")[0] == "CNAME web.elb.example." and len(records(ZONES, "www.prod.local")) == 5
    )
    assert records(ZONES, "www.prod.local", CNAME) == ["CNAME web.elb.example."]
    seen = asked(ZONES, "void.prod.local")
    assert seen is not None and seen.outcome == NO_SUCH_NAME and len(seen.records["answer"]) == 1
    assert len(records(ZONES, "round.prod.local")) == 8, "a circle ends"
    onward = answer(libresolv.query("out.prod.local", A), ZONES)
    assert isinstance(onward, Forward) and onward.asked == name("db.example.org") + b"\x00\x01\x00\x01"
    foreign = libresolv.query("db.example.org", A)
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
    told = libresolv.read(onward.answered(b"\x00\x01\x81\x80\x00\x01\x00\x01" + foreign[8:] + record, stream=False))
    assert told.records["answer"] == [
        "out.prod.local. 1M IN CNAME db.example.org.",
        "db.example.org. 1M IN A 192.0.2.1",
    ]
    cut = onward.answered(b"\x00\x01\x83\x80" + foreign[4:], stream=False)
    assert is_cut(cut) and libresolv.read(cut).records["answer"] == []
    broken = b"\x00\x01\x81\x80\x00\x01\x00\x02" + foreign[8:] + record
    assert libresolv.read(onward.answered(broken, stream=False)).outcome == 2


def test_any_is_one_of_them() -> None:
    assert records(ZONES, "ip-10-0-1-5.ec2.internal", ANY) == ["A 10.0.1.5"]
    assert len(records(ZONES, "web.elb.example", ANY)) == 4


def test_the_nearest_zone_decides() -> None:
    outer = zone("internal", [("a.ec2.internal", *address_data("10.0.0.9"))])
    inner = zone("special.ec2.internal", [("special.ec2.internal", *address_data("10.0.0.8"))])
    names = vpc_names("ec2.internal", ["10.0.0.0/16"], zones=[outer, inner])
    assert is_unknown(names, "a.ec2.internal") and records(names, "special.ec2.internal") == ["A 10.0.0.8"]
    assert is_unknown(names, "ip-10-0-0-1.special.ec2.internal") and is_unknown(names, "b.internal")


@pytest.mark.parametrize(
    "wrong",
    [
        [("a.example.com", A, b"1234")],
        [("a.example.org", CNAME, b"\x00"), ("a.example.org", A, b"1234")],
        [("a.example.org", A, b"1234"), ("a.example.org", CNAME, b"\x00")],
        [("a.example.org", CNAME, b"\x00"), ("a.example.org", CNAME, b"\x00")],
        [("a..example.org", A, b"1234")],
        [("b" * 64 + ".example.org", A, b"1234")],
    ],
)
def test_zones_that_are_none(wrong: list[tuple[str, int, bytes]]) -> None:
    with pytest.raises(Malformed):
        zone("example.org", wrong)


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=12),
    st.integers(0, 65535),
    st.sampled_from([NAMES, ZONES, HOSTNAMES]),
)
def test_any_name_of_any_type_is_answered_or_asked_elsewhere(labels: list[bytes], kind: int, names: Names) -> None:
    wire = b"".join(bytes([len(label)]) + label for label in labels)[:250]
    for end in (b"\x00", name("in-addr.arpa"), name("ec2.internal"), name("prod.local"), name("ip6.arpa")):
        data = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + wire + end + struct.pack(">HH", kind, 1)
        told = answer(data, names)
        if isinstance(told, bytes):
            assert len(told) <= 512 and libresolv.read(told).number == 7


def test_a_vpc_of_too_many_networks_has_no_names() -> None:
    with pytest.raises(Malformed):
        vpc_names("ec2.internal", [f"10.0.{n}.0/24" for n in range(65)])


def test_of_several_addresses_another_one_is_the_first_each_time() -> None:
    """Clients take the first; a load balancer's nodes are all of them."""
    three = [("lb.example.com", *address_data(f"10.0.0.{n}")) for n in range(3)]
    names = vpc_names("ec2.internal", ["10.0.0.0/16"], zones=[zone("lb.example.com", three)])
    shown = [find(names, name("lb.example.com"), A, turn << 3) for turn in range(4)]
    data = [tuple(record.data[-1] for record in found.records) for found in shown if found is not None]
    assert data == [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 1, 2)]
