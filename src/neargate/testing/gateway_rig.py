"""A gateway without sockets for tests that are the agent: its two connections, and what stands behind the gateway.

Knows no cell (`cell_rig.py`) and no simulated host: what a test says over `AgentEnd` is all that the server hears.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..clusters.channel import ChannelClosed
from ..interfaces.roles import LogSourceOpened, LogTarget
from ..link.messages import Challenge, Ping, Pong, ToServer, decode_to_agent, encode, messages_to_agent
from ..model.capacity import HostCapacity, HostFacts
from ..model.errors import ResourceNotFound
from ..model.network import VpcPlan
from ..world import World
from .cell_rig import ACCOUNT, DEFINITION, host_of
from .host_proofs import Proving

STREAM_KEY = 7  # of every source that `LogGroups` opens
LOGGING = {
    **DEFINITION,
    "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "w",
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/a", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"},
            },
        }
    ],
}


def facts_of(zone: str) -> HostFacts:
    """The zone's host of `cell_rig`, with room for whatever a test runs."""
    capacity = HostCapacity(cpu_units=100_000, memory_mib=100_000, disk_gib=100_000)
    return HostFacts(host_id=host_of(zone), boot_id="1", capacity=capacity, zone=zone)


class AgentEnd:
    """Implements Channel for the gateway; the test holds the other end.

    `proves`: a hello that the test says gets its host's key, and the challenge is answered with it.
    """

    def __init__(self, *, proves: bool = True) -> None:
        self._proving = Proving() if proves else None
        self.to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.to_agent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed: str | None = None  # the server's reason

    async def send(self, data: bytes) -> None:
        if self.closed is not None:
            raise ChannelClosed(self.closed)
        for message in messages_to_agent(data):
            if self._proving is not None and isinstance(message, Challenge) and self._proving.is_asked:
                for answer in self._proving.challenged(message):
                    self.to_server.put_nowait(encode(answer))
            else:
                self.to_agent.put_nowait(encode(message))

    async def receive(self) -> bytes:
        data = await self.to_server.get()
        if data is None:
            raise ChannelClosed(self.closed or "cut")
        return data

    async def close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            self.to_server.put_nowait(None)
            self.to_agent.put_nowait(None)

    def say(self, *messages: ToServer | bytes) -> None:
        for message in messages:
            if isinstance(message, bytes):
                self.to_server.put_nowait(message)
                continue
            for ready in [message] if self._proving is None else self._proving.say(message):
                self.to_server.put_nowait(encode(ready))

    async def hear(self, kind: type | None = None) -> Any:
        """The next message (of a kind); None when the server closed the connection."""
        while True:
            data = await self.to_agent.get()
            message = None if data is None else decode_to_agent(data)
            if message is None or kind is None or isinstance(message, kind):
                return message

    def unheard(self) -> list[Any]:
        """What came and was not asked for yet."""
        waiting = [self.to_agent.get_nowait() for _ in range(self.to_agent.qsize())]
        return [decode_to_agent(data) for data in waiting if data is not None]

    async def still_open(self) -> None:
        """The server answers, and has taken everything that was said before."""
        self.say(Ping(n=77))
        assert await self.hear(Pong) == Pong(n=77)


class VpcPlans:
    """Implements what the gateway asks of the region's network. `changed`: VPCs whose plan is another now."""

    def __init__(self) -> None:
        self.generation = 1
        self.changed: asyncio.Queue[str] = asyncio.Queue()
        self.deleted: set[str] = set()

    def plan(self, vpc_id: str) -> VpcPlan:
        if vpc_id in self.deleted:
            raise KeyError(vpc_id)
        return VpcPlan(vpc_id=vpc_id, generation=self.generation, cidrs=("10.0.0.0/8",), groups=())

    async def changes(self) -> AsyncIterator[str]:
        while True:
            yield await self.changed.get()


class LogGroups:
    """Implements LogSink: one group exists, and what is appended is kept, every second time a moment later."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.groups = {"/a"}
        self.targets: list[LogTarget] = []
        self.stored: list[bytes] = []

    async def open_source(self, target: LogTarget, source: str) -> LogSourceOpened:
        del source
        if target.group not in self.groups and not target.create_group:
            raise ResourceNotFound("The specified log group does not exist.")
        self.groups.add(target.group)
        self.targets.append(target)
        return LogSourceOpened(stream_key=STREAM_KEY, offset=sum(map(len, self.stored)))

    async def append(
        self,
        stream_key: int,
        source: str,
        start: int,
        end: int,
        runs: Sequence[tuple[int, int]],
        lines: bytes,
        sizes: Sequence[int] = (),
    ) -> int:
        assert not sizes
        assert stream_key == STREAM_KEY and source.endswith("/web") and start + len(lines) == end and runs
        await self._world.sleep(0.001 if len(self.stored) % 2 else 0)
        self.stored.append(lines)
        return end
