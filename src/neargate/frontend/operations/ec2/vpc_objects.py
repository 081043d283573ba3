"""VPCs, subnets and DHCP options as policies hear of them and as EC2 shows them. Reads only."""

from typing import Any

from ...authorize import Resource, Values
from ...call import Call, Params
from ...network.errors.common import MissingParameter, SubnetIdMalformed, VpcIdMalformed
from ...network.errors.vpcs import DhcpOptionsIdMalformed
from ...network.records.objects import CidrBlock, DhcpOptions, Subnet, Tags, Vpc
from ...network.vpcs.dhcp import NONE
from ...services import Services
from .request import check_id, resource_arn, tag_list

ASSOCIATED, ASSOCIATING, DISASSOCIATING = "associated", "associating", "disassociating"
AMAZON = "Amazon"  # the pool that IPv6 networks come from


# -- what a request names


def vpc_id_of(params: Params) -> str:
    """Raises MissingParameter, VpcIdMalformed."""
    vpc_id: str | None = params.get("VpcId")
    if not vpc_id:
        raise MissingParameter("vpcId")
    check_id(vpc_id, "vpc", VpcIdMalformed)
    return vpc_id


def subnet_id_of(params: Params) -> str:
    """Raises MissingParameter, SubnetIdMalformed."""
    subnet_id: str | None = params.get("SubnetId")
    if not subnet_id:
        raise MissingParameter("subnetId")
    check_id(subnet_id, "subnet", SubnetIdMalformed)
    return subnet_id


def options_id_of(params: Params) -> str:
    """Raises MissingParameter, DhcpOptionsIdMalformed."""
    options_id: str | None = params.get("DhcpOptionsId")
    if not options_id:
        raise MissingParameter("dhcpOptionsId")
    if options_id != NONE:
        check_id(options_id, "dopt", DhcpOptionsIdMalformed)
    return options_id


# -- as policies hear of them


def vpc_asked(call: Call, services: Services, vpc_id: str | None) -> Resource:
    found = services.network.shelf(call.account).find(Vpc, vpc_id or "")
    keys: dict[str, Values] = {"ec2:VpcID": vpc_id or "*", "ec2:Tenancy": "default"}
    return Resource(
        arn=resource_arn(call, "vpc", vpc_id or "*"), tags=dict(found.tags) if found is not None else {}, keys=keys
    )


def subnet_asked(call: Call, services: Services, subnet_id: str | None) -> Resource:
    found = services.network.shelf(call.account).find(Subnet, subnet_id or "")
    arn = resource_arn(call, "subnet", subnet_id or "*")
    if found is None:
        return Resource(arn=arn)
    keys: dict[str, Values] = {
        "ec2:AvailabilityZone": found.zone,
        "ec2:SubnetID": found.name,
        "ec2:Vpc": resource_arn(call, "vpc", found.vpc_id),
    }
    return Resource(arn=arn, tags=dict(found.tags), keys=keys)


def options_asked(call: Call, services: Services, options_id: str | None) -> Resource:
    found = services.network.shelf(call.account).find(DhcpOptions, options_id or "")
    return Resource(
        arn=resource_arn(call, "dhcp-options", options_id or "*"),
        tags=dict(found.tags) if found is not None else {},
        keys={"ec2:DhcpOptionsID": options_id or "*"},
    )


# -- as EC2 shows them


def vpc_shown(call: Call, vpc: Vpc, *, state: str = "available") -> dict[str, Any]:
    shown: dict[str, Any] = {
        "OwnerId": vpc.account,
        "InstanceTenancy": "default",
        "CidrBlockAssociationSet": [ipv4_shown(block) for block in vpc.blocks],
        "IsDefault": vpc.is_default,
        "VpcId": vpc.vpc_id,
        "State": state,
        "CidrBlock": vpc.cidr,
        "DhcpOptionsId": vpc.dhcp_options_id,
    }
    if vpc.ipv6:
        first = ASSOCIATED if state == "available" else ASSOCIATING
        shown["Ipv6CidrBlockAssociationSet"] = [ipv6_shown(call, block, first) for block in vpc.ipv6]
    return shown | ({"Tags": tag_list(vpc.tags)} if vpc.tags else {})


def ipv4_shown(block: CidrBlock, state: str = ASSOCIATED) -> dict[str, Any]:
    return {"AssociationId": block.association_id, "CidrBlock": block.cidr, "CidrBlockState": {"State": state}}


def ipv6_shown(call: Call, block: CidrBlock, state: str = ASSOCIATED) -> dict[str, Any]:
    """A VPC's."""
    return subnet_ipv6_shown(block, state) | {"NetworkBorderGroup": call.region, "Ipv6Pool": block.pool or AMAZON}


def subnet_ipv6_shown(block: CidrBlock, state: str = ASSOCIATED) -> dict[str, Any]:
    return {
        "AssociationId": block.association_id,
        "Ipv6CidrBlock": block.cidr,
        "Ipv6CidrBlockState": {"State": state},
        "Ipv6AddressAttribute": "public",
        "IpSource": "amazon" if block.cidr.startswith("fd") else "byoip",
    }


def subnet_shown(call: Call, subnet: Subnet, free: int) -> dict[str, Any]:
    """`free`: addresses left."""
    shown: dict[str, Any] = {
        "AvailabilityZone": subnet.zone,
        "AvailabilityZoneId": subnet.zone_id,
        "AvailableIpAddressCount": free,
        "CidrBlock": subnet.cidr,
        "DefaultForAz": subnet.default_for_zone,
        "MapPublicIpOnLaunch": subnet.map_public_ip,
        "MapCustomerOwnedIpOnLaunch": False,
        "State": "available",
        "SubnetId": subnet.name,
        "VpcId": subnet.vpc_id,
        "OwnerId": subnet.account,
        "AssignIpv6AddressOnCreation": subnet.assign_ipv6,
        "Ipv6CidrBlockAssociationSet": [subnet_ipv6_shown(block) for block in subnet.ipv6],
        "SubnetArn": resource_arn(call, "subnet", subnet.name),
        "EnableDns64": subnet.dns64,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": subnet.hostname_type,
            "EnableResourceNameDnsARecord": subnet.resource_name_a,
            "EnableResourceNameDnsAAAARecord": subnet.resource_name_aaaa,
        },
    }
    return shown | ({"Tags": tag_list(subnet.tags)} if subnet.tags else {})


def options_shown(options: DhcpOptions) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "DhcpOptionsId": options.name,
        "OwnerId": options.account,
        "DhcpConfigurations": [
            {"Key": key, "Values": [{"Value": value} for value in values]} for key, values in options.configurations
        ],
    }
    return shown | ({"Tags": tag_list(options.tags)} if options.tags else {})


def tags_of(owned: Vpc | Subnet | DhcpOptions) -> Tags:
    return owned.tags
