"""ExecuteCommand through the front door of a whole region in memory: its errors, its leave, its answer, its record."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from neargate.agent.simulated import SimulatedHost, SimulatedTimes, Timers
from neargate.frontend.executing.target import checked_words
from neargate.interfaces.trail import TrailQuery
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.errors import InvalidParameter
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ROOT, FrontDoor, Keys, Said, allowing, open_front_door
from neargate.testing.gateway_rig import AgentEnd

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
FAST = SimulatedTimes(attach_s=0.001, start_s=0.001, run_s=0.001, stop_s=0.001)
NOT_ENABLED = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn\u2019t running. Wait and try again or run a new task with execute command enabled and try again."
)
INVALID, CLIENT = "InvalidParameterException", "ClientException"


class Floor:
    """A region with a simulated host, and tasks that run on it."""

    def __init__(self, door: FrontDoor) -> None:
        self.door = door
        self.pipe = AgentEnd()

    async def start(self) -> None:
        world, region = self.door.world, self.door.region
        timers = Timers(world)
        world.spawn(timers.run(), "timers")
        world.spawn(region.gateway.accept_link(self.pipe), "link")
        facts = HostFacts(
            host_id="host-1", boot_id="1", capacity=HostCapacity(cpu_units=8192, memory_mib=16384, disk_gib=200)
        )
        host = SimulatedHost(world, facts, timers, DEFAULT_KNOBS, times=FAST)

        async def carry() -> None:
            while (data := await self.pipe.to_agent.get()) is not None:
                host.received(data)

        world.spawn(carry(), "carry")
        host.connected(self.pipe.to_server.put_nowait, lambda reason: None)
        for _ in range(2000):
            if any(host["connected"] for host in await region.capacities[f"{REGION}a"].hosts()):
                break
            await asyncio.sleep(0.005)
        await self.ask("CreateCluster")
        for family, names in (("one", ("web",)), ("two", ("web", "db"))):
            containers = [{"name": name, "image": "web:1", "essential": True} for name in names]
            await self.ask(
                "RegisterTaskDefinition",
                family=family,
                networkMode="awsvpc",
                requiresCompatibilities=["FARGATE"],
                cpu="256",
                memory="512",
                containerDefinitions=containers,
            )

    async def ask(self, operation: str, who: Keys = ROOT, **params: Any) -> Said:
        return await self.door.call(who, "ecs", operation, params)

    async def run(self, family: str = "one", *, enabled: bool = True) -> dict[str, Any]:
        """A task that runs."""
        subnets = [record.view.subnet_id for record in self.door.region.services.network.subnets(ACCOUNT)]
        said = await self.ask(
            "RunTask",
            taskDefinition=family,
            launchType="FARGATE",
            enableExecuteCommand=enabled,
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
        )
        (task,) = said.body["tasks"]
        return await self.until(task, "RUNNING")

    async def until(self, task: Mapping[str, Any], status: str) -> dict[str, Any]:
        for _ in range(2000):
            found: dict[str, Any] = (await self.ask("DescribeTasks", tasks=[task["taskArn"]])).body["tasks"][0]
            if found["lastStatus"] == status:
                return found
            await asyncio.sleep(0.005)
        raise AssertionError(f"the task is {found['lastStatus']}, not {status}")

    async def execute(self, task: str, who: Keys = ROOT, **params: Any) -> Said:
        return await self.ask("ExecuteCommand", who, **{"task": task, "command": "sh", "interactive": True} | params)


def story(body: Callable[[Floor], Awaitable[None]]) -> None:
    async def told() -> None:
        floor = Floor(await open_front_door())
        await floor.start()
        await body(floor)

    asyncio.run(told())


def agents(task: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    return [
        (agent["name"], agent["lastStatus"], "lastStartedAt" in agent)
        for container in task["containers"]
        for agent in container.get("managedAgents", ())
    ]


def test_the_answer_and_what_is_recorded_of_it() -> None:
    async def body(floor: Floor) -> None:
        task = await floor.run()
        assert task["enableExecuteCommand"] is True and agents(task) == [("ExecuteCommandAgent", "RUNNING", True)]
        said = await floor.execute(task["taskArn"], command="sh -c 'echo secret'")
        session = said.body.pop("session")
        assert said.body == {
            "clusterArn": f"{ARN}:cluster/default",
            "taskArn": task["taskArn"],
            "containerArn": task["containers"][0]["containerArn"],
            "containerName": "web",
            "interactive": True,
        }
        assert session["sessionId"].startswith("ecs-execute-command-")
        place = f"/v1/data-channel/{session['sessionId']}?role=publish_subscribe"
        assert session["streamUrl"].startswith("ws://") and session["streamUrl"].endswith(place)
        claimed = floor.door.region.services.executing.claim(session["sessionId"], session["tokenValue"])
        assert claimed is not None and claimed.args == ("sh", "-c", "echo secret")
        await floor.door.region.trail.flush()
        page = await floor.door.region.trail.lookup(
            TrailQuery(account=ACCOUNT, start_ms=0, end_ms=2**52, limit=50), None
        )
        (record,) = [entry.document for entry in page.entries if entry.name == "ExecuteCommand"]
        shown = msgspec.json.decode(record)
        assert session["sessionId"] in record and session["tokenValue"] not in record
        assert shown["responseElements"]["session"]["tokenValue"].startswith("HIDDEN")
        assert {item["ARN"] for item in shown["resources"]} >= {f"{ARN}:cluster/default", task["taskArn"]}
        assert "echo secret" not in record, "as with RunTask's: a command may hold one"

    story(body)


def test_agents_of_a_task_that_has_stopped() -> None:
    async def body(floor: Floor) -> None:
        task = await floor.run("two")
        assert agents(task) == [("ExecuteCommandAgent", "RUNNING", True)] * 2
        await floor.ask("StopTask", task=task["taskArn"])
        stopped = await floor.until(task, "STOPPED")
        assert agents(stopped) == [("ExecuteCommandAgent", "STOPPED", True)] * 2
        said = await floor.execute(task["taskArn"], container="web")
        assert (said.code, said.message) == (INVALID, NOT_ENABLED)

    story(body)


def test_what_cannot_be_executed() -> None:
    async def body(floor: Floor) -> None:
        one, two, off = await floor.run(), await floor.run("two"), await floor.run(enabled=False)
        assert agents(off) == [] and off["enableExecuteCommand"] is False
        for task, given, code, message in (
            (one, {"interactive": False}, INVALID, "Interactive is the only mode supported currently."),
            (one, {"command": " "}, INVALID, "Command cannot be empty."),
            (one, {"command": "sh -c 'x"}, INVALID, "The command cannot be split into words: No closing quotation."),
            (one, {"command": "x" * 8193}, INVALID, "command can have at most 8192 characters."),
            (one, {"command": '""'}, INVALID, "Command cannot be empty."),
            (one, {"container": "db"}, INVALID, "The container db was not found in the task."),
            (two, {}, INVALID, "A container name must be specified for a task that has more than one container."),
            (off, {}, INVALID, NOT_ENABLED),
            ({"taskArn": "0" * 32}, {}, INVALID, "The referenced task was not found."),
            ({"taskArn": "0" * 32}, {"cluster": "ghost"}, "ClusterNotFoundException", "Cluster not found."),
        ):
            said = await floor.execute(task["taskArn"], **given)
            assert (said.status, said.code, said.message) == (400, code, message), given
        await floor.pipe.close("gone")
        for _ in range(2000):
            if not await floor.door.region.services.executing.is_reachable(one["taskArn"].rpartition("/")[2]):
                break
            await asyncio.sleep(0.005)
        said = await floor.execute(one["taskArn"])
        assert said.code == "TargetNotConnectedException"
        assert said.message == "The execute command failed due to an internal error. Try again later."

    story(body)


@pytest.mark.parametrize(
    ("configuration", "word"),
    [
        ({"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "b"}}, "logged"),
        ({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "/exec"}}, None),
        ({"logging": "DEFAULT", "kmsKeyId": "alias/exec"}, None),
        ({"logging": "NONE"}, None),
        ({"logging": "DEFAULT"}, None),
    ],
)
def test_who_wants_sessions_kept_gets_none_that_are_not(configuration: dict[str, Any], word: str | None) -> None:
    async def body(floor: Floor) -> None:
        task = await floor.run()
        wanted = {"executeCommandConfiguration": configuration}
        changed = await floor.ask("UpdateCluster", cluster="default", configuration=wanted)
        assert changed.status == 200, changed.message
        said = await floor.execute(task["taskArn"])
        if word is None:
            assert said.status == 200
        else:
            assert said.code == CLIENT and f"sessions {word}" in said.message

    story(body)


def test_too_many_sessions() -> None:
    async def body(floor: Floor) -> None:
        task = await floor.run()
        most = DEFAULT_KNOBS.exec_sessions_per_container
        for _ in range(most):
            assert (await floor.execute(task["taskArn"])).status == 200
        said = await floor.execute(task["taskArn"])
        limit = f"Unable to start new execute sessions because the maximum session limit of {most} has been reached."
        assert (said.code, said.message) == (CLIENT, limit)

    story(body)


def on(container: str | None, *resources: str) -> dict[str, Any]:
    document = allowing("ecs:ExecuteCommand", resource=resources)
    if container is not None:
        document["Statement"][0]["Condition"] = {"StringEquals": {"ecs:container-name": container}}
    return document


@pytest.mark.parametrize(
    ("policy", "given", "refused_on"),
    [
        (on(None, f"{ARN}:cluster/default", f"{ARN}:task/default/*"), {}, None),
        (on(None, f"{ARN}:task/default/*"), {}, "cluster/default"),
        (on(None, f"{ARN}:cluster/default"), {}, "task/default/"),
        (on("web", "*"), {}, None),
        (on("web", "*"), {"container": "web"}, None),
        (on("db", "*"), {}, "cluster/default"),
        (on("db", "*"), {"container": "web"}, "cluster/default"),
    ],
)
def test_leave_is_asked_for_the_cluster_the_task_and_the_container(
    policy: dict[str, Any], given: dict[str, Any], refused_on: str | None
) -> None:
    async def body(floor: Floor) -> None:
        task = await floor.run()
        who = await floor.door.user("al", policy)
        said = await floor.execute(task["taskArn"], who, **given)
        if refused_on is None:
            assert said.status == 200
        else:
            assert (
                said.code == "AccessDeniedException"
                and f"ecs:ExecuteCommand on resource: {ARN}:{refused_on}" in said.message
            )

    story(body)


def test_who_may_run_tasks_may_be_kept_from_enabling_it() -> None:
    async def body(floor: Floor) -> None:
        document = allowing("ecs:RunTask", "iam:PassRole")
        document["Statement"][0]["Condition"] = {"Bool": {"ecs:enable-execute-command": "false"}}
        who = await floor.door.user("al", document, allowing("iam:PassRole"))
        subnets = [record.view.subnet_id for record in floor.door.region.services.network.subnets(ACCOUNT)]
        request = {
            "taskDefinition": "one",
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
        }
        said = await floor.ask("RunTask", who, **request, enableExecuteCommand=True)
        assert said.code == "AccessDeniedException"
        assert (await floor.ask("RunTask", who, **request)).status == 200, json.dumps(said.body)

    story(body)


@pytest.mark.parametrize("session_id", ["ecs-execute-command-0123", "a/b*\u00e9 ", "x" * 96])
def test_a_lost_session_cannot_be_resumed(session_id: str) -> None:
    """A client that is given no token says that the session has timed out, and ends."""

    async def body(floor: Floor) -> None:
        said = await floor.door.call(ROOT, "ssm", "ResumeSession", {"SessionId": session_id})
        assert (said.status, said.body) == (200, {"SessionId": session_id})
        nobody = await floor.door.user("al")
        refused = await floor.door.call(nobody, "ssm", "ResumeSession", {"SessionId": session_id})
        assert refused.code == "AccessDeniedException"

    story(body)


@pytest.mark.parametrize("given", [[], [""], ["a\0"], ["x" * 8193], ["sh", "-c", "\udcff"]])
def test_words_that_no_command_can_have(given: list[str]) -> None:
    """As an operator's command line gives them: whatever bytes were typed."""
    with pytest.raises(InvalidParameter):
        checked_words(given)
    assert checked_words(["sh", "", "\u00e9"]) == ("sh", "", "\u00e9")
