"""Operations on services, before a fake of the cell: what is asked of it, and what is refused in AWS's words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from neargate.interfaces.services import NewService, ServiceChange
from neargate.testing.fake_services import FakeServices

from .test_ecs_operations import ACCOUNT, ARN, REGION, Region, definition, open_region, story

INVALID, CLIENT = "InvalidParameterException", "ClientException"
UNSUPPORTED = "UnsupportedFeatureException"
SERVICE = f"{ARN}:service/default/web"
DEPLOYMENT = f"{ARN}:service-deployment/default/web/d1"
NOT_FOUND = ("ServiceNotFoundException", "Service not found.")
NOT_ACTIVE = ("ServiceNotActiveException", "Service was not ACTIVE.")
GHOST_CLUSTER = ("ClusterNotFoundException", "Cluster not found.")
TASK = "0123456789abcdef0123456789abcdef"


class Serving(Region):
    """A region whose cell keeps services as the fake does."""

    fake: FakeServices

    def creating(self, **changes: Any) -> dict[str, Any]:
        """CreateService's parameters; None takes one away."""
        return self.run(**{"serviceName": "web", "desiredCount": 2} | changes)

    async def made(self, **changes: Any) -> NewService:
        await self("CreateService", **self.creating(**changes))
        asked = self.fake.asked[-1]
        assert isinstance(asked, NewService)
        return asked

    async def changed(self, **params: Any) -> ServiceChange:
        await self("UpdateService", service="web", **params)
        asked = self.fake.asked[-1]
        assert isinstance(asked, ServiceChange)
        return asked


Body = Callable[[Serving], Awaitable[None]]


def told(body: Body) -> None:
    async def tell() -> None:
        plain = await open_region()
        fake = FakeServices(REGION, lambda: 1000.0)
        region = Serving(msgspec.structs.replace(plain.services, service_managers={"cell-0": fake}))
        region.fake = fake
        await region.ready()
        await body(region)

    asyncio.run(tell())


def test_a_service_is_asked_for_with_awss_defaults() -> None:
    async def body(region: Serving) -> None:
        answer = (await region("CreateService", **region.creating()))["service"]
        assert (answer["serviceArn"], answer["status"], answer["desiredCount"]) == (SERVICE, "ACTIVE", 2)
        new = region.fake.asked[-1]
        assert isinstance(new, NewService)
        assert new.settings == {
            "schedulingStrategy": "REPLICA",
            "deploymentController": {"type": "ECS"},
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": False, "rollback": False},
                "maximumPercent": 200,
                "minimumHealthyPercent": 100,
                "strategy": "ROLLING",
                "bakeTimeInMinutes": 0,
            },
            "placementConstraints": [],
            "placementStrategy": [],
            "enableECSManagedTags": False,
            "propagateTags": "NONE",
            "enableExecuteCommand": False,
            "availabilityZoneRebalancing": "ENABLED",
            "platformVersion": "LATEST",
        }
        template = new.template
        assert (template.launch_type, template.strategy, template.platform_version) == ("FARGATE", (), "1.4.0")
        assert template.network == {"subnets": region.subnets, "securityGroups": [], "assignPublicIp": "DISABLED"}
        assert template.definition["taskDefinitionArn"] == f"{ARN}:task-definition/web:1"
        assert new.created_by == f"arn:aws:iam::{ACCOUNT}:root"

    told(body)


