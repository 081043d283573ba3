"""What a call makes of gateway endpoints, and what holds for endpoints of each type: shelf in, change out. Pure.

Interface endpoints are `interface_endpoints.py`'s. A gateway endpoint's routes are not stored: they follow from which
tables it names. Invariants: a table leads to one endpoint of a service at most, and to endpoints of its own VPC;
policies are valid.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ....iam.document import MalformedPolicy, compile_policy
from ....iam.policy import PolicyKind
from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.common import VpcNotFound
from ..errors.routing import (
    EndpointLimitExceeded,
    EndpointNotFound,
    EndpointRouteAlreadyExists,
    IdempotentMismatch,
    InvalidParameter,
    PolicyInvalid,
    RouteTableNotFound,
    ServiceNameInvalid,
    Unsupported,
)
from ..records.aws_prefix_lists import list_of_service
from ..records.objects import RouteTable, Tags, Vpc, VpcEndpoint
from .interface_endpoints import deleting
from .plans import INTERFACE
from .services import service_of

Bits = Callable[[int], int]
GATEWAY, AVAILABLE = "Gateway", "available"
POLICY_MAX = 20_480  # characters, white space included
FULL_ACCESS = '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'


class WantedEndpoint(Struct, frozen=True, kw_only=True):
    vpc_id: str
    service_name: str
    policy: str = FULL_ACCESS
    route_tables: tuple[str, ...] = ()
    tags: Tags = ()
    client_token: str | None = None


def check_service(region: str, name: str, endpoint_type: str) -> None:
    """Whether endpoints of this type are made for it. Raises ServiceNameInvalid, Unsupported, InvalidParameter."""
    is_gateway = list_of_service(region, name) is not None
    is_interface = name.startswith(f"com.amazonaws.{region}.") and service_of(name) is not None
    if not is_gateway and not is_interface:
        raise ServiceNameInvalid(name[:255])
    if endpoint_type not in (GATEWAY, INTERFACE):
        raise Unsupported(f"Neargate has no VPC endpoints of type {endpoint_type}.")
    if is_gateway and endpoint_type == INTERFACE:
        raise Unsupported(f"Neargate does not serve {name}: of it there are gateway endpoints alone.")
    if endpoint_type == GATEWAY and not is_gateway:
        raise InvalidParameter(
            f"Endpoint type (Gateway) does not match available service types ([Interface]) for {name}."
        )


def check_policy(text: str) -> str:
    """The policy as it was given. Raises PolicyInvalid."""
    if len(text) > POLICY_MAX:
        raise PolicyInvalid(f"The policy document is longer than {POLICY_MAX} characters.")
    try:
        compile_policy(text, kind=PolicyKind.RESOURCE)
    except MalformedPolicy as error:
        raise PolicyInvalid(f"The policy document is not valid: {error.message}") from error
    return text


def required_endpoint(shelf: Shelf, endpoint_id: str) -> VpcEndpoint:
    """Raises EndpointNotFound."""
    endpoint = shelf.find(VpcEndpoint, endpoint_id)
    if endpoint is None:
        raise EndpointNotFound([endpoint_id])
    return endpoint


def create_endpoint(
    shelf: Shelf, wanted: WantedEndpoint, region: str, now: float, endpoints_max: float, bits: Bits
) -> Change[VpcEndpoint]:
    """Asked again with the same token: the one that was made. Raises VpcNotFound, RouteTableNotFound, InvalidParameter,
    EndpointRouteAlreadyExists, EndpointLimitExceeded, IdempotentMismatch.
    """
    token = wanted.client_token
    made = next((one for one in shelf.all(VpcEndpoint) if token and one.client_token == token), None)
    if made is not None:
        if (made.vpc_id, made.service_name) != (wanted.vpc_id, wanted.service_name):
            raise IdempotentMismatch(token or "")
        return Change(result=made)
    if shelf.find(Vpc, wanted.vpc_id) is None:
        raise VpcNotFound([wanted.vpc_id])
    if sum(one.endpoint_type == GATEWAY for one in shelf.all(VpcEndpoint)) >= endpoints_max:
        raise EndpointLimitExceeded
    tables = tuple(dict.fromkeys(wanted.route_tables))
    _check_tables(shelf, wanted.vpc_id, wanted.service_name, tables, region)
    endpoint = VpcEndpoint(
        account=shelf.account,
        name=ids.ec2_id("vpce", bits),
        vpc_id=wanted.vpc_id,
        endpoint_type=GATEWAY,
        service_name=wanted.service_name,
        state=AVAILABLE,
        created_at=now,
        policy=wanted.policy,
        route_tables=tables,
        tags=wanted.tags,
        client_token=token,
    )
    return Change(result=endpoint, put=(endpoint,))


def modify_endpoint(
    shelf: Shelf, endpoint_id: str, policy: str | None, add: Sequence[str], remove: Sequence[str], region: str
) -> Change[None]:
    """Raises EndpointNotFound, RouteTableNotFound, InvalidParameter, EndpointRouteAlreadyExists."""
    endpoint = required_endpoint(shelf, endpoint_id)
    for table_id in remove:
        if table_id not in endpoint.route_tables:
            raise InvalidParameter(f"The route table {table_id} is not associated with the VPC endpoint {endpoint_id}")
    kept = tuple(one for one in endpoint.route_tables if one not in remove)
    added = tuple(one for one in dict.fromkeys(add) if one not in kept)
    _check_tables(shelf, endpoint.vpc_id, endpoint.service_name, added, region, but=endpoint_id)
    changed = replace(endpoint, route_tables=(*kept, *added), policy=endpoint.policy if policy is None else policy)
    return Change(result=None, put=(changed,) if changed != endpoint else ())


def delete_endpoints(shelf: Shelf, endpoint_ids: Sequence[str]) -> Change[tuple[str, ...]]:
    """Those that are there go, once their addresses are given back; the others are the result."""
    found = {one: shelf.find(VpcEndpoint, one) for one in dict.fromkeys(endpoint_ids)}
    after = [(endpoint, deleting(endpoint)) for endpoint in found.values() if endpoint is not None]
    return Change(
        result=tuple(one for one, endpoint in found.items() if endpoint is None),
        put=tuple(changed for endpoint, changed in after if changed is not None and changed != endpoint),
        drop=tuple(endpoint for endpoint, changed in after if changed is None),
    )


def _check_tables(
    shelf: Shelf, vpc_id: str, service_name: str, tables: Sequence[str], region: str, but: str = ""
) -> None:
    known = list_of_service(region, service_name)
    assert known is not None, "only services with a list have gateway endpoints"
    for table_id in tables:
        table = shelf.find(RouteTable, table_id)
        if table is None:
            raise RouteTableNotFound([table_id])
        if table.vpc_id != vpc_id:
            raise InvalidParameter(f"Route table {table_id} does not belong to VPC {vpc_id}")
        if any(other.name != but for other in _leading(shelf, table_id, service_name)):
            raise EndpointRouteAlreadyExists(table_id, known.list_id)


def _leading(shelf: Shelf, table_id: str, service_name: str) -> Iterator[VpcEndpoint]:
    return (one for one in shelf.all(VpcEndpoint) if one.service_name == service_name and table_id in one.route_tables)
