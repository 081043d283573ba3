"""The first word of a guest: a machine that was made is connected to until its guest answers, or never does."""

import asyncio
from collections.abc import Awaitable, Callable

from ...world import World
from .errors import GuestBroke, GuestGone
from .guest import Guest
from .vmm import VmmError

_PAUSE_S = 0.1


class NoHello(Exception):
    """The machine was made and its guest never spoke: another one may."""


class Ending:
    """Whether the machine whose guest is waited for is no more. Who waits is told at once."""

    def __init__(self) -> None:
        self.is_told = False
        self._patience: asyncio.Timeout | None = None

    def begin(self) -> None:
        """Another machine is made."""
        self.is_told = False

    def tell(self) -> None:
        self.is_told = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0)  # a monitor that stands still keeps the connection

    async def patient(self, seconds: float, connected: Awaitable[Guest]) -> Guest:
        """Raises TimeoutError after `seconds`, or when it is told."""
        try:
            async with asyncio.timeout(seconds) as self._patience:
                return await connected
        finally:
            self._patience = None


async def first_hello(
    world: World, connect: Callable[[], Awaitable[Guest]], wait_s: float, ending: Ending | None = None
) -> Guest:
    """Raises NoHello."""
    ending = ending or Ending()
    deadline = world.monotonic() + wait_s
    while True:
        try:
            return await ending.patient(deadline - world.monotonic(), connect())
        except TimeoutError:
            raise NoHello("it ended" if ending.is_told else f"not a word in {wait_s:g} s") from None
        except GuestBroke as broke:
            raise NoHello(broke.reason) from None
        except (GuestGone, VmmError) as gone:
            if ending.is_told or world.monotonic() > deadline:
                raise NoHello(str(gone)) from None
        await world.sleep(_PAUSE_S)
