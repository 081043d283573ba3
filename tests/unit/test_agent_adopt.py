"""Adoption as a decision: any mixture of what may be found on a host after a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.agent.adopt import REBOOTED, Observed, adopt
from neargate.agent.container_config import LABEL_CAPACITY, LABEL_CONTAINER, LABEL_INCARNATION, LABEL_TASK
from neargate.agent.task_record import ContainerRecord, Phase, TaskRecord, report_of
from neargate.interfaces.hostnet import TaskNetwork
from neargate.interfaces.sandbox import ContainerState
from neargate.testing.agent_host import launch

TASKS = tuple(f"{number:032x}" for number in range(4))


def record(task_id: str, phase: Phase) -> TaskRecord:
    containers = (ContainerRecord(name="web", runtime_id=f"{task_id}-1", known_status="RUNNING", started_at=1.0),)
    return TaskRecord(launch=replace(launch(), task_id=task_id), phase=phase, containers=containers)


def state(task_id: str, status: str) -> ContainerState:
    labels = ((LABEL_TASK, task_id), (LABEL_CONTAINER, "web"), (LABEL_INCARNATION, "cell-1"), (LABEL_CAPACITY, "c-1"))
    return ContainerState(runtime_id=f"{task_id}-1", status=status, labels=labels)


some = st.sets(st.sampled_from(TASKS))
observations = st.builds(
    lambda records, phase, tombs, running, stopped, networks, disks, cgroups, same_boot: Observed(
        records=tuple(record(task_id, phase) for task_id in sorted(records)),
        tombstones=frozenset(tombs - records),
        containers=tuple(
            [state(task_id, "running") for task_id in sorted(running)]
            + [state(task_id, "stopped") for task_id in sorted(stopped - running)]
        ),
        networks=tuple(
            TaskNetwork(task_id=task_id, eni_id="eni", vpc_id="vpc", netns_path="/n") for task_id in sorted(networks)
        ),
        disks=tuple(sorted(disks)),
        cgroups=tuple(sorted(cgroups)),
        same_boot=same_boot,
        now=100.0,
    ),
    some,
    st.sampled_from(list(Phase)[:3]),
    some,
    some,
    some,
    some,
    some,
    some,
    st.booleans(),
)


@given(observations)
def test_nothing_that_runs_is_ended_without_an_order_and_nothing_else_is_left(seen: Observed) -> None:
    plan = adopt(seen)
    resumed = {item.task_id for item in plan.resume}
    deleted = {runtime_id.partition("-")[0] for runtime_id in plan.delete_containers}
    known = {item.task_id for item in seen.records}
    running = {item.runtime_id.partition("-")[0] for item in seen.containers if item.status == "running"}
    assert known <= resumed, "every record goes on"
    assert not resumed & deleted
    if seen.same_boot:
        assert running - seen.tombstones <= resumed, "absence is never an order"
    for listed, removed in (
        ({item.task_id for item in seen.networks}, plan.detach),
        (set(seen.disks), plan.delete_disks),
        (set(seen.cgroups), plan.delete_cgroups),
        ({item.runtime_id.partition("-")[0] for item in seen.containers}, tuple(deleted)),
    ):
        assert set(removed) == listed - resumed, "what belongs to nobody goes, all of it"


def test_what_runs_without_a_record_still_names_its_claim() -> None:
    """The cell takes it for the task's only by that, if it had not been told of it before."""
    seen = replace(FOUND, records=(), containers=(state(TASKS[0], "running"),))
    [item] = adopt(seen).resume
    report = report_of(item)
    assert (report.capacity_id, report.incarnation) == ("c-1", "cell-1")
    old = replace(seen.containers[0], labels=seen.containers[0].labels[:-1])
    [unnamed] = adopt(replace(seen, containers=(old,))).resume
    assert report_of(unnamed).capacity_id == "", "of a release that did not note it"


@given(observations)
def test_after_a_reboot_every_record_stops_for_the_machines_reason(seen: Observed) -> None:
    plan = adopt(replace(seen, same_boot=False))
    for item in plan.resume:
        assert item.phase is Phase.STOPPING
        assert all(known.is_stopped and known.exit_code is None for known in item.containers)
        before = next(old for old in seen.records if old.task_id == item.task_id)
        if before.phase is not Phase.STOPPING:
            assert item.stop_code == "InfrastructureHealth"
    assert plan.changed == plan.resume, "all of them are saved before the new boot id is"


LOST = record(TASKS[0], Phase.RUNNING)
FOUND = Observed(
    records=(LOST,),
    tombstones=frozenset(),
    containers=(state(TASKS[0], "stopped"),),
    networks=(TaskNetwork(task_id=TASKS[0], eni_id="eni", vpc_id="vpc", netns_path="/n"),),
    disks=TASKS[:1],
    cgroups=TASKS[:1],
    same_boot=True,
    now=100.0,
)


@pytest.mark.parametrize("gone", [{"networks": ()}, {"cgroups": ()}, {"networks": (), "cgroups": (), "containers": ()}])
def test_a_task_whose_kernel_objects_are_gone_was_lost_with_its_host(gone: dict[str, tuple[()]]) -> None:
    """A machine that is itself a container keeps its boot id over a power cut; cgroup and interface go all the same."""
    [item] = adopt(replace(FOUND, **gone)).changed
    assert (item.phase, item.stop_code, item.stopped_reason) == (Phase.STOPPING, "InfrastructureHealth", REBOOTED)
    assert item.containers[0].exit_code is None


def test_a_task_is_not_lost_while_it_runs_or_before_it_was_made() -> None:
    assert adopt(FOUND).changed == (), "an exit that was missed has its own reason"
    running = replace(FOUND, containers=(state(TASKS[0], "running"),), networks=(), cgroups=())
    assert adopt(running).changed == ()
    unknown = replace(running, containers=(state(TASKS[0], "unknown"),))
    assert adopt(unknown).changed == (), "a shim that does not answer for a moment is no power cut"
    starting = replace(FOUND, records=(replace(LOST, phase=Phase.STARTING),), networks=(), cgroups=(), containers=())
    assert adopt(starting).changed == ()
    attached = replace(LOST, phase=Phase.STARTING, eni_attached=True)
    assert adopt(replace(starting, records=(attached,))).changed[0].stop_code == "InfrastructureHealth"
