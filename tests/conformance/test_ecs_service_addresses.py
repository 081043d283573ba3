"""Elastic addresses that stay with a service, as boto3 sees them: by a tag, over replacements, until it is gone."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from .test_ecs_clients import Clients, connected
from .test_ecs_services import WAIT, Service, keeping, refused


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with connected(lambda opened: keeping(tmp_path_factory.mktemp("region"), opened)) as made:
        yield made


def allocated(clients: Clients, value: str) -> dict[str, Any]:
    tags = [{"Key": "neargate:service", "Value": value}]
    made: dict[str, Any] = clients.ec2.allocate_address(
        TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )
    return made


def is_replaced(service: Service, task: str, shown: dict[str, Any]) -> bool:
    return shown["runningCount"] == 1 and service.tasks() != [task]


def test_a_replaced_task_has_the_address_of_the_one_before(clients: Clients) -> None:
    ec2, service = clients.ec2, Service(clients, "sticky")
    made = allocated(clients, "sticky/web")
    other = allocated(clients, "sticky/other")
    allocation_id, public_ip = made["AllocationId"], made["PublicIp"]

    def shown() -> dict[str, Any]:
        [found] = ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"]
        address: dict[str, Any] = found
        return address

    assert "AssociationId" not in shown()
    network = {"awsvpcConfiguration": clients.awsvpc["awsvpcConfiguration"] | {"assignPublicIp": "ENABLED"}}
    service.create(desiredCount=1, networkConfiguration=network)
    service.stable()
    interfaces = set()
    for _ in range(3):
        [task] = service.tasks()
        address = shown()
        interfaces.add(address["NetworkInterfaceId"])
        filters = [{"Name": "association.public-ip", "Values": [public_ip]}]
        [eni] = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        assert eni["NetworkInterfaceId"] == address["NetworkInterfaceId"]
        assert eni["Association"]["AllocationId"] == allocation_id
        assert eni["Association"]["AssociationId"] == address["AssociationId"]
        assert eni["PrivateIpAddress"] == address["PrivateIpAddress"]
        [attachment] = clients.describe("sticky", task)["attachments"]
        assert {"name": "networkInterfaceId", "value": eni["NetworkInterfaceId"]} in attachment["details"]
        clients.ecs.stop_task(cluster="sticky", task=task)
        clients.ecs.get_waiter("tasks_stopped").wait(cluster="sticky", tasks=[task], WaiterConfig=WAIT)
        service.until(partial(is_replaced, service, task))
    assert len(interfaces) == 3
    in_use = ("InvalidIPAddress.InUse", f"Address {public_ip} is in use.")
    interface_id, association_id = shown()["NetworkInterfaceId"], shown()["AssociationId"]
    assert refused(ec2.release_address, AllocationId=allocation_id) == in_use
    assert refused(ec2.associate_address, AllocationId=allocation_id, NetworkInterfaceId=interface_id) == in_use
    assert refused(ec2.disassociate_address, AssociationId=association_id)[0] == "AuthFailure"
    assert "AssociationId" in shown()
    service.gone()
    clients.wait_empty()
    assert "AssociationId" not in shown()
    for one in (made, other):
        ec2.release_address(AllocationId=one["AllocationId"])
    assert ec2.describe_addresses()["Addresses"] == []


def test_without_the_tag_or_a_public_address_nothing_of_it_happens(clients: Clients) -> None:
    service = Service(clients, "plain")
    made = allocated(clients, "plain/web")
    service.create(desiredCount=1)
    service.stable()
    [address] = clients.ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in address
    clients.ec2.delete_tags(Resources=[made["AllocationId"]])
    network = {"awsvpcConfiguration": clients.awsvpc["awsvpcConfiguration"] | {"assignPublicIp": "ENABLED"}}
    service.update(networkConfiguration=network)
    service.steady()
    [address] = clients.ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in address
    enis = clients.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert made["PublicIp"] not in {eni.get("Association", {}).get("PublicIp") for eni in enis}
    service.gone()
    clients.wait_empty()
    clients.ec2.release_address(AllocationId=made["AllocationId"])
