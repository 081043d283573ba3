"""What a request makes of an account's namespaces. Pure: a shelf in, a change out.

Invariants: HTTP names are unique in an account, so that DiscoverInstances finds one; a VPC has no two private
namespaces of one name.
"""

from collections.abc import Callable

from msgspec.structs import replace

from ..regional.shelves import Change, Shelf
from .checks import check_private_name
from .errors import InvalidInput, NamespaceExists, NamespaceInUse, NamespaceNotFound, ResourceLimit
from .outcomes import earlier, leaving, repeated
from .records import HTTP, Namespace, Outcome, Service

_CANNOT_CREATE = "CANNOT_CREATE_HOSTED_ZONE"


def created(
    shelf: Shelf, new: Namespace, outcome: Outcome, *, has_vpc: Callable[[str], bool], most: float
) -> Change[Outcome]:
    """What AWS finds out while it makes the hosted zone, the operation says. `has_vpc`: of this account.

    Raises NamespaceExists, DuplicateRequest, ResourceLimit, InvalidInput.
    """
    for before in earlier(shelf, outcome):
        if shelf.find(Namespace, before.target("NAMESPACE") or "") is not None:
            return Change(result=repeated(outcome, before))
    others = list(shelf.all(Namespace))
    if new.type == HTTP:
        taken = next((one for one in others if one.type == HTTP and one.called == new.called), None)
        if taken is not None:
            raise NamespaceExists(new.called, namespace=taken.name, request=taken.request)
    else:
        check_private_name(new.called)
    if len(others) >= most:
        raise ResourceLimit(f"The account has {len(others)} namespaces: no more are allowed.")
    failed = _failed(new, outcome, others, has_vpc)
    if failed is not None:
        return Change(result=failed, put=(failed,), drop=leaving(shelf))
    if any(one.http_name == new.http_name for one in others):
        new = replace(new, http_name=f"{new.called}-{new.name.partition('-')[2]}")
    return Change(result=outcome, put=(new, outcome), drop=leaving(shelf))


def _failed(
    new: Namespace, outcome: Outcome, others: list[Namespace], has_vpc: Callable[[str], bool]
) -> Outcome | None:
    if new.vpc is None:
        return None
    if not has_vpc(new.vpc):
        why = (
            f"The VPC ID {new.vpc} in region {new.region} either isn't a valid ID or the current account is not "
            "authorized to access this VPC. (Service: Route53, Status Code: 400, Error Code: InvalidVPCId)"
        )
        return replace(outcome, error_code=_CANNOT_CREATE, error_message=why)
    apex = _apex(new)
    if any(one.vpc == new.vpc and _apex(one) == apex for one in others):
        why = (
            f"The VPC that you chose, {new.vpc} in region {new.region}, is already associated with another private "
            f"hosted zone that has an overlapping name space, {apex}.. "
            "(Service: Route53, Status Code: 400, Error Code: ConflictingDomainExists)"
        )
        return replace(outcome, error_code=_CANNOT_CREATE, error_message=why)
    return None


def _apex(namespace: Namespace) -> str:
    return namespace.called.removesuffix(".").lower()


def updated(
    shelf: Shelf, name: str, outcome: Outcome, *, of_type: str, description: str | None, soa_ttl_s: int | None
) -> Change[Outcome]:
    """Raises NamespaceNotFound, InvalidInput."""
    found = required(shelf, name)
    if found.type != of_type:
        raise InvalidInput(f"The namespace {name} is of type {found.type}.")
    after = replace(
        found,
        description=found.description if description is None else description or None,
        soa_ttl_s=found.soa_ttl_s if soa_ttl_s is None else soa_ttl_s,
    )
    return Change(result=outcome, put=(after, outcome), drop=leaving(shelf))


def deleted(shelf: Shelf, name: str, outcome: Outcome) -> Change[Outcome]:
    """Raises NamespaceNotFound, NamespaceInUse."""
    found = required(shelf, name)
    if any(service.namespace == name for service in shelf.all(Service)):
        raise NamespaceInUse
    return Change(result=outcome, put=(outcome,), drop=(found, *leaving(shelf)))


def required(shelf: Shelf, name: str) -> Namespace:
    found = shelf.find(Namespace, name)
    if found is None:
        raise NamespaceNotFound
    return found
