"""Who goes first when there is more to do than time: callers who wait for an answer, then tasks that were accepted.

Owns the number of calls under way. Loops that carry accepted tasks on rest between two batches, longer when more calls
wait: their batches grow and cost less. Invariant: with nobody waiting nothing rests, and no rest exceeds a bound.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..model.knobs import Knobs


class CallsFirst:
    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._waiting = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a call."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def rest_s(self) -> float:
        """Before the next batch. One caller alone delays nothing: its own task is what is carried on."""
        return min(max(self._waiting - 1, 0) * self._knobs.rest_per_call_s, self._knobs.rest_max_s)
