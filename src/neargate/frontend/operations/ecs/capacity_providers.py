"""Where a task's capacity comes from: launch types and strategies of capacity providers.

Owns the rules of both, pure. Invariant: the result names FARGATE, the only capacity there is until its issue.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ....model.errors import InvalidParameter, PlatformUnknown, UnsupportedFeature

FARGATE, FARGATE_SPOT = "FARGATE", "FARGATE_SPOT"
STRATEGY_MAX = 20
WEIGHT_MAX = 1000
BASE_MAX = 100_000
PLATFORM_VERSION = "1.4.0"

NO_INSTANCES = "No Container Instances were found in your cluster."

Strategy = Sequence[Mapping[str, Any]]


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of the two is set, as the task will show it."""

    launch_type: str | None = None
    capacity_provider: str | None = None


def check_provider_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in (FARGATE, FARGATE_SPOT):
            raise InvalidParameter(
                f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
            )


def check_strategy(strategy: Strategy) -> None:
    """The shape of a strategy; whether its providers may be used is asked at a launch."""
    if not strategy:
        return
    if len(strategy) > STRATEGY_MAX:
        raise InvalidParameter(f"A capacity provider strategy can have at most {STRATEGY_MAX} capacity providers.")
    names = [item["capacityProvider"] for item in strategy]
    check_provider_names(names)
    if len(set(names)) != len(names):
        raise InvalidParameter("A capacity provider strategy cannot name a capacity provider more than once.")
    for item in strategy:
        if not 0 <= item.get("weight", 0) <= WEIGHT_MAX or not 0 <= item.get("base", 0) <= BASE_MAX:
            raise InvalidParameter(
                f"Capacity provider weights are between 0 and {WEIGHT_MAX}, bases between 0 and {BASE_MAX}."
            )
    if sum(1 for item in strategy if item.get("base", 0)) > 1:
        raise InvalidParameter("Only one capacity provider in a capacity provider strategy can have a base defined.")
    if not any(item.get("weight", 0) or item.get("base", 0) for item in strategy):
        raise InvalidParameter(
            "At least one capacity provider in a capacity provider strategy must have a weight greater than zero."
        )


def check_exclusive(launch_type: str | None, strategy: Strategy) -> None:
    if launch_type and strategy:
        raise InvalidParameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )


def chosen_capacity(launch_type: str | None, strategy: Strategy, cluster: Mapping[str, Any]) -> Capacity:
    """What RunTask will use. `cluster` is the cluster's document; it is read only where no launch type is given."""
    if launch_type == FARGATE:
        return Capacity(launch_type=FARGATE)
    if launch_type == "MANAGED_INSTANCES":
        raise UnsupportedFeature("The launch type MANAGED_INSTANCES is not supported.")
    if launch_type is not None:
        raise InvalidParameter(NO_INSTANCES)
    if strategy:
        associated = cluster.get("capacityProviders") or ()
        if not all(item["capacityProvider"] in associated for item in strategy):
            raise InvalidParameter(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated "
                "with the cluster. Associate the capacity provider with the cluster and try again."
            )
    used = strategy or cluster.get("defaultCapacityProviderStrategy") or ()
    if not used:
        raise InvalidParameter(NO_INSTANCES)
    if any(item["capacityProvider"] == FARGATE_SPOT and _takes_tasks(item) for item in used):
        raise UnsupportedFeature("The capacity provider FARGATE_SPOT is not supported yet. Use FARGATE.")
    return Capacity(capacity_provider=FARGATE)


def _takes_tasks(item: Mapping[str, Any]) -> bool:
    return bool(item.get("weight", 0) or item.get("base", 0))


def platform_version(wanted: str | None) -> str:
    """The version a task shows; raises PlatformUnknownException."""
    if wanted not in (None, "", "LATEST", PLATFORM_VERSION):
        raise PlatformUnknown
    return PLATFORM_VERSION
