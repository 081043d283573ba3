"""What a request makes of the services of namespaces. Pure: a shelf in, a change out.

Invariant: no two services of a namespace have one name; where names become DNS names, letters' case does not count.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ...model.knobs import DEFAULT_KNOBS
from ..regional.shelves import Change, Shelf
from .checks import check_dns, check_service_name
from .errors import InvalidInput, ResourceLimit, ServiceExists, ServiceInUse, ServiceNotFound, TooManyAttributes
from .namespaces import required as required_namespace
from .outcomes import leaving
from .records import Dns, Namespace, Outcome, Service
from .room import check_account

ATTRIBUTES_MAX = 30


def created(shelf: Shelf, new: Service) -> Change[Service]:
    """Repeated with the same CreatorRequestId, it is the service of the first time.

    Raises NamespaceNotFound, ServiceExists, InvalidInput, ResourceLimit.
    """
    namespace = required_namespace(shelf, new.namespace)
    check_dns(new.dns, namespace)
    check_service_name(new.called, namespace, new.dns)
    taken = _taken(shelf, new, namespace)
    if taken is not None:
        if new.request and taken.request == new.request and _asked(taken) == _asked(new):
            return Change(result=taken)
        raise ServiceExists(new.called, service=taken.name, arn=taken.arn, request=taken.request)
    if shelf.count(Service) >= DEFAULT_KNOBS.cloud_map_services_max:
        raise ResourceLimit(f"The account has {shelf.count(Service)} services: no more are allowed.")
    check_account(shelf, new)
    return Change(result=new, put=(new,))


def _taken(shelf: Shelf, new: Service, namespace: Namespace) -> Service | None:
    def key(name: str) -> str:
        return name if namespace.vpc is None else name.lower()

    others = (one for one in shelf.all(Service) if one.namespace == namespace.name)
    return next((one for one in others if key(one.called) == key(new.called)), None)


def _asked(service: Service) -> tuple[object, ...]:
    return service.called, service.namespace, service.description, service.dns, service.has_custom_health


def updated(
    shelf: Shelf, name: str, outcome: Outcome, *, description: str | None, records: Sequence[tuple[str, int]] | None
) -> Change[Outcome]:
    """`records`: with the new times to live; None takes them away, as on AWS.

    Raises ServiceNotFound, InvalidInput.
    """
    found = required(shelf, name)
    namespace = required_namespace(shelf, found.namespace)
    if namespace.vpc is None:
        raise InvalidInput("You can't update a service that is associated with an HTTP namespace.")
    dns = None
    if records is not None:
        if found.dns is None or sorted(kind for kind, _ in records) != sorted(found.dns.types):
            raise InvalidInput(
                "The record types of a service can't be updated: delete the service, and create it with another "
                "DnsConfig."
            )
        dns = Dns(policy=found.dns.policy, records=tuple(records))
    after = replace(found, dns=dns, description=found.description if description is None else description or None)
    return Change(result=outcome, put=(after, outcome), drop=leaving(shelf))


def deleted(shelf: Shelf, name: str) -> Change[None]:
    """Raises ServiceNotFound, ServiceInUse."""
    found = required(shelf, name)
    if found.instances:
        raise ServiceInUse
    return Change(result=None, drop=(found,))


def with_attributes(shelf: Shelf, name: str, given: Mapping[str, str]) -> Change[None]:
    """Raises ServiceNotFound, TooManyAttributes, ResourceLimit."""
    found = required(shelf, name)
    merged = {**dict(found.attributes), **given}
    if len(merged) > ATTRIBUTES_MAX:
        raise TooManyAttributes(f"A service has at most {ATTRIBUTES_MAX} attributes.")
    after = replace(found, attributes=tuple(merged.items()))
    check_account(shelf, after, found)
    return Change(result=None, put=(after,))


def without_attributes(shelf: Shelf, name: str, keys: Sequence[str]) -> Change[None]:
    """Raises ServiceNotFound."""
    found = required(shelf, name)
    left = tuple(pair for pair in found.attributes if pair[0] not in keys)
    return Change(result=None, put=(replace(found, attributes=left),))


def required(shelf: Shelf, name: str) -> Service:
    found = shelf.find(Service, name)
    if found is None:
        raise ServiceNotFound
    return found
