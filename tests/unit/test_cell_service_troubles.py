"""Services whose tasks find no place, fail, or must not be stopped; and what cannot be asked of a service."""

from typing import Any

import botocore.session
import pytest
from msgspec.structs import replace

from neargate.interfaces.services import DeploymentFilter, ServiceFilter
from neargate.model.capacity import HostCapacity
from neargate.model.errors import (
    ClientError,
    ClusterContainsServices,
    ClusterNotFound,
    InvalidParameter,
    ServiceNotActive,
    ServiceNotFound,
    Throttling,
)
from neargate.scheduling.strategy import StrategyItem
from neargate.testing.cell_rig import (
    ACCOUNT,
    DEFINITION,
    REGION,
    ZONES,
    CellRig,
    id_of,
    in_cell,
    parsed,
    running,
    subnet,
)
from neargate.testing.service_rig import (
    CLUSTER,
    QUICK,
    SETTINGS,
    ServiceRig,
    configured,
    definition,
    template,
    with_check,
)

MODEL = botocore.session.get_session().get_service_model("ecs")
ROOM_FOR_ONE = HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100)
BREAKS = configured(
    deploymentCircuitBreaker={
        "enable": True,
        "rollback": True,
        "resetOnHealthyTask": True,
        "thresholdConfiguration": {"type": "COUNT", "value": 2},
    }
)


async def until_message(services: ServiceRig, text: str) -> list[str]:
    async def holds() -> bool:
        return any(text in message for message in await services.messages())

    await services.rig.until(holds)
    return [message for message in await services.messages() if text in message]


def test_what_finds_no_room_is_told_once_and_comes_when_there_is_room() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=5)
        await services.until_count(3)
        [told] = await until_message(services, "unable to place")
        assert told == (
            "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. "
            "Please try again later or in a different availability zone."
        )

        async def tried_again() -> bool:
            return int((await rig.cell.services.explain_service("web"))["place_failures"]) > 3

        await rig.until(tried_again)
        assert len(await until_message(services, "unable to place")) == 1
        await services.update(desired_count=3)
        shown = await services.until_steady()
        assert shown["runningCount"] == 3
        await services.create("other", desired_count=1)
        await services.update(desired_count=2)
        await services.until_steady()
        await services.until_steady("other")

    in_cell(body, knobs=QUICK, host=ROOM_FOR_ONE)


def test_subnets_and_groups_that_are_gone_are_named() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        rig.networks.gone = {subnet(zone).subnet_id for zone in ZONES}
        await services.create(desired_count=1)
        await until_message(services, f"Reason: The subnet ID '{subnet(ZONES[0]).subnet_id}' does not exist.")
        rig.networks.gone = {"sg-0main"}
        await until_message(services, "Reason: The security group 'sg-0main' does not exist.")
        rig.networks.gone = {subnet(ZONES[0]).subnet_id}
        await services.until_steady()
        [task] = await services.live()
        assert task["availabilityZone"] != ZONES[0]

    in_cell(body, knobs=QUICK)


def test_nothing_places_a_service_of_container_instances() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        made = await services.create(
            desired_count=1, template=template(launch_type="EC2", network={}, platform_version="")
        )
        assert made["launchType"] == "EC2"
        assert "networkConfiguration" not in made
        [told] = await until_message(services, "unable to place")
        assert told == (
            "(service web) was unable to place a task because no container instance met all of its requirements. "
            "Reason: No Container Instances were found in your cluster. "
            "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
        )
        assert await services.live() == []

    in_cell(body, knobs=QUICK)


