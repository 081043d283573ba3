"""After a restart: from what is found on the host to what goes on, what is rebuilt and what is removed. Pure.

Invariant (absence is never an order): a running container without a record is kept and reported from its labels; only
what runs nothing and belongs to no record is removed. A changed boot id means that nothing runs any more; so do lost
kernel objects, since where the agent's machine is itself a container its restart keeps the boot id.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..interfaces.hostnet import TaskNetwork
from ..interfaces.sandbox import ContainerState
from ..model.launch import ContainerLaunch, TaskLaunch
from ..model.lifecycle import LastStatus, StopCode
from ..model.network import Eni
from .container_config import (
    LABEL_CAPACITY,
    LABEL_CONTAINER,
    LABEL_ESSENTIAL,
    LABEL_INCARNATION,
    LABEL_PAUSE,
    LABEL_STOP_SIGNAL,
    LABEL_STOP_TIMEOUT,
    LABEL_TASK,
)
from .task_record import ContainerRecord, Phase, TaskRecord

REBOOTED = "The machine that ran this task was restarted"


class Observed(Struct, frozen=True, kw_only=True):
    """`containers`: of this instance, with labels. The lists are read after the subscription to exits."""

    records: Sequence[TaskRecord]
    tombstones: frozenset[str]
    containers: Sequence[ContainerState]
    networks: Sequence[TaskNetwork]
    disks: Sequence[str]
    cgroups: Sequence[str]
    same_boot: bool
    now: float
    stop_reason: str | None = None  # the operator's standing order to stop everything here


class AdoptionPlan(Struct, frozen=True, kw_only=True):
    """`resume` go on at their phase; `changed` of them must be saved first. The rest names what to remove."""

    resume: tuple[TaskRecord, ...] = ()
    changed: tuple[TaskRecord, ...] = ()
    delete_containers: tuple[str, ...] = ()
    detach: tuple[str, ...] = ()
    delete_disks: tuple[str, ...] = ()
    delete_cgroups: tuple[str, ...] = ()


def adopt(seen: Observed) -> AdoptionPlan:
    known = {record.task_id for record in seen.records}
    running = {dict(state.labels).get(LABEL_TASK, "") for state in seen.containers if _may_run(state)}
    lost = frozenset(record.task_id for record in seen.records if _lost_its_host(record, seen, running))
    ended = tuple(_after_boot(record, seen.now) for record in seen.records if record.task_id in lost)
    members, paused = _by_task(seen.containers)
    rebuilt = tuple(
        _from_labels(task_id, states, seen, shares_processes=task_id in paused)
        for task_id, states in members.items()
        if seen.same_boot and task_id not in known and task_id not in seen.tombstones and _runs(states)
    )
    if seen.stop_reason is not None:
        ended = tuple(_after_order(record, seen) for record in seen.records)
        rebuilt = tuple(_after_order(record, seen) for record in rebuilt)
        lost = frozenset(known)
    kept = known | {record.task_id for record in rebuilt}
    stray = [state.runtime_id for state in seen.containers if dict(state.labels).get(LABEL_TASK, "") not in kept]
    return AdoptionPlan(
        resume=(*ended, *(record for record in seen.records if record.task_id not in lost), *rebuilt),
        changed=(*ended, *rebuilt),
        delete_containers=tuple(sorted(stray)),
        detach=tuple(sorted(item.task_id for item in seen.networks if item.task_id not in kept)),
        delete_disks=tuple(sorted(task_id for task_id in seen.disks if task_id not in kept)),
        delete_cgroups=tuple(sorted(task_id for task_id in seen.cgroups if task_id not in kept)),
    )


def _by_task(containers: Sequence[ContainerState]) -> tuple[dict[str, list[ContainerState]], frozenset[str]]:
    """The tasks' own containers, and which tasks have a pause container: it is a part of no task by itself."""
    tasks: dict[str, list[ContainerState]] = {}
    paused: set[str] = set()
    for state in sorted(containers, key=lambda item: item.runtime_id):
        labels = dict(state.labels)
        task_id = labels.get(LABEL_TASK)
        if task_id and LABEL_PAUSE in labels:
            paused.add(task_id)
        elif task_id:
            tasks.setdefault(task_id, []).append(state)
    return tasks, frozenset(paused)


def _runs(states: Sequence[ContainerState]) -> bool:
    return any(map(_may_run, states))


def _may_run(state: ContainerState) -> bool:
    """One that cannot be asked for the moment is not given up for it."""
    return state.status in ("running", "unknown")


