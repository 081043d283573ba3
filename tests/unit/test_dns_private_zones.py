"""Private zones as a resolver answers them: what of a share is shown, how long it holds, who says there is none."""

import pytest

from neargate.agent.names.resolver import names_of
from neargate.dns.answering import Forward, answer
from neargate.dns.message import AAAA, ANY, CNAME, NS, SOA, SRV, A, Malformed
from neargate.dns.names import Names, vpc_names
from neargate.dns.private_zones import private_zone
from neargate.model.network import DnsRecords, DnsZone, VpcDns, VpcPlan
from neargate.testing import libresolv

TEN = tuple(f"10.0.0.{number}" for number in range(10, 20))
SOA_TEXT = "SOA ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. ("


def records(name: str, kind: str, *values: str, ttl_s: int = 10, most: int = 8) -> DnsRecords:
    return DnsRecords(name=name, type=kind, ttl_s=ttl_s, values=values, most=most)


ZONE = DnsZone(
    name="internal",
    ttl_s=15,
    records=(
        records("web.internal", "A", *TEN),
        records("web.internal", "AAAA", "2600:1f18::5", ttl_s=20),
        records("_http._tcp.internal", "SRV", "1 1 8080 i-1.web.internal", "1 1 8081 i-2.web.internal"),
        records("one.internal", "A", *TEN, most=1),
        records("other.internal", "CNAME", "one.internal", "web.internal", most=1),
        records("outside.internal", "CNAME", "www.example.com", most=1),
    ),
)


def names(*zones: DnsZone) -> Names:
    return vpc_names("ec2.internal", ["10.0.0.0/16"], public_domain="x", zones=[private_zone(one) for one in zones])


NAMES = names(ZONE)


def asked(what: str, kind: int = A, turn: int = 0, known: Names = NAMES) -> libresolv.Seen:
    told = answer(libresolv.query(what, kind), known, turn=turn)
    assert isinstance(told, bytes)
    return libresolv.read(told)


def shown(what: str, kind: int = A, turn: int = 0) -> list[str]:
    return [" ".join(record.split()[1:]) for record in asked(what, kind, turn).records["answer"]]


def test_eight_of_ten_are_shown_and_each_comes_first_some_time() -> None:
    answers = [shown("web.internal", turn=turn) for turn in range(80)]
    assert all(len(set(one)) == 8 for one in answers)
    assert {one[0].split()[-1] for one in answers} == set(TEN)
    assert answers[0][0].startswith("10S IN A 10.0.0.")


def test_a_weighted_name_has_one_and_every_one_in_turn() -> None:
    answers = [shown("one.internal", turn=turn) for turn in range(80)]
    assert [len(one) for one in answers] == [1] * 80
    assert {one[0].split()[-1] for one in answers} == set(TEN)


def test_times_to_live_are_of_each_type() -> None:
    assert shown("WEB.internal", AAAA) == ["20S IN AAAA 2600:1f18::5"]


def test_services_with_ports() -> None:
    assert sorted(shown("_http._tcp.internal", SRV)) == [
        "10S IN SRV 1 1 8080 i-1.web.internal.",
        "10S IN SRV 1 1 8081 i-2.web.internal.",
    ]


def test_an_alias_of_several_leads_to_one_of_them_and_is_followed() -> None:
    targets = set()
    for turn in range(16):
        first, *rest = shown("other.internal", turn=turn)
        assert first.startswith("10S IN CNAME ") and rest
        targets.add(first.split()[-1])
    assert targets == {"one.internal.", "web.internal."}
    assert [one.split()[2] for one in shown("other.internal", CNAME)] == ["CNAME"]


def test_an_alias_may_lead_outside() -> None:
    told = answer(libresolv.query("outside.internal", A), NAMES)
    assert isinstance(told, Forward) and told.onward is not None