def test_a_deployment_that_fails_is_rolled_back_and_its_record_says_so() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2, settings=BREAKS)
        steady = await services.until_steady()
        good = {id_of(task) for task in await services.live()}
        rolled = await services.roll()
        record = rolled["currentServiceDeployment"]

        async def breaks() -> bool:
            for task in await services.live():
                if task["taskDefinitionArn"].endswith(":2") and task["lastStatus"] != "STOPPED":
                    await services.end(task, "TaskFailedToStart")
            return bool((await services.shown())["taskDefinition"].endswith(":1"))

        await rig.until(breaks)
        shown = await services.until_steady()
        assert {id_of(task) for task in await services.live()} == good
        assert shown["deployments"][0]["id"] == steady["deployments"][0]["id"]
        [told] = parsed(await rig.cell.services.describe_service_deployments(ACCOUNT, [record]))
        assert told["status"] == "ROLLBACK_SUCCESSFUL"
        assert told["rollback"]["serviceRevisionArn"] == shown["currentServiceRevisions"][0]["arn"]
        assert told["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
        assert told["deploymentCircuitBreaker"]["threshold"] == 2
        briefs, more = await rig.cell.services.list_service_deployments(
            ACCOUNT, CLUSTER, "web", DeploymentFilter(), 10, None
        )
        assert ([brief["status"] for brief in briefs], more) == (["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"], None)

    in_cell(body, knobs=QUICK)


def test_a_rollback_to_a_revision_of_which_nothing_is_left_is_a_new_deployment() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        await services.until_steady()
        rolled = await services.roll()
        arn = rolled["currentServiceDeployment"]
        assert await rig.cell.services.stop_service_deployment(ACCOUNT, arn, "ROLLBACK") == arn
        shown = await services.until_steady()
        assert shown["taskDefinition"].endswith(":1")
        [told] = parsed(await rig.cell.services.describe_service_deployments(ACCOUNT, [arn]))
        assert told["status"] == "ROLLBACK_SUCCESSFUL"
        with pytest.raises(InvalidParameter, match="not in progress"):
            await rig.cell.services.stop_service_deployment(ACCOUNT, arn, "ABORT")

    in_cell(body, knobs=QUICK)


def test_a_protected_task_survives_scale_in_until_its_protection_ends() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        tasks = [id_of(task) for task in await services.live()]
        kept, stranger = tasks[:2], "f" * 32
        [alone] = [id_of(task) for task in await rig.run()]
        answer = await rig.cell.services.protect_tasks(
            ACCOUNT, CLUSTER, [*kept, stranger, alone], enabled=True, expires_in_minutes=10
        )
        assert [(one["taskArn"][-32:], one["protectionEnabled"]) for one in parsed(answer)] == [
            (kept[0], True),
            (kept[1], True),
        ]
        assert [failure.reason for failure in answer.failures] == ["MISSING", "TASK_NOT_VALID"]
        await services.update(desired_count=1)

        async def is_smaller() -> bool:
            await services.obey()
            return len(await services.live()) == 2

        await rig.until(is_smaller)
        await until_message(services, "was unable to reach steady state because")
        assert {id_of(task) for task in await services.live()} == set(kept)
        told = parsed(await rig.cell.services.task_protection(ACCOUNT, CLUSTER, []))
        assert [one["protectionEnabled"] for one in told] == [True, True]
        await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, kept[:1], enabled=False, expires_in_minutes=10)
        shown = await services.until_steady()
        assert shown["runningCount"] == 1
        assert [id_of(task) for task in await services.live()] == kept[1:]

    in_cell(body, knobs=QUICK)


def test_unhealthy_tasks_are_replaced() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1, template=template(definition=with_check(DEFINITION)))
        [task] = await services.until_count(1)
        await services.run(task, "HEALTHY")
        await until_message(services, "has reached a steady state")
        await services.run(task, "UNHEALTHY")
        await services.until_count(2)
        fresh = next(one for one in await services.live() if id_of(one) != id_of(task))
        await services.run(fresh, "HEALTHY")

        async def is_asked() -> bool:
            return bool((await rig.described(id_of(task)))["desiredStatus"] == "STOPPED")

        await rig.until(is_asked)
        assert (await rig.described(id_of(task)))["stoppedReason"] == "Task failed container health checks"

    in_cell(body, knobs=QUICK)


