"""Strays of the underlay: gathered into a bounded number of flows, written as lines, told by hosts and doctor."""

from pathlib import Path

import msgspec
import pytest

from neargate.cli import hosts
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.uplink import findings
from neargate.clusters.arrivals import facts_problem
from neargate.hostnet.underlay import UnderlayState, read_state
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.logged_packet import LoggedPacket
from neargate.uplink.strays import StrayFlows, flow_line, host_group, strays_chain

NOW = 1_795_000_000.0
TO_HOST = LoggedPacket(
    in_link=3,
    out_link=2,
    source="198.18.7.5",
    destination="203.0.113.2",
    protocol=17,
    source_port=5555,
    destination_port=4789,
    length=78,
)


def test_packets_with_the_same_ends_are_one_line() -> None:
    flows = StrayFlows(8)
    assert not flows
    flows.add(TO_HOST, NOW)
    flows.add(msgspec.structs.replace(TO_HOST, length=100), NOW + 2)
    flows.add(LoggedPacket(in_link=3, protocol=47, source="198.18.7.5", destination="203.0.113.2"), NOW + 1)
    assert flows
    first, second = (flow_line(flow, lambda index: f"link{index}" if index else "") for flow in flows.taken())
    assert first == (
        "2026-11-18T11:06:40Z 2026-11-18T11:06:42Z DROP in=link3 out=link2 src=198.18.7.5 dst=203.0.113.2 proto=udp "
        "sport=5555 dport=4789 packets=2 bytes=178"
    )
    assert "in=link3 out=- src=198.18.7.5 dst=203.0.113.2 proto=gre sport=- dport=- packets=1 bytes=0" in second
    assert not flows and flows.taken() == ()


def test_a_flood_of_flows_is_a_bounded_number_of_lines() -> None:
    flows = StrayFlows(4)
    for port in range(1, 101):
        flows.add(msgspec.structs.replace(TO_HOST, destination_port=port), NOW)
    taken = flows.taken()
    assert len(taken) == 5
    assert (taken[-1].packets, taken[-1].bytes, taken[-1].source) == (96, 96 * 78, "")
    assert taken[-1].ends == "many others"
    assert "src=- dst=- proto=- sport=- dport=- packets=96" in flow_line(taken[-1], lambda _: "")
    assert sum(flow.packets for flow in taken) == 100


def test_regions_of_a_machine_listen_apart() -> None:
    groups = {host_group(f"{number:06x}") for number in range(100)}
    assert len(groups) > 90
    assert all(0x4000 <= group < 0x8000 for group in groups)
    assert "log group 43 " in strays_chain(43)


def test_what_an_agent_says_of_strays_is_bounded() -> None:
    room = HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1)
    facts = HostFacts(host_id="h", boot_id="b", capacity=room, strays=3, last_stray="then, from here to there")
    assert facts_problem(facts) is None
    assert facts_problem(msgspec.structs.replace(facts, strays=-1)) is not None
    assert facts_problem(msgspec.structs.replace(facts, last_stray="x" * 300)) is not None


def test_hosts_tells_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = {"host_id": "h1", "zone": None, "connected": True, "tasks": 2, "pool": ""}
    answers = {"hosts": [{**host, "strays": 3, "last_stray": "then, a to b"}, {**host, "host_id": "h2", "strays": 0}]}
    monkeypatch.setattr(hosts, "ask", lambda *_: answers)
    told = hosts.listed(RegionPaths(tmp_path)).splitlines()
    assert told[-1].startswith("h1: its underlay dropped 3 packets of tasks that were neither overlay nor link")
    assert "then, a to b" in told[-1]
    assert not any(line.startswith("h2:") for line in told)


def test_doctor_tells_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(RegionPaths, "run", property(lambda _: run))
    (run / "net").mkdir(parents=True)
    (run / "net" / "uplink-state.json").write_text('{"asked": "none", "mode": "none", "works": true}')
    paths = RegionPaths(tmp_path / "data")

    def told() -> list[str]:
        return [f"{level} {text}" for level, text in findings(paths, RegionConfig(uplink="none")) if "underlay" in text]

    assert told() == ["ok the underlay: no packet of a task was where it may not be"]
    state = UnderlayState(packets=7, bytes=700, last_at=NOW, last="198.18.7.5 to 203.0.113.2 udp port 4789")
    (run / "net" / "underlay.json").write_bytes(msgspec.json.encode(state))
    assert read_state(run / "net") == state
    [line] = told()
    assert line.startswith("note the underlay dropped 7 packets (700 bytes)")
    assert "2026-11-18T11:06:40Z, 198.18.7.5 to 203.0.113.2 udp port 4789" in line
    assert str(paths.log_file("underlay")) in line
