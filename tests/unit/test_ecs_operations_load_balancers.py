"""A service's target groups, before a fake of the cell: what is asked of it, and what is refused in AWS's words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from neargate.interfaces.services import NewService, ServiceChange
from neargate.testing.fake_services import FakeServices
from neargate.testing.fake_targets import FakeTargets

from .test_ecs_operations import REGION, Region, definition, open_region

INVALID, UNSUPPORTED = "InvalidParameterException", "UnsupportedFeatureException"
GHOST = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/ghost/0123456789abcdef"
PORTS = [{"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}]


class Balanced(Region):
    fake: FakeServices
    targets: FakeTargets
    group: str
    other: str
    unused: str
    foreign: str
    instances: str

    def behind(self, *groups: str, **changes: Any) -> dict[str, Any]:
        given = [{"targetGroupArn": arn, "containerName": "web", "containerPort": 80} | changes for arn in groups]
        return {"loadBalancers": given}

    async def create(self, **changes: Any) -> NewService:
        await self("CreateService", **self.run(serviceName="web", desiredCount=2, **changes))
        asked = self.fake.asked[-1]
        assert isinstance(asked, NewService)
        return asked

    async def update(self, **params: Any) -> ServiceChange:
        await self("UpdateService", service="web", **params)
        asked = self.fake.asked[-1]
        assert isinstance(asked, ServiceChange)
        return asked

    async def define(self, **container: Any) -> None:
        """The next revision of `web`."""
        first, *others = definition()["containerDefinitions"]
        await self("RegisterTaskDefinition", **definition(containerDefinitions=[{**first, **container}, *others]))


Body = Callable[[Balanced], Awaitable[None]]


def told(body: Body) -> None:
    async def tell() -> None:
        plain = await open_region()
        fake, targets = FakeServices(REGION, lambda: 1000.0), FakeTargets()
        parts = {"service_managers": {"cell-0": fake}, "targets": targets}
        region = Balanced(msgspec.structs.replace(plain.services, **parts))
        region.fake, region.targets = fake, targets
        await region.ready()
        subnet = region.services.network.subnet("123456789012", region.subnets[0])
        assert subnet is not None
        region.group, region.other = (targets.make_group(name, vpc_id=subnet.vpc_id) for name in ("web", "other"))
        region.unused = targets.make_group("unused", is_used=False, vpc_id=subnet.vpc_id)
        region.foreign = targets.make_group("foreign", vpc_id="vpc-0other")
        region.instances = targets.make_group("instances", target_type="instance", vpc_id=subnet.vpc_id)
        await region.define(portMappings=PORTS)
        await body(region)

    asyncio.run(tell())


def test_a_service_is_asked_for_with_its_groups_and_shows_them() -> None:
    async def body(region: Balanced) -> None:
        given = region.behind(region.group, region.other)
        new = await region.create(**given)
        assert new.template.shown == {**given, "serviceRegistries": []}
        [shown] = (await region("DescribeServices", services=["web"]))["services"]
        assert shown["loadBalancers"] == given["loadBalancers"]

    told(body)


@pytest.mark.parametrize(
    ("group", "changes", "text"),
    [
        ("ghost", {}, "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS "),
        ("unused", {}, "The target group with targetGroupArn {arn} does not have an associated load balancer."),
        ("foreign", {}, "The provided target group {arn} belongs to vpc-0other, which is not the VPC of the subnets "),
        (
            "instances",
            {},
            "The provided target group {arn} has target type instance, which is incompatible with the awsvpc network "
            "mode specified in the task definition.",
        ),
        ("group", {"containerName": "db"}, "The container db does not exist in the task definition."),
        ("group", {"containerPort": 81}, "The container web did not have a container port 81 defined."),
        ("group", {"containerPort": 53}, "The container web did not have a container port 53 defined."),
        ("group", {"containerName": ""}, "Container Name can not be blank."),
        ("group", {"targetGroupArn": ""}, "Target Group ARN can not be blank."),
        ("group", {"containerPort": 0}, "Container Port can not be blank."),
        ("group", {"loadBalancerName": "classic"}, "Classic Load Balancers are not supported with the network mode "),
    ],
)
def test_what_is_wrong_with_a_group_is_said(group: str, changes: dict[str, Any], text: str) -> None:
    async def body(region: Balanced) -> None:
        arn = GHOST if group == "ghost" else getattr(region, group)
        given = region.run(serviceName="web", desiredCount=2, **region.behind(arn, **changes))
        code, said = await region.refused("CreateService", **given)
        assert (code, said[: len(text.format(arn=arn))]) == (INVALID, text.format(arn=arn))
        assert region.fake.asked == []
        await region.create()
        assert (await region.refused("UpdateService", service="web", **region.behind(arn, **changes)))[1] == said

    told(body)


def test_five_groups_are_the_most_and_none_comes_twice() -> None:
    async def body(region: Balanced) -> None:
        asked = region.run(serviceName="web", desiredCount=2)
        six = region.behind(*[region.group] * 6)
        assert await region.refused("CreateService", **asked, **six) == (
            INVALID,
            "loadBalancers can have at most 5 items.",
        )
        twice = region.behind(region.group, region.other, region.group)
        assert (await region.refused("CreateService", **asked, **twice))[0] == INVALID
        blue = region.behind(region.group, advancedConfiguration={"alternateTargetGroupArn": region.other})
        assert (await region.refused("CreateService", **asked, **blue))[0] == UNSUPPORTED

    told(body)


def test_an_update_takes_other_groups_or_none_and_what_it_names_as_it_is_changes_nothing() -> None:
    async def body(region: Balanced) -> None:
        await region.create(**region.behind(region.group))
        assert (await region.update(desiredCount=3)).shown is UNSET
        assert (await region.update(**region.behind(region.group))).shown is UNSET
        other = region.behind(region.other)
        assert (await region.update(**other)).shown == {**other, "serviceRegistries": []}
        assert (await region.update(loadBalancers=[])).shown == {"loadBalancers": [], "serviceRegistries": []}

    told(body)


def test_a_network_of_another_vpc_is_refused_as_long_as_the_tasks_are_targets_in_this_one() -> None:
    async def body(region: Balanced) -> None:
        await region.create(**region.behind(region.group))
        public = region.awsvpc(assignPublicIp="ENABLED")
        await region.update(networkConfiguration=public)
        region.targets.move_group(region.group, "vpc-0other")  # as seen from subnets of another one
        code, text = await region.refused("UpdateService", service="web", networkConfiguration=public)
        assert (code, "belongs to vpc-0other, which is not the VPC of the subnets provided" in text) == (INVALID, True)
        region.targets.delete_group(region.group)
        assert await region.update(networkConfiguration=public) == ServiceChange()  # what is gone refuses nothing

    told(body)


def test_a_definition_without_the_port_that_is_a_target_is_refused() -> None:
    async def body(region: Balanced) -> None:
        await region.create(**region.behind(region.group))
        await region.define(portMappings=[{"containerPort": 8080}])
        refused = await region.refused("UpdateService", service="web", taskDefinition="web")
        assert refused == (INVALID, "The container web did not have a container port 80 defined.")
        change = await region.update(taskDefinition="web", **region.behind(region.group, containerPort=8080))
        assert change.shown is not UNSET
        assert [one["containerPort"] for one in change.shown["loadBalancers"]] == [8080]

    told(body)
