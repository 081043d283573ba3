"""A region that anybody may wipe, for moto's test suite: `POST /moto-api/reset` replaces it by a new one.

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
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvicorn

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

RESET = "/moto-api/reset"
ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))
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


class WipeableRegion:
    def __init__(self, directory: Path, models: Models) -> None:
        self._directory = directory
        self._models = models
        self._count = 0
        self._wiping = asyncio.Lock()
        self._life: contextlib.AsyncExitStack | None = None
        self._app: AsgiApp | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", RESET):
            async with self._wiping:
                await self.end()
                await self.begin()
            body = b'{"status": "ok"}'
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        assert self._app is not None
        await self._app(scope, receive, send)

    async def begin(self) -> None:
        self._count += 1
        life = self._life = contextlib.AsyncExitStack()
        world, knobs = EndingWorld(), DEFAULT_KNOBS
        region = await open_region(
            world,
            MemoryStores(world, knobs),
            RegionPlan(
                region=REGION,
                account=ACCOUNT,
                zones=ZONES,
                public_pool="198.18.0.0/24",
                one_machine=False,
                auth=AuthMode.OPEN,
            ),
            models=self._models,
            credentials=KEYS,
            envelope=Envelope(bytes(32), world),
            knobs=knobs,
        )
        life.push_async_callback(world.end)
        path = str(self._directory / f"{self._count}.sock")
        await life.enter_async_context(region.gateway.listening(path))
        hosts = [_host(zone) for zone, _ in ZONES]
        fleet = SimulatedFleet(world, hosts, socket_path=path, knobs=knobs, times=TIMES)
        machines = asyncio.ensure_future(fleet.run())
        life.push_async_callback(_cancelled, machines)
        await _all_connected(region)
        self._app = AsgiApp(frontend=region.frontend, world=world, knobs=knobs)

    async def end(self) -> None:
        if self._life is not None:
            await self._life.aclose()


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _all_connected(region: Region) -> None:
    for _ in range(3000):
        hosts = [host for manager in set(region.capacities.values()) for host in await manager.hosts()]
        if sum(1 for host in hosts if host["connected"]) == len(ZONES):
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
        region = WipeableRegion(Path(directory), models)
        await region.begin()
        server = uvicorn.Server(
            uvicorn.Config(
                region, host="127.0.0.1", port=port, http="httptools", ws="none", lifespan="off", log_config=None
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
        await region.end()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--anybody-may-wipe-everything", action="store_true", required=True)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(asked.port))


if __name__ == "__main__":
    main()
