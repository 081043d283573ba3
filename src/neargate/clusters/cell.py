"""One cell of the cluster manager: its clusters, its tasks, and the loops that carry them on.

Owns the cell's database. Only puts the parts together; each part is one file beside this one. Invariant: everything a
loop acts on is derived from the database, so a cell that was killed at any moment goes on when it is opened again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..definitions.tags import Tags
from ..interfaces.retiring import RetirementRules
from ..interfaces.roles import (
    CapacityManager,
    Documents,
    LogTarget,
    RunTaskRequest,
    TaskFilter,
    TaskIdentity,
)
from ..interfaces.store import Statement, Store, StoreFactory
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.launch import TaskReport
from ..model.own_kernel import KernelGrants, NoGrants
from ..model.quotas import DefaultQuotas, QuotaValues
from ..world import World
from .calls_first import CallsFirst
from .cluster_book import ClusterBook, changed_cluster
from .cluster_providers import put_providers
from .host_boots import HostBoots
from .host_keys import HostKeys
from .image_pins import ImagePins
from .launching import Launching
from .live_spread import LiveSpread
from .operator_view import OperatorView
from .orders import Orders
from .reading import Reading
from .recording import Recorded
from .registrations import Refusals
from .releases import Releases
from .reports import ReportOutcome, Reports
from .restoring import Restoring
from .retiring import NoRules, Retiring
from .schema import MIGRATIONS
from .services.manager import CellServices, NoNetworks, ServicesWay
from .spot import Spot
from .stopping import Stopping
from .sweepers import Sweepers
from .tagging import TagChange, Tagging
from .task_counts import TaskCounts
from .task_table import TaskRow


class Cell:
    """Implements ClusterManager. Made by `open_cell`."""

    def __init__(
        self,
        world: World,
        store: Store,
        *,
        name: str,
        region: str,
        incarnation: str,
        capacities: Mapping[str, CapacityManager],
        knobs: Knobs,
        quotas: QuotaValues,
        kernels: KernelGrants,
        services_way: ServicesWay,
        retirement: RetirementRules,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.orders = Orders(store, self._holds_back)
        self._world = world
        self._store = store
        self._spread = LiveSpread()
        self._clusters = ClusterBook(world, store, region, quotas)
        self._reading = Reading(store, region, self._clusters)
        self._tagging = Tagging(store, self._clusters)
        self._releases = Releases(world, store, capacities, knobs)
        self.calls = CallsFirst(knobs)
        self.counts = TaskCounts()
        self._pins = ImagePins()
        self._reports = Reports(world, store, knobs, self.calls, self._pins, self._task_stopped, self._served)
        self._stopping = Stopping(world, store, knobs, self.orders.ring_stop, self._task_stopped, self._served)
        self.spot = self._made_spot(capacities, knobs)
        self._launching = Launching(
            world,
            store,
            region=region,
            incarnation=incarnation,
            clusters=self._clusters,
            capacities=capacities,
            spread=self._spread,
            quotas=quotas,
            kernels=kernels,
            pins=self._pins,
        )
        self.host_keys = HostKeys(world, store)
        self.boots = HostBoots(world, store, self.orders.ring_stop, self._served)
        self.services = CellServices(
            world,
            store,
            knobs,
            region=region,
            clusters=self._clusters,
            quotas=quotas,
            pins=self._pins,
            launching=self._launching,
            way=services_way,
            launched=self._tell,
            asked=self._asked_to_stop,
            ring=self.orders.ring_stop,
            freed=self._releases.wake,
        )
        self.retiring = Retiring(
            world, store, knobs, rules=retirement, stop=self._stopping.retire, served=self.services.task_changed
        )
        self.sweepers = Sweepers(world, store, capacities, knobs, self._pins, self._stopping.end_without_host)
        self._restoring = Restoring(world, store, capacities, self.sweepers)
        self.operator = OperatorView(store, self.stop_task, self.services.rest, self.services.stop_at_once)

    def _made_spot(self, capacities: Mapping[str, CapacityManager], knobs: Knobs) -> Spot:
        return Spot(
            self._world,
            self._store,
            knobs,
            capacities=capacities,
            interrupt=self._stopping.interrupt,
            go=self.orders.ring_run,
            ring=self.orders.ring_stop,
        )

    async def load(self) -> None:
        """Rebuild what is kept in memory from the database, and in the zones what they have lost."""
        await self._clusters.load()
        await self._spread.load(self._store)
        await self._pins.load(self._store)
        await self.boots.load()
        await self.host_keys.load()
        await self._restoring.run()
        await self.services.load()

    def start(self) -> None:
        """Begin the loops that carry tasks on. Each ends with the process only."""
        self._world.spawn(self._reports.run(), f"{self.name}-reports")
        self._world.spawn(self._releases.run(), f"{self.name}-releases")
        self._world.spawn(self._stopping.run(), f"{self.name}-stopping")
        self._world.spawn(self.spot.run(), f"{self.name}-spot")
        self._world.spawn(self.retiring.run(), f"{self.name}-retiring")

    def start_services(self) -> None:
        """Apart from `start`: it launches tasks by itself, and that is not before everything that takes room and
        addresses in the zones has what is its own."""
        self._world.spawn(self.services.run(), f"{self.name}-services")
        self._world.spawn(self.services.registries.run(), f"{self.name}-registries")

    def start_sweepers(self, is_retired: Callable[[str], bool]) -> None:
        """Apart from `start`, so that tests and the simulator may sweep when they choose.

        `is_retired`: whether a revision, by its ARN, is known and can be run no more.
        """
        self._world.spawn(self.sweepers.run(is_retired), f"{self.name}-sweepers")

    async def create_cluster(self, account: str, region: str, name: str, settings: dict[str, Any]) -> bytes:
        del region  # a cell belongs to one region
        return await self._clusters.create(account, name, settings)

    async def describe_clusters(self, account: str, names: Sequence[str], include: frozenset[str]) -> Documents:
        return await self._clusters.describe(account, names, include)

    async def list_clusters(self, account: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        return self._clusters.page(account, limit, after)

    async def delete_cluster(self, account: str, name: str) -> bytes:
        return await self._clusters.delete(account, name)

    async def change_cluster(self, account: str, name: str, changes: Mapping[str, Any]) -> bytes:
        return await self._clusters.change(account, name, lambda cluster: changed_cluster(cluster, changes))

    async def put_cluster_providers(self, account: str, name: str, changes: Mapping[str, Any]) -> bytes:
        return await put_providers(self._store, self._clusters, account, name, changes)

    async def cluster_tags(self, account: str, name: str) -> Tags:
        return self._tagging.of_cluster(account, name)

    async def change_cluster_tags(self, account: str, name: str, change: TagChange) -> None:
        await self._tagging.change_cluster(account, name, change)

    async def task_tags(self, account: str, cluster: str, task_id: str) -> Tags:
        return await self._tagging.of_task(account, cluster, task_id)

    async def change_task_tags(self, account: str, cluster: str, task_id: str, change: TagChange) -> None:
        await self._tagging.change_task(account, cluster, task_id, change)

    async def tags_on_host(self, host_id: str, task_id: str) -> Tags | None:
        """For the task's metadata; None unless that task is placed on that host."""
        return await self._tagging.on_host(host_id, task_id)

    async def run_task(self, request: RunTaskRequest) -> Documents:
        with self.calls.waiting():
            answer, recorded = await self._launching.run(request)
        self.counts.answered(answer, is_repeated=recorded is None and bool(answer.documents))
        if recorded is not None:
            self._tell(recorded)
        return answer

    def _tell(self, recorded: Recorded) -> None:
        """Those who carry on what was recorded."""
        self.counts.launched += len(recorded.documents)
        for host_id, order in recorded.orders:
            self.orders.ring_run(host_id, order)
        if len(recorded.orders) < len(recorded.documents):
            self._stopping.wake()
        if recorded.waits:
            self.spot.wake()

    async def stop_task(self, account: str, cluster: str, task_id: str, reason: str | None) -> bytes:
        self._clusters.named(account, cluster)
        return await self._stopping.stop_task(account, cluster, task_id, reason)

    async def describe_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], include_tags: bool
    ) -> Documents:
        return await self._reading.describe_tasks(account, cluster, task_ids, include_tags)

    async def list_tasks(
        self, account: str, cluster: str, wanted: TaskFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        return await self._reading.list_tasks(account, cluster, wanted, limit, after)

    async def explain_task(self, task_id: str) -> dict[str, Any]:
        told = await self._reading.explain_task(task_id)
        return {**told, "retirement": await self.retiring.explain(task_id)}

    async def log_target(self, host_id: str, task_id: str, container: str) -> LogTarget | None:
        """Which stream a container may write: known here, so that an agent cannot choose."""
        return await self._reading.log_target(host_id, task_id, container)

    async def place(self, task_id: str) -> tuple[str, str] | None:
        """(host, incarnation) of a task that has not stopped."""
        return await self._reading.place(task_id)

    async def task_identity(self, host_id: str, task_id: str) -> TaskIdentity | None:
        return await self._reading.task_identity(host_id, task_id)

    def submit_report(self, host_id: str, report: TaskReport, answer: Callable[[ReportOutcome], None]) -> None:
        """`answer` is called, in the loop, when the outcome is known; it must not raise."""
        self._reports.submit(host_id, report, answer)

    @property
    def reports_waiting(self) -> int:
        return self._reports.waiting

    @property
    def refusals(self) -> Refusals:
        """Of sandboxes and hosts that came to register."""
        return self._reports.refusals

    def _served(self, tasks: Sequence[TaskRow]) -> None:
        self.services.tasks_changed(tasks)

    def _holds_back(self, task_id: str) -> bool:
        return self.services.registries.holds_back(task_id)

    def _asked_to_stop(self, tasks: Sequence[TaskRow]) -> None:
        for host_id in dict.fromkeys(task.host for task in tasks):
            self.orders.ring_stop(host_id)
        if tasks:
            self._stopping.wake()

    def _task_stopped(self, tasks: Sequence[TaskRow]) -> None:
        self.counts.ended(tasks)
        for task in tasks:
            if task.service is None:
                self._spread.remove((task.account, task.cluster, task.family), task.zone)
        self._releases.wake()
        self.spot.task_stopped()


async def open_cell(
    world: World,
    stores: StoreFactory,
    *,
    name: str = "cell-0",
    region: str,
    capacities: Mapping[str, CapacityManager],
    knobs: Knobs = DEFAULT_KNOBS,
    quotas: QuotaValues | None = None,
    services_way: ServicesWay | None = None,
    kernels: KernelGrants | None = None,
    retirement: RetirementRules | None = None,
) -> Cell:
    """Open (or make) the cell's database and start its loops, but for the sweepers (`start_sweepers`).

    `capacities`: zone name -> its capacity manager; zones may share one. `services_way`: without it, services find no
    subnets.
    """
    store = await stores.open(name, MIGRATIONS)
    incarnation = await _incarnation(world, store)
    cell = Cell(
        world,
        store,
        name=name,
        region=region,
        incarnation=incarnation,
        capacities=capacities,
        knobs=knobs,
        quotas=quotas or DefaultQuotas(),
        kernels=kernels or NoGrants(),
        services_way=services_way or ServicesWay(networks=NoNetworks()),
        retirement=retirement or NoRules(),
    )
    await cell.load()
    cell.start()
    return cell


async def _incarnation(world: World, store: Store) -> str:
    """The database's own name, drawn when it was made: a stop order counts only for tasks of the same one."""
    fresh = f"{world.random.getrandbits(128):032x}"
    await store.write(
        [
            Statement(
                "INSERT INTO cell (one, incarnation, created_at) VALUES (1, ?, ?) ON CONFLICT (one) DO NOTHING",
                (fresh, world.now()),
            )
        ]
    )
    rows = await store.read("SELECT incarnation FROM cell WHERE one = 1")
    return str(rows[0][0])
