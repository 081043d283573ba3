"""The members of a service that its deployments do not depend on: deployment configuration, tags' ways, grace period.

Owns AWS's defaults and its words for what is wrong; pure. Invariant: what a service cannot do yet is refused when it is
asked for, not when it is missed.
"""

from collections.abc import Mapping
from typing import Any

from ....model.errors import InvalidParameter, UnsupportedFeature

REPLICA, DAEMON = "REPLICA", "DAEMON"
ROLLING = "ROLLING"
GRACE_MAX_S = 2_147_483_647
PERCENT, PERCENT_MAX = 100, 100_000
THRESHOLD_MAX = 2_147_483_647

Members = Mapping[str, Any]

_DEFAULTS = {
    REPLICA: {"maximumPercent": 200, "minimumHealthyPercent": 100},
    DAEMON: {"maximumPercent": 100, "minimumHealthyPercent": 0},
}
_BREAKER = {"enable": False, "rollback": False}
# Members that name what nothing here does. An empty one asks for nothing.
_UNBUILT = {
    "volumeConfigurations": "Volumes of services (volumeConfigurations) are",
    "vpcLatticeConfigurations": "VPC Lattice (vpcLatticeConfigurations) is",
    "gatewayConnectors": "Gateways (gatewayConnectors) are",
    "monitoring": "Metrics of services (monitoring) are",
}
_SWITCHES = ("enableECSManagedTags", "enableExecuteCommand")


def new_settings(params: Members) -> dict[str, Any]:
    """Of CreateService, whole, by their wire names."""
    check_unbuilt(params)
    kind = params.get("schedulingStrategy") or REPLICA
    present = {"deploymentCircuitBreaker": _BREAKER, **_DEFAULTS[kind], "strategy": ROLLING, "bakeTimeInMinutes": 0}
    configuration = deployment_configuration(params.get("deploymentConfiguration") or {}, present, kind)
    _check_rebalancing(params, configuration)
    can_rebalance = kind == REPLICA and configuration["maximumPercent"] > PERCENT
    settings: dict[str, Any] = {
        "schedulingStrategy": kind,
        "deploymentController": {"type": "ECS"},
        "deploymentConfiguration": configuration,
        "placementConstraints": params.get("placementConstraints") or [],
        "placementStrategy": params.get("placementStrategy") or [],
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "ENABLED" if can_rebalance else "DISABLED",
    }
    return settings | _plain(params)


def changed_settings(params: Members, service: Members) -> dict[str, Any]:
    """Of UpdateService: what changes. `service`: the document of the service as it is."""
    check_unbuilt(params)
    changes = _plain(params)
    given = params.get("deploymentConfiguration")
    if given:
        kind = service.get("schedulingStrategy", REPLICA)
        changes["deploymentConfiguration"] = deployment_configuration(given, service["deploymentConfiguration"], kind)
    _check_rebalancing(params, changes.get("deploymentConfiguration") or service["deploymentConfiguration"])
    for name in ("placementConstraints", "placementStrategy"):
        if params.get(name) is not None:
            changes[name] = params[name]
    return changes


def check_unbuilt(params: Members) -> None:
    """Raises for what services cannot do here."""
    controller = (params.get("deploymentController") or {}).get("type") or "ECS"
    if controller != "ECS":
        raise UnsupportedFeature(f"The deployment controller {controller} is not supported. Use the ECS controller.")
    if (params.get("serviceConnectConfiguration") or {}).get("enabled"):
        raise UnsupportedFeature("Service Connect (serviceConnectConfiguration) is not supported yet.")
    for name, what in _UNBUILT.items():
        if params.get(name):
            raise UnsupportedFeature(f"{what} not supported yet.")


def deployment_configuration(given: Members, present: Members, kind: str) -> dict[str, Any]:
    """`given` over what is there, checked as a whole."""
    strategy = given.get("strategy") or ROLLING
    if strategy != ROLLING:
        raise UnsupportedFeature(f"The deployment strategy {strategy} is not supported yet. Use ROLLING.")
    for name in ("lifecycleHooks", "linearConfiguration", "canaryConfiguration", "bakeTimeInMinutes"):
        if given.get(name):
            raise UnsupportedFeature(f"{name} is not supported yet with the deployment strategy ROLLING.")
    if (given.get("alarms") or {}).get("enable"):
        raise UnsupportedFeature("Deployment alarms are not supported yet: there are no CloudWatch alarms here.")
    if (given.get("earlySuccessCriteria") or {}).get("enable"):
        raise UnsupportedFeature("earlySuccessCriteria is not supported yet.")
    merged = {**present, **{name: value for name, value in given.items() if value is not None}}
    _check_percents(merged["minimumHealthyPercent"], merged["maximumPercent"], kind)
    _check_breaker(merged["deploymentCircuitBreaker"])
    return merged


def _check_percents(minimum: int, maximum: int, kind: str) -> None:
    if not 0 <= minimum <= PERCENT_MAX or not 0 <= maximum <= PERCENT_MAX:
        raise InvalidParameter("minimumHealthyPercent and maximumPercent must not be negative.")
    if kind == DAEMON:
        if maximum != PERCENT:
            raise InvalidParameter(
                "The daemon scheduling strategy does not support values above 100 for maximumPercent."
            )
        return
    if minimum > PERCENT:
        raise InvalidParameter("minimumHealthyPercent must be between 0 and 100.")
    if maximum < PERCENT:
        raise InvalidParameter("maximumPercent must be 100 or more.")
    if minimum == maximum:
        raise InvalidParameter(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments."
        )


def _check_rebalancing(params: Members, configuration: Members) -> None:
    """Asked for: a task starts in another zone before one stops, which needs room above the desired count."""
    if params.get("availabilityZoneRebalancing") == "ENABLED" and configuration["maximumPercent"] <= PERCENT:
        raise InvalidParameter("Availability Zone rebalancing requires a maximumPercent greater than 100.")


def _check_breaker(breaker: Members) -> None:
    threshold = breaker.get("thresholdConfiguration")
    if threshold is not None and not 1 <= threshold["value"] <= THRESHOLD_MAX:
        raise InvalidParameter(
            "The value of the deployment circuit breaker's thresholdConfiguration must be 1 or more."
        )


def _plain(params: Members) -> dict[str, Any]:
    """Those given of the members that need no other. The grace period is unused where no health check is."""
    found: dict[str, Any] = {name: params[name] for name in _SWITCHES if params.get(name) is not None}
    for name in ("propagateTags", "availabilityZoneRebalancing"):
        if params.get(name):
            found[name] = params[name]
    grace_s = params.get("healthCheckGracePeriodSeconds")
    if grace_s is not None:
        if not 0 <= grace_s <= GRACE_MAX_S:
            raise InvalidParameter(f"healthCheckGracePeriodSeconds must be between 0 and {GRACE_MAX_S}.")
        found["healthCheckGracePeriodSeconds"] = grace_s
    return found
