"""Where a task's capacity comes from: launch types and strategies of capacity providers.

Owns the rules of both, pure, in ECS's words. FARGATE and FARGATE_SPOT are there for everybody, and there are no others.
Invariant: of a launch type and a strategy, a task has exactly one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ....model.errors import InvalidParameter, PlatformUnknown, UnsupportedFeature
from ....scheduling.strategy import StrategyItem

FARGATE, FARGATE_SPOT = "FARGATE", "FARGATE_SPOT"
STRATEGY_MAX = 20
PROVIDERS_MAX = 20
WEIGHT_MAX = 1000
BASE_MAX = 100_000
PLATFORM_VERSION = "1.4.0"

NO_INSTANCES = "No Container Instances were found in your cluster."
_NO_WEIGHT = (
    "There are no capacity providers with a weight value greater than zero defined in the {which}capacity provider "
    "strategy. At least one capacity provider must have a weight value greater than zero specified. {what} and try "
    "again."
)

Strategy = Sequence[Mapping[str, Any]]


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of the two is set, as the task will show it."""

    launch_type: str | None = None
    strategy: tuple[StrategyItem, ...] = ()


def check_provider_names(names: Sequence[str]) -> None:
    """Of a cluster."""
    if len(names) > PROVIDERS_MAX:
        raise InvalidParameter("The maximum number of capacity providers per cluster has been exceeded.")
    for name in names:
        if name not in (FARGATE, FARGATE_SPOT):
            raise InvalidParameter(
                f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
            )


def check_strategy(strategy: Strategy) -> None:
    """The shape of a strategy; whether it can place tasks is asked at a launch, as in ECS."""
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
        raise InvalidParameter(
            "The specified capacity provider strategy contains multiple capacity providers with a base value defined. "
            "Only one capacity provider in a capacity provider strategy can have a base defined."
        )


def cluster_providers(params: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateCluster and PutClusterCapacityProviders give a cluster, checked, as it is stored and shown."""
    providers = params.get("capacityProviders") or []
    check_provider_names(providers)
    strategy = params.get("defaultCapacityProviderStrategy") or []
    check_strategy(strategy)
    if not {item["capacityProvider"] for item in strategy} <= set(providers):
        raise InvalidParameter(
            "The specified default capacity provider strategy cannot contain a capacity provider "
            "that is not associated with the cluster."
        )
    return {
        "capacityProviders": list(dict.fromkeys(providers)),
        "defaultCapacityProviderStrategy": [
            {"capacityProvider": item["capacityProvider"], "weight": item.get("weight", 0), "base": item.get("base", 0)}
            for item in strategy
        ],
    }


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
        _check_weights(strategy, which="", what="Specify a valid capacity provider strategy")
        return Capacity(strategy=_items(strategy))
    default = cluster.get("defaultCapacityProviderStrategy") or ()
    if not default:
        raise InvalidParameter(NO_INSTANCES)
    update = "Update the cluster's default capacity provider strategy or specify a valid capacity provider strategy"
    _check_weights(default, which="default ", what=update)
    return Capacity(strategy=_items(default))


def _check_weights(strategy: Strategy, *, which: str, what: str) -> None:
    if not any(item.get("weight", 0) for item in strategy):
        raise InvalidParameter(_NO_WEIGHT.format(which=which, what=what))


def _items(strategy: Strategy) -> tuple[StrategyItem, ...]:
    return tuple(
        StrategyItem(provider=item["capacityProvider"], base=item.get("base", 0), weight=item.get("weight", 0))
        for item in strategy
    )


def platform_version(wanted: str | None) -> str:
    """The version a task shows; raises PlatformUnknownException."""
    if wanted not in (None, "", "LATEST", PLATFORM_VERSION):
        raise PlatformUnknown
    return PLATFORM_VERSION
