"""Machines with the real agent over fakes of engine, network, disks and cgroups.

A machine outlives its agent: containers, interfaces and disks stay when the process is killed. A reboot ends containers
and takes away what lived in memory; files stay, but for the last commits of the agent's own database. Owns the agent's
side of the simulated link. Must not know the server.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ...agent.adopt import REBOOTED
from ...agent.agent import Agent
from ...agent.channels.link import Closed
from ...agent.credential_files import CredentialFiles
from ...agent.points import Point
from ...clusters.stopping import STOPPED_BY_USER
from ...model.capacity import HostFacts
from ...model.knobs import Knobs
from ..fake_hostnet import FakeHost
from ..fake_sandbox import SIGKILL, FakeSandbox, Program
from .checkers import Checkers
from .custody import Contact, Custody
from .disks import AgentFiles
from .endpoint import Endpoints, check_secret
from .light import LightMachine
from .net import End, Gone, Net
from .sim import Program as Supervised
from .sim import Sim
from .world import EPOCH, Process, SimWorld

IMAGE = "registry.example/web:1"
# What the containers of the workload's definitions do: one obeys, one ignores SIGTERM, one ends by itself.
PROGRAMS = {
    "web": Program(output=b"first\nsecond\n"),
    "side": Program(output=b"beside\n", term_exit_code=None),
    "job": Program(output=b"done\n"),
    "again": Program(output=b"a run\n"),
}
AGAIN_EXIT_CODE = 9
_AGAIN_LIVES_S = 0.1
_AGAIN_LATER_S = 61.0
JOB_EXIT_CODE = 3
_JOB_LIVES_S = (0.0, 0.05, 0.5, 5.0)
_NOT_ENDED = -1
_ASK_AT = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_SEAM_VALUES = frozenset({"exits", "task_path", "faults", "host", "is_machine", "facts"})


class _Seam:
    """A fake as one process sees it: fenced before and after each call, so that a kill may fall on either side."""

    def __init__(self, inner: object, process: Process, watch: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._inner = inner
        self._process = process
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name in _SEAM_VALUES:
            return value

        async def call(*args: Any, **named: Any) -> Any:
            if not self._process.effect(name):
                await self._process.park()
            result = await value(*args, **named)
            self._watch(name, args)
            if not self._process.effect(name):
                await self._process.park()
            return result

        return call


class _Transport:
    """The agent's `Transport` over the simulated network."""

    def __init__(self, world: SimWorld, net: Net, knobs: Knobs) -> None:
        self._world = world
        self._net = net
        self._timeout_s = knobs.link_silence_s

    async def connect(self, path: str) -> "_Connection":
        outcome: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()
        self._net.dial(
            self._world, path, outcome.set_result, lambda: outcome.set_result(None), timeout_s=self._timeout_s
        )
        end = await outcome
        if end is None:
            raise Closed("nobody listens")
        return _Connection(end)


class _Connection:
    def __init__(self, end: End) -> None:
        self._end = end

    async def send(self, data: bytes) -> None:
        try:
            self._end.send(data)
        except Gone:
            raise Closed("the connection is gone") from None

    async def receive(self) -> bytes:
        try:
            return await self._end.receive()
        except Gone:
            raise Closed("the connection is gone") from None

    async def close(self) -> None:
        self._end.close()


def _unwatched(_: Point) -> None:
    """Seeds kill at steps and effects; named points are killed by tests of their own."""


