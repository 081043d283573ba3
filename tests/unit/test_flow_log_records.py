"""From the kernel's messages to lines: nothing a task sends can break one, and each packet is in one record a side."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.flowlogs import lines
from neargate.flowlogs.interfaces import Interface, Interfaces
from neargate.flowlogs.ledger import Ledger
from neargate.flowlogs.messages import EGRESS, INGRESS, INGRESS_KNOWN, INGRESS_OVER, flow, rejection, tcp_flags
from neargate.model.flow_logs import ACCEPT, ALL, DEFAULT_FIELDS, REJECT, PlannedFlowLog
from neargate.testing.fake_flows import flow_message, ip_packet, rejected_message
from neargate.vpc import rejections

NOW = 1_700_000_000.0
LOG = PlannedFlowLog(
    flow_log_id="fl-1", account="123456789012", resource_id="vpc-1", traffic=ALL, fields=DEFAULT_FIELDS, interval_s=60
)
A, B, OUTSIDE = "10.0.0.4", "10.0.0.5", "203.0.113.9"
Record = dict[str, str]


def interface(number: int, address: str, **changes: object) -> Interface:
    made = Interface(
        eni_id=f"eni-{number}",
        subnet_id="subnet-1",
        vpc_id="vpc-1",
        addresses=(ip_address(address).packed,),
        router=ip_address("10.0.0.1").packed,
        since=NOW - 1000,
    )
    return replace(made, **changes)


def ledger(*logs: PlannedFlowLog, since: float = 0.0, interfaces: tuple[Interface, ...] = (), **bounds: int) -> Ledger:
    sizes = {"records_max": 1000, "interface_max": 1000, "flows_max": 1000, **bounds}
    made = Ledger(since, local_mark=1, **sizes)
    made.interfaces = Interfaces(interfaces or (interface(1, A), interface(2, B)))
    made.keep(logs or (LOG,), NOW, 600.0)
    return made


def closed(made: Ledger, at: float = NOW + 60, log: PlannedFlowLog = LOG) -> dict[str, list[Record]]:
    """Records by interface."""
    found: dict[str, list[Record]] = {}
    for flow_log_id, eni_id, events in made.close(at, 600.0):
        if flow_log_id == log.flow_log_id:
            found[eni_id] = [dict(zip(log.fields, line.split(" "), strict=True)) for _, line in events]
            assert [at for at, _ in events] == sorted(at for at, _ in events)
    return found


def seen(made: Ledger, message: bytes, at: float = NOW + 1, *, ended: bool = False) -> None:
    parsed = flow(message)
    assert parsed is not None
    made.flow(parsed, at, ended=ended)


def told(made: Ledger, prefix: str, packet: bytes, mark: int = 1) -> None:
    parsed = rejection(rejected_message(prefix, packet, mark))
    assert parsed is not None
    made.rejected(parsed, NOW + 2)


def brief(records: list[Record]) -> list[tuple[str, ...]]:
    names = ("srcaddr", "dstaddr", "srcport", "dstport", "packets", "bytes", "action", "log-status")
    return sorted(tuple(record[name] for name in names) for record in records)


def test_a_flow_between_two_interfaces_is_in_a_record_of_each_in_each_direction() -> None:
    made = ledger()
    seen(made, flow_message(A, B, started=NOW + 1, stopped=NOW + 3), NOW + 9, ended=True)
    found = closed(made)
    both = [
        (A, B, "40000", "80", "5", "500", "ACCEPT", "OK"),
        (B, A, "80", "40000", "4", "400", "ACCEPT", "OK"),
    ]
    assert brief(found["eni-1"]) == brief(found["eni-2"]) == both
    (record, _) = found["eni-1"]
    assert (record["version"], record["account-id"], record["interface-id"]) == ("2", "123456789012", "eni-1")
    assert (record["start"], record["end"]) == (str(int(NOW + 1)), str(int(NOW + 3)))


def test_a_long_flow_has_what_came_since_in_each_window_and_is_counted_once() -> None:
    made = ledger()
    started = NOW + 1
    seen(made, flow_message(A, OUTSIDE, counts=(3, 300, 2, 200), started=started))
    made.dumped()
    assert [r["packets"] for r in closed(made)["eni-1"]] == ["3", "2"]
    seen(made, flow_message(A, OUTSIDE, counts=(3, 300, 2, 200), started=started), NOW + 90)
    made.dumped()
    assert [r["log-status"] for r in closed(made, NOW + 120)["eni-1"]] == ["NODATA"]
    seen(
        made,
        flow_message(A, OUTSIDE, counts=(4, 450, 2, 200), started=started, stopped=NOW + 130),
        NOW + 140,
        ended=True,
    )
    (record,) = closed(made, NOW + 180)["eni-1"]
    assert (record["packets"], record["bytes"], record["start"]) == ("1", "150", str(int(NOW + 120)))


def test_what_was_counted_before_anybody_listened_is_counted_by_nobody() -> None:
    made = ledger(since=NOW)
    seen(made, flow_message(A, B, counts=(10, 1000, 10, 1000), started=NOW - 50))
    seen(made, flow_message(A, B, counts=(12, 1300, 10, 1000), started=NOW - 50), NOW + 5, ended=True)
    seen(made, flow_message(A, B, ports=(41_000, 80), number=2, started=NOW - 50), NOW + 5, ended=True)
    assert brief(closed(made)["eni-1"]) == [(A, B, "40000", "80", "2", "300", "ACCEPT", "OK")]


def test_translated_addresses_are_shown_as_each_interface_has_them() -> None:
    """From outside to a public address: the receiver's private one; to outside through a gateway: the sender's."""
    made = ledger()
    seen(made, flow_message(OUTSIDE, "198.18.0.5", seen=(OUTSIDE, A), mark=2, started=NOW), ended=True)
    seen(made, flow_message(B, OUTSIDE, seen=("198.18.0.9", OUTSIDE), mark=2, started=NOW), ended=True)
    found = closed(made)
    assert {(r["srcaddr"], r["dstaddr"]) for r in found["eni-1"]} == {(OUTSIDE, A), (A, OUTSIDE)}
    assert {(r["srcaddr"], r["dstaddr"]) for r in found["eni-2"]} == {(OUTSIDE, B), (B, OUTSIDE)}


@pytest.mark.parametrize("address", ["169.254.170.2", "169.254.169.253", "169.254.169.254", "10.0.0.1"])
def test_what_aws_leaves_out_is_left_out(address: str) -> None:
    made = ledger()
    seen(made, flow_message(A, address, started=NOW), ended=True)
    seen(made, flow_message(A, "10.0.0.2", seen=(A, "169.254.170.11"), protocol=17, started=NOW), ended=True)
    seen(made, flow_message(A, B, ports=(68, 67), protocol=17, started=NOW), ended=True)
    told(made, EGRESS, ip_packet(A, address))
    assert [r["log-status"] for r in closed(made)["eni-1"]] == ["NODATA"]


def test_a_refused_packet_was_accepted_where_it_was_sent() -> None:
    made = ledger()
    told(made, INGRESS, ip_packet(A, B))
    told(made, EGRESS, ip_packet(B, A, ports=(1, 2)))
    found = closed(made)
    assert brief(found["eni-1"]) == [(A, B, "40000", "80", "1", "40", "ACCEPT", "OK")]
    assert brief(found["eni-2"]) == [
        (A, B, "40000", "80", "1", "40", "REJECT", "OK"),
        (B, A, "1", "2", "1", "40", "REJECT", "OK"),
    ]


def test_a_packet_that_was_counted_before_it_was_refused_is_not_accepted() -> None:
    made = ledger()
    seen(made, flow_message(A, B, counts=(2, 80, 2, 80), started=NOW), ended=True)
    for _ in range(2):
        told(made, INGRESS_KNOWN, ip_packet(B, A, ports=(80, 40_000)))
    found = closed(made)
    assert brief(found["eni-1"]) == [
        (A, B, "40000", "80", "2", "80", "ACCEPT", "OK"),
        (B, A, "80", "40000", "2", "80", "REJECT", "OK"),
    ]
    assert [r["action"] for r in found["eni-2"]] == ["ACCEPT", "ACCEPT"]


def test_refused_at_its_own_public_address_an_interface_is_shown_by_its_private_one() -> None:
    public = ip_address("198.18.0.5").packed
    made = ledger(interfaces=(interface(1, A, public=public),))
    told(made, INGRESS, ip_packet("198.18.0.5", "198.18.0.5"), mark=2)
    assert [(r["srcaddr"], r["dstaddr"]) for r in closed(made)["eni-1"]] == [("198.18.0.5", A)]


def test_a_log_shows_its_own_traffic_of_its_own_interfaces() -> None:
    logs = [
        replace(LOG, flow_log_id="fl-accept", traffic=ACCEPT, resource_id="subnet-1"),
        replace(LOG, flow_log_id="fl-reject", traffic=REJECT, resource_id="eni-2"),
        replace(LOG, flow_log_id="fl-other", resource_id="subnet-2"),
    ]
    made = ledger(*logs)
    seen(made, flow_message(A, B, started=NOW), ended=True)
    told(made, INGRESS, ip_packet(A, B, ports=(9, 9)))
    events = made.close(NOW + 60, 600.0)
    shown = {(log, eni): [line.split()[-2] for _, line in told_events] for log, eni, told_events in events}
    assert shown == {
        ("fl-accept", "eni-1"): ["ACCEPT", "ACCEPT", "ACCEPT"],
        ("fl-accept", "eni-2"): ["ACCEPT", "ACCEPT"],
        ("fl-reject", "eni-2"): ["REJECT"],
    }


def test_what_has_no_room_is_said_to_be_missing() -> None:
    made = ledger(interface_max=4)
    for number in range(10):
        seen(made, flow_message(A, OUTSIDE, ports=(1000 + number, 80), number=number, started=NOW), ended=True)
    seen(made, flow_message(B, OUTSIDE, started=NOW), ended=True)
    found = closed(made)
    assert [r["log-status"] for r in found["eni-1"]].count("OK") == 4
    assert "SKIPDATA" in {r["log-status"] for r in found["eni-1"]}
    assert {r["log-status"] for r in found["eni-2"]} == {"OK"}, "one interface's flood is not another's"
    assert [r["log-status"] for r in closed(made, NOW + 120)["eni-1"]] == ["NODATA"]


def test_more_flows_than_are_remembered_are_said_to_be_missing_and_never_counted_twice() -> None:
    made = ledger(flows_max=1)
    for _ in range(3):
        for number in range(2):
            seen(made, flow_message(A, OUTSIDE, ports=(1000 + number, 80), number=number, started=NOW))
    records = closed(made)["eni-1"]
    assert {r["dstport"]: r["packets"] for r in records if r["dstaddr"] == OUTSIDE} == {"80": "5"}
    assert "SKIPDATA" in {r["log-status"] for r in records}


def test_a_flood_of_flows_beyond_those_costs_no_more_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ledger(flows_max=1)
    skipped: list[str] = []
    skip = made.skip

    def counted(eni_id: str) -> None:
        skipped.append(eni_id)
        skip(eni_id)

    monkeypatch.setattr(made, "skip", counted)
    for at in (NOW + 60, NOW + 120):
        for number in range(100):
            seen(made, flow_message(A, OUTSIDE, ports=(1000 + number, 80), number=number, started=NOW))
        made.dumped()
        assert "SKIPDATA" in {r["log-status"] for r in closed(made, at)["eni-2"]}
    assert len(skipped) <= 8, "of two interfaces and two dumps"
    made.dumped()
    assert {r["log-status"] for r in closed(made, NOW + 180)["eni-2"]} == {"NODATA"}


def test_a_limit_that_was_reached_is_said_of_both_ends() -> None:
    made = ledger()
    told(made, INGRESS_OVER, ip_packet(A, B))
    assert [[r["log-status"] for r in records] for records in closed(made).values()] == [["SKIPDATA"], ["SKIPDATA"]]


def test_an_address_that_went_to_another_task_is_the_others_from_then_on() -> None:
    gone = interface(1, A, until=NOW + 10)
    made = ledger(interfaces=(gone, interface(3, A, since=NOW + 12)))
    seen(made, flow_message(A, OUTSIDE, counts=(1, 1, 0, 0), started=NOW + 1), NOW + 11, ended=True)
    seen(made, flow_message(A, OUTSIDE, counts=(2, 2, 0, 0), number=2, started=NOW + 13), NOW + 20, ended=True)
    found = closed(made)
    assert [r["packets"] for r in found["eni-1"]] == ["1"]
    assert [r["packets"] for r in found["eni-3"]] == ["2"]
    assert set(closed(made, NOW + 120)) == {"eni-3"}, "who left before it began is in no window"


def test_fields_of_all_versions() -> None:
    fields = tuple(lines.VERSIONS)
    log = replace(LOG, fields=fields)
    facts = {"region": "us-east-1", "az-id": "use1-az1", "ecs-task-id": "abc"}
    made = ledger(log, interfaces=(interface(1, A, facts=facts),))
    made.paths = {2: 8}
    seen(made, flow_message(A, OUTSIDE, mark=2, started=NOW), ended=True)
    told(made, INGRESS, ip_packet(OUTSIDE, A, flags=0x12), mark=2)
    out, back, refused = closed(made, log=log)["eni-1"]
    assert out["version"] == "10" and len(out) == len(fields) == 42
    wanted = {
        "vpc-id": "vpc-1",
        "subnet-id": "subnet-1",
        "instance-id": "-",
        "type": "IPv4",
        "pkt-srcaddr": A,
        "pkt-dstaddr": OUTSIDE,
        "tcp-flags": "-",
        "flow-direction": "egress",
        "traffic-path": "8",
        "reject-reason": "-",
        **facts,
    }
    assert {name: out[name] for name in wanted} == wanted
    assert (back["flow-direction"], back["traffic-path"]) == ("ingress", "-")
    assert (refused["action"], refused["tcp-flags"]) == ("REJECT", "18")


def test_windows_end_at_full_intervals_and_a_new_log_begins_at_once() -> None:
    made = ledger()
    assert not made.is_due(NOW + 39) and NOW % 60 == 20
    late = replace(LOG, flow_log_id="fl-2", interval_s=600)
    made.keep((LOG, late), NOW + 10, 600.0)
    assert made.is_due(NOW + 40)
    assert {log for log, _, _ in made.close(NOW + 40, 600.0)} == {"fl-1"}
    made.keep((late,), NOW + 41, 600.0)
    assert not made.is_due(NOW + 399) and made.is_due(NOW + 400)


@pytest.mark.parametrize(("raw", "shown"), [(0x02, 2), (0x12, 18), (0x10, 0), (0x11, 1), (0x14, 4), (0x13, 19), (8, 0)])
def test_flags_are_those_that_flow_logs_have(raw: int, shown: int) -> None:
    assert tcp_flags(raw) == shown


def test_prefixes_are_the_rules() -> None:
    packet = ip_packet(A, B)
    for prefix in (rejections.EGRESS, rejections.INGRESS, rejections.INGRESS_KNOWN):
        assert rejection(rejected_message(prefix, packet)) is not None
    assert rejection(rejected_message(rejections.EGRESS_OVER, packet)) is not None
    assert rejection(rejected_message(rejections.INGRESS_OVER, packet)) is not None
    assert rejection(rejected_message("forged", packet)) is None


def test_ports_are_found_behind_extension_headers_and_not_in_later_fragments() -> None:
    inner = struct.pack("!HH", 7, 8)
    addresses = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed

    def read(first: int, rest: bytes) -> tuple[int, int, int]:
        packet = struct.pack("!IHBB", 6 << 28, len(rest), first, 64) + addresses + rest
        found = rejection(rejected_message(INGRESS, packet))
        assert found is not None and found.size == 40 + len(rest)
        return found.protocol, found.ends.source_port, found.ends.destination_port

    options = bytes([17, 1]) + bytes(14)
    assert read(0, options + inner + bytes(4)) == (17, 7, 8)
    assert read(44, bytes([17, 0, 0, 0, 0, 0, 0, 0]) + inner + bytes(4)) == (17, 7, 8)
    assert read(44, bytes([17, 0, 0, 9, 0, 0, 0, 0]) + inner + bytes(4)) == (17, 0, 0)
    later = bytearray(ip_packet(A, B))
    later[6:8] = struct.pack("!H", 0x00FF)
    found = rejection(rejected_message(INGRESS, bytes(later)))
    assert found is not None and (found.ends.source_port, found.ends.destination_port) == (0, 0)


@given(st.binary(max_size=200))
def test_no_bytes_of_a_packet_break_a_line(packet: bytes) -> None:
    every = replace(LOG, fields=tuple(lines.VERSIONS))
    made = ledger(every)
    for prefix in (INGRESS, EGRESS, INGRESS_KNOWN):
        parsed = rejection(rejected_message(prefix, ip_packet(A, B)[:20] + packet))
        assert parsed is not None
        made.rejected(parsed, NOW)
        free = rejection(rejected_message(prefix, packet))
        if free is not None:
            made.rejected(free, NOW)
    for records in closed(made, log=every).values():
        assert records, "each line had as many words as its format"


@given(st.binary(max_size=300))
def test_no_message_of_any_bytes_raises(body: bytes) -> None:
    flow(body)
    rejection(body)
    parsed = flow(flow_message(A, B)[:-40] + body)
    if parsed is not None:
        ledger().flow(parsed, NOW, ended=False)


@given(st.text(max_size=40))
def test_a_value_is_one_word(text: str) -> None:
    shown = lines.word(text)
    assert len(shown.split()) == 1 and shown.split() == [shown] and "\n" not in shown


@given(st.data())
def test_whatever_is_dumped_when_each_packet_is_in_exactly_one_window(data: st.DataObject) -> None:
    """Flows grow, are dumped at any time and end: their records add up to what they counted."""
    made = ledger()
    grown = {number: [0, 0] for number in range(3)}
    over: set[int] = set()
    total: dict[tuple[str, str], int] = {}
    now = NOW
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.sampled_from((1.0, 20.0)))
        number = data.draw(st.integers(0, 2))
        if number not in over:
            grown[number][0] += data.draw(st.integers(0, 3))
            grown[number][1] += data.draw(st.integers(0, 3))
            ends = data.draw(st.integers(0, 4)) == 0
            over |= {number} if ends else set()
            counts = (grown[number][0], 0, grown[number][1], 0)
            seen(made, flow_message(A, B, number=number, counts=counts, started=NOW + 1), now, ended=ends)
        if made.is_due(now):
            for other in set(grown) - over:
                counts = (grown[other][0], 0, grown[other][1], 0)
                seen(made, flow_message(A, B, number=other, counts=counts, started=NOW + 1), now)
            made.dumped()
            add(total, closed(made, now))
    for other in set(grown) - over:
        seen(
            made,
            flow_message(A, B, number=other, counts=(grown[other][0], 0, grown[other][1], 0), started=NOW + 1),
            now,
        )
    add(total, closed(made, now + 60))
    wanted = {(A, B): sum(there for there, _ in grown.values()), (B, A): sum(back for _, back in grown.values())}
    assert total == {ends: packets for ends, packets in wanted.items() if packets}


def add(total: dict[tuple[str, str], int], found: dict[str, list[Record]]) -> None:
    for record in found["eni-1"]:
        if record["log-status"] == "OK":
            ends = (record["srcaddr"], record["dstaddr"])
            total[ends] = total.get(ends, 0) + int(record["packets"])


def test_a_nat_gateway_shows_what_came_to_it_and_what_it_passed_on() -> None:
    every = replace(LOG, fields=(*DEFAULT_FIELDS, "pkt-srcaddr", "pkt-dstaddr", "flow-direction", "traffic-path"))
    own, public = "10.0.0.9", "198.18.0.9"
    gateway = interface(9, own, public=ip_address(public).packed)
    made = ledger(every, interfaces=(interface(1, A), gateway))
    made.gateways, made.paths = {77: gateway}, {77: 1}
    message = flow_message(A, OUTSIDE, seen=(public, OUTSIDE), mark=77, started=NOW, counts=(5, 500, 4, 400))
    seen(made, message, ended=True)
    found = closed(made, log=every)
    names = ("srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr", "flow-direction", "traffic-path", "packets")
    assert {tuple(record[name] for name in names) for record in found["eni-9"]} == {
        (own, A, OUTSIDE, A, "egress", "1", "4"),
        (own, OUTSIDE, own, OUTSIDE, "egress", "8", "5"),
        (A, own, A, OUTSIDE, "ingress", "-", "5"),
        (OUTSIDE, own, OUTSIDE, own, "ingress", "-", "4"),
    }
    assert {record["traffic-path"] for record in found["eni-1"]} == {"1", "-"}
