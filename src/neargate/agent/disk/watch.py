"""Looks at the disk behind this host's tasks and has done what `disk_guard` decides.

Owns what is remembered between two looks. A new process begins without: its first look blames nobody.
"""

from collections.abc import Callable, Iterable

from ...interfaces.hostnet import HostDisks
from ...model.knobs import Knobs
from ...world import World
from .guard import Look, Watch, decide


class DiskWatch:
    """`task_ids`: the tasks of this host as they are now. `freeze(task_id, reason)` returns at once."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        *,
        disks: HostDisks,
        task_ids: Callable[[], Iterable[str]],
        freeze: Callable[[str, str], None],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._disks = disks
        self._task_ids = task_ids
        self._freeze = freeze
        self._note = note
        self._watch = Watch()
        self.next_look_s = knobs.host_check_period_s
        self.used_bytes = 0  # at the last look, by all tasks

    async def look(self) -> str | None:
        """Why this host takes no tasks; None when it does. Raises HostError, OSError: nothing was decided."""
        allocated = {task_id: await self._disks.allocated(task_id) for task_id in list(self._task_ids())}
        self.used_bytes = sum(allocated.values())
        free = await self._disks.free_fraction()
        look = Look(at=self._world.monotonic(), free_fraction=free, allocated=allocated)
        plan = decide(self._watch, look, self._knobs)
        self._watch = plan.watch
        self.next_look_s = plan.next_look_s
        if plan.freeze is not None:
            self._note(f"task {plan.freeze.task_id} is frozen and stopped: {plan.freeze.reason}")
            self._freeze(plan.freeze.task_id, plan.freeze.reason)
        return plan.refusal
