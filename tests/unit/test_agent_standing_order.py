"""The operator's order to stop everything without the server: obeyed alive, at the next start, and over any kill."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.agent.standing_order import StandingOrder
from neargate.testing.agent_host import TASK_ID, AgentHost, container, launch
from neargate.testing.fake_sandbox import Program
from neargate.testing.virtual_time import run_virtual

REASON = "Stopped by the operator: neargate down --force"
OTHER = "f" * 32
DOWN = tuple(Point)[tuple(Point).index(Point.TERM_SENT) :]


def play(root: Path, scenario: Callable[[AgentHost, StandingOrder], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            host.sandbox.programs["web"] = Program(term_exit_code=3)
            await scenario(host, StandingOrder(root / "agent"))

    run_virtual(whole())


async def gone(host: AgentHost) -> None:
    """Nothing of the task is left, though no server ever answers."""
    for _ in range(600):
        if not host.leftovers():
            return
        await host.clock.sleep(0.1)
    raise AssertionError(host.leftovers())


async def told(host: AgentHost, exit_code: int | None = 3) -> None:
    """Once the server is back it hears the truth."""
    host.server.is_down = False
    stopped = await host.server.status(TASK_ID, "STOPPED")
    assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", REASON)
    assert stopped.containers[0].exit_code == exit_code


def test_a_living_agent_obeys_without_its_server(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, order: StandingOrder) -> None:
        agent = await host.started()
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.is_down = True
        host.server.drop()
        await agent.obey_standing_order()
        await host.clock.sleep(60)
        assert host.sandbox.named("web").status == "running", "nothing was ordered"
        order.give(REASON)
        await agent.obey_standing_order()
        assert order.reason() is None, "every stop is the task's own now"
        await gone(host)
        await told(host)
        host.server.run(launch(task_id=OTHER))
        await host.server.status(OTHER, "RUNNING")  # a later task is not meant

    play(tmp_path, scenario)


def test_an_agent_that_starts_obeys_before_it_hears_anybody(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, order: StandingOrder) -> None:
        await host.started()
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        host.server.is_down = True
        order.give(REASON)
        agent = host.start()
        seen = [agent.is_adopted]
        await gone(host)
        assert [*seen, agent.is_adopted] == [False, True], "who asks at first must not hear that nothing is held"
        assert order.reason() is None
        await told(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", DOWN)
def test_an_order_survives_a_kill_of_the_agent_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost, order: StandingOrder) -> None:
        await host.started()
        host.server.run(launch(container(stop_timeout_s=2)))
        await host.server.status(TASK_ID, "RUNNING")
        host.sandbox.programs["web"] = Program(term_exit_code=None)
        host.kill()
        host.server.is_down = True
        order.give(REASON)
        host.kill_at = point
        for _ in range(3):
            host.start()
            await host.clock.sleep(30)
            if not host.world.is_dead:
                break
        await gone(host)
        await told(host, exit_code=137)

    play(tmp_path, scenario)


def test_a_task_that_was_lost_meanwhile_is_told_by_the_order(tmp_path: Path) -> None:
    """Its containers were killed because the agent could not live: the operator, not the machine, ended it."""

    async def scenario(host: AgentHost, order: StandingOrder) -> None:
        await host.started()
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        host.server.is_down = True
        order.give(REASON)
        host.sandbox.containers.clear()
        await host.host.cgroups.delete_task(TASK_ID)
        host.start()
        await gone(host)
        await told(host, exit_code=None)

    play(tmp_path, scenario)


def test_a_task_that_stops_already_keeps_its_reason(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, order: StandingOrder) -> None:
        await host.started()
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill_at = Point.STOP_SAVED
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 9)
        await host.clock.sleep(1)
        assert host.world.is_dead
        order.give(REASON)
        await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "EssentialContainerExited" and order.reason() is None

    play(tmp_path, scenario)


def test_the_order_is_a_file_that_damage_does_not_undo(tmp_path: Path) -> None:
    order = StandingOrder(tmp_path / "agent")
    assert order.reason() is None
    order.give("x" * 1000)
    assert order.reason() == "x" * 255 and StandingOrder(tmp_path / "agent").reason() == "x" * 255
    [file] = (tmp_path / "agent").iterdir()
    file.write_text("{")
    assert order.reason() == "Stopped by the operator of the machine."
    order.fulfilled()
    order.fulfilled()
    assert order.reason() is None
