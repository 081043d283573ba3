"""CreateTargetGroup, DescribeTargetGroups, DeleteTargetGroup, and what they are changed by."""

from ....model.quotas import TARGET_GROUPS
from ...authorize import Resource
from ...balancing import arns, attributes
from ...balancing import target_groups as decisions
from ...balancing.checks import tags_given
from ...balancing.errors import InvalidConfigurationRequest, TargetGroupNotFound, ValidationError
from ...balancing.health_checks import WantedCheck
from ...balancing.lookup import groups_of, required_balancer, required_group, users, users_of
from ...balancing.objects import TargetGroup
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for, ask_to_describe, ask_to_make
from .load_balancers import new_number, pairs
from .paging import page
from .shapes import attributes_shown, group_shown


async def create_target_group(call: Call, services: Services, params: Params) -> Answer:
    tags = tags_given(params.get("Tags") or [])
    wanted = decisions.Wanted(
        label=params["Name"],
        target_type=params.get("TargetType") or "instance",
        protocol=params.get("Protocol"),
        version=params.get("ProtocolVersion"),
        port=params.get("Port"),
        vpc_id=params.get("VpcId"),
        address_type=params.get("IpAddressType") or "ipv4",
        check=_wanted_check(params),
        tags=tags,
    )
    made = call.arn(arns.SERVICE, f"{arns.GROUP}/{wanted.label}/*")
    ask_to_make(call, [Resource(arn=made)], made, tags)
    if params.get("TargetControlPort") is not None:
        raise InvalidConfigurationRequest("Neargate does not support target control ports")
    network = services.network
    number, groups_max = new_number(services), network.quota(call.account, TARGET_GROUPS)
    found = await network.change(
        call.account, lambda shelf: decisions.create(shelf, wanted, services.region, number, call.now, groups_max)
    )
    led_to = users_of(network.shelf(call.account), found.name)  # of one that was there
    return {"TargetGroups": [group_shown(found, led_to or None)]}


def _wanted_check(params: Params) -> WantedCheck:
    matcher = params.get("Matcher") or {}
    return WantedCheck(
        enabled=params.get("HealthCheckEnabled"),
        protocol=params.get("HealthCheckProtocol"),
        port=params.get("HealthCheckPort"),
        path=params.get("HealthCheckPath"),
        interval_s=params.get("HealthCheckIntervalSeconds"),
        timeout_s=params.get("HealthCheckTimeoutSeconds"),
        healthy=params.get("HealthyThresholdCount"),
        unhealthy=params.get("UnhealthyThresholdCount"),
        http_codes=matcher.get("HttpCode"),
        grpc_codes=matcher.get("GrpcCode"),
    )


async def describe_target_groups(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    chosen, more = page(call, params, sorted(_meant(call, services, params), key=_label), _label)
    by_group = users(services.network.shelf(call.account))
    return {"TargetGroups": [group_shown(one, by_group.get(one.name, ())) for one in chosen], **more}


def _label(group: TargetGroup) -> str:
    return group.label


def _meant(call: Call, services: Services, params: Params) -> list[TargetGroup]:
    """Raises TargetGroupNotFound, LoadBalancerNotFound, ValidationError."""
    shelf = services.network.shelf(call.account)
    balancer, asked, names = params.get("LoadBalancerArn"), params.get("TargetGroupArns"), params.get("Names")
    if sum(map(bool, (balancer, asked, names))) > 1:
        raise ValidationError(
            "Target group names, target group ARNs and a load balancer ARN cannot be specified at the same time"
        )
    if balancer:
        required_balancer(shelf, arns.checked(balancer, arns.BALANCER))
        led_to = set(groups_of(shelf, balancer))
        return [one for one in shelf.all(TargetGroup) if one.name in led_to]
    if asked:
        wanted = {arns.checked(arn, arns.GROUP) for arn in asked}
        found = [one for one in shelf.all(TargetGroup) if one.name in wanted]
        missing = wanted - {one.name for one in found}
    elif names:
        found = [one for one in shelf.all(TargetGroup) if one.label in names]
        missing = set(names) - {one.label for one in found}
    else:
        return list(shelf.all(TargetGroup))
    if missing:
        raise TargetGroupNotFound
    return found


async def modify_target_group(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["TargetGroupArn"], arns.GROUP)
    wanted, network = _wanted_check(params), services.network
    found = await network.change(call.account, lambda shelf: decisions.modify(shelf, arn, wanted))
    return {"TargetGroups": [group_shown(found, users_of(network.shelf(call.account), found.name))]}


async def delete_target_group(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["TargetGroupArn"], arns.GROUP)
    await services.network.change(call.account, lambda shelf: decisions.delete(shelf, arn))
    return {}


async def describe_target_group_attributes(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    arn = arns.checked(params["TargetGroupArn"], arns.GROUP)
    found = required_group(services.network.shelf(call.account), arn)
    return {"Attributes": attributes_shown(attributes.of_group(found))}


async def modify_target_group_attributes(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["TargetGroupArn"], arns.GROUP)
    given = pairs(params)
    found = await services.network.change(call.account, lambda shelf: decisions.set_attributes(shelf, arn, given))
    return {"Attributes": attributes_shown(attributes.of_group(found))}
