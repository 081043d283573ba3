"""How Terraform's AWS provider (6) waits for services and for load balancers, look by look.

Facts of its published behaviour: which calls it makes, what of the answers it goes by, and when it takes what it waits
for to have failed. Its pauses between two looks are short here.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

BOUND_S = 40.0
_PAUSE_S = 0.05
STABLE, PENDING, GONE = "tfSTABLE", "tfPENDING", ""


class DeploymentFailed(Exception):
    """What the provider says of a deployment that ended otherwise than well."""


def waited(look: Callable[[], str], target: str, pending: set[str]) -> None:
    """Any other state than these is an error at once."""
    deadline = time.monotonic() + BOUND_S
    while (found := look()) != target:
        assert found in pending, f"unexpected state {found}"
        assert time.monotonic() < deadline, f"still {found}"
        time.sleep(_PAUSE_S)


class ServiceWaiter:
    """`wait_for_steady_state = true`, after a call that was made at `since`."""

    def __init__(self, ecs: Any, cluster: str, service: str, since: datetime) -> None:
        self._ecs, self._cluster, self._service, self._since = ecs, cluster, service, since
        self._primary: dict[str, Any] | None = None
        self.deployment: str | None = None  # the service deployment that it goes by; None: it counts tasks

    def wait(self) -> None:
        waited(self._status, STABLE, {"INACTIVE", "DRAINING", PENDING})

    def find_deployment(self) -> None:
        """Until it knows which service deployment it waits for: from then on an interrupt rolls that one back."""
        deadline = time.monotonic() + BOUND_S
        while self.deployment is None:
            self._status()
            assert time.monotonic() < deadline, "no service deployment has the PRIMARY's number"

    def _status(self) -> str:
        answer = self._ecs.describe_services(cluster=self._cluster, services=[self._service])
        if any(failure["reason"] == "MISSING" for failure in answer["failures"]):
            return GONE
        [service] = answer["services"]
        if service["status"] != "ACTIVE":
            return str(service["status"])
        if self._primary is None:
            self._primary = next((one for one in service["deployments"] if one["status"] == "PRIMARY"), None)
        kept = service.get("deploymentController", {}).get("type") == "ECS"
        if kept and self._primary is not None and self._primary["createdAt"] > self._since:
            return self._of_deployment(self._primary)
        is_stable = len(service["deployments"]) == 1 and service["desiredCount"] == service["runningCount"]
        return STABLE if is_stable else PENDING

    def _of_deployment(self, primary: dict[str, Any]) -> str:
        number = primary["id"].split("/")[1]
        if self.deployment is None:
            briefs = self._ecs.list_service_deployments(
                cluster=self._cluster, service=self._service.rpartition("/")[2], createdAt={"after": self._since}
            )["serviceDeployments"]
            its = [one["serviceDeploymentArn"] for one in briefs if number in one["targetServiceRevisionArn"]]
            if not its:
                return PENDING
            self.deployment = its[0]
        return self.deployment_status()

    def deployment_status(self) -> str:
        """Raises DeploymentFailed, with the reason that the region gives."""
        described = self._ecs.describe_service_deployments(serviceDeploymentArns=[self.deployment])
        [found] = described["serviceDeployments"] or [{"status": "PENDING"}]
        if found["status"] in ("STOPPED", "ROLLBACK_FAILED", "ROLLBACK_SUCCESSFUL"):
            raise DeploymentFailed(found.get("statusReason", "Deployment failed"))
        return STABLE if found["status"] == "SUCCESSFUL" else PENDING


def now() -> datetime:
    return datetime.now(UTC)


def service_read(ecs: Any, cluster: str, service: str) -> dict[str, Any]:
    """The members of a service that the provider keeps in its state."""
    [found] = ecs.describe_services(cluster=cluster, services=[service], include=["TAGS"])["services"]
    assert found["status"] == "ACTIVE"
    members = (
        *("serviceArn", "clusterArn", "availabilityZoneRebalancing", "capacityProviderStrategy", "launchType"),
        *("deploymentConfiguration", "deploymentController", "desiredCount", "enableExecuteCommand", "serviceName"),
        *("enableECSManagedTags", "healthCheckGracePeriodSeconds", "roleArn", "loadBalancers", "networkConfiguration"),
        *("placementStrategy", "placementConstraints", "platformVersion", "propagateTags", "schedulingStrategy"),
        *("serviceRegistries", "taskDefinition", "tags"),
    )
    return {name: found[name] for name in members if name in found}


def service_deleted(ecs: Any, cluster: str, service: str) -> None:
    """Without `force_delete`: scaled to nothing, deleted, INACTIVE."""
    ecs.update_service(cluster=cluster, service=service, desiredCount=0)
    deadline = time.monotonic() + BOUND_S
    while True:
        try:
            ecs.delete_service(cluster=cluster, service=service, force=False)
            break
        except ecs.exceptions.InvalidParameterException as error:
            is_awaited = "The service cannot be stopped while deployments are active." in str(error)
            if not is_awaited or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)

    def status() -> str:
        answer = ecs.describe_services(cluster=cluster, services=[service])
        return str(answer["services"][0]["status"]) if answer["services"] else GONE

    waited(status, "INACTIVE", {"ACTIVE", "DRAINING"})


def balancer_active(elb: Any, arn: str) -> dict[str, Any]:
    """A load balancer that failed may yet become active, to the provider."""

    def state() -> str:
        [one] = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
        return str(one["State"]["Code"])

    waited(state, "active", {"provisioning", "failed"})
    found: dict[str, Any] = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    return found


def balancer_deleted(elb: Any, ec2: Any, arn: str) -> None:
    """Deleted, and until none of its interfaces is left: by the owner of an ALB's, then of an NLB's."""
    elb.delete_load_balancer(LoadBalancerArn=arn)
    description = "ELB " + arn.partition(":loadbalancer/")[2]

    def left(owner: str) -> str:
        filters = [
            {"Name": "attachment.instance-owner-id", "Values": [owner]},
            {"Name": "description", "Values": [description]},
        ]
        return str(len(ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]))

    for owner in ("amazon-elb", "amazon-aws"):
        waited(lambda owner=owner: left(owner), "0", {"1", "2", "3"})  # type: ignore[misc]