def test_what_is_given_is_asked_for() -> None:
    async def body(region: Serving) -> None:
        breaker = {
            "enable": True,
            "rollback": True,
            "resetOnHealthyTask": False,
            "thresholdConfiguration": {"type": "COUNT", "value": 3},
        }
        new = await region.made(
            deploymentConfiguration={"minimumHealthyPercent": 50, "deploymentCircuitBreaker": breaker},
            healthCheckGracePeriodSeconds=30,
            propagateTags="SERVICE",
            enableECSManagedTags=True,
            enableExecuteCommand=True,
            availabilityZoneRebalancing="DISABLED",
            platformVersion="1.4.0",
            tags=[{"key": "a", "value": "b"}],
            clientToken="t" * 36,
            networkConfiguration=region.awsvpc(assignPublicIp="ENABLED"),
        )
        configuration = new.settings["deploymentConfiguration"]
        assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (50, 200)
        assert configuration["deploymentCircuitBreaker"] == breaker
        given = {
            "healthCheckGracePeriodSeconds": 30,
            "propagateTags": "SERVICE",
            "enableECSManagedTags": True,
            "enableExecuteCommand": True,
            "availabilityZoneRebalancing": "DISABLED",
            "platformVersion": "1.4.0",
        }
        assert given.items() <= new.settings.items()
        assert new.tags == (("a", "b"),) and new.request_fingerprint
        assert new.template.network["assignPublicIp"] == "ENABLED"
        again = await region("CreateService", **region.creating(clientToken="t" * 36))
        assert again

    with pytest.raises(Exception, match="not idempotent"):  # the same token, but not the same request
        told(body)


def test_a_strategy_is_asked_for_as_the_cluster_allows() -> None:
    async def body(region: Serving) -> None:
        spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
        asked = region.creating(launchType=None, capacityProviderStrategy=spot)
        assert (await region.refused("CreateService", **asked))[0] == INVALID
        await region(
            "PutClusterCapacityProviders",
            cluster="default",
            capacityProviders=["FARGATE", "FARGATE_SPOT"],
            defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 2, "base": 1}],
        )
        new = await region.made(serviceName="own", launchType=None, capacityProviderStrategy=spot)
        assert [(one.provider, one.base, one.weight) for one in new.template.strategy] == [("FARGATE_SPOT", 0, 1)]
        assert new.template.launch_type is None
        new = await region.made(serviceName="default", launchType=None)
        assert [(one.provider, one.base, one.weight) for one in new.template.strategy] == [("FARGATE", 1, 2)]
        both = region.creating(serviceName="both", capacityProviderStrategy=spot)
        assert (await region.refused("CreateService", **both))[1].startswith("Specifying both a launch type")

    told(body)


def test_services_for_ec2_are_data() -> None:
    async def body(region: Serving) -> None:
        containers = [{"name": "web", "image": "web:1", "memory": 128}]
        await region("RegisterTaskDefinition", family="bridge", containerDefinitions=containers)
        given = {"taskDefinition": "bridge", "launchType": None, "networkConfiguration": None}
        new = await region.made(**given)
        assert (new.template.launch_type, new.template.network, new.template.platform_version) == ("EC2", {}, "")
        assert "platformVersion" not in new.settings
        daemon = await region.made(**given | {"serviceName": "d", "schedulingStrategy": "DAEMON", "desiredCount": None})
        assert daemon.desired_count == 0
        assert daemon.settings["deploymentConfiguration"]["minimumHealthyPercent"] == 0
        assert daemon.settings["availabilityZoneRebalancing"] == "DISABLED"
        wrong = region.creating(**given | {"serviceName": "e", "platformVersion": "LATEST"})
        text = "The platform version must be null when specifying an EC2 launch type."
        assert await region.refused("CreateService", **wrong) == (INVALID, text)
        assert (await region("ListServices", schedulingStrategy="DAEMON"))["serviceArns"] == [
            f"{ARN}:service/default/d"
        ]
        assert (await region("ListServices", launchType="FARGATE"))["serviceArns"] == []

    told(body)


