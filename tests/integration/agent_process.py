"""The agent with its real parts, as a process that a test starts and kills. Argument: a JSON object (see `main`).

With `kill_at` the process kills itself with SIGKILL when it reaches that named point. `knobs`: a JSON object, too.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from msgspec.structs import replace

from neargate.agent.agent import Agent
from neargate.agent.points import Point
from neargate.hostnet.cgroups import LinuxCgroups
from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.network import LinuxNetwork
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.host_ids import UserNamespace
from neargate.model.knobs import Knobs
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import IN_USER_NAMESPACES
from neargate.world import OsWorld


async def main(given: dict[str, str]) -> None:
    world = OsWorld({"sandbox": 4, "pull": 8, "pull-net": 64})
    knobs = replace(Knobs(log_drain_s=20.0), **json.loads(given.get("knobs", "{}")))
    base = Path(given["base"])

    def reached(point: Point, _task_id: str) -> None:
        if point.value == given.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    agent = Agent(
        world,
        facts=HostFacts(
            host_id="host-real",
            boot_id="boot",
            capacity=HostCapacity(cpu_units=2048, memory_mib=2048, disk_gib=100),
        ),
        socket_path=given["socket"],
        sandbox=ContainerdSandbox(
            world,
            address=given["containerd"],
            namespace=given["namespace"],
            instance=given["instance"],
            run_dir=str(base / "sandbox"),
            insecure_registries=("127.0.0.1",),  # the rig's, at whatever port was free
            knobs=knobs,
        ),
        network=LinuxNetwork(
            world,
            instance=given["instance"],
            run_dir=base / "net",
            public_pool=given["pool"],
            endpoint_port=int(given["api_port"]),
            against_users=_nothing if IN_USER_NAMESPACES else None,
        ),
        disks=LinuxDisks(world, directory=base / "disks", knobs=knobs),
        cgroups=LinuxCgroups(world, instance=given["instance"]),
        state_dir=base / "agent",
        endpoint=f"http://127.0.0.1:{given['api_port']}",
        api_socket=str(base / "api.sock"),
        knobs=knobs,
        reached=reached,
    )
    await agent.run()


async def _nothing(users: UserNamespace, netns_path: str) -> str | None:
    """What there is against user namespaces here."""
    return None


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
