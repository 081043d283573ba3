"""CreateNetworkAcl, DeleteNetworkAcl, DescribeNetworkAcls, ReplaceNetworkAclAssociation."""

from functools import partial
from typing import Any

from msgspec import Struct

from ....model.quotas import NETWORK_ACLS_PER_VPC
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.acls import AclAssociationIdMalformed, NetworkAclIdMalformed, NetworkAclNotFound
from ...network.errors.common import VpcIdMalformed
from ...network.filters.acls import acl_of_association, all_entries, create_acl, delete_acl, replace_association
from ...network.records.objects import AclEntry, NetworkAcl, Subnet, Vpc
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys, vpc_resource
from .filters import Field, select
from .request import check_id, client_token, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .tags import tags_from

PROTOCOL_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


class Shown(Struct, frozen=True, kw_only=True):
    record: NetworkAcl
    entries: tuple[AclEntry, ...]


def shown(services: Services, acl: NetworkAcl) -> Shown:
    vpc = services.network.shelf(acl.account).find(Vpc, acl.vpc_id)
    with_ipv6 = (vpc is not None and bool(vpc.ipv6)) or any(one.cidr_ipv6 is not None for one in acl.entries)
    return Shown(record=acl, entries=all_entries(acl, with_ipv6=with_ipv6))


def acl_resource(call: Call, services: Services, acl_id: str) -> Resource:
    acl = services.network.shelf(call.account).find(NetworkAcl, acl_id)
    arn = resource_arn(call, "network-acl", acl_id)
    if acl is None:
        return Resource(arn=arn)
    return Resource(arn=arn, tags=dict(acl.tags), keys={"ec2:Vpc": resource_arn(call, "vpc", acl.vpc_id)})


async def create(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "network-acl", "*")
    resources = [vpc_resource(call, services, params["VpcId"]), Resource(arn=made, keys=tag_keys(params))]
    authorize(call, "ec2:CreateNetworkAcl", resources, region_key(call))
    authorize_tagging(call, params, made)
    check_id(params["VpcId"], "vpc", VpcIdMalformed)
    tags, token = tags_from(params, "network-acl"), client_token(params)
    stop_if_dry_run(params)
    decide = partial(
        create_acl,
        vpc_id=params["VpcId"],
        tags=tags,
        client_token=token,
        acls_max=services.network.quota(call.account, NETWORK_ACLS_PER_VPC),
        bits=services.network.bits,
    )
    acl = await services.network.change(call.account, decide)
    answer = {"NetworkAcl": members(shown(services, acl))}
    return answer | ({"ClientToken": token} if token else {})


async def delete(call: Call, services: Services, params: Params) -> Answer:
    acl_id = params["NetworkAclId"]
    authorize(call, "ec2:DeleteNetworkAcl", [acl_resource(call, services, acl_id)], region_key(call))
    check_id(acl_id, "acl", NetworkAclIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: delete_acl(shelf, acl_id))
    return {}


async def replace(call: Call, services: Services, params: Params) -> Answer:
    """Asked for on the ACL that the subnet gets, and on the subnet."""
    association_id, acl_id = params["AssociationId"], params["NetworkAclId"]
    shelf = services.network.shelf(call.account)
    known = acl_of_association(shelf, association_id)
    subnet = None if known is None else shelf.find(Subnet, known[1].subnet_id)
    resources = [acl_resource(call, services, acl_id)]
    if subnet is not None:
        keys = {"ec2:Vpc": resource_arn(call, "vpc", subnet.vpc_id)}
        arn = resource_arn(call, "subnet", subnet.name)
        resources.append(Resource(arn=arn, tags=dict(subnet.tags), keys=keys))
    authorize(call, "ec2:ReplaceNetworkAclAssociation", resources, region_key(call))
    check_id(association_id, "aclassoc", AclAssociationIdMalformed)
    check_id(acl_id, "acl", NetworkAclIdMalformed)
    stop_if_dry_run(params)
    decide = partial(replace_association, association_id=association_id, acl_id=acl_id, bits=services.network.bits)
    return {"NewAssociationId": await services.network.change(call.account, decide)}


