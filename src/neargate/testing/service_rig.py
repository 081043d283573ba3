"""Services of a cell rig: made of the rig's definition, their tasks brought to RUNNING and to their ends by hand.

For the tests of a cell's services. Owns no behaviour; the loop that acts is the cell's own.
"""

from typing import Any

import msgspec

from ..interfaces.balancing import TargetRef
from ..interfaces.services import NewService, RevisionTemplate, ServiceChange
from ..model.knobs import Knobs
from .cell_rig import ACCOUNT, DEFINITION, REGION, ZONES, CellRig, host_of, id_of, parsed, running, subnet

# What an hour brings on a region comes within a test's seconds.
QUICK = Knobs(
    cpu_overcommit=1.0,
    disk_overcommit=1.0,
    reservation_sweep_age_s=0.0,
    service_gather_s=0.001,
    service_retry_s=0.01,
    service_healthy_after_s=0.001,
    service_failed_shown_s=0.01,
    service_back_off_first_s=0.01,
    service_back_off_max_s=0.02,
    service_place_retry_min_s=0.01,
    service_place_retry_max_s=0.02,
    service_drain_check_s=0.01,
    service_deregister_wait_s=0.05,
    service_targets_retry_max_s=0.05,
)
CLUSTER = "default"
WEB = "web"
SETTINGS: dict[str, Any] = {
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "deploymentConfiguration": {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
        "strategy": "ROLLING",
    },
    "placementConstraints": [],
    "placementStrategy": [],
    "enableECSManagedTags": False,
    "propagateTags": "NONE",
    "enableExecuteCommand": False,
    "availabilityZoneRebalancing": "DISABLED",
}


def definition(revision: int = 1) -> dict[str, Any]:
    arn = DEFINITION["taskDefinitionArn"].rpartition(":")[0]
    return {**DEFINITION, "revision": revision, "taskDefinitionArn": f"{arn}:{revision}"}


def template(**changes: Any) -> RevisionTemplate:
    values: dict[str, Any] = {
        "definition": DEFINITION,
        "definition_tags": (),
        "launch_type": "FARGATE",
        "strategy": (),
        "platform_version": "1.4.0",
        "network": {
            "subnets": [subnet(zone).subnet_id for zone in ZONES],
            "securityGroups": ["sg-0main"],
            "assignPublicIp": "DISABLED",
        },
        "shown": {"loadBalancers": [], "serviceRegistries": []},
        "log_mode": "non-blocking",
        "gives_files": False,
    }
    return RevisionTemplate(**(values | changes))


def new_service(name: str = WEB, desired_count: int = 3, **changes: Any) -> NewService:
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "region": REGION,
        "cluster": CLUSTER,
        "name": name,
        "desired_count": desired_count,
        "template": template(),
        "settings": SETTINGS,
        "tags": (),
        "created_by": f"arn:aws:iam::{ACCOUNT}:root",
    }
    return NewService(**(values | changes))


def configured(**changes: Any) -> dict[str, Any]:
    """Settings with another deploymentConfiguration."""
    return {**SETTINGS, "deploymentConfiguration": {**SETTINGS["deploymentConfiguration"], **changes}}


