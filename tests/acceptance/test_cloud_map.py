"""A task finds services by the names that Cloud Map gives them in its VPC, and a running one sees them come and go."""

from collections.abc import Iterator
from typing import Any

import pytest

from .region import LiveRegion, wait_for

ZONE = "shop.internal"
LOOK = "timeout -s KILL 4 nslookup"
# What busybox prints of a lookup, without the resolver's own address.
ANSWERS = "grep -v ':53' | grep -E '^Address|canonical name|service =|NXDOMAIN' | sort"
STORY = f"""
{LOOK} -type=a web.{ZONE} 2>&1 | {ANSWERS}
{LOOK} -type=a healthy.{ZONE} 2>&1 | {ANSWERS}
{LOOK} -type=srv _api._tcp.{ZONE} 2>&1 | {ANSWERS}
{LOOK} -type=a one._api._tcp.{ZONE} 2>&1 | {ANSWERS}
{LOOK} -type=cname alias.{ZONE} 2>&1 | {ANSWERS}
{LOOK} -type=a nobody.{ZONE} 2>&1 | {ANSWERS}
"""
WATCHED = f"late.{ZONE}"
# Until the name is there, and until it has gone again; each time it says so.
WATCH = f"""
until {LOOK} -type=a {WATCHED} 2>&1 | grep -q 'Address: 10.9.9.9'; do sleep 0.1; done; echo came
until {LOOK} -type=a {WATCHED} 2>&1 | grep -q NXDOMAIN; do sleep 0.1; done; echo went
"""


def done(map_: Any, answer: dict[str, Any], target: str) -> str:
    found = map_.get_operation(OperationId=answer["OperationId"])["Operation"]
    assert found["Status"] == "SUCCESS", found
    return str(found["Targets"][target])


class Shop:
    """The namespace of this file's tests."""

    def __init__(self, region: LiveRegion) -> None:
        self.map = region.client("servicediscovery")
        [vpc] = region.ec2.describe_vpcs()["Vpcs"]
        made = self.map.create_private_dns_namespace(Name=ZONE, Vpc=vpc["VpcId"])
        self.namespace = done(self.map, made, "NAMESPACE")

    def service(self, name: str, kind: str, *, policy: str = "MULTIVALUE", **more: Any) -> str:
        dns = {"RoutingPolicy": policy, "DnsRecords": [{"Type": kind, "TTL": 1}]}
        made = self.map.create_service(Name=name, NamespaceId=self.namespace, DnsConfig=dns, **more)
        return str(made["Service"]["Id"])

    def register(self, service: str, instance: str, **attributes: str) -> None:
        made = self.map.register_instance(ServiceId=service, InstanceId=instance, Attributes=attributes)
        done(self.map, made, "INSTANCE")

    def deregister(self, service: str, instance: str) -> None:
        self.map.deregister_instance(ServiceId=service, InstanceId=instance)

    def close(self) -> None:
        for service in self.map.list_services()["Services"]:
            for instance in self.map.list_instances(ServiceId=service["Id"])["Instances"]:
                self.deregister(service["Id"], instance["Id"])
            self.map.delete_service(Id=service["Id"])
        self.map.delete_namespace(Id=self.namespace)


@pytest.fixture
def shop(region: LiveRegion) -> Iterator[Shop]:
    made = Shop(region)
    yield made
    made.close()


def test_a_task_looks_up_addresses_ports_and_aliases(region: LiveRegion, shop: Shop) -> None:
    web = shop.service("web", "A")
    for number in (1, 2):
        shop.register(web, f"i-{number}", AWS_INSTANCE_IPV4=f"10.9.0.{number}")
    healthy = shop.service("healthy", "A", HealthCheckCustomConfig={})
    for number, status in ((1, "HEALTHY"), (2, "UNHEALTHY")):
        shop.register(healthy, f"i-{number}", AWS_INSTANCE_IPV4=f"10.9.1.{number}", AWS_INIT_HEALTH_STATUS=status)
    api = shop.service("_api._tcp", "SRV")
    shop.register(api, "one", AWS_INSTANCE_IPV4="10.9.2.1", AWS_INSTANCE_PORT="8080")
    shop.register(shop.service("alias", "CNAME", policy="WEIGHTED"), "x", AWS_INSTANCE_CNAME="db.example.com")
    assert region.output({"command": ["sh", "-c", STORY]}) == [
        *("Address: 10.9.0.1", "Address: 10.9.0.2", "Address: 10.9.1.1"),
        f"_api._tcp.{ZONE}\tservice = 1 1 8080 one._api._tcp.{ZONE}",
        *("Address: 10.9.2.1", f"alias.{ZONE}\tcanonical name = db.example.com"),
        f"** server can't find nobody.{ZONE}: NXDOMAIN",
    ]


def test_a_running_task_sees_an_instance_come_and_go(region: LiveRegion, shop: Shop) -> None:
    late = shop.service("late", "A")
    logged = {"command": ["sh", "-c", WATCH], "logConfiguration": region.log_config("/test/output")}
    task = region.run(region.register(logged))
    region.wait_status(task, "RUNNING")
    shop.register(late, "i-1", AWS_INSTANCE_IPV4="10.9.9.9")
    wait_for("the name in the task", lambda: "came" in region.output_of(task))
    shop.deregister(late, "i-1")
    region.wait_status(task, "STOPPED")
    assert region.output_of(task) == ["came", "went"]
