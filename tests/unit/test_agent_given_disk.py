"""A task whose disk its machine has already: an agent that was killed in the middle of the start goes on without it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.model.launch import InjectedSecret, InlineFile, MountPoint
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual

from .test_agent_secrets import ROLE, grant


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            grant(host)
            host.api.parameters = {"key": "secret"}
            await host.started()
            await scenario(host)

    run_virtual(whole())


@pytest.mark.parametrize("point", [Point.CONTAINER_STARTED, Point.CONTAINERS_STARTED])
def test_the_steps_that_wrote_on_it_repeat_nothing(tmp_path: Path, point: Point) -> None:
    wanted = launch(
        container(
            files=(InlineFile(path="/etc/app.ini", text="here"),),
            secrets=(InjectedSecret(name="KEY", value_from="key", file_paths=("/run/key",)),),
            mount_points=(MountPoint(source_volume="data", container_path="/data"),),
        ),
        volumes=("data",),
        execution_role_arn=ROLE,
    )

    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        host.server.run(wanted)
        await host.until_dead()
        disks = host.host.disks
        charged, place = disks.reserved[TASK_ID], disks.disks[TASK_ID].path
        image = await disks.hand_over(TASK_ID)
        await host.back_after_kill()
        await host.server.status(TASK_ID, "RUNNING")
        assert disks.disks[TASK_ID].is_given and _exist(place, image) == [image]
        assert disks.reserved[TASK_ID] == charged > 0
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == [] and _exist(image) == []

    play(tmp_path, scenario)


def _exist(*paths: str) -> list[str]:
    return [path for path in paths if Path(path).exists()]
