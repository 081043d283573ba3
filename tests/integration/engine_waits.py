"""What tests of the container engine wait for: on the state, with a bound."""

import asyncio

from neargate.interfaces.sandbox import ContainerState
from neargate.sandbox.engine import ContainerdSandbox

LOOKS = 400
LOOK_S = 0.05


async def stopped(engine: ContainerdSandbox, runtime_id: str) -> ContainerState:
    for _ in range(LOOKS):
        state = await engine.get_container(runtime_id)
        assert state is not None
        if state.status == "stopped":
            return state
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"{runtime_id} does not stop")
