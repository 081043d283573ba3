"""Regions that anybody may wipe, for moto's test suites: `POST /moto-api/reset` ends them, and new ones begin.

    python -m tests.conformance.moto_target --anybody-may-wipe-everything [--port 5000]

Everything is in memory, tasks run on simulated hosts, any key is taken. The route is here and nowhere in the package:
no region that `neargate` starts has it. Prints the port when it listens; ends with SIGTERM or when stdin ends.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import uvicorn

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.ids import REGION_PATTERN
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

RESET = "/moto-api/reset"
ACCOUNT, REGION = "123456789012", "us-east-1"
KEYS = Credentials(account=ACCOUNT, access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="none")
TIMES = SimulatedTimes(attach_s=0.01, start_s=0.01, run_s=0.01, stop_s=0.01)


class EndingWorld(OsWorld):
    """A world whose background tasks end with the region that they belong to."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: list[asyncio.Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        task = super().spawn(work, name)
        self._begun.append(task)
        return task

    async def end(self) -> None:
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)


class WipeableRegions:
    """A region of each name that requests ask for, begun when the first of them does."""

    def __init__(self, directory: Path, models: Models) -> None:
        self._directory = directory
        self._models = models
        self._count = 0
        self._turn = asyncio.Lock()
        self._lives = contextlib.AsyncExitStack()
        self._apps: dict[str, AsgiApp] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", RESET):
            async with self._turn:
                await self.end()
            body = b'{"status": "ok"}'
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        app = await self._app(asked_region(scope.get("headers", ())))
        await app(scope, receive, send)

    async def _app(self, name: str) -> AsgiApp:
        async with self._turn:
            if name not in self._apps:
                self._apps[name] = await self._begun(name)
            return self._apps[name]

    async def _begun(self, name: str) -> AsgiApp:
        self._count += 1
        world, knobs, zones = EndingWorld(), DEFAULT_KNOBS, zones_of(name)
        region = await open_region(
            world,
            MemoryStores(world, knobs),
            RegionPlan(
                region=name,
                account=ACCOUNT,
                zones=zones,
                public_pool="198.18.0.0/24",
                one_machine=False,
                auth=AuthMode.OPEN,
            ),
            models=self._models,
            credentials=KEYS,
            envelope=Envelope(bytes(32), world),
            knobs=knobs,
        )
        self._lives.push_async_callback(world.end)
        region.start_loops(world)
        path = str(self._directory / f"{self._count}.sock")
        await self._lives.enter_async_context(region.gateway.listening(path))
        hosts = [_host(zone) for zone, _ in zones]
        fleet = SimulatedFleet(world, hosts, socket_path=path, knobs=knobs, times=TIMES)
        machines = asyncio.ensure_future(fleet.run())
        self._lives.push_async_callback(_cancelled, machines)
        await _all_connected(region, len(hosts))
        return AsgiApp(frontend=region.frontend, world=world, knobs=knobs)

    async def end(self) -> None:
        """Everything is gone; the next request begins anew."""
        lives, self._lives = self._lives, contextlib.AsyncExitStack()
        self._apps.clear()
        await lives.aclose()


def asked_region(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Of the credential's scope: Credential=KEY/DATE/REGION/SERVICE/aws4_request."""
    authorization = next((value.decode("latin-1") for name, value in headers if name == b"authorization"), "")
    scope = authorization.partition("Credential=")[2].split(",")[0].split("/")
    return scope[2] if len(scope) == 5 and REGION_PATTERN.match(scope[2]) else REGION


def zones_of(region: str) -> tuple[tuple[str, str], ...]:
    """Three, with ids as AWS forms them: us-west-2a is usw2-az1, ap-southeast-2b apse2-az2.

    Which name has which id differs between accounts; us-east-1 is shuffled as moto's tests know it.
    """
    place, direction, number = region.split("-", 1)[0], region.split("-")[1:-1], region.rsplit("-", 1)[1]
    short = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c"}
    letters = "".join("".join(short[part] for part in _parts(word)) if _parts(word) else word[0] for word in direction)
    numbers = (6, 1, 2) if region == "us-east-1" else (1, 2, 3)
    return tuple(
        (f"{region}{letter}", f"{place}{letters}{number}-az{n}") for n, letter in zip(numbers, "abc", strict=True)
    )


def _parts(word: str) -> tuple[str, ...]:
    """northeast is north and east."""
    for first in ("north", "south"):
        if word.startswith(first) and word != first:
            return (first, word.removeprefix(first))
    return (word,) if word in ("north", "south", "east", "west", "central") else ()


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _all_connected(region: Region, count: int) -> None:
    for _ in range(3000):
        hosts = [host for manager in set(region.capacities.values()) for host in await manager.hosts()]
        if sum(1 for host in hosts if host["connected"]) == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the hosts did not connect")


def _host(zone: str) -> HostFacts:
    return HostFacts(
        host_id=f"h-{zone}",
        boot_id="b",
        capacity=HostCapacity(cpu_units=65_536, memory_mib=262_144, disk_gib=10_000),
        sandbox="simulated",
        zone=zone,
    )


async def serve(port: int) -> None:
    models = Models()
    with tempfile.TemporaryDirectory() as directory:
        regions = WipeableRegions(Path(directory), models)
        server = uvicorn.Server(
            uvicorn.Config(
                regions, host="127.0.0.1", port=port, http="httptools", ws="none", lifespan="off", log_config=None
            )
        )
        serving = asyncio.ensure_future(server.serve())
        for _ in range(3000):
            if server.started or serving.done():
                break
            await asyncio.sleep(0.01)
        sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await serving
        await regions.end()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--anybody-may-wipe-everything", action="store_true", required=True)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(asked.port))


if __name__ == "__main__":
    main()
