"""Managed prefix lists made, changed, restored and deleted: what EC2 wants said of them."""

import re
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ....model.quotas import ROUTES_PER_TABLE, RULES_PER_SECURITY_GROUP
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, InvalidParameterValue
from ...network.errors.routing import NotPermitted, PrefixListIdMalformed, Unsupported
from ...network.filters.prefix_lists import (
    ENTRIES_MAX,
    Limits,
    Wish,
    create_list,
    delete_list,
    modify_list,
    required_list,
    restore_list,
)
from ...network.records.aws_prefix_lists import AwsPrefixList, find_aws_prefix_list
from ...network.records.objects import PrefixList, PrefixListEntry
from ...services import Operation, Services
from .asking import authorize_tagging, region_key, tag_keys
from .permissions import network_from
from .request import check_id, client_token, resource_arn, stop_if_dry_run, tag_list
from .tags import tags_from

NAME_MAX = DESCRIPTION_MAX = 255
_FAMILIES: dict[str, type[IPv4Network] | type[IPv6Network]] = {"IPv4": IPv4Network, "IPv6": IPv6Network}
_DESCRIPTION = re.compile(r"[^\x00-\x1f]*")


async def create(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "prefix-list", "*")
    authorize(call, "ec2:CreateManagedPrefixList", [Resource(arn=made, keys=tag_keys(params))], region_key(call))
    authorize_tagging(call, params, made)
    family = params["AddressFamily"]
    if family not in _FAMILIES:
        raise InvalidParameterValue(
            f"Value ({family[:64]}) for parameter addressFamily is invalid. Valid values are IPv4 and IPv6."
        )
    decide = partial(
        create_list,
        list_name=_name(params["PrefixListName"]),
        family=family,
        entries_max=_size(params["MaxEntries"]),
        entries=_entries(params.get("Entries") or (), family),
        tags=tags_from(params, "prefix-list"),
        client_token=client_token(params),
        bits=services.network.bits,
    )
    stop_if_dry_run(params)
    return {"PrefixList": members(call, await services.network.change(call.account, decide))}


async def modify(call: Call, services: Services, params: Params) -> Answer:
    list_id = _asked(call, services, params)
    before = required_list(services.network.shelf(call.account), list_id)
    if params.get("IpamPrefixListResolverSyncEnabled"):
        raise Unsupported("IPAM prefix list resolvers are not supported.")
    add, remove = params.get("AddEntries") or (), params.get("RemoveEntries") or ()
    if params.get("MaxEntries") is not None and (add or remove):
        raise InvalidParameterCombination(
            "You cannot modify the entries of a prefix list and modify the size of a prefix list at the same time."
        )
    wish = Wish(
        current_version=params.get("CurrentVersion"),
        list_name=None if params.get("PrefixListName") is None else _name(params["PrefixListName"]),
        entries_max=None if params.get("MaxEntries") is None else _size(params["MaxEntries"]),
        add=_entries(add, before.family),
        remove=tuple(dict.fromkeys(network_from(one.get("Cidr"), _FAMILIES[before.family]) for one in remove)),
    )
    limits = Limits(
        rules_of_group=services.network.quota(call.account, RULES_PER_SECURITY_GROUP),
        routes_of_table=services.network.quota(call.account, ROUTES_PER_TABLE),
    )
    stop_if_dry_run(params)
    decide = partial(modify_list, list_id=list_id, wish=wish, limits=limits, region=services.region)
    return {"PrefixList": members(call, await services.network.change(call.account, decide))}


async def restore(call: Call, services: Services, params: Params) -> Answer:
    list_id = _asked(call, services, params)
    stop_if_dry_run(params)
    decide = partial(
        restore_list, list_id=list_id, previous=params["PreviousVersion"], current=params["CurrentVersion"]
    )
    return {"PrefixList": members(call, await services.network.change(call.account, decide))}


async def delete(call: Call, services: Services, params: Params) -> Answer:
    list_id = _asked(call, services, params)
    stop_if_dry_run(params)
    deleted = await services.network.change(call.account, lambda shelf: delete_list(shelf, list_id))
    return {"PrefixList": members(call, deleted)}


def _asked(call: Call, services: Services, params: Params) -> str:
    """The id of the list that is to be changed, with leave for it. Raises NotPermitted for one of AWS."""
    list_id = str(params["PrefixListId"])
    authorize(call, f"ec2:{call.operation}", [list_resource(call, services, list_id)], region_key(call))
    check_id(list_id, "pl", PrefixListIdMalformed)
    if find_aws_prefix_list(services.region, list_id) is not None:
        raise NotPermitted(f"The prefix list {list_id} is managed by AWS and cannot be changed.")
    return list_id


def list_resource(call: Call, services: Services, list_id: str) -> Resource:
    """Of one of AWS's, the ARN is AWS's."""
    if find_aws_prefix_list(services.region, list_id) is not None:
        return Resource(arn=aws_arn(call, list_id))
    found = services.network.shelf(call.account).find(PrefixList, list_id)
    return Resource(arn=resource_arn(call, "prefix-list", list_id), tags=dict(found.tags) if found is not None else {})


def aws_arn(call: Call, list_id: str) -> str:
    return f"arn:aws:ec2:{call.region}:aws:prefix-list/{list_id}"


def _name(given: str) -> str:
    if not 1 <= len(given) <= NAME_MAX:
        raise InvalidParameterValue(f"The prefix list name must have between 1 and {NAME_MAX} characters.")
    if given.lower().startswith("com.amazonaws"):
        raise InvalidParameterValue("The prefix list name cannot start with com.amazonaws.")
    return given


def _size(given: int) -> int:
    if not 1 <= given <= ENTRIES_MAX:
        raise InvalidParameterValue(f"Must specify a max size between 1 and {ENTRIES_MAX}")
    return given


def _entries(given: Sequence[dict[str, Any]], family: str) -> tuple[PrefixListEntry, ...]:
    entries: list[PrefixListEntry] = []
    for one in given:
        description = one.get("Description")
        if description is not None and (len(description) > DESCRIPTION_MAX or not _DESCRIPTION.fullmatch(description)):
            raise InvalidParameterValue(f"A description of an entry has at most {DESCRIPTION_MAX} characters.")
        cidr = network_from(one.get("Cidr"), _FAMILIES[family])
        if any(cidr == known.cidr for known in entries):
            raise InvalidParameterValue(f"The CIDR {cidr} is specified more than once.")
        entries.append(PrefixListEntry(cidr=cidr, description=description or None))
    return tuple(entries)


def members(call: Call, one: PrefixList) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "PrefixListId": one.name,
        "AddressFamily": one.family,
        "State": one.state,
        "PrefixListArn": resource_arn(call, "prefix-list", one.name),
        "PrefixListName": one.list_name,
        "MaxEntries": one.entries_max,
        "Version": one.version,
        "Tags": tag_list(one.tags),
        "OwnerId": one.account,
    }
    return shown | ({"StateMessage": one.state_message} if one.state_message else {})


def aws_members(call: Call, one: AwsPrefixList) -> dict[str, Any]:
    """They have no size and no version that customers see."""
    return {
        "PrefixListId": one.list_id,
        "AddressFamily": one.family,
        "State": "create-complete",
        "PrefixListArn": aws_arn(call, one.list_id),
        "PrefixListName": one.list_name,
        "Tags": [],
        "OwnerId": "AWS",
    }


OPERATIONS: dict[str, Operation] = {
    "CreateManagedPrefixList": create,
    "DeleteManagedPrefixList": delete,
    "ModifyManagedPrefixList": modify,
    "RestoreManagedPrefixListVersion": restore,
}
