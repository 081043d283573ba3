"""A cell with real capacity managers over databases in memory, which can be killed and opened again.

For the cell's tests: zones a, b, c with one host each, a registered definition, and a clock that can be moved on.
"""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ..capacity.manager import Capacity, open_capacity
from ..capacity.own_hosts import DRAINING, GIVEN_UP, HostPools
from ..clusters.cell import Cell, open_cell
from ..clusters.reports import ReportOutcome
from ..clusters.services.manager import ServicesWay
from ..clusters.services.registries import NoRegistries
from ..clusters.services.starting import LaunchRate
from ..interfaces.discovery import TaskRegistries
from ..interfaces.retiring import Software
from ..interfaces.roles import Documents, RunTaskRequest
from ..interfaces.store import Row, Statement, Store, Value
from ..model.capacity import HostCapacity, HostFacts, SubnetView
from ..model.knobs import Knobs
from ..model.launch import ContainerReport, TaskReport
from ..store.sqlite import MemoryDisk, MemoryStores
from ..world import OsWorld
from .fake_targets import FakeTargets
from .host_proofs import key_of

REGION = "us-east-1"
ACCOUNT = "123456789012"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
DEFINITION: dict[str, Any] = {
    "taskDefinitionArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1",
    "family": "web",
    "revision": 1,
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {"name": "web", "image": "registry.example/web:1", "cpu": 128, "memory": 256, "essential": True},
        {"name": "side", "image": "registry.example/side:1", "cpu": 0, "essential": False},
    ],
}


class Killed(Exception):
    """The process 'died' here: what follows must not rely on anything but the databases."""


class MovedWorld(OsWorld):
    """The real world with a clock that a test moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


class FaultyStore:
    """A store whose writes can be told to die before or after they take effect.

    `claims`: of the tasks that were recorded, id -> capacity id, as their hosts know it from their orders.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.claims: dict[str, str] = {}
        self._claims_read = 0
        self.kill_before: Callable[[Sequence[Statement]], bool] = lambda _: False
        self.kill_after: Callable[[Sequence[Statement]], bool] = lambda _: False
        self.dead: asyncio.Event | None = None

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        if self.kill_before(statements):
            await self._die()
        rows = await self._store.write(statements)
        if self.kill_after(statements):
            await self._die()
        if any("INSERT INTO tasks" in statement.sql for statement in statements):
            await self.read_claims()
        return rows

    async def read_claims(self) -> None:
        query = "SELECT n, id, capacity_id FROM tasks WHERE n > ? ORDER BY n"
        for n, task_id, capacity_id in await self._store.read(query, (self._claims_read,)):
            self.claims[task_id], self._claims_read = capacity_id, n

    async def _die(self) -> None:
        if self.dead is None:
            raise Killed
        self.dead.set()
        await asyncio.Event().wait()

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        return await self._store.read(sql, params)

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._store.on_commit(callback)

    async def close(self) -> None:
        await self._store.close()


class FaultyStores(MemoryStores):
    """Wraps the cell's store and the region's; the last ones opened are `cell_store` and `region_store`."""

    cell_store: FaultyStore
    region_store: FaultyStore

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        store = await super().open(shard, migrations, rebuildable=rebuildable)
        if shard == "region":
            self.region_store = FaultyStore(store)
            return self.region_store
        if not shard.startswith("cell"):
            return store
        self.cell_store = FaultyStore(store)
        return self.cell_store


def subnet(zone: str, number: int = 0, cidr: str | None = None) -> SubnetView:
    place = ZONES.index(zone)
    return SubnetView(
        subnet_id=f"subnet-0{zone[-1]}{number}",
        vpc_id="vpc-0main",
        zone=zone,
        zone_id=f"use1-az{place + 1}",
        cidr=cidr or f"10.{place * 8 + number}.0.0/16",
    )


