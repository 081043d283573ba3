"""How fast a guest is listened to: so many frames a second, however small they are.

All that a guest may say is an answer or output below a limit, so a flood can only be output in crumbs. It is no break
of the rules: a process may write byte by byte. It is read no faster than this, and what waits grows together.
"""

from typing import Final

from ...world import World

_STEP_FRAMES: Final = 64


class Pace:
    def __init__(self, world: World, *, per_s: int, burst: int) -> None:
        self._world = world
        self._per_s = per_s
        self._burst = burst
        self._left: float = burst
        self._since = world.monotonic()

    async def spend(self) -> None:
        """One frame. Waits where too many came."""
        self._left -= 1
        if self._left >= 0:
            return
        self._refill()
        if self._left < 0:
            await self._world.sleep(_STEP_FRAMES / self._per_s)
            self._refill()

    def _refill(self) -> None:
        now = self._world.monotonic()
        self._left = min(self._burst, self._left + (now - self._since) * self._per_s)
        self._since = now
