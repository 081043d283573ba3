"""Whether there is room for one more instance: AWS's quotas, and what a VPC's hosts can hold of names. Pure.

Invariant: the zones of a VPC, written as a message, stay below `cloud_map_vpc_names_max_bytes`, whatever their names
are: each host of the VPC gets them all in one message, whose size is bounded.
"""

from msgspec import Struct

from ...model.knobs import DEFAULT_KNOBS
from ...model.quotas import ATTRIBUTES_PER_INSTANCE, INSTANCES_PER_NAMESPACE, INSTANCES_PER_SERVICE, QuotaValues
from ..regional.shelves import Shelf
from .checks import owner_name
from .errors import ResourceLimit
from .records import Namespace, Service, characters

_RECORD_BYTES = 90  # around a name and its values
_ADDRESS_BYTES, _NAME_BYTES, _ID_BYTES = 50, 260, 70


class Most(Struct, frozen=True, kw_only=True):
    """The account's quotas."""

    of_service: float
    of_namespace: float
    attributes: float


def most_of(quotas: QuotaValues, account: str) -> Most:
    return Most(
        of_service=quotas.value(account, INSTANCES_PER_SERVICE) or 0,
        of_namespace=quotas.value(account, INSTANCES_PER_NAMESPACE) or 0,
        attributes=quotas.value(account, ATTRIBUTES_PER_INSTANCE) or 0,
    )


def check_room(shelf: Shelf, service: Service, namespace: Namespace, most: Most) -> None:
    """For one more of the service. Raises ResourceLimit."""
    if service.instances >= most.of_service:
        raise ResourceLimit(f"The service {service.name} has {service.instances} instances: no more are allowed.")
    count = sum(one.instances for one in shelf.all(Service) if one.namespace == namespace.name)
    if count >= most.of_namespace:
        raise ResourceLimit(f"The namespace {namespace.name} has {count} instances: no more are allowed.")
    if namespace.vpc is not None:
        _check_vpc(shelf, service, namespace.vpc)


def check_account(shelf: Shelf, after: Service, before: Service | None = None) -> None:
    """All is held in memory, and one account may not fill it. Raises ResourceLimit."""
    grown = _size(after) - (0 if before is None else _size(before))
    if grown > 0 and sum(map(_size, shelf.all(Service))) + grown > DEFAULT_KNOBS.cloud_map_max_chars:
        raise ResourceLimit(
            f"The account's attributes and tags have more than {DEFAULT_KNOBS.cloud_map_max_chars} characters."
        )


def _size(service: Service) -> int:
    return service.held + characters(service.attributes, service.tags)


def _check_vpc(shelf: Shelf, service: Service, vpc: str) -> None:
    beside = {one.name: one for one in shelf.all(Namespace) if one.vpc == vpc}
    services = [one for one in shelf.all(Service) if one.namespace in beside]
    count = sum(one.instances for one in services)
    if count >= DEFAULT_KNOBS.cloud_map_vpc_instances_max:
        raise ResourceLimit(f"The VPC {vpc} has {count} instances in private namespaces: no more are allowed.")
    size = sum(names_bytes(one, beside[one.namespace], one.instances + (one.name == service.name)) for one in services)
    if size > DEFAULT_KNOBS.cloud_map_vpc_names_max_bytes:
        raise ResourceLimit(f"The names of the VPC {vpc} in private namespaces are too long together.")


def names_bytes(service: Service, namespace: Namespace, instances: int) -> int:
    """At least what the service's names take in a message."""
    if service.dns is None or not instances:
        return 0
    owner = len(owner_name(service.called, namespace))
    own = len(service.dns.records) * (owner + _RECORD_BYTES)
    if "SRV" in service.dns.types:  # a value, and the names of its target
        return own + instances * 3 * (owner + _ID_BYTES + _RECORD_BYTES)
    value = _NAME_BYTES if "CNAME" in service.dns.types else _ADDRESS_BYTES
    return own + instances * len(service.dns.records) * value
