"""How an agent gets to the guest of a machine: by the monitor's socket in the machine's directory."""

import os
from collections.abc import Awaitable, Callable

from ...model.knobs import Knobs
from ...world import World
from .channel import Limits
from .guest import Guest
from .numbers import StreamNumbers

AGENT_SOCKET = "agent.sock"  # as the monitors' drivers name it


def spare_connector(world: World, knobs: Knobs, machines: str) -> Callable[[str], Awaitable[Guest]]:
    """For `parts.Spares.connect`: a machine that is no task's has its numbers with it."""
    return connector(world, knobs, machines, lambda machine_id: os.path.join(machines, machine_id, "streams"))


def connector(
    world: World, knobs: Knobs, machines: str, streams: Callable[[str], str]
) -> Callable[[str], Awaitable[Guest]]:
    """For `parts.Parts.connect`. `machines`: the monitor's directory. `streams`: the file of a machine's numbers.

    Raises GuestGone, GuestBroke.
    """
    limits = Limits(hello_s=knobs.microvm_hello_s, answer_s=knobs.microvm_answer_s)

    async def connect(task_id: str) -> Guest:
        # Of each connection its own: what the guest may tell of is what was given before it.
        numbers = StreamNumbers(world, streams(task_id))
        directory = os.path.join(machines, task_id)
        return await Guest.connect(world, directory=directory, name=AGENT_SOCKET, numbers=numbers, limits=limits)

    return connect
