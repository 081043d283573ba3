"""What becomes of instances that are tasks of ECS's services. Pure: a shelf in, a change out.

Invariants: an instance without this owner's mark is never changed; what is as it should be is not changed again.
"""

from msgspec.structs import replace

from ..regional.shelves import Change, Shelf
from .errors import InstanceTaken
from .instances import deregistered, registered
from .records import INIT_HEALTH, Instance, Outcome
from .room import Most
from .services import required as required_service


def task_registered(shelf: Shelf, new: Instance, outcome: Outcome, most: Most) -> Change[None]:
    """`new.is_healthy` becomes an attribute where the service has a custom check, and counts for nothing elsewhere.

    Raises what `registered` does, InstanceTaken.
    """
    service = required_service(shelf, new.service)
    found = shelf.find(Instance, new.name)
    if found is not None and found.owner == new.owner:
        return Change(result=None)
    if found is not None:
        raise InstanceTaken(new.id)
    if service.has_custom_health:
        status = (INIT_HEALTH, "HEALTHY" if new.is_healthy else "UNHEALTHY")
        new = replace(new, attributes=(*new.attributes, status))
    change = registered(shelf, new, outcome, most)
    return Change(result=None, put=change.put, drop=change.drop)


def task_deregistered(shelf: Shelf, name: str, owner: str, outcome: Outcome) -> Change[None]:
    """`name`: the record's."""
    found = _owned(shelf, name, owner)
    if found is None:
        return Change(result=None)
    change = deregistered(shelf, found.service, found.id, outcome)
    return Change(result=None, put=change.put, drop=change.drop)


def task_health(shelf: Shelf, name: str, owner: str, *, is_healthy: bool) -> Change[None]:
    """At once, and whatever a caller has told before: its container's check has waited for its retries already."""
    found = _owned(shelf, name, owner)
    if found is None:
        return Change(result=None)
    changed = replace(found, is_healthy=is_healthy, settling=None)
    return Change(result=None, put=() if changed == found else (changed,))


def _owned(shelf: Shelf, name: str, owner: str) -> Instance | None:
    found = shelf.find(Instance, name)
    return found if found is not None and found.owner == owner else None
