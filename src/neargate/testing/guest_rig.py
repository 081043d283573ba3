"""A fake guest behind its socket, and who connects to it, in virtual time.

A connection of the rig is closed at the end of its life; the guest's programs and the agent share one loop.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ..sandbox.microvm.channel import Limits
from ..sandbox.microvm.guest import Guest
from ..sandbox.microvm.numbers import StreamNumbers
from ..world import World
from .fake_guest import FakeGuest
from .fake_guest_processes import Program
from .virtual_time import VirtualWorld, run_virtual

_SOCKET = "guest.sock"
_NUMBERS = "streams"


class GuestRig:
    """`fake` is there in `run`. `world`: another than virtual time's, for `alive`."""

    fake: FakeGuest

    def __init__(
        self,
        directory: Path,
        programs: Mapping[tuple[str, ...], Program],
        *,
        limits: Limits | None = None,
        world: World | None = None,
    ) -> None:
        self.directory = directory
        self.world: World = world or VirtualWorld()
        self.limits = limits or Limits()
        self._programs = programs
        self._guests: list[Guest] = []

    @property
    def failures(self) -> list[BaseException]:
        """What ended background tasks; a real world ends the process instead."""
        return self.world.failures if isinstance(self.world, VirtualWorld) else []

    async def connect(self) -> Guest:
        """As a new agent does that knows nothing but the machine's directory."""
        numbers = StreamNumbers(self.world, str(self.directory / _NUMBERS))
        guest = await Guest.connect(
            self.world, directory=str(self.directory), name=_SOCKET, numbers=numbers, limits=self.limits
        )
        self._guests.append(guest)
        return guest

    async def alive(self, life: Callable[["GuestRig"], Awaitable[None]]) -> None:
        """The life of one machine, in a loop that runs."""
        self.fake = FakeGuest(self.world, str(self.directory / _SOCKET), self._programs)
        await self.fake.start()
        try:
            await life(self)
        finally:
            for guest in self._guests:
                await guest.close()
            await self.fake.stop()
        for failure in self.failures:
            raise failure

    def run(self, life: Callable[["GuestRig"], Awaitable[None]]) -> None:
        """Raises what failed in a background task, too."""
        run_virtual(self.alive(life))
