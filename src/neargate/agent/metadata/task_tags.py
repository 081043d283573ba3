"""A task's tags as they are now, for its metadata: asked of the server when the task asks, as ECS's agent asks ECS.

Owns who waits for which answer. Invariant: the wait is bounded; while the server does not answer, what it said last
holds, and before it ever did what the task was launched with.
"""

import asyncio
from collections.abc import Callable, Iterable

from ...link.messages import TagsTold
from ...model.knobs import Knobs
from ...world import World
from ..task_record import TaskRecord

Tags = tuple[tuple[str, str], ...]
_LOOK_S = 0.02


class TaskTags:
    """`ask` says whether there is somebody to answer; nobody repeats it but who asks the metadata again."""

    def __init__(self, world: World, knobs: Knobs, ask: Callable[[str], bool]) -> None:
        self._world = world
        self._knobs = knobs
        self._ask = ask
        self._told: dict[str, Tags] = {}
        self._waiting: dict[str, asyncio.Event] = {}

    async def current(self, record: TaskRecord) -> Tags:
        """Of askers side by side only the first asks the server."""
        task_id = record.task_id
        answered = self._waiting.get(task_id)
        if answered is None:
            if not self._ask(task_id):
                return self._held(record)
            answered = self._waiting[task_id] = asyncio.Event()
        until = self._world.monotonic() + self._knobs.metadata_tags_wait_s
        while not answered.is_set() and self._world.monotonic() < until:
            await self._world.sleep(_LOOK_S)
        if self._waiting.get(task_id) is answered:
            del self._waiting[task_id]
        return self._held(record)

    def answered(self, told: TagsTold) -> None:
        """What nobody asked for is not kept."""
        waiting = self._waiting.get(told.task_id)
        if waiting is not None:
            self._told[told.task_id] = told.tags
            waiting.set()

    def _held(self, record: TaskRecord) -> Tags:
        return self._told.get(record.task_id, record.launch.tags)

    def forget_absent(self, alive: Iterable[str]) -> None:
        known = set(alive)
        self._told = {task_id: tags for task_id, tags in self._told.items() if task_id in known}