def test_tasks_are_divided_among_providers_with_base_and_weight() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        strategy = (
            StrategyItem(provider="FARGATE", base=2, weight=1),
            StrategyItem(provider="FARGATE_SPOT", base=0, weight=3),
        )
        await rig.cell.put_cluster_providers(
            ACCOUNT, CLUSTER, {"capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": []}
        )
        made = await services.create(desired_count=6, template=template(launch_type=None, strategy=strategy))
        assert made["capacityProviderStrategy"][0] == {"capacityProvider": "FARGATE", "weight": 1, "base": 2}
        await services.until_steady()

        async def providers() -> list[str]:
            return sorted(task["capacityProviderName"] for task in await services.live())

        assert await providers() == ["FARGATE"] * 3 + ["FARGATE_SPOT"] * 3
        spot = next(task for task in await services.live() if task["capacityProviderName"] == "FARGATE_SPOT")
        await services.end(spot, "SpotInterruption")
        await services.until_steady()
        assert await providers() == ["FARGATE"] * 3 + ["FARGATE_SPOT"] * 3

    in_cell(body, knobs=QUICK)


def test_tags_and_the_right_to_execute_commands_come_from_the_service() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        settings = {
            **SETTINGS,
            "propagateTags": "SERVICE",
            "enableECSManagedTags": True,
            "enableExecuteCommand": True,
        }
        await services.create(desired_count=1, settings=settings, tags=(("team", "a"),))
        [task] = await services.until_count(1)
        assert task["enableExecuteCommand"]
        assert {tag["key"]: tag["value"] for tag in task["tags"]} == {
            "team": "a",
            "aws:ecs:clusterName": CLUSTER,
            "aws:ecs:serviceName": "web",
        }
        await rig.cell.services.change_service_tags(ACCOUNT, CLUSTER, "web", lambda tags: (*tags, ("more", "b")))
        assert await rig.cell.services.service_tags(ACCOUNT, CLUSTER, "web") == (("team", "a"), ("more", "b"))

    in_cell(body, knobs=QUICK)


def test_a_service_is_made_once_and_by_the_same_call_again() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        token: dict[str, Any] = {"client_token": "t", "request_fingerprint": "f"}
        first = await services.create(desired_count=1, **token)
        assert (await services.create(desired_count=1, **token))["serviceArn"] == first["serviceArn"]
        for other in ({}, {**token, "request_fingerprint": "g"}):
            with pytest.raises(InvalidParameter, match="Creation of service was not idempotent"):
                await services.create(desired_count=1, **other)
        await services.until_steady()
        await services.delete()
        with pytest.raises(InvalidParameter, match="Unable to Start a service that is still Draining"):
            await services.create(desired_count=1)
        await services.until_status("INACTIVE")
        again = await services.create(desired_count=1)
        assert again["status"] == "ACTIVE"
        assert again["currentServiceDeployment"] != first["currentServiceDeployment"]

    in_cell(body, knobs=QUICK)


def test_what_cannot_be_done_is_refused_in_the_words_of_ecs() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        with pytest.raises(ClusterNotFound):
            await services.create(cluster="nowhere")
        with pytest.raises(InvalidParameter, match="Desired count exceeds limit"):
            await services.create(desired_count=5001)
        with pytest.raises(ServiceNotFound):
            await services.update(desired_count=1)
        await services.create(desired_count=1)
        with pytest.raises(InvalidParameter, match="The service cannot be stopped while it is scaled above 0"):
            await services.delete(force=False)
        with pytest.raises(ClusterContainsServices):
            await rig.cell.delete_cluster(ACCOUNT, CLUSTER)
        await services.until_steady()
        await services.delete()
        with pytest.raises(ServiceNotActive):
            await services.update(desired_count=1)
        with pytest.raises(ClusterContainsServices):
            await rig.cell.delete_cluster(ACCOUNT, CLUSTER)
        await services.until_status("INACTIVE")
        with pytest.raises(ServiceNotFound):
            await services.delete()
        await rig.cell.delete_cluster(ACCOUNT, CLUSTER)
        with pytest.raises(ClientError, match="The referenced cluster was inactive"):
            await services.create("late")

    in_cell(body, knobs=QUICK)


