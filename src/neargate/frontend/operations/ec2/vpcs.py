"""DescribeVpcs."""

from typing import Any

from ...call import Answer, Call, Params
from ...network.errors import VpcIdMalformed, VpcNotFound
from ...network.objects import Vpc
from ...services import Services
from .asking import authorize_describing
from .filters import Field, select
from .request import named, page, stop_if_dry_run, with_token

_ASSOCIATED = "associated"


def _association_id(vpc: Vpc) -> str:
    return vpc.vpc_id.replace("vpc-", "vpc-cidr-assoc-", 1)


_FIELDS: dict[str, Field[Vpc]] = {
    "cidr": lambda vpc: (vpc.cidr,),
    "cidrBlock": lambda vpc: (vpc.cidr,),
    "cidr-block": lambda vpc: (vpc.cidr,),
    "cidr-block-association.association-id": lambda vpc: (_association_id(vpc),),
    "cidr-block-association.cidr-block": lambda vpc: (vpc.cidr,),
    "cidr-block-association.state": lambda _: (_ASSOCIATED,),
    "dhcp-options-id": lambda vpc: (vpc.dhcp_options_id,),
    "ipv6-cidr-block-association.association-id": lambda _: (),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda _: (),
    "ipv6-cidr-block-association.ipv6-pool": lambda _: (),
    "ipv6-cidr-block-association.state": lambda _: (),
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
        missing=VpcNotFound,
    )
    found = select(found, params.get("Filters"), _FIELDS, lambda _: ())
    found, token = page(found, params, lambda vpc: vpc.vpc_id, "VpcIds")
    return with_token({"Vpcs": [_shown(vpc) for vpc in found]}, token)


def _shown(vpc: Vpc) -> dict[str, Any]:
    association = {
        "AssociationId": _association_id(vpc),
        "CidrBlock": vpc.cidr,
        "CidrBlockState": {"State": _ASSOCIATED},
    }
    return {
        "OwnerId": vpc.account,
        "InstanceTenancy": "default",
        "CidrBlockAssociationSet": [association],
        "IsDefault": vpc.is_default,
        "VpcId": vpc.vpc_id,
        "State": "available",
        "CidrBlock": vpc.cidr,
        "DhcpOptionsId": vpc.dhcp_options_id,
    }
