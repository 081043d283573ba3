"""The services of a cell: implements ServiceManager, and only puts the parts of this package together."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ...interfaces.balancing import TargetGroupView, TargetRef, Targets, TargetState
from ...interfaces.discovery import TaskRegistries
from ...interfaces.roles import Documents, TagChange, TagPairs
from ...interfaces.services import (
    DeploymentFilter,
    NewService,
    ServiceChange,
    ServiceFilter,
    ServiceNetworks,
)
from ...interfaces.store import Store
from ...model.arn import service_arn
from ...model.balancing import NOT_REGISTERED, UNUSED
from ...model.capacity import SubnetView
from ...model.errors import InvalidParameter, ServiceNotFound
from ...model.knobs import Knobs
from ...model.quotas import QuotaValues
from ...world import World
from ..cluster_book import ClusterBook
from ..image_pins import ImagePins
from ..launching import Launching
from ..recording import Recorded
from ..task_table import TaskRow
from .changes import Changes
from .loop import ServiceLoop
from .overview import last_stopped
from .protection import Protection
from .reading import ServiceReading
from .registries import NoRegistries, RegistryLane
from .snapshot import Snapshots, Templates
from .starting import LaunchRate, Starting
from .stopping_deployments import StoppingDeployments
from .tables import Key, services_named
from .target_rows import tasks_with_targets
from .targets import TargetLane, waiting

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NoNetworks:
    """Of a cell that was opened without a region: no subnet is ever found."""

    def subnets(self, account: str, subnet_ids: Sequence[str]) -> tuple[SubnetView, ...]:
        del account, subnet_ids
        return ()

    def missing_groups(self, account: str, group_ids: Sequence[str]) -> tuple[str, ...]:
        del account, group_ids
        return ()

    def default_groups(self, account: str, vpc_id: str) -> tuple[str, ...]:
        del account, vpc_id
        return ()

    def addresses(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        del account, cluster, service
        return ()

    async def addresses_now(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        return self.addresses(account, cluster, service)


class NoTargets:
    """Of a cell that was opened without a region: there is no target group."""

    def group(self, account: str, arn: str) -> TargetGroupView | None:
        del account, arn
        return None

    async def register(self, account: str, targets: Sequence[TargetRef]) -> tuple[TargetRef, ...]:
        del account
        return tuple(targets)

    async def deregister(self, account: str, targets: Sequence[TargetRef]) -> None:
        del account, targets

    def state(self, account: str, target: TargetRef) -> TargetState:
        del account, target
        return TargetState(state=UNUSED, reason=NOT_REGISTERED, is_gone=True)

    def on_change(self, listener: Callable[[str, Sequence[str]], None]) -> None:
        del listener


class ServicesWay(Struct, frozen=True, kw_only=True):
    """What services need of the region; `rate`: the account's of launches (None: there is none)."""

    networks: ServiceNetworks
    targets: Targets = NoTargets()
    registries: TaskRegistries = NoRegistries()
    rate: LaunchRate | None = None


