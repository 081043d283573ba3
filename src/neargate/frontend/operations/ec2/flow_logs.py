"""CreateFlowLogs, DeleteFlowLogs, DescribeFlowLogs. What hosts capture comes in by network/flow_log_delivery.py.

Invariant: who names a role for the delivery may pass it, and the flow logs' service may assume it when it is named.
"""

import re

from ....model.arn import Arn
from ....model.errors import RoleNotAssumable
from ....model.flow_logs import ACCEPT, ALL, REJECT
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...callers.task_roles import FLOW_LOGS, assumable_role
from ...network import flow_logs
from ...network.errors.common import InvalidParameterValue, MissingParameter
from ...network.errors.flow_logs import (
    DestinationInvalid,
    GroupOfOtherType,
    InvalidFormat,
    InvalidInterval,
    NoDestination,
    NoRole,
    RoleNotAssumed,
    TwoDestinations,
)
from ...network.errors.routing import Unsupported
from ...network.flow_logs import TARGETS, Created, WantedLogs
from ...network.records.objects import FlowLog
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .groups import all_enis
from .own_interfaces import interface_asked
from .request import client_token, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import named_vpc, new, subnet_resource
from .shown import Shown, at, tags_of
from .tags import tags_from

_KIND = "vpc-flow-log"
_CLOUD_WATCH = "cloud-watch-logs"
_GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_IDS_MAX = 1000
_INTERVALS_S = (60, 600)
_NOT_BUILT = {
    "DeliverCrossAccountRole": "Flow logs are delivered to log groups of their own account only.",
    "DestinationOptions": "Options of a destination are those of Amazon S3, to which flow logs are not delivered.",
    "TagFieldSpecifications": "Flow log records have no fields for tags.",
}


async def create_flow_logs(call: Call, services: Services, params: Params) -> Answer:
    asked = [new(call, _KIND, tag_keys(params)), *_resources(call, services, params)]
    authorize(call, "ec2:CreateFlowLogs", asked, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    wanted = _wanted(call, params)
    _authorize_role(call, services, wanted.role_arn)
    stop_if_dry_run(params)
    _check_assumable(call, services, wanted.role_arn)
    interfaces = await _interfaces(call, services, wanted.resource_ids)
    network, now = services.network, services.world.now()
    made = await network.change(
        call.account, lambda shelf: flow_logs.create(shelf, wanted, interfaces, now, network.bits)
    )
    return _created(made) | ({"ClientToken": wanted.client_token} if wanted.client_token is not None else {})


def _resources(call: Call, services: Services, params: Params) -> list[Resource]:
    """Each by its own ARN; of a kind that nothing is logged of, none."""
    ids = list(dict.fromkeys(params["ResourceIds"]))[:_IDS_MAX]
    match params["ResourceType"]:
        case "VPC":
            return [named_vpc(call, services, one) for one in ids]
        case "Subnet":
            return [subnet_resource(call, services, one) for one in ids]
        case "NetworkInterface":
            return [interface_asked(call, services, one) for one in ids]
        case _:
            return []


def _wanted(call: Call, params: Params) -> WantedLogs:
    """Raises what EC2 says of parameters that do not go together, and Unsupported."""
    resource_type = params["ResourceType"]
    if resource_type not in TARGETS:
        raise Unsupported(f"Flow logs of resource type {resource_type} are not supported.")
    resource_ids = tuple(params["ResourceIds"])
    if not resource_ids:
        raise MissingParameter("resourceId")
    if len(resource_ids) > _IDS_MAX:
        raise InvalidParameterValue(f"A request may name at most {_IDS_MAX} resources")
    if params.get("TrafficType") not in (ACCEPT, REJECT, ALL):
        raise MissingParameter("trafficType")
    group, destination = _destination(call, params)
    log_format = params.get("LogFormat") or flow_logs.DEFAULT_FORMAT
    flow_logs.check_format(log_format)
    for name, why in _NOT_BUILT.items():
        if params.get(name):
            raise Unsupported(f"{name} is not supported. {why}")
    return WantedLogs(
        resource_type=resource_type,
        resource_ids=resource_ids,
        traffic=params["TrafficType"],
        log_group=group,
        log_destination=destination,
        role_arn=_role_arn(params["DeliverLogsPermissionArn"]),
        log_format=log_format,
        aggregation_s=params.get("MaxAggregationInterval", 600),
        client_token=client_token(params),
        tags=tags_from(params, _KIND),
    )


def _destination(call: Call, params: Params) -> tuple[str, str]:
    """The log group, and its ARN if it was named by that."""
    group, given = params.get("LogGroupName"), params.get("LogDestination")
    kind = params.get("LogDestinationType") or _CLOUD_WATCH
    if not group and not given:
        raise NoDestination
    if group and kind != _CLOUD_WATCH:
        raise GroupOfOtherType
    if group and given:
        raise TwoDestinations
    if kind == _CLOUD_WATCH and not params.get("DeliverLogsPermissionArn"):
        raise NoRole
    if params.get("MaxAggregationInterval", 600) not in _INTERVALS_S:
        raise InvalidInterval
    if kind != _CLOUD_WATCH:
        raise Unsupported(f"Flow logs are delivered to {_CLOUD_WATCH} only: {kind} is not supported.")
    if not group:
        return _group_of(call, str(given)), str(given).removesuffix(":*")
    if _GROUP_NAME.fullmatch(group) is None:
        raise InvalidFormat(group, "logGroupName")
    return str(group), ""


def _group_of(call: Call, destination: str) -> str:
    arn = Arn.parse(destination)
    if arn is None or (arn.service, arn.region, arn.account) != ("logs", call.region, call.account):
        raise DestinationInvalid(destination)
    kind, _, name = arn.resource.partition(":")
    name = name.removesuffix(":*")
    if kind != "log-group" or _GROUP_NAME.fullmatch(name) is None:
        raise DestinationInvalid(destination)
    return name


def _role_arn(given: str) -> str:
    arn = Arn.parse(given)
    if arn is None or arn.service != "iam" or not re.fullmatch(r"role/[\x21-\x7e]{1,576}", arn.resource):
        raise InvalidFormat(given, "deliverLogsPermissionArn")
    return given


def _authorize_role(call: Call, services: Services, role_arn: str) -> None:
    role = services.identity.role(call.account, role_arn.rpartition("/")[2])
    tags = dict(role.tags) if role is not None and role.arn == role_arn else {}
    authorize(call, "iam:PassRole", [Resource(arn=role_arn, tags=tags)], {"iam:PassedToService": FLOW_LOGS})


def _check_assumable(call: Call, services: Services, role_arn: str) -> None:
    try:
        assumable_role(services.identity, call.account, role_arn, resource_arn(call, _KIND, "*"), FLOW_LOGS)
    except RoleNotAssumable:
        raise RoleNotAssumed from None


async def _interfaces(call: Call, services: Services, resource_ids: tuple[str, ...]) -> dict[str, str]:
    """Those that are named, with their VPCs."""
    named = [one for one in dict.fromkeys(resource_ids) if one.startswith("eni-")]
    found = await all_enis(services, call.account, named) if named else []
    return {eni["NetworkInterfaceId"]: eni["VpcId"] for eni in found}


def _created(made: Created) -> dict[str, object]:
    unsuccessful = [
        {"Error": {"Code": error.code, "Message": error.message}, "ResourceId": resource_id}
        for resource_id, error in made.unsuccessful
    ]
    return {"FlowLogIds": list(made.flow_log_ids), "Unsuccessful": unsuccessful}


async def delete_flow_logs(call: Call, services: Services, params: Params) -> Answer:
    ids = list(dict.fromkeys(params["FlowLogIds"]))
    shelf = services.network.shelf(call.account)
    found = {one: shelf.find(FlowLog, one) for one in ids[:_IDS_MAX]}
    asked = [
        Resource(arn=resource_arn(call, _KIND, one or "*"), tags=dict(log.tags) if log is not None else {})
        for one, log in found.items()
    ]
    authorize(call, "ec2:DeleteFlowLogs", asked or [resource_arn(call, _KIND, "*")], region_key(call))
    if not ids:
        raise MissingParameter("flowLogId")
    if len(ids) > _IDS_MAX:
        raise InvalidParameterValue(f"A request may name at most {_IDS_MAX} flow logs")
    flow_logs.check_ids(ids)
    flow_logs.delete(shelf, ids)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: flow_logs.delete(shelf, ids))
    return {"Unsuccessful": []}


