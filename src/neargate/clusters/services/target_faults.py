"""Steps of tasks as targets that fail: of which task, since when, and when each is tried again.

Owns the back-off and what is known of the faults; carries nothing out. In memory only: a new process tries everything
at once. Invariant: a task whose step fails holds up no other; it is tried for ever, and never more often than the
back-off says.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from ...interfaces.store import Refused
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...scheduling.services.targets import Step
from ...world import World
from .tables import Key
from .target_rows import TargetTask

_RACES_MAX = 8  # in a row: others change a task again and again, or it is no race
_INTERNAL = "Internal error"
_ON_THE_WAY_DOWN = frozenset({Step.DRAIN, Step.LEAVE, Step.SIGNAL})


class Fault(Struct, frozen=True, kw_only=True):
    """`since`, `retry_at`: monotonic. `count`: failures in a row. `error`: for users, `fault`: for the operator."""

    task: TargetTask
    step: Step
    since: float
    count: int
    retry_at: float
    error: str
    fault: str


class TargetFaults:
    def __init__(self, world: World, knobs: Knobs) -> None:
        self._world = world
        self._knobs = knobs
        self._of: dict[Key, dict[str, Fault]] = {}

    def ready(self, key: Key, tasks: Iterable[TargetTask]) -> list[TargetTask]:
        """Those that do not wait for their next attempt: who stands otherwise than then does not. Forgets who is not
        among `tasks`: it is no target any more."""
        there = list(tasks)
        known = self._of.get(key)
        if known is None:
            return there
        self._keep(key, {task.task_id: known[task.task_id] for task in there if task.task_id in known})
        now = self._world.monotonic()
        return [task for task in there if _is_ready(task, known.get(task.task_id), now)]

    def failed(self, key: Key, task: TargetTask, step: Step, error: Exception) -> Fault:
        now = self._world.monotonic()
        of_service = self._of.setdefault(key, {})
        before = of_service.get(task.task_id)
        if before is not None and (before.step in _ON_THE_WAY_DOWN) != (step in _ON_THE_WAY_DOWN):
            before = None
        count = 1 if before is None else before.count + 1
        fault = Fault(
            task=task,
            step=step,
            since=now if before is None else before.since,
            count=count,
            retry_at=now + self._pause_s(count, error),
            error=error.message.rstrip(".") if isinstance(error, AwsError) else _INTERNAL,
            fault=f"{type(error).__name__}: {error}",
        )
        of_service[task.task_id] = fault
        return fault

    def went_well(self, key: Key, tasks: Sequence[TargetTask]) -> None:
        known = self._of.get(key)
        if known is not None:
            gone = {task.task_id for task in tasks}
            self._keep(key, {task_id: fault for task_id, fault in known.items() if task_id not in gone})

    def overdue(self, key: Key, tasks: Iterable[TargetTask]) -> list[TargetTask]:
        """Those that are to stop and have waited long enough for what fails."""
        known, latest = self._of.get(key, {}), self._world.monotonic() - self._knobs.service_deregister_wait_s
        return [
            task
            for task in tasks
            if task.task_id in known
            and known[task.task_id].step in _ON_THE_WAY_DOWN
            and known[task.task_id].since <= latest
        ]

    def wake_in_s(self, key: Key) -> float | None:
        """Until the next attempt of any; None: nothing fails."""
        known = self._of.get(key)
        if known is None:
            return None
        return max(min(fault.retry_at for fault in known.values()) - self._world.monotonic(), 0.0)

    def shown(self, key: Key) -> list[dict[str, Any]]:
        """For `neargate why`."""
        now = self._world.monotonic()
        return [
            {
                "task": task_id,
                "step": fault.step.value,
                "group": fault.task.targets[0].group,
                "error": fault.fault,
                "times": fault.count,
                "retry_in_s": max(fault.retry_at - now, 0.0),
            }
            for task_id, fault in self._of.get(key, {}).items()
        ]

    def _keep(self, key: Key, faults: dict[str, Fault]) -> None:
        if faults:
            self._of[key] = faults
        else:
            self._of.pop(key, None)

    def _pause_s(self, count: int, error: Exception) -> float:
        if isinstance(error, Refused) and count <= _RACES_MAX:
            return 0.0  # a report or a StopTask came in between: it is decided again on what is there now
        knobs = self._knobs
        return min(knobs.service_retry_s * 2.0 ** min(count - 1, 30), knobs.service_targets_retry_max_s)


def _is_ready(task: TargetTask, fault: Fault | None, now: float) -> bool:
    if fault is None or fault.retry_at <= now:
        return True
    return (fault.task.last_status, fault.task.desired_status) != (task.last_status, task.desired_status)
