"""Internet gateways, and the egress-only ones of IPv6."""

from ....model.quotas import EGRESS_ONLY_GATEWAYS_PER_REGION, INTERNET_GATEWAYS_PER_REGION
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import VpcIdMalformed
from ...network.errors.routing import (
    EgressOnlyGatewayIdMalformed,
    InternetGatewayIdMalformed,
    InternetGatewayNotFound,
)
from ...network.records.objects import EgressOnlyGateway, InternetGateway
from ...network.routing import gateways
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .groups import all_enis
from .request import check_id, client_token, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import egress_only_resource, gateway_resource, named_vpc, new, required_id
from .shown import Shown, at, tags_of
from .tags import tags_from

_EGRESS_ONLY = "egress-only-internet-gateway"


async def create_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:CreateInternetGateway", [new(call, "internet-gateway", tag_keys(params))], region_key(call))
    authorize_tagging(call, params, resource_arn(call, "internet-gateway", "*"))
    tags = tags_from(params, "internet-gateway")
    stop_if_dry_run(params)
    network = services.network
    gateways_max = network.quota(call.account, INTERNET_GATEWAYS_PER_REGION)
    gateway = await network.change(
        call.account, lambda shelf: gateways.create_gateway(shelf, tags, gateways_max, network.bits)
    )
    return {"InternetGateway": _shown(gateway)}


async def delete_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    resources = [gateway_resource(call, services, params.get("InternetGatewayId"))]
    authorize(call, "ec2:DeleteInternetGateway", resources, region_key(call))
    gateway_id = required_id(params, "InternetGatewayId", "igw", InternetGatewayIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: gateways.delete_gateway(shelf, gateway_id))
    return {}


def _both(call: Call, services: Services, params: Params) -> tuple[str, str]:
    """Asks leave for the gateway and the VPC, and checks their ids."""
    resources = [
        gateway_resource(call, services, params.get("InternetGatewayId")),
        named_vpc(call, services, params.get("VpcId")),
    ]
    authorize(call, f"ec2:{call.operation}", resources, region_key(call))
    gateway_id = required_id(params, "InternetGatewayId", "igw", InternetGatewayIdMalformed)
    return gateway_id, required_id(params, "VpcId", "vpc", VpcIdMalformed)


async def attach_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    gateway_id, vpc_id = _both(call, services, params)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: gateways.attach(shelf, gateway_id, vpc_id))
    return {}


async def detach_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    gateway_id, vpc_id = _both(call, services, params)
    stop_if_dry_run(params)
    enis = await all_enis(services, call.account)
    has_public = any(eni["VpcId"] == vpc_id and eni.get("Association") for eni in enis)
    await services.network.change(
        call.account, lambda shelf: gateways.detach(shelf, gateway_id, vpc_id, has_public=has_public)
    )
    return {}


_FIELDS: dict[str, Field[Shown]] = {
    "attachment.state": at("Attachments", "State"),
    "attachment.vpc-id": at("Attachments", "VpcId"),
    "internet-gateway-id": at("InternetGatewayId"),
    "owner-id": at("OwnerId"),
}


async def describe_internet_gateways(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        services.network.shelf(call.account).all(InternetGateway),
        params.get("InternetGatewayIds"),
        lambda gateway: gateway.name,
        prefix="igw",
        malformed=InternetGatewayIdMalformed,
        missing=InternetGatewayNotFound,
    )
    shown = select(map(_shown, found), params.get("Filters"), _FIELDS, tags_of)
    shown, token = page(shown, params, lambda one: str(one["InternetGatewayId"]), "InternetGatewayIds")
    return with_token({"InternetGateways": shown}, token)


def _shown(gateway: InternetGateway) -> Shown:
    attachments = [] if gateway.vpc_id is None else [{"State": "available", "VpcId": gateway.vpc_id}]
    return {
        "Attachments": attachments,
        "InternetGatewayId": gateway.name,
        "OwnerId": gateway.account,
        "Tags": tag_list(gateway.tags),
    }


# -- egress-only


async def create_egress_only_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    resources = [named_vpc(call, services, params.get("VpcId")), new(call, _EGRESS_ONLY, tag_keys(params))]
    authorize(call, "ec2:CreateEgressOnlyInternetGateway", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _EGRESS_ONLY, "*"))
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    tags = tags_from(params, _EGRESS_ONLY)
    token = client_token(params)
    stop_if_dry_run(params)
    network = services.network
    gateways_max = network.quota(call.account, EGRESS_ONLY_GATEWAYS_PER_REGION)
    gateway = await network.change(
        call.account,
        lambda shelf: gateways.create_egress_only(shelf, vpc_id, tags, token, gateways_max, network.bits),
    )
    answer: Shown = {"EgressOnlyInternetGateway": _egress_only_shown(gateway)}
    return answer | ({"ClientToken": token} if token else {})


async def delete_egress_only_internet_gateway(call: Call, services: Services, params: Params) -> Answer:
    resources = [egress_only_resource(call, services, params.get("EgressOnlyInternetGatewayId"))]
    authorize(call, "ec2:DeleteEgressOnlyInternetGateway", resources, region_key(call))
    gateway_id = required_id(params, "EgressOnlyInternetGatewayId", "eigw", EgressOnlyGatewayIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: gateways.delete_egress_only(shelf, gateway_id))
    return {"ReturnCode": True}


async def describe_egress_only_internet_gateways(call: Call, services: Services, params: Params) -> Answer:
    """It has no filters but those of tags, and leaves out ids that are not there: clients look for an empty list."""
    authorize_describing(call)
    stop_if_dry_run(params)
    wanted = params.get("EgressOnlyInternetGatewayIds") or ()
    for one in wanted:
        check_id(one, "eigw", EgressOnlyGatewayIdMalformed)
    everything = services.network.shelf(call.account).all(EgressOnlyGateway)
    found = [gateway for gateway in everything if not wanted or gateway.name in wanted]
    shown = select(map(_egress_only_shown, found), params.get("Filters"), {}, tags_of)
    ids_of = "EgressOnlyInternetGatewayIds"
    shown, token = page(shown, params, lambda one: str(one["EgressOnlyInternetGatewayId"]), ids_of)
    return with_token({"EgressOnlyInternetGateways": shown}, token)


def _egress_only_shown(gateway: EgressOnlyGateway) -> Shown:
    return {
        "Attachments": [{"State": "attached", "VpcId": gateway.vpc_id}],
        "EgressOnlyInternetGatewayId": gateway.name,
        "Tags": tag_list(gateway.tags),
    }


OPERATIONS: dict[str, Operation] = {
    "AttachInternetGateway": attach_internet_gateway,
    "CreateEgressOnlyInternetGateway": create_egress_only_internet_gateway,
    "CreateInternetGateway": create_internet_gateway,
    "DeleteEgressOnlyInternetGateway": delete_egress_only_internet_gateway,
    "DeleteInternetGateway": delete_internet_gateway,
    "DescribeEgressOnlyInternetGateways": describe_egress_only_internet_gateways,
    "DescribeInternetGateways": describe_internet_gateways,
    "DetachInternetGateway": detach_internet_gateway,
}
