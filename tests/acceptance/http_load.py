"""A steady stream of GETs by name, as a client that honours DNS sends them: what arrived, and what failed.

A program of its own, of the standard library alone, so that a test can have it in a task's network
namespace. Each request asks for the name again (its TTL is not longer than a second's worth of requests would notice),
goes by a connection of its own, and is never sent twice: a failure that somebody else hid is not this program's.
Prints a JSON line a failure as it happens, and one with the counts when it is told to end by SIGTERM.
"""

import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import sys
import time
from collections import Counter

_ANSWER_MAX = 65536
_QUERY = struct.Struct("!HHHHHH")
_RECURSE = 0x0100
_A, _IN = 1, 1


class NotResolved(Exception):
    """The resolver does not answer, or knows no address."""


def query(number: int, name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return _QUERY.pack(number, _RECURSE, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _A, _IN)


def addresses(answer: bytes) -> list[str]:
    """The A records of an answer to `query`."""
    _, _, questions, answers, _, _ = _QUERY.unpack_from(answer)
    at = _QUERY.size
    for _ in range(questions):
        at = _after_name(answer, at) + 4
    found = []
    for _ in range(answers):
        at = _after_name(answer, at)
        kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if kind == _A:
            found.append(socket.inet_ntoa(answer[at : at + length]))
        at += length
    return found


def _after_name(answer: bytes, at: int) -> int:
    while True:
        length = answer[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if length == 0:
            return at


class _Resolver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        waiting = self._waiting.get(int.from_bytes(data[:2], "big"))
        if waiting is not None and not waiting.done():
            waiting.set_result(data)

    async def ask(self, name: str, within_s: float) -> list[str]:
        """As a stub resolver does: a second question when the first is not answered."""
        assert self.transport is not None
        for _ in range(2):
            number = self._number = self._number % 65535 + 1
            self._waiting[number] = asyncio.get_running_loop().create_future()
            try:
                self.transport.sendto(query(number, name))
                found = addresses(await asyncio.wait_for(self._waiting[number], within_s))
            except TimeoutError:
                continue
            finally:
                del self._waiting[number]
            if not found:
                raise NotResolved(f"{name} has no address")
            return found
        raise NotResolved("no answer")


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def get(address: str, port: int, host: str, path: str) -> int:
    """The status of the whole answer. Raises OSError, EOFError, ValueError."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(_ANSWER_MAX)
        head, end, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1]) if end else 0
        for line in head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == b"content-length" and len(body) < int(value):
                raise EOFError(f"{len(body)} of {int(value)} bytes")
        if not end:
            raise EOFError("no answer")
        return status
    finally:
        writer.close()


async def stream(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(_Resolver, remote_addr=(options.resolver, 53))
    resolver.transport = transport
    counts: Counter[str] = Counter()
    ends = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ends.set)
    running: set[asyncio.Task[None]] = set()

    async def one(begun: float) -> None:
        address = ""
        try:
            found = await resolver.ask(options.name, options.timeout)
            address = random.choice(found)
            status = await asyncio.wait_for(get(address, options.port, options.name, options.path), options.timeout)
            said = str(status)
        except (OSError, EOFError, ValueError, NotResolved) as error:
            said = f"{type(error).__name__}: {error}"
        counts[said] += 1
        if said != "200":
            told = {"at": begun, "ended": time.time(), "address": address, "said": said}
            say(told)

    say({"begun": time.time()})
    due = loop.time()
    while not ends.is_set():
        task = asyncio.create_task(one(time.time()))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1.0 / options.rate
        await asyncio.sleep(max(0.0, due - loop.time()))
    await asyncio.gather(*running)
    say({"counts": counts})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--path", default="/")
    parser.add_argument("--resolver", default="169.254.169.253")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds, of each step")
    asyncio.run(stream(parser.parse_args()))


if __name__ == "__main__":
    main()
