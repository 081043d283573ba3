"""What must hold whatever happens first: an order and the loss of its connection, a writer's end and the look at it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neargate.model.launch import AwsLogs, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.fake_faults import a_moment

LOGS = AwsLogs(group="/web", region="us-east-1", stream=f"p/web/{TASK_ID}")


def logging_task() -> TaskLaunch:
    return launch(container(logs=LOGS))


def slow_answers(host: AgentHost, name: str, delay_s: float = 0.05) -> None:
    """Calls of this blocking function happen at once and are answered later."""
    offload = host.world.offload

    async def slow(lane: str, called: Callable[..., Any], *args: Any) -> Any:
        result = await offload(lane, called, *args)
        if called.__name__ == name:
            await host.clock.sleep(delay_s)
        return result

    host.world.offload = slow  # type: ignore[method-assign]


def test_an_order_whose_connection_is_lost_is_still_carried_out(tmp_path: Path) -> None:
    """The loss is noticed at the next ping, while the order is still being saved."""

    async def scenario(host: AgentHost) -> None:
        slow_answers(host, "_commit", 2 * host.knobs.link_ping_period_s)
        host.server.run(launch())
        await host.clock.sleep(0.1)
        host.server.drop()
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


def test_a_stop_while_a_log_file_is_being_opened_leaves_no_file(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        slow_answers(host, "open_log")
        host.server.run(logging_task())
        while not (tmp_path / "agent" / "logs" / TASK_ID).exists():
            await a_moment()
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("wait_ms", range(0, 200, 10))
def test_the_last_line_is_kept_whenever_its_writer_ends(tmp_path: Path, wait_ms: int) -> None:
    """It may be written between the shipper's look and the answer to it."""

    async def scenario(host: AgentHost) -> None:
        slow_answers(host, "scan")
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        await host.clock.sleep(wait_ms / 1000)
        runtime_id = host.sandbox.named("web").config.runtime_id
        host.sandbox.write_log(runtime_id, b"last words\n")
        host.sandbox.end(runtime_id, 0)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.server.logs[TASK_ID, "web"].lines == [b"last words"]

    play(tmp_path, scenario)
