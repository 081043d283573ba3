"""Makes a plan durable: all of it but the starts, in one write.

Owns how a plan becomes statements; decides nothing. Invariant: the write is guarded by the service's `rev` and raises
it, and each stop by its task's, so that of two who decided on the same state one changes everything and one nothing;
who was protected meanwhile is not stopped.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.store import Statement, Store
from ...model.lifecycle import StopCode
from ...scheduling.services import messages
from ...scheduling.services.rollout import has_protection
from ...scheduling.services.state import Deployment, RolloutState, ServicePlan, ServiceStatus
from ...scheduling.task_document import ask_to_stop
from ...world import World
from ..task_table import TaskRow, changed_task, encode_json, rows_by_id, write_updates
from .records import DELETED, REPLACED, Record, ended, followed
from .snapshot import Snapshot
from .tables import (
    REV,
    DeploymentRow,
    ServiceState,
    deployment_id,
    digits,
    insert_deployment,
    insert_events,
    records_of,
    update_record,
)

_FORGET = ("service_tasks", "protections")


class Applied(Struct, frozen=True, kw_only=True):
    """`rev`: of the service now. `stopped`: tasks that were asked to stop."""

    rev: int
    stopped: tuple[TaskRow, ...]


def changes_something(snapshot: Snapshot, plan: ServicePlan) -> bool:
    service = snapshot.service
    return bool(
        plan.stops
        or plan.counted
        or plan.events
        or plan.rollback_to is not None
        or plan.status is not service.status
        or plan.is_steady != service.is_steady
        or plan.rebalancing != service.rebalancing
        or dict(plan.told) != dict(service.told)
        or {d.deployment_id: d for d in plan.deployments} != {d.deployment_id: d for d in service.deployments}
    )


async def apply_plan(world: World, store: Store, snapshot: Snapshot, plan: ServicePlan) -> Applied:
    """Raises Refused (somebody else changed the service or one of the tasks), Overloaded."""
    now = world.now()
    rows = await rows_by_id(store, [stop.task_id for stop in plan.stops])
    stops = [(rows[stop.task_id], stop.why) for stop in plan.stops if stop.task_id in rows]
    asked = [(row, why) for row, why in stops if row.desired_status == "RUNNING" and not row.is_stopped]
    updates = []
    for row, why in asked:
        change = ask_to_stop(row.document(), StopCode.SERVICE_SCHEDULER_INITIATED, why)
        updates.append(changed_task(row, change, report_seq=row.report_seq, stages=row.stages, now=now))
    statements = [
        _service(snapshot, plan, now),
        *_deployments(snapshot, plan, now),
        *await _records(store, snapshot, plan, now),
        *_unprotected(snapshot, plan, now),
        *_counted(plan),
        *insert_events(snapshot.row.n, plan.events, now, world.random.getrandbits),
        *_rollback(world, snapshot, plan, now),
        *write_updates(updates),
    ]
    await store.write(statements)
    return Applied(rev=snapshot.row.rev + 1, stopped=tuple(row for row, _ in asked))


def remembered_after(snapshot: Snapshot, plan: ServicePlan) -> ServiceState:
    before = {deployment.deployment_id: deployment.rollout_state for deployment in snapshot.service.deployments}
    completed = [
        deployment.revision
        for deployment in plan.deployments
        if deployment.rollout_state is RolloutState.COMPLETED
        and before[deployment.deployment_id] is not RolloutState.COMPLETED
    ]
    return replace(
        snapshot.remembered,
        place_told={} if plan.is_steady else snapshot.remembered.place_told,
        is_steady=plan.is_steady,
        rebalancing=plan.rebalancing,
        told=dict(plan.told),
        completed=completed[0] if completed else snapshot.remembered.completed,
    )


def _service(snapshot: Snapshot, plan: ServicePlan, now: float) -> Statement:
    is_over = plan.status is ServiceStatus.INACTIVE
    return Statement(
        "UPDATE services SET rev = rev + 1, status = ?, ended_at = ?, state = ? WHERE n = ? AND rev = ?",
        (
            plan.status.value,
            now if is_over else None,
            encode_json(remembered_after(snapshot, plan)),
            snapshot.row.n,
            snapshot.row.rev,
        ),
        1,
        REV,
    )


def _deployments(snapshot: Snapshot, plan: ServicePlan, now: float) -> list[Statement]:
    before = {deployment.deployment_id: deployment for deployment in snapshot.service.deployments}
    after = plan.deployments
    if plan.rollback_to is not None:
        after = tuple(replace(deployment, is_primary=False) for deployment in after)
    statements = [
        Statement(
            "UPDATE deployments SET state = ?, updated_at = ? WHERE id = ?",
            (encode_json(deployment), now, deployment.deployment_id),
            1,
            "deployment",
        )
        for deployment in after
        if deployment != before[deployment.deployment_id]
    ]
    return statements + [
        Statement("UPDATE deployments SET live = 0 WHERE id = ?", (row.id,), 1, "deployment")
        for row in _over(snapshot, plan)
    ]


def _over(snapshot: Snapshot, plan: ServicePlan) -> list[DeploymentRow]:
    kept = {deployment.deployment_id for deployment in plan.deployments}
    rows = snapshot.deployments
    if plan.status is ServiceStatus.INACTIVE:
        rows = rows[1:]  # what was the PRIMARY is described as long as the service is
    return [row for row in rows if row.id not in kept]


def _undoing(snapshot: Snapshot, plan: ServicePlan) -> Deployment | None:
    """What takes the place of the PRIMARY, if the plan says that something does: one of before, or none of them yet."""
    primary = snapshot.deployments[0].id
    return next((d for d in plan.deployments if d.is_primary and d.deployment_id != primary), None)


async def _records(store: Store, snapshot: Snapshot, plan: ServicePlan, now: float) -> list[Statement]:
    """The record of the PRIMARY, and of deployments that are over. What undoes a deployment is part of its record."""
    primary = snapshot.deployments[0]
    undoing = _undoing(snapshot, plan)
    undone_by = undoing.revision if undoing is not None else plan.rollback_to
    after_plan = {deployment.deployment_id: deployment for deployment in plan.deployments}
    decided = after_plan.get(primary.id, primary.decided)
    over = _over(snapshot, plan)
    is_over = plan.status is ServiceStatus.INACTIVE
    if decided == primary.decided and undone_by is None and not over and not is_over:
        return []
    stored = await records_of(store, list(dict.fromkeys(row.record for row in (primary, *over))))
    after: dict[str, Record] = dict(stored)
    after[primary.record] = followed(stored[primary.record], decided, rolls_back_to=undone_by, now=now)
    for row in over:
        if row.record != primary.record:
            after[row.record] = ended(after[row.record], "STOPPED", REPLACED, now)
    if is_over:
        after[primary.record] = ended(after[primary.record], "STOPPED", DELETED, now)
    statements = [update_record(record) for arn, record in after.items() if record != stored[arn]]
    if undoing is not None:
        sql = "UPDATE deployments SET record = ? WHERE id = ?"
        statements.append(Statement(sql, (primary.record, undoing.deployment_id), 1, "deployment"))
    return statements


def _rollback(world: World, snapshot: Snapshot, plan: ServicePlan, now: float) -> list[Statement]:
    """A deployment that undoes the PRIMARY, since none of that revision is left; it is part of the same record."""
    if plan.rollback_to is None:
        return []
    bits = world.random.getrandbits
    made = rollback_deployment(deployment_id(digits(bits)), plan.rollback_to, now)
    told = messages.rolling_back(snapshot.row.name, made.deployment_id)
    return [
        insert_deployment(snapshot.row.n, made, snapshot.deployments[0].record),
        *insert_events(snapshot.row.n, [told], now, bits),
    ]


def rollback_deployment(ident: str, revision: str, now: float) -> Deployment:
    return Deployment(
        deployment_id=ident,
        revision=revision,
        created_at=now,
        is_primary=True,
        is_rollback=True,
        rollout_state_reason=messages.rolling_back_reason(ident),
    )


def _unprotected(snapshot: Snapshot, plan: ServicePlan, now: float) -> list[Statement]:
    """Who was decided to stop as one without protection has none yet."""
    known = {task.task_id for task in snapshot.service.tasks if has_protection(task, snapshot.service.now)}
    tasks = [stop.task_id for stop in plan.stops if stop.task_id not in known]
    if not tasks:
        return []
    marks = ", ".join("?" * len(tasks))
    sql = f"SELECT 1 FROM protections WHERE task IN ({marks}) AND until > ?"  # noqa: S608 - only question marks
    return [Statement(sql, (*tasks, now), 0, "protection")]


def _counted(plan: ServicePlan) -> list[Statement]:
    if not plan.counted:
        return []
    marks = ", ".join("?" * len(plan.counted))
    tasks: Sequence[str] = plan.counted
    return [Statement(f"DELETE FROM {table} WHERE task IN ({marks})", tuple(tasks)) for table in _FORGET]  # noqa: S608 - fixed names, question marks