@pytest.mark.parametrize(
    ("what", "kind", "outcome"),
    [
        ("nothing.internal", A, 3),
        ("deep.nothing.internal", SRV, 3),
        ("_tcp.internal", A, 0),
        ("one.internal", AAAA, 0),
        ("internal", A, 0),
    ],
)
def test_what_is_not_there_is_said_by_the_zone_for_its_time(what: str, kind: int, outcome: int) -> None:
    seen = asked(what, kind)
    assert seen.outcome == outcome and not seen.records["answer"]
    (authority,) = seen.records["authority"]
    assert " ".join(authority.split()).startswith("internal. 15S IN " + SOA_TEXT)


def test_the_top_has_servers_and_an_authority() -> None:
    assert [one.split()[2] for one in shown("internal", NS)] == ["NS"] * 4
    assert shown("internal", SOA)[0].startswith("15S IN " + SOA_TEXT)
    assert shown("internal", ANY)


def test_the_longest_zone_answers() -> None:
    inner = DnsZone(name="dev.internal", ttl_s=60, records=(records("web.dev.internal", "A", "10.1.0.1"),))
    outer = DnsZone(name="internal", ttl_s=15, records=(records("db.dev.internal", "A", "10.1.0.2"),))
    known = names(outer, inner)
    assert asked("web.dev.internal", known=known).outcome == 0
    assert asked("db.dev.internal", known=known).outcome == 3
    assert asked("ip-10-0-0-7.ec2.internal", known=known).outcome == 0  # the VPC's own names stay


@pytest.mark.parametrize(
    "broken",
    [
        records("web.elsewhere", "A", "10.0.0.1"),
        records("web.internal", "A", "10.0.0.256"),
        records("web.internal", "A", "2600:1f18::5"),
        records("web.internal", "SRV", "1 1 65536 a.internal"),
        records("web.internal", "SRV", "1 1 a.internal"),
        records("web.internal", "SRV", "1 1 -1 a.internal"),
        records("web.internal", "CNAME", "a..b"),
        records("internal", "CNAME", "a.b"),
        records(f"{'x' * 64}.internal", "A", "10.0.0.1"),
    ],
)
def test_a_zone_that_is_none_is_left_out_and_the_others_stay(broken: DnsRecords) -> None:
    with pytest.raises((Malformed, ValueError)):
        private_zone(DnsZone(name="internal", ttl_s=15, records=(broken,)))
    other = DnsZone(name="example", ttl_s=15, records=(records("web.example", "A", "10.0.0.1"),))
    dns = VpcDns(
        domain="ec2.internal",
        hostnames=True,
        zones=(DnsZone(name="internal", ttl_s=15, records=(broken,)), other),
    )
    notes: list[str] = []
    known = names_of(plan(dns), notes.append)
    assert known is not None and asked("web.example", known=known).outcome == 0
    assert len(notes) == 1 and "internal" in notes[0]


def plan(dns: VpcDns) -> VpcPlan:
    return VpcPlan(vpc_id="vpc-0a", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=dns)


def test_without_host_names_a_vpc_has_no_private_zones() -> None:
    known = names_of(plan(VpcDns(domain="ec2.internal", hostnames=False, zones=(ZONE,))))
    assert known is not None
    assert isinstance(answer(libresolv.query("web.internal", A), known), Forward)
    assert names_of(plan(VpcDns(domain="ec2.internal", support=False, hostnames=True, zones=(ZONE,)))) is None


def test_a_name_of_the_regions_own_comes_before_a_private_zone() -> None:
    dns = VpcDns(
        domain="ec2.internal",
        hostnames=True,
        zones=(DnsZone(name="neargate.internal", ttl_s=5, records=(records("neargate.internal", "A", "10.0.0.66"),)),),
        endpoints=(("neargate.internal", "169.254.170.10"),),
    )
    known = names_of(plan(dns))
    assert known is not None
    assert "169.254.170.10" in asked("neargate.internal", known=known).records["answer"][0]
