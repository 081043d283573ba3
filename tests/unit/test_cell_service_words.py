"""What users see of a service in a cell: ids, reasons of failures, and what changes it without a deployment."""

import re
from typing import Any

from neargate.interfaces.roles import Documents
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell, parsed
from neargate.testing.service_rig import CLUSTER, QUICK, SETTINGS, ServiceRig


async def protect(rig: CellRig, *task_ids: str, enabled: bool = True) -> Documents:
    return await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, task_ids, enabled=enabled, expires_in_minutes=60)


def test_ids_have_the_form_of_awss_and_tasks_are_started_by_their_deployment() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        shown = await services.until_steady()
        [deployment], [task] = shown["deployments"], await services.live()
        assert re.fullmatch(r"ecs-svc/[1-9][0-9]{18}", deployment["id"])
        assert (task["startedBy"], task["group"]) == (deployment["id"], "service:web")
        assert deployment["rolloutStateReason"] == f"ECS deployment {deployment['id']} completed."
        rolled = await services.roll()
        assert [one["status"] for one in rolled["deployments"]] == ["PRIMARY", "ACTIVE"]
        new = rolled["deployments"][0]["id"]
        assert rolled["deployments"][0]["rolloutStateReason"] == f"ECS deployment {new} in progress."

    in_cell(body, knobs=QUICK)


def test_what_only_the_scheduler_heeds_changes_without_a_deployment() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        before = (await services.until_steady())["deployments"]
        changes: list[dict[str, Any]] = [
            {"healthCheckGracePeriodSeconds": 600},
            {"availabilityZoneRebalancing": "ENABLED"},
            {"propagateTags": "SERVICE", "enableECSManagedTags": True},
            {"deploymentConfiguration": {**SETTINGS["deploymentConfiguration"], "maximumPercent": 150}},
        ]
        for change in changes:
            shown = await services.update(settings=change)
            assert shown.items() >= change.items()
            assert [one["id"] for one in shown["deployments"]] == [one["id"] for one in before]
        assert len(await services.all_tasks()) == 1

    in_cell(body, knobs=QUICK)


def test_who_is_of_a_deployment_that_others_take_the_place_of_is_not_protected_any_more() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        await services.until_steady()
        [old] = await services.live()
        await protect(rig, id_of(old))
        await services.roll()
        _, new = await services.until_count(2)
        answer = await protect(rig, id_of(old), id_of(new))
        assert [one["taskArn"] for one in parsed(answer)] == [new["taskArn"]]
        assert [(one.arn, one.reason) for one in answer.failures] == [(old["taskArn"], "DEPLOYMENT_BLOCKED")]
        [shown] = parsed(await protect(rig, id_of(old), enabled=False))
        assert shown == {"taskArn": old["taskArn"], "protectionEnabled": False}

    in_cell(body, knobs=QUICK)