NO_NETWORK = "Network Configuration must be provided when networkMode 'awsvpc' is specified."
DAEMON_COUNT = (
    "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and "
    "try again"
)
REFUSED_NEW: list[tuple[dict[str, Any], str, str]] = [
    ({"cluster": "ghost"}, *GHOST_CLUSTER),
    ({"taskDefinition": "ghost"}, CLIENT, "TaskDefinition not found."),
    ({"taskDefinition": None}, INVALID, "Task definition can not be blank."),
    ({"networkConfiguration": None}, INVALID, NO_NETWORK),
    ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}}, INVALID, "subnets can not be empty."),
    ({"platformVersion": "1.3.0"}, "PlatformUnknownException", "The specified platform does not exist."),
    ({"desiredCount": -1}, INVALID, "Desired count must not be negative."),
    (
        {"desiredCount": None},
        INVALID,
        "The replica scheduling strategy requires a desired count. Specify one and try again",
    ),
    (
        {"serviceName": "a b"},
        INVALID,
        "Service names have up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens.",
    ),
    (
        {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
        INVALID,
        "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
    ),
    (
        {"deploymentConfiguration": {"minimumHealthyPercent": 101}},
        INVALID,
        "minimumHealthyPercent must be between 0 and 100.",
    ),
    ({"deploymentConfiguration": {"maximumPercent": 99}}, INVALID, "maximumPercent must be 100 or more."),
    (
        {
            "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0},
            "availabilityZoneRebalancing": "ENABLED",
        },
        INVALID,
        "Availability Zone rebalancing requires a maximumPercent greater than 100.",
    ),
    (
        {"clientToken": "t" * 37},
        INVALID,
        "clientToken can have up to 36 characters in the range of ASCII 33-126.",
    ),
    (
        {"role": "r"},
        INVALID,
        "You cannot specify an IAM role for services that require a service linked role.",
    ),
    (
        {"placementStrategy": [{"type": "random"}]},
        INVALID,
        "Placement strategies are not supported with FARGATE launch type.",
    ),
    (
        {"placementConstraints": [{"type": "distinctInstance"}]},
        INVALID,
        "Placement constraints are not supported with FARGATE launch type.",
    ),
    (
        {"healthCheckGracePeriodSeconds": -1},
        INVALID,
        "healthCheckGracePeriodSeconds must be between 0 and 2147483647.",
    ),
    ({"launchType": "MANAGED_INSTANCES"}, UNSUPPORTED, "The launch type MANAGED_INSTANCES is not supported."),
]


@pytest.mark.parametrize(("changes", "code", "text"), REFUSED_NEW, ids=[text[:50] for *_, text in REFUSED_NEW])
def test_what_is_wrong_with_a_new_service_is_said(changes: dict[str, Any], code: str, text: str) -> None:
    async def body(region: Serving) -> None:
        assert await region.refused("CreateService", **region.creating(**changes)) == (code, text)
        assert region.fake.asked == []

    told(body)


