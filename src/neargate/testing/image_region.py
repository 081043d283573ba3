"""A region in memory whose image registry is whole: its API on a loopback port, a real keeper of bytes behind it.

For tests of container tools against the door; nothing of it needs root.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from msgspec import Struct

from ..frontend.asgi import AsgiApp
from ..frontend.callers.authenticate import AuthMode
from ..frontend.callers.credentials import Credentials
from ..frontend.envelope import Envelope
from ..frontend.http_protocol import bounded_protocol
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..region import Region, RegionPlan, open_region
from ..sandbox.pull.upstream import HttpUpstream
from ..store.sqlite import MemoryStores
from ..wire.shapes import Models
from .front_door import ACCOUNT, REGION, ROOT, ZONES, FrontDoor, MovedWorld
from .registry import RunningRegistry, free_port


class ImageRegion(Struct, frozen=True, kw_only=True):
    """`host`: the registry's name with its port; `door`: the API for whoever signs."""

    port: int
    region: Region
    door: FrontDoor
    keeper: RunningRegistry

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{self.port}"


@asynccontextmanager
async def image_region(
    directory: str,
    knobs: Knobs = DEFAULT_KNOBS,
    *,
    auth: AuthMode = AuthMode.ENFORCE,
    upstreams: tuple[str, ...] = (),
) -> AsyncIterator[ImageRegion]:
    """`directory`: for the bytes; short, since the path of a socket has 107 bytes at most.

    `upstreams`: registries that the operator named, as host:port.
    """
    os.makedirs(directory, exist_ok=True)
    socket = os.path.join(directory, "images.sock")
    keeper = RunningRegistry(directory, socket=socket)
    try:
        world, port = MovedWorld(), free_port()
        plan = RegionPlan(
            region=REGION,
            account=ACCOUNT,
            zones=ZONES,
            public_pool="198.18.0.0/24",
            one_machine=True,
            auth=auth,
            images_domain=f"localhost:{port}",
            images_socket=socket,
            images_storage=directory,
        )
        region = await open_region(
            world,
            MemoryStores(world, knobs),
            plan,
            models=Models(),
            credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
            envelope=Envelope(bytes(32), world),
            knobs=knobs,
            upstream=HttpUpstream(world, knobs, named=upstreams),
        )
        async with _listening(region, world, knobs, port):
            yield ImageRegion(port=port, region=region, door=FrontDoor(world, region), keeper=keeper)
    finally:
        keeper.stop()


@asynccontextmanager
async def _listening(region: Region, world: MovedWorld, knobs: Knobs, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        AsgiApp(frontend=region.frontend, world=world, knobs=knobs, images=region.door),
        host="127.0.0.1",
        port=port,
        http=bounded_protocol(knobs, region.frontend.handle),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    running = world.spawn(server.serve(), "the API")
    while not server.started:
        await world.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await running
