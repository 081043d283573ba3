"""What Terraform's AWS provider calls for service_discovery resources, in its order: create, read, update, destroy."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, MODELS, ROOT

from .door_clients import Door, boto, refused, sender

TAGS = [{"Key": "team", "Value": "shop"}]


@pytest.fixture
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


@pytest.fixture
def sd(door: Door) -> Any:
    send = sender(door.run, door.door.region.frontend, check=MODELS.service("servicediscovery"))
    return boto("servicediscovery", ROOT, send, inject_host_prefix=False)


def waited(sd: Any, answer: dict[str, Any]) -> dict[str, str]:
    """The provider's waiter: from SUBMITTED and PENDING to SUCCESS; anything else is an error."""
    operation = sd.get_operation(OperationId=answer["OperationId"])["Operation"]
    assert operation["Status"] == "SUCCESS", operation
    targets: dict[str, str] = operation["Targets"]
    return targets


def test_an_http_namespace(sd: Any) -> None:
    made = sd.create_http_namespace(Name="tf", Description="d", CreatorRequestId=uuid.uuid4().hex, Tags=TAGS)
    namespace = waited(sd, made)["NAMESPACE"]
    found = sd.get_namespace(Id=namespace)["Namespace"]
    assert (found["Name"], found["Description"], found["Type"]) == ("tf", "d", "HTTP")
    assert found["Properties"]["HttpProperties"] == {"HttpName": "tf"}
    assert sd.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"] == TAGS
    change = {"Description": "e"}
    waited(sd, sd.update_http_namespace(Id=namespace, Namespace=change, UpdaterRequestId=uuid.uuid4().hex))
    assert sd.get_namespace(Id=namespace)["Namespace"]["Description"] == "e"
    waited(sd, sd.delete_namespace(Id=namespace))
    assert refused(sd.delete_namespace, Id=namespace)[0] == "NamespaceNotFound"


def test_a_private_namespace_its_service_and_an_instance(door: Door, sd: Any) -> None:
    vpc = door.door.region.services.network.vpcs(ACCOUNT)[0].vpc_id
    made = sd.create_private_dns_namespace(Name="tf.internal", Vpc=vpc, CreatorRequestId=uuid.uuid4().hex, Tags=TAGS)
    namespace = waited(sd, made)["NAMESPACE"]
    found = sd.get_namespace(Id=namespace)["Namespace"]
    assert found["Properties"]["DnsProperties"]["HostedZoneId"].startswith("Z") and "Description" not in found
    # The data source finds it by type and name.
    filters = [{"Name": "TYPE", "Values": ["DNS_PRIVATE"], "Condition": "EQ"}]
    assert [one["Id"] for one in sd.list_namespaces(Filters=filters)["Namespaces"]] == [namespace]

    records = [{"Type": "A", "TTL": 10}]
    config = {"NamespaceId": namespace, "DnsRecords": records, "RoutingPolicy": "MULTIVALUE"}
    service = sd.create_service(
        Name="api",
        CreatorRequestId=uuid.uuid4().hex,
        DnsConfig=config,
        HealthCheckCustomConfig={"FailureThreshold": 1},
        Tags=TAGS,
    )["Service"]
    read = sd.get_service(Id=service["Id"])["Service"]
    assert (read["NamespaceId"], read["DnsConfig"], read["Type"]) == (namespace, config, "DNS_HTTP")
    assert read["HealthCheckCustomConfig"] == {"FailureThreshold": 1} and "HealthCheckConfig" not in read
    assert sd.list_tags_for_resource(ResourceARN=read["Arn"])["Tags"] == TAGS
    change = {"Description": "d", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 5}]}}
    waited(sd, sd.update_service(Id=service["Id"], Service=change))
    read = sd.get_service(Id=service["Id"])["Service"]
    assert (read["Description"], read["DnsConfig"]["DnsRecords"][0]["TTL"]) == ("d", 5)

    attributes = {"AWS_INSTANCE_IPV4": "172.31.0.9", "custom": "x"}
    request = {"ServiceId": service["Id"], "InstanceId": "one", "Attributes": attributes}
    waited(sd, sd.register_instance(**request, CreatorRequestId=uuid.uuid4().hex))
    instance = sd.get_instance(ServiceId=service["Id"], InstanceId="one")["Instance"]
    assert (instance["Id"], instance["Attributes"]) == ("one", attributes)
    # An update registers it once more, with an id of its own.
    later = {**request, "Attributes": {"AWS_INSTANCE_IPV4": "172.31.0.10"}}
    waited(sd, sd.register_instance(**later, CreatorRequestId=uuid.uuid4().hex))
    assert sd.get_instance(ServiceId=service["Id"], InstanceId="one")["Instance"]["Attributes"] == later["Attributes"]

    waited(sd, sd.deregister_instance(ServiceId=service["Id"], InstanceId="one"))
    assert refused(sd.get_instance, ServiceId=service["Id"], InstanceId="one")[0] == "InstanceNotFound"
    sd.delete_service(Id=service["Id"])
    assert refused(sd.get_service, Id=service["Id"])[0] == "ServiceNotFound"
    waited(sd, sd.delete_namespace(Id=namespace))
    assert refused(sd.get_namespace, Id=namespace)[0] == "NamespaceNotFound"
