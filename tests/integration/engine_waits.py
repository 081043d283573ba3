"""What tests of the engines wait for: on the state, with a bound."""

import asyncio

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