UNBUILT: list[tuple[dict[str, Any], str]] = [
    ({"serviceConnectConfiguration": {"enabled": True}}, UNSUPPORTED),
    ({"volumeConfigurations": [{"name": "v"}]}, UNSUPPORTED),
    ({"vpcLatticeConfigurations": [{"roleArn": "r", "targetGroupArn": "t", "portName": "p"}]}, UNSUPPORTED),
    ({"gatewayConnectors": [{"portName": "p"}]}, UNSUPPORTED),
    ({"deploymentController": {"type": "CODE_DEPLOY"}}, UNSUPPORTED),
    ({"deploymentController": {"type": "EXTERNAL"}}, UNSUPPORTED),
    ({"deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}}, UNSUPPORTED),
    ({"deploymentConfiguration": {"strategy": "LINEAR"}}, UNSUPPORTED),
    ({"deploymentConfiguration": {"strategy": "CANARY"}}, UNSUPPORTED),
    ({"deploymentConfiguration": {"lifecycleHooks": [{"targetType": "PAUSE"}]}}, UNSUPPORTED),
    ({"deploymentConfiguration": {"bakeTimeInMinutes": 5}}, UNSUPPORTED),
    (
        {"deploymentConfiguration": {"alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}}},
        UNSUPPORTED,
    ),
    ({"deploymentConfiguration": {"earlySuccessCriteria": {"enable": True, "healthyPercent": 100}}}, UNSUPPORTED),
]


@pytest.mark.parametrize(("changes", "code"), UNBUILT, ids=[str(changes)[:60] for changes, _ in UNBUILT])
def test_what_is_not_built_is_refused_when_asked_for(changes: dict[str, Any], code: str) -> None:
    async def body(region: Serving) -> None:
        assert (await region.refused("CreateService", **region.creating(**changes)))[0] == code
        await region.made()
        assert (await region.refused("UpdateService", service="web", **changes))[0] == code
        assert len(region.fake.asked) == 1

    told(body)


def test_empty_and_switched_off_asks_for_nothing() -> None:
    async def body(region: Serving) -> None:
        await region.made(
            loadBalancers=[],
            serviceRegistries=[],
            volumeConfigurations=[],
            serviceConnectConfiguration={"enabled": False},
            deploymentController={"type": "ECS"},
            deploymentConfiguration={
                "strategy": "ROLLING",
                "bakeTimeInMinutes": 0,
                "lifecycleHooks": [],
                "alarms": {"alarmNames": [], "enable": False, "rollback": False},
            },
        )

    told(body)


def test_an_update_says_only_what_changes() -> None:
    async def body(region: Serving) -> None:
        await region.made()
        change = await region.changed(desiredCount=3)
        assert change == ServiceChange(desired_count=3)
        change = await region.changed(deploymentConfiguration={"maximumPercent": 150})
        configuration = change.settings["deploymentConfiguration"]
        assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (100, 150)
        assert change.definition is UNSET and not change.force_new_deployment
        change = await region.changed(forceNewDeployment=True)
        assert change == ServiceChange(force_new_deployment=True)
        await region("RegisterTaskDefinition", **definition())
        change = await region.changed(taskDefinition="web", enableExecuteCommand=True)
        assert isinstance(change.definition, dict)
        assert change.definition["taskDefinitionArn"] == f"{ARN}:task-definition/web:2"
        assert (change.settings, change.log_mode) == ({"enableExecuteCommand": True}, "non-blocking")
        assert await region.changed(taskDefinition="web:2") == ServiceChange(), "it is that already"
        assert await region.changed(networkConfiguration=region.awsvpc()) == ServiceChange()
        assert await region.changed(platformVersion="LATEST") == ServiceChange()
        change = await region.changed(networkConfiguration=region.awsvpc(assignPublicIp="ENABLED"))
        assert isinstance(change.network, dict) and change.network["assignPublicIp"] == "ENABLED"
        change = await region.changed(platformVersion="1.4.0")
        assert (change.platform_version, change.settings) == ("1.4.0", {"platformVersion": "1.4.0"})

    told(body)


def test_an_update_may_change_the_capacity_and_go_back() -> None:
    async def body(region: Serving) -> None:
        await region.made()
        spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
        assert (await region.refused("UpdateService", service="web", capacityProviderStrategy=spot))[0] == INVALID
        await region(
            "PutClusterCapacityProviders",
            cluster="default",
            capacityProviders=["FARGATE", "FARGATE_SPOT"],
            defaultCapacityProviderStrategy=[],
        )
        change = await region.changed(capacityProviderStrategy=spot, forceNewDeployment=True)
        assert change.launch_type is None and isinstance(change.strategy, tuple)
        assert [one.provider for one in change.strategy] == ["FARGATE_SPOT"]
        change = await region.changed(capacityProviderStrategy=[])
        assert (change.launch_type, change.strategy) == ("FARGATE", ())

    told(body)


def test_a_definition_that_is_retired_begins_no_deployment_but_scales() -> None:
    async def body(region: Serving) -> None:
        await region.made()
        await region("DeregisterTaskDefinition", taskDefinition="web:1")
        inactive = (CLIENT, "TaskDefinition is inactive")
        for asked in ({"taskDefinition": "web:1"}, {"forceNewDeployment": True}, {"platformVersion": "1.4.0"}):
            assert await region.refused("UpdateService", service="web", **asked) == inactive
        refused = region.creating(serviceName="other", taskDefinition="web:1")
        assert await region.refused("CreateService", **refused) == inactive
        assert (await region.changed(desiredCount=5)).desired_count == 5

    told(body)


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"service": "ghost"}, *NOT_FOUND),
        ({"service": "web", "cluster": "ghost"}, *GHOST_CLUSTER),
        ({"service": "web", "taskDefinition": "ghost"}, CLIENT, "TaskDefinition not found."),
        (
            {"service": "web", "taskDefinition": "bridge"},
            INVALID,
            "Task definition does not support launch_type FARGATE.",
        ),
        ({"service": "web", "desiredCount": -1}, INVALID, "Desired count must not be negative."),
        (
            {"service": "web", "platformVersion": "9"},
            "PlatformUnknownException",
            "The specified platform does not exist.",
        ),
        ({"service": "a b"}, INVALID, "Service Identifier is invalid"),
        ({"service": f"{ARN}:cluster/web"}, INVALID, "Service Identifier is invalid"),
        (
            {"service": f"{ARN}:service/other/web"},
            INVALID,
            "Invalid identifier: Identifier is for cluster other. Your cluster is default",
        ),
    ],
)
def test_what_is_wrong_with_an_update_is_said(params: dict[str, Any], code: str, text: str) -> None:
    async def body(region: Serving) -> None:
        containers = [{"name": "web", "image": "web:1", "memory": 128}]
        await region("RegisterTaskDefinition", family="bridge", containerDefinitions=containers)
        await region.made()
        assert await region.refused("UpdateService", **params) == (code, text)
        assert len(region.fake.asked) == 1

    told(body)


