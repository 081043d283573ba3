"""CreateNatGateway, DeleteNatGateway, DescribeNatGateways. The placing loop does what these record."""

from ipaddress import AddressValueError, IPv4Address
from typing import Any

from ....model.quotas import NAT_GATEWAYS_PER_ZONE
from ...authorize import Resource, Values, authorize
from ...call import Answer, Call, Params
from ...network.addressing import nat_gateways
from ...network.addressing.nat_gateways import WantedGateway
from ...network.errors.addresses import (
    ElasticIpMalformed,
    NatGatewayGone,
    NatGatewayMalformed,
    NotBuilt,
    SubnetMalformed,
)
from ...network.errors.common import InvalidParameterCombination, InvalidParameterValue
from ...network.records.objects import NatGateway
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .elastic_addresses import address_resource
from .filters import Field, select
from .request import check_id, client_token, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import new, required, required_id, subnet_resource
from .shown import Shown, at, tags_of
from .tags import tags_from

_NOT_BUILT = (
    *("AvailabilityZoneAddresses", "SecondaryAllocationIds", "SecondaryPrivateIpAddresses"),
    *("SecondaryPrivateIpAddressCount", "VpcId"),
)


async def create_nat_gateway(call: Call, services: Services, params: Params) -> Answer:
    resources = [new(call, "natgateway", tag_keys(params)), subnet_resource(call, services, params.get("SubnetId"))]
    if params.get("AllocationId"):
        resources.append(address_resource(call, services, params["AllocationId"]))
    authorize(call, "ec2:CreateNatGateway", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, "natgateway", "*"))
    wanted = _wanted(params)
    stop_if_dry_run(params)
    network, now = services.network, services.world.now()
    gateways_max = network.quota(call.account, NAT_GATEWAYS_PER_ZONE)
    made = await network.change(
        call.account, lambda shelf: nat_gateways.create(shelf, wanted, gateways_max, now, network.bits)
    )
    return {
        "NatGateway": _shown(made),
        **({"ClientToken": wanted.client_token} if wanted.client_token is not None else {}),
    }


def _wanted(params: Params) -> WantedGateway:
    """Raises what EC2 says of parameters that do not go together, and NotBuilt."""
    for name in _NOT_BUILT:
        if params.get(name):
            raise NotBuilt(f"{name} is not supported: a NAT gateway has one address, in one Availability Zone.")
    if params.get("AvailabilityMode", "zonal") != "zonal":
        raise NotBuilt("Regional NAT gateways are not supported. Create one in each Availability Zone.")
    is_public = params.get("ConnectivityType", "public") == "public"
    subnet_id = required(params, "SubnetId")
    check_id(subnet_id, "subnet", SubnetMalformed)
    allocation_id = params.get("AllocationId")
    if is_public:
        allocation_id = required(params, "AllocationId")
        check_id(allocation_id, "eipalloc", ElasticIpMalformed)
    elif allocation_id:
        raise InvalidParameterCombination("AllocationId cannot be specified for a private NAT gateway.")
    return WantedGateway(
        subnet_id=subnet_id,
        allocation_id=allocation_id or None,
        private_ip=_private_ip(params),
        client_token=client_token(params),
        tags=tags_from(params, "natgateway"),
    )


def _private_ip(params: Params) -> str | None:
    given = params.get("PrivateIpAddress")
    if not given:
        return None
    try:
        return str(IPv4Address(given))
    except AddressValueError as error:
        raise InvalidParameterValue(
            f"Value ({given[:255]}) for parameter privateIpAddress is invalid. Invalid IPv4 address."
        ) from error


async def delete_nat_gateway(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:DeleteNatGateway", [_resource(call, services, params.get("NatGatewayId"))], region_key(call))
    nat_id = required_id(params, "NatGatewayId", "nat", NatGatewayMalformed)
    nat_gateways.required_gateway(services.network.shelf(call.account), nat_id)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: nat_gateways.delete(shelf, nat_id))
    return {"NatGatewayId": nat_id}


def _resource(call: Call, services: Services, nat_id: object) -> Resource:
    found = services.network.shelf(call.account).find(NatGateway, str(nat_id or ""))
    keys: dict[str, Values] = {}
    arn = resource_arn(call, "natgateway", str(nat_id) if nat_id else "*")
    return Resource(arn=arn, tags=dict(found.tags) if found is not None else {}, keys=keys)


_FIELDS: dict[str, Field[Shown]] = {
    "connectivity-type": at("ConnectivityType"),
    "nat-gateway-id": at("NatGatewayId"),
    "state": at("State"),
    "subnet-id": at("SubnetId"),
    "vpc-id": at("VpcId"),
}


async def describe_nat_gateways(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        services.network.shelf(call.account).all(NatGateway),
        params.get("NatGatewayIds"),
        lambda nat: nat.name,
        prefix="nat",
        malformed=NatGatewayMalformed,
        missing=NatGatewayGone,
    )
    shown = select([_shown(one) for one in found], params.get("Filter"), _FIELDS, tags_of)
    shown, token = page(shown, params, lambda one: str(one["NatGatewayId"]), "NatGatewayIds")
    return with_token({"NatGateways": shown}, token)


def _shown(nat: NatGateway) -> Shown:
    shown: Shown = {
        "CreateTime": nat.created_at,
        "NatGatewayAddresses": [_address(nat)],
        "NatGatewayId": nat.name,
        "State": nat.state,
        "SubnetId": nat.subnet_id,
        "VpcId": nat.vpc_id,
        "ConnectivityType": "public" if nat.is_public else "private",
        "AvailabilityMode": "zonal",
    }
    later = {"DeleteTime": nat.deleted_at, "FailureCode": nat.failure_code, "FailureMessage": nat.failure_message}
    shown |= {name: value for name, value in later.items() if value is not None}
    return shown | ({"Tags": tag_list(nat.tags)} if nat.tags else {})


def _address(nat: NatGateway) -> dict[str, Any]:
    """While it is pending only the allocation is known, as on AWS."""
    known: dict[str, Any] = {"AllocationId": nat.allocation_id, "NetworkInterfaceId": nat.eni_id}
    known |= {"PrivateIp": nat.private_ip}
    if nat.state not in ("pending", "failed"):
        known |= {"PublicIp": nat.public_ip, "AssociationId": nat.association_id}
    status = {"available": "succeeded", "failed": "failed"}.get(nat.state)
    shown = known | {"IsPrimary": True, "Status": status}
    return {name: value for name, value in shown.items() if value is not None}


OPERATIONS: dict[str, Operation] = {
    "CreateNatGateway": create_nat_gateway,
    "DeleteNatGateway": delete_nat_gateway,
    "DescribeNatGateways": describe_nat_gateways,
}
