"""`aws_ecs_service` and the load balancer before it, as Terraform's AWS provider (6) makes, waits for and ends them.

Its calls in its order (`terraform_waiting` says how it waits); simulated hosts behind a real socket.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.region import Region

from .served import ACCOUNT, KEY, REGION, SECRET
from .terraform_waiting import (
    DeploymentFailed,
    ServiceWaiter,
    balancer_active,
    balancer_deleted,
    now,
    service_deleted,
    service_read,
)
from .test_acm import made as certificate
from .test_ecs_clients import ARN, Clients, connected, register
from .test_ecs_services import FAILING
from .test_ecs_services_behind_balancers import keeping

TAGS = [{"Key": "team", "Value": "x"}]
ECS_TAGS = [{"key": "team", "value": "x"}]
BREAKER = {"enable": True, "rollback": True}
# What the provider sends of an Application Load Balancer of which nothing is configured: its own defaults.
BALANCER_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.enabled": "false",
    "deletion_protection.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}


class Applied:
    """One cluster and its service, named alike."""

    def __init__(self, clients: Clients, elb: Any, acm: Any, name: str) -> None:
        self.clients, self.ecs, self.ec2, self.elb, self.acm, self.name = (
            clients,
            clients.ecs,
            clients.ec2,
            elb,
            acm,
            name,
        )
        self.ecs.create_cluster(clusterName=name)
        self.cluster = f"{ARN}:cluster/{name}"
        self.arn = f"{ARN}:service/{name}/web"
        self.definition = register(clients, name)

    def create(self, **changes: Any) -> ServiceWaiter:
        since = now()
        breaker = {"enable": False, "rollback": False}
        given = {
            "cluster": self.cluster,
            "clientToken": f"terraform-{self.name}",
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": breaker,
                "maximumPercent": 200,
                "minimumHealthyPercent": 100,
            },
            "deploymentController": {"type": "ECS"},
            "desiredCount": 2,
            "enableECSManagedTags": False,
            "enableExecuteCommand": False,
            "launchType": "FARGATE",
            "networkConfiguration": self.clients.awsvpc,
            "schedulingStrategy": "REPLICA",
            "serviceName": "web",
            "tags": ECS_TAGS,
            "taskDefinition": self.definition,
        }
        made = self.ecs.create_service(**given | changes)["service"]
        assert made["serviceArn"] == self.arn
        return ServiceWaiter(self.ecs, self.cluster, self.arn, since)

    def update(self, **changes: Any) -> ServiceWaiter:
        since = now()
        self.ecs.update_service(cluster=self.cluster, service=self.arn, forceNewDeployment=False, **changes)
        return ServiceWaiter(self.ecs, self.cluster, self.arn, since)

    def read(self) -> dict[str, Any]:
        return service_read(self.ecs, self.cluster, self.arn)


@pytest.fixture(scope="module")
def applying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Applied]]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    directory, config = tmp_path_factory.mktemp("region"), Config(retries={"max_attempts": 0})
    opening: Callable[[list[Region]], Any] = lambda opened: keeping(directory, opened)  # noqa: E731
    with connected(opening) as clients, ExitStack() as stack:
        elb, acm = (session.client(name, endpoint_url=clients.endpoint, config=config) for name in ("elbv2", "acm"))
        stack.callback(elb.close)
        stack.callback(acm.close)
        yield lambda name: Applied(clients, elb, acm, name)


def code_of(call: Callable[..., object], **params: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**params)
    return str(error.value.response["Error"]["Code"])


def test_a_service_is_waited_for_by_the_deployment_of_its_own_number(applying: Callable[[str], Applied]) -> None:
    service = applying("tf-lives")
    created = service.create()
    created.wait()
    assert created.deployment is not None
    first = service.read()
    assert (first["taskDefinition"], first["desiredCount"], first["tags"]) == (service.definition, 2, ECS_TAGS)
    assert (first["launchType"], first["platformVersion"]) == ("FARGATE", "LATEST")
    assert (first["schedulingStrategy"], first["propagateTags"]) == ("REPLICA", "NONE")
    assert service.read() == first, "a plan without changes"
    second = register(service.clients, "tf-lives", containerDefinitions=[{"name": "web", "image": "web:2"}])
    updated = service.update(taskDefinition=second)
    updated.wait()
    assert updated.deployment not in (None, created.deployment)
    assert service.read() == first | {"taskDefinition": second}
    service_deleted(service.ecs, service.cluster, service.arn)


def test_a_change_without_a_deployment_is_waited_for_by_its_counts(applying: Callable[[str], Applied]) -> None:
    service = applying("tf-counts")
    service.create().wait()
    scaled = service.update(desiredCount=3)
    scaled.wait()
    assert scaled.deployment is None
    assert service.read()["desiredCount"] == 3
    service_deleted(service.ecs, service.cluster, service.arn)


def test_a_rollback_fails_the_apply_and_says_why(applying: Callable[[str], Applied]) -> None:
    service = applying("tf-rolls-back")
    service.create(deploymentConfiguration={"deploymentCircuitBreaker": BREAKER}).wait()
    bad = register(service.clients, "tf-rolls-back", containerDefinitions=FAILING)
    with pytest.raises(DeploymentFailed, match="circuit breaker threshold was exceeded"):
        service.update(taskDefinition=bad).wait()
    assert service.read()["taskDefinition"] == service.definition
    service_deleted(service.ecs, service.cluster, service.arn)


def test_a_breaker_that_only_stops_fails_the_apply_too(applying: Callable[[str], Applied]) -> None:
    service = applying("tf-stops")
    configured = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    service.definition = register(service.clients, "tf-stops", containerDefinitions=FAILING)
    with pytest.raises(DeploymentFailed, match="circuit breaker threshold was exceeded"):
        service.create(deploymentConfiguration=configured).wait()
    service.ecs.delete_service(cluster=service.cluster, service=service.arn, force=True)


def test_an_interrupted_apply_rolls_its_deployment_back(applying: Callable[[str], Applied]) -> None:
    """`sigint_rollback = true`."""
    service = applying("tf-interrupted")
    service.create().wait()
    # No host has that much room: it stays in progress.
    big = register(service.clients, "tf-interrupted", cpu="8 vCPU", memory="16 GB")
    waiter = service.update(taskDefinition=big)
    waiter.find_deployment()
    assert waiter.deployment_status() == "tfPENDING"
    stopped = service.ecs.stop_service_deployment(serviceDeploymentArn=waiter.deployment, stopType="ROLLBACK")
    assert stopped["serviceDeploymentArn"] == waiter.deployment
    with pytest.raises(DeploymentFailed, match="user"):
        waiter.wait()
    assert service.read()["taskDefinition"] == service.definition
    service_deleted(service.ecs, service.cluster, service.arn)


def made_certificate(stack: Applied) -> str:
    """`aws_acm_certificate`, imported."""
    pair = certificate("app.example.com")
    imported = stack.acm.import_certificate(Certificate=pair.pem, PrivateKey=pair.key_pem, Tags=TAGS)["CertificateArn"]
    assert stack.acm.describe_certificate(CertificateArn=imported)["Certificate"]["Status"] == "ISSUED"
    assert stack.acm.list_tags_for_certificate(CertificateArn=imported)["Tags"] == TAGS
    return str(imported)


def made_group(stack: Applied, vpc: str) -> str:
    """`aws_lb_target_group`."""
    elb = stack.elb
    assert code_of(elb.describe_target_groups, Names=["tf-stack"]) == "TargetGroupNotFound"
    health = {
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30,
        "HealthyThresholdCount": 3,
        "UnhealthyThresholdCount": 3,
        "HealthCheckPath": "/health",
        "Matcher": {"HttpCode": "200-299"},
        "HealthCheckPort": "traffic-port",
        "HealthCheckProtocol": "HTTP",
    }
    group = elb.create_target_group(
        Name="tf-stack",
        TargetType="ip",
        Port=80,
        Protocol="HTTP",
        ProtocolVersion="HTTP1",
        VpcId=vpc,
        Tags=TAGS,
        **health,
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    [read] = elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"]
    assert {name: read[name] for name in health} == health
    assert (read["TargetType"], read["ProtocolVersion"], read["IpAddressType"]) == ("ip", "HTTP1", "ipv4")
    read_attributes = elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
    assert {"Key": "stickiness.type", "Value": "lb_cookie"} in read_attributes and delay[0] in read_attributes
    return str(group)


def made_balancer(stack: Applied, subnets: list[str], group_id: str) -> str:
    """`aws_lb`."""
    elb = stack.elb
    assert code_of(elb.describe_load_balancers, Names=["tf-stack"]) == "LoadBalancerNotFound"
    balancer = elb.create_load_balancer(
        Name="tf-stack",
        Scheme="internet-facing",
        SecurityGroups=[group_id],
        Subnets=subnets,
        Tags=TAGS,
        Type="application",
    )["LoadBalancers"][0]["LoadBalancerArn"]
    balancer_active(elb, balancer)
    given = [{"Key": key, "Value": value} for key, value in BALANCER_ATTRIBUTES.items()]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=given)
    found = balancer_active(elb, balancer)
    assert found["SecurityGroups"] == [group_id] and found["IpAddressType"] == "ipv4" and found["CanonicalHostedZoneId"]
    assert sorted(zone["SubnetId"] for zone in found["AvailabilityZones"]) == sorted(subnets)
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
    assert {one["Key"]: one["Value"] for one in attributes}.items() >= BALANCER_ATTRIBUTES.items()
    # Without leave to ask, or in a region that has not the call, the provider goes on without it.
    assert code_of(elb.describe_capacity_reservation, LoadBalancerArn=balancer) in ("AccessDenied", "InvalidAction")
    return str(balancer)


def made_listener(stack: Applied, balancer: str, group: str, imported: str) -> str:
    """`aws_lb_listener`."""
    elb = stack.elb
    action = {"Type": "forward", "Order": 1, "TargetGroupArn": group}
    policy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    listener = elb.create_listener(
        LoadBalancerArn=balancer,
        Port=443,
        Protocol="HTTPS",
        SslPolicy=policy,
        Certificates=[{"CertificateArn": imported}],
        DefaultActions=[action],
        Tags=TAGS,
    )["Listeners"][0]["ListenerArn"]
    [read] = elb.describe_listeners(ListenerArns=[listener])["Listeners"]
    assert (read["Port"], read["Protocol"], read["SslPolicy"]) == (443, "HTTPS", policy)
    assert [one["CertificateArn"] for one in read["Certificates"]] == [imported]
    [shown] = read["DefaultActions"]
    assert shown.items() >= action.items()
    assert elb.describe_listener_attributes(ListenerArn=listener)["Attributes"]
    [described] = elb.describe_tags(ResourceArns=[listener])["TagDescriptions"]
    assert described["Tags"] == TAGS
    return str(listener)


def served(stack: Applied, group: str, subnets: list[str], group_id: str) -> None:
    """`aws_ecs_service`, which is made, read and changed."""
    elb = stack.elb
    target = {"targetGroupArn": group, "containerName": "web", "containerPort": 80}
    network = {"subnets": subnets, "securityGroups": [group_id], "assignPublicIp": "DISABLED"}
    stack.create(
        healthCheckGracePeriodSeconds=0,
        loadBalancers=[target],
        networkConfiguration={"awsvpcConfiguration": network},
    ).wait()
    state = stack.read()
    assert state["loadBalancers"] == [target] and state["healthCheckGracePeriodSeconds"] == 0
    shown = state["networkConfiguration"]["awsvpcConfiguration"]
    assert {name: sorted(value) if isinstance(value, list) else value for name, value in shown.items()} == {
        **network,
        "subnets": sorted(subnets),
    }
    assert state["roleArn"] == (f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS")
    states = [
        one["TargetHealth"]["State"]
        for one in elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    ]
    assert states == ["healthy", "healthy"]
    stack.update(taskDefinition=register(stack.clients, "tf-stack")).wait()


def test_a_service_behind_a_load_balancer_is_applied_and_destroyed(applying: Callable[[str], Applied]) -> None:
    stack = applying("tf-stack")
    elb, ec2 = stack.elb, stack.ec2
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"]
    group_id = ec2.create_security_group(GroupName="tf-stack", Description="Managed by Terraform", VpcId=vpc)["GroupId"]
    imported, group = made_certificate(stack), made_group(stack, vpc)
    balancer = made_balancer(stack, subnets, group_id)
    listener = made_listener(stack, balancer, group, imported)
    served(stack, group, subnets, group_id)

    # Destroyed in the reverse order, what is in use refused until it is free.
    assert code_of(stack.acm.delete_certificate, CertificateArn=imported) == "ResourceInUseException"
    with pytest.raises(ClientError, match="is currently in use by a listener or a rule"):
        elb.delete_target_group(TargetGroupArn=group)
    service_deleted(stack.ecs, stack.cluster, stack.arn)
    assert code_of(ec2.delete_security_group, GroupId=group_id) == "DependencyViolation"
    elb.delete_listener(ListenerArn=listener)
    assert code_of(elb.describe_listeners, ListenerArns=[listener]) == "ListenerNotFound"
    elb.delete_target_group(TargetGroupArn=group)
    balancer_deleted(elb, ec2, balancer)
    assert code_of(elb.describe_load_balancers, LoadBalancerArns=[balancer]) == "LoadBalancerNotFound"
    stack.acm.delete_certificate(CertificateArn=imported)
    ec2.delete_security_group(GroupId=group_id)


def test_a_target_that_is_attached_by_hand_is_seen_until_it_is_deregistered(
    applying: Callable[[str], Applied],
) -> None:
    """`aws_lb_target_group_attachment`: there unless it drains or was never registered."""
    stack = applying("tf-attached")
    elb, ec2 = stack.elb, stack.ec2
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = elb.create_target_group(
        Name="tf-attached", TargetType="ip", Port=80, Protocol="HTTP", VpcId=subnet["VpcId"], Tags=TAGS
    )["TargetGroups"][0]["TargetGroupArn"]
    target = {"Id": subnet["CidrBlock"].rsplit(".", 1)[0] + ".220", "Port": 8080}

    def reason() -> str | None:
        [one] = elb.describe_target_health(TargetGroupArn=group, Targets=[target])["TargetHealthDescriptions"]
        said: str | None = one["TargetHealth"].get("Reason")
        return said

    assert reason() == "Target.NotRegistered"
    elb.register_targets(TargetGroupArn=group, Targets=[target])
    assert reason() == "Target.NotInUse", "not in use, and still there"
    elb.deregister_targets(TargetGroupArn=group, Targets=[target])
    assert reason() in ("Target.NotRegistered", "Target.DeregistrationInProgress")
    elb.delete_target_group(TargetGroupArn=group)
    assert code_of(elb.describe_target_health, TargetGroupArn=group, Targets=[target]) == "TargetGroupNotFound"