def test_a_service_is_found_by_name_and_by_both_arns_until_it_is_deleted() -> None:
    async def body(region: Serving) -> None:
        await region.made(tags=[{"key": "a", "value": "b"}])
        for text in ("web", SERVICE, f"{ARN}:service/web"):
            [found] = (await region("DescribeServices", services=[text], include=["TAGS"]))["services"]
            assert (found["serviceArn"], found["tags"]) == (SERVICE, [{"key": "a", "value": "b"}])
        answer = await region("DescribeServices", services=["web", "ghost", SERVICE])
        assert [one["serviceArn"] for one in answer["services"]] == [SERVICE] * 2, "named twice"
        assert "tags" not in answer["services"][0]
        assert answer["failures"] == [{"arn": f"{ARN}:service/ghost", "reason": "MISSING"}]
        assert (await region("ListServices"))["serviceArns"] == [SERVICE]
        scaled = (INVALID, "The service cannot be stopped while it is scaled above 0.")
        assert await region.refused("DeleteService", service="web") == scaled
        assert (await region("DeleteService", service="web", force=True))["service"]["status"] == "DRAINING"
        assert (await region("ListServices"))["serviceArns"] == []
        assert (await region("DescribeServices", services=["web"]))["services"][0]["status"] == "INACTIVE"
        assert await region.refused("UpdateService", service="web", desiredCount=1) == NOT_ACTIVE

    told(body)


def test_services_are_listed_in_pages() -> None:
    async def body(region: Serving) -> None:
        arns = []
        for number in range(3):
            await region.made(serviceName=f"s{number}")
            arns.append(f"{ARN}:service/default/s{number}")
        first = await region("ListServices", maxResults=2)
        second = await region("ListServices", maxResults=2, nextToken=first["nextToken"])
        assert first["serviceArns"] + second["serviceArns"] == arns and "nextToken" not in second
        assert (await region("ListServices", resourceManagementType="ECS"))["serviceArns"] == []
        assert (await region.refused("ListServices", nextToken="what"))[1] == "Invalid token."

    told(body)


