"""What a request makes of the instances of services. Pure: a shelf in, a change out.

Invariant: a service's count and revision change with its instances, in the same change; a change of health alone
changes neither.
"""

from msgspec.structs import replace

from ..regional.shelves import Change, Shelf
from .checks import check_attributes, is_dns_name, owner_name
from .errors import DuplicateRequest, InstanceNotFound, NoCustomHealth
from .namespaces import required as required_namespace
from .outcomes import earlier, leaving, repeated
from .records import INIT_HEALTH, Instance, Outcome, Settling, characters, instance_name
from .room import Most, check_account, check_room
from .services import required as required_service


def registered(shelf: Shelf, new: Instance, outcome: Outcome, most: Most) -> Change[Outcome]:
    """A new one, or one that takes its place. Raises ServiceNotFound, InvalidInput, ResourceLimit, DuplicateRequest."""
    service = required_service(shelf, new.service)
    check_attributes(service, dict(new.attributes), most.attributes)
    found = shelf.find(Instance, new.name)
    before = _before(shelf, new, outcome, found)
    if before is not None:
        return Change(result=before)
    namespace = required_namespace(shelf, service.namespace)
    if found is None:
        check_room(shelf, service, namespace, most)
    if service.dns is not None and "SRV" in service.dns.types:
        target = f"{new.id}.{owner_name(service.called, namespace)}"
        if not is_dns_name(target):
            why = f"[Invalid Resource Record: '{target}' is not a domain name] (Error Code: InvalidChangeBatch)"
            failed = replace(outcome, error_code="INVALID_CHANGE_BATCH", error_message=why)
            return Change(result=failed, put=(failed,), drop=leaving(shelf))
    owner = new.owner or ("" if found is None else found.owner)  # a task's instance goes with it, whoever changed it
    kept = replace(new, owner=owner, is_healthy=new.attribute(INIT_HEALTH) != "UNHEALTHY")
    counted = replace(
        service,
        revision=service.revision + 1,
        instances=service.instances + (1 if found is None else 0),
        held=service.held + characters(kept.attributes) - (0 if found is None else characters(found.attributes)),
    )
    check_account(shelf, counted, service)
    return Change(result=outcome, put=(kept, counted, outcome), drop=leaving(shelf))


def _before(shelf: Shelf, new: Instance, outcome: Outcome, found: Instance | None) -> Outcome | None:
    """The operation that this request began when it came before, while its instance is still what it made."""
    for one in earlier(shelf, outcome):
        if one.target("SERVICE") != new.service:
            continue
        if one.target("INSTANCE") != new.id:
            raise DuplicateRequest(one.id)
        if found is not None and found.request == new.request:
            return repeated(outcome, one)
    return None


def deregistered(shelf: Shelf, service_id: str, instance_id: str, outcome: Outcome) -> Change[Outcome]:
    """Raises ServiceNotFound, InstanceNotFound."""
    service = required_service(shelf, service_id)
    found = required(shelf, service_id, instance_id)
    counted = replace(
        service,
        revision=service.revision + 1,
        instances=service.instances - 1,
        held=service.held - characters(found.attributes),
    )
    return Change(result=outcome, put=(counted, outcome), drop=(found, *leaving(shelf)))


def told_health(shelf: Shelf, service_id: str, instance_id: str, *, is_healthy: bool, at: float) -> Change[None]:
    """It holds from `at`, unless the opposite is told before; told again, it does not wait anew.

    Raises ServiceNotFound, InstanceNotFound, NoCustomHealth.
    """
    service = required_service(shelf, service_id)
    found = required(shelf, service_id, instance_id)
    if not service.has_custom_health:
        raise NoCustomHealth(service_id)
    settling = found.settling
    if is_healthy == found.is_healthy:
        settling = None
    elif settling is None:
        settling = Settling(is_healthy=is_healthy, at=at)
    if settling == found.settling:
        return Change(result=None)
    return Change(result=None, put=(replace(found, settling=settling),))


def settled(shelf: Shelf, now: float) -> Change[None]:
    """Every status whose time has come."""
    due = (one for one in shelf.all(Instance) if one.settling is not None and one.settling.at <= now)
    return Change(
        result=None,
        put=tuple(
            replace(one, is_healthy=one.settling.is_healthy, settling=None) for one in due if one.settling is not None
        ),
    )


def required(shelf: Shelf, service_id: str, instance_id: str) -> Instance:
    found = shelf.find(Instance, instance_name(service_id, instance_id))
    if found is None:
        raise InstanceNotFound
    return found
