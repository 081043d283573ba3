"""A cell rig whose region has a Cloud Map of its own, over the same disk: what is registered there outlives kills.

For tests of services with a service registry. Owns a namespace with two services: of type A, and SRV.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ..frontend.cloudmap.for_services import CloudMapTasks
from ..frontend.cloudmap.instances import registered
from ..frontend.cloudmap.records import (
    MULTIVALUE,
    PRIVATE,
    Dns,
    Instance,
    Namespace,
    Outcome,
    Service,
    instance_name,
    outcome_name,
    service_arn,
)
from ..frontend.cloudmap.registry import MIGRATIONS, CloudMapRegistry, open_cloud_map
from ..frontend.cloudmap.room import most_of
from ..frontend.regional.shelves import Change, Kept
from ..interfaces.discovery import TaskRegistries
from .cell_rig import ACCOUNT, REGION, CellRig
from .service_rig import template

VPC, NAMESPACE = "vpc-0main", "ns-1"
A, SRV = "srv-a", "srv-srv"


class RegistryRig:
    """Of a rig that is open: its process ends, and the next one has Cloud Map."""

    def __init__(self, rig: CellRig) -> None:
        self._rig = rig
        self.map: CloudMapRegistry

    async def open(self) -> "RegistryRig":
        self._rig.open_registries = self._open
        await self._rig.reopen()
        return self

    async def _open(self) -> TaskRegistries:
        store = await self._rig.stores.open("region", MIGRATIONS)
        self.map = await open_cloud_map(self._rig.world, store, region=REGION)
        if self.map.namespace(ACCOUNT, NAMESPACE) is None:
            await self.map.change(ACCOUNT, lambda _: Change(result=None, put=records()))
        return CloudMapTasks(self._rig.world, self.map)

    def ids(self, service: str = A) -> list[str]:
        return sorted(one.id for one in self.instances(service))

    def instances(self, service: str = A) -> list[Instance]:
        found = self.map.service(ACCOUNT, service)
        return [] if found is None else self.map.instances(found)

    def names(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """What resolvers answer: (name, type) -> values."""
        return {(one.name, one.type): one.values for zone in self.map.zones_of(VPC) for one in zone.records}

    async def stranger(self, instance_id: str, service: str = A) -> None:
        """Somebody registers an instance by the API."""
        new = Instance(
            account=ACCOUNT,
            name=instance_name(service, instance_id),
            service=service,
            id=instance_id,
            attributes=(("AWS_INSTANCE_IPV4", "10.9.9.9"), ("AWS_INSTANCE_PORT", "1")),
        )
        world = self._rig.world
        name = outcome_name(world.now(), world.random.getrandbits)
        outcome = Outcome(account=ACCOUNT, name=name, type="REGISTER_INSTANCE", at=world.now(), targets=())
        most = most_of(self.map.quotas, ACCOUNT)
        await self.map.change(ACCOUNT, lambda shelf: registered(shelf, new, outcome, most))


def entry(service: str = A, **members: Any) -> dict[str, Any]:
    return {"registryArn": service_arn(REGION, ACCOUNT, service), **members}


def shown(*entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"loadBalancers": [], "serviceRegistries": list(entries)}


def registering(*entries: Mapping[str, Any], **changes: Any) -> Any:
    """A template with service registries."""
    return replace(template(**changes), shown=shown(*(entries or (entry(),))))


def records() -> tuple[Kept, ...]:
    """A namespace with two services."""
    return (_namespace(), service_record(A, "web", "A"), service_record(SRV, "_api._tcp", "SRV"))


def _namespace() -> Namespace:
    return Namespace(
        account=ACCOUNT,
        name=NAMESPACE,
        called="shop.internal",
        type=PRIVATE,
        region=REGION,
        http_name="shop.internal",
        created=1.0,
        vpc=VPC,
    )


def service_record(name: str, called: str, *kinds: str) -> Service:
    """Without any kind of record: for DiscoverInstances only."""
    return Service(
        account=ACCOUNT,
        name=name,
        called=called,
        namespace=NAMESPACE,
        region=REGION,
        created=1.0,
        dns=Dns(policy=MULTIVALUE, records=tuple((kind, 10) for kind in kinds)) if kinds else None,
        has_custom_health=True,
    )