def test_deployments_are_told_and_stopped_by_their_arns() -> None:
    async def body(region: Serving) -> None:
        await region.made()
        listed = (await region("ListServiceDeployments", service="web", status=["SUCCESSFUL"]))["serviceDeployments"]
        assert [one["serviceDeploymentArn"] for one in listed] == [DEPLOYMENT]
        assert (await region("ListServiceDeployments", service="web", status=["STOPPED"]))["serviceDeployments"] == []
        ghost = DEPLOYMENT.replace("/d1", "/d7")
        found = await region("DescribeServiceDeployments", serviceDeploymentArns=[DEPLOYMENT, ghost])
        assert [one["serviceDeploymentArn"] for one in found["serviceDeployments"]] == [DEPLOYMENT]
        assert found["failures"] == [{"arn": ghost, "reason": "MISSING"}]
        revision = listed[0]["targetServiceRevisionArn"]
        found = await region("DescribeServiceRevisions", serviceRevisionArns=[revision])
        assert found["serviceRevisions"] == [{"serviceRevisionArn": revision}]
        assert await region("StopServiceDeployment", serviceDeploymentArn=DEPLOYMENT) == {
            "serviceDeploymentArn": DEPLOYMENT
        }
        for operation, params in (("StopServiceDeployment", {}), ("ContinueServiceDeployment", {"hookId": "h"})):
            missing = ("ServiceDeploymentNotFoundException", "Service deployment not found.")
            assert await region.refused(operation, serviceDeploymentArn=ghost, **params) == missing
        stays = await region.refused("StopServiceDeployment", serviceDeploymentArn=DEPLOYMENT, stopType="ABORT")
        assert stays[0] == UNSUPPORTED
        paused = await region.refused("ContinueServiceDeployment", serviceDeploymentArn=DEPLOYMENT, hookId="h")
        assert paused == (INVALID, "The service deployment is not paused at a lifecycle hook.")

    told(body)


@pytest.mark.parametrize(
    ("arn", "text"),
    [
        ("d1", "Service deployment ARN is invalid."),
        (SERVICE, "Service deployment ARN is invalid."),
        (f"{ARN}:service-deployment/web/d1", "Service deployment ARN is invalid."),
        (f"{ARN}:service-deployment/default/../web/d1", "Service deployment ARN is invalid."),
        (DEPLOYMENT.replace(ACCOUNT, "210987654321"), "AccountIDs mismatch"),
        (
            DEPLOYMENT.replace(REGION, "eu-west-1"),
            f"Identifier is for region eu-west-1. Your region is {REGION}",
        ),
    ],
)
def test_only_own_deployments_are_asked_for(arn: str, text: str) -> None:
    async def body(region: Serving) -> None:
        assert await region.refused("StopServiceDeployment", serviceDeploymentArn=arn) == (INVALID, text)
        asked = await region.refused("DescribeServiceDeployments", serviceDeploymentArns=[arn])
        assert asked == (INVALID, text)

    told(body)


def test_tasks_of_services_are_protected_for_a_while() -> None:
    async def body(region: Serving) -> None:
        region.fake.of_service.add(TASK)
        arn, other = f"{ARN}:task/default/{TASK}", "f" * 32
        here = {"cluster": "default", "tasks": [arn, other]}
        answer = await region("UpdateTaskProtection", protectionEnabled=True, **here)
        shown = {"taskArn": arn, "protectionEnabled": True, "expirationDate": 1000.0 + 7200}
        assert answer["protectedTasks"] == [shown]
        assert answer["failures"] == [{"arn": f"{ARN}:task/default/{other}", "reason": "TASK_NOT_VALID"}]
        assert (await region("GetTaskProtection", cluster="default"))["protectedTasks"] == [shown]
        await region("UpdateTaskProtection", protectionEnabled=True, expiresInMinutes=2880, **here)
        [found] = (await region("GetTaskProtection", cluster="default", tasks=[TASK]))["protectedTasks"]
        assert found["expirationDate"] == 1000.0 + 2880 * 60
        for minutes in (0, 2881, -5):
            refused = await region.refused(
                "UpdateTaskProtection", protectionEnabled=True, expiresInMinutes=minutes, **here
            )
            assert refused == (INVALID, "expiresInMinutes must be between 1 and 2880.")
        await region("UpdateTaskProtection", protectionEnabled=False, **here)
        [found] = (await region("GetTaskProtection", cluster="default", tasks=[TASK]))["protectedTasks"]
        assert found == {"taskArn": arn, "protectionEnabled": False}
        many = [f"{number:032x}" for number in range(11)]
        refused = await region.refused("UpdateTaskProtection", cluster="default", tasks=many, protectionEnabled=True)
        assert refused == (INVALID, "tasks can have at most 10 items.")
        empty = await region.refused("UpdateTaskProtection", cluster="default", tasks=[], protectionEnabled=True)
        assert empty == (INVALID, "Tasks cannot be empty.")

    told(body)


