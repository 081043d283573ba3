"""A load balancer's node with real packets and no region: namespaces on one switch, a runner of proxies. Needs root.

Owns the namespaces and their links; all are gone after `close`. Sockets are made in a namespace and used from the
test's own event loop: they stay where they were made.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from ..agent.balancers.control import Control
from ..agent.balancers.runner import ProxyRunner
from ..hostnet.balancers import namespace_of
from ..hostnet.namespaces import Namespaces, write_sysctl
from ..hostnet.proxy_process import LinuxProxies
from ..model.balancing import BalancerPlan, NodeReport, PlannedNode
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..proxying.configuration import API, MASTER
from ..world import OsWorld

ENI = "eni-0ba1a0ce400000001"
HOST = "host-lab"
CLIENT, NODE, FIRST_TARGET = 2, 3, 10
_SWITCH = "switch"


class _World(OsWorld):
    """One whose background tasks can be taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._mine: list[asyncio.Task[Any]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        self._mine.append(super().spawn(coroutine, name))
        return self._mine[-1]

    async def cancel(self) -> None:
        running = [task for task in self._mine if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class BalancerLab:
    """`targets`: how many namespaces for them there are."""

    def __init__(self, targets: int = 2, knobs: Knobs = DEFAULT_KNOBS) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="neargate-test-lb-", dir="/run"))
        self.directory.chmod(0o755)
        self.world = _World()
        self.knobs = knobs
        self.namespaces = Namespaces(self.directory / "netns", self.world.die)
        self.proxies = self.fresh_proxies()
        self.told: dict[str, NodeReport] = {}
        self._targets = targets
        self._make()
        self.runner = self.fresh_runner()

    def fresh_proxies(self) -> LinuxProxies:
        return LinuxProxies(self.directory / "balancers", self.namespaces)

    def fresh_runner(self) -> ProxyRunner:
        """As a new agent has it."""
        runner = ProxyRunner(self.world, self.knobs, self.fresh_proxies(), HOST, connections_max=400)
        runner.on_report(lambda report: self.told.update({report.place: report}))
        return runner

    @property
    def node(self) -> PlannedNode:
        return PlannedNode(place="place-1", eni_id=ENI, zone="zone-a", private_ipv4=address(NODE), host_id=HOST)

    def _make(self) -> None:
        members = {"client": CLIENT, namespace_of(ENI): NODE}
        members |= {f"target{n}": FIRST_TARGET + n for n in range(self._targets)}
        for name in (_SWITCH, *members):
            self.namespaces.ensure(name)
            self.run(name, "ip", "link", "set", "lo", "up")
        self.run(_SWITCH, "ip", "link", "add", "br0", "type", "bridge")
        self.run(_SWITCH, "ip", "link", "set", "br0", "up")
        for name, number in members.items():
            near = f"p{number}"
            self.run(
                _SWITCH, "ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", self._pid(name)
            )
            self.run(_SWITCH, "ip", "link", "set", near, "master", "br0", "up")
            self.run(name, "ip", "address", "add", f"{address(number)}/24", "dev", "eth0")
            self.run(name, "ip", "link", "set", "eth0", "up")
        with self.namespaces.inside(namespace_of(ENI)):
            write_sysctl("ipv4/ip_unprivileged_port_start", "0")

    def _pid(self, name: str) -> str:
        """As `ip` takes a namespace: by a path."""
        return str(self.namespaces.path(name))

    def run(self, namespace: str, *words: str, timeout: float = 30) -> str:
        command = ["nsenter", f"--net={self.namespaces.path(namespace)}", *words]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout)
        return ran.stdout

    def run_all(self, namespace: str, *words: str, timeout: float = 30) -> str:
        """Both of its outputs, whatever it ends with."""
        command = ["nsenter", f"--net={self.namespaces.path(namespace)}", *words]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
        return ran.stdout + ran.stderr

    async def ask(self, line: str) -> str:
        """The proxy that serves now."""
        home = self.proxies.directory(ENI)
        return await Control(self.knobs, f"{home}/{API}", f"{home}/{MASTER}").ask(line)

    def listening(self, target: int, port: int) -> socket.socket:
        with self.namespaces.inside(f"target{target}"):
            return socket.create_server((address(FIRST_TARGET + target), port), backlog=1024)

    def client(self) -> socket.socket:
        with self.namespaces.inside("client"):
            made = socket.socket()
        made.setblocking(False)
        return made

    async def apply(self, *plans: BalancerPlan) -> None:
        await self.runner.apply(plans)

    async def abandon(self) -> None:
        """The runner is gone as by a kill of its process; what it started is not."""
        await self.world.cancel()

    def masters(self) -> Sequence[int]:
        found = self.proxies.find(ENI)
        return () if found is None else (found.pid,)

    def workers(self) -> list[int]:
        text = [Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in self.masters()]
        return [int(word) for words in text for word in words]

    def close(self) -> None:
        self.proxies.end(ENI)
        for name in self.namespaces.names():
            self.namespaces.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not os.path.exists(self.directory)


def address(number: int) -> str:
    return f"10.77.0.{number}"
