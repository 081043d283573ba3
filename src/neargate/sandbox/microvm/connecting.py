"""How an agent gets to the guest of a machine: by the monitor's socket in the machine's directory."""

import os
from collections.abc import Awaitable, Callable

from ...model.knobs import Knobs
from ...world import World
from .channel import Limits
from .guest import Guest
from .numbers import StreamNumbers
from .records import Records

AGENT_SOCKET = "agent.sock"  # as the monitors' drivers name it


def connector(world: World, knobs: Knobs, machines: str, records: Records) -> Callable[[str], Awaitable[Guest]]:
    """For `parts.Parts.connect`. `machines`: the monitor's directory. Raises GuestGone, GuestBroke."""

    async def connect(task_id: str) -> Guest:
        # Of each connection its own: what the guest may tell of is what was given before it.
        numbers = StreamNumbers(world, records.streams(task_id))
        return await _connected(world, knobs, os.path.join(machines, task_id), numbers)

    return connect


def spare_connector(world: World, knobs: Knobs, machines: str) -> Callable[[str, int], Awaitable[Guest]]:
    """For `parts.Spares.connect`: a machine that is no task's has its numbers with it."""

    async def connect(machine_id: str, first: int) -> Guest:
        directory = os.path.join(machines, machine_id)
        numbers = StreamNumbers(world, os.path.join(directory, "streams"), first)
        return await _connected(world, knobs, directory, numbers)

    return connect


async def _connected(world: World, knobs: Knobs, directory: str, numbers: StreamNumbers) -> Guest:
    limits = Limits(
        hello_s=knobs.microvm_hello_s,
        # A guest that just goes on may lose what is said before it has heard that somebody is there.
        hello_again_s=knobs.microvm_hello_again_s,
        answer_s=knobs.microvm_answer_s,
    )
    return await Guest.connect(world, directory=directory, name=AGENT_SOCKET, numbers=numbers, limits=limits)