def test_services_are_listed_counted_and_found_by_their_tasks() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        for name in ("one", "two", "three"):
            await services.create(name, desired_count=1)
            await services.until_steady(name)
        page, more = await rig.cell.services.list_services(ACCOUNT, CLUSTER, ServiceFilter(), 2, None)
        rest, end = await rig.cell.services.list_services(ACCOUNT, CLUSTER, ServiceFilter(), 2, more)
        assert [arn.rpartition("/")[2] for arn in [*page, *rest]] == ["one", "two", "three"]
        assert end is None
        of_ec2 = await rig.cell.services.list_services(ACCOUNT, CLUSTER, ServiceFilter(launch_type="EC2"), 2, None)
        assert of_ec2 == ([], None)
        answer = await rig.cell.describe_clusters(ACCOUNT, [CLUSTER], frozenset({"STATISTICS"}))
        [cluster] = parsed(answer)
        assert cluster["activeServicesCount"] == 3
        statistics = {one["name"]: one["value"] for one in cluster["statistics"]}
        assert (statistics["activeFargateServiceCount"], statistics["drainingFargateServiceCount"]) == ("3", "0")
        answer = await rig.cell.services.describe_services(ACCOUNT, CLUSTER, ["none"], include_tags=False)
        assert [(failure.arn, failure.reason) for failure in answer.failures] == [
            (f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/none", "MISSING")
        ]

    in_cell(body, knobs=QUICK)


def test_a_revision_shows_what_its_tasks_are_made_of_and_which_images_they_had() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        made = await services.create(desired_count=1)
        [task] = await services.until_count(1)
        digest = "sha256:" + "a" * 64
        container = running("web", image_digest=digest)
        await services.report(task, "RUNNING", started_at=rig.world.now(), containers=(container,))
        arn = made["currentServiceRevisions"][0]["arn"]
        [told] = parsed(await rig.cell.services.describe_service_revisions(ACCOUNT, [arn]))
        assert told["taskDefinition"] == definition()["taskDefinitionArn"]
        assert told["containerImages"][0] == {
            "containerName": "web",
            "image": "registry.example/web:1",
            "imageDigest": digest,
        }
        assert "imageDigest" not in told["containerImages"][1]
        stranger = await rig.cell.services.describe_service_revisions("210987654321", [arn])
        assert [failure.reason for failure in stranger.failures] == ["MISSING"]

    in_cell(body, knobs=QUICK)


def test_a_deleted_service_is_forgotten_after_its_time() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        await services.until_steady()
        await services.delete()
        await services.until_status("INACTIVE")
        await rig.cell.sweepers.sweep_old_rows()
        assert (await services.shown())["status"] == "INACTIVE"
        rig.world.ahead_s += QUICK.service_inactive_keep_s + 60
        await rig.cell.sweepers.sweep_old_rows()
        answer = await rig.cell.services.describe_services(ACCOUNT, CLUSTER, ["web"], include_tags=False)
        assert [failure.reason for failure in answer.failures] == ["MISSING"]
        for table in ("deployments", "service_deployments", "service_revisions", "service_events", "service_tasks"):
            assert await rig.stores.cell_store.read(f"SELECT 1 FROM {table}") == []

    in_cell(body, knobs=QUICK)


def test_a_deployment_that_finds_no_room_is_given_up_by_the_breaker() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3, settings=BREAKS)
        await services.until_steady()
        await services.roll()
        await until_message(services, "deployment failed")
        shown = await services.until_steady()
        assert shown["taskDefinition"].endswith(":1")
        assert len(await services.all_tasks()) == 3

    in_cell(body, knobs=QUICK, host=ROOM_FOR_ONE)


def test_images_of_a_retired_revision_are_kept_as_long_as_a_service_runs_it() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        first, *others = DEFINITION["containerDefinitions"]
        keeps = {**DEFINITION, "containerDefinitions": [{**first, "versionConsistency": "enabled"}, *others]}
        await services.create(desired_count=1, template=template(definition=keeps))
        [task] = await services.until_count(1)
        digest = "sha256:" + "b" * 64
        container = running("web", image_digest=digest)
        await services.report(task, "RUNNING", started_at=rig.world.now(), containers=(container,))
        await services.until_steady()
        assert await rig.cell.sweepers.sweep_pins(lambda arn: True) is None
        await services.end(task)
        fresh = (await services.until_steady())["deployments"][0]
        assert fresh["runningCount"] == 1
        [(pinned,)] = await rig.stores.cell_store.read("SELECT digest FROM image_pins")
        assert pinned == digest
        await services.delete()
        await services.until_status("INACTIVE")
        assert await rig.cell.sweepers.sweep_pins(lambda arn: True) is not None

    in_cell(body, knobs=QUICK)


