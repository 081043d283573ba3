"""Tasks in machines of their own, as the agent brings them up: all is made before the first start, over kills."""

from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.model.capacity import OLD_MACHINES_MAX, HostPlatform
from neargate.model.launch import Dependency, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_sandbox import MACHINE_OVERHEAD, Program

POINTS = tuple(Point)
LAUNCH_POINTS = POINTS[: POINTS.index(Point.RUNNING_SAVED) + 1]


def whole_task() -> TaskLaunch:
    """`web` waits for `side`, which has to have started."""
    web = container(
        depends_on=(Dependency(container_name="side", condition="START"),),
        network_controls=(("net.core.somaxconn", "1024"),),
    )
    return launch(web, container("side", essential=False), share_pid_namespace=True)


def prepare(host: AgentHost) -> None:
    host.sandbox.is_machine = True


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_launch_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    """The fake engine refuses a container that is created after the first start."""

    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        host.server.run(whole_task())
        await host.back_after_kill()
        host.server.run(whole_task())
        running = await host.server.status(TASK_ID, "RUNNING")
        assert [item.known_status for item in running.containers] == ["RUNNING", "RUNNING"]
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == [] and host.sandbox.containers == {}

    play(tmp_path, scenario, prepare=prepare)


def test_a_container_that_waits_for_an_exit_is_made_before_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["side"] = Program(term_exit_code=143)
        web = container(depends_on=(Dependency(container_name="side", condition="SUCCESS"),))
        host.server.run(launch(web, container("side", essential=False)))
        while "side" not in {item.config.name for item in host.sandbox.containers.values() if item.starts}:
            await host.clock.sleep(0.1)
        assert host.sandbox.named("web").status == "created"
        host.sandbox.end(host.sandbox.named("side").config.runtime_id, 0)
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario, prepare=prepare)


@pytest.mark.parametrize("is_machine", [True, False])
def test_the_boot_of_a_machine_is_not_held_to_its_tasks_share_of_a_processor(tmp_path: Path, is_machine: bool) -> None:
    """But what follows is; of containers, all that an image's processes do."""
    limited: list[bool] = []

    def watch(host: AgentHost) -> None:
        host.sandbox.is_machine = is_machine
        start = host.sandbox.start_container

        async def started(runtime_id: str) -> int:
            limited.append(TASK_ID in host.host.cgroups.cpu_limited)
            return await start(runtime_id)

        host.sandbox.start_container = started  # type: ignore[method-assign]

    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        assert TASK_ID in host.host.cgroups.cpu_limited

    play(tmp_path, scenario, prepare=watch)
    pause, *containers = limited
    assert not pause and containers == [not is_machine, True]


def test_its_cgroup_on_the_host_has_room_for_the_machine(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        task = whole_task()
        host.server.run(task)
        await host.server.status(TASK_ID, "RUNNING")
        size = host.sandbox.named("web").config.task_size
        assert (size.cpu_units, size.memory_mib) == (task.cpu_units, task.memory_mib)
        overhead_mib = host.sandbox.facts.overhead.of(task.memory_mib)
        assert overhead_mib > 0
        assert host.host.cgroups.tasks[TASK_ID].memory_mib == task.memory_mib + overhead_mib

    play(tmp_path, scenario, prepare=prepare)


def test_the_host_says_what_isolates_its_tasks_and_what_a_machine_takes(tmp_path: Path) -> None:
    """From its first word; and again when more is known of it."""

    async def scenario(host: AgentHost) -> None:
        await host.server.connected()
        [*_, said] = host.server.hosts
        assert (said.sandbox, said.overhead) == ("microvm", MACHINE_OVERHEAD)
        assert said.platform == HostPlatform(kernel="6.1", guest_image="6.1 guest", vmm="fake 1")
        host.host.cgroups.used_mib = 100
        host.sandbox.is_machine = False
        before = len(host.server.hosts)
        while len(host.server.hosts) == before:
            await host.clock.sleep(1)
        assert (host.server.hosts[-1].sandbox, host.server.hosts[-1].used_memory_mib) == ("container", 128)

    play(tmp_path, scenario, prepare=prepare)


def test_the_host_names_tasks_whose_machines_are_old_and_no_more_than_are_heard(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await host.server.connected()
        assert host.server.hosts[-1].old_machines == ()
        host.sandbox.old_machines = tuple(f"task-{n:05}" for n in range(OLD_MACHINES_MAX + 5))
        while not host.server.hosts[-1].old_machines:
            await host.clock.sleep(1)
        assert host.server.hosts[-1].old_machines == host.sandbox.old_machines[:OLD_MACHINES_MAX]

    play(tmp_path, scenario, prepare=prepare)


def test_parameters_of_its_network_are_the_engines_to_set(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(whole_task())
        await host.server.status(TASK_ID, "RUNNING")
        assert host.sandbox.named("web").config.network_controls == (("net.core.somaxconn", "1024"),)
        assert host.host.network.controls == {}

    play(tmp_path, scenario, prepare=prepare)


def test_why_a_machine_ended_is_told_of_its_containers(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container()))
        await host.server.status(TASK_ID, "RUNNING")
        web = host.sandbox.named("web")
        reason = "InternalError: the virtual machine of the task was killed"
        web.reason = reason
        host.sandbox.end(web.config.runtime_id, 137)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert [(item.exit_code, item.reason) for item in stopped.containers] == [(137, reason)]

    play(tmp_path, scenario, prepare=prepare)
