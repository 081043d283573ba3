"""A task's life on one host: the real agent on fakes, in virtual time."""

from pathlib import Path

import pytest

from neargate.agent.points import Point
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, launch
from neargate.testing.virtual_time import run_virtual


def test_a_task_runs_and_stops(tmp_path: Path) -> None:
    async def scenario() -> None:
        host = AgentHost(tmp_path)
        await host.started()
        host.server.run(launch())
        running = await host.server.status(TASK_ID, "RUNNING")
        assert running.eni_attached and running.started_at is not None
        assert running.containers[0].known_status == "RUNNING"
        assert running.containers[0].image_digest == host.sandbox.images["registry.example/web:1"].image.digest
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "Task stopped by user")
        assert stopped.containers[0].exit_code == 143
        assert host.leftovers() == []
        statuses = [report.known_status for report in host.server.history]
        assert statuses[0] == "PROVISIONING" and "PENDING" in statuses and "STOPPING" in statuses
        host.check()

    run_virtual(scenario())
