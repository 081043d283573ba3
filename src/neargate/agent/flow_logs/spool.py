"""Flow log lines between their interval's end and the server: in memory, bounded, in order.

Owns batches and their numbers. Invariant: of one flow log one batch is under way at a time; a flow log whose server
refuses or is busy holds up no other's, nor takes all of the room: the last quarter is for those that have nothing yet.
What finds no room is refused whole, and whoever brought it is told.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

from ...flowlogs.windows import Event
from ...model.flow_logs import FlowLogBatch
from ...model.knobs import Knobs
from ...world import World

_EVENT_BYTES = 64  # of memory, beside the line


class FlowSpool:
    """`append` returns when the batch is stored or was refused for good."""

    def __init__(self, world: World, knobs: Knobs, append: Callable[[FlowLogBatch], Awaitable[None]]) -> None:
        self._world = world
        self._events_max = knobs.flow_batch_max_events
        self._bytes_max = knobs.flow_batch_max_bytes
        self._room = knobs.flow_spool_max_bytes
        self._one_max = knobs.flow_spool_max_bytes - knobs.flow_spool_max_bytes // 4
        self._held: dict[str, int] = {}  # by flow log
        self._append = append
        self._number = 0
        self._waiting: dict[str, deque[FlowLogBatch]] = {}

    def put(self, flow_log_id: str, eni_id: str, events: Sequence[Event]) -> bool:
        """False where there is no room for it."""
        size, held = _size(events), self._held.get(flow_log_id, 0)
        if size > self._room or (held and held + size > self._one_max):
            return False
        self._room -= size
        self._held[flow_log_id] = held + size
        is_idle = flow_log_id not in self._waiting
        queue = self._waiting.setdefault(flow_log_id, deque())
        for part in self._parts(events):
            self._number += 1
            batch = FlowLogBatch(flow_log_id=flow_log_id, eni_id=eni_id, number=self._number, events=tuple(part))
            queue.append(batch)
        if is_idle:
            self._world.spawn(self._send(flow_log_id, queue), f"flows-{flow_log_id}")
        return True

    async def _send(self, flow_log_id: str, queue: deque[FlowLogBatch]) -> None:
        while queue:
            await self._append(queue[0])
            size = _size(queue.popleft().events)
            self._room += size
            self._held[flow_log_id] -= size
        del self._waiting[flow_log_id], self._held[flow_log_id]

    def _parts(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        part: list[Event] = []
        size = 0
        for event in events:
            if part and (len(part) >= self._events_max or size + len(event[1]) > self._bytes_max):
                yield part
                part, size = [], 0
            part.append(event)
            size += len(event[1])
        if part:
            yield part


def _size(events: Sequence[Event]) -> int:
    return sum(len(line) + _EVENT_BYTES for _, line in events)
