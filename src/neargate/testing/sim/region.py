"""The simulated topology: one server process over databases in memory, machines with agents, and clients.

It owns the server's program (the same `open_region` and loops that production runs, with the simulated network behind
the gateway's seam) and the calls to its front end. Must not know faults.
"""

import asyncio
import random
import sqlite3
import urllib.parse
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ... import region as production
from ...clusters.channel import ChannelClosed
from ...frontend.callers.credentials import Credentials
from ...frontend.envelope import Envelope
from ...frontend.errors import Response
from ...interfaces.store import Overloaded, Store
from ...model.extensions import EXTENSIONS
from ...model.knobs import Knobs
from ...store.sqlite import MemoryDisk, MemoryStores
from ...wire.shapes import Models
from ...wire.sigv4 import SignedRequest
from ...world import within
from ..execution_role import let_read_parameters, make_execution_role, make_task_role
from ..signing import form_headers, json_headers, signed
from .checkers import Checkers
from .net import End, Gone, Net
from .sim import Program, Sim
from .tenants import Tenant, make_tenant
from .world import EPOCH, Process, SimWorld

T = TypeVar("T")
REGION = "us-east-1"
ACCOUNT = "123456789012"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))
KEY = "AKIASIMULATED0000000"
SECRET = "not-a-secret-but-a-simulation"  # noqa: S105 both sides are made here
FIRST = Tenant(account=ACCOUNT, key=KEY, secret=SECRET)
MASTER_KEY = bytes(32)
SERVER = "server"
VERSIONS = {"ec2": "2016-11-15", "elasticloadbalancing": "2015-12-01"}
_WRONG_CLOCK = (b"RequestExpired", b"Signature expired", b"Signature not yet current")


def plan(public_pool: str) -> production.RegionPlan:
    return production.RegionPlan(
        region=REGION,
        account=ACCOUNT,
        zones=ZONES,
        public_pool=public_pool,
        one_machine=False,
        extensions=EXTENSIONS,
    )


class _Stores(MemoryStores):
    """Databases are watched by the checkers from their first moment."""

    def __init__(self, world: SimWorld, knobs: Knobs, disk: MemoryDisk, checkers: Checkers) -> None:
        super().__init__(world, knobs, disk)
        self._checkers = checkers

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        store = await super().open(shard, migrations, rebuildable=rebuildable)
        self._checkers.watch(shard)
        return store


class _Channel:
    """The gateway's `Channel` over a simulated connection."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def send(self, data: bytes) -> None:
        try:
            self._end.send(data)
        except Gone:
            raise ChannelClosed("the connection is gone") from None

    async def receive(self) -> bytes:
        try:
            return await self._end.receive()
        except Gone:
            raise ChannelClosed("the connection is gone") from None

    async def close(self, reason: str) -> None:
        del reason
        self._end.close()


class Server:
    """The control plane's program. `region` is that of the living process, None while none serves."""

    def __init__(
        self,
        sim: Sim,
        net: Net,
        disk: MemoryDisk,
        checkers: Checkers,
        *,
        models: Models,
        knobs: Knobs,
        public_pool: str = "198.18.0.0/24",
        task_roles: Sequence[str] = (),
        others: Sequence[Tenant] = (),
    ) -> None:
        """`others`: who has an account beside the first."""
        self.region: production.Region | None = None
        self.world: SimWorld | None = None
        self._sim = sim
        self._net = net
        self._disk = disk
        self._checkers = checkers
        self._models = models
        self._knobs = knobs
        self._task_roles = task_roles
        self._others = others
        self._plan = plan(public_pool)

    def program(self) -> Program:
        return Program(name=SERVER, begin=self._begin, died=self._died)

    def room(self) -> dict[str, tuple[int, ...]]:
        """Host -> (tasks, CPU, memory, disk reserved) as the living process remembers them."""
        assert self.region is not None, "nobody serves"
        hosts = [host for manager in self.region.capacities.values() for host in at_once(manager.hosts())]
        return {
            host["host_id"]: (
                host["tasks"],
                *(host["reserved"][name] for name in ("cpu_units", "memory_mib", "disk_gib")),
            )
            for host in hosts
        }

    def connected(self) -> set[str]:
        """Hosts that the living process believes to be there."""
        assert self.region is not None, "nobody serves"
        managers = self.region.capacities.values()
        return {host["host_id"] for manager in managers for host in at_once(manager.hosts()) if host["connected"]}

    def _begin(self, world: SimWorld) -> None:
        world.spawn(self._main(world), "main")

    def _died(self, process: Process) -> None:
        self.region = None
        self._disk.crash()
        self._net.died(process)

    async def _main(self, world: SimWorld) -> None:
        stores = _Stores(world, self._knobs, self._disk, self._checkers)
        credentials = Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET)
        try:
            region = await production.open_region(
                world,
                stores,
                self._plan,
                models=self._models,
                credentials=credentials,
                envelope=Envelope(MASTER_KEY, world),
                knobs=self._knobs,
            )
            await make_execution_role(region.services.identity, world, ACCOUNT)
            if self._task_roles:
                await let_read_parameters(region.services.identity, ACCOUNT)
            for role in self._task_roles:
                await make_task_role(region.services.identity, world, ACCOUNT, role)
            for tenant in self._others:
                await make_tenant(region, world, tenant, self._task_roles)
        except (Overloaded, sqlite3.Error) as error:
            # A process that cannot open its databases ends, and its supervisor tries again.
            if isinstance(error, Overloaded):
                self._sim.expected_deaths += 1  # the weather has announced the other
            world.die(f"cannot start: {error}")
            return
        region.start_loops(world)
        world.spawn(region.gateway.watch_plans(), "vpc-plans")
        world.spawn(region.gateway.watch_balancers(), "balancer-plans")
        self._net.listen(world, lambda end, url: self._accept(world, region, end, url))
        self.region, self.world = region, world

    def _accept(self, world: SimWorld, region: production.Region, end: End, url: str) -> None:
        accept = region.gateway.accept_link if url == "/link" else region.gateway.accept_bulk
        world.spawn(accept(_Channel(end)), url)