class CellServices:
    """`launched` is told of tasks that were recorded, `asked` of tasks that are to stop; `ring` of hosts with tasks to
    stop (now that they left Cloud Map and load balancers), `freed` when what stopped may give back what it had."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        region: str,
        clusters: ClusterBook,
        quotas: QuotaValues,
        pins: ImagePins,
        launching: Launching,
        way: ServicesWay,
        launched: Callable[[Recorded], None],
        asked: Callable[[Sequence[TaskRow]], None],
        ring: Callable[[str], None],
        freed: Callable[[], None],
    ) -> None:
        self._store = store
        self._world = world
        self._asked = asked
        self._region = region
        templates = Templates(store)
        starting = Starting(
            world,
            store,
            knobs,
            launching=launching,
            networks=way.networks,
            launched=launched,
            rate=way.rate,
        )
        self.registries = RegistryLane(
            world, store, knobs, region=region, registries=way.registries, templates=templates, free=ring
        )
        self._loop = ServiceLoop(
            world,
            store,
            knobs,
            snapshots=Snapshots(world, store, knobs, way.networks, templates),
            starting=starting,
            asked=self._asked_to_stop,
        )
        self._lane = TargetLane(
            world,
            store,
            knobs,
            targets=way.targets,
            served=self._task_changed,
            ring=ring,
            freed=freed,
        )
        self._changes = Changes(
            world,
            store,
            knobs,
            region=region,
            clusters=clusters,
            quotas=quotas,
            templates=templates,
            changed=self._changed,
        )
        self._reading = ServiceReading(store, region=region, clusters=clusters, templates=templates, pins=pins)
        self._protection = Protection(world, store, region=region, clusters=clusters, changed=self._loop.task_changed)
        self._stopping = StoppingDeployments(world, store, reading=self._reading, changed=self._loop.due.wake)

    async def load(self) -> None:
        await self._loop.load()
        await self._lane.load()
        await self.registries.load()

    async def run(self) -> None:
        """Never returns."""
        self._world.spawn(self._lane.run(), "service-targets")
        await self._loop.run()

    async def turn(self, account: str, cluster: str, name: str) -> float | None:
        """One look at a service, for tests that want each of them; see ServiceLoop.turn."""
        return await self._loop.turn((account, cluster, name))

    def rest(self) -> None:
        """All tasks are to stop; see ServiceLoop.rest."""
        self._loop.rest()

    async def stop_at_once(self) -> None:
        """Tasks that are to stop wait for no load balancer."""
        await self._lane.hold_nobody()

    def tasks_changed(self, rows: Sequence[TaskRow]) -> None:
        self._loop.tasks_changed(rows)
        self._lane.tasks_changed(rows)
        for row in rows:
            if row.service is not None:
                self.registries.task_changed((row.account, row.cluster, row.service))

    def task_changed(self, key: Key) -> None:
        """What is decided on of one of its tasks, which no host's report tells."""
        self._loop.task_changed(key)

    def _task_changed(self, key: Key) -> None:
        """By the lane of targets: a task that has become one is RUNNING, of which no host's report tells."""
        self._loop.task_changed(key)
        self.registries.task_changed(key)

    def _asked_to_stop(self, rows: Sequence[TaskRow]) -> None:
        """Their orders to stop wait already where they must; the sooner they are no targets and have no names, the
        sooner they go."""
        self._lane.tasks_changed(rows)
        self._asked(rows)
        for row in rows:
            if row.service is not None:
                self.registries.wake((row.account, row.cluster, row.service))

    def _changed(self, key: Key) -> None:
        self._loop.due.wake(key)
        self.registries.wake(key)

    # -- ServiceManager

    async def create_service(self, new: NewService) -> bytes:
        return await self._shown(await self._changes.create(new))

    async def update_service(self, account: str, cluster: str, name: str, change: ServiceChange) -> bytes:
        await self._changes.update((account, cluster, name), change)
        return await self._shown((account, cluster, name))

    async def delete_service(self, account: str, cluster: str, name: str, *, force: bool) -> bytes:
        await self._changes.delete((account, cluster, name), force=force)
        return await self._shown((account, cluster, name))

    async def describe_services(
        self, account: str, cluster: str, names: Sequence[str], *, include_tags: bool
    ) -> Documents:
        return await self._reading.describe(account, cluster, names, include_tags=include_tags)

    async def list_services(
        self, account: str, cluster: str, wanted: ServiceFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        return await self._reading.page(account, cluster, wanted, limit, after)

    async def service_tags(self, account: str, cluster: str, name: str) -> TagPairs:
        return await self._changes.tags((account, cluster, name))

    async def change_service_tags(self, account: str, cluster: str, name: str, change: TagChange) -> None:
        await self._changes.change_tags((account, cluster, name), change)

    async def list_service_deployments(
        self, account: str, cluster: str, name: str, wanted: DeploymentFilter, limit: int, after: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        return await self._reading.page_of_records((account, cluster, name), wanted, limit, after)

    async def describe_service_deployments(self, account: str, arns: Sequence[str]) -> Documents:
        return await self._reading.describe_records(account, arns)

    async def describe_service_revisions(self, account: str, arns: Sequence[str]) -> Documents:
        return await self._reading.describe_revisions(account, arns)

    async def stop_service_deployment(self, account: str, arn: str, stop_type: str) -> str:
        return await self._stopping.stop(account, arn, stop_type)

    async def task_protection(self, account: str, cluster: str, task_ids: Sequence[str]) -> Documents:
        return await self._protection.of(account, cluster, task_ids)

    async def protect_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], *, enabled: bool, expires_in_minutes: int
    ) -> Documents:
        return await self._protection.protect(
            account, cluster, task_ids, enabled=enabled, expires_in_minutes=expires_in_minutes
        )

    async def explain_service(
        self, name: str, *, cluster: str | None = None, account: str | None = None
    ) -> dict[str, Any]:
        rows = await services_named(self._store, name, cluster, account)
        if not rows:
            raise ServiceNotFound
        if len(rows) > 1:
            arns = ", ".join(service_arn(self._region, *row.key) for row in rows)
            raise InvalidParameter(f"several services have that name: {arns}")
        row = rows[0]
        state = row.remembered()
        return {
            "service": _decode(await self._reading.shown(row)),
            "is_steady": state.is_steady,
            "rebalancing": state.rebalancing,
            "place_failures": state.place_failures,
            "place_retry_at": state.place_retry_at,
            "start_failures": {
                one.row.id: {"rounds": one.row.decided.start_failures, "retry_at": one.row.decided.retry_at}
                for one in await self._reading.deployments(row)
                if one.row.decided.start_failures
            },
            "blocking": msgspec.to_builtins(await self._loop.blocking(row.key)),
            "targets": waiting(await tasks_with_targets(self._store, row.key)),
            "target_faults": self._lane.faults(row.key),
            "stopped": await last_stopped(self._store, row.key),
            "looked_at_in_s": self._loop.due.wakes_in_s(row.key),
        }

    async def _shown(self, key: Key) -> bytes:
        row = await self._changes.found(key)
        return await self._reading.shown(row)
