"""Who may do what with services, as boto3 sees it: resources, condition keys, tags and roles, in AWS's sentences."""

from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT

from .door_clients import allow
from .test_authorization import ECS, IAM, Region, denied, policy, refused, region

__all__ = ["region"]  # the fixture

WEB = f"{ECS}:service/default/web"
DEPLOYMENT = f"{ECS}:service-deployment/default/web/d1"
TASK = f"{ECS}:task/default/{'0' * 32}"


def service(region: Region, **changes: Any) -> dict[str, Any]:
    """CreateService's parameters."""
    subnets = [subnet["SubnetId"] for subnet in region.ec2.describe_subnets()["Subnets"]]
    return {
        "serviceName": "web",
        "taskDefinition": "web",
        "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
    } | changes


NOBODYS: list[tuple[str, dict[str, Any], str]] = [
    ("update_service", {"service": "web"}, WEB),
    ("update_service", {"service": f"{ECS}:service/web"}, WEB),
    ("delete_service", {"service": "web"}, WEB),
    ("describe_services", {"services": ["web"]}, WEB),
    ("list_services", {}, "*"),
    ("list_services_by_namespace", {"namespace": "n"}, "*"),
    ("list_service_deployments", {"service": "web"}, WEB),
    ("describe_service_deployments", {"serviceDeploymentArns": [DEPLOYMENT]}, DEPLOYMENT),
    (
        "describe_service_revisions",
        {"serviceRevisionArns": [f"{ECS}:service-revision/default/web/1"]},
        f"{ECS}:service-revision/default/web/1",
    ),
    ("stop_service_deployment", {"serviceDeploymentArn": DEPLOYMENT}, DEPLOYMENT),
    ("continue_service_deployment", {"serviceDeploymentArn": DEPLOYMENT, "hookId": "h"}, DEPLOYMENT),
    ("get_task_protection", {"cluster": "default", "tasks": [TASK]}, TASK),
    ("get_task_protection", {"cluster": "default"}, f"{ECS}:task/default/*"),
    ("update_task_protection", {"cluster": "default", "tasks": [TASK], "protectionEnabled": True}, TASK),
    (
        "create_task_set",
        {"cluster": "default", "service": "web", "taskDefinition": "web"},
        f"{ECS}:task-set/default/web/*",
    ),
    (
        "delete_task_set",
        {"cluster": "default", "service": "web", "taskSet": "ecs-svc/1"},
        f"{ECS}:task-set/default/web/1",
    ),
    ("update_service_primary_task_set", {"cluster": "default", "service": "web", "primaryTaskSet": "ecs-svc/1"}, WEB),
]


@pytest.mark.parametrize(("operation", "params", "resource"), NOBODYS, ids=[f"{one[0]}-{one[2]}" for one in NOBODYS])
def test_without_leave_nobody_learns_what_there_is(
    region: Region, operation: str, params: dict[str, Any], resource: str
) -> None:
    al = region.al()
    action = "ecs:" + "".join(word.title() for word in operation.split("_"))
    assert refused(getattr(al, operation), **params) == denied(action, resource)


def test_a_new_service_is_asked_for_with_all_that_its_tasks_will_have(region: Region) -> None:
    asked = {
        "ecs:cluster": f"{ECS}:cluster/default",
        "ecs:task-definition": f"{ECS}:task-definition/web:1",
        "ecs:propagate-tags": "NONE",
        "ecs:enable-execute-command": "false",
        "ecs:enable-ecs-managed-tags": "false",
        "ecs:enable-ebs-volumes": "false",
        "ecs:enable-service-connect": "false",
        "ecs:enable-vpc-lattice": "false",
        "ecs:auto-assign-public-ip": "false",
    }
    given = service(region)
    subnets = given["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    al = region.al(
        allow(
            "ecs:CreateService",
            resource=WEB,
            StringEquals=asked,
            **{"ForAllValues:StringEquals": {"ecs:subnet": subnets}},
        )
    )
    assert refused(al.create_service, **given | {"serviceName": "other"})[0] == "AccessDeniedException"
    public = {"awsvpcConfiguration": {"subnets": subnets, "assignPublicIp": "ENABLED"}}
    for changes in (
        {"enableExecuteCommand": True},
        {"enableECSManagedTags": True},
        {"propagateTags": "SERVICE"},
        {"networkConfiguration": public},
        {"taskDefinition": "ghost"},
        {"cluster": "ghost"},
        {"serviceConnectConfiguration": {"enabled": True}},
    ):
        assert refused(al.create_service, **given | changes)[0] == "AccessDeniedException", changes
    assert al.create_service(**given)["service"]["serviceArn"] == WEB


