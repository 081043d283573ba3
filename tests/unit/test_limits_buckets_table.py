"""Every operation of this endpoint draws from one bucket, and the numbers are those that AWS publishes."""

from neargate.frontend.limits.api_buckets import BUCKETS, BY_KEY, OF_OPERATION
from neargate.frontend.limits.token_bucket import Rate
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.quotas import QUOTAS, SERVICE_NAMES
from neargate.wire.shapes import SERVICES, Models


def test_every_operation_has_a_bucket() -> None:
    missing = [
        f"{service}:{name}"
        for service, table in OPERATIONS.items()
        for name in table
        if (service, name) not in OF_OPERATION
    ]
    assert not missing, f"add them to frontend/limits/api_buckets.py: {missing}"


def test_every_operation_of_the_models_has_a_bucket_too() -> None:
    """So that one which is built later is limited from its first day."""
    models = Models()
    for service in SERVICES:
        known = {name for owner, name in OF_OPERATION if owner == service}
        assert known == models.service(service).operation_names, service


def test_no_operation_draws_from_two() -> None:
    for service, buckets in BUCKETS.items():
        names = [name for bucket in buckets for name in bucket.names]
        assert len(names) == len(set(names)), service


def test_ecs_and_fargate_as_published() -> None:
    published = {
        "ecs/cluster-modify": (20, 1),
        "ecs/cluster-read": (50, 20),
        "ecs/task-definition-modify": (20, 1),
        "ecs/task-definition-read": (50, 20),
        "ecs/task-definition-delete": (5, 1),
        "ecs/tag-modify": (20, 10),
        "ecs/settings-modify": (10, 1),
        "ecs/task-modify": (100, 40),
        "ecs/task-read": (100, 20),
        "ecs/service-modify": (50, 5),
        "ecs/service-read": (100, 20),
        "ecs/deployments": (50, 20),
        "ecs/protection": (200, 80),
        "ecs/namespace-read": (10, 1),
        "fargate/run-task": (20, 20),
        "fargate/launch-on-demand": (100, 20),
        "fargate/launch-spot": (100, 20),
        "ec2/read": (100, 20),
        "ec2/modify": (50, 5),
        "logs/put": (5000, 5000),
        "sts/calls": (600, 600),
    }
    assert {key: BY_KEY[key].rate for key in published} == {key: Rate(*rate) for key, rate in published.items()}


def test_keys_are_unique_and_services_named() -> None:
    keys = [quota.key for quota in QUOTAS]
    assert len(keys) == len(set(keys)) and not set(keys) & set(BY_KEY)
    assert {quota.service for quota in QUOTAS} == set(SERVICE_NAMES)
