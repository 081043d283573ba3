"""Whether a task that is told to end does so, told at each step of the event loop around what it waits for."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..world import OsWorld

T = TypeVar("T")
STEPS = 12  # of the event loop, more than an arrival takes to be heard of


class AtOnce(OsWorld):
    """What is given to a thread is done here, so that steps can be counted."""

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:  # noqa: ARG002
        return function(*args)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ends(told: "asyncio.Task[Any]") -> bool:
    """Within some steps of being told once. It has ended in any case when this returns."""
    told.cancel()
    await steps(3 * STEPS)
    ended = told.done()
    while not told.done():
        told.cancel()
        await steps(STEPS)
    return ended
