"""The first word of a guest: a machine that was made is connected to until its guest answers, or never does."""

from collections.abc import Awaitable, Callable

from ...world import World, within
from .errors import GuestBroke, GuestGone
from .guest import Guest
from .vmm import VmmError

_PAUSE_S = 0.1


class NoHello(Exception):
    """The machine was made and its guest never spoke: another one may."""


async def first_hello(
    world: World, connect: Callable[[], Awaitable[Guest]], wait_s: float, has_ended: Callable[[], bool]
) -> Guest:
    """`has_ended`: nobody will ever answer. Raises NoHello."""
    deadline = world.monotonic() + wait_s
    while True:
        try:
            return await within(deadline - world.monotonic(), connect())
        except TimeoutError:
            raise NoHello(f"not a word in {wait_s:g} s") from None
        except GuestBroke as broke:
            raise NoHello(broke.reason) from None
        except (GuestGone, VmmError) as gone:
            if has_ended() or world.monotonic() > deadline:
                raise NoHello(str(gone)) from None
        await world.sleep(_PAUSE_S)
