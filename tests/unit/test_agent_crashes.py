"""kill -9 at every named point, a failure of every call, every undo repeated: nothing is lost, doubled or leaked."""

import sqlite3
from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.interfaces.hostnet import DiskFull, HostError
from neargate.interfaces.sandbox import EngineUnavailable, SandboxError
from neargate.model.launch import AwsLogs, ContainerLaunch, Dependency, MountPoint, TaskLaunch
from neargate.testing.agent_host import IMAGE, INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_sandbox import Program

LOGS = AwsLogs(group="/web", region="us-east-1", stream=f"p/web/{TASK_ID}")
LAUNCH_POINTS = tuple(Point)[: tuple(Point).index(Point.RUNNING_SAVED) + 1]
STOP_POINTS = tuple(Point)[tuple(Point).index(Point.EXIT_SEEN) :]


def whole_task() -> TaskLaunch:
    """Two containers, a volume, logs: every hook has something to do."""
    web = container(logs=LOGS, mount_points=(MountPoint(source_volume="v", container_path="/v"),), stop_timeout_s=5)
    side = container("side", essential=False, depends_on=(Dependency(container_name="web", condition="START"),))
    return launch(web, side, volumes=("v",))


def prepare(host: AgentHost) -> None:
    host.sandbox.programs["web"] = Program(term_exit_code=None, output=b"first\nsecond\n")
    host.sandbox.add_image(IMAGE, command=("/bin/web",), volumes=("/v", "/own"))


async def stop_and_check(host: AgentHost) -> None:
    host.server.stop(TASK_ID, INCARNATION)
    stopped = await host.server.status(TASK_ID, "STOPPED")
    assert stopped.stop_code == "UserInitiated"
    await host.clock.sleep(10)
    assert host.leftovers() == []
    assert host.server.logs[TASK_ID, "web"].lines == [b"first", b"second"]


def test_a_container_of_which_only_the_record_was_made_is_made_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = Point.CONTAINER_CREATED
        host.server.run(whole_task())
        await host.until_dead()
        for created in host.sandbox.containers.values():
            created.is_record_only = True
        await host.started()
        await host.server.status(TASK_ID, "RUNNING")
        assert sorted(host.sandbox.ever_started) == sorted(host.sandbox.containers), "each container started once"
        await stop_and_check(host)

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_launch_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        host.server.run(whole_task())
        await host.back_after_kill()
        host.server.run(whole_task())  # the server repeats what was not reported
        await host.server.status(TASK_ID, "RUNNING")
        assert sorted(host.sandbox.ever_started) == sorted(host.sandbox.containers), "each container started once"
        assert len(host.sandbox.containers) == 2
        await stop_and_check(host)

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_stop_order_at_any_point_of_a_launch(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        stopped_at: list[Point] = []

        def order(reached: Point) -> None:
            if reached is point and not stopped_at:
                stopped_at.append(reached)
                host.server.stop(TASK_ID, INCARNATION)

        host.on_point = order
        host.server.run(whole_task())
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped_at and stopped.stop_code == "UserInitiated"
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("point", STOP_POINTS)
def test_a_stop_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill_at = point
        host.server.stop(TASK_ID, INCARNATION)
        await host.back_after_kill()
        if host.server.reports[TASK_ID].known_status == "RUNNING":
            host.server.stop(TASK_ID, INCARNATION)  # the server repeats what was not reported
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "Task stopped by user")
        assert {item.name: item.exit_code for item in stopped.containers} == {"web": 137, "side": 143}
        await host.clock.sleep(10)
        assert host.leftovers() == []
        assert host.server.logs[TASK_ID, "web"].lines == [b"first", b"second"]

    play(tmp_path, scenario, prepare=prepare)


def test_an_exit_while_the_agent_was_away_keeps_its_code(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 42)
        await host.clock.sleep(5)
        await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert stopped.containers[0].exit_code == 42

    play(tmp_path, scenario, prepare=prepare)


def test_an_out_of_memory_kill_while_the_agent_was_away_is_told(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 137, oom_kills=1)
        await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].reason == "OutOfMemoryError: Container killed due to memory usage"

    play(tmp_path, scenario, prepare=prepare)


def test_a_task_runs_on_while_the_server_is_away(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.is_down = True
        host.server.drop()
        await host.clock.sleep(3600)
        assert host.sandbox.named("web").status == "running"
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 5)
        await host.clock.sleep(60)
        host.server.is_down = False
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].exit_code == 5
        await host.clock.sleep(10)
        assert host.leftovers() == [] and host.server.logs[TASK_ID, "web"].lines == [b"first", b"second"]

    play(tmp_path, scenario, prepare=prepare)


