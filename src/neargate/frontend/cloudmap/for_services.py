"""What a cell asks of Cloud Map for the tasks of its services. Reads the registry's memory, and has it changed.

Must not know tasks beyond their ids. Each change is remembered as an operation, as those of callers are.
"""

from functools import partial

from ...interfaces.discovery import Owner, Registered, Registration
from ...model.arn import Arn
from ...world import World
from .errors import ServiceNotFound
from .owned import mark
from .records import Instance, Outcome, Service, instance_name, outcome_name, service_arn
from .registry import CloudMapRegistry
from .room import most_of
from .tasks import task_deregistered, task_health, task_registered


class CloudMapTasks:
    """Implements TaskRegistries."""

    def __init__(self, world: World, cloud_map: CloudMapRegistry) -> None:
        self._world = world
        self._map = cloud_map

    def registered(self, owner: Owner) -> tuple[Registered, ...]:
        return tuple(
            Registered(
                registry=service_arn(self._map.region, owner.account, one.service),
                task_id=one.id,
                is_healthy=one.is_healthy,
            )
            for one in self._map.owned.of(owner)
        )

    def owners(self) -> tuple[Owner, ...]:
        return self._map.owned.owners()

    def is_registered(self, task_id: str) -> bool:
        return self._map.owned.has(task_id)

    async def register(self, owner: Owner, new: Registration) -> None:
        service = registry_named(self._map, owner.account, new.registry)
        if service is None:
            await self._map.catch_up()  # another server may have made it
            service = registry_named(self._map, owner.account, new.registry)
        if service is None:
            raise ServiceNotFound
        instance = Instance(
            account=owner.account,
            name=instance_name(service.name, new.task_id),
            service=service.name,
            id=new.task_id,
            attributes=new.attributes,
            is_healthy=new.is_healthy,
            owner=mark(owner),
        )
        outcome = self._outcome(owner, "REGISTER_INSTANCE", service.name, new.task_id)
        most = most_of(self._map.quotas, owner.account)
        await self._map.change(owner.account, partial(task_registered, new=instance, outcome=outcome, most=most))

    async def deregister(self, owner: Owner, one: Registered) -> None:
        service = _id_in(one.registry)
        outcome = self._outcome(owner, "DEREGISTER_INSTANCE", service, one.task_id)
        name = instance_name(service, one.task_id)
        decide = partial(task_deregistered, name=name, owner=mark(owner), outcome=outcome)
        await self._map.change(owner.account, decide)

    async def tell_health(self, owner: Owner, one: Registered, *, is_healthy: bool) -> None:
        name = instance_name(_id_in(one.registry), one.task_id)
        await self._map.change(owner.account, partial(task_health, name=name, owner=mark(owner), is_healthy=is_healthy))

    def _outcome(self, owner: Owner, kind: str, service: str, task_id: str) -> Outcome:
        now = self._world.now()
        found = self._map.service(owner.account, service)
        return Outcome(
            account=owner.account,
            name=outcome_name(now, self._world.random.getrandbits),
            type=kind,
            at=round(now, 3),
            targets=(("INSTANCE", task_id), ("SERVICE", service)),
            namespace="" if found is None else found.namespace,
        )


def registry_named(cloud_map: CloudMapRegistry, account: str, text: str) -> Service | None:
    """The account's service with this ARN."""
    arn = Arn.parse(text)
    if arn is None or (arn.service, arn.region, arn.account) != ("servicediscovery", cloud_map.region, account):
        return None
    return cloud_map.service(account, _id_in(text)) if arn.resource.startswith("service/") else None


def _id_in(arn: str) -> str:
    return arn.rpartition("/")[2]
