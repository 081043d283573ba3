"""Programmable faults of the fakes: the nth call of a method fails, fails after it took effect, or hangs."""

import asyncio
import types
from collections.abc import Generator

from msgspec import Struct, field


@types.coroutine
def a_moment() -> Generator[None, None, None]:
    """Lets everybody else run once: what answers takes at least that long."""
    yield


class _Fault(Struct):
    error: Exception | None  # None: hang for ever
    skip: int
    times: int
    after: bool


class Faults(Struct):
    """Keyed by method name. `calls` counts what was called, for tests that must see that something happened."""

    calls: dict[str, int] = field(default_factory=dict)
    # By method: how often everybody else runs between what a call does and its answer.
    late_answers: dict[str, int] = field(default_factory=dict)
    _planned: dict[str, list[_Fault]] = field(default_factory=dict)

    def fail(self, method: str, error: Exception, *, skip: int = 0, times: int = 1, after: bool = False) -> None:
        """Raise `error` at the next calls; with `after`, once the call took effect (its outcome is unknown)."""
        self._planned.setdefault(method, []).append(_Fault(error=error, skip=skip, times=times, after=after))

    def hang(self, method: str, *, skip: int = 0) -> None:
        self._planned.setdefault(method, []).append(_Fault(error=None, skip=skip, times=1, after=False))

    def clear(self) -> None:
        self._planned.clear()

    async def before(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        # A real engine always takes a moment; callers must not rely on an answer within the same step.
        await a_moment()
        await self._meet(method, after=False)

    async def after(self, method: str) -> None:
        for _ in range(self.late_answers.get(method, 0)):
            await a_moment()
        await self._meet(method, after=True)

    async def _meet(self, method: str, *, after: bool) -> None:
        for fault in self._planned.get(method, []):
            if fault.after is not after or fault.times == 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.error is None:
                await asyncio.get_running_loop().create_future()
            else:
                raise fault.error
