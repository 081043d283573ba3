"""The runner of nodes' proxies over a proxy that only answers: what it starts, refuses, replaces, ends and says."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import pytest
from msgspec.structs import replace

from neargate.agent.balancers.runner import ProxyRunner
from neargate.clusters.arrivals import nodes_problem
from neargate.interfaces.proxies import Proxy
from neargate.link.messages import NodeReports
from neargate.model.balancing import (
    BalancerPlan,
    Forward,
    HealthCheck,
    NodeReport,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    PlannedTarget,
    WeightedGroup,
)
from neargate.model.knobs import Knobs
from neargate.proxying import access_format, configuration, names
from neargate.world import OsWorld

from .test_access_logs import told as told_by_proxy

ENI = "eni-1"
NODE = PlannedNode(place="place", eni_id=ENI, zone="a", private_ipv4="10.0.0.4", host_id="host")
TARGET = PlannedTarget(ip="10.0.1.1", port=80, zone="a")
GROUP = PlannedGroup(arn="group", protocol="HTTP", targets=(TARGET,), check=HealthCheck(enabled=False))
PLAN = BalancerPlan(
    arn="lb",
    vpc_id="v",
    name="n",
    kind="application",
    generation=1,
    nodes=(NODE,),
    groups=(GROUP,),
    listeners=(
        PlannedListener(arn="l", port=80, protocol="HTTP", default=Forward(groups=(WeightedGroup(arn="group"),))),
    ),
)
KNOBS = Knobs(
    balancer_poll_s=0.05,
    balancer_poll_fresh_s=0.01,
    balancer_start_s=0.5,
    balancer_stable_s=1.0,
    balancer_restart_rest_s=0.02,
    access_log_rest_s=0.01,
)
_HEADING = "# pxname,svname,scur,status,lastchg,check_status,check_code,"
_HEADING += "hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,econ,wretr,wredis,"


class AnsweringHost:
    """Implements ProxyHost: a proxy is two sockets; it runs what was written when it was started or replaced."""

    def __init__(self, directory: str) -> None:
        self.home = directory
        self.written: Mapping[str, str] = {}
        self.fault = ""
        self.end_fault: OSError | None = None
        self.log_fault: OSError | None = None
        self.odd: Mapping[str, str] | None = None
        self.began: list[str] = []
        self.heard: list[str] = []
        self.servers: dict[tuple[str, str], str] = {}
        self.shape = ""
        self.pid = 0
        self.is_up = False
        self.was_found = False
        self.ends: list[str] = []
        self.left: list[str] = []
        self._pipes: list[int] = []
        self._sockets: list[asyncio.Server] = []

    async def listen(self) -> None:
        os.makedirs(f"{self.home}/sockets", exist_ok=True)
        for name in (configuration.API, configuration.MASTER):
            self._sockets.append(await asyncio.start_unix_server(self._serve, f"{self.home}/{name}"))

    def close(self) -> None:
        for server in self._sockets:
            server.close()
        for end in self._pipes:
            with suppress(OSError):
                os.close(end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.read()).decode().strip()
        if self.is_up:
            writer.write("\n".join(self._answer(command) for command in line.split("; ")).encode())
            await writer.drain()
        writer.transport.abort() if not self.is_up else writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _answer(self, command: str) -> str:
        words = command.split()
        if self.odd is not None:
            return self.odd.get(command, "")
        if command == "show info":
            return f"Pid: {self.pid}\ndescription: shape-{self.shape}\n"
        if command == "show stat":
            rows = [f"{px},{sv},0,{status},1,,,0,0,0,0,0,0,0," for (px, sv), status in self.servers.items()]
            return "\n".join([_HEADING, *rows, ""])
        if command == "show proc":
            return "# workers\n"
        self.heard.append(command)
        name = words[-1] if words[0] in ("del", "enable") else words[2]
        backend, _, server = name.partition("/")
        if words[0] == "add":
            self.servers[backend, server] = "MAINT"
        elif words[0] == "del":
            self.servers.pop((backend, server), None)
        elif words[0] == "enable" or command.endswith("state ready"):
            self.servers[backend, server] = "no check"
        elif command.endswith("state maint"):
            self.servers[backend, server] = "MAINT"
        return ""

    def directory(self, eni_id: str) -> str:
        return self.home

    def nodes(self) -> Sequence[str]:
        return [*self.left, ENI] if self.written else self.left

    def write(self, eni_id: str, content: Mapping[str, str]) -> None:
        self.written = dict(content)

    def log_socket(self, eni_id: str) -> socket.socket:
        if self.log_fault is not None:
            raise self.log_fault
        path = f"{self.home}/{access_format.SOCKET}"
        with suppress(FileNotFoundError):
            os.unlink(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind(path)
        return made

    def faults(self, eni_id: str) -> str:
        return self.fault

    def find(self, eni_id: str) -> Proxy | None:
        return Proxy(pid=self.pid, start_ticks=1) if self.is_up else None

    def start(self, eni_id: str) -> Proxy:
        self.began.append("start")
        self._take()
        return Proxy(pid=self.pid, start_ticks=1)

    def _take(self) -> None:
        self.pid += 1
        self.is_up = True
        text = self.written[configuration.MAIN]
        self.shape = text.partition("description shape-")[2].split()[0]
        self.servers = {}
        backend = ""
        for line in text.splitlines():
            words = line.split()
            backend = words[1] if words[0] == "backend" else backend
            if words[0] == "server":
                self.servers[backend, words[1]] = "no check"

    def is_alive(self, proxy: Proxy) -> bool:
        return self.is_up and proxy.pid <= self.pid

    def opened(self, proxy: Proxy) -> int:
        there, here = os.pipe()
        self._pipes.append(here)
        return there

    def kill(self) -> None:
        self.is_up = False
        while self._pipes:
            os.close(self._pipes.pop())

    def replace(self, proxy: Proxy) -> None:
        self.began.append("replace")
        self._take()

    def end(self, eni_id: str) -> None:
        self.ends.append(eni_id)
        if self.end_fault is not None:
            raise self.end_fault
        self.is_up = False
        self.written = {}
        with suppress(FileNotFoundError):
            os.unlink(f"{self.home}/{access_format.SOCKET}")


class Story:
    def __init__(self, host: AnsweringHost) -> None:
        self.host = host
        self.said: list[NodeReport] = []
        self.world = OsWorld()
        self.runner = ProxyRunner(self.world, KNOBS, host, "host")
        self.runner.on_report(self.said.append)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await self.world.sleep(0.005)

    async def serving(self, generation: int) -> None:
        await self.until(
            lambda: bool(self.said) and self.said[-1].generation == generation and self.said[-1].is_serving
        )


def told(story: Callable[[Story], Awaitable[None]]) -> None:
    async def whole() -> None:
        with tempfile.TemporaryDirectory() as directory:
            host = AnsweringHost(directory)
            await host.listen()
            here = Story(host)
            try:
                await story(here)
            finally:
                await here.runner.apply(())
                await here.until(lambda: ENI in host.ends)
                host.close()

    asyncio.run(whole())


def test_a_plan_is_started_and_said_to_serve() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        assert here.host.began == ["start"]
        assert [verdict.state for group in here.said[-1].groups for verdict in group.targets] == ["healthy"]
        assert configuration.STATE in here.host.written

    told(story)


def test_what_runs_is_adopted_and_not_started() -> None:
    async def story(here: Story) -> None:
        files = configuration.files(PLAN, NODE, configuration.Place(directory=here.host.home))
        here.host.write(ENI, files.content)
        here.host.start(ENI)
        here.host.began.clear()
        await here.runner.apply((PLAN,))
        await here.serving(1)
        assert here.host.began == []

    told(story)


def test_targets_come_by_commands_and_listeners_by_another_process() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        more = replace(GROUP, targets=(TARGET, replace(TARGET, ip="10.0.1.2")))
        await here.runner.apply((replace(PLAN, generation=2, groups=(more,)),))
        await here.serving(2)
        assert here.host.began == ["start"]
        assert sum(command.startswith("add server") for command in here.host.heard) == 2
        await here.runner.apply((replace(PLAN, generation=3, groups=(more,), listeners=()),))
        await here.serving(3)
        assert here.host.began == ["start", "replace"]

    told(story)


def test_files_that_the_proxy_refuses_reach_no_process_that_serves() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        here.host.fault = "[ALERT] no such thing"
        await here.runner.apply((replace(PLAN, generation=2, listeners=()),))
        await here.until(lambda: "no such thing" in here.said[-1].why)
        assert here.host.began == ["start"] and here.said[-1].is_serving
        here.host.fault = ""
        await here.runner.apply((replace(PLAN, generation=3),))
        await here.serving(3)
        assert here.said[-1].why == ""

    told(story)


def test_a_proxy_that_ends_is_started_at_once_and_one_that_cannot_start_says_why() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        here.host.kill()
        await here.until(lambda: here.host.began == ["start", "start"])
        await here.serving(1)
        here.host.fault = "[ALERT] it is broken"
        here.host.kill()
        await here.until(lambda: "it is broken" in here.said[-1].why and not here.said[-1].is_serving)

    told(story)


def test_a_proxy_that_ends_again_and_again_is_believed_only_when_it_has_lived_for_a_while() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        for count in (2, 3, 4):
            here.host.kill()
            await here.until(lambda: len(here.host.began) == count)  # noqa: B023  awaited here
            if count < 4:
                await here.serving(1)
        await here.until(lambda: here.said[-1].why == "The proxy does not live long.")
        assert here.host.is_up and not here.said[-1].is_serving
        await here.serving(1)
        assert len(here.host.began) == 4

    told(story)


def test_a_node_of_another_host_is_not_ours() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((replace(PLAN, nodes=(replace(NODE, host_id="other"),)),))
        assert here.runner.reports() == [] and here.host.began == []
        await here.runner.apply((PLAN,))
        await here.serving(1)

    told(story)


@pytest.mark.parametrize("info", ["", "Pid: many\ndescription: shape-x\n", "Pid: 1\n"])
@pytest.mark.parametrize("stat", ["", f"{_HEADING}\ng1,t1,0,UP", f"{_HEADING}\ng1,t1,many,UP,,,,,,,,,,,"])
def test_a_proxy_that_answers_half_is_as_good_as_silent_and_ends_nothing_but_itself(info: str, stat: str) -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        whole = f"Pid: {here.host.pid}\ndescription: shape-{here.host.shape}\n"
        for odd in ({"show info": info, "show stat": ""}, {"show info": whole, "show stat": stat}):
            here.host.odd = odd
            await here.until(lambda: "does not answer" in here.said[-1].why)
            here.host.odd = None
            await here.serving(1)

    told(story)


def test_a_proxy_that_does_not_answer_for_a_moment_is_asked_again_before_names_lead_past_it() -> None:
    async def story(here: Story) -> None:
        class Twice(dict[str, str]):
            def get(self, command: str, default: object = None) -> str:  # type: ignore[override]
                self[command] = ""
                here.host.odd = None if "again" in self else self
                self["again"] = ""
                return ""

        await here.runner.apply((PLAN,))
        await here.serving(1)
        before = len(here.said)
        here.host.odd = Twice()
        await here.runner.apply((replace(PLAN, generation=2),))
        await here.serving(2)
        assert here.host.odd is None and [one.why for one in here.said[before:]] == [""]

    told(story)


def test_a_proxy_that_cannot_be_ended_ends_nobody_else() -> None:
    async def story(here: Story) -> None:
        await here.runner.apply((PLAN,))
        await here.serving(1)
        here.host.end_fault = OSError("too many open files")
        here.host.odd = {}
        await here.until(lambda: "cannot be ended: too many" in here.said[-1].why)
        here.host.odd = here.host.end_fault = None
        await here.serving(1)

    told(story)


def test_a_proxy_of_no_plan_that_cannot_be_ended_keeps_no_other_from_its_plan() -> None:
    async def story(here: Story) -> None:
        here.host.left = ["eni-2"]
        here.host.end_fault = OSError("it is nested too deeply")
        await here.runner.apply((PLAN,))
        await here.serving(1)
        assert here.host.ends == ["eni-2"]
        here.host.end_fault = None

    told(story)


def server_hears(report: NodeReport) -> bool:
    return nodes_problem(NodeReports(reports=(report,))) is None


@pytest.mark.parametrize("number", ["-9", "9" * 19, "9" * 400])
@pytest.mark.parametrize("proc", ["# old workers\n7 worker\n", f"# old workers\n{'9' * 5000} worker\n"])
def test_whatever_a_proxy_says_the_server_hears_of_it_and_the_agent_lives_on(number: str, proc: str) -> None:
    async def story(here: Story) -> None:
        checked = replace(GROUP, check=HealthCheck())
        await here.runner.apply((replace(PLAN, groups=(checked,)),))
        await here.until(lambda: bool(here.said) and here.said[-1].is_serving)
        [(backend, name)] = [key for key in here.host.servers if not key[0].endswith(names.OPEN)]
        more = "req_tot,stot,bin,bout,scur,lastchg,hrsp_2xx,hrsp_5xx,econ"
        numbers = ",".join([number] * (more.count(",") + 1))
        code = "5\x01" + "0" * 5000
        here.host.odd = {
            "show info": f"Pid: {here.host.pid}\ndescription: shape-{here.host.shape}\n",
            "show stat": f"# pxname,svname,status,check_status,check_code,{more}\n"
            f"l,FRONTEND,OPEN,,,{numbers}\n"
            f"{backend},{name},DOWN,L7STS,{code},{numbers}\n",
            "show proc": proc,
        }
        await here.runner.apply((replace(PLAN, generation=2, groups=(checked,)),))
        await here.until(lambda: here.said[-1].generation == 2)
        assert all(map(server_hears, here.said))
        here.host.odd = None
        await here.until(lambda: here.said[-1].is_serving)

    told(story)


def test_a_long_fault_of_a_proxy_is_told_as_far_as_a_server_hears_it() -> None:
    async def story(here: Story) -> None:
        here.host.fault = "[ALERT] a line is wrong " * 20
        await here.runner.apply((PLAN,))
        await here.until(lambda: bool(here.said) and "a line is wrong" in here.said[-1].why)
        assert server_hears(here.said[-1])

    told(story)


LOGGED = replace(PLAN, arn="a:loadbalancer/app/n/1", access_log="access-1")


class Lines:
    """What is shipped. `is_full`: there is no room."""

    def __init__(self, here: Story) -> None:
        self.here = here
        self.taken: list[tuple[str, str, str]] = []
        self.is_full = False
        here.runner.on_access_lines(self._take)

    def _take(self, sent_by: str, eni_id: str, lines: Sequence[tuple[int, str]]) -> bool:
        if not self.is_full:
            self.taken += [(sent_by, eni_id, line.split(" ")[2]) for _, line in lines]
        return not self.is_full

    def say(self, *numbers: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as proxy:
            proxy.connect(f"{self.here.host.home}/{access_format.SOCKET}")
            for number in numbers:
                proxy.send(told_by_proxy(number))

    def lost(self) -> int:
        [report] = self.here.runner.reports()
        return report.traffic.lost_lines


def test_what_the_proxy_says_of_requests_is_shipped_and_what_is_missing_is_counted() -> None:
    async def story(here: Story) -> None:
        lines = Lines(here)
        await here.runner.apply((LOGGED,))
        await here.serving(1)
        lines.say(1, 2, 5)
        await here.until(lambda: len(lines.taken) == 3)
        assert set(lines.taken) == {("access-1", ENI, "app/n/1")}
        await here.until(lambda: lines.lost() == 2)
        lines.is_full = True
        lines.say(6)
        await here.until(lambda: lines.lost() == 3)

    told(story)


def test_beyond_its_room_a_log_loses_lines_and_says_how_many() -> None:
    async def story(here: Story) -> None:
        size = len(told_by_proxy(1))
        here.runner = ProxyRunner(here.world, replace(KNOBS, access_log_waiting_max_bytes=2 * size), here.host, "host")
        here.runner.on_report(here.said.append)
        lines = Lines(here)
        await here.runner.apply((LOGGED,))
        await here.serving(1)
        lines.say(1, 2, 3, 4, 5)
        await here.until(lambda: len(lines.taken) == 2)
        lines.say(6)
        await here.until(lambda: len(lines.taken) == 3)
        await here.until(lambda: lines.lost() == 3)

    told(story)


def test_a_log_goes_on_when_a_silent_proxy_was_ended_with_its_directory() -> None:
    async def story(here: Story) -> None:
        lines = Lines(here)
        await here.runner.apply((LOGGED,))
        await here.serving(1)
        here.host.odd = {}
        await here.until(lambda: ENI in here.host.ends)
        here.host.odd = None
        await here.serving(1)
        lines.say(1)
        await here.until(lambda: len(lines.taken) == 1)

    told(story)


def test_a_log_that_is_switched_off_hears_nobody_and_one_that_cannot_be_keeps_nothing_from_serving() -> None:
    async def story(here: Story) -> None:
        lines = Lines(here)
        here.host.log_fault = OSError("no room")
        await here.runner.apply((LOGGED,))
        await here.serving(1)
        here.host.log_fault = None
        await here.until(lambda: os.path.exists(f"{here.host.home}/{access_format.SOCKET}"))
        lines.say(1)
        await here.until(lambda: len(lines.taken) == 1)
        await here.runner.apply((replace(PLAN, generation=2),))
        await here.serving(2)
        with pytest.raises(ConnectionRefusedError):
            lines.say(2)

    told(story)
