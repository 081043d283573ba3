"""DescribeVpcEndpointServices: what endpoints can be made for. DescribePrefixLists: the lists of these services."""

import hashlib

from ...call import Answer, Call, Params
from ...network.endpoints.changes import GATEWAY
from ...network.endpoints.plans import INTERFACE
from ...network.endpoints.services import SERVICES, base_name, private_names, service_name
from ...network.errors.common import PrefixListNotFound
from ...network.errors.routing import PrefixListIdMalformed, ServiceNameInvalid
from ...network.records.aws_prefix_lists import AwsPrefixList, aws_prefix_lists
from ...services import Operation, Services
from .asking import authorize_describing
from .filters import Field, select
from .request import named, page, stop_if_dry_run, with_token
from .shown import Shown, at
from .vpc_endpoints import chosen

_FIELDS: dict[str, Field[Shown]] = {
    "owner": at("Owner"),
    "service-name": at("ServiceName"),
    "service-region": at("ServiceRegion"),
    "service-type": at("ServiceType", "ServiceType"),
    "supported-ip-address-types": at("SupportedIpAddressTypes"),
}


async def describe_vpc_endpoint_services(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    everything = [_gateway_shown(services, one) for one in aws_prefix_lists(services.region)]
    everything += [_interface_shown(services, service_name(services.region, one)) for one in SERVICES]
    known = {one["ServiceName"]: one for one in sorted(everything, key=lambda one: str(one["ServiceName"]))}
    names = params.get("ServiceNames") or list(known)
    for one in names:
        if one not in known:
            raise ServiceNameInvalid(str(one)[:255])
    regions = params.get("ServiceRegions") or [services.region]
    found = [known[one] for one in dict.fromkeys(names) if services.region in regions]
    found = chosen(found, params, _FIELDS)
    found, token = page(found, params, lambda one: str(one["ServiceName"]), "ServiceNames")
    answer: Shown = {"ServiceNames": [one["ServiceName"] for one in found], "ServiceDetails": found}
    return with_token(answer, token)


def _gateway_shown(services: Services, one: AwsPrefixList) -> Shown:
    word = one.list_name.rpartition(".")[2]
    return _shown(services, one.list_name, GATEWAY, f"{word}.{services.region}.amazonaws.com")


def _interface_shown(services: Services, name: str) -> Shown:
    """Its private name is the one below which all are, where there are several."""
    private = private_names(name)[-1]
    return _shown(services, name, INTERFACE, base_name(name)) | {
        "PrivateDnsName": private,
        "PrivateDnsNames": [{"PrivateDnsName": private}],
        "PrivateDnsNameVerificationState": "verified",
    }


def _shown(services: Services, name: str, kind: str, base: str) -> Shown:
    return {
        "ServiceName": name,
        "ServiceId": f"vpce-svc-0{hashlib.sha256(name.encode()).hexdigest()[:16]}",
        "ServiceType": [{"ServiceType": kind}],
        "ServiceRegion": services.region,
        "AvailabilityZoneIds": [zone_id for _, zone_id in services.zones],
        "AvailabilityZones": [zone for zone, _ in services.zones],
        "Owner": "amazon",
        "BaseEndpointDnsNames": [base],
        "VpcEndpointPolicySupported": True,
        "AcceptanceRequired": False,
        "ManagesVpcEndpoints": False,
        "Tags": [],
        "SupportedIpAddressTypes": ["ipv4"],
    }


_LIST_FIELDS: dict[str, Field[Shown]] = {
    "prefix-list-id": at("PrefixListId"),
    "prefix-list-name": at("PrefixListName"),
}


async def describe_prefix_lists(call: Call, services: Services, params: Params) -> Answer:
    """AWS's own lists only; those of customers are DescribeManagedPrefixLists'."""
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        [
            {"Cidrs": list(one.cidrs), "PrefixListId": one.list_id, "PrefixListName": one.list_name}
            for one in aws_prefix_lists(services.region)
        ],
        params.get("PrefixListIds"),
        lambda one: str(one["PrefixListId"]),
        prefix="pl",
        malformed=PrefixListIdMalformed,
        missing=lambda missing: PrefixListNotFound(f"The prefix list ID '{missing[0]}' does not exist"),
    )
    found = select(found, params.get("Filters"), _LIST_FIELDS)
    found, token = page(found, params, lambda one: str(one["PrefixListId"]), "PrefixListIds")
    return with_token({"PrefixLists": found}, token)


OPERATIONS: dict[str, Operation] = {
    "DescribePrefixLists": describe_prefix_lists,
    "DescribeVpcEndpointServices": describe_vpc_endpoint_services,
}
