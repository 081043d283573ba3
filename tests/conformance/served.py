"""The front end behind its real HTTP server on a loopback port, also in a thread of its own for clients that block."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

import uvicorn

from neargate.frontend.app import FrontEnd
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.http_protocol import bounded_protocol
from neargate.model.knobs import DEFAULT_KNOBS, Knobs
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
BOUND_S = 30.0  # on waiting; not a measurement

T = TypeVar("T")


async def region_in_memory(
    world: OsWorld, zones: tuple[tuple[str, str], ...], *, one_machine: bool = False, knobs: Knobs = DEFAULT_KNOBS
) -> Region:
    """A whole control plane whose administrator has KEY and SECRET. `zones`: names and ids."""
    return await open_region(
        world,
        MemoryStores(world, knobs),
        RegionPlan(region=REGION, account=ACCOUNT, zones=zones, public_pool="198.18.0.0/24", one_machine=one_machine),
        models=Models(),
        credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
        envelope=Envelope(bytes(32), world),
        knobs=knobs,
    )


@asynccontextmanager
async def listening(front: FrontEnd, knobs: Knobs = DEFAULT_KNOBS) -> AsyncIterator[int]:
    """The port."""
    config = uvicorn.Config(
        AsgiApp(frontend=front, world=OsWorld(), knobs=knobs),
        host="127.0.0.1",
        port=0,
        http=bounded_protocol(knobs, front.handle),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


class InThread(Generic[T]):
    """Holds a context open in an event loop and thread of its own, since boto3 blocks."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._opened = opened
        self._ready: queue.Queue[tuple[T] | BaseException] = queue.Queue()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._main, name="region")

    def __enter__(self) -> T:
        self._thread.start()
        answer = self._ready.get(timeout=BOUND_S)
        if isinstance(answer, BaseException):
            raise answer
        return answer[0]

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=BOUND_S)
        assert not self._thread.is_alive()

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What happens beside the clients' calls, in the context's own thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=BOUND_S)

    def _main(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:
            self._ready.put(error)
            raise

    async def _hold(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._opened() as value:
            self._ready.put((value,))
            await self._stop.wait()
