"""Services with a service registry, as boto3 sees them: made, discovered, moved and deleted.

Simulated hosts behind a real socket; every answer of ECS is held against botocore's model.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .served import KEY, REGION, SECRET
from .test_ecs_clients import Clients, connected
from .test_ecs_services import BOUND_S, Service, keeping, refused


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with connected(lambda opened: keeping(tmp_path_factory.mktemp("region"), opened)) as made:
        yield made


class Names:
    """A private namespace of its own, and what Cloud Map says of it."""

    def __init__(self, clients: Clients, zone: str) -> None:
        session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
        settings = Config(retries={"max_attempts": 0}, inject_host_prefix=False)
        self.map = session.client("servicediscovery", endpoint_url=clients.endpoint, config=settings)
        [vpc] = clients.ec2.describe_vpcs()["Vpcs"]
        made = self.map.create_private_dns_namespace(Name=zone, Vpc=vpc["VpcId"])
        operation = self.map.get_operation(OperationId=made["OperationId"])["Operation"]
        self.namespace = operation["Targets"]["NAMESPACE"]
        self.zone = zone

    def service(self, name: str, kind: str) -> dict[str, Any]:
        made: dict[str, Any] = self.map.create_service(
            Name=name,
            NamespaceId=self.namespace,
            DnsConfig={"DnsRecords": [{"Type": kind, "TTL": 10}]},
            HealthCheckCustomConfig={"FailureThreshold": 1},
        )["Service"]
        return made

    def instances(self, service: dict[str, Any]) -> dict[str, dict[str, str]]:
        found = self.map.list_instances(ServiceId=service["Id"])["Instances"]
        return {one["Id"]: one["Attributes"] for one in found}

    def until(self, service: dict[str, Any], holds: Callable[[dict[str, dict[str, str]]], bool]) -> None:
        deadline = time.monotonic() + BOUND_S
        while not holds(found := self.instances(service)):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def until_of(self, service: dict[str, Any], tasks: Callable[[], list[str]]) -> None:
        self.until(service, lambda found: sorted(found) == sorted(one.rpartition("/")[2] for one in tasks()))


def test_tasks_of_a_service_are_instances_and_discovered(clients: Clients) -> None:
    names, service = Names(clients, "found.internal"), Service(clients, "found")
    registry = names.service("web", "A")
    made = service.create(serviceRegistries=[{"registryArn": registry["Arn"]}])
    assert made["serviceRegistries"] == [{"registryArn": registry["Arn"]}]
    stable = service.stable()
    names.until_of(registry, service.tasks)
    for arn in service.tasks():
        attributes = names.instances(registry)[arn.rpartition("/")[2]]
        task = clients.describe("found", arn)
        assert attributes == {
            "AWS_INSTANCE_IPV4": task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"],
            "AWS_INIT_HEALTH_STATUS": "HEALTHY",
            "AVAILABILITY_ZONE": task["availabilityZone"],
            "REGION": REGION,
            "ECS_CLUSTER_NAME": "found",
            "ECS_SERVICE_NAME": "web",
            "ECS_TASK_DEFINITION_FAMILY": "found",
        }
    found = names.map.discover_instances(NamespaceName="found.internal", ServiceName="web", HealthStatus="HEALTHY")
    assert {one["InstanceId"] for one in found["Instances"]} == {one.rpartition("/")[2] for one in service.tasks()}
    revision = stable["currentServiceRevisions"][0]["arn"]
    [shown] = clients.ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    assert shown["serviceRegistries"] == made["serviceRegistries"]
    with pytest.raises(ClientError) as error:
        names.map.delete_service(Id=registry["Id"])
    assert error.value.response["Error"]["Code"] == "ResourceInUse"
    service.gone()
    names.until(registry, lambda found: not found)
    names.map.delete_service(Id=registry["Id"])
    names.map.delete_namespace(Id=names.namespace)


def test_an_update_moves_tasks_to_a_registry_with_ports_and_stopped_tasks_leave(clients: Clients) -> None:
    names, service = Names(clients, "moved.internal"), Service(clients, "moved")
    plain, ports = names.service("web", "A"), names.service("_api._tcp", "SRV")
    service.create(serviceRegistries=[{"registryArn": plain["Arn"]}])
    service.steady()
    names.until_of(plain, service.tasks)
    entry = {"registryArn": ports["Arn"], "containerName": "web", "containerPort": 80}
    changed = service.update(serviceRegistries=[entry])
    assert (changed["serviceRegistries"], len(changed["deployments"])) == ([entry], 2)
    service.steady()
    names.until_of(ports, service.tasks)
    names.until(plain, lambda found: not found)
    assert {one["AWS_INSTANCE_PORT"] for one in names.instances(ports).values()} == {"80"}
    [stopped, _] = service.tasks()
    clients.ecs.stop_task(cluster="moved", task=stopped)
    names.until(ports, lambda found: len(found) == 2 and stopped.rpartition("/")[2] not in found)
    service.update(desiredCount=1)
    names.until(ports, lambda found: len(found) == 1)
    service.update(serviceRegistries=[])
    service.steady()
    names.until(ports, lambda found: not found)
    assert service.shown()["serviceRegistries"] == []
    service.gone()


def test_what_a_registry_cannot_be_is_refused(clients: Clients) -> None:
    names, service = Names(clients, "wrong.internal"), Service(clients, "wrong")
    plain = names.service("web", "A")["Arn"]
    for given, text in (
        ({"registryArn": f"{plain}x"}, f"ServiceRegistries: the service registry {plain}x was not found."),
        (
            {"registryArn": plain, "containerName": "web", "containerPort": 80},
            "The values specified for serviceRegistries do not require a value for 'containerPort'. Remove the value "
            "and retry.",
        ),
    ):
        assert refused(service.create, serviceRegistries=[given]) == ("InvalidParameterException", text)
    assert clients.ecs.list_services(cluster="wrong")["serviceArns"] == []