def test_the_account_s_launch_rate_is_kept_and_waited_for() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        asked: list[tuple[bool, int]] = []

        def rate(account: str, is_spot: bool, count: int) -> None:
            assert account == ACCOUNT
            asked.append((is_spot, count))
            if len(asked) < 4:
                raise Throttling

        rig.launch_rate = rate
        await rig.reopen()
        await services.create(desired_count=2)
        await services.until_steady()
        assert asked == [(False, 2)] * 4
        throttled = "(service web) operations are being throttled. Will try again later."
        assert (await services.messages()).count(throttled) == 1
        assert not any("unable to place" in message for message in await services.messages())

    in_cell(body, knobs=QUICK)


def test_what_is_shown_has_the_members_and_types_of_the_model() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1, settings=BREAKS)
        await services.until_steady()
        shown = await services.roll()
        manager = rig.cell.services
        records, _ = await manager.list_service_deployments(ACCOUNT, CLUSTER, "web", DeploymentFilter(), 10, None)
        arns = [record["serviceDeploymentArn"] for record in records]
        revisions = [one["arn"] for one in shown["currentServiceRevisions"]]
        tasks = [id_of(task) for task in await services.live()]
        for shape, documents in (
            ("Service", [shown, await services.shown()]),
            ("ServiceDeploymentBrief", records),
            ("ServiceDeployment", parsed(await manager.describe_service_deployments(ACCOUNT, arns))),
            ("ServiceRevision", parsed(await manager.describe_service_revisions(ACCOUNT, revisions))),
            ("ProtectedTask", parsed(await manager.task_protection(ACCOUNT, CLUSTER, tasks))),
        ):
            assert documents, shape
            for document in documents:
                assert strangers(MODEL.shape_for(shape), document, shape) == []

    in_cell(body, knobs=QUICK)


def strangers(shape: Any, value: Any, path: str) -> list[str]:
    """What the model does not know, or knows as something else."""
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return [path]
        return [
            wrong
            for name, member in value.items()
            for wrong in (
                strangers(shape.members[name], member, f"{path}.{name}")
                if name in shape.members
                else [f"{path}.{name}"]
            )
        ]
    if shape.type_name == "list":
        return [wrong for one in value for wrong in strangers(shape.member, one, f"{path}[]")]
    types = {"string": str, "integer": int, "boolean": bool, "timestamp": float, "double": float}
    if not isinstance(value, types[shape.type_name]):
        return [f"{path} is {value!r}"]
    return [f"{path} is {value!r}"] if getattr(shape, "enum", None) and value not in shape.enum else []


def test_what_a_service_lacks_does_not_wait_for_a_zone_that_has_no_room_for_its_balance() -> None:
    full = ZONES[2]

    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await rig.run(count=5, subnets=(subnet(full),))
        await services.create(desired_count=4, settings={**SETTINGS, "availabilityZoneRebalancing": "ENABLED"})

        async def waits_for_room() -> bool:
            await services.obey()
            return bool((await rig.cell.services.explain_service("web"))["place_retry_at"])

        await rig.until(waits_for_room)
        [not_balanced, no_room] = (await services.messages())[-2:]
        assert "AZ Rebalancing in progress" in not_balanced
        assert "unable to place a task" in no_room
        [task, *_] = await services.live()
        await services.end(task)
        assert full not in {task["availabilityZone"] for task in await services.until_count(4)}

    host = HostCapacity(cpu_units=256 * 5, memory_mib=512 * 5, disk_gib=1000)
    knobs = replace(QUICK, service_place_retry_min_s=3600.0, service_place_retry_max_s=3600.0)
    in_cell(body, knobs=knobs, host=host)
