"""Elastic addresses: allocated, released, described; their associations are their gateways' own."""

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from ....model import ids
from ....model.errors import AwsError
from ....model.quotas import ELASTIC_ADDRESSES_PER_REGION
from ...authorize import Resource, Values, authorize
from ...balancing.objects import Node
from ...call import Answer, Call, Params
from ...network.addressing import addresses
from ...network.errors.addresses import (
    AddressInUse,
    AddressMalformed,
    AddressUnknown,
    InstanceNotFound,
    ManagedByAService,
    NotBuilt,
    PublicPoolNotFound,
)
from ...network.errors.common import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NetworkInterfaceIdMalformed,
    NetworkInterfaceNotFound,
)
from ...network.pools import public as public_pool
from ...network.pools.public import POOL
from ...network.records.objects import ElasticAddress, NatGateway, NetworkInterface
from ...network.tagging import AddressNotFound
from ...regional.shelves import Shelf
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .groups import all_enis, public_addresses
from .request import check_id, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import new, required
from .shown import Shown, at, tags_of
from .tags import tags_from

_AMAZON = "amazon"  # the pool's name on AWS
_DOMAIN_NAME = re.compile(r"(?=.{1,255}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\.?", re.IGNORECASE)


def address_resource(call: Call, services: Services, allocation_id: object) -> Resource:
    found = services.network.shelf(call.account).find(ElasticAddress, str(allocation_id or ""))
    arn = resource_arn(call, "elastic-ip", str(allocation_id) if allocation_id else "*")
    if found is None:
        return Resource(arn=arn)
    keys: dict[str, Values] = {
        "ec2:AllocationId": found.name,
        "ec2:Domain": "vpc",
        "ec2:PublicIpAddress": found.public_ip,
    }
    return Resource(arn=arn, tags=dict(found.tags), keys=keys)


