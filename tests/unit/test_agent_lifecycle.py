"""A task's life on one host: the real agent on fakes, in virtual time."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import ExecResult
from neargate.model.launch import Dependency, HealthCheck, MountPoint
from neargate.model.lifecycle import REASON_MAX_CHARS
from neargate.testing.agent_host import IMAGE, INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_sandbox import PAUSE, Program

Scenario = Callable[[AgentHost], Awaitable[None]]


def test_a_task_runs_and_stops(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        running = await host.server.status(TASK_ID, "RUNNING")
        assert running.eni_attached and running.started_at is not None
        assert running.containers[0].known_status == "RUNNING"
        assert running.containers[0].image_digest == host.sandbox.images[IMAGE].image.digest
        assert host.host.cgroups.cpu_limited == {TASK_ID}
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "Task stopped by user")
        assert stopped.containers[0].exit_code == 143
        assert host.leftovers() == []
        statuses = [report.known_status for report in host.server.history]
        assert statuses[0] == "PROVISIONING" and "PENDING" in statuses and "STOPPING" in statuses
        assert {report.capacity_id for report in host.server.history} == {launch().capacity_id}, "from the first on"

    play(tmp_path, scenario)


def test_the_stages_add_up_to_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        running = await host.server.status(TASK_ID, "RUNNING")
        whole = {name: value for name, value in running.stages_ms.items() if "." not in name}
        assert list(whole)[-1] == "containers", "the chain of steps ends with the start"
        assert abs(sum(whole.values()) - running.stages_ms["launch.whole"]) < 0.01

    play(tmp_path, scenario)


def test_an_order_is_obeyed_once_however_often_it_comes(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        for _ in range(3):
            host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.run(launch())
        await host.clock.sleep(1)
        assert len(host.sandbox.ever_started) == 1
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        host.server.run(launch())  # delayed: it meets the tombstone
        await host.clock.sleep(5)
        assert len(host.sandbox.ever_started) == 1 and host.leftovers() == []

    play(tmp_path, scenario)


def test_a_stop_that_overtakes_its_start_leaves_a_tombstone(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        host.kill()
        await host.started()
        host.server.run(launch())
        await host.clock.sleep(10)
        assert host.sandbox.ever_started == [] and host.server.reports[TASK_ID].known_status == "STOPPED"

    play(tmp_path, scenario)


def test_a_tombstone_is_kept_until_it_is_acknowledged_and_a_while_longer(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.acknowledge = False
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        host.kill()
        host.server.reports.clear()
        host.server.acknowledge = True
        agent = await host.started()
        assert (await host.server.status(TASK_ID, "STOPPED")).stop_code == "UserInitiated"
        await host.clock.sleep(5)
        assert agent.tasks.reports() == []
        host.server.run(launch())
        await host.clock.sleep(5)
        assert len(host.sandbox.ever_started) == 1, "a delayed order must still meet the tombstone"

    play(tmp_path, scenario)


def test_a_stop_of_another_incarnation_is_ignored(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.stop(TASK_ID, "cell-restored")
        await host.clock.sleep(120)
        assert host.server.reports[TASK_ID].known_status == "RUNNING"
        assert host.sandbox.named("web").status == "running"

    play(tmp_path, scenario)


def test_an_essential_container_that_exits_stops_the_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container(), container("side", essential=False)))
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.end(host.sandbox.named("side").config.runtime_id, 1)
        await host.clock.sleep(10)
        assert host.server.reports[TASK_ID].known_status == "RUNNING", "a sidecar's exit is no reason"
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 3)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert stopped.stopped_reason == "Essential container in task exited"
        assert [item.exit_code for item in stopped.containers] == [3, 1]
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("sidecars", [0, 1])
def test_a_task_that_ends_at_once_has_started(tmp_path: Path, sidecars: int) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(exit_code=0)
        # Its end is told before the call that started it answers, as a busy engine does.
        host.sandbox.faults.late_answers["start_container"] = 50
        sides = [container(f"side{place}", essential=False) for place in range(sidecars)]
        needs = tuple(Dependency(container_name=side.name, condition="START") for side in sides)
        host.server.run(launch(*sides, container(depends_on=needs)))
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == (
            "EssentialContainerExited",
            "Essential container in task exited",
        )
        assert stopped.started_at is not None and stopped.stopping_at is not None
        assert stopped.started_at <= stopped.stopping_at

    play(tmp_path, scenario)


def test_out_of_memory_is_told_of_the_victim_only(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container(), container("side", essential=False)))
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.end(host.sandbox.named("side").config.runtime_id, 137)  # killed, but not for memory
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 137, oom_kills=1)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].reason == "OutOfMemoryError: Container killed due to memory usage"
        memory = stopped.containers[0].memory_at_kill
        assert memory is not None and (memory.kills, memory.task_limit_bytes >> 20) == (1, 512)
        assert stopped.containers[1].reason is None

    play(tmp_path, scenario)


def test_a_child_killed_for_memory_is_not_the_containers_end(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 0, oom_kills=1)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].exit_code == 0 and stopped.containers[0].reason is None

    play(tmp_path, scenario)


def test_what_ignores_sigterm_is_killed_after_its_stop_timeout(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(term_exit_code=None)
        host.server.run(launch(container(stop_timeout_s=7)))
        await host.server.status(TASK_ID, "RUNNING")
        begun = host.clock.now()
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].exit_code == 137 and stopped.containers[0].reason is None
        assert stopped.execution_stopped_at is not None
        assert 7 <= stopped.execution_stopped_at - begun < 9

    play(tmp_path, scenario)


def test_the_images_stop_signal_is_sent(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.add_image("quits", command=("/x",), stop_signal="SIGQUIT")
        host.server.run(launch(container(image="quits")))
        await host.server.status(TASK_ID, "RUNNING")
        process = host.sandbox.named("web")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        assert process.signals == [3]

    play(tmp_path, scenario)


def test_containers_start_by_their_dependencies_and_stop_in_reverse(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["init"] = Program(exit_code=0)
        web = container(
            depends_on=(
                Dependency(container_name="init", condition="SUCCESS"),
                Dependency(container_name="db", condition="HEALTHY"),
            )
        )
        check = HealthCheck(command=("CMD-SHELL", "true"), interval_s=10)
        host.server.run(launch(web, container("db", health_check=check), container("init", essential=False)))
        running = await host.server.status(TASK_ID, "RUNNING")
        started = {item.name: item.started_at for item in running.containers}
        assert started["db"] is not None and started["web"] is not None
        assert started["web"] - started["db"] >= 10, "the web server waits for the first check of the database"
        assert running.containers[2].exit_code == 0 and running.containers[2].known_status == "STOPPED"
        order: list[str] = []
        for name in ("web", "db"):
            host.sandbox.programs[name] = Program(term_exit_code=0)
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        order = [item.name for item in sorted(stopped.containers, key=lambda item: item.finished_at or 0.0)]
        assert order == ["init", "web", "db"]

    play(tmp_path, scenario)


def test_a_container_that_cannot_start_matters_if_it_is_essential(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["side"] = Program(start_error="CannotStartContainerError: no such file")
        host.server.run(launch(container(), container("side", essential=False)))
        running = await host.server.status(TASK_ID, "RUNNING")
        side = running.containers[1]
        assert (side.known_status, side.reason) == ("STOPPED", "CannotStartContainerError: no such file")
        assert side.exit_code is None and side.started_at is None
        other = launch(container("side"), task_id="f" * 32, eni=replace(launch().eni, private_ipv4="10.0.1.9"))
        host.server.run(other)
        stopped = await host.server.status("f" * 32, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("TaskFailedToStart", side.reason)

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "essential"),
    [("create_disk", True), ("make_namespace", True), ("cgroups.create_task", True), ("start", False)],
)
def test_a_reason_is_bounded_whichever_step_it_came_from(tmp_path: Path, method: str, essential: bool) -> None:
    """The container that is not essential ends alone, with a reason of its own."""
    long = "x" * 100_000

    async def scenario(host: AgentHost) -> None:
        if method == "start":
            host.sandbox.programs["side"] = Program(start_error=long)
        else:
            faulty = {"create_disk": host.host.disks, "make_namespace": host.host.network}.get(
                method, host.host.cgroups
            )
            faulty.faults.fail(method, HostError(long))
        host.server.run(launch(container(), container("side", essential=essential)))
        told = await host.server.status(TASK_ID, "STOPPED" if essential else "RUNNING")
        reasons = [told.stopped_reason, *(item.reason for item in told.containers)]
        assert any(reason is not None and len(reason) == REASON_MAX_CHARS for reason in reasons)
        assert all(reason is None or len(reason) <= REASON_MAX_CHARS for reason in reasons)

    play(tmp_path, scenario)


def test_a_shared_pid_namespace_belongs_to_a_process_of_the_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["init"] = Program(exit_code=0)
        side = container("side", essential=False)
        init = container("init", essential=False, depends_on=(Dependency(container_name="side", condition="START"),))
        web = container(depends_on=(Dependency(container_name="init", condition="SUCCESS"),))
        host.server.run(launch(web, init, side, share_pid_namespace=True))
        running = await host.server.status(TASK_ID, "RUNNING")
        pause = host.sandbox.named(PAUSE).config
        assert host.sandbox.ever_started[0] == pause.runtime_id, "it is there before them all"
        for name in ("web", "init", "side"):
            assert host.sandbox.named(name).config.share_pid_with == pause.runtime_id
        assert pause.cgroup_path.startswith(host.sandbox.named("web").config.cgroup_path.rpartition("/")[0])
        assert [item.name for item in running.containers] == ["web", "init", "side"]
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert [item.exit_code for item in stopped.containers] == [143, 0, 143], "its end is not theirs"
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_task_of_its_own_processes_has_no_other_one(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container()))
        await host.server.status(TASK_ID, "RUNNING")
        assert [item.config.name for item in host.sandbox.containers.values()] == ["web"]
        assert host.sandbox.named("web").config.share_pid_with is None

    play(tmp_path, scenario)


def test_a_dependency_that_fails_fails_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["init"] = Program(exit_code=1)
        web = container(depends_on=(Dependency(container_name="init", condition="SUCCESS"),))
        host.server.run(launch(web, container("init", essential=False)))
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "dependency [init] for target [web]" in (stopped.stopped_reason or "")
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_dependency_that_never_becomes_healthy_times_out(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.exec_results["db"] = ExecResult(exit_code=1, output=b"")
        web = container(depends_on=(Dependency(container_name="db", condition="HEALTHY"),))
        check = HealthCheck(command=("CMD", "check"), interval_s=5, retries=2)
        host.server.run(launch(web, container("db", health_check=check, start_timeout_s=60)))
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert (stopped.stopped_reason or "").endswith("has timed out.")
        assert stopped.containers[1].health_status == "UNHEALTHY"

    play(tmp_path, scenario)


def test_an_unhealthy_standalone_task_goes_on_and_shows_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        check = HealthCheck(command=("CMD-SHELL", "true"), interval_s=5, retries=2)
        host.server.run(launch(container(health_check=check)))
        await host.server.status(TASK_ID, "RUNNING")
        await host.clock.sleep(8)
        assert host.server.reports[TASK_ID].containers[0].health_status == "HEALTHY"
        host.sandbox.exec_results["web"] = ExecResult(exit_code=1, output=b"")
        await host.clock.sleep(30)
        report = host.server.reports[TASK_ID]
        assert report.containers[0].health_status == "UNHEALTHY" and report.known_status == "RUNNING"

    play(tmp_path, scenario)


def test_a_volume_is_seeded_from_the_image_once(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        files = {"/data": {"hello": b"from the image"}}
        host.sandbox.add_image("seeded", command=("/x",), volumes=("/data",), files=files)
        mount = MountPoint(source_volume="v", container_path="/data")
        reader = container(
            "reader", mount_points=(MountPoint(source_volume="v", container_path="/in", read_only=True),)
        )
        host.server.run(launch(container(image="seeded", mount_points=(mount,)), reader, volumes=("v",)))
        await host.server.status(TASK_ID, "RUNNING")
        binds = {bind.target: bind for bind in host.sandbox.named("web").config.mounts}
        assert _text(binds["/data"].source + "/hello") == "from the image"
        read = {bind.target: bind for bind in host.sandbox.named("reader").config.mounts}
        assert read["/in"].source == binds["/data"].source and read["/in"].read_only
        assert _text(binds["/etc/hosts"].source).endswith("10.0.1.5 ip-10-0-1-5.ec2.internal ip-10-0-1-5\n")
        assert "nameserver 10.0.0.2\n" in _text(binds["/etc/resolv.conf"].source)

    play(tmp_path, scenario)


def test_a_machine_that_runs_short_of_disk_takes_no_tasks(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        assert host.server.hosts[-1].accepts_tasks
        host.host.disks.free = 0.05
        await host.clock.sleep(10)
        assert not host.server.hosts[-1].accepts_tasks and "5%" in (host.server.hosts[-1].reason or "")
        host.host.disks.free = 0.5
        await host.clock.sleep(10)
        assert host.server.hosts[-1].accepts_tasks

    play(tmp_path, scenario)


def test_an_undo_that_fails_is_repeated_until_it_works(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.host.network.faults.fail("detach_eni", HostError("busy"), times=5)
        host.server.stop(TASK_ID, INCARNATION)
        await host.clock.sleep(3)
        assert host.server.reports[TASK_ID].known_status == "DEPROVISIONING"
        await host.server.status(TASK_ID, "STOPPED")
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_an_engine_that_restarts_is_waited_for(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.is_down = True
        host.server.run(launch())
        await host.clock.sleep(60)
        assert host.server.reports[TASK_ID].known_status == "PENDING"
        host.sandbox.is_down = False
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.is_down = True
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 9)  # its event is lost
        await host.clock.sleep(20)
        host.sandbox.is_down = False
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].exit_code == 9

    play(tmp_path, scenario)


def test_at_most_so_many_launches_start_at_once(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.host.network.faults.hang("attach_eni")
        for number in range(host.knobs.starts_at_once + 2):
            task_id = f"{number:032x}"
            eni = replace(launch().eni, private_ipv4=f"10.0.1.{number + 10}")
            host.server.run(launch(task_id=task_id, eni=eni))
        await host.clock.sleep(30)
        running = [task_id for task_id, report in host.server.reports.items() if report.known_status == "RUNNING"]
        assert len(running) == host.knobs.starts_at_once + 1, "one that hangs takes one place, not all"

    play(tmp_path, scenario)


def _text(path: str) -> str:
    return Path(path).read_text()
