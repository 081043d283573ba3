"""`neargate doctor` on load balancers: what counts as a trouble, the sentence of each, and who has a port of theirs."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from neargate.cli.balancing import findings as balancer_findings
from neargate.cli.balancing.findings import _SENTENCES, findings, sentences
from neargate.cli.balancing.troubles import KINDS
from neargate.cli.desks.balancers import BalancerNotNamed, BalancersDesk
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import NoServer
from neargate.frontend.balancing import book as book_part
from neargate.frontend.balancing.objects import Listener
from neargate.frontend.certificates.records import Certificate, Facts
from neargate.model.balancing import HEALTHY, UNHEALTHY
from neargate.region import Region

from .test_balancer_book import Stage, listener, staged
from .test_placing import ACCOUNT, run
from .test_placing_balancers import ARN, found, put

DAY = 86_400.0
Told = dict[str, Any]


class Certificates:
    """Those of the account, by ARN."""

    def __init__(self) -> None:
        self.has: dict[str, Certificate] = {}

    def certificate(self, _: str, arn: str) -> Certificate | None:
        return self.has.get(arn)

    def put(self, arn: str, not_after: float, origin: str = "IMPORTED") -> None:
        facts = Facts(
            domain="shop.example",
            names=(),
            serial="",
            subject="",
            issuer="",
            not_before=0.0,
            not_after=not_after,
            key_algorithm="",
            signature_algorithm="",
        )
        self.has[arn] = Certificate(
            account=ACCOUNT, name=arn, origin=origin, facts=facts, pem="", chain="", sealed_key=b"", created_at=0.0
        )


class Hosts:
    def __init__(self) -> None:
        self.are_connected = True

    async def hosts(self) -> list[Told]:
        return [{"host_id": "host-1", "connected": self.are_connected}]


class Desk:
    """What the operator asks of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.certificates, self.hosts = stage, Certificates(), Hosts()
        services = SimpleNamespace(
            network=stage.process.network,
            verdicts=stage.verdicts,
            certificates=self.certificates,
            world=SimpleNamespace(now=lambda: stage.now[0]),
        )
        region = SimpleNamespace(services=services, balancer_watch=stage.watch, capacities={"a": self.hosts})
        self.desk = BalancersDesk(cast(Region, region))

    async def kinds(self) -> dict[str, int]:
        counts: dict[str, int] = (await self.desk.troubles({}))["counts"]
        return counts

    async def trouble(self, kind: str) -> Told:
        [one] = (await self.desk.troubles({}))["shown"][kind]
        told: Told = one
        return told


def on_stage(body: Callable[[Desk], Awaitable[None]]) -> None:
    """A load balancer of two nodes that serve, and one healthy target."""

    async def main() -> None:
        stage = await staged()
        stage.say(HEALTHY)
        await stage.watch.look()
        await body(Desk(stage))

    run(main)


def test_one_that_is_well_is_no_trouble() -> None:
    async def body(desk: Desk) -> None:
        assert await desk.kinds() == {}
        assert (await desk.desk.troubles({}))["ports"] == {"host-1": [80]}

    on_stage(body)


def test_targets_that_are_ill_or_not_there_are_troubles_of_their_group() -> None:
    async def body(desk: Desk) -> None:
        desk.stage.say(UNHEALTHY)
        told = await desk.trouble("no-healthy-target")
        assert (told["group"], told["counts"]) == ("tg", {"unhealthy": 1})
        await desk.stage.put(replace(desk.stage.group, targets=()))
        assert await desk.kinds() == {"no-target": 1}
        await desk.stage.drop(listener())
        assert await desk.kinds() == {}, "nobody is led to it"

    on_stage(body)


def test_a_host_that_is_away_and_a_node_that_does_not_serve_are_told_by_zone() -> None:
    async def body(desk: Desk) -> None:
        desk.hosts.are_connected = False
        assert await desk.kinds() == {"away": 2}
        desk.hosts.are_connected = True
        first, _ = desk.stage.places
        report = desk.stage.verdicts.report(first)
        assert report is not None
        desk.stage.verdicts.heard(replace(report, is_serving=False, why="The proxy does not live long."))
        await desk.stage.watch.look()
        told = await desk.trouble("not-serving")
        assert (told["host"], told["why"]) == ("host-1", "The proxy does not live long.")
        desk.stage.verdicts.heard(replace(report, why="The proxy refuses its configuration: x"))
        await desk.stage.watch.look()
        assert await desk.kinds() == {"kept-back": 1}

    on_stage(body)


def test_a_plan_that_is_too_large_leaves_it_as_it_was_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(desk: Desk) -> None:
        monkeypatch.setattr(book_part, "PLANNED_TARGETS_MAX", 0)
        await desk.stage.put(replace(listener(), port=81, name=listener().name[:-1] + "0"))
        assert (await desk.trouble("unplanned"))["why"].startswith("its plan has 1 targets and ")
        assert [one.port for one in desk.stage.plan().listeners] == [80]
        told = await desk.desk.explain(ARN)
        assert told is not None and told["balancer"]["unplanned"].startswith("its plan has 1 targets")
        monkeypatch.undo()
        await desk.stage.put(replace(listener(), port=82, name=listener().name[:-1] + "1"))
        assert await desk.kinds() == {}

    on_stage(body)


