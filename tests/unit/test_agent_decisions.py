"""Small decisions and the small database of the agent, each by itself."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.agent.health import HealthState, check_arguments, next_health
from neargate.agent.local_state import LocalState
from neargate.agent.order import next_starts, next_stops, start_order
from neargate.agent.task_record import ContainerRecord, TaskRecord, report_of
from neargate.agent.vpc_plans import VpcPlans
from neargate.interfaces.hostnet import HostError
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.launch import ContainerLaunch, Dependency, HealthCheck
from neargate.model.network import VpcPlan
from neargate.testing.agent_host import VPC, container, launch
from neargate.testing.fake_hostnet import FakeHostNetwork
from neargate.testing.virtual_time import VirtualWorld, run_virtual

CHECK = HealthCheck(command=("CMD", "x"), retries=3, start_period_s=10)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[ContainerLaunch, ...]:
    """Up to six containers; each may need earlier ones. Shuffled, as a definition may name them in any order."""
    count = draw(st.integers(1, 6))
    made = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1))) if number else set()
        depends = tuple(Dependency(container_name=f"c{need}", condition="START") for need in sorted(needs))
        made.append(container(f"c{number}", depends_on=depends))
    return tuple(draw(st.permutations(made)))


def record_of(containers: tuple[ContainerLaunch, ...], **states: ContainerRecord) -> TaskRecord:
    known = tuple(states.get(item.name, ContainerRecord(name=item.name, runtime_id=item.name)) for item in containers)
    return TaskRecord(launch=launch(*containers), containers=known)


def running(name: str, at: float = 1.0) -> ContainerRecord:
    return ContainerRecord(name=name, runtime_id=name, known_status="RUNNING", started_at=at)


@given(tasks())
def test_whatever_starts_has_what_it_needs_and_all_start(containers: tuple[ContainerLaunch, ...]) -> None:
    record = record_of(containers)
    needs = {item.name: {need.container_name for need in item.depends_on} for item in containers}
    for _ in containers:
        plan = next_starts(record, 5.0, 180.0)
        for name in plan.start:
            assert all(record.container(need).started_at is not None for need in needs[name])
        for name in plan.start:
            record = record.with_container(name, known_status="RUNNING", started_at=5.0)
    assert next_starts(record, 5.0, 180.0).done
    names = [item.name for item in start_order(containers)]
    assert all(names.index(need) < names.index(name) for name in names for need in needs[name])


@given(tasks())
def test_nothing_is_stopped_while_something_running_needs_it(containers: tuple[ContainerLaunch, ...]) -> None:
    record = record_of(containers, **{item.name: running(item.name) for item in containers})
    needs = {item.name: {need.container_name for need in item.depends_on} for item in containers}
    stopped: set[str] = set()
    while len(stopped) < len(containers):
        step = next_stops(record)
        assert step, "there is always something to stop"
        for name in step:
            assert all(user in stopped for user, needed in needs.items() if name in needed)
        for name in step:
            record = record.with_container(name, known_status="STOPPED")
        stopped.update(step)


@pytest.mark.parametrize(
    ("condition", "needed", "starts"),
    [
        ("START", running("a"), True),
        ("COMPLETE", running("a"), False),
        ("COMPLETE", replace(running("a"), known_status="STOPPED", exit_code=7), True),
        ("SUCCESS", replace(running("a"), known_status="STOPPED", exit_code=0), True),
        ("HEALTHY", running("a"), False),
        ("HEALTHY", replace(running("a"), health_status="UNHEALTHY"), False),
        ("HEALTHY", replace(running("a"), health_status="HEALTHY"), True),
    ],
)
def test_conditions(condition: str, needed: ContainerRecord, starts: bool) -> None:
    waits = container("b", depends_on=(Dependency(container_name="a", condition=condition),))
    plan = next_starts(record_of((waits, container("a")), a=needed), 100.0, 180.0)
    assert (plan.start == ("b",)) is starts and plan.give_up == ()
    assert plan.wake_at == (None if starts else 181.0), "the time-out runs from the start of the one depended on"


@pytest.mark.parametrize(
    ("condition", "needed"),
    [
        ("SUCCESS", replace(running("a"), known_status="STOPPED", exit_code=1)),
        ("SUCCESS", replace(running("a"), known_status="STOPPED", exit_code=None)),
        ("HEALTHY", replace(running("a"), known_status="STOPPED", exit_code=0)),
        ("START", ContainerRecord(name="a", runtime_id="a", known_status="STOPPED")),
    ],
)
def test_what_can_never_become_true_is_given_up(condition: str, needed: ContainerRecord) -> None:
    waits = container("b", depends_on=(Dependency(container_name="a", condition=condition),))
    plan = next_starts(record_of((waits, container("a")), a=needed), 100.0, 180.0)
    assert [name for name, _ in plan.give_up] == ["b"] and plan.start == ()


def test_health_follows_dockers_rules() -> None:
    state = HealthState()
    for _ in range(5):
        state = next_health(state, CHECK, passed=False, running_s=9.0)
    assert state == HealthState(), "failures within the start period do not count"
    for expected in ("UNKNOWN", "UNKNOWN", "UNHEALTHY"):
        state = next_health(state, CHECK, passed=False, running_s=20.0)
        assert state.status == expected
    state = next_health(state, CHECK, passed=True, running_s=21.0)
    assert state == HealthState(status="HEALTHY")
    state = next_health(state, CHECK, passed=False, running_s=5.0)
    assert state.failures == 1, "the first success ends the start period"
    assert state.status == "HEALTHY"


def test_how_a_check_is_executed() -> None:
    assert check_arguments(HealthCheck(command=("CMD", "a", "b"))) == ("a", "b")
    assert check_arguments(HealthCheck(command=("CMD-SHELL", "a || b"))) == ("/bin/sh", "-c", "a || b")
    assert check_arguments(HealthCheck(command=("CMD-SHELL", "a", "b"))) == ("/bin/sh", "-c", "a", "b")
    assert check_arguments(HealthCheck(command=("NONE",))) is None
    assert check_arguments(HealthCheck(command=("/healthcheck",))) is None


def test_a_record_becomes_a_tombstone_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld()
        record = record_of((container(),))
        state = LocalState(world, tmp_path / "agent.db")
        await state.save(record)
        await state.set_boot_id("b")
        again = LocalState(world, tmp_path / "agent.db")
        loaded = await again.load()
        assert loaded.records == (record,) and loaded.tombstones == () and loaded.boot_id == "b"
        await state.bury(replace(report_of(record), report_seq=7))
        loaded = await again.load()
        assert loaded.records == () and [item.report.report_seq for item in loaded.tombstones] == [7]
        await state.acknowledge(record.task_id, 6, 50.0)
        assert (await again.load()).tombstones[0].acknowledged_at is None, "an older report was acknowledged"
        await state.acknowledge(record.task_id, 7, 50.0)
        await state.trim(50.0)
        assert len((await again.load()).tombstones) == 1
        await state.trim(51.0)
        assert (await again.load()).tombstones == ()
        await state.close()
        await again.close()

    run_virtual(story())


def test_the_newest_plan_is_in_force_before_an_order_goes_on(tmp_path: Path) -> None:
    def plan(generation: int) -> VpcPlan:
        return VpcPlan(vpc_id=VPC, generation=generation, cidrs=("10.0.0.0/16",), groups=())

    async def story() -> None:
        world = VirtualWorld()
        network = FakeHostNetwork()
        opened: list[str] = []
        state = LocalState(world, tmp_path / "agent.db")

        async def listeners(plan: VpcPlan) -> None:
            opened.append(plan.vpc_id)

        async def shut(vpc_id: str) -> None:
            opened.remove(vpc_id)

        plans = VpcPlans(
            world, DEFAULT_KNOBS, network, state, listeners, lambda _: None, shut=shut, is_inhabited=lambda _: True
        )
        waiting = asyncio.ensure_future(plans.ready(VPC))
        await world.sleep(1)
        assert not waiting.done() and plans.plan(VPC) is None
        network.faults.fail("apply_vpc", HostError("not yet"), times=2)
        await plans.push(plan(5))
        await plans.push(plan(4))
        assert not waiting.done()
        await waiting
        assert network.plans[VPC].generation == 5 and opened
        newest = plans.plan(VPC)
        assert newest is not None and newest.name_servers == ("10.0.0.2",)
        assert [kept.generation for kept in (await state.load()).plans] == [5], "an older one changes nothing"
        await plans.push(plan(6))
        await plans.ready(VPC)
        assert network.plans[VPC].generation == 6
        await state.close()

    run_virtual(story())
