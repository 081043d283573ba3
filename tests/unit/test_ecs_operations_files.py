"""Labels that say files: only where the region has the extension, and judged whenever they would have an effect."""

from typing import Any, cast

from msgspec.structs import replace

from neargate.clusters.cell import Cell
from neargate.link.messages import RunOrder, decode_to_agent
from neargate.model.extensions import FILES
from neargate.model.launch import ContainerLaunch, InlineFile

from .test_ecs_operations import Region, definition, story

LABELS = {"neargate.file:/etc/app.ini": "[app]\n", "neargate.secret-file:/run/key": "KEY", "team": "a"}
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"


def registered(labels: dict[str, str], family: str = "web") -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "web:1",
        "dockerLabels": labels,
        "secrets": [{"name": "KEY", "valueFrom": "/key"}],
    }
    return definition(family=family, executionRoleArn=ROLE, containerDefinitions=[container])


def extended(region: Region, *names: str) -> Region:
    return Region(replace(region.services, extensions=names))


async def ordered(region: Region, task: dict[str, Any]) -> ContainerLaunch:
    """The container as its host is told of it."""
    cell = cast("Cell", region.services.cells["cell-0"])
    messages = [decode_to_agent(order.message) for order in await cell.orders.to_run("h1", 0, 10)]
    found = [item.launch for item in messages if isinstance(item, RunOrder) and item.launch.task_arn == task["taskArn"]]
    return found[0].containers[0]


def test_labels_are_files_only_in_a_region_that_has_them() -> None:
    async def body(plain: Region) -> None:
        await plain("CreateCluster")
        shown = []
        for region in (plain, extended(plain, FILES)):
            made = await region("RegisterTaskDefinition", **registered(LABELS))
            assert made["taskDefinition"]["containerDefinitions"][0]["dockerLabels"] == LABELS
            task = (await region("RunTask", **region.run()))["tasks"][0]
            container = await ordered(region, task)
            assert dict(container.docker_labels) == LABELS
            shown.append((container.files, container.secrets[0].file_paths))
        assert shown == [((), ()), ((InlineFile(path="/etc/app.ini", text="[app]\n"),), ("/run/key",))]

    story(body)


def test_what_cannot_be_is_refused_at_registration() -> None:
    async def body(plain: Region) -> None:
        code, message = await extended(plain, FILES).refused(
            "RegisterTaskDefinition", **registered({"neargate.file:/proc/x": ""})
        )
        assert code == "ClientException" and message.startswith("Invalid 'dockerLabels' setting for container 'web'.")
        await plain("RegisterTaskDefinition", **registered({"neargate.file:/proc/x": "", "neargate.anything": "x"}))

    story(body)


def test_what_was_registered_without_the_extension_is_judged_when_it_runs() -> None:
    async def body(plain: Region) -> None:
        await plain("CreateCluster")
        await plain("RegisterTaskDefinition", **registered({"neargate.secret-file:/run/key": "OTHER"}, "bad"))
        await plain("RunTask", **plain.run(taskDefinition="bad"))
        region = extended(plain, FILES)
        code, message = await region.refused("RunTask", **region.run(taskDefinition="bad"))
        assert code == "ClientException" and "no name of the container's 'secrets'" in message

    story(body)


def test_a_run_cannot_bring_the_variable_back() -> None:
    async def body(plain: Region) -> None:
        region = extended(plain, FILES)
        await region("CreateCluster")
        await region("RegisterTaskDefinition", **registered(LABELS))
        environment = [{"name": "web", "environment": [{"name": "KEY", "value": "x"}]}]
        code, message = await region.refused("RunTask", **region.run(overrides={"containerOverrides": environment}))
        assert code == "InvalidParameterException" and "unique and not shared" in message

    story(body)
