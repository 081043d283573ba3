"""A service whose tasks have a name: another task resolves it, and sees their health, and their end."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from .region import LiveRegion, wait_for

NAME, ZONE = "named", "named.internal"
CHECK = {"command": ["CMD-SHELL", "test ! -e /sick"], "interval": 5, "timeout": 2, "retries": 1}
SERVE = 'trap "exit 0" TERM; (nc -l -p 81 </dev/null; touch /sick) & while :; do sleep 1; done'
# Says what the name leads to, each time when that is something else.
WATCH = f"""
while :; do
    now=$(timeout -s KILL 4 nslookup -type=a web.{ZONE} 2>&1 | grep '^Address' | grep -v ':53' | cut -d' ' -f2 | sort)
    now=$(echo $now)
    test "$now" = "$before" || echo "leads to: $now"
    before=$now
    sleep 0.2
done
"""


class Named:
    """A namespace with one service, and a service of ECS whose tasks are its instances."""

    def __init__(self, region: LiveRegion) -> None:
        self.region = region
        self.map = region.client("servicediscovery")
        [vpc] = region.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        made = self.map.create_private_dns_namespace(Name=ZONE, Vpc=vpc["VpcId"])
        self.namespace = self.map.get_operation(OperationId=made["OperationId"])["Operation"]["Targets"]["NAMESPACE"]
        self.registry: dict[str, Any] = self.map.create_service(
            Name="web",
            NamespaceId=self.namespace,
            DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 1}]},
            HealthCheckCustomConfig={"FailureThreshold": 1},
        )["Service"]

    def create(self) -> None:
        self.region.ecs.create_service(
            serviceName=NAME,
            taskDefinition=self.region.register(
                {"command": ["sh", "-c", SERVE], "stopTimeout": 2, "healthCheck": CHECK}
            ),
            desiredCount=2,
            launchType="FARGATE",
            healthCheckGracePeriodSeconds=600,  # a task that is unhealthy stays
            networkConfiguration=self.region.network(),
            serviceRegistries=[{"registryArn": self.registry["Arn"]}],
        )

    def tasks(self) -> list[dict[str, Any]]:
        arns = self.region.ecs.list_tasks(serviceName=NAME)["taskArns"]
        return [self.region.task(arn) for arn in arns]

    def instances(self) -> dict[str, str]:
        """Ids and addresses."""
        found = self.map.list_instances(ServiceId=self.registry["Id"])["Instances"]
        return {one["Id"]: one["Attributes"]["AWS_INSTANCE_IPV4"] for one in found}

    def health(self) -> dict[str, str]:
        found: dict[str, str] = self.map.get_instances_health_status(ServiceId=self.registry["Id"])["Status"]
        return found

    def is_over(self) -> bool:
        found = self.region.ecs.describe_services(services=[NAME])["services"]
        return not found or found[0]["status"] == "INACTIVE"

    def end(self) -> None:
        if not self.is_over():
            self.region.ecs.delete_service(service=NAME, force=True)
        wait_for("the service ends", self.is_over)
        wait_for("its instances have gone", lambda: not self.instances())

    def close(self) -> None:
        self.end()
        self.map.delete_service(Id=self.registry["Id"])
        self.map.delete_namespace(Id=self.namespace)


@pytest.fixture
def named(region: LiveRegion) -> Iterator[Named]:
    made = Named(region)
    yield made
    made.close()


def ids(tasks: list[dict[str, Any]]) -> list[str]:
    return sorted(task["taskArn"].rpartition("/")[2] for task in tasks)


@pytest.mark.timeout(240)
def test_a_name_leads_to_the_healthy_tasks_of_a_service_and_to_none_after_it(named: Named, region: LiveRegion) -> None:
    logged = {"command": ["sh", "-c", WATCH], "stopTimeout": 2, "logConfiguration": region.log_config("/test/output")}
    watcher = region.run(region.register(logged))
    named.create()

    def leads_to(addresses: list[str]) -> bool:
        told = region.output_of(watcher)
        return bool(told) and told[-1].split()[2:] == sorted(addresses)

    wait_for("both tasks are healthy", lambda: sorted(named.health().values()) == ["HEALTHY", "HEALTHY"])
    instances, tasks = named.instances(), named.tasks()
    assert sorted(instances) == ids(tasks)
    assert sorted(instances.values()) == sorted(
        task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in tasks
    )
    wait_for("the name leads to both", partial(leads_to, list(instances.values())))

    sick, well = sorted(instances)
    assert region.output({"command": ["sh", "-c", f"nc {instances[sick]} 81 </dev/null; echo told"]}) == ["told"]
    wait_for("the name leads to the healthy one", partial(leads_to, [instances[well]]))
    assert named.health() == {sick: "UNHEALTHY", well: "HEALTHY"}
    assert ids(named.tasks()) == sorted(instances), "neither was replaced"

    named.end()
    wait_for("the name is gone", partial(leads_to, []))
    region.stop(watcher)
    region.wait_status(watcher, "STOPPED")