class RealMachine:
    """A host with the real agent over fakes of engine, network, disks and cgroups.

    `on_point` is told of each point of a launch or stop that the living agent reaches.
    """

    def __init__(
        self,
        sim: Sim,
        net: Net,
        checkers: Checkers,
        facts: HostFacts,
        knobs: Knobs,
        root: Path,
        hinders: Callable[[str], bool],
        endpoints: Endpoints,
    ) -> None:
        self.facts = facts
        self._endpoints = endpoints
        self.host = FakeHost(root=root)
        self.sandbox = FakeSandbox(lambda: EPOCH + sim.now)
        self.on_point: Callable[[Point], None] = _unwatched
        self._sim = sim
        self._net = net
        self._checkers = checkers
        self._knobs = knobs
        self._root = root
        self.files = AgentFiles(root / "agent" / "agent.db")
        self._credentials = root / "credentials"
        self._credentials.mkdir()
        contact = Contact(sim, net, hinders, knobs, facts.host_id)
        self._custody = Custody(sim, checkers, contact, knobs, facts.host_id)
        self._started: dict[tuple[str, str], str] = {}
        self._begun_again: set[str] = set()  # runtime ids
        self._cut_short: set[str] = set()  # tasks that were here when the machine was restarted
        self._cut_down: set[str] = set()  # of which every container ran
        self._lives = sim.stream(f"lives/{facts.host_id}")
        self.sandbox.add_image(IMAGE, command=("/bin/web",))
        self.sandbox.programs = dict(PROGRAMS)

    def end_problems(self, stopped: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """`stopped`: task id -> document. Are exit codes and reasons true?"""
        found = [
            f"{task_id} ran when its machine was restarted, and is said to be over because: {reason}"
            for task_id in sorted(self._cut_down & stopped.keys())
            if (reason := stopped[task_id].get("stoppedReason")) not in (REBOOTED, STOPPED_BY_USER)
        ]
        for task_id, name in self._started:
            containers = stopped.get(task_id, {}).get("containers", ())
            told = next((item.get("exitCode") for item in containers if item["name"] == name), _NOT_ENDED)
            program = PROGRAMS[name]
            code = 128 + SIGKILL if program.term_exit_code is None else program.term_exit_code
            ends = {"job": JOB_EXIT_CODE, "again": AGAIN_EXIT_CODE}  # they may be stopped before or after it
            possible = (code, ends[name]) if name in ends else (code,)
            if task_id in self._cut_short:
                possible = (None, *possible)  # nobody can know
            if told not in (_NOT_ENDED, *possible):
                found.append(f"{name} of {task_id} is said to have ended with {told}, not {code}")
        return found

    @property
    def outputs(self) -> dict[str, bytes]:
        """Log stream -> all that its container has written."""
        return {
            f"sim/{name}/{task_id}": PROGRAMS[name].output * (2 if runtime_id in self._begun_again else 1)
            for (task_id, name), runtime_id in self._started.items()
        }

    def restart_engine(self, away_s: float) -> None:
        """kill -9 of the engine: containers run on, calls fail meanwhile, exits are nobody's events."""
        self.sandbox.is_down = True
        self._sim.at(away_s, lambda: setattr(self.sandbox, "is_down", False))

    def rebooted(self, boot_id: str, lost_s: float) -> None:
        """Of what was in memory nothing is left; of the agent's own database the last `lost_s` seconds are gone."""
        self.facts = replace(self.facts, boot_id=boot_id)
        statuses: dict[str, set[str]] = {}
        for runtime_id, container in self.sandbox.containers.items():
            statuses.setdefault(runtime_id.rpartition("-")[0], set()).add(container.status)
        self._cut_short |= statuses.keys()
        self._cut_down |= {task_id for task_id, found in statuses.items() if found == {"running"}}
        for task_id in list(self.host.network.tasks):
            self._checkers.ended(self.facts.host_id, task_id)
        self._checkers.network.forgotten(self.facts.host_id)
        self.sandbox.reboot()
        self.host.reboot()
        shutil.rmtree(self._credentials)
        self._credentials.mkdir()
        if self.files.lose(self._sim.now - lost_s):
            self._sim.count("records-lost")

    def program(self) -> Supervised:
        return Supervised(name=self.facts.host_id, begin=self._begin, died=self._net.died)

    def vpcs(self) -> frozenset[str]:
        """Those of the interfaces that are here."""
        return frozenset(eni.vpc_id for eni in self.host.network.enis.values())

    def problems(self, live: frozenset[str]) -> list[str]:
        name = self.facts.host_id
        held = [(text, text.partition(" ")[2]) for text in self.host.leftovers()]
        held += [(f"container {key}", key.rpartition("-")[0]) for key in self.sandbox.containers]
        held += [(f"log file {path.name}", path.parent.name) for path in (self._root / "agent/logs").glob("*/*")]
        held += [(f"credentials {path.name}", path.name) for path in sorted(self._credentials.iterdir())]
        running = {key.rpartition("-")[0] for key, item in self.sandbox.containers.items() if item.status == "running"}
        return [f"{name} holds {what} of a task that is over" for what, task_id in held if task_id not in live] + [
            f"{name} runs nothing of {task_id}" for task_id in sorted(live - running)
        ]

    def look_at_credentials(self) -> None:
        """Of every task that runs here, with one container or more."""
        running = [item.config for item in self.sandbox.containers.values() if item.status == "running"]
        asking = {config.task_id: path for config in running if (path := dict(config.environment).get(_ASK_AT))}
        self._custody.look(asking, self.host.network.enis)

    def _begin(self, world: SimWorld) -> None:
        process = world.process

        def fenced(inner: object) -> Any:
            return _Seam(inner, process, self._saw)

        agent = Agent(
            world,
            facts=self.facts,
            socket_path="",
            sandbox=fenced(self.sandbox),
            network=fenced(self.host.network),
            disks=fenced(self.host.disks),
            cgroups=fenced(self.host.cgroups),
            state_dir=self._root / "agent",
            endpoint="http://127.0.0.1:4566",
            knobs=self._knobs,
            transport=_Transport(world, self._net, self._knobs),
            credential_files=CredentialFiles(self._credentials),
            exchange=fenced(self._endpoints(world)),
            reached=lambda point, task_id: self._reached(world, point, task_id),
        )
        self._custody.begin(world, agent)
        world.spawn(agent.run(), "agent")

    def _reached(self, world: SimWorld, point: Point, task_id: str) -> None:
        if world.process.is_dead or world.process.is_doomed:
            return
        self._sim.say(self.facts.host_id, f"reached {point} of {task_id[:8]}")
        self._sim.count(f"point {point}")
        self.on_point(point)

    def _saw(self, call: str, args: tuple[Any, ...]) -> None:
        """An effect on this machine that a checker judges, whether the agent learns of it or not."""
        host_id = self.facts.host_id
        if call == "attach_eni":
            task_id, eni = args
            self._checkers.attached(host_id, task_id, eni)
        elif call == "apply_vpc":
            self._checkers.network.applied(host_id, args[0])
        elif call == "remove_vpc":
            if args[0] not in self.host.network.plans:
                self._checkers.network.withdrawn(host_id, args[0])
        elif call == "detach_eni":
            self._checkers.ended(host_id, args[0])
        elif call == "start_container":
            self._saw_start(args[0])
        elif call == "restart_container":
            self._saw_restart(args[0])

    def _saw_start(self, runtime_id: str) -> None:
        container = self.sandbox.containers[runtime_id]
        task_id = runtime_id.rpartition("-")[0]
        first = self._started.setdefault((task_id, container.config.name), runtime_id)
        if first != runtime_id or container.starts > 1:
            self._sim.fail("doubled", f"container {container.config.name} of {task_id} was started twice")
        self._checkers.runs(self.facts.host_id, task_id)
        environment = dict(container.config.environment)
        self._custody.started(task_id, _ASK_AT in environment)
        family = self._checkers.family_of(task_id)
        check_secret(self._sim, task_id, family, container.config)
        self.look_at_credentials()
        if container.config.name == "job":
            self._sim.at(self._lives.choice(_JOB_LIVES_S), lambda: self._end_job(runtime_id))

        if container.config.name == "again":
            self._sim.at(_AGAIN_LIVES_S, lambda: self._end_again(runtime_id))

    def _saw_restart(self, runtime_id: str) -> None:
        container = self.sandbox.containers.get(runtime_id)
        if container is None:
            return
        task_id = runtime_id.rpartition("-")[0]
        self._begun_again.add(runtime_id)
        if container.starts > 2:
            self._sim.fail("doubled", f"container {container.config.name} of {task_id} began again twice for one exit")
        self._checkers.runs(self.facts.host_id, task_id)

    def _end_again(self, runtime_id: str) -> None:
        container = self.sandbox.containers.get(runtime_id)
        if container is not None and container.starts == 1:
            self.sandbox.end(runtime_id, AGAIN_EXIT_CODE, later_s=_AGAIN_LATER_S)

    def _end_job(self, runtime_id: str) -> None:
        """By itself, whoever is alive to see it."""
        if runtime_id in self.sandbox.containers:
            self.sandbox.end(runtime_id, JOB_EXIT_CODE)


Machine = LightMachine | RealMachine