async def allocate_address(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:AllocateAddress", [new(call, "elastic-ip", tag_keys(params))], region_key(call))
    authorize_tagging(call, params, resource_arn(call, "elastic-ip", "*"))
    _check_source(call, params)
    tags = tags_from(params, "elastic-ip")
    network, account = services.network, call.account
    addresses_max = network.quota(account, ELASTIC_ADDRESSES_PER_REGION)
    addresses.check_room(network.shelf(account), addresses_max)
    stop_if_dry_run(params)
    taken = await public_addresses(services)
    allocation_id = ids.ec2_id("eipalloc", network.bits)
    now = services.world.now()
    public_ip = await network.change(
        POOL,
        lambda pool: public_pool.give(pool, network.elastic_ranges(pool), taken, account, allocation_id, now),
    )
    try:
        made = await network.change(
            account,
            lambda shelf: addresses.allocate(shelf, allocation_id, public_ip, call.region, tags, addresses_max),
        )
    except AwsError:
        # Refused, so the account has it not. Whatever else ends this call (its caller goes away) may leave the write
        # under way: an address that nobody has after all is taken back by the placing loop.
        await network.change(POOL, lambda pool: public_pool.take_back(pool, public_ip, allocation_id))
        raise
    return {
        "PublicIp": made.public_ip,
        "AllocationId": made.name,
        "PublicIpv4Pool": _AMAZON,
        "NetworkBorderGroup": made.border_group,
        "Domain": "vpc",
    }


def _check_source(call: Call, params: Params) -> None:
    """Addresses come from the region's own pool, and the next one is given."""
    if params.get("Domain", "vpc") != "vpc":
        raise InvalidParameterValue(f"Value ({params['Domain']}) for parameter domain is invalid. Only vpc is there.")
    pool = params.get("PublicIpv4Pool")
    if pool and pool != _AMAZON:
        raise PublicPoolNotFound([pool[:255]])
    for name in ("Address", "CustomerOwnedIpv4Pool", "IpamPoolId"):
        if params.get(name):
            raise NotBuilt(f"{name} is not supported: an address is the next free one of this Region's pool.")
    _check_border_group(call, params)


def _check_border_group(call: Call, params: Params) -> None:
    group = params.get("NetworkBorderGroup")
    if group and group != call.region:
        raise InvalidParameterValue(f"Value ({group[:255]}) for parameter networkBorderGroup is invalid.")


async def release_address(call: Call, services: Services, params: Params) -> Answer:
    resource = address_resource(call, services, params.get("AllocationId"))
    authorize(call, "ec2:ReleaseAddress", [resource], region_key(call))
    if params.get("PublicIp") and not params.get("AllocationId"):
        raise InvalidParameterValue("You must specify an allocation id when releasing a VPC elastic IP address")
    allocation_id = required(params, "AllocationId")
    _check_border_group(call, params)
    addresses.required_address(services.network.shelf(call.account), allocation_id)
    stop_if_dry_run(params)
    await _release_unused(call, services, allocation_id)
    return {}


async def _release_unused(call: Call, services: Services, allocation_id: str) -> None:
    """First it is no more, then the zones are asked again: a task that gets it looks in the other order.

    Killed in between, it is released, and in the pool for others when the task is gone: what tasks have is not given.
    Raises AddressNotFound, AddressInUse.
    """
    network, account = services.network, call.account
    found = addresses.required_address(network.shelf(account), allocation_id)
    if found.public_ip in await public_addresses(services):
        raise AddressInUse(found.public_ip)
    gone = await network.change(account, lambda shelf: addresses.release(shelf, allocation_id))
    if gone.public_ip in await public_addresses(services):
        await network.change(account, lambda shelf: addresses.take_again(shelf, gone))
        raise AddressInUse(gone.public_ip)
    await services.network.change(POOL, lambda pool: public_pool.take_back(pool, gone.public_ip, allocation_id))


_FIELDS: dict[str, Field[Shown]] = {
    "allocation-id": at("AllocationId"),
    "association-id": at("AssociationId"),
    "domain": at("Domain"),
    "instance-id": at("InstanceId"),
    "network-border-group": at("NetworkBorderGroup"),
    "network-interface-id": at("NetworkInterfaceId"),
    "network-interface-owner-id": at("NetworkInterfaceOwnerId"),
    "private-ip-address": at("PrivateIpAddress"),
    "public-ip": at("PublicIp"),
    "service-managed": at("ServiceManaged"),
}


async def describe_addresses(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    named = _named(shelf, params)
    tasks = await _tasks_with(call, services, named)
    shown = [_shown(shelf, one, tasks.get(one.public_ip)) for one in named]
    return {"Addresses": select(shown, params.get("Filters"), _FIELDS, tags_of)}


def _named(shelf: Shelf, params: Params) -> list[ElasticAddress]:
    """By allocation id, by address, or all. Raises AddressNotFound, AddressMalformed, AddressUnknown."""
    found = list(shelf.all(ElasticAddress))
    wanted = params.get("AllocationIds") or []
    missing = [one[:255] for one in dict.fromkeys(wanted) if shelf.find(ElasticAddress, one) is None]
    if missing:
        raise AddressNotFound(missing)
    by_address = {one.public_ip for one in found}
    public = params.get("PublicIps") or []
    for one in public:
        try:
            IPv4Address(one)
        except AddressValueError as error:
            raise AddressMalformed(one) from error
        if one not in by_address:
            raise AddressUnknown(one)
    if not wanted and not public:
        return found
    return [one for one in found if one.name in wanted or one.public_ip in public]


async def _tasks_with(call: Call, services: Services, named: list[ElasticAddress]) -> dict[str, Shown]:
    """Address -> interface of the task of a service that has it."""
    wanted = {one.public_ip for one in named}
    if wanted.isdisjoint(await public_addresses(services)):
        return {}
    enis = await all_enis(services, call.account)
    with_public = ((eni["Association"].get("PublicIp"), eni) for eni in enis if "Association" in eni)
    return {public_ip: eni for public_ip, eni in with_public if public_ip in wanted}


def _shown(shelf: Shelf, address: ElasticAddress, eni: Shown | None) -> Shown:
    shown: Shown = {
        "AllocationId": address.name,
        "Domain": "vpc",
        "PublicIpv4Pool": _AMAZON,
        "NetworkBorderGroup": address.border_group,
        "PublicIp": address.public_ip,
    }
    user = addresses.user_of(shelf, address.name)
    if user is not None:
        shown |= _use(user, shelf.account)
    elif eni is not None:
        shown |= {
            "AssociationId": eni["Association"]["AssociationId"],
            "NetworkInterfaceId": eni["NetworkInterfaceId"],
            "NetworkInterfaceOwnerId": eni["OwnerId"],
            "PrivateIpAddress": eni["PrivateIpAddress"],
        }
    return shown | ({"Tags": tag_list(address.tags)} if address.tags else {})


def _use(user: NatGateway | Node, account: str) -> Shown:
    """Interface and private address are known when the gateway, or the node, has its place."""
    placed = {"NetworkInterfaceId": user.eni_id, "PrivateIpAddress": user.private_ip}
    return {
        "AssociationId": user.association_id,
        "NetworkInterfaceOwnerId": account,
        **{name: value for name, value in placed.items() if value is not None},
    }


async def describe_addresses_attribute(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    found = _named(shelf, params | {"PublicIps": None})
    # One that has no attribute is not listed, as on AWS.
    named = [one for one in found if one.domain_name is not None]
    shown, token = page(named, params, lambda one: one.name, "AllocationIds")
    return with_token({"Addresses": [_attribute(one) for one in shown]}, token)


async def modify_address_attribute(call: Call, services: Services, params: Params) -> Answer:
    """The name is kept and shown. Nobody's DNS asks this region for names of its public addresses."""
    resource = address_resource(call, services, params.get("AllocationId"))
    authorize(call, "ec2:ModifyAddressAttribute", [resource], region_key(call))
    allocation_id, name = required(params, "AllocationId"), required(params, "DomainName")
    if not _DOMAIN_NAME.fullmatch(name):
        raise InvalidParameterValue(f"Value ({name[:255]}) for parameter domainName is invalid. It is no domain name.")
    return await _name(call, services, params, allocation_id, name.rstrip(".").lower() + ".")


async def reset_address_attribute(call: Call, services: Services, params: Params) -> Answer:
    resource = address_resource(call, services, params.get("AllocationId"))
    authorize(call, "ec2:ResetAddressAttribute", [resource], region_key(call))
    return await _name(call, services, params, required(params, "AllocationId"), None)


async def _name(call: Call, services: Services, params: Params, allocation_id: str, name: str | None) -> Answer:
    addresses.required_address(services.network.shelf(call.account), allocation_id)
    stop_if_dry_run(params)
    changed = await services.network.change(
        call.account, lambda shelf: addresses.name_address(shelf, allocation_id, name)
    )
    return {"Address": _attribute(changed)}


def _attribute(address: ElasticAddress) -> dict[str, Any]:
    shown = {"PublicIp": address.public_ip, "AllocationId": address.name}
    return shown | ({"PtrRecord": address.domain_name} if address.domain_name is not None else {})


async def associate_address(call: Call, services: Services, params: Params) -> Answer:
    """Always refused: of interfaces that are callers' own none is attached to anything."""
    interface_id, instance_id = params.get("NetworkInterfaceId"), params.get("InstanceId")
    resources = [address_resource(call, services, params.get("AllocationId"))]
    if interface_id:
        resources.append(Resource(arn=resource_arn(call, "network-interface", interface_id)))
    if instance_id:
        resources.append(Resource(arn=resource_arn(call, "instance", instance_id)))
    authorize(call, "ec2:AssociateAddress", resources, region_key(call))
    if params.get("PublicIp"):
        raise InvalidParameterCombination("You must specify an allocation id when mapping an address to a VPC instance")
    if not interface_id and not instance_id:
        raise MissingParameter("networkInterfaceId or instanceId")
    again = bool(params.get("AllowReassociation", True))
    allocation_id = required(params, "AllocationId")
    addresses.required_address(services.network.shelf(call.account), allocation_id)
    if instance_id:
        raise InstanceNotFound([instance_id[:255]])
    check_id(str(interface_id), "eni", NetworkInterfaceIdMalformed)
    if not await all_enis(services, call.account, [str(interface_id)]):
        raise NetworkInterfaceNotFound([str(interface_id)])
    shelf = services.network.shelf(call.account)
    addresses.check_associable(shelf, allocation_id, again=again)
    address = addresses.required_address(shelf, allocation_id)
    if address.public_ip in await public_addresses(services):
        raise AddressInUse(address.public_ip)
    if shelf.find(NetworkInterface, str(interface_id)) is not None:
        raise NotBuilt("An interface that a caller made is attached to nothing: an address would lead nowhere.")
    raise ManagedByAService


async def disassociate_address(call: Call, services: Services, params: Params) -> Answer:
    """Always refused: a gateway has it until it is deleted, a service's task until it stops."""
    association_id = params.get("AssociationId") or ""
    shelf = services.network.shelf(call.account)
    user = next((one for one in shelf.all(NatGateway) if one.association_id == association_id and association_id), None)
    resource = address_resource(call, services, user.allocation_id if user is not None else None)
    authorize(call, "ec2:DisassociateAddress", [resource], region_key(call))
    if params.get("PublicIp") and not association_id:
        raise InvalidParameterValue("You must specify an association id when unmapping an address from a VPC instance")
    addresses.check_dissociable(shelf, required(params, "AssociationId"), await _of_tasks(call, services))
    return {}


async def _of_tasks(call: Call, services: Services) -> set[str]:
    tasks = await _tasks_with(call, services, list(services.network.shelf(call.account).all(ElasticAddress)))
    return {str(eni["Association"]["AssociationId"]) for eni in tasks.values()}


OPERATIONS: dict[str, Operation] = {
    "AllocateAddress": allocate_address,
    "AssociateAddress": associate_address,
    "DescribeAddresses": describe_addresses,
    "DescribeAddressesAttribute": describe_addresses_attribute,
    "DisassociateAddress": disassociate_address,
    "ModifyAddressAttribute": modify_address_attribute,
    "ReleaseAddress": release_address,
    "ResetAddressAttribute": reset_address_attribute,
}
