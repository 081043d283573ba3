"""`neargate server`: the control plane. Begun as root (`server_start.py`), it loads its code, steps down, then serves.

Listens on loopback for the API, and on two UNIX sockets of its own directory for agents and for the operator.
"""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from msgspec.structs import replace

from ..frontend.asgi import AsgiApp
from ..frontend.balancing.local_door import LocalDoor
from ..frontend.callers.authenticate import AuthMode
from ..frontend.callers.credentials import Credentials
from ..frontend.callers.oidc.keys import LANE, LANE_THREADS
from ..frontend.envelope import envelope_of
from ..frontend.http_protocol import BoundedHttpProtocol, bounded_protocol
from ..frontend.relayed import relayed, serve_relayed
from ..model.capacity import Tenancy
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.quotas import QuotaMode
from ..region import Region, RegionPlan, open_region
from ..sandbox.pull import upstream
from ..sandbox.pull.proxies import proxies_of
from ..store.sqlite import SqliteStores
from ..wire.data_channel import FRAME_MAX_BYTES
from ..wire.shapes import Models
from ..world import OsWorld, World
from . import admin, image_storage, master_keys
from .config import RegionConfig
from .desks import (
    account as account_desk,
)
from .desks import (
    audit as audit_desk,
)
from .desks import (
    balancers as balancers_desk,
)
from .desks import (
    certificates as certificates_desk,
)
from .desks import (
    dns as dns_desk,
)
from .desks import (
    exec as exec_desk,
)
from .desks import (
    hosts as hosts_desk,
)
from .desks import (
    ip_pool as ip_pool_desk,
)
from .desks import (
    path as path_desk,
)
from .desks import (
    quota as quota_desk,
)
from .desks import (
    spot as spot_desk,
)
from .desks.metrics import MetricsDesk
from .desks.operator import handlers
from .paths import RegionPaths
from .ports import check_port
from .privileges import step_down
from .server_start import Started
from .supervisor import USER

if TYPE_CHECKING:
    from .metrics.listener import MetricsListener
    from .registry_tls import Outside

BACKLOG = 1024
GC_YOUNG_MAX = 20_000  # objects


def main(started: Started) -> None:
    """Runs until SIGTERM or SIGINT. Tasks do not notice."""
    # Modules stay. Reference counts free what a request leaves; cycles were looked for once in each with 700 objects.
    gc.freeze()
    gc.set_threshold(GC_YOUNG_MAX)
    gc.enable()
    models = Models()
    models.hold()  # while the package can be read
    outside, metrics = _outside(started.config), _metrics(started.config)
    if os.geteuid() == 0:
        step_down(USER)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(started.paths, started.config, models, started.databases, outside, metrics))


def _outside(config: RegionConfig) -> "Outside | None":
    """The registry for other machines: few regions have it. Before the server steps down, which ends imports too."""
    if not config.registry_listen:
        return None
    from .registry_tls import Outside

    return Outside.open(config)


def _metrics(config: RegionConfig) -> "MetricsListener | None":
    """As with the registry for other machines: what only some regions load."""
    if not config.metrics_listen:
        return None
    from .metrics.listener import MetricsListener

    return MetricsListener.open(config)