def test_nodes_without_a_host_and_failures_are_told() -> None:
    async def body(desk: Desk) -> None:
        one = found(desk.stage.process)
        pending = replace(one.nodes[0], eni_id=None, host_id=None, state="pending")
        await put(desk.stage.process, replace(one, nodes=(pending, one.nodes[1])))
        assert await desk.kinds() == {"no-host": 1}
        await put(desk.stage.process, replace(one, state="failed", reason="Not enough IP space available in s-1."))
        assert await desk.kinds() == {"failed": 1}

    on_stage(body)


@pytest.mark.parametrize(
    ("not_after", "kind"), [(20 * DAY, ""), (10 * DAY, "expires"), (-1.0, "expired"), (None, "no-certificate")]
)
def test_certificates_are_told_of_before_and_after_they_expire(not_after: float | None, kind: str) -> None:
    async def body(desk: Desk) -> None:
        if not_after is not None:
            desk.certificates.put("cert", desk.stage.now[0] + not_after)
        tls: Listener = replace(listener(), protocol="HTTPS", certificates=("cert",))
        await desk.stage.put(tls)
        assert await desk.kinds() == ({kind: 1} if kind else {})

    on_stage(body)


def test_a_name_that_several_or_none_have_is_refused() -> None:
    async def body(desk: Desk) -> None:
        with pytest.raises(BalancerNotNamed, match="no load balancer is named 'tg'"):
            await desk.desk.balancer({"name": "tg"})
        one = found(desk.stage.process)
        await put(desk.stage.process, replace(one, name=ARN[:-1] + "9"))
        with pytest.raises(BalancerNotNamed, match=f"several load balancers have that name: {ARN}, "):
            await desk.desk.balancer({"name": "web"})
        assert (await desk.desk.balancer({"name": ARN}))["balancer"]["name"] == "web"
        told = await desk.desk.explain("web")
        assert told is not None and told["also"] == [ARN[:-1] + "9"]

    on_stage(body)


# -- sentences


def facts(kind: str, **members: Any) -> Told:
    return {"shown": {kind: [{"kind": kind, **EVERY, **members}]}, "counts": {kind: 1}, "ports": {}}


EVERY: Told = {
    "name": "shop",
    "arn": ARN,
    "group": "web",
    "zone": "us-east-1a",
    "host": "h-1",
    "why": "it is ill.",
    "port": 443,
    "certificate": "arn:cert",
    "domain": "shop.example",
    "not_after": 1_790_000_000.0,
    "is_own": False,
    "counts": {"unhealthy": 2, "initial": 1},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_trouble_has_a_sentence_that_says_what_to_do(kind: str, tmp_path: Path) -> None:
    [text] = sentences(facts(kind), region_paths(str(tmp_path)))
    assert any(name in text for name in ("shop", "web")) and "{" not in text and ".;" not in text
    does = ("neargate ", "aws ", "look into", "Mend", "what happened:", "bring that host back")
    assert any(word in text for word in does), text
    assert set(KINDS) == set(_SENTENCES)


def test_what_the_region_renews_is_not_to_be_imported(tmp_path: Path) -> None:
    paths = region_paths(str(tmp_path))
    [own], [given] = (list(sentences(facts("expired", is_own=is_own), paths)) for is_own in (True, False))
    assert "expired on 2026-09-21" in own and "should have been renewed" in own and "import" not in own
    assert given.endswith("aws acm import-certificate --certificate-arn arn:cert")


def test_of_many_the_first_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    told = facts("away")
    told["counts"]["away"] = 700
    *_, last = sentences(told, region_paths(str(tmp_path)))
    assert last.startswith("... and 699 more of that kind: neargate status --data ")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RegionPaths:
    """Whose agent is not this process."""
    paths = region_paths(str(tmp_path))
    paths.agent.mkdir(parents=True)
    (paths.agent / "host-id").write_text("h-1\n")
    monkeypatch.setattr(balancer_findings.processes, "find", lambda _: SimpleNamespace(pid=1))
    return paths


def test_a_port_that_somebody_else_has_is_told_with_who_it_is(
    monkeypatch: pytest.MonkeyPatch, machine: RegionPaths
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.2", 0)) as elsewhere:
        port, not_ours = other.getsockname()[1], elsewhere.getsockname()[1]
        answer: Told = {"shown": {}, "counts": {}, "ports": {"h-1": [port, not_ours], "h-2": [port]}}
        monkeypatch.setattr(balancer_findings, "ask", lambda *_: answer)
        [text] = findings(machine)
    assert text.startswith(f"load balancers at port {port} are not at 127.0.0.1:{port} of this machine: ")
    assert findings(machine) == [], "nobody has it any more"


def test_a_port_that_the_agent_has_is_no_trouble(monkeypatch: pytest.MonkeyPatch, machine: RegionPaths) -> None:
    monkeypatch.setattr(balancer_findings.processes, "find", lambda _: SimpleNamespace(pid=os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as own:
        answer: Told = {"shown": {}, "counts": {}, "ports": {"h-1": [own.getsockname()[1]]}}
        monkeypatch.setattr(balancer_findings, "ask", lambda *_: answer)
        assert findings(machine) == []


def test_a_server_that_cannot_be_asked_is_told_of_elsewhere(
    monkeypatch: pytest.MonkeyPatch, machine: RegionPaths
) -> None:
    def ask(*_: object) -> Told:
        raise NoServer("it does not run")

    monkeypatch.setattr(balancer_findings, "ask", ask)
    assert findings(machine) == []