_FIELDS: dict[str, Field[Shown]] = {
    "deliver-log-status": at("DeliverLogsStatus"),
    "flow-log-id": at("FlowLogId"),
    "log-destination-type": at("LogDestinationType"),
    "log-group-name": at("LogGroupName"),
    "resource-id": at("ResourceId"),
    "traffic-type": at("TrafficType"),
}


async def describe_flow_logs(call: Call, services: Services, params: Params) -> Answer:
    """AWS leaves out what is not there instead of refusing."""
    authorize_describing(call)
    stop_if_dry_run(params)
    wanted = frozenset(params.get("FlowLogIds") or ())
    flow_logs.check_ids(sorted(wanted))
    found = services.network.shelf(call.account).all(FlowLog)
    shown = [_shown(log) for log in found if not wanted or log.name in wanted]
    shown = select(shown, params.get("Filter"), _FIELDS, tags_of)
    shown, token = page(shown, params, lambda one: str(one["FlowLogId"]), "FlowLogIds")
    return with_token({"FlowLogs": shown}, token)


def _shown(log: FlowLog) -> Shown:
    shown: Shown = {
        "CreationTime": log.created_at,
        "DeliverLogsPermissionArn": log.role_arn,
        "DeliverLogsStatus": "FAILED" if log.error else "SUCCESS",
        "FlowLogId": log.name,
        "FlowLogStatus": "ACTIVE",
        "LogGroupName": log.log_group,
        "ResourceId": log.resource_id,
        "TrafficType": log.traffic,
        "LogDestinationType": _CLOUD_WATCH,
        "LogFormat": log.log_format,
        "Tags": tag_list(log.tags),
        "MaxAggregationInterval": log.aggregation_s,
    }
    later = {"DeliverLogsErrorMessage": log.error, "LogDestination": log.log_destination}
    return shown | {name: value for name, value in later.items() if value}


OPERATIONS: dict[str, Operation] = {
    "CreateFlowLogs": create_flow_logs,
    "DeleteFlowLogs": delete_flow_logs,
    "DescribeFlowLogs": describe_flow_logs,
}