async def _serve(
    paths: RegionPaths,
    config: RegionConfig,
    models: Models,
    databases: socket.socket,
    outside: "Outside | None",
    metrics: "MetricsListener | None",
) -> None:
    knobs = _knobs(config)
    world = OsWorld({LANE: LANE_THREADS, upstream.LANE: upstream.lane_threads(knobs)})
    listener = _listen(config.port)
    stores = SqliteStores(world, paths.databases, knobs, databases)
    envelope = envelope_of(master_keys.load(paths, config), world)
    region = await open_region(
        world,
        stores,
        _plan(paths, config),
        models=models,
        credentials=Credentials.load(paths.administrator),
        envelope=envelope,
        knobs=knobs,
        upstream=upstream.HttpUpstream(world, knobs, named=config.insecure_registries, proxies=proxies_of(os.environ)),
    )
    world.spawn(region.gateway.serve(str(paths.link_socket)), "gateway")
    region.start_loops(world)
    elsewhere = outside.start(world, knobs, paths, envelope, region.door) if outside is not None else None
    desk = MetricsDesk(region, stores.waiting, knobs)
    operator = await admin.serve(
        paths.admin_socket, {**_operator_handlers(region, world, config.port), **desk.handlers()}
    )
    if metrics is not None:
        await metrics.start(world, knobs, desk.readings)
    gc.freeze()  # what was opened stays
    api = AsgiApp(
        frontend=region.frontend,
        world=world,
        knobs=knobs,
        images=region.door,
        data_channels=region.data_channels,
    )
    protocol = bounded_protocol(knobs, region.frontend.handle)
    settings = uvicorn.Config(
        LocalDoor(world, api, region.services.network, knobs),
        http=protocol,
        limit_concurrency=knobs.connections_max,
        loop="none",
        ws="websockets-sansio",
        ws_max_size=FRAME_MAX_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        proxy_headers=False,  # what a named proxy says: frontend/callers/forwarded.py
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_graceful_shutdown=5,
    )
    await _Server(settings, protocol, paths.tasks_socket).serve(sockets=[listener])
    if elsewhere is not None:
        await elsewhere.close()
    if metrics is not None:
        metrics.close()
    # Requests under way were answered. The rest ends as after a kill: what is durable decides, also at the next start.
    await region.trail.flush()
    operator.close()


def _plan(paths: RegionPaths, config: RegionConfig) -> RegionPlan:
    return RegionPlan(
        region=config.region,
        account=config.account,
        zones=config.zone_names,
        public_pool=config.public_pool,
        one_machine=True,  # a region of `up`: its agent is on this machine, simulated hosts are too
        auth=AuthMode(config.auth),
        oidc_hosts=config.oidc_hosts,
        tls_proxy=config.tls_proxy == "local",
        quotas=QuotaMode(config.quotas),
        extensions=config.extensions,
        tenancy=Tenancy(config.tenancy),
        images_domain=config.registry_domain or f"localhost:{config.port}",
        images_tls=bool(config.registry_domain),
        images_socket=str(paths.images_socket),
        images_storage=str(image_storage.local_directory(paths, config) or ""),
    )


def _operator_handlers(region: Region, world: World, port: int) -> dict[str, admin.Handler]:
    return {
        **handlers(region),
        **account_desk.handlers(region),
        **quota_desk.handlers(region),
        **certificates_desk.handlers(region),
        **audit_desk.handlers(region),
        **balancers_desk.handlers(region),
        **hosts_desk.handlers(region),
        **spot_desk.handlers(region),
        **ip_pool_desk.handlers(region),
        **dns_desk.handlers(region),
        **exec_desk.handlers(region, world),
        **path_desk.handlers(region, port),
    }


def _knobs(config: RegionConfig) -> Knobs:
    """What the operator may vary."""
    return replace(
        DEFAULT_KNOBS,
        trail_keep_s=config.audit_days * 86_400.0,
        trail_stored_max_bytes=config.audit_mib * 1024 * 1024,
    )


class _Server(uvicorn.Server):
    """Ends quietly on a signal; uvicorn's own would raise it again afterwards and leave by it.

    Listens at `tasks` too, with the same bounds on all connections together.
    """

    def __init__(self, settings: uvicorn.Config, protocol: type[BoundedHttpProtocol], tasks: Path) -> None:
        super().__init__(settings)
        self._relayed = relayed(protocol)
        self._tasks = tasks

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        def made() -> asyncio.Protocol:
            return self._relayed(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        await super().startup(sockets)
        self.servers.append(await serve_relayed(self._tasks, made, backlog=BACKLOG))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def _listen(port: int) -> socket.socket:
    """Loopback only. SO_REUSEADDR so that a restart does not wait for old connections."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        check_port(port)  # says who has it
        raise
    listener.setblocking(False)
    return listener
