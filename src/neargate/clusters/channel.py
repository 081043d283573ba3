"""What the gateway needs of a connection: whole binary messages. A WebSocket is one, the simulator's queues too."""

import asyncio
from typing import Protocol

from ..link.host_identity import NONCE_BYTES
from ..link.messages import frames
from ..world import World


def new_nonce(world: World) -> bytes:
    """For one connection: what a host signs on it is good for no other."""
    return world.random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")


class ChannelClosed(Exception):
    """The connection is gone; the peer says everything again on its next one."""


class Channel(Protocol):
    """`send` and `receive` raise ChannelClosed."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    async def close(self, reason: str) -> None:
        """End it; never raises."""


class Outgoing:
    """Frames on their way to one peer. Bounded: a peer that does not read loses its connection, not our memory."""

    def __init__(self, frames_max: int, *, joined: bool = False) -> None:
        """`joined`: the peer reads frames of several messages (the link does, the bulk channel does not)."""
        self._frames_max = frames_max
        self._joined = joined
        self._frames: list[bytes] = []
        self._waiting = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Raises ChannelClosed when the peer has left too much unread."""
        if len(self._frames) >= self._frames_max:
            raise ChannelClosed("the peer does not read")
        self._frames.append(data)
        self._waiting.set()

    async def write_to(self, channel: Channel) -> None:
        """Until the channel closes."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            waiting, self._frames = self._frames, []
            for data in frames(waiting) if self._joined else waiting:
                await channel.send(data)
