"""CreateLoadBalancer, DescribeLoadBalancers, DeleteLoadBalancer, and what they are changed by."""

from collections.abc import Mapping, Sequence
from typing import Any

from ....model.errors import ServiceUnavailable
from ....model.quotas import APPLICATION_LOAD_BALANCERS, NETWORK_LOAD_BALANCERS
from ...authorize import Resource, Values
from ...balancing import arns, attributes
from ...balancing import load_balancers as decisions
from ...balancing.checks import tags_given
from ...balancing.errors import InvalidConfigurationRequest, LoadBalancerNotFound, ValidationError
from ...balancing.lookup import find_balancer, required_balancer
from ...balancing.objects import LoadBalancer
from ...balancing.zones import Mapped
from ...call import Answer, Call, Params
from ...network.records.balancers import balancers
from ...network.records.objects import Subnet
from ...network.vpcs.free_addresses import free_addresses
from ...services import Services
from .access_logs import check_access_log
from .asking import ask_for, ask_to_describe, ask_to_make
from .paging import page
from .shapes import attributes_shown, balancer_shown, zones_shown

_KINDS = {"application": "app", "network": "net", "gateway": "gwy"}
_NOT_BUILT = ("CustomerOwnedIpv4Pool", "IpamPools")


async def create_load_balancer(call: Call, services: Services, params: Params) -> Answer:
    tags = tags_given(params.get("Tags") or [])
    wanted = decisions.Wanted(
        label=params["Name"],
        lb_type=params.get("Type") or "application",
        scheme=params.get("Scheme") or "internet-facing",
        subnets=mapped(params),
        groups=tuple(params["SecurityGroups"]) if params.get("SecurityGroups") is not None else None,
        address_type=params.get("IpAddressType") or "ipv4",
        tags=tags,
    )
    made = call.arn(arns.SERVICE, f"{arns.BALANCER}/{_KINDS[wanted.lb_type]}/{wanted.label}/*")
    keys: dict[str, Values] = {f"{arns.SERVICE}:Scheme": wanted.scheme, **_subnet_keys(wanted.subnets)}
    ask_to_make(call, [Resource(arn=made)], made, tags, keys | _group_keys(wanted.groups or ()))
    _check_built(params)
    quota = NETWORK_LOAD_BALANCERS if wanted.lb_type == "network" else APPLICATION_LOAD_BALANCERS
    network, free = services.network, await _free(call, services, wanted.subnets)
    found = await network.change(
        call.account,
        lambda shelf: decisions.create(
            shelf,
            wanted,
            services.region,
            new_number(services),
            call.now,
            network.quota(call.account, quota),
            network.bits,
            free,
        ),
    )
    return {"LoadBalancers": [balancer_shown(found, services.region)]}


async def _free(call: Call, services: Services, subnets: Sequence[Mapped]) -> Mapping[str, int]:
    """Addresses that they have left. A zone that cannot be asked keeps nobody: what is missing shows later."""
    shelf = services.network.shelf(call.account)
    found = [one for one in (shelf.find(Subnet, each.subnet_id) for each in subnets) if one is not None]
    try:
        return await free_addresses(services.capacities, shelf, found)
    except ServiceUnavailable:
        return {}


def new_number(services: Services) -> str:
    """The end of a new ARN."""
    return f"{services.network.bits(64):016x}"


def mapped(params: Params) -> tuple[Mapped, ...]:
    """Raises ValidationError, InvalidConfigurationRequest."""
    subnets, mappings = params.get("Subnets"), params.get("SubnetMappings")
    if subnets and mappings:
        raise ValidationError("Only one of Subnets and SubnetMappings can be specified")
    if not mappings:
        return tuple(Mapped(subnet_id=one) for one in subnets or ())
    if any(one.get("IPv6Address") or one.get("SourceNatIpv6Prefix") for one in mappings):
        raise InvalidConfigurationRequest("Neargate does not support IPv6 addresses of load balancers")
    if not all(one.get("SubnetId") for one in mappings):
        raise ValidationError("A subnet ID must be specified")
    return tuple(
        Mapped(
            subnet_id=one["SubnetId"],
            allocation_id=one.get("AllocationId") or None,
            private_ip=one.get("PrivateIPv4Address") or None,
        )
        for one in mappings
    )


def _check_built(params: Params) -> None:
    for name in _NOT_BUILT:
        if params.get(name):
            raise InvalidConfigurationRequest(f"Neargate does not support {name}")
    if params.get("EnablePrefixForIpv6SourceNat") == "on":
        raise InvalidConfigurationRequest("Neargate does not support EnablePrefixForIpv6SourceNat")


