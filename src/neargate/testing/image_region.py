"""A region in memory whose image registry is whole: its API on a loopback port, a real keeper of bytes behind it.

For tests of container tools against the door; nothing of it needs root.
"""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from msgspec import Struct
from msgspec.structs import replace

from ..frontend.asgi import AsgiApp
from ..frontend.callers.authenticate import AuthMode
from ..frontend.callers.credentials import Credentials
from ..frontend.envelope import Envelope
from ..frontend.http_protocol import bounded_protocol
from ..frontend.images.authority import new_authority, parse_kept
from ..frontend.images.certificates import Certificates, OwnCertificates
from ..frontend.images.outside import OutsideListener
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..region import Region, RegionPlan, open_region
from ..sandbox.pull.upstream import HttpUpstream
from ..store.sqlite import MemoryStores
from ..wire.shapes import Models
from .front_door import ACCOUNT, REGION, ROOT, ZONES, FrontDoor, MovedWorld
from .registry import RunningRegistry, free_port


class ImageRegion(Struct, frozen=True, kw_only=True):
    """`host`: the registry's name with its port; `door`: the API for whoever signs.

    `outside`: the TLS listener, where there is one, at `outside_port`; `authority`: whom its clients trust, PEM.
    """

    port: int
    region: Region
    door: FrontDoor
    keeper: RunningRegistry
    outside: OutsideListener | None = None
    outside_port: int = 0
    authority: str = ""

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
    domain: str = "",
) -> AsyncIterator[ImageRegion]:
    """`directory`: for the bytes; short, since the path of a socket has 107 bytes at most.

    `upstreams`: registries that the operator named, as host:port. `domain`: listen by TLS too, on loopback.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "images.sock")
    keeper = RunningRegistry(directory, socket=path)
    try:
        world, port, envelope = MovedWorld(), free_port(), Envelope(bytes(32), MovedWorld())
        listener = socket.create_server(("127.0.0.1", 0)) if domain else None
        outside_port = listener.getsockname()[1] if listener is not None else 0
        plan = RegionPlan(
            region=REGION,
            account=ACCOUNT,
            zones=ZONES,
            public_pool="198.18.0.0/24",
            one_machine=True,
            auth=auth,
            images_domain=f"{domain}:{outside_port}" if domain else f"localhost:{port}",
            images_tls=bool(domain),
            tls_proxy=bool(domain),  # which the TLS listener must not mind
            images_socket=path,
            images_storage=os.path.join(directory, "storage"),
        )
        region = await open_region(
            world,
            MemoryStores(world, knobs),
            plan,
            models=Models(),
            credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
            envelope=envelope,
            knobs=knobs,
            upstream=HttpUpstream(world, knobs, named=upstreams),
        )
        async with _listening(region, world, knobs, port):
            made = ImageRegion(port=port, region=region, door=FrontDoor(world, region), keeper=keeper)
            if listener is None:
                yield made
                return
            authority = new_authority(domain, REGION, world)
            certificates = Certificates(world, knobs, OwnCertificates(authority, REGION, world))
            outside = OutsideListener(world, knobs, listener, lambda: certificates.context, region.door)
            outside.start()
            pem = parse_kept(authority.kept(envelope)).certificate
            yield replace(made, outside=outside, outside_port=outside_port, authority=pem)
            await outside.close()
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
