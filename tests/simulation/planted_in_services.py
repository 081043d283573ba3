"""Bugs of services, planted for `test_planted_bugs`; only ever in a child."""

from typing import Any

from msgspec.structs import replace

from neargate.clusters.services import applying
from neargate.clusters.services.loop import ServiceLoop
from neargate.clusters.services.starting import Starting


def ends_never_counted() -> None:
    vars(applying)["_counted"] = lambda plan: []


def ends_wake_nobody() -> None:
    ServiceLoop.tasks_changed = lambda self, rows: None  # type: ignore[method-assign]


def services_forgotten_by_a_new_process() -> None:
    async def nothing(self: ServiceLoop) -> None:
        """No service is looked at before something happens to it."""

    ServiceLoop.load = nothing  # type: ignore[method-assign]


def one_more_than_planned() -> None:
    start_all = Starting._start

    async def one_more(self: Starting, turn: Any, start: Any) -> float | None:
        return await start_all(self, turn, replace(start, count=start.count + 1))

    Starting._start = one_more  # type: ignore[method-assign]