def test_a_capacity_provider_is_asked_for_by_its_arn(region: Region) -> None:
    provider = f"{ECS}:capacity-provider/FARGATE_SPOT"
    al = region.al(allow("ecs:*", StringEquals={"ecs:capacity-provider": provider}))
    given = service(region)
    del given["launchType"]
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert refused(al.create_service, **given)[0] == "AccessDeniedException"
    region.ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=["FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    assert al.create_service(**given, capacityProviderStrategy=spot)["service"]["capacityProviderStrategy"]


def test_tags_of_the_request_need_leave_of_their_own(region: Region) -> None:
    tags = [{"key": "team", "value": "a"}]
    al = region.al(allow("ecs:CreateService"))
    assert refused(al.create_service, **service(region, tags=tags)) == denied("ecs:TagResource", WEB)
    statement = allow("ecs:TagResource", StringEquals={"ecs:CreateAction": "CreateService", "aws:RequestTag/team": "a"})
    region.iam.put_user_policy(UserName="al", PolicyName="tags", PolicyDocument=policy(statement))
    assert al.create_service(**service(region, tags=tags))["service"]["status"] == "ACTIVE"


def test_tags_of_a_service_decide_about_it(region: Region) -> None:
    region.ecs.create_service(**service(region, tags=[{"key": "team", "value": "a"}]))
    region.ecs.create_service(**service(region, serviceName="other"))
    al = region.al(allow("ecs:*", StringEquals={"aws:ResourceTag/team": "a"}))
    assert al.describe_services(services=["web"])["services"][0]["serviceArn"] == WEB
    assert al.update_service(service="web", desiredCount=2)["service"]["desiredCount"] == 2
    assert al.list_tags_for_resource(resourceArn=WEB)["tags"] == [{"key": "team", "value": "a"}]
    other = f"{ECS}:service/default/other"
    assert refused(al.describe_services, services=["web", "other"]) == denied("ecs:DescribeServices", other)
    assert refused(al.update_service, service="other") == denied("ecs:UpdateService", other)
    assert refused(al.delete_service, service="other", force=True) == denied("ecs:DeleteService", other)
    assert refused(al.delete_service, service="ghost") == denied("ecs:DeleteService", f"{ECS}:service/default/ghost")
    assert al.delete_service(service="web", force=True)["service"]["status"] == "DRAINING"


def test_the_roles_of_a_definition_are_passed_with_it(region: Region) -> None:
    role = f"{IAM}:role/ecsTaskExecutionRole"
    region.register(region.ecs, family="roles", executionRoleArn=role)
    region.ecs.create_service(**service(region))
    al = region.al(allow("ecs:*"))
    given = service(region, serviceName="other", taskDefinition="roles")
    assert refused(al.create_service, **given) == denied("iam:PassRole", role)
    assert refused(al.update_service, service="web", taskDefinition="roles") == denied("iam:PassRole", role)
    assert al.update_service(service="web", forceNewDeployment=True)["service"]["status"] == "ACTIVE"
    passing = allow("iam:PassRole", resource=role, StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"})
    region.iam.put_user_policy(UserName="al", PolicyName="pass", PolicyDocument=policy(passing))
    assert al.create_service(**given)["service"]["createdBy"] == f"{IAM}:user/al"
    changed = al.update_service(service="web", taskDefinition="roles")["service"]
    assert changed["taskDefinition"] == f"{ECS}:task-definition/roles:1"


def test_an_update_is_asked_for_with_what_it_changes(region: Region) -> None:
    region.ecs.create_service(**service(region))
    al = region.al(allow("ecs:UpdateService", StringEqualsIfExists={"ecs:enable-execute-command": "false"}))
    assert refused(al.update_service, service="web", enableExecuteCommand=True) == denied("ecs:UpdateService", WEB)
    assert al.update_service(service="web", desiredCount=0)["service"]["desiredCount"] == 0
    assert ACCOUNT in al.update_service(service="web", enableExecuteCommand=False)["service"]["clusterArn"]
