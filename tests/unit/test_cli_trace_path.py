"""What `neargate trace-path` makes of an answer, and of a target that is none."""

from pathlib import Path
from typing import Any

import pytest

from neargate.cli import path_model, trace_path
from neargate.cli.commands import parser
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem

GROUP = {"kind": "security-group", "ids": ["sg-1"], "rule": "sgr-1", "passed": True}
ROUTE = {"kind": "route-table", "ids": ["rtb-1"], "rule": "0.0.0.0/0 -> igw-1", "passed": True}
STOPPED = {"kind": "network-acl", "ids": ["acl-1"], "rule": "100", "passed": False}
Asked = dict[str, Any]
ACCOUNT = "123456789012"


@pytest.fixture
def paths(tmp_path: Path) -> RegionPaths:
    return region_paths(str(tmp_path))


def answered(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> list[Asked]:
    asked: list[Asked] = []

    def ask(_: RegionPaths, request: str, **arguments: Any) -> Asked:
        asked.append({"request": request, **arguments})
        return {"account": ACCOUNT}

    def traced(network: path_model.Ask, _: Asked, address: str, port: int, protocol: str) -> Asked:
        network("DescribeVpcs", {})
        asked.append({"address": address, "port": port, "protocol": protocol})
        return {"delivered": True, "path": [GROUP, ROUTE], "source": "", "reply": None, "reply_path": [], **answer}

    monkeypatch.setattr(trace_path, "ask", ask)
    monkeypatch.setattr(trace_path, "traced", traced)
    return asked


def test_a_packet_that_arrives_and_is_answered(monkeypatch: pytest.MonkeyPatch, paths: RegionPaths) -> None:
    asked = answered(monkeypatch, source="198.18.0.9", reply=True, reply_path=[ROUTE])
    assert trace_path.run(paths, "0a", "1.2.3.4:80", "tcp").text.splitlines() == [
        "  security group sg-1: sgr-1",
        "  route table rtb-1: 0.0.0.0/0 -> igw-1",
        "1.2.3.4:80 is reached, and sees 198.18.0.9",
        "the answer:",
        "  route table rtb-1: 0.0.0.0/0 -> igw-1",
        "the answer comes back",
    ]
    assert asked == [
        {"request": "path-begin", "task": "0a"},
        {"request": "path-network", "account": ACCOUNT, "operation": "DescribeVpcs", "params": {}},
        {"address": "1.2.3.4", "port": 80, "protocol": "tcp"},
    ]


def test_a_packet_or_its_answer_that_is_stopped(monkeypatch: pytest.MonkeyPatch, paths: RegionPaths) -> None:
    answered(monkeypatch, delivered=False, path=[GROUP, STOPPED])
    assert trace_path.run(paths, "0a", "1.2.3.4:80", "tcp").text.splitlines()[1:] == [
        "✗ network acl acl-1: 100",
        "1.2.3.4:80 is not reached: see the line with ✗",
    ]
    answered(monkeypatch, reply=False, reply_path=[STOPPED])
    last = trace_path.run(paths, "0a", "1.2.3.4:80", "tcp").text.splitlines()[-1]
    assert last == "the answer does not come back: see the line with ✗"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"reply": True}, 0),
        ({}, 0),
        ({"delivered": False, "path": [GROUP, STOPPED]}, 1),
        ({"reply": False, "reply_path": [STOPPED]}, 1),
    ],
    ids=["there and back", "there, where nobody answers", "not there", "not back"],
)
def test_a_script_hears_by_the_status_whether_the_way_is_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: dict[str, Any], status: int
) -> None:
    answered(monkeypatch, **answer)
    words = ["trace-path", "--data", str(tmp_path), "--from", "0a", "--to", "1.2.3.4:80"]
    assert parser.run(words) == status


def test_a_machines_own_address_is_not_outside(monkeypatch: pytest.MonkeyPatch, paths: RegionPaths) -> None:
    """The model knows AWS's rules, and no machine: what tasks send to theirs is dropped there."""
    outside = {"kind": "outside", "ids": [], "rule": "", "passed": True}
    answered(monkeypatch, path=[ROUTE, outside], source="198.18.0.9", reply=True)
    assert trace_path.run(paths, "0a", "127.0.0.1:80", "tcp").text.splitlines()[1:] == [
        "✗ outside: this machine's own address: what tasks send to the machine itself is dropped",
        "127.0.0.1:80 is not reached: see the line with ✗",
    ]
    assert "203.0.113.7:80 is reached, and sees 198.18.0.9" in trace_path.run(paths, "0a", "203.0.113.7:80", "tcp").text


@pytest.mark.parametrize(
    ("to", "address", "port"),
    [
        ("1.2.3.4", "1.2.3.4", 0),
        ("[fd00::1]:443", "fd00::1", 443),
        ("fd00::1", "fd00::1", 0),
        ("[fd00::1]", "fd00::1", 0),
    ],
)
def test_targets(monkeypatch: pytest.MonkeyPatch, paths: RegionPaths, to: str, address: str, port: int) -> None:
    asked = answered(monkeypatch)
    trace_path.run(paths, "0a", to, "udp")
    assert (asked[-1]["address"], asked[-1]["port"]) == (address, port)


@pytest.mark.parametrize("to", ["1.2.3.4:http", "1.2.3.4:-1", "1.2.3.4:١", "1.2.3.4:1234567"])
def test_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch, paths: RegionPaths, to: str) -> None:
    answered(monkeypatch)
    with pytest.raises(Problem, match="is no port"):
        trace_path.run(paths, "0a", to, "tcp")
