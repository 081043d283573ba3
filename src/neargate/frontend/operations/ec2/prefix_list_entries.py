"""DescribeManagedPrefixLists, GetManagedPrefixListEntries, GetManagedPrefixListAssociations."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidNextToken, PrefixListNotFound
from ...network.errors.routing import PrefixListIdMalformed
from ...network.filters.prefix_lists import entries_of_version, references, required_list
from ...network.records.aws_prefix_lists import aws_prefix_lists, find_aws_prefix_list
from ...network.records.objects import PrefixList, PrefixListEntry
from ...services import Operation, Services
from .asking import authorize_describing, region_key
from .filters import Field, select
from .prefix_lists import aws_members, list_resource, members
from .request import check_id, named, stop_if_dry_run, with_token

T = TypeVar("T")
LISTS_PAGE_MAX = ENTRIES_PAGE_MAX = 100
ASSOCIATIONS_PAGE_MAX = 255

_FIELDS: dict[str, Field[dict[str, Any]]] = {
    "owner-id": lambda one: (one["OwnerId"],),
    "prefix-list-id": lambda one: (one["PrefixListId"],),
    "prefix-list-name": lambda one: (one["PrefixListName"],),
}


async def describe(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    own = [members(call, one) for one in services.network.shelf(call.account).all(PrefixList)]
    found = named(
        [*own, *(aws_members(call, one) for one in aws_prefix_lists(services.region))],
        params.get("PrefixListIds"),
        _id,
        prefix="pl",
        malformed=PrefixListIdMalformed,
        missing=lambda missing: PrefixListNotFound(f"The prefix list ID '{missing[0]}' does not exist"),
    )
    found = select(
        found, params.get("Filters"), _FIELDS, lambda one: ((tag["Key"], tag["Value"]) for tag in one["Tags"])
    )
    shown, token = _page(sorted(found, key=_id), params, _id, LISTS_PAGE_MAX, "PrefixLists")
    return with_token({"PrefixLists": shown}, token)


def _tags(one: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tag["Key"], tag["Value"]) for tag in one["Tags"]]


def _id(one: dict[str, Any]) -> str:
    return str(one["PrefixListId"])


async def entries(call: Call, services: Services, params: Params) -> Answer:
    list_id = _asked(call, services, params)
    stop_if_dry_run(params)
    aws = find_aws_prefix_list(services.region, list_id)
    if aws is not None:
        found, version = tuple(PrefixListEntry(cidr=cidr) for cidr in aws.cidrs), 1
    else:
        one = required_list(services.network.shelf(call.account), list_id)
        version = params.get("TargetVersion") or one.version
        found = entries_of_version(one, version)
    bound_to = f"Entries {list_id} {version}"
    shown, token = _page(found, params, lambda entry: entry.cidr, ENTRIES_PAGE_MAX, bound_to)
    return with_token({"Entries": [_entry(entry) for entry in shown]}, token)


def _entry(entry: PrefixListEntry) -> dict[str, str]:
    return {"Cidr": entry.cidr} | ({"Description": entry.description} if entry.description else {})


async def associations(call: Call, services: Services, params: Params) -> Answer:
    list_id = _asked(call, services, params)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    if find_aws_prefix_list(services.region, list_id) is None:
        required_list(shelf, list_id)
    found = references(shelf, list_id)
    bound_to = f"Associations {list_id}"
    shown, token = _page(found, params, lambda one: one, ASSOCIATIONS_PAGE_MAX, bound_to)
    rows = [{"ResourceId": one, "ResourceOwner": call.account} for one in shown]
    return with_token({"PrefixListAssociations": rows}, token)


def _asked(call: Call, services: Services, params: Params) -> str:
    list_id = str(params["PrefixListId"])
    authorize(call, f"ec2:{call.operation}", [list_resource(call, services, list_id)], region_key(call))
    check_id(list_id, "pl", PrefixListIdMalformed)
    return list_id


def _page(
    items: Sequence[T], params: Params, place: Callable[[T], str], size_max: int, bound_to: str
) -> tuple[list[T], str | None]:
    """In order of places. What a page may be is in the model, and other than of EC2's other lists."""
    return pages.page(
        items,
        place,
        size=max(1, min(params.get("MaxResults") or size_max, size_max)),
        token=params.get("NextToken"),
        bound_to=bound_to,
        refused=InvalidNextToken,
    )


OPERATIONS: dict[str, Operation] = {
    "DescribeManagedPrefixLists": describe,
    "GetManagedPrefixListAssociations": associations,
    "GetManagedPrefixListEntries": entries,
}
