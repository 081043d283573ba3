"""RegisterTargets, DeregisterTargets, DescribeTargetHealth."""

from typing import Any

from ...balancing import arns, registration
from ...balancing.errors import InvalidTarget
from ...balancing.lookup import required_group
from ...balancing.objects import Target, TargetGroup
from ...balancing.registration import WantedTarget
from ...balancing.target_states import NOT_A_TARGET, State, states
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for, ask_to_describe, limits_of


async def register_targets(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["TargetGroupArn"], arns.GROUP)
    given, most = _wanted(params), limits_of(call, services)
    await services.network.change(
        call.account, lambda shelf: registration.register(shelf, arn, given, services.world.now(), most)
    )
    return {}


async def deregister_targets(call: Call, services: Services, params: Params) -> Answer:
    arn = ask_for(call, services, params["TargetGroupArn"], arns.GROUP)
    given, most = _wanted(params), limits_of(call, services)
    await services.network.change(
        call.account, lambda shelf: registration.deregister(shelf, arn, given, services.world.now(), most)
    )
    return {}


def _wanted(params: Params) -> list[WantedTarget]:
    """Raises InvalidTarget."""
    if any(one.get("QuicServerId") for one in params["Targets"]):
        raise InvalidTarget("Neargate does not support QUIC server IDs")
    return [
        WantedTarget(ip=one["Id"], port=one.get("Port"), zone=one.get("AvailabilityZone") or None)
        for one in params["Targets"]
    ]


async def describe_target_health(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    shelf = services.network.shelf(call.account)
    group = required_group(shelf, arns.checked(params["TargetGroupArn"], arns.GROUP))
    found = states(shelf, group, services.verdicts)
    targets = {one.key: one for one in group.targets}
    if not params.get("Targets"):
        return {"TargetHealthDescriptions": [_shown(group, one, found[one.key]) for one in group.targets]}
    return {
        "TargetHealthDescriptions": [
            _asked(group, targets.get(registration.key_of(group, one)), one, found) for one in _wanted(params)
        ]
    }


def _asked(group: TargetGroup, target: Target | None, wanted: WantedTarget, found: dict[str, State]) -> dict[str, Any]:
    if target is not None:
        return _shown(group, target, found[target.key])
    port = wanted.port or group.port
    return _described(group, {"Id": wanted.ip, "Port": port}, port, NOT_A_TARGET)


def _shown(group: TargetGroup, target: Target, state: State) -> dict[str, Any]:
    described = {"Id": target.ip, "Port": target.port, "AvailabilityZone": target.zone}
    return _described(group, described, target.port, state)


def _described(group: TargetGroup, target: dict[str, Any], port: int, state: State) -> dict[str, Any]:
    health = {"State": state.state, "Reason": state.reason, "Description": state.description}
    return {
        "Target": target,
        "HealthCheckPort": str(group.check.port or port),
        "TargetHealth": {name: value for name, value in health.items() if value},
    }