def _lost_its_host(record: TaskRecord, seen: Observed, running: set[str]) -> bool:
    """Whether the machine ended the task. Interface and cgroup outlive every process but not the kernel's restart."""
    if not seen.same_boot:
        return True
    attached = record.task_id in {item.task_id for item in seen.networks}
    if record.task_id in running or record.phase not in (Phase.STARTING, Phase.RUNNING):
        return False
    if record.phase is Phase.STARTING:  # what it has not made yet it cannot have lost
        return record.eni_attached and not attached
    return not attached or record.task_id not in seen.cgroups


def _after_boot(record: TaskRecord, now: float) -> TaskRecord:
    """Nobody can tell the exit codes; the reason is the machine's, not the task's."""
    return _to_stop(_all_gone(record, now), StopCode.INFRASTRUCTURE_HEALTH, REBOOTED, now)


def _after_order(record: TaskRecord, seen: Observed) -> TaskRecord:
    """What still runs gets its signal and its grace on the way down."""
    known = record if seen.same_boot else _all_gone(record, seen.now)
    return _to_stop(known, StopCode.USER_INITIATED, seen.stop_reason or "", seen.now)


def _all_gone(record: TaskRecord, now: float) -> TaskRecord:
    containers = tuple(
        item if item.is_stopped else replace(item, known_status="STOPPED", finished_at=now)
        for item in record.containers
    )
    return replace(record, containers=containers)


def _to_stop(record: TaskRecord, code: StopCode, reason: str, now: float) -> TaskRecord:
    """The first reason stays."""
    if record.phase in (Phase.STOPPING, Phase.STOPPED):
        return record
    attached = record.known_status != LastStatus.PROVISIONING
    return replace(
        record,
        phase=Phase.STOPPING,
        known_status=(LastStatus.STOPPING if attached else LastStatus.DEPROVISIONING).value,
        stopping_at=now,
        stop_code=code.value,
        stopped_reason=reason,
    )


def _from_labels(
    task_id: str, states: Sequence[ContainerState], seen: Observed, *, shares_processes: bool
) -> TaskRecord:
    """As much of the launch as labels and the host still tell: enough to watch it, report it and stop it."""
    network = next((item for item in seen.networks if item.task_id == task_id), None)
    launch = TaskLaunch(
        task_id=task_id,
        task_arn="",
        incarnation=dict(states[0].labels).get(LABEL_INCARNATION, ""),
        capacity_id=dict(states[0].labels).get(LABEL_CAPACITY, ""),
        account="",
        region="",
        zone="",
        zone_id="",
        cluster="",
        cluster_arn="",
        family="",
        revision=0,
        group="",
        cpu_units=0,
        memory_mib=0,
        share_pid_namespace=shares_processes,
        eni=_unknown_eni(network),
        containers=tuple(_container_launch(state) for state in states),
    )
    return TaskRecord(
        launch=launch,
        phase=Phase.RUNNING,
        known_status=LastStatus.RUNNING.value,
        eni_attached=network is not None,
        accepted_at=seen.now,
        report_seq=int(seen.now * 1000),  # above what was reported before the record was lost
        containers=tuple(_container_record(state, seen.now) for state in states),
        adopted_from_labels=True,
    )


def _container_launch(state: ContainerState) -> ContainerLaunch:
    labels = dict(state.labels)
    timeout = labels.get(LABEL_STOP_TIMEOUT, "")
    return ContainerLaunch(
        name=labels.get(LABEL_CONTAINER, state.runtime_id),
        image="",
        arn="",
        essential=labels.get(LABEL_ESSENTIAL) == "1",
        stop_timeout_s=int(timeout) if timeout.isdecimal() else 30,
    )


def _container_record(state: ContainerState, now: float) -> ContainerRecord:
    labels = dict(state.labels)
    return ContainerRecord(
        name=labels.get(LABEL_CONTAINER, state.runtime_id),
        runtime_id=state.runtime_id,
        known_status="PENDING" if state.status == "created" else "RUNNING",
        stop_signal=labels.get(LABEL_STOP_SIGNAL, ""),
        created_at=now,
        started_at=None if state.status == "created" else now,
    )


def _unknown_eni(network: TaskNetwork | None) -> Eni:
    return Eni(
        eni_id="" if network is None else network.eni_id,
        attachment_id="",
        mac="",
        vpc_id="" if network is None else network.vpc_id,
        subnet_id="",
        subnet_cidr="",
        private_ipv4="",
    )
