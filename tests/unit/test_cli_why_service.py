"""`neargate why`: whether its word means a service or a task."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from neargate.cli.desks.operator import OperatorDesk, TaskNotNamed
from neargate.frontend.regional.shelves import Shelf
from neargate.model.errors import InvalidParameter, ServiceNotFound
from neargate.region import Region


class Services:
    """One service, `ab` of cluster `front`, and two that are named `s`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []

    async def explain_service(self, name: str, *, cluster: str | None, account: str | None) -> dict[str, Any]:
        self.asked.append((name, cluster, account))
        if name == "s" and cluster is None:
            raise InvalidParameter("several services have that name: one, two")
        if (name, cluster or "front") != ("ab", "front"):
            raise ServiceNotFound
        return {"service": name}


class Tasks:
    async def tasks_that_begin_with(self, text: str) -> list[str]:
        del text
        return []


def why(services: Services, text: str) -> Any:
    cell = SimpleNamespace(services=services, operator=Tasks())
    nothing = SimpleNamespace(network=SimpleNamespace(accounts=list, shelf=Shelf))
    region = cast(Region, SimpleNamespace(cell=cell, services=nothing))
    return asyncio.run(OperatorDesk(region).why({"task": text}))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("ab", ("ab", None, None)),
        ("front/ab", ("ab", "front", None)),
        ("arn:aws:ecs:us-east-1:123456789012:service/front/ab", ("ab", "front", "123456789012")),
        ("arn:aws:ecs:us-east-1:123456789012:service/ab", ("ab", None, "123456789012")),
    ],
)
def test_a_service_is_named_in_any_of_its_ways(text: str, asked: tuple[str, str | None, str | None]) -> None:
    services = Services()
    assert why(services, text) == {"service": "ab"}
    assert services.asked == [asked]


def test_what_names_nothing_or_several_is_told() -> None:
    with pytest.raises(
        TaskNotNamed,
        match=r"no task begins with 'nothing'; .*; and no service, load balancer or target group has that name",
    ):
        why(Services(), "nothing")
    with pytest.raises(TaskNotNamed, match="several services have that name: one, two"):
        why(Services(), "s")
