"""Bugs of services, planted for `test_planted_bugs`; only ever in a child."""

from typing import Any

from msgspec.structs import replace

from neargate.clusters import retiring
from neargate.clusters.services import applying
from neargate.clusters.services.loop import ServiceLoop
from neargate.clusters.services.starting import Starting
from neargate.clusters.services.target_rows import forget_targets
from neargate.clusters.services.targets import TargetLane
from neargate.interfaces.store import Statement
from neargate.scheduling.retiring import Retirement


def ends_never_counted() -> None:
    vars(applying)["_counted"] = lambda plan: []


def ends_wake_nobody() -> None:
    ServiceLoop.tasks_changed = lambda self, rows: None  # type: ignore[method-assign]


def services_forgotten_by_a_new_process() -> None:
    async def nothing(self: ServiceLoop) -> None:
        """No service is looked at before something happens to it."""

    ServiceLoop.load = nothing  # type: ignore[method-assign]


def notices_taken_for_stops() -> None:
    decide = retiring.retire

    def hasty(tasks: Any, notices: Any, *known: Any) -> Retirement:
        plan = decide(tasks, notices, *known)
        return replace(plan, stop=tuple(task.task_id for task in tasks if task.service is None))

    vars(retiring)["retire"] = hasty
    vars(retiring)["due"] = lambda task_id, now: Statement("SELECT 1", (), 1, "retirement")


def targets_left_behind() -> None:
    async def only_forget(self: TargetLane, key: Any, tasks: Any) -> None:
        if tasks:
            await self._store.write(forget_targets([task.task_id for task in tasks]))
            self._gone(tasks)

    TargetLane._leave = only_forget  # type: ignore[method-assign]


def one_more_than_planned() -> None:
    start_all = Starting._start

    async def one_more(self: Starting, turn: Any, start: Any) -> float | None:
        return await start_all(self, turn, replace(start, count=start.count + 1))

    Starting._start = one_more  # type: ignore[method-assign]