def _subnet_keys(subnets: tuple[Mapped, ...]) -> dict[str, Values]:
    return {f"{arns.SERVICE}:Subnet": [one.subnet_id for one in subnets]}


def _group_keys(groups: tuple[str, ...]) -> dict[str, Values]:
    return {f"{arns.SERVICE}:SecurityGroup": list(groups)}


async def describe_load_balancers(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    chosen, more = page(call, params, sorted(_meant(call, services, params), key=_label), _label)
    unplanned = services.verdicts.unplanned
    shown = [balancer_shown(one, services.region, is_told=one.arn not in unplanned) for one in chosen]
    return {"LoadBalancers": shown, **more}


def _label(balancer: LoadBalancer) -> str:
    return balancer.label


def _meant(call: Call, services: Services, params: Params) -> list[LoadBalancer]:
    """Raises LoadBalancerNotFound, ValidationError."""
    shelf = services.network.shelf(call.account)
    asked, names = params.get("LoadBalancerArns"), params.get("Names")
    if asked and names:
        raise ValidationError("Load balancer names and load balancer ARNs cannot be specified at the same time")
    if asked:
        found = [find_balancer(shelf, arns.checked(arn, arns.BALANCER)) for arn in dict.fromkeys(asked)]
        if None in found:
            raise LoadBalancerNotFound
        return [one for one in found if one is not None]
    if names:
        missing = [name for name in names if name not in {one.label for one in balancers(shelf)}]
        if missing:
            raise LoadBalancerNotFound.of_names(missing)
        return [one for one in balancers(shelf) if one.label in names]
    return list(balancers(shelf))


async def delete_load_balancer(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["LoadBalancerArn"], arns.BALANCER)
    await services.network.change(call.account, lambda shelf: decisions.delete(shelf, arn))
    return {}


async def set_subnets(call: Call, services: Services, params: Params) -> Answer:
    given = mapped(params)
    arn = ask_for(call, services, params["LoadBalancerArn"], arns.BALANCER, _subnet_keys(given))
    _check_built(params)
    kind = params.get("IpAddressType")
    network, free = services.network, await _free(call, services, given)
    found = await network.change(
        call.account, lambda shelf: decisions.set_subnets(shelf, arn, given, kind, network.bits, free)
    )
    shown: dict[str, Any] = {"AvailabilityZones": zones_shown(found), "IpAddressType": found.address_type}
    if found.lb_type == "network":
        shown["EnablePrefixForIpv6SourceNat"] = "off"
    return shown


async def set_security_groups(call: Call, services: Services, params: Params) -> Answer:
    given = tuple(params["SecurityGroups"])
    arn = ask_for(call, services, params["LoadBalancerArn"], arns.BALANCER, _group_keys(given))
    if params.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic") == "off":
        raise InvalidConfigurationRequest("Neargate does not support AWS PrivateLink")
    found = await services.network.change(call.account, lambda shelf: decisions.set_groups(shelf, arn, given))
    shown: dict[str, Any] = {"SecurityGroupIds": list(found.groups)}
    if found.lb_type == "network":
        shown["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = "on"
    return shown


async def set_ip_address_type(call: Call, services: Services, params: Params) -> Answer:
    arn, kind = ask_for(call, services, params["LoadBalancerArn"], arns.BALANCER), params["IpAddressType"]
    found = await services.network.change(call.account, lambda shelf: decisions.set_address_type(shelf, arn, kind))
    return {"IpAddressType": found.address_type}


async def describe_load_balancer_attributes(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    arn = arns.checked(params["LoadBalancerArn"], arns.BALANCER)
    found = required_balancer(services.network.shelf(call.account), arn)
    return {"Attributes": attributes_shown(attributes.of_balancer(found))}


async def modify_load_balancer_attributes(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["LoadBalancerArn"], arns.BALANCER)
    given = pairs(params)
    await check_access_log(call, services, required_balancer(services.network.shelf(call.account), arn), given)
    found = await services.network.change(call.account, lambda shelf: decisions.set_attributes(shelf, arn, given))
    return {"Attributes": attributes_shown(attributes.of_balancer(found))}


def pairs(params: Params) -> tuple[tuple[str, str], ...]:
    """Of a request's attributes. One without a value has an empty one."""
    return tuple((one.get("Key") or "", one.get("Value") or "") for one in params["Attributes"])