class ServiceRig:
    """The services of a rig's cell, whichever process it is of."""

    def __init__(self, rig: CellRig) -> None:
        self.rig = rig
        self._seqs: dict[str, int] = {}

    async def create(self, name: str = WEB, desired_count: int = 3, **changes: Any) -> dict[str, Any]:
        new = new_service(name, desired_count, **changes)
        return _document(await self.rig.cell.services.create_service(new))

    async def update(self, name: str = WEB, **changes: Any) -> dict[str, Any]:
        change = ServiceChange(**changes)
        return _document(await self.rig.cell.services.update_service(ACCOUNT, CLUSTER, name, change))

    async def roll(self, name: str = WEB, revision: int = 2) -> dict[str, Any]:
        return await self.update(name, definition=definition(revision))

    async def delete(self, name: str = WEB, *, force: bool = True) -> dict[str, Any]:
        return _document(await self.rig.cell.services.delete_service(ACCOUNT, CLUSTER, name, force=force))

    async def shown(self, name: str = WEB) -> dict[str, Any]:
        answer = await self.rig.cell.services.describe_services(ACCOUNT, CLUSTER, [name], include_tags=True)
        [document] = parsed(answer)
        return document

    async def messages(self, name: str = WEB) -> list[str]:
        """The oldest first."""
        return [event["message"] for event in reversed((await self.shown(name))["events"])]

    async def live(self, name: str = WEB) -> list[dict[str, Any]]:
        """Documents of its tasks that have not stopped."""
        rows = await self.rig.stores.cell_store.read(
            "SELECT id FROM tasks WHERE service = ? AND last_status <> 'STOPPED' ORDER BY n", (name,)
        )
        return [await self.rig.described(task_id) for (task_id,) in rows]

    async def all_tasks(self, name: str = WEB) -> list[dict[str, Any]]:
        rows = await self.rig.stores.cell_store.read("SELECT id FROM tasks WHERE service = ? ORDER BY n", (name,))
        return [await self.rig.described(task_id) for (task_id,) in rows]

    def target(self, task: dict[str, Any], group: str, port: int = 80) -> TargetRef:
        """As the task is one, once it has its interface."""
        details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
        return TargetRef(group=group, ip=details["privateIPv4Address"], port=port)

    async def report(self, task: dict[str, Any], status: str, **changes: Any) -> None:
        self._seqs[id_of(task)] = self._seqs.get(id_of(task), 0) + 1
        await self.rig.report(task, status, self._seqs[id_of(task)], **changes)

    async def run(self, task: dict[str, Any], health: str = "UNKNOWN") -> None:
        """Its host says that it runs, for more than the seconds after which it is healthy."""
        now = self.rig.world.now()
        await self.report(task, "RUNNING", started_at=now - 60.0, containers=(running("web", health_status=health),))

    async def end(self, task: dict[str, Any], code: str = "EssentialContainerExited", **changes: Any) -> None:
        await self.report(task, "STOPPED", stop_code=code, stopped_reason="it ended", **changes)

    async def obey(self, name: str = WEB) -> int:
        """Its hosts do what they are told: what is to stop ends, the others run. How many tasks moved."""
        moved = 0
        for task in await self.live(name):
            if task["desiredStatus"] == "STOPPED":
                if not await self.is_told_to_stop(task):
                    continue
                await self.report(task, "STOPPED")
                moved += 1
            elif task["lastStatus"] != "RUNNING":
                await self.run(task)
                moved += 1
        return moved

    async def is_told_to_stop(self, task: dict[str, Any]) -> bool:
        orders = await self.rig.cell.orders.to_stop(host_of(task["availabilityZone"]), 0, 1000, begun=True)
        return id_of(task) in {order.order.task_id for order in orders}

    async def until_count(self, count: int, name: str = WEB) -> list[dict[str, Any]]:
        async def holds() -> bool:
            return len(await self.live(name)) == count

        await self.rig.until(holds)
        return await self.live(name)

    async def until_steady(self, name: str = WEB) -> dict[str, Any]:
        """Its hosts obey until one deployment has all that is wanted, and it was told."""

        async def holds() -> bool:
            await self.obey(name)
            shown = await self.shown(name)
            return (
                len(shown["deployments"]) == 1
                and shown["runningCount"] == shown["desiredCount"]
                and bool((await self.rig.cell.services.explain_service(name))["is_steady"])
            )

        await self.rig.until(holds)
        return await self.shown(name)

    async def until_status(self, status: str, name: str = WEB) -> dict[str, Any]:
        async def holds() -> bool:
            await self.obey(name)
            return bool((await self.shown(name))["status"] == status)

        await self.rig.until(holds)
        return await self.shown(name)


def behind(*groups: str, port: int = 80, revision: int = 1) -> RevisionTemplate:
    """Tasks whose container `web` is a target of these groups."""
    balancers = [{"targetGroupArn": arn, "containerName": "web", "containerPort": port} for arn in groups]
    return template(definition=definition(revision), shown={"loadBalancers": balancers, "serviceRegistries": []})


def with_check(document: dict[str, Any]) -> dict[str, Any]:
    """The definition with a health check of its essential container."""
    first, *others = document["containerDefinitions"]
    check = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1}
    return {**document, "containerDefinitions": [{**first, "healthCheck": check}, *others]}


def _document(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(answer)
    return document