def run_request(**changes: Any) -> RunTaskRequest:
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "region": REGION,
        "cluster": "default",
        "definition": DEFINITION,
        "definition_tags": (),
        "count": 1,
        "launch_type": "FARGATE",
        "providers": (),
        "platform_version": "1.4.0",
        "subnets": tuple(subnet(zone) for zone in ZONES),
        "security_groups": ("sg-0main",),
        "assign_public_ip": False,
        "overrides": {},
        "group": None,
        "started_by": None,
        "tags": (),
        "propagate_tags": None,
        "managed_tags": False,
        "enable_execute_command": False,
        "client_token": None,
        "request_fingerprint": "one",
    }
    return RunTaskRequest(**(values | changes))


def host_of(zone: str) -> str:
    return f"host-{zone[-1]}"


class RigNetworks:
    """One subnet in each zone, but for those in `gone`. `own`: elastic addresses of services, by service."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.own: dict[str, tuple[str, ...]] = {}

    def subnets(self, account: str, subnet_ids: Sequence[str]) -> tuple[SubnetView, ...]:
        del account
        found = {view.subnet_id: view for view in (subnet(zone) for zone in ZONES)}
        return tuple(found[i] for i in subnet_ids if i in found and i not in self.gone)

    def missing_groups(self, account: str, group_ids: Sequence[str]) -> tuple[str, ...]:
        del account
        return tuple(group for group in group_ids if group in self.gone)

    def default_groups(self, account: str, vpc_id: str) -> tuple[str, ...]:
        del account, vpc_id
        return ("sg-0main",)

    def addresses(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        del account, cluster
        return self.own.get(service, ())

    async def addresses_now(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        return self.addresses(account, cluster, service)


class RigRules:
    """Who retires, as a region would say. `pools`: of the process that runs now."""

    def __init__(self) -> None:
        self.pools = HostPools()
        self.software: frozenset[Software] = frozenset()
        self.waits_s: dict[str, float] = {}

    def emptied(self) -> frozenset[str]:
        return self.pools.said(DRAINING)

    def given_up(self) -> frozenset[str]:
        return self.pools.said(GIVEN_UP)

    def rolled_out(self) -> frozenset[Software]:
        return self.software

    def wait_s(self, account: str) -> float:
        return self.waits_s.get(account, 7 * 86_400.0)


class CellRig:
    """`kill` and `reopen` are a process's end and its next start over the same disk."""

    def __init__(self, knobs: Knobs, host: HostCapacity) -> None:
        self.knobs = knobs
        self.disk = MemoryDisk()
        self.world = MovedWorld()
        self.networks = RigNetworks()
        self.launch_rate: LaunchRate | None = None
        self.targets = FakeTargets()
        self.rules = RigRules()
        self.open_registries: Callable[[], Awaitable[TaskRegistries]] = _no_registries
        self._host = host
        self.stores: FaultyStores
        self.cell: Cell
        self.capacities: dict[str, Capacity] = {}

    async def open(self) -> None:
        self.targets.restarted()
        self.stores = FaultyStores(self.world, self.knobs, self.disk)
        words = self.rules.pools.words
        self.rules.pools = HostPools()
        await self.rules.pools.become({}, words)
        for n, zone in enumerate(ZONES):
            self.capacities[zone] = await open_capacity(
                self.world,
                self.stores,
                shard=f"zone-{zone}",
                region=REGION,
                zones=(zone,),
                public_pool=f"198.18.{n}.0/24",
                knobs=self.knobs,
                pools=self.rules.pools,
            )
            await self.capacities[zone].register_host(
                HostFacts(host_id=host_of(zone), boot_id="1", capacity=self._host, sandbox="simulated", zone=zone)
            )
        self.cell = await open_cell(
            self.world,
            self.stores,
            region=REGION,
            capacities=self.capacities,
            knobs=self.knobs,
            services_way=ServicesWay(
                networks=self.networks,
                targets=self.targets,
                registries=await self.open_registries(),
                rate=self.launch_rate,
            ),
            retirement=self.rules,
        )
        await self.stores.cell_store.read_claims()
        self.cell.start_services()
        for zone in ZONES:
            await self.cell.host_keys.admit(host_of(zone), key_of(host_of(zone)).public)

    async def say(self, host_id: str, word: str = "") -> None:
        """The operator's word of a host; without one, none holds any more."""
        others = {host: said for host, said in self.rules.pools.words.items() if host != host_id}
        await self.rules.pools.become({}, {**others, host_id: word} if word else others)
        self.cell.retiring.wake()

    async def kill(self) -> None:
        """Every loop of the process ends here; nothing of its memory is kept."""
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        with warnings.catch_warnings():
            # Coroutines that were spawned and never began die unawaited: that is what a kill does.
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            del others
            gc.collect()
        for shard in list(self.disk.databases):
            # A write that a thread had begun is a write that reached the disk: the thread cannot be killed.
            await self.world.offload(f"store-{shard}", _nothing)
        self.disk.crash()

    def kill_at(
        self, when: str, moment: Callable[[Sequence[Statement]], bool], *, of_region: bool = False
    ) -> asyncio.Event:
        """`when`: before or after the cell's (or the region's) first such write takes effect; who writes then gets no
        further.

        The event: the process is as good as dead.
        """
        store = self.stores.region_store if of_region else self.stores.cell_store
        setattr(store, f"kill_{when}", moment)
        store.dead = asyncio.Event()
        return store.dead

    async def reopen(self) -> None:
        """The next process over the same disk."""
        await self.kill()
        await self.open()

    async def run(self, **changes: Any) -> list[dict[str, Any]]:
        """RunTask that must succeed whole."""
        answer = await self.cell.run_task(run_request(**changes))
        assert not answer.failures, answer.failures
        return parsed(answer)

    async def described(self, task_id: str) -> dict[str, Any]:
        answer = await self.cell.describe_tasks(ACCOUNT, "default", [task_id], True)
        [document] = parsed(answer)
        return document

    async def report(self, document: dict[str, Any], status: str, seq: int, **changes: Any) -> None:
        await self.judged(host_of(document["availabilityZone"]), self.task_report(document, status, seq, **changes))

    async def judged(self, host_id: str, report: TaskReport) -> ReportOutcome:
        """What the cell makes of a report, as the gateway hears it."""
        outcome: asyncio.Future[ReportOutcome] = asyncio.get_running_loop().create_future()
        self.cell.submit_report(host_id, report, outcome.set_result)
        return await outcome

    def task_report(self, document: dict[str, Any], status: str, seq: int, **changes: Any) -> TaskReport:
        values: dict[str, Any] = {
            "task_id": id_of(document),
            "incarnation": self.cell.incarnation,
            "capacity_id": self.capacity_id(id_of(document)),
            "report_seq": seq,
            "known_status": status,
        }
        return TaskReport(**(values | changes))

    def capacity_id(self, task_id: str) -> str:
        """As it was recorded with the task; empty when no such task was."""
        return self.stores.cell_store.claims.get(task_id, "")

    async def reserved_tasks(self) -> int:
        """How many claims all zones hold."""
        return sum([host["tasks"] for zone in self.capacities.values() for host in await zone.hosts()])

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait on state; the test's own bound ends a wait that is in vain."""
        while not await holds():
            await self.world.sleep(0.002)