class Unanswered(Exception):
    """No answer in time: the call may have happened or not."""


class Answered(Struct, frozen=True, kw_only=True):
    status: int
    document: dict[str, Any]


class Caller:
    """Calls the front end as an SDK does, over a network on which answers get lost with the server."""

    def __init__(
        self, sim: Sim, server: Server, world: SimWorld, *, stream: str = "callers", tenant: Tenant = FIRST
    ) -> None:
        self._tenant = tenant
        self._sim = sim
        self._server = server
        self._world = world
        self._rng: random.Random = sim.stream(stream)
        self._ahead_s = 0.0  # of the own clock, as a server's refusal has taught: every SDK corrects its clock so

    async def call(self, operation: str, params: Mapping[str, Any], timeout_s: float = 10.0) -> Answered:
        """One attempt. Raises Unanswered."""
        body = msgspec.json.encode(params)
        response = self._judged(operation, await self.send(self._headers(operation, body), body, timeout_s))
        return Answered(status=response.status, document=msgspec.json.decode(response.body or b"{}"))

    async def query(
        self, operation: str, params: Mapping[str, str], timeout_s: float = 10.0, *, service: str = "ec2"
    ) -> tuple[int, bytes]:
        """One attempt of a call to EC2, or to another service of forms: status and body. Raises Unanswered."""
        body = urllib.parse.urlencode({"Action": operation, "Version": VERSIONS[service], **params}).encode()
        headers = self._signed(service, form_headers(), body)
        response = self._judged(operation, await self.send(headers, body, timeout_s))
        return response.status, bytes(response.body)

    def _judged(self, operation: str, response: Response) -> Response:
        if response.status in (400, 403) and any(word in response.body for word in _WRONG_CLOCK):
            self._sim.count("clocks-corrected")
            self._ahead_s = 0.0 if self._server.world is None else self._server.world.now() - EPOCH - self._sim.now
            raise Unanswered
        if response.status == 500:
            self._sim.fail("500", f"{operation}: {response.body!r}")
        return response

    async def send(self, headers: list[tuple[bytes, bytes]], body: bytes, timeout_s: float = 10.0) -> Response:
        """A request as it is. Raises Unanswered."""
        outcome: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._sim.loop.call_later(
            self._latency(), self._arrive, headers, body, outcome, context=self._sim.loop.outside.context
        )
        try:
            response = await within(timeout_s, outcome)
        except TimeoutError:
            raise Unanswered from None
        if response is None:
            raise Unanswered
        return response

    def _headers(self, operation: str, body: bytes) -> list[tuple[bytes, bytes]]:
        service = "logs" if operation.endswith(("LogGroup", "LogEvents")) else "ecs"
        service = "ssm" if operation.endswith("Parameter") else service
        return self._signed(service, json_headers(service, operation), body)

    def _signed(self, service: str, headers: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        now = EPOCH + self._sim.now + self._ahead_s
        return signed(
            request, key=self._tenant.key, secret=self._tenant.secret, region=REGION, service=service, now=now
        )

    def _latency(self) -> float:
        return 0.0005 + 0.003 * self._rng.random()

    def _arrive(
        self, headers: list[tuple[bytes, bytes]], body: bytes, outcome: "asyncio.Future[Response | None]"
    ) -> None:
        region, world = self._server.region, self._server.world
        if region is None or world is None:
            self._answer(outcome, None)
            return
        world.process.run(world.spawn, self._serve(world, region, headers, body, outcome), "request")

    async def _serve(
        self,
        world: SimWorld,
        region: production.Region,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        outcome: "asyncio.Future[Response | None]",
    ) -> None:
        response = await region.frontend.handle("POST", b"/", b"", headers, body)
        if world.process.effect("answer"):
            self._sim.loop.note(response.body)
            self._answer(outcome, response)

    def _answer(self, outcome: "asyncio.Future[Response | None]", response: Response | None) -> None:
        self._sim.loop.call_later(self._latency(), _settle, outcome, response, context=self._world.process.context)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that reads memory and waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited for something")


def _settle(outcome: "asyncio.Future[Response | None]", response: Response | None) -> None:
    if not outcome.done():
        outcome.set_result(response)
