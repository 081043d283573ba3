"""The beginning of a connection: a HELLO, and the guest's answer to it, found in what comes.

What an earlier connection left unread comes first, from the middle of a frame even. So the answer is searched for by
its nonce, which nobody could have said before; all before it is dropped, within a bound.
"""

from typing import Final

import msgspec
from msgspec import Struct

from ...world import World, within
from .connection import Connection
from .errors import GuestBroke, GuestGone
from .frames import HEADER, HEADER_BYTES, NONCE_CHARS, SPEAKS, Ask, Say, frame
from .messages import HELLO_MAX_BYTES, Introduction, hello
from .pace import Pace

LEFT_MAX_BYTES: Final = 8 * 1024 * 1024  # what a guest's port and the machine monitor hold at most


class Greeted(Struct, frozen=True, kw_only=True):
    """`rest`: what came behind the answer."""

    connection: Connection
    introduction: Introduction
    rest: bytes


async def greet(world: World, directory: str, name: str, *, pace: Pace, hello_s: float, again_s: float) -> Greeted:
    """Connected and greeted within `hello_s`.

    A guest that missed the end of an earlier connection finds HELLO behind half a frame when nothing follows it for
    200 ms, or may drop its answer with what was meant for that one. So nothing is said before the answer, and there is
    another HELLO when none comes in `again_s`, then in twice that time, for a guest that is slow. Raises GuestGone,
    GuestBroke.
    """
    deadline = world.monotonic() + hello_s
    while (left_s := deadline - world.monotonic()) > 0:
        try:
            connection = await Connection.connect(world, directory, name)
        except OSError as error:
            raise GuestGone(f"The machine monitor cannot be reached: {error.strerror or error}.") from None
        try:
            return await within(min(again_s, left_s), _greet(world, connection, pace))
        except TimeoutError:
            connection.abort()
            again_s *= 2
        except BaseException:
            connection.abort()
            raise
    raise GuestBroke(f"The guest said no hello in {hello_s:g} s.")


async def _greet(world: World, connection: Connection, pace: Pace) -> Greeted:
    nonce = f"{world.random.getrandbits(4 * NONCE_CHARS):0{NONCE_CHARS}x}"
    connection.write(frame(Ask.HELLO, 0, nonce.encode()))
    search = HelloSearch(nonce)
    while (found := search.feed(await listen(connection, pace))) is None:
        pass
    introduction, rest = found
    if introduction.protocol not in SPEAKS:
        raise GuestBroke(f"The guest speaks protocol {introduction.protocol}, which this release does not.")
    return Greeted(connection=connection, introduction=introduction, rest=rest)


async def listen(connection: Connection, pace: Pace) -> bytes:
    """Some bytes. They cost as much as a frame: one that comes byte by byte is no cheaper than as many frames."""
    await pace.spend()
    data = await connection.read()
    if not data:
        raise GuestGone("The guest's connection was closed.")
    return data


class HelloSearch:
    """For the answer to the HELLO with this nonce."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode()
        self._window = bytearray()
        self._dropped = 0

    @property
    def kept_bytes(self) -> int:
        return len(self._window)

    def feed(self, data: bytes) -> tuple[Introduction, bytes] | None:
        """What the guest says of itself, and the bytes after it. Raises GuestBroke."""
        self._window += data
        at = self._window.find(self._nonce)
        if at >= 0:
            end = at + len(self._nonce)
            return self._introduction(end), bytes(self._window[end:])
        useless = len(self._window) - HEADER_BYTES - HELLO_MAX_BYTES
        if useless > 0:
            del self._window[:useless]
            self._dropped += useless
        if self._dropped > LEFT_MAX_BYTES:
            raise GuestBroke("The guest said too much before its hello.")
        return None

    def _introduction(self, end: int) -> Introduction:
        """Of the frame that ends there. The nearest beginning that fits is it: JSON holds no such bytes."""
        for begin in range(end - HEADER_BYTES, max(end - HEADER_BYTES - HELLO_MAX_BYTES, 0) - 1, -1):
            length = end - begin - HEADER_BYTES
            if self._window[begin : begin + HEADER_BYTES] == HEADER.pack(length, Say.HELLO, 0):
                try:
                    return hello(bytes(self._window[begin + HEADER_BYTES : end])).introduction
                except (ValueError, msgspec.MsgspecError, RecursionError):
                    break
        raise GuestBroke("The guest's hello is none.")
