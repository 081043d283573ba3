"""Targets and a client of a load balancer's node, in the namespaces of a `BalancerLab`, on the test's own loop."""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from neargate.model.balancing import (
    BalancerPlan,
    Forward,
    HealthCheck,
    PlannedGroup,
    PlannedListener,
    PlannedTarget,
    TargetVerdict,
    WeightedGroup,
)
from neargate.testing.balancer_lab import FIRST_TARGET, NODE, BalancerLab, address

PORT = 8080
SOON = HealthCheck(interval_s=1, timeout_s=1, healthy=2, unhealthy=2, path="/health")
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Answer = tuple[int, list[tuple[str, str]], bytes]


class Target:
    """Tells each caller what it was sent. `status`: of its health. `/slow` waits until `release` is set."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.status = 200
        self.release = asyncio.Event()
        self.slow = 0
        self.served = 0
        self.checked: list[str] = []
        self.open: set[asyncio.StreamWriter] = set()
        self.asked_by: set[asyncio.StreamWriter] = set()  # of requests that were not of checks

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if "\r\nupgrade: websocket" in head.lower():
                    await self._echo(head, reader, writer)
                    return
                await _body(head.lower(), reader)
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # it left
        finally:
            self.open.discard(writer)
            writer.transport.abort()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ")[1]
        status = 200
        if path == "/health":
            status = self.status
            self.checked.append(head)
        else:
            self.served += 1
            self.asked_by.add(writer)
        if path == "/slow":
            self.slow += 1
            await self.release.wait()
        body = json.dumps({"target": self.number, "head": head}).encode()
        writer.write(b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()

    async def _echo(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.encode() + _WEBSOCKET).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while told := await reader.read(4096):
            writer.write(told)


async def _body(head: str, reader: asyncio.StreamReader) -> None:
    """Read, so that it is not the next request's beginning. Nobody's chunks look like the last one."""
    for line in head.split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "content-length":
            await reader.readexactly(int(value))
        elif name == "transfer-encoding":
            await reader.readuntil(b"0\r\n\r\n")


class Rig:
    """`plan(...)`: a listener at port 80 and the group of `targets`, what is given replacing parts of it."""

    def __init__(self, lab: BalancerLab) -> None:
        self.lab = lab
        self.targets: list[Target] = []
        self._servers: list[asyncio.Server] = []
        self._generation = 0

    async def open(self, targets: int = 2, port: int = PORT) -> None:
        for number in range(targets):
            target = Target(number)
            listener = self.lab.listening(number, port)
            self._servers.append(await asyncio.start_server(target.serve, sock=listener))
            self.targets.append(target)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for target in self.targets:
            target.release.set()
            for writer in list(target.open):
                writer.transport.abort()
        await self.lab.abandon()

    def planned(self, *numbers: int, draining: Sequence[int] = (), port: int = PORT) -> tuple[PlannedTarget, ...]:
        wanted = sorted({*numbers, *draining})
        return tuple(
            PlannedTarget(ip=address(FIRST_TARGET + number), port=port, is_draining=number in draining)
            for number in wanted
        )

    def group(self, arn: str = "group", **changed: Any) -> PlannedGroup:
        given = {"protocol": "HTTP", "check": SOON, "targets": self.planned(0, 1), **changed}
        return PlannedGroup(arn=arn, **given)

    def listener(self, arn: str = "listener", **changed: Any) -> PlannedListener:
        forward = Forward(groups=(WeightedGroup(arn="group"),))
        return PlannedListener(arn=arn, **{"port": 80, "protocol": "HTTP", "default": forward, **changed})

    def plan(self, **changed: Any) -> BalancerPlan:
        self._generation += 1
        given: dict[str, Any] = {"kind": "application", "listeners": (self.listener(),), "groups": (self.group(),)}
        return BalancerPlan(
            arn="lb",
            vpc_id="vpc-0a",
            name="lab",
            generation=self._generation,
            nodes=(self.lab.node,),
            **{**given, **changed},
        )

    async def apply(self, **changed: Any) -> BalancerPlan:
        """Returns when the node says that it runs it and that no target is fresh."""
        plan = self.plan(**changed)
        await self.lab.apply(plan)
        await self.until(lambda: self.is_settled(plan.generation))
        return plan

    def is_settled(self, generation: int) -> bool:
        told = self.lab.told.get("place-1")
        return (
            told is not None
            and told.generation == generation
            and told.is_serving
            and all(verdict.state != "initial" for verdict in self.verdicts())
        )

    def verdicts(self) -> list[TargetVerdict]:
        told = self.lab.told.get("place-1")
        return [] if told is None else [verdict for group in told.groups for verdict in group.targets]

    def states(self) -> list[str]:
        return [verdict.state for verdict in self.verdicts()]

    async def until(self, holds: Callable[[], bool], within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not holds():
                await self.lab.world.sleep(0.02)

    async def get(self, path: str = "/", *headers: str, method: str = "GET", port: int = 80) -> Answer:
        """By a connection of its own, and once."""
        client = await self.connect(port)
        try:
            return await asyncio.wait_for(client.ask(path, *headers, method=method), 10)
        finally:
            client.close()

    async def connect(self, port: int = 80, context: ssl.SSLContext | None = None, name: str = "") -> "Client":
        made = self.lab.client()
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address(NODE), port)), 5)
        except (OSError, TimeoutError):
            made.close()
            raise
        more: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": name}
        return Client(*await asyncio.open_connection(sock=made, **more))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, path: str, *headers: str, method: str = "GET") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.insert(1, "Host: example.com")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        return await self.answer()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value) for line in head[1:-2] for name, _, value in [line.partition(": ")]]
        length = int(dict(pairs).get("content-length", "0"))
        return int(head[0].split(" ")[1]), pairs, await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.transport.abort()


def head_of(answer: Answer) -> str:
    """What the target was sent."""
    return str(json.loads(answer[2])["head"])


def target_of(answer: Answer) -> int:
    return int(json.loads(answer[2])["target"])
