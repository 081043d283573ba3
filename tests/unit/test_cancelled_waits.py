"""Who waits in an agent or an engine ends when told to, whatever it waits for arrives at that moment."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from neargate.agent.execution.roles import ExecutionRoles
from neargate.agent.simulated import Timers
from neargate.agent.task_context import Interrupted, TaskContext
from neargate.link.messages import CredentialsRefused
from neargate.model.knobs import Knobs
from neargate.sandbox import containerd_pb2 as pb
from neargate.sandbox.exits import ExitWatch
from neargate.sandbox.pull.share import Turnstile
from neargate.testing.stepping import STEPS, AtOnce, ends, steps
from neargate.world import OsWorld


async def meets(waiting: Coroutine[Any, Any, Any], arrives: Callable[[], None], late: int) -> bool:
    """Whether it ends, told so `late` steps after what it waited for."""
    told = OsWorld().spawn(waiting, "who waits")
    await steps(STEPS)
    assert not told.done()
    arrives()
    await steps(late)
    return await ends(told)


def context(world: OsWorld) -> TaskContext:
    parts: Any = SimpleNamespace(world=world)
    record: Any = SimpleNamespace(task_id="task-1", stop_code=None)
    return TaskContext(parts, record)


def test_a_step_that_waits_for_changes_ends_with_the_interruption_that_is_one() -> None:
    """It says so to the waiter and to the step at once."""

    async def main() -> None:
        task = context(AtOnce())

        async def step() -> None:
            while True:
                await task.changed(task.version, 60)

        async def launch() -> bool:
            try:
                await task.or_interrupted(step())
            except Interrupted:
                return True
            return False

        launching = OsWorld().spawn(launch(), "a launch")
        await steps(STEPS)
        task.interrupt()
        await steps(3 * STEPS)
        was_interrupted = launching.done()
        assert await ends(launching)
        assert was_interrupted and launching.result()

    asyncio.run(main())


@pytest.mark.parametrize("late", range(STEPS))
def test_who_waits_for_a_role_ends_beside_another_tasks_answer(late: int) -> None:
    async def main() -> None:
        roles = ExecutionRoles(AtOnce(), Knobs(), ask=lambda _: None)
        other = OsWorld().spawn(roles.ready("task-2"), "the other")
        refusal = CredentialsRefused(task_id="task-2", message="no", is_final=False)
        assert await meets(roles.ready("task-1"), lambda: roles.answered(refusal), late)
        assert await ends(other)

    asyncio.run(main())


@pytest.mark.parametrize("late", range(STEPS))
def test_the_timers_end_beside_an_earlier_one(late: int) -> None:
    async def main() -> None:
        timers = Timers(AtOnce())
        assert await meets(timers.run(), lambda: timers.after(3600, lambda: None), late)

    asyncio.run(main())


@pytest.mark.parametrize("late", range(STEPS))
def test_who_wants_to_be_alone_is_not_when_told_to_go(late: int) -> None:
    async def main() -> None:
        turnstile, leave, forever = Turnstile(), asyncio.Event(), asyncio.Event()

        async def inside() -> None:
            async with turnstile.shared():
                await leave.wait()

        async def alone() -> None:
            async with turnstile.alone(60):
                await forever.wait()

        other = OsWorld().spawn(inside(), "inside")
        await steps(1)
        assert await meets(alone(), leave.set, late)
        await other

    asyncio.run(main())


class Engine:
    """An event comes back when the test says so."""

    def publish(self, topic: str, marker: pb.TaskExit) -> None:
        return None


@pytest.mark.parametrize("late", range(STEPS))
def test_a_look_for_exits_ends_beside_its_own_marker(late: int) -> None:
    """Its subscription is over: what is read for it would be of an engine that restarts."""

    async def main() -> None:
        engine: Any = Engine()
        watch = ExitWatch(AtOnce(), engine, list, lane="lane")
        marker = pb.TaskExit(container_id="neargate-marker", id="neargate-marker")

        async def look() -> None:
            await watch._catch_up()
            await asyncio.Event().wait()  # as the group does, whose other half reads on

        assert await meets(look(), lambda: watch._received(marker), late)

    asyncio.run(main())
