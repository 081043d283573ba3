"""Launch types and capacity provider strategies, without a region around them."""

from typing import Any

import pytest

from neargate.frontend.operations.ecs.capacity_providers import (
    NO_INSTANCES,
    Capacity,
    check_provider_names,
    check_strategy,
    chosen_capacity,
    platform_version,
)
from neargate.model.errors import AwsError, InvalidParameter, PlatformUnknown, UnsupportedFeature

BOTH = {"capacityProviders": ["FARGATE", "FARGATE_SPOT"]}


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
            "Only one capacity provider in a capacity provider strategy can have a base defined.",
        ),
        (
            [item(weight=0)],
            "At least one capacity provider in a capacity provider strategy must have a weight greater than zero.",
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
    check_provider_names(["FARGATE", "FARGATE_SPOT"])


@pytest.mark.parametrize(
    ("launch_type", "strategy", "cluster", "chosen"),
    [
        ("FARGATE", [], {}, Capacity(launch_type="FARGATE")),
        (None, [item()], BOTH, Capacity(capacity_provider="FARGATE")),
        (None, [item(), item("FARGATE_SPOT", weight=0)], BOTH, Capacity(capacity_provider="FARGATE")),
        (None, [], BOTH | {"defaultCapacityProviderStrategy": [item()]}, Capacity(capacity_provider="FARGATE")),
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
            [item(), item("FARGATE_SPOT")],
            BOTH,
            UnsupportedFeature,
            "The capacity provider FARGATE_SPOT is not supported yet. Use FARGATE.",
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
