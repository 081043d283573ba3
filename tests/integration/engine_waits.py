"""What tests of the engines wait for: on the state, with a bound."""

import asyncio
from collections.abc import Callable

from neargate.interfaces.sandbox import ContainerState, Sandbox

LOOKS = 400
LOOK_S = 0.05


async def stopped(engine: Sandbox, runtime_id: str) -> ContainerState:
    for _ in range(LOOKS):
        state = await engine.get_container(runtime_id)
        assert state is not None
        if state.status == "stopped":
            return state
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"{runtime_id} does not stop")


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if is_so():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError("it does not happen")
