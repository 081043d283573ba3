"""restartPolicy on a host: a container that ended begins again, once for each exit, whatever is killed meanwhile."""

from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.agent.restarts import may_restart
from neargate.agent.task_record import ContainerRecord
from neargate.model.launch import AwsLogs, RestartPolicy, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_sandbox import Program

POLICY = RestartPolicy(attempt_period_s=60, ignored_exit_codes=(7,))
LOGS = AwsLogs(group="/web", region="us-east-1", stream=f"p/web/{TASK_ID}")


def task() -> TaskLaunch:
    return launch(container(restart_policy=POLICY, logs=LOGS), container("side"))


def runtime_id(host: AgentHost) -> str:
    return host.sandbox.named("web").config.runtime_id


def starts(host: AgentHost) -> int:
    return host.sandbox.named("web").starts


async def running_for(host: AgentHost, seconds: float) -> None:
    host.server.run(task())
    await host.server.status(TASK_ID, "RUNNING")
    await host.clock.sleep(seconds)


async def dead_at(host: AgentHost, point: Point) -> None:
    """The container ended late enough to begin again, and its agent died at that point of it."""
    await running_for(host, 61)
    host.kill_at = point
    host.sandbox.end(runtime_id(host), 1)
    await host.until_dead()
    await host.clock.sleep(5)


async def stopped_and_gone(host: AgentHost) -> None:
    host.server.stop(TASK_ID, INCARNATION)
    await host.server.status(TASK_ID, "STOPPED")
    assert host.leftovers() == [] and host.sandbox.containers == {}


async def until_starts(host: AgentHost, count: int) -> None:
    for _ in range(300):
        if starts(host) == count and host.sandbox.named("web").status == "running":
            return
        await host.clock.sleep(0.1)
    raise AssertionError(f"{starts(host)} starts, not {count}")


@pytest.mark.parametrize(
    ("policy", "exit_code", "ran_s", "expected"),
    [
        (POLICY, 1, 60.0, True),
        (POLICY, 0, 61.0, True),
        (POLICY, 1, 59.9, False),
        (POLICY, 7, 600.0, False),
        (POLICY, None, 600.0, False),
        (None, 1, 600.0, False),
        (RestartPolicy(), 1, 299.0, False),
        (RestartPolicy(), 1, 300.0, True),
    ],
)
def test_when_a_container_begins_again(
    policy: RestartPolicy | None, exit_code: int | None, ran_s: float, expected: bool
) -> None:
    first = ContainerRecord(name="web", runtime_id="r", known_status="RUNNING", started_at=1000.0)
    assert may_restart(policy, first, exit_code, 1000.0 + ran_s) is expected
    again = ContainerRecord(
        name="web", runtime_id="r", known_status="RUNNING", started_at=1000.0, restarted_at=5000.0, restart_count=1
    )
    assert may_restart(policy, again, exit_code, 5000.0 + ran_s) is expected
    assert not may_restart(policy, ContainerRecord(name="web", runtime_id="r"), exit_code, 9000.0)


def test_an_essential_container_begins_again_and_its_task_goes_on(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.write_log(runtime_id(host), b"first run\n")
        await host.clock.sleep(61)
        host.sandbox.end(runtime_id(host), 1)
        await until_starts(host, 2)
        host.sandbox.write_log(runtime_id(host), b"second run\n")
        await host.clock.sleep(100)
        assert host.server.reports[TASK_ID].known_status == "RUNNING"
        assert host.server.logs[TASK_ID, "web"].lines == [b"first run", b"second run"]
        assert host.sandbox.named("side").starts == 1
        host.sandbox.end(runtime_id(host), 2)
        await until_starts(host, 3)
        await host.clock.sleep(30)
        host.sandbox.end(runtime_id(host), 3)  # too early
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stopped_reason == "Essential container in task exited"
        assert {item.name: item.exit_code for item in stopped.containers}["web"] == 3
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize(("exit_code", "ran_s"), [(1, 30), (7, 100)])
def test_one_that_ended_too_early_or_with_an_ignored_code_ends_its_task(
    tmp_path: Path, exit_code: int, ran_s: int
) -> None:
    async def scenario(host: AgentHost) -> None:
        await running_for(host, ran_s)
        host.sandbox.end(runtime_id(host), exit_code)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert {item.name: item.exit_code for item in stopped.containers}["web"] == exit_code

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", [Point.RESTART_SAVED, Point.CONTAINER_RESTARTED])
def test_an_agent_killed_at_a_restart_makes_one_new_run(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        await dead_at(host, point)
        host.start()
        await until_starts(host, 2)
        await host.clock.sleep(30)
        assert starts(host) == 2
        assert host.server.reports[TASK_ID].known_status == "RUNNING"
        await stopped_and_gone(host)

    play(tmp_path, scenario)


def test_a_new_run_that_ended_while_no_agent_was_there_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await dead_at(host, Point.CONTAINER_RESTARTED)
        host.sandbox.end(runtime_id(host), 9)
        host.start()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert {item.name: item.exit_code for item in stopped.containers}["web"] == 9
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", [Point.RESTART_SAVED, Point.CONTAINER_RESTARTED])
def test_a_stop_after_a_kill_at_a_restart_leaves_nothing(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        await dead_at(host, point)
        await host.started()
        await stopped_and_gone(host)

    play(tmp_path, scenario)


def test_a_container_that_cannot_begin_again_has_ended(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running_for(host, 61)
        host.sandbox.programs["web"] = Program(start_error="CannotStartContainerError: no more")
        host.sandbox.end(runtime_id(host), 5)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        [web] = [item for item in stopped.containers if item.name == "web"]
        assert (web.exit_code, web.reason) == (5, "CannotStartContainerError: no more")
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_task_that_is_stopped_begins_nothing_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running_for(host, 100)
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert {item.name: item.exit_code for item in stopped.containers}["web"] == 143
        assert len(host.sandbox.ever_started) == 2

    play(tmp_path, scenario)
