"""All tasks of this host: takes the orders of the cell, owns one runner per task, keeps the tombstones.

Invariants: a task whose tombstone is here never begins; a stop of another incarnation changes nothing; a task leaves
this list only into a tombstone. Absence is never an order: what the server does not name goes on.
"""

import uuid
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ..interfaces.sandbox import ContainerState, Exit
from ..link.messages import StopOrder
from ..model.launch import TaskLaunch, TaskReport
from ..model.lifecycle import LastStatus, StopCode
from ..model.network import Eni
from .container_config import image_runtime_ids
from .local_state import Tombstone
from .points import Point
from .task_context import HostParts
from .task_record import ContainerRecord, TaskRecord, report_of
from .task_runner import TaskRunner

_TEN_DIGITS = 10**10


class HostTasks:
    """The agent's answer to RunOrder, StopOrder and ReportAck, which are given one after another."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._runners: dict[str, TaskRunner] = {}
        self._tombstones: dict[str, Tombstone] = {}

    def restore(self, records: Sequence[TaskRecord], tombstones: Sequence[Tombstone]) -> None:
        """After a restart: every task goes on where it was."""
        self._tombstones = {item.report.task_id: item for item in tombstones}
        for record in records:
            self._add(record, resumed=True).begin()

    async def run(self, launch: TaskLaunch) -> None:
        """Repeatable. The record is durable before anything is made, and before any Hello names the task."""
        known = self._known_report(launch.task_id)
        if known is not None:
            self._parts.publish(known)
            return
        record = self._new_record(launch)
        await self._parts.state.save(record)
        runner = self._add(record, resumed=False)
        self._parts.reached(Point.ACCEPTED, launch.task_id)
        self._parts.publish(report_of(record))
        runner.begin()

    async def refuse(self, task_id: str, incarnation: str, why: str) -> None:
        """An order that must not be obeyed: the task ends before it began. One that is known goes on as it is."""
        known = self._known_report(task_id)
        if known is not None:
            self._parts.publish(known)
            return
        reason = f"ResourceInitializationError: the host refused the task: {why}"
        await self._bury_unseen(
            StopOrder(
                task_id=task_id, incarnation=incarnation, stop_code=StopCode.TASK_FAILED_TO_START.value, reason=reason
            )
        )

    async def stop(self, order: StopOrder) -> None:
        runner = self._runners.get(order.task_id)
        if runner is not None:
            if runner.record.launch.incarnation != order.incarnation:
                self._parts.note(f"task {order.task_id}: a stop of another incarnation is ignored")
                return
            runner.stop(order.stop_code, order.reason)
            return
        tombstone = self._tombstones.get(order.task_id)
        if tombstone is not None:
            self._parts.publish(tombstone.report)
            return
        await self._bury_unseen(order)

    async def stop_all(self, stop_code: str, reason: str) -> None:
        """Every task of this host, by order of its operator. Returns when all the stops are durable."""
        runners = list(self._runners.values())
        for runner in runners:
            runner.stop(stop_code, reason)
        for runner in runners:
            await runner.stop_saved()

    def freeze(self, task_id: str, reason: str) -> None:
        """This host cannot go on with the task: it stands still as soon as that is durable, and is killed."""
        runner = self._runners.get(task_id)
        if runner is not None:
            runner.freeze(reason)

    async def acknowledged(self, task_id: str, report_seq: int) -> None:
        """The cell holds the report durably. A tombstone stays a while, for orders that are still under way."""
        tombstone = self._tombstones.get(task_id)
        if tombstone is None or tombstone.acknowledged_at is not None or tombstone.report.report_seq > report_seq:
            return
        now = self._parts.world.now()
        await self._parts.state.acknowledge(task_id, report_seq, now)
        self._tombstones[task_id] = replace(tombstone, acknowledged_at=now)

    async def trim(self) -> None:
        """Forget tombstones that were acknowledged long ago; the oldest first when there are too many."""
        knobs = self._parts.knobs
        before = self._parts.world.now() - knobs.stop_tombstone_keep_s
        told = sorted(item.acknowledged_at for item in self._tombstones.values() if item.acknowledged_at is not None)
        excess = len(self._tombstones) - knobs.tombstones_max
        if excess > 0 and told:
            before = max(before, told[min(excess, len(told)) - 1])
        gone = [key for key, item in self._tombstones.items() if (item.acknowledged_at or before) < before]
        if gone:
            await self._parts.state.trim(before)
            for key in gone:
                del self._tombstones[key]

    def exited(self, exit_event: Exit) -> None:
        """Runtime ids begin with their task's id, as on Fargate."""
        runner = self._runners.get(exit_event.runtime_id.rpartition("-")[0])
        if runner is not None:
            runner.exited(exit_event.runtime_id, exit_event.exit_code, exit_event.exited_at, exit_event.reason)

    def listed(self, states: Sequence[ContainerState]) -> None:
        """A list of the engine: a runner whose containers look otherwise than it knows asks again."""
        running = {state.runtime_id for state in states if state.status in ("running", "unknown")}
        for runner in self._runners.values():
            known = {item.runtime_id for item in runner.record.containers if item.known_status == "RUNNING"}
            if not known <= running:
                runner.look_again()

    def reports(self) -> list[TaskReport]:
        """What a Hello says: every task, and every end that was not acknowledged."""
        live = [report_of(runner.record) for runner in self._runners.values()]
        ended = [item.report for item in self._tombstones.values() if item.acknowledged_at is None]
        return live + ended

    def records(self) -> Iterator[TaskRecord]:
        return (runner.record for runner in self._runners.values())

    def interfaces(self) -> Iterator[Eni]:
        return (record.launch.eni for record in self.records())

    def image_digests(self) -> frozenset[str]:
        """The images that tasks here run on, or will."""
        containers = (container for record in self.records() for container in record.containers)
        return frozenset(item.image_digest for item in containers if item.image_digest is not None)

    def record(self, task_id: str) -> TaskRecord | None:
        runner = self._runners.get(task_id)
        return None if runner is None else runner.record

    def _known_report(self, task_id: str) -> TaskReport | None:
        runner = self._runners.get(task_id)
        if runner is not None:
            return report_of(runner.record)
        tombstone = self._tombstones.get(task_id)
        return None if tombstone is None else tombstone.report

    def _new_record(self, launch: TaskLaunch) -> TaskRecord:
        numbers: list[int] = []
        while len(numbers) < len(launch.containers):
            number = self._parts.world.random.randrange(_TEN_DIGITS)
            if number not in numbers:
                numbers.append(number)
        ids = image_runtime_ids(launch.task_id, numbers)
        now = self._parts.world.now()
        return TaskRecord(
            launch=launch,
            accepted_at=now,
            report_seq=int(now * 1000),
            credentials_id=self._new_credentials_id() if launch.task_role_arn is not None else "",
            containers=tuple(
                ContainerRecord(name=container.name, runtime_id=runtime_id)
                for container, runtime_id in zip(launch.containers, ids, strict=True)
            ),
        )

    def _new_credentials_id(self) -> str:
        return str(uuid.UUID(int=self._parts.world.random.getrandbits(128), version=4))

    def _add(self, record: TaskRecord, *, resumed: bool) -> TaskRunner:
        runner = TaskRunner(self._parts, record, self._ended, resumed=resumed)
        self._runners[record.task_id] = runner
        return runner

    def _ended(self, runner: TaskRunner) -> None:
        report = report_of(runner.record)
        del self._runners[report.task_id]
        self._tombstones[report.task_id] = Tombstone(report=report)
        self._parts.logs.forget(report.task_id)

    async def _bury_unseen(self, order: StopOrder) -> None:
        """A stop that overtook its start: the start must meet a tombstone."""
        if len(self._tombstones) >= 2 * self._parts.knobs.tombstones_max:
            # Acknowledged ones are trimmed at half of this; a server that never acknowledges must not fill the memory.
            self._parts.note(
                f"task {order.task_id}: too many stopped tasks are not acknowledged; the order must repeat"
            )
            return
        now = self._parts.world.now()
        report = TaskReport(
            task_id=order.task_id,
            incarnation=order.incarnation,
            report_seq=int(now * 1000),
            known_status=LastStatus.STOPPED.value,
            stopping_at=now,
            stopped_at=now,
            stop_code=order.stop_code,
            stopped_reason=order.reason,
        )
        await self._parts.state.bury(report)
        self._tombstones[order.task_id] = Tombstone(report=report)
        self._parts.publish(report)
