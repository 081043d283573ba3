"""CreateVpc, CreateDefaultVpc, DeleteVpc, DescribeVpcs, and what Terraform's older providers ask of ClassicLink."""

from ....model.quotas import VPCS_PER_REGION
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    VpcIdMalformed,
)
from ...network.errors.common import VpcNotFound as NoSuchVpc
from ...network.errors.vpcs import IpamPoolNotFound, NotOffered, UnsupportedTenancy
from ...network.records.objects import Vpc
from ...network.vpcs import changes as vpc_changes
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .ipv6_pools import change_with_block, pool_of
from .request import named, page, resource_arn, stop_if_dry_run, with_token
from .tags import tags_from
from .vpc_objects import AMAZON, ASSOCIATED, tags_of, vpc_asked, vpc_id_of, vpc_shown


async def create_vpc(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "vpc", "*")
    authorize(call, "ec2:CreateVpc", [Resource(arn=made, keys=tag_keys(params))], region_key(call))
    authorize_tagging(call, params, made)
    check_pools(params)
    pool_of(params)
    cidr = params.get("CidrBlock")
    if not cidr:
        raise MissingParameter("cidrBlock")
    _check_tenancy(params.get("InstanceTenancy"))
    if params.get("VpcEncryptionControl"):
        raise NotOffered("VPC encryption controls are not there.")
    tags = tags_from(params, "vpc")
    stop_if_dry_run(params)
    network = services.network
    vpc = await change_with_block(
        network,
        call.account,
        params,
        lambda shelf, block: vpc_changes.create_vpc(
            shelf,
            cidr,
            tags,
            with_ipv6=bool(params.get("AmazonProvidedIpv6CidrBlock")),
            region=network.region,
            vpcs_max=network.quota(call.account, VPCS_PER_REGION),
            bits=network.bits,
            ipv6=block,
            public=network.public_networks(),
        ),
    )
    return {"Vpc": vpc_shown(call, vpc, state="pending")}


def check_pools(params: Params) -> None:
    """Networks are given as they are, or chosen here; nobody has pools of IPAM. Raises what says so."""
    for pool in ("Ipv4IpamPoolId", "Ipv6IpamPoolId"):
        if params.get(pool):
            raise IpamPoolNotFound(params[pool])
    if params.get("Ipv4NetmaskLength") is not None or params.get("Ipv6NetmaskLength") is not None:
        raise InvalidParameterCombination("A netmask length goes with the ID of an IPAM pool.")


def _check_tenancy(tenancy: str | None) -> None:
    """Whom tasks share a host with is the operator's word for the region; a host for each instance is not there."""
    if tenancy == "host":
        raise InvalidParameterValue("Value (host) for parameter instanceTenancy is invalid.")
    if tenancy not in (None, "", "default"):
        raise UnsupportedTenancy(tenancy)


async def create_default_vpc(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:CreateDefaultVpc", ["*"], region_key(call))
    stop_if_dry_run(params)
    network = services.network
    vpc = await network.change(
        call.account,
        lambda shelf: vpc_changes.create_default_vpc(
            shelf, network.region, network.zones, network.quota(call.account, VPCS_PER_REGION), network.bits
        ),
    )
    return {"Vpc": vpc_shown(call, vpc, state="pending")}


async def delete_vpc(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:DeleteVpc", [vpc_asked(call, services, params.get("VpcId"))], region_key(call))
    vpc_id = vpc_id_of(params)
    vpc_changes.required_vpc(services.network.shelf(call.account), vpc_id)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: vpc_changes.delete_vpc(shelf, vpc_id))
    return {}


async def modify_vpc_tenancy(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:ModifyVpcTenancy", [vpc_asked(call, services, params.get("VpcId"))], region_key(call))
    vpc_id = vpc_id_of(params)
    tenancy = params.get("InstanceTenancy")
    if not tenancy:
        raise MissingParameter("instanceTenancy")
    vpc_changes.required_vpc(services.network.shelf(call.account), vpc_id)
    if tenancy != "default":
        raise UnsupportedTenancy(tenancy)
    stop_if_dry_run(params)
    return {"ReturnValue": True}


_FIELDS: dict[str, Field[Vpc]] = {
    "cidr": lambda vpc: (vpc.cidr,),
    "cidrBlock": lambda vpc: (vpc.cidr,),
    "cidr-block": lambda vpc: (vpc.cidr,),
    "cidr-block-association.association-id": lambda vpc: (block.association_id for block in vpc.blocks),
    "cidr-block-association.cidr-block": lambda vpc: (block.cidr for block in vpc.blocks),
    "cidr-block-association.state": lambda _: (ASSOCIATED,),
    "dhcp-options-id": lambda vpc: (vpc.dhcp_options_id,),
    "dhcpOptionsId": lambda vpc: (vpc.dhcp_options_id,),
    "ipv6-cidr-block-association.association-id": lambda vpc: (block.association_id for block in vpc.ipv6),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda vpc: (block.cidr for block in vpc.ipv6),
    "ipv6-cidr-block-association.ipv6-pool": lambda vpc: (block.pool or AMAZON for block in vpc.ipv6),
    "ipv6-cidr-block-association.state": lambda vpc: (ASSOCIATED for _ in vpc.ipv6),
    "is-default": lambda vpc: (str(vpc.is_default).lower(),),
    "isDefault": lambda vpc: (str(vpc.is_default).lower(),),
    "owner-id": lambda vpc: (vpc.account,),
    "state": lambda _: ("available",),
    "vpc-id": lambda vpc: (vpc.vpc_id,),
}


async def describe_vpcs(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        services.network.vpcs(call.account),
        params.get("VpcIds"),
        lambda vpc: vpc.vpc_id,
        prefix="vpc",
        malformed=VpcIdMalformed,
        missing=NoSuchVpc,
    )
    found = select(found, params.get("Filters"), _FIELDS, tags_of)
    found, token = page(found, params, lambda vpc: vpc.vpc_id, "VpcIds")
    return with_token({"Vpcs": [vpc_shown(call, vpc) for vpc in found]}, token)


async def describe_classic_link(call: Call, services: Services, params: Params) -> Answer:
    """EC2-Classic is gone; regions without it have always answered this. Terraform's provider asked until its 5.0."""
    del services
    authorize_describing(call)
    stop_if_dry_run(params)
    raise NotOffered


OPERATIONS: dict[str, Operation] = {
    "CreateDefaultVpc": create_default_vpc,
    "CreateVpc": create_vpc,
    "DeleteVpc": delete_vpc,
    "DescribeVpcClassicLink": describe_classic_link,
    "DescribeVpcClassicLinkDnsSupport": describe_classic_link,
    "DescribeVpcs": describe_vpcs,
    "ModifyVpcTenancy": modify_vpc_tenancy,
}