def test_tags_of_services_are_told_and_changed() -> None:
    async def body(region: Serving) -> None:
        await region.made()
        await region("TagResource", resourceArn=SERVICE, tags=[{"key": "a", "value": "b"}, {"key": "c"}])
        await region("UntagResource", resourceArn=SERVICE, tagKeys=["c"])
        assert (await region("ListTagsForResource", resourceArn=SERVICE))["tags"] == [{"key": "a", "value": "b"}]
        ghost = (INVALID, "The specified service does not exist. Specify a valid service and try again.")
        assert await region.refused("ListTagsForResource", resourceArn=f"{ARN}:service/default/ghost") == ghost
        await region("DeleteService", service="web", force=True)
        gone = (INVALID, "The specified service is inactive. Specify an active service and try again.")
        assert await region.refused("TagResource", resourceArn=SERVICE, tags=[]) == gone

    told(body)


TASK_SETS: list[tuple[str, dict[str, Any]]] = [
    ("CreateTaskSet", {"taskDefinition": "web"}),
    ("DeleteTaskSet", {"taskSet": "ecs-svc/1"}),
    ("DescribeTaskSets", {}),
    ("UpdateServicePrimaryTaskSet", {"primaryTaskSet": "ecs-svc/1"}),
    ("UpdateTaskSet", {"taskSet": f"{ARN}:task-set/default/web/ecs-svc/1", "scale": {"value": 50, "unit": "PERCENT"}}),
]


@pytest.mark.parametrize(("operation", "params"), TASK_SETS, ids=[operation for operation, _ in TASK_SETS])
def test_task_sets_belong_to_another_controller(operation: str, params: dict[str, Any]) -> None:
    async def body(region: Serving) -> None:
        here = {"cluster": "default", "service": "web", **params}
        assert await region.refused(operation, **here) == NOT_FOUND
        await region.made()
        only = (INVALID, "Task sets are supported only for services with an EXTERNAL deployment controller.")
        assert await region.refused(operation, **here) == only
        await region("DeleteService", service="web", force=True)
        assert await region.refused(operation, **here) == NOT_ACTIVE

    told(body)


def test_an_account_without_services_is_told_so_by_its_cell() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region("ListServices", launchType="FARGATE") == {"serviceArns": []}
        named = [f"{ARN}:service/web", SERVICE]
        missing = {"services": [], "failures": [{"arn": arn, "reason": "MISSING"} for arn in named]}
        assert await region("DescribeServices", services=["web", SERVICE, f"{ARN}:service/web"]) == missing

    story(body)


@pytest.mark.parametrize(
    ("operation", "params", "refusal"),
    [
        ("UpdateService", {"service": "web", "desiredCount": 0}, NOT_FOUND),
        ("DeleteService", {"service": "web", "force": True}, NOT_FOUND),
        ("ListServiceDeployments", {"service": "web"}, NOT_FOUND),
        ("DescribeServices", {"services": []}, (INVALID, "Services cannot be empty.")),
        ("DescribeServices", {"services": ["web"] * 11}, (INVALID, "services can have at most 10 items.")),
    ],
)
def test_the_cluster_is_looked_up_first(operation: str, params: dict[str, Any], refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region.refused(operation, **params) == refusal
        assert await region.refused(operation, cluster="ghost", **params) == GHOST_CLUSTER

    story(body)
