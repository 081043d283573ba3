"""What an agent makes of the server's word on load balancers: handed on in time, kept over restarts, told back."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.messages import problem
from neargate.agent.balancers.keys import KeyFiles
from neargate.agent.balancers.orders import BalancerOrders, messages
from neargate.agent.local_state import LocalState
from neargate.agent.vpc_plans import VpcPlans
from neargate.interfaces.hostnet import HostError
from neargate.link.messages import BalancerPush, BalancerWithdraw, NodeReports, decode_to_agent, encode
from neargate.model.balancing import (
    BalancerPlan,
    Condition,
    FixedResponse,
    Forward,
    GroupVerdicts,
    HealthCheck,
    NodeReport,
    PlannedCertificate,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    PlannedRule,
    PlannedTarget,
    Redirect,
    TargetVerdict,
    WeightedGroup,
)
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import VpcPlan
from neargate.testing.fake_hostnet import FakeHostNetwork
from neargate.testing.virtual_time import VirtualWorld, run_virtual

VPC, HOST = "vpc-1", "host-1"
ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
OTHER = ARN.replace("web", "api")
NODE = PlannedNode(place="elbnode-1", eni_id="eni-1", zone="us-east-1a", private_ipv4="10.0.0.9", host_id=HOST)
PLAN = BalancerPlan(arn=ARN, vpc_id=VPC, name="web", kind="application", generation=5, nodes=(NODE,))
SECRET = "-----BEGIN PRIVATE KEY-----"


class Runner:
    """Implements BalancerRunner. `refuses`: so often."""

    def __init__(self, refuses: int = 0) -> None:
        self.applied: list[dict[str, int]] = []
        self.plans: tuple[BalancerPlan, ...] = ()
        self.said: list[NodeReport] = []
        self._refuses = refuses
        self._listeners: list[Callable[[NodeReport], None]] = []

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        if self._refuses:
            self._refuses -= 1
            raise HostError("not yet")
        self.applied.append({plan.arn: plan.generation for plan in plans})
        self.plans = tuple(plans)

    def reports(self) -> Sequence[NodeReport]:
        return self.said

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        self._listeners.append(listener)

    def say(self, *reports: NodeReport) -> None:
        for report in reports:
            for listener in self._listeners:
                listener(report)


class Rig:
    def __init__(self, directory: Path, runner: Runner | None = None, memory: Path | None = None) -> None:
        """`memory`: what outlives the agent, and not the machine."""
        self.world = VirtualWorld()
        self.notes: list[str] = []
        self.network = FakeHostNetwork()
        self.runner = runner or Runner()
        self.state = LocalState(self.world, directory / "agent.db")
        self.told: list[list[NodeReport]] = []
        self.vpcs = VpcPlans(
            self.world,
            DEFAULT_KNOBS,
            self.network,
            self.state,
            self._nothing,
            lambda _: None,
            shut=self._nothing,
            is_inhabited=lambda _: False,
            host_id=HOST,
        )
        self.orders = BalancerOrders(
            self.world,
            DEFAULT_KNOBS,
            self.runner,
            self.state,
            self.vpcs,
            lambda reports: self.told.append(list(reports)),
            self.notes.append,
            None if memory is None else KeyFiles(memory),
        )

    async def begin(self) -> None:
        loaded = await self.state.load()
        await self.orders.restore(loaded.balancers)
        self.world.spawn(self.orders.run(), "orders")
        await self.world.sleep(1)

    async def vpc(self, vpc_id: str = VPC) -> None:
        await self.vpcs.push(VpcPlan(vpc_id=vpc_id, generation=1, cidrs=("10.0.0.0/16",), groups=()))
        await self.world.sleep(1)

    async def push(self, plan: BalancerPlan) -> None:
        await self.orders.push(plan)
        await self.world.sleep(1)

    async def _nothing(self, _: object) -> None:
        return None


def test_a_plan_waits_for_its_vpc_and_a_lower_generation_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.begin()
        await rig.push(PLAN)
        assert rig.runner.applied == [] and rig.orders.held() == {ARN: 5}
        await rig.vpc()
        assert rig.runner.applied == [{ARN: 5}]
        await rig.push(replace(PLAN, generation=4))
        await rig.push(replace(PLAN, generation=7))
        assert rig.runner.applied == [{ARN: 5}, {ARN: 7}]
        await rig.state.close()

    run_virtual(story())


def test_one_that_waits_for_its_vpc_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.begin()
        await rig.vpc()
        await rig.push(replace(PLAN, arn=OTHER, vpc_id="vpc-2"))
        await rig.push(PLAN)
        assert rig.runner.applied == [{ARN: 5}]
        await rig.vpc("vpc-2")
        assert rig.runner.applied[-1] == {ARN: 5, OTHER: 5}
        await rig.state.close()

    run_virtual(story())


def test_what_was_ordered_before_a_restart_is_handed_on_at_once_and_whole(tmp_path: Path) -> None:
    """Whoever was handed a part would end the rest, whose connections live."""

    async def story() -> None:
        first = Rig(tmp_path)
        await first.begin()
        await first.vpc()
        await first.push(PLAN)
        await first.push(replace(PLAN, arn=OTHER))
        await first.state.close()
        second = Rig(tmp_path)
        await second.begin()
        assert second.runner.applied == [{ARN: 5, OTHER: 5}]
        assert second.orders.held() == {ARN: 5, OTHER: 5}
        await second.state.close()

    run_virtual(story())


def test_an_agent_that_knows_of_none_ends_none(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.begin()
        assert rig.runner.applied == []
        await rig.state.close()

    run_virtual(story())


def test_a_withdrawal_ends_that_plan_and_not_a_later_one(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.begin()
        await rig.vpc()
        await rig.push(PLAN)
        await rig.orders.withdraw(ARN, 4)
        await rig.world.sleep(1)
        assert rig.runner.applied == [{ARN: 5}]
        await rig.orders.withdraw(ARN, 5)
        await rig.world.sleep(1)
        assert rig.runner.applied == [{ARN: 5}, {}] and rig.orders.held() == {}
        assert (await rig.state.load()).balancers == ()
        await rig.state.close()

    run_virtual(story())


def test_a_runner_that_refuses_is_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path, Runner(refuses=3))
        await rig.begin()
        await rig.vpc()
        await rig.push(PLAN)
        await rig.world.sleep(5)
        assert rig.runner.applied == [{ARN: 5}]
        await rig.state.close()

    run_virtual(story())


def test_news_of_nodes_come_together_and_all_is_said_again(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.begin()
        one = NodeReport(arn=ARN, place="elbnode-1", generation=5, is_serving=False)
        other = replace(one, place="elbnode-2")
        rig.runner.say(one, other, replace(one, is_serving=True))
        await rig.world.sleep(0.5)
        assert rig.told == [[replace(one, is_serving=True), other]]
        rig.runner.said = [other]
        rig.orders.connected()
        await rig.world.sleep(0.5)
        assert rig.told[1:] == [[other]]
        await rig.world.sleep(DEFAULT_KNOBS.balancer_report_period_s)
        assert rig.told[2:] == [[other]]
        await rig.state.close()

    run_virtual(story())


GROUP = PlannedGroup(arn="arn:tg", protocol="HTTP", targets=(PlannedTarget(ip="10.0.0.5", port=80, zone="us-east-1a"),))
LISTENER = PlannedListener(
    arn="arn:listener",
    port=443,
    protocol="HTTPS",
    default=Forward(groups=(WeightedGroup(arn="arn:tg"),)),
    rules=(
        PlannedRule(
            priority=1,
            conditions=(Condition(field="path-pattern", values=("/a b'\"\n*",)),),
            action=Redirect(code=301),
        ),
    ),
    certificates=(PlannedCertificate(arn="arn:c", names=("*.example.com",), pem=SECRET),),
)
FULL = replace(PLAN, listeners=(LISTENER,), groups=(GROUP,))


KEYS = (
    "-----BEGIN PRIVATE KEY-----\n" + "MIGHAgEAMBMGByqGSM49AgEG" * 40
)  # longer than a page of the database keeps together
OPEN = PlannedListener(arn="arn:open", port=80, protocol="HTTP", default=FixedResponse(code=200))


def shown(pem: str, generation: int = 5) -> BalancerPlan:
    certificate = PlannedCertificate(arn="arn:c", names=("*.example.com",), pem=pem)
    return replace(FULL, generation=generation, listeners=(OPEN, replace(LISTENER, certificates=(certificate,))))


def held_in(directory: Path, *pems: str) -> list[str]:
    """Files below the directory in which there is a line of one of these keys."""
    parts = [pem.encode()[-100:] for pem in pems]
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if any(part in path.read_bytes() for part in parts)]


def leave_in_free_pages(database: Path, pem: str) -> None:
    """As an SQLite does that does not overwrite what is deleted."""
    with closing(sqlite3.connect(database)) as open_one:
        open_one.execute("PRAGMA secure_delete = OFF")
        open_one.execute("INSERT INTO balancers VALUES (?, 1, ?)", (OTHER, pem.encode()))
        open_one.commit()
        open_one.execute("DELETE FROM balancers WHERE arn = ?", (OTHER,))
        open_one.commit()


def test_no_file_of_the_agent_ever_has_a_private_key_and_its_next_process_has_it_again(tmp_path: Path) -> None:
    disk, memory = tmp_path / "agent", tmp_path / "memory"
    memory.mkdir(mode=0o700)

    async def story() -> None:
        first = Rig(disk, memory=memory)
        await first.begin()
        await first.vpc()
        await first.push(shown(KEYS + "A"))
        await first.push(shown(KEYS + "B", 6))
        assert held_in(disk, KEYS + "A", KEYS + "B") == []
        assert len(held_in(memory, KEYS + "B")) == 1 and held_in(memory, KEYS + "A") == []
        await first.state.close()
        assert held_in(disk, KEYS + "A", KEYS + "B") == []
        second = Rig(disk, memory=memory)
        await second.begin()
        assert second.runner.plans == (shown(KEYS + "B", 6),)
        await second.orders.withdraw(ARN, 6)
        assert list(memory.iterdir()) == []
        await second.state.close()

    run_virtual(story())


def test_after_a_reboot_what_needs_no_key_is_served_and_any_plan_of_the_server_is_later(tmp_path: Path) -> None:
    disk, memory = tmp_path / "agent", tmp_path / "memory"
    memory.mkdir(mode=0o700)

    async def story() -> None:
        first = Rig(disk, memory=memory)
        await first.begin()
        await first.vpc()
        await first.push(shown(KEYS))
        await first.state.close()
        for path in memory.iterdir():
            path.unlink()
        second = Rig(disk, memory=memory)
        await second.begin()
        assert [one.listeners for one in second.runner.plans] == [(OPEN,)]
        assert second.orders.held() == {ARN: 0}
        assert second.notes == [f"{ARN}: keys of its certificates are not in memory any more, the server is asked"]
        await second.vpc()
        await second.push(shown(KEYS))
        assert second.runner.plans == (shown(KEYS),)
        await second.state.close()

    run_virtual(story())


def test_keys_that_an_earlier_release_kept_on_disk_are_wiped_from_it_and_go_on_serving(tmp_path: Path) -> None:
    disk, memory = tmp_path / "agent", tmp_path / "memory"
    memory.mkdir(mode=0o700)

    async def story() -> None:
        earlier = Rig(disk).state
        await earlier.load()
        await earlier.save_balancer(shown(KEYS + "A", 4))
        await earlier.save_balancer(shown(KEYS + "B"))
        await earlier.close()
        leave_in_free_pages(disk / "agent.db", KEYS * 9 + "C")
        assert held_in(disk, KEYS + "B") == held_in(disk, KEYS + "C") == ["agent.db"]
        later = Rig(disk, memory=memory)
        await later.begin()
        assert later.runner.plans == (shown(KEYS + "B"),)
        assert held_in(disk, KEYS + "A", KEYS + "B", KEYS + "C") == []
        await later.state.close()
        assert held_in(disk, KEYS + "A", KEYS + "B", KEYS + "C") == []

    run_virtual(story())


def test_a_disk_too_full_to_be_wiped_ends_no_agent_and_its_next_start_wipes(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path)
        full = [True]
        # A copy of the file is attached for that.
        rig.state._open().set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if full[0] and action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
        )
        await rig.begin()
        await rig.orders.push(PLAN)
        assert rig.orders.held() == {ARN: 5}
        assert ["may still be in the agent's file" in note for note in rig.notes] == [True]
        full[0] = False
        assert await rig.state.wipe_once() == ""
        full[0] = True
        assert await rig.state.wipe_once() == "", "once is enough"

    run_virtual(main())


def test_a_key_that_cannot_be_kept_is_served_and_said(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()

    async def story() -> None:
        rig = Rig(tmp_path / "agent", memory=memory)
        await rig.begin()
        await rig.vpc()
        memory.rmdir()
        await rig.push(shown(KEYS))
        assert rig.runner.plans == (shown(KEYS),)
        assert rig.notes[0].startswith(f"keys of {ARN} are not kept over a restart: ")
        await rig.state.close()

    run_virtual(story())


def test_what_is_said_together_fits_a_message_however_many_targets_there_are() -> None:
    long = TargetVerdict(
        key="100.100.100.100:65535",
        state="unhealthy",
        reason="Target.ResponseCodeMismatch",
        detail="Health checks failed with these codes: [503]",
    )
    group = GroupVerdicts(group=ARN.replace("loadbalancer/app", "targetgroup"), targets=(long,) * 1000)
    one = NodeReport(arn=ARN, place="elbnode-1", generation=5, is_serving=True, groups=(group,) * 5)
    knobs = DEFAULT_KNOBS
    sent = list(messages([one] * 64, knobs.balancer_reports_max, knobs.balancer_verdicts_max))
    assert sum(map(len, sent)) == 64
    assert all(len(encode(NodeReports(reports=tuple(each)))) < knobs.link_message_max_bytes for each in sent)
    few = list(messages([replace(one, groups=())] * 100, 64, 10))
    assert [len(each) for each in few] == [64, 36]
    assert list(messages([one, one], 64, 10)) == [[one], [one]]


def test_an_honest_plan_passes_and_shows_no_key() -> None:
    message = BalancerPush(plan=FULL)
    assert problem(message) is None
    assert decode_to_agent(encode(message)) == message
    assert SECRET not in repr(message) and SECRET not in repr(FULL)
    assert problem(BalancerWithdraw(arn=ARN, generation=1)) is None


def listener(**changes: object) -> BalancerPlan:
    return replace(FULL, listeners=(replace(LISTENER, **changes),))


def group(**changes: object) -> BalancerPlan:
    return replace(FULL, groups=(replace(GROUP, **changes),))


HOSTILE = {
    "an interface that is a path": replace(FULL, nodes=(replace(NODE, eni_id="../x"),)),
    "a place that is a path": replace(FULL, nodes=(replace(NODE, place="/etc"),)),
    "an address of the loopback": replace(FULL, nodes=(replace(NODE, private_ipv4="127.0.0.1"),)),
    "a VPC that is a path": replace(FULL, vpc_id="../x"),
    "no kind": replace(FULL, kind="gateway"),
    "an ARN of two lines": replace(FULL, arn="arn\nglobal"),
    "a listener without a port": listener(port=0),
    "a listener of no protocol": listener(protocol="UDP"),
    "a listener with a time that is none": listener(idle_timeout_s=float("nan")),
    "an answer of no status": listener(default=FixedResponse(code=99999)),
    "a target that is no address": group(targets=(PlannedTarget(ip="10.0.0.5 check", port=80),)),
    "a target without a port": group(targets=(PlannedTarget(ip="10.0.0.5", port=0),)),
    "a check in no time": group(check=HealthCheck(interval_s=0.0)),
    "a check of two lines": group(check=HealthCheck(path="/\nbind :1")),
}


@pytest.mark.parametrize("plan", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_an_honest_server_would_not_say_is_refused(plan: BalancerPlan) -> None:
    assert problem(BalancerPush(plan=plan)) is not None
