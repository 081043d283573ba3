"""The region's namespaces, services and instances: durable records, found by id and by name, and the zones of VPCs.

Must not know operations, nor who may ask. Invariants: what a change returned is durable; reads are from memory; whoever
listens hears of every VPC whose zones became others; `generation` is another number whenever the zones are.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ...interfaces.store import Overloaded, Store
from ...log import get_logger
from ...model.errors import ServiceUnavailable
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...model.network import DnsZone
from ...model.quotas import DefaultQuotas, QuotaValues
from ...world import World
from ..regional.shelves import Kept, OnShelves, Shelf, Shelves, migration
from .feeds import Feed
from .instances import settled
from .owned import OwnedInstances
from .records import Instance, Namespace, Outcome, Service, outcome_named
from .zones import zone

MIGRATIONS = (migration("cloud_map"),)
_KINDS = (Namespace, Service, Instance, Outcome)
_log = get_logger(__name__)


async def open_cloud_map(
    world: World, store: Store, *, region: str, knobs: Knobs = DEFAULT_KNOBS, quotas: QuotaValues | None = None
) -> "CloudMapRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = CloudMapRegistry(world, store, region=region, knobs=knobs, quotas=quotas)
    await registry.load()
    return registry


class CloudMapRegistry(OnShelves):
    """Reads are from memory and never wait; what a change returned is durable."""

    def __init__(
        self,
        world: World,
        store: Store,
        *,
        region: str,
        knobs: Knobs = DEFAULT_KNOBS,
        quotas: QuotaValues | None = None,
    ) -> None:
        self.region = region
        self.knobs = knobs
        self.quotas: QuotaValues = quotas or DefaultQuotas()
        self._world = world
        self._of_service: dict[str, dict[str, Instance]] = {}  # by service, by id
        self._in_vpc: dict[str, dict[str, str]] = {}  # accounts of private namespaces, by VPC, by namespace
        self._by_name: dict[tuple[str, str], str] = {}  # service, by namespace and name
        self.owned = OwnedInstances()
        self._settling: dict[tuple[str, str], float] = {}  # by account and instance: when
        self._some_settle = asyncio.Event()
        self._listeners: list[Callable[[str, str], None]] = []
        self._feeds: list[Feed] = []
        super().__init__(Shelves(world, store, "cloud_map", _KINDS, self._changed))

    # -- finding

    def namespace(self, account: str, name: str) -> Namespace | None:
        return self.shelf(account).find(Namespace, name)

    def namespaces(self, account: str) -> list[Namespace]:
        """In order of ids."""
        return list(self.shelf(account).all(Namespace))

    def service(self, account: str, name: str) -> Service | None:
        return self.shelf(account).find(Service, name)

    def services(self, account: str) -> list[Service]:
        """In order of ids."""
        return list(self.shelf(account).all(Service))

    def instances(self, service: Service) -> list[Instance]:
        """In order of ids."""
        found = self._of_service.get(service.name, {})
        return [found[name] for name in sorted(found)]

    def instance(self, service: Service, instance_id: str) -> Instance | None:
        return self._of_service.get(service.name, {}).get(instance_id)

    def operation(self, account: str, operation_id: str) -> Outcome | None:
        name = outcome_named(operation_id)
        return None if name is None else self.shelf(account).find(Outcome, name)

    def operations(self, account: str) -> list[Outcome]:
        """In order of time."""
        return list(self.shelf(account).all(Outcome))

    def named(self, account: str, namespace: str, service: str) -> tuple[Namespace | None, Service | None]:
        """By a namespace's HTTP name and a service's name."""
        found = next((one for one in self.shelf(account).all(Namespace) if one.http_name == namespace), None)
        name = None if found is None else self._by_name.get((found.name, service))
        return found, None if name is None else self.service(account, name)

    # -- names of VPCs

    def zones_of(self, vpc_id: str) -> tuple[DnsZone, ...]:
        """What the resolvers of a VPC are to know."""
        found = []
        for name, account in sorted(self._in_vpc.get(vpc_id, {}).items()):
            namespace = self.namespace(account, name)
            if namespace is not None:
                services = [one for one in self.services(account) if one.namespace == name]
                found.append(zone(namespace, [(one, self.instances(one)) for one in services]))
        return tuple(found)

    @property
    def generation(self) -> int:
        """It grows with every change, also with those that no name shows, and never falls."""
        return sum(self.shelf(account).generation for account in self._shelves.accounts())

    def listen(self, listener: Callable[[str, str], None]) -> None:
        """It is told (account, VPC) where zones became others, when they are durable."""
        self._listeners.append(listener)

    def changes(self) -> Feed:
        """Ids of VPCs whose zones became others after this call; several changes may be told as one."""
        return Feed(self._feeds)

    # -- changes

    async def run(self) -> None:
        """Has told health statuses hold when their time has come. Never returns."""
        while True:
            if not self._settling:
                self._some_settle.clear()
                await self._some_settle.wait()
            due = min(self._settling.values()) - self._world.now()
            if due > 0:
                await self._world.sleep(due)
            await self._settle()

    async def _settle(self) -> None:
        now = self._world.now()
        for account in sorted({account for (account, _), at in self._settling.items() if at <= now}):
            try:
                await self.change(account, partial(settled, now=now))
            except (Overloaded, ServiceUnavailable):
                _log.warning("a health status of Cloud Map waits: the region's database has too much to do")
                await self._world.sleep(self.knobs.cloud_map_retry_s)

    def _changed(self, shelf: Shelf, put: Sequence[Kept], drop: Sequence[Kept]) -> None:
        told = self._vpcs_of(shelf.account, [*drop, *put])
        for record in drop:
            self._forget(record)
        for record in put:
            self._note(record)
        if self._settling:
            self._some_settle.set()
        for vpc_id in sorted(told | self._vpcs_of(shelf.account, put)):
            for listener in self._listeners:
                listener(shelf.account, vpc_id)
            for feed in self._feeds:
                feed.tell(vpc_id)

    def _forget(self, record: Kept) -> None:
        if isinstance(record, Instance):
            self._of_service.get(record.service, {}).pop(record.id, None)
            self.owned.forget(record)
            self._settling.pop((record.account, record.name), None)
        elif isinstance(record, Service):
            self._of_service.pop(record.name, None)
            self._by_name.pop((record.namespace, record.called), None)
        elif isinstance(record, Namespace) and record.vpc is not None:
            beside = self._in_vpc.get(record.vpc, {})
            beside.pop(record.name, None)
            if not beside:
                self._in_vpc.pop(record.vpc, None)

    def _note(self, record: Kept) -> None:
        if isinstance(record, Instance):
            self._of_service.setdefault(record.service, {})[record.id] = record
            self.owned.note(record)
            if record.settling is None:
                self._settling.pop((record.account, record.name), None)
            else:
                self._settling[record.account, record.name] = record.settling.at
        elif isinstance(record, Service):
            self._by_name[record.namespace, record.called] = record.name
        elif isinstance(record, Namespace) and record.vpc is not None:
            self._in_vpc.setdefault(record.vpc, {})[record.name] = record.account

    def _vpcs_of(self, account: str, records: Iterable[Kept]) -> set[str]:
        """Where names may be others by what became of these records."""
        found = set()
        for record in records:
            if isinstance(record, Namespace):
                namespace: Namespace | None = record
            elif isinstance(record, Service):
                namespace = self.namespace(account, record.namespace)
            elif isinstance(record, Instance):
                service = self.service(account, record.service)
                namespace = None if service is None else self.namespace(account, service.namespace)
            else:
                continue
            if namespace is not None and namespace.vpc is not None:
                found.add(namespace.vpc)
        return found
