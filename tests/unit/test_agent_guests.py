"""Connections of tasks: one task cannot take the places of the others, and a peer that does not read is cut off."""

import asyncio
import socket

from neargate.agent.guests import Guests, farewell, source_of


def test_one_source_has_its_places_and_the_others_theirs() -> None:
    guests = Guests(each_max=2, all_max=3)
    assert [guests.admit("a") for _ in range(3)] == [True, True, False]
    assert guests.admit("b")
    assert not guests.admit("c"), "all places are taken"
    guests.leave("a")
    assert guests.admit("c")
    assert not guests.admit("b"), "all places are taken again"


def test_a_place_comes_back_when_its_connection_is_gone() -> None:
    guests = Guests(each_max=1, all_max=10)
    for _ in range(100):
        assert guests.admit("a")
        assert not guests.admit("a")
        guests.leave("a")


def test_a_peer_that_does_not_read_keeps_no_socket() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=here)
        writer.write(b"x" * 16 * 1024 * 1024)  # more than any socket's buffer
        await farewell(writer, 0.05)
        await asyncio.sleep(0)
        assert here.fileno() == -1, "the socket is closed although its bytes were not taken"
        there.close()

    asyncio.run(main())


def test_a_peer_that_reads_gets_all_of_it() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=here)
        reader, other = await asyncio.open_connection(sock=there)
        writer.write(b"x" * 4 * 1024 * 1024)
        received, _ = await asyncio.gather(reader.read(-1), farewell(writer, 30.0))
        assert len(received) == 4 * 1024 * 1024
        assert source_of(writer) == ""
        await farewell(other, 1.0)

    asyncio.run(main())
