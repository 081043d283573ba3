"""DescribeVpcAttribute, ModifyVpcAttribute, AssociateVpcCidrBlock, DisassociateVpcCidrBlock."""

from collections.abc import Callable

from ....model.quotas import IPV4_BLOCKS_PER_VPC, IPV6_BLOCKS_PER_VPC
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, MissingParameter
from ...network.errors.vpcs import ValueInvalid, VpcAssociationNotFound
from ...network.records.objects import Vpc
from ...network.vpcs import changes as vpc_changes
from ...network.vpcs import networks as vpc_networks
from ...network.vpcs.networks import Association
from ...services import Operation, Services
from .asking import region_key
from .ipv6_pools import change_with_block, pool_of
from .request import stop_if_dry_run
from .routing import unnamed
from .vpc_objects import ASSOCIATING, DISASSOCIATING, ipv4_shown, ipv6_shown, vpc_asked, vpc_id_of
from .vpcs import check_pools

# As a request names it, as an answer does, as the record has it.
_ATTRIBUTES: dict[str, tuple[str, Callable[[Vpc], bool]]] = {
    "enableDnsSupport": ("EnableDnsSupport", lambda vpc: vpc.dns_support),
    "enableDnsHostnames": ("EnableDnsHostnames", lambda vpc: vpc.dns_hostnames),
    "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", lambda vpc: vpc.usage_metrics),
}


async def describe_vpc_attribute(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:DescribeVpcAttribute", [vpc_asked(call, services, params.get("VpcId"))], region_key(call))
    vpc_id = vpc_id_of(params)
    attribute = params.get("Attribute")
    if not attribute:
        raise MissingParameter("attribute")
    if attribute not in _ATTRIBUTES:
        raise ValueInvalid(attribute, "attribute", "Unknown attribute.")
    vpc = vpc_changes.required_vpc(services.network.shelf(call.account), vpc_id)
    stop_if_dry_run(params)
    member, value = _ATTRIBUTES[attribute]
    return {"VpcId": vpc_id, member: {"Value": value(vpc)}}


async def modify_vpc_attribute(call: Call, services: Services, params: Params) -> Answer:
    """One attribute a call."""
    authorize(call, "ec2:ModifyVpcAttribute", [vpc_asked(call, services, params.get("VpcId"))], region_key(call))
    vpc_id = vpc_id_of(params)
    given = {member: params[member] for member, _ in _ATTRIBUTES.values() if params.get(member) is not None}
    if not given:
        raise MissingParameter("attribute")
    if len(given) > 1:
        raise InvalidParameterCombination("You can modify only one attribute of a VPC at a time.")
    values = {member: one.get("Value") for member, one in given.items()}
    if None in values.values():
        raise MissingParameter(f"{next(iter(values))}.Value")
    await services.network.change(
        call.account,
        lambda shelf: vpc_changes.modify_vpc(
            shelf,
            vpc_id,
            dns_support=values.get("EnableDnsSupport"),
            dns_hostnames=values.get("EnableDnsHostnames"),
            usage_metrics=values.get("EnableNetworkAddressUsageMetrics"),
        ),
    )
    return {}


async def associate_vpc_cidr_block(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:AssociateVpcCidrBlock", [vpc_asked(call, services, params.get("VpcId"))], region_key(call))
    vpc_id = vpc_id_of(params)
    check_pools(params)
    cidr = params.get("CidrBlock")
    with_ipv6 = bool(params.get("AmazonProvidedIpv6CidrBlock")) or pool_of(params) is not None
    if not cidr and not with_ipv6:
        raise MissingParameter("cidrBlock")
    if cidr and with_ipv6:
        other = "ipv6Pool" if pool_of(params) else "amazonProvidedIpv6CidrBlock"
        raise InvalidParameterCombination(f"The parameter cidrBlock cannot be used with the parameter {other}")
    network = services.network
    made = await change_with_block(
        network,
        call.account,
        params,
        lambda shelf, block: (
            vpc_networks.associate_ipv4(
                shelf,
                vpc_id,
                cidr,
                network.quota(call.account, IPV4_BLOCKS_PER_VPC),
                network.bits,
                network.public_networks(),
            )
            if cidr
            else vpc_networks.associate_ipv6(
                shelf, vpc_id, network.region, network.quota(call.account, IPV6_BLOCKS_PER_VPC), network.bits, block
            )
        ),
    )
    return _shown(call, made, ASSOCIATING)


def _shown(call: Call, association: Association, state: str) -> Answer:
    if association.is_ipv6:
        return {
            "VpcId": association.vpc_id,
            "Ipv6CidrBlockAssociation": ipv6_shown(call, association.block, state),
        }
    return {"VpcId": association.vpc_id, "CidrBlockAssociation": ipv4_shown(association.block, state)}


async def disassociate_vpc_cidr_block(call: Call, services: Services, params: Params) -> Answer:
    given: str = params.get("AssociationId") or ""
    try:
        vpc, _ = vpc_networks.required_association(services.network.shelf(call.account), given)
        vpc_id: str | None = vpc.vpc_id
    except VpcAssociationNotFound:
        vpc_id = None
    authorize(
        call, "ec2:DisassociateVpcCidrBlock", [unnamed(call, vpc_asked(call, services, vpc_id))], region_key(call)
    )
    if not given:
        raise MissingParameter("associationId")
    gone = await services.network.change(call.account, lambda shelf: vpc_networks.disassociate(shelf, given[:255]))
    return _shown(call, gone, DISASSOCIATING)


OPERATIONS: dict[str, Operation] = {
    "AssociateVpcCidrBlock": associate_vpc_cidr_block,
    "DescribeVpcAttribute": describe_vpc_attribute,
    "DisassociateVpcCidrBlock": disassociate_vpc_cidr_block,
    "ModifyVpcAttribute": modify_vpc_attribute,
}