async def _no_registries() -> TaskRegistries:
    return NoRegistries()


def _nothing() -> None:
    """Runs behind what a lane is still doing."""


def id_of(document: dict[str, Any]) -> str:
    return str(document["taskArn"]).rpartition("/")[2]


def parsed(answer: Documents) -> list[dict[str, Any]]:
    return [msgspec.json.decode(document) for document in answer.documents]


def running(name: str, **changes: Any) -> ContainerReport:
    return ContainerReport(**({"name": name, "known_status": "RUNNING"} | changes))


def in_cell(
    body: Callable[[CellRig], Awaitable[None]],
    *,
    knobs: Knobs | None = None,
    host: HostCapacity | None = None,
) -> None:
    """Run `body` with an open cell that has the cluster `default`, bounded in time."""

    async def main() -> None:
        rig = CellRig(
            knobs or Knobs(cpu_overcommit=1.0, disk_overcommit=1.0),
            host or HostCapacity(cpu_units=1_000_000, memory_mib=1_000_000, disk_gib=1_000_000),
        )
        await rig.open()
        await rig.cell.create_cluster(ACCOUNT, REGION, "default", {})
        async with asyncio.timeout(60):  # in this task: `reopen` ends all others
            await body(rig)
            await rig.kill()

    asyncio.run(main())
