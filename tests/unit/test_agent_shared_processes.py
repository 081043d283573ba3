"""`pidMode: task` on one host: the process that holds the namespace, through kills, failures and lost records."""

import sqlite3
from pathlib import Path

import pytest

from neargate.agent.adopt import Observed, adopt
from neargate.agent.container_config import LABEL_CONTAINER, LABEL_TASK, pause_config
from neargate.agent.points import Point
from neargate.interfaces.hostnet import TaskNetwork
from neargate.interfaces.sandbox import ContainerState, SandboxError
from neargate.model.launch import Dependency, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_sandbox import PAUSE, Program

POINTS = tuple(Point)
LAUNCH_POINTS = POINTS[: POINTS.index(Point.RUNNING_SAVED) + 1]
STOP_POINTS = POINTS[POINTS.index(Point.STOP_SAVED) :]
NETWORK = TaskNetwork(task_id=TASK_ID, eni_id="eni-1", vpc_id="vpc-1", netns_path="/n")


def whole_task() -> TaskLaunch:
    """An essential container that waits for one that is not and runs."""
    web = container(depends_on=(Dependency(container_name="side", condition="START"),), stop_timeout_s=5)
    return launch(web, container("side", essential=False), share_pid_namespace=True)


def prepare(host: AgentHost) -> None:
    host.sandbox.programs["web"] = Program(term_exit_code=None)


async def stop_and_check(host: AgentHost) -> None:
    host.server.stop(TASK_ID, INCARNATION)
    stopped = await host.server.status(TASK_ID, "STOPPED")
    assert {item.name: item.exit_code for item in stopped.containers} == {"web": 137, "side": 143}
    await host.clock.sleep(10)
    assert host.leftovers() == [] and host.sandbox.containers == {}


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_launch_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        host.server.run(whole_task())
        await host.back_after_kill()
        host.server.run(whole_task())  # the server repeats what was not reported
        await host.server.status(TASK_ID, "RUNNING")
        pause = host.sandbox.named(PAUSE)
        assert pause.starts == 1 and pause.status == "running"
        for name in ("web", "side"):
            assert host.sandbox.named(name).config.share_pid_with == pause.config.runtime_id
        await stop_and_check(host)

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("point", [point for point in STOP_POINTS if point is not Point.STOPPED_SAVED])
def test_a_stop_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill_at = point
        host.server.stop(TASK_ID, INCARNATION)
        await host.back_after_kill()
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == [] and host.sandbox.containers == {}

    play(tmp_path, scenario, prepare=prepare)


def test_it_runs_on_when_the_record_was_lost_and_goes_with_the_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        with sqlite3.connect(tmp_path / "agent" / "agent.db") as database:
            database.execute("DELETE FROM records")
        database.close()
        await host.started()
        await host.clock.sleep(5)
        assert host.sandbox.named(PAUSE).status == "running"
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert sorted(item.name for item in stopped.containers) == ["side", "web"]
        await host.clock.sleep(10)
        assert host.sandbox.containers == {}

    play(tmp_path, scenario, prepare=prepare)


def seen(*containers: ContainerState) -> Observed:
    return Observed(
        records=(),
        tombstones=frozenset(),
        containers=containers,
        networks=(),
        disks=(),
        cgroups=(),
        same_boot=True,
        now=1.0,
    )


def test_alone_it_is_no_task() -> None:
    """A kill between two removals leaves it alone: nothing of the task runs, so it goes."""
    config = pause_config(whole_task(), NETWORK, "/c")
    pause = ContainerState(runtime_id=config.runtime_id, status="running", labels=config.labels)
    plan = adopt(seen(pause))
    assert plan.resume == () and plan.delete_containers == (config.runtime_id,)
    labels = ((LABEL_TASK, TASK_ID), (LABEL_CONTAINER, "web"))
    [found] = adopt(seen(pause, ContainerState(runtime_id=f"{TASK_ID}-1", status="running", labels=labels))).resume
    assert [item.name for item in found.containers] == ["web"] and found.launch.share_pid_namespace


@pytest.mark.parametrize("after", [False, True])
def test_a_task_without_it_does_not_start(tmp_path: Path, after: bool) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.faults.fail("create_pause", SandboxError("CannotStartContainerError: x"), after=after)
        host.server.run(whole_task())
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("TaskFailedToStart", "CannotStartContainerError: x")
        await host.clock.sleep(10)
        assert host.leftovers() == [] and host.sandbox.ever_started == []

    play(tmp_path, scenario, prepare=prepare)
