"""An agent that begins: engine and network come up side by side, and nothing is done before both are there."""

from pathlib import Path

import pytest

from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import EngineUnavailable
from neargate.testing.agent_host import AgentHost
from neargate.testing.virtual_time import run_virtual


@pytest.mark.parametrize("slow", ["engine", "network"])
def test_neither_waits_for_the_other(tmp_path: Path, slow: str) -> None:
    async def scenario() -> None:
        async with AgentHost(tmp_path) as host:
            sandbox, network = host.sandbox.faults, host.host.network.faults
            if slow == "engine":
                sandbox.fail("start", EngineUnavailable("it starts"), times=100)
            else:
                network.fail("network.start", HostError("it starts"), times=100)
            agent = host.start()
            await host.clock.sleep(2)
            assert sandbox.calls["start"] >= 1 and network.calls["network.start"] >= 1
            assert not agent.is_adopted and "list_containers" not in sandbox.calls
            sandbox.clear()
            network.clear()
            await host.server.connected()
            assert agent.is_adopted

    run_virtual(scenario())
