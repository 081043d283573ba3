"""Notes of what strangers may bring about, said now and then: whoever found a way to it would else fill the log."""

from collections.abc import Callable

from ..world import World

_APART_S = 60.0


class SeldomNote:
    def __init__(self, world: World, note: Callable[[str], None]) -> None:
        self._world = world
        self._note = note
        self._quiet_until = 0.0
        self._untold = 0

    def __call__(self, text: str) -> None:
        now = self._world.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        self._quiet_until = now + _APART_S
        self._note(text if not self._untold else f"{text}; and {self._untold} times more since the last note")
        self._untold = 0
