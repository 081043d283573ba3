"""VPC peering connections: request, accept, reject, delete, describe, options."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ....model.quotas import PEERINGS_OUTSTANDING, PEERINGS_PER_VPC
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterValue, MissingParameter, VpcIdMalformed
from ...network.errors.routing import NotPermitted, PeeringIdMalformed, PeeringNotFound, Unsupported
from ...network.peering import peerings
from ...network.records.objects import Peering, Vpc
from ...regional.shelves import Shelf
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import named_vpc, new, peering_resource, required_id, unnamed, vpc_arn
from .shown import Shown, at, tags_of
from .tags import tags_from

_KIND = "vpc-peering-connection"
_NAMES = "AllowDnsResolutionFromRemoteVpc"
_CLASSIC_LINK = ("AllowEgressFromLocalClassicLinkToRemoteVpc", "AllowEgressFromLocalVpcToRemoteClassicLink")
_MULTIPATH = ("AllowMultipathResilience", "MultipathResilienceMode")
_SIDES = ("RequesterPeeringConnectionOptions", "AccepterPeeringConnectionOptions")


async def create_vpc_peering_connection(call: Call, services: Services, params: Params) -> Answer:
    ends: dict[str, Any] = {
        "ec2:RequesterVpc": vpc_arn(call, str(params.get("VpcId") or "*")),
        "ec2:AccepterVpc": vpc_arn(call, str(params.get("PeerVpcId") or "*")),
    }
    resources = [named_vpc(call, services, params.get("VpcId")), new(call, _KIND, tag_keys(params) | ends)]
    authorize(call, "ec2:CreateVpcPeeringConnection", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    peer_vpc_id = required_id(params, "PeerVpcId", "vpc", VpcIdMalformed)
    if params.get("PeerOwnerId") not in (None, "", call.account):
        raise NotPermitted("Neargate peers VPCs of one account only.")
    if params.get("PeerRegion") not in (None, "", services.region):
        raise NotPermitted("Neargate peers VPCs of one region only.")
    _refuse_multipath(params.get("RequesterPeeringConnectionOptions") or {})
    tags = tags_from(params, _KIND)
    stop_if_dry_run(params)
    network = services.network
    requests_max = network.quota(call.account, PEERINGS_OUTSTANDING)
    peering = await network.change(
        call.account,
        lambda shelf: peerings.request_peering(shelf, vpc_id, peer_vpc_id, tags, call.now, requests_max, network.bits),
    )
    shown = _shown(network.shelf(call.account), peering, services.region, call.now)
    # What became of the request, the next look tells, as on AWS.
    told = {"Code": "initiating-request", "Message": f"Initiating Request to {call.account}"}
    return {"VpcPeeringConnection": shown | {"Status": told}}


def _asked(call: Call, services: Services, params: Params, *others: Resource) -> str:
    """Asks leave for the connection, then checks its id."""
    resources = [peering_resource(call, services, params.get("VpcPeeringConnectionId")), *others]
    authorize(call, f"ec2:{call.operation}", resources, region_key(call))
    return required_id(params, "VpcPeeringConnectionId", "pcx", PeeringIdMalformed)


async def accept_vpc_peering_connection(call: Call, services: Services, params: Params) -> Answer:
    known = services.network.shelf(call.account).find(Peering, str(params.get("VpcPeeringConnectionId") or ""))
    accepter = unnamed(call, named_vpc(call, services, known.accepter_vpc if known is not None else None))
    peering_id = _asked(call, services, params, accepter)
    stop_if_dry_run(params)
    network = services.network
    active_max = network.quota(call.account, PEERINGS_PER_VPC)
    peering = await network.change(call.account, lambda shelf: peerings.accept(shelf, peering_id, call.now, active_max))
    return {"VpcPeeringConnection": _shown(network.shelf(call.account), peering, services.region, call.now)}


async def reject_vpc_peering_connection(call: Call, services: Services, params: Params) -> Answer:
    peering_id = _asked(call, services, params)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: peerings.reject(shelf, peering_id, call.now))
    return {"Return": True}


async def delete_vpc_peering_connection(call: Call, services: Services, params: Params) -> Answer:
    peering_id = _asked(call, services, params)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: peerings.delete(shelf, peering_id, call.now))
    return {"Return": True}


async def modify_vpc_peering_connection_options(call: Call, services: Services, params: Params) -> Answer:
    """Everything may be said to be off; what would be on is refused, since no packet or name would follow it."""
    peering_id = _asked(call, services, params)
    sides: dict[str, Mapping[str, Any]] = {side: params[side] for side in _SIDES if params.get(side)}
    if not sides:
        raise MissingParameter("requesterPeeringConnectionOptions or accepterPeeringConnectionOptions")
    for options in sides.values():
        _refuse_multipath(options)
        if any(options.get(name) for name in _CLASSIC_LINK):
            raise InvalidParameterValue("ClassicLink is not supported")
    wants_names = any(options.get(_NAMES) for options in sides.values())
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    peerings.check_options(shelf, peering_id, call.now, wants_names=wants_names)
    return {side: _options_shown() for side in sides}


def _refuse_multipath(options: Mapping[str, Any]) -> None:
    if any(options.get(name) for name in _MULTIPATH):
        raise Unsupported("Multipath resilience is of connections between regions, which Neargate has not.")


_FIELDS: dict[str, Field[Shown]] = {
    "accepter-vpc-info.cidr-block": at("AccepterVpcInfo", "CidrBlock"),
    "accepter-vpc-info.owner-id": at("AccepterVpcInfo", "OwnerId"),
    "accepter-vpc-info.vpc-id": at("AccepterVpcInfo", "VpcId"),
    "expiration-time": lambda one: (
        (datetime.fromtimestamp(one["ExpirationTime"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),)
        if "ExpirationTime" in one
        else ()
    ),
    "requester-vpc-info.cidr-block": at("RequesterVpcInfo", "CidrBlock"),
    "requester-vpc-info.owner-id": at("RequesterVpcInfo", "OwnerId"),
    "requester-vpc-info.vpc-id": at("RequesterVpcInfo", "VpcId"),
    "status-code": at("Status", "Code"),
    "status-message": at("Status", "Message"),
    "vpc-peering-connection-id": at("VpcPeeringConnectionId"),
}


async def describe_vpc_peering_connections(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    found = named(
        peerings.visible(shelf, call.now),
        params.get("VpcPeeringConnectionIds"),
        lambda peering: peering.name,
        prefix="pcx",
        malformed=PeeringIdMalformed,
        missing=PeeringNotFound,
    )
    shown = [_shown(shelf, peering, services.region, call.now) for peering in found]
    shown = select(shown, params.get("Filters"), _FIELDS, tags_of)
    id_of = "VpcPeeringConnectionId"
    shown, token = page(shown, params, lambda one: str(one[id_of]), "VpcPeeringConnectionIds")
    return with_token({"VpcPeeringConnections": shown}, token)


def _shown(shelf: Shelf, peering: Peering, region: str, now: float) -> Shown:
    status = peerings.status_at(peering, now)
    expires = {"ExpirationTime": peering.created_at + peerings.EXPIRES_AFTER_S} if status == peerings.PENDING else {}
    is_active = status == peerings.ACTIVE
    return {
        "AccepterVpcInfo": _end_shown(shelf, peering.accepter_vpc, region, is_active=is_active),
        **expires,
        "RequesterVpcInfo": _end_shown(shelf, peering.requester_vpc, region, is_active=is_active),
        "Status": {"Code": status, "Message": _message(status, peering.account)},
        "Tags": tag_list(peering.tags),
        "VpcPeeringConnectionId": peering.name,
    }


def _end_shown(shelf: Shelf, vpc_id: str, region: str, *, is_active: bool) -> Shown:
    vpc = shelf.find(Vpc, vpc_id)
    networks: Shown = {}
    if vpc is not None:
        networks["CidrBlock"] = vpc.cidr
        networks["CidrBlockSet"] = [{"CidrBlock": block.cidr} for block in vpc.blocks]
        if vpc.ipv6:
            networks["Ipv6CidrBlockSet"] = [{"Ipv6CidrBlock": block.cidr} for block in vpc.ipv6]
    options = {"PeeringOptions": _options_shown()} if is_active else {}
    return {**networks, "OwnerId": shelf.account, **options, "VpcId": vpc_id, "Region": region}


def _options_shown() -> dict[str, bool]:
    return dict.fromkeys((_NAMES, *_CLASSIC_LINK), False)


def _message(status: str, account: str) -> str:
    return {
        peerings.PENDING: f"Pending Acceptance by {account}",
        peerings.ACTIVE: "Active",
        peerings.FAILED: "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range",
        peerings.DELETED: f"Deleted by {account}",
        peerings.REJECTED: f"Rejected by {account}",
        peerings.EXPIRED: "Expired",
    }[status]


OPERATIONS: dict[str, Operation] = {
    "AcceptVpcPeeringConnection": accept_vpc_peering_connection,
    "CreateVpcPeeringConnection": create_vpc_peering_connection,
    "DeleteVpcPeeringConnection": delete_vpc_peering_connection,
    "DescribeVpcPeeringConnections": describe_vpc_peering_connections,
    "ModifyVpcPeeringConnectionOptions": modify_vpc_peering_connection_options,
    "RejectVpcPeeringConnection": reject_vpc_peering_connection,
}
