"""Private zones that no honest server sends: refused as a whole, before a resolver holds them."""

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.messages import problem
from neargate.link.messages import VpcPush, decode_to_agent, encode
from neargate.model.network import DnsRecords, DnsZone, VpcDns, VpcPlan

RECORDS = DnsRecords(name="web.internal", type="A", ttl_s=60, values=("10.0.0.1",), most=8)
ZONE = DnsZone(name="internal", records=(RECORDS,), ttl_s=15)


def push(*zones: DnsZone) -> VpcPush:
    dns = VpcDns(domain="ec2.internal", hostnames=True, zones=zones)
    return VpcPush(plan=VpcPlan(vpc_id="vpc-0a", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=dns))


def of(**changed: object) -> DnsZone:
    return replace(ZONE, records=(replace(RECORDS, **changed),))


HOSTILE = {
    "a zone without a name": replace(ZONE, name=""),
    "a zone with a line end": replace(ZONE, name="internal\n"),
    "a zone that is forgotten before it was known": replace(ZONE, ttl_s=-1),
    "a zone for ever": replace(ZONE, ttl_s=1 << 40),
    "a name with a space": of(name="web internal"),
    "a name without end": of(name="w" * 300),
    "a type that nobody answers": of(type="TXT"),
    "a time below zero": of(ttl_s=-1),
    "a share of nothing": of(most=0),
    "a share of everything": of(most=1 << 30),
    "data with control characters": of(values=("10.0.0.1\x00",)),
    "data without end": of(values=("1" * 301,)),
    "records without number": of(values=("10.0.0.1",) * 20_001),
    "names without number": replace(ZONE, records=(RECORDS,) * 20_001),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused(what: str) -> None:
    assert problem(decode_to_agent(encode(push(HOSTILE[what])))) is not None


def test_zones_without_number_are_refused() -> None:
    assert problem(push(*[replace(ZONE, records=())] * 5000)) is not None


def test_an_honest_one_passes() -> None:
    service = DnsRecords(name="_x._tcp.internal", type="SRV", ttl_s=0, values=("1 1 80 i_1.internal",), most=1)
    assert problem(push(ZONE, replace(ZONE, name="dev.internal", records=(service,)))) is None


def test_the_types_still_have_only_the_fields_that_were_judged() -> None:
    assert set(DnsZone.__struct_fields__) == {"name", "records", "ttl_s"}
    assert set(DnsRecords.__struct_fields__) == {"name", "type", "ttl_s", "values", "most"}