def _of_entries(choose: Any) -> Field[Shown]:
    return lambda one: (str(value) for entry in one.entries if (value := choose(entry)) is not None)


_FIELDS: dict[str, Field[Shown]] = {
    "association.association-id": lambda one: (each.association_id for each in one.record.associations),
    "association.network-acl-id": lambda one: (one.record.name for _ in one.record.associations),
    "association.subnet-id": lambda one: (each.subnet_id for each in one.record.associations),
    "default": lambda one: (str(one.record.is_default).lower(),),
    "entry.cidr": _of_entries(lambda entry: entry.cidr_ipv4),
    "entry.egress": _of_entries(lambda entry: str(entry.is_egress).lower()),
    "entry.icmp.code": _of_entries(lambda entry: entry.icmp_code),
    "entry.icmp.type": _of_entries(lambda entry: entry.icmp_type),
    "entry.ipv6-cidr": _of_entries(lambda entry: entry.cidr_ipv6),
    "entry.port-range.from": _of_entries(lambda entry: entry.from_port),
    "entry.port-range.to": _of_entries(lambda entry: entry.to_port),
    "entry.protocol": lambda one: (
        name for entry in one.entries for name in (entry.protocol, PROTOCOL_NAMES.get(entry.protocol, entry.protocol))
    ),
    "entry.rule-action": _of_entries(lambda entry: "allow" if entry.allow else "deny"),
    "entry.rule-number": _of_entries(lambda entry: entry.number),
    "network-acl-id": lambda one: (one.record.name,),
    "owner-id": lambda one: (one.record.account,),
    "vpc-id": lambda one: (one.record.vpc_id,),
}


def _id(one: Shown) -> str:
    return one.record.name


async def describe(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    records = named(
        services.network.shelf(call.account).all(NetworkAcl),
        params.get("NetworkAclIds"),
        lambda acl: acl.name,
        prefix="acl",
        malformed=NetworkAclIdMalformed,
        missing=NetworkAclNotFound,
    )
    all_shown = [shown(services, acl) for acl in records]
    found = select(all_shown, params.get("Filters"), _FIELDS, lambda one: one.record.tags)
    found, token = page(found, params, _id, "NetworkAclIds")
    return with_token({"NetworkAcls": [members(one) for one in found]}, token)


def members(one: Shown) -> dict[str, Any]:
    acl = one.record
    return {
        "Associations": [
            {
                "NetworkAclAssociationId": each.association_id,
                "NetworkAclId": acl.name,
                "SubnetId": each.subnet_id,
            }
            for each in acl.associations
        ],
        "Entries": [_entry(entry) for entry in one.entries],
        "IsDefault": acl.is_default,
        "NetworkAclId": acl.name,
        "Tags": tag_list(acl.tags),
        "VpcId": acl.vpc_id,
        "OwnerId": acl.account,
    }


def _entry(entry: AclEntry) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Egress": entry.is_egress,
        "Protocol": entry.protocol,
        "RuleAction": "allow" if entry.allow else "deny",
        "RuleNumber": entry.number,
    }
    if entry.cidr_ipv4 is not None:
        answer["CidrBlock"] = entry.cidr_ipv4
    if entry.cidr_ipv6 is not None:
        answer["Ipv6CidrBlock"] = entry.cidr_ipv6
    if entry.from_port is not None and entry.to_port is not None:
        answer["PortRange"] = {"From": entry.from_port, "To": entry.to_port}
    if entry.icmp_type is not None and entry.icmp_code is not None:
        answer["IcmpTypeCode"] = {"Type": entry.icmp_type, "Code": entry.icmp_code}
    return answer


OPERATIONS: dict[str, Operation] = {
    "CreateNetworkAcl": create,
    "DeleteNetworkAcl": delete,
    "DescribeNetworkAcls": describe,
    "ReplaceNetworkAclAssociation": replace,
}