def test_after_a_reboot_the_task_is_told_to_have_stopped_for_the_machines_reason(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        host.sandbox.containers.clear()
        host.boot_id = "boot-2"
        await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "InfrastructureHealth"
        assert stopped.stopped_reason == "The machine that ran this task was restarted"
        assert [item.exit_code for item in stopped.containers] == [None, None]
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def test_a_power_cut_that_kept_the_boot_id_is_told_as_one(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        for known in host.sandbox.containers.values():
            host.sandbox.end(known.config.runtime_id, 255)
        await host.host.cgroups.delete_task(TASK_ID)
        await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == (
            "InfrastructureHealth",
            "The machine that ran this task was restarted",
        )
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def test_a_running_task_without_a_record_is_kept_reported_and_stopped_only_by_its_order(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        before = await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        _lose_state(host.root)
        await host.clock.sleep(1)
        await host.started()
        await host.clock.sleep(60)
        report = host.server.reports[TASK_ID]
        assert report.known_status == "RUNNING" and report.report_seq > before.report_seq
        assert report.capacity_id == before.capacity_id != "", "the cell may never have heard of it"
        assert host.sandbox.named("web").status == "running"
        host.server.stop(TASK_ID, "another")
        await host.clock.sleep(60)
        assert host.sandbox.named("web").status == "running"
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "UserInitiated"
        assert {item.name: item.exit_code for item in stopped.containers} == {"web": 137, "side": 143}
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def test_what_belongs_to_no_record_and_runs_nothing_is_removed(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        _lose_state(host.root)
        for runtime_id in list(host.sandbox.containers):
            host.sandbox.end(runtime_id, 0)
        await host.started()
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def test_remains_that_resist_hold_up_only_their_own_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        _lose_state(host.root)
        for runtime_id in list(host.sandbox.containers):
            host.sandbox.end(runtime_id, 0)
        host.host.disks.faults.fail("delete_disk", HostError("busy"), times=20)
        await host.started()
        other = "f" * 32
        host.server.run(launch(task_id=other))
        await host.server.status(other, "RUNNING", within_s=3)
        host.server.run(whole_task())
        await host.clock.sleep(3)
        assert TASK_ID in host.host.disks.disks and len(host.sandbox.containers) == 1
        await host.clock.sleep(20)
        assert list(host.host.disks.disks) == [other]

    play(tmp_path, scenario, prepare=prepare)


FAILURES: tuple[tuple[str, Exception, str], ...] = (
    ("cgroups.create_task", HostError("no cgroup"), "ResourceInitializationError: no cgroup"),
    ("attach_eni", HostError("no veth"), "ResourceInitializationError: no veth"),
    ("create_disk", DiskFull("full"), "ResourceInitializationError: unable to create ephemeral storage: full"),
    ("reserve", DiskFull("too big"), "CannotPullContainerError: failed to extract layer: too big"),
    ("pull_image", SandboxError("CannotPullContainerError: x"), "CannotPullContainerError: x"),
    ("seed_volume", SandboxError("CannotCreateVolumeError: x"), "CannotCreateVolumeError: x"),
    ("create_container", SandboxError("CannotCreateContainerError: x"), "CannotCreateContainerError: x"),
    ("start_container", SandboxError("CannotStartContainerError: x"), "CannotStartContainerError: x"),
)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("method", "error", "reason"), FAILURES, ids=[item[0] for item in FAILURES])
def test_a_launch_that_fails_leaves_nothing(
    tmp_path: Path, method: str, error: Exception, reason: str, after: bool
) -> None:
    async def scenario(host: AgentHost) -> None:
        for part in (host.sandbox, host.host.network, host.host.disks, host.host.cgroups):
            part.faults.fail(method, error, after=after)
        host.server.run(whole_task())
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert (stopped.stopped_reason or "").startswith(reason)
        assert all(item.exit_code is None for item in stopped.containers if item.started_at is None)
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize(
    "method", ["delete_container", "kill_container", "detach_eni", "delete_disk", "cgroups.delete_task"]
)
def test_an_undo_that_took_effect_and_failed_is_repeated(tmp_path: Path, method: str) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.faults.fail(method, EngineUnavailable("restarting"), after=True, times=2)
        for part in (host.host.network, host.host.disks, host.host.cgroups):
            part.faults.fail(method, HostError("busy"), after=True, times=2)
        await stop_and_check(host)

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("method", ["pull_image"])
def test_a_stop_does_not_wait_for_a_pull_that_hangs(tmp_path: Path, method: str) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.faults.hang(method)
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "PENDING")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED", within_s=30)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def test_a_stop_while_a_dependency_is_waited_for(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        waits: ContainerLaunch = container(
            "late", essential=False, depends_on=(Dependency(container_name="web", condition="COMPLETE"),)
        )
        host.server.run(launch(container(stop_timeout_s=5), waits))
        await host.clock.sleep(20)
        assert host.server.reports[TASK_ID].known_status == "PENDING"
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED", within_s=30)
        late = stopped.containers[1]
        assert (late.known_status, late.exit_code, late.started_at) == ("STOPPED", None, None)
        assert host.leftovers() == []

    play(tmp_path, scenario, prepare=prepare)


def _lose_state(root: Path) -> None:
    """The local state file was lost; what runs was not."""
    with sqlite3.connect(root / "agent" / "agent.db") as database:
        for table in ("records", "tombstones", "plans", "meta"):
            database.execute(f"DELETE FROM {table}")
    database.close()
