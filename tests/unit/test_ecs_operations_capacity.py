"""Launch types and capacity provider strategies, without a region around them."""

from typing import Any

import pytest

from neargate.frontend.operations.ecs.capacity_providers import (
    NO_INSTANCES,
    Capacity,
    check_provider_names,
    check_strategy,
    chosen_capacity,
    cluster_providers,
    platform_version,
)
from neargate.model.errors import AwsError, InvalidParameter, PlatformUnknown
from neargate.scheduling.strategy import StrategyItem

BOTH = {"capacityProviders": ["FARGATE", "FARGATE_SPOT"]}


def given(name: str, **members: int) -> StrategyItem:
    return StrategyItem(provider=name, **({"weight": 1} | members))


def item(name: str = "FARGATE", **members: int) -> dict[str, Any]:
    return {"capacityProvider": name, "weight": 1} | members


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (
            [item("mine")],
            "The specified capacity provider 'mine' was not found. Specify a valid name or ARN and try again.",
        ),
        ([item()] * 21, "A capacity provider strategy can have at most 20 capacity providers."),
        ([item()] * 2, "A capacity provider strategy cannot name a capacity provider more than once."),
        *[
            (
                [item() | {member: value}],
                "Capacity provider weights are between 0 and 1000, bases between 0 and 100000.",
            )
            for member, value in (("weight", -1), ("weight", 1001), ("base", -1), ("base", 100_001))
        ],
        (
            [item(base=1), item("FARGATE_SPOT", base=1)],
            "The specified capacity provider strategy contains multiple capacity providers with a base value defined. "
            "Only one capacity provider in a capacity provider strategy can have a base defined.",
        ),
    ],
)
def test_a_strategy_that_cannot_be(strategy: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_strategy(strategy)
    assert refused.value.message == text


def test_strategies_that_can_be() -> None:
    check_strategy([])
    check_strategy([item(base=1), item("FARGATE_SPOT")])
    check_strategy([item(weight=0)])  # a cluster may have it by default; launches say that it cannot be used
    check_provider_names(["FARGATE", "FARGATE_SPOT"])


@pytest.mark.parametrize(
    ("launch_type", "strategy", "cluster", "chosen"),
    [
        ("FARGATE", [], {}, Capacity(launch_type="FARGATE")),
        (None, [item()], BOTH, Capacity(strategy=(given("FARGATE"),))),
        (
            None,
            [item(base=2), item("FARGATE_SPOT", weight=0)],
            BOTH,
            Capacity(strategy=(given("FARGATE", base=2), given("FARGATE_SPOT", weight=0))),
        ),
        (
            None,
            [],
            BOTH | {"defaultCapacityProviderStrategy": [item("FARGATE_SPOT")]},
            Capacity(strategy=(given("FARGATE_SPOT"),)),
        ),
    ],
)
def test_what_is_chosen(
    launch_type: str | None, strategy: list[dict[str, Any]], cluster: dict[str, Any], chosen: Capacity
) -> None:
    assert chosen_capacity(launch_type, strategy, cluster) == chosen


@pytest.mark.parametrize(
    ("launch_type", "strategy", "cluster", "error", "text"),
    [
        (None, [], {}, InvalidParameter, NO_INSTANCES),
        (None, [], BOTH, InvalidParameter, NO_INSTANCES),
        ("EC2", [], BOTH, InvalidParameter, NO_INSTANCES),
        (
            None,
            [item()],
            {"capacityProviders": []},
            InvalidParameter,
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated "
            "with the cluster. Associate the capacity provider with the cluster and try again.",
        ),
        (
            None,
            [item(weight=0, base=1), item("FARGATE_SPOT", weight=0)],
            BOTH,
            InvalidParameter,
            "There are no capacity providers with a weight value greater than zero defined in the capacity provider "
            "strategy. At least one capacity provider must have a weight value greater than zero specified. Specify a "
            "valid capacity provider strategy and try again.",
        ),
        (
            None,
            [],
            BOTH | {"defaultCapacityProviderStrategy": [item(weight=0)]},
            InvalidParameter,
            "There are no capacity providers with a weight value greater than zero defined in the default capacity "
            "provider strategy. At least one capacity provider must have a weight value greater than zero specified. "
            "Update the cluster's default capacity provider strategy or specify a valid capacity provider strategy "
            "and try again.",
        ),
    ],
)
def test_what_cannot_be_chosen(
    launch_type: str | None,
    strategy: list[dict[str, Any]],
    cluster: dict[str, Any],
    error: type[AwsError],
    text: str,
) -> None:
    with pytest.raises(error) as refused:
        chosen_capacity(launch_type, strategy, cluster)
    assert refused.value.message == text


def test_platform_versions() -> None:
    assert {platform_version(text) for text in (None, "", "LATEST", "1.4.0")} == {"1.4.0"}
    for text in ("1.3.0", "latest", "2"):
        with pytest.raises(PlatformUnknown):
            platform_version(text)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"capacityProviders": ["mine"]},
            "The specified capacity provider 'mine' was not found. Specify a valid name or ARN and try again.",
        ),
        (
            {"capacityProviders": ["FARGATE"] * 21},
            "The maximum number of capacity providers per cluster has been exceeded.",
        ),
        (
            {"capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": [item("FARGATE_SPOT")]},
            "The specified default capacity provider strategy cannot contain a capacity provider "
            "that is not associated with the cluster.",
        ),
    ],
)
def test_what_a_cluster_cannot_have(params: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        cluster_providers(params)
    assert refused.value.message == text


def test_what_a_cluster_has_is_stored_with_every_member() -> None:
    both = {"capacityProviders": ["FARGATE", "FARGATE"], "defaultCapacityProviderStrategy": [item() | {"base": 1}]}
    assert cluster_providers(both) == {
        "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 1}],
    }
    assert cluster_providers({}) == {"capacityProviders": [], "defaultCapacityProviderStrategy": []}
