"""What clients do: make a cluster, register definitions, run, stop and look at tasks, and repeat what is unanswered.

Owns the clients' own choices and what they tell the checkers' book. Must not look into the region.
"""

import asyncio
from typing import Any

from ...definitions import files
from .checkers import Checkers
from .endpoint import FAMILIES, OF_FILE, PLAIN_FILE, SECRET_FILE, VARIABLE, parameter_of, value_of
from .region import FIRST, REGION, Answered, Caller, Server, Unanswered
from .sim import Program, Sim
from .tenants import Tenant
from .world import Process, SimWorld

CLUSTER = "default"
LOG_GROUP = "/sim"
_ATTEMPTS = 4
_RETRY_S = 0.5
_STOPPED_AT_ONCE = 0.15
DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"family": "web", "containers": [{"name": "web"}], "cpu": "256", "memory": "512"},
    {"family": "large", "containers": [{"name": "web"}, {"name": "side", "essential": False}], "cpu": "1024"},
    {"family": "job", "containers": [{"name": "job", "command": ["exit", "3"]}], "cpu": "256", "memory": "512"},
)
# Its container ends once, after what its machine's clock takes for a minute, and begins again.
AGAIN: dict[str, Any] = {
    "family": "again",
    "containers": [{"name": "again", "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60}}],
    "cpu": "256",
    "memory": "512",
}
TASK_ROLES = {"web": "webTaskRole", "large": "largeTaskRole"}  # family -> its role; jobs have none


class Workload:
    """`calls`: how many; `period_s`: mean seconds between two. `real`: tasks have logs and roles. `spot`: so many of
    the calls, from 0 to 1, run on Spot; `twice`: so many of those with a token are made by two at the same time.
    `tenant`: whose clients they are; `name`: theirs.

    `is_over` once each call was answered or given up.
    """

    definitions: tuple[dict[str, Any], ...] = DEFINITIONS

    def __init__(
        self,
        sim: Sim,
        server: Server,
        checkers: Checkers,
        *,
        calls: int,
        period_s: float,
        real: bool = False,
        spot: float = 0.0,
        twice: float = 0.1,
        name: str = "clients",
        tenant: Tenant = FIRST,
    ) -> None:
        self.is_over = False
        self._name = name
        self._tenant = tenant
        self.tasks: list[str] = []
        self.world: SimWorld
        self._sim = sim
        self._server = server
        self._checkers = checkers
        self._calls = calls
        self._period_s = period_s
        self._real = real
        self._spot = spot
        self._twice = twice
        self._caller: Caller
        self._subnets: list[str] = []

    @property
    def account(self) -> str:
        return self._tenant.account

    def program(self) -> Program:
        return Program(name=self._name, begin=self._begin, died=_never)

    def _begin(self, world: SimWorld) -> None:
        self.world = world
        self._rng = world.random
        stream = "callers" if self._tenant is FIRST else f"callers of {self._name}"
        self._caller = Caller(self._sim, self._server, world, stream=stream, tenant=self._tenant)
        world.spawn(self._main(), "clients")

    async def _main(self) -> None:
        await self._prepare()
        self._sim.count("prepared")
        await self._script()
        self.is_over = True

    async def _prepare(self) -> None:
        while self._server.region is None:
            await self.world.sleep(0.1)
        network = self._server.region.services.network
        self._subnets = [record.view.subnet_id for record in network.subnets(self._tenant.account)]
        self._vpc_id = network.subnets(self._tenant.account)[0].view.vpc_id
        await self._sure("CreateCluster", {"clusterName": CLUSTER, "capacityProviders": ["FARGATE", "FARGATE_SPOT"]})
        if self._real:
            await self._sure(
                "CreateLogGroup", {"logGroupName": LOG_GROUP}, accepted=("ResourceAlreadyExistsException",)
            )
            await self._prepare_secrets()
        for definition in self.definitions:
            await self._sure("RegisterTaskDefinition", _registration(definition, self._tenant.account, real=self._real))

    async def _prepare_secrets(self) -> None:
        for family in FAMILIES:
            parameter = {"Name": parameter_of(family), "Value": value_of(family), "Type": "SecureString"}
            await self._sure("PutParameter", parameter, accepted=("ParameterAlreadyExists",))

    async def _sure(self, operation: str, params: dict[str, Any], accepted: tuple[str, ...] = ()) -> dict[str, Any]:
        """Repeated until it is answered; for operations that may be repeated."""
        while True:
            try:
                answer = await self._caller.call(operation, params)
            except Unanswered:
                await self.world.sleep(_RETRY_S)
                continue
            if answer.status == 200 or code_of(answer) in accepted:
                return answer.document
            if answer.status not in (429, 503) and code_of(answer) != "ThrottlingException":
                self._sim.fail("refused", f"{operation}: {answer.document}")
                return answer.document
            await self.world.sleep(_RETRY_S)

    async def _script(self) -> None:
        """What happens once all is prepared; here: calls at random."""
        pending = []
        called = "call" if self._tenant is FIRST else f"{self._name}-call"
        for number in range(self._calls):
            await self.world.sleep(self._rng.expovariate(1 / self._period_s))
            pending.append(self.world.spawn(self._act(f"{called}-{number}"), f"{called}-{number}"))
        await asyncio.gather(*pending)

    async def _act(self, marker: str) -> None:
        choice = self._rng.random()
        if choice < 0.6 or not self.tasks:
            await self.run_task(marker)
        elif choice < 0.8:
            await self.stop_task(self._rng.choice(self.tasks))
        else:
            count = min(len(self.tasks), 5)
            await self.describe(self._rng.sample(self.tasks, count))

    async def run_task(
        self,
        marker: str,
        *,
        family: str | None = None,
        count: int | None = None,
        sure: bool = False,
        spot: bool | None = None,
    ) -> tuple[str, ...]:
        """Ids of the tasks that were acknowledged. `sure`: in any zone, and with a token, so that it is repeated."""
        if spot is None:
            spot = self._spot > 0 and self._rng.random() < self._spot
        count = count or self._rng.choice((1, 1, 1, 2, 3))
        token = marker if sure or self._rng.random() < 0.7 else None
        subnets = self._rng.sample(self._subnets, len(self._subnets) if sure else self._rng.randint(1, 3))
        public = "ENABLED" if self._rng.random() < 0.3 else "DISABLED"
        params: dict[str, Any] = {
            "cluster": CLUSTER,
            "taskDefinition": family or self._rng.choice(DEFINITIONS)["family"],
            "count": count,
            "startedBy": marker,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets, "assignPublicIp": public}},
        }
        if spot:
            params["capacityProviderStrategy"] = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
        else:
            params["launchType"] = "FARGATE"
        if token is not None:
            params["clientToken"] = token
        self._checkers.book.asked[marker] = count
        calls = [self._one_run(marker, token, params)]
        if token is not None and not sure and self._rng.random() < self._twice:
            calls.append(self._one_run(marker, token, params))  # two of one token at the same time
            self._sim.count("tokens-at-once")
        answers = [answer for answer in await asyncio.gather(*calls) if answer is not None]
        if not answers:
            return ()
        task_ids = max(answers, key=len)
        self._sim.count("tasks-run" if task_ids else "no-capacity")
        self.tasks.extend(task_ids)
        if not sure and self._rng.random() < _STOPPED_AT_ONCE:
            await self._stop_in_launch(task_ids)
        if token is not None and not sure and self._rng.random() < 0.1:
            await self._repeat(marker, token, params)
        return task_ids

    async def _one_run(self, marker: str, token: str | None, params: dict[str, Any]) -> tuple[str, ...] | None:
        """Ids of the tasks of the answer; None when there was none."""
        answer = await self._attempts("RunTask", params, _ATTEMPTS if token is not None else 1)
        if answer is None or answer.status != 200:
            return None
        task_ids = tuple(str(task["taskArn"]).rpartition("/")[2] for task in answer.document["tasks"])
        self._checkers.ran(marker, token, task_ids)
        return task_ids

    async def _stop_in_launch(self, task_ids: tuple[str, ...]) -> None:
        """At any moment between the answer and a task that runs; some before the order has reached its host."""
        for task_id in task_ids:
            await self.world.sleep(self._rng.choice((0.0, 0.003, 0.1)) * self._rng.random())
            await self.stop_task(task_id)
            self._sim.count("stopped-in-launch")

    async def _repeat(self, marker: str, token: str, params: dict[str, Any]) -> None:
        """A client that forgot that it was answered."""
        await self.world.sleep(self._rng.random() * 5)
        answer = await self._attempts("RunTask", params, 1)
        if answer is not None and answer.status == 200:
            ids = tuple(str(task["taskArn"]).rpartition("/")[2] for task in answer.document["tasks"])
            self._checkers.ran(marker, token, ids)
            self._sim.count("tokens-repeated")

    async def stop_task(self, task_id: str) -> None:
        answer = await self._attempts("StopTask", {"cluster": CLUSTER, "task": task_id}, _ATTEMPTS)
        if answer is not None and answer.status == 200:
            self._checkers.book.stopped.add(task_id)
            self._sim.count("tasks-stopped")

    async def describe(self, task_ids: list[str]) -> None:
        before = dict(self._checkers.book.versions)
        answer = await self._attempts("DescribeTasks", {"cluster": CLUSTER, "tasks": task_ids}, 1)
        if answer is None or answer.status != 200:
            return
        if answer.document["failures"]:
            self._sim.fail("lost", f"DescribeTasks misses {answer.document['failures']}")
        for task in answer.document["tasks"]:
            self._checkers.read(before, str(task["taskArn"]).rpartition("/")[2], task["version"])
        self._sim.count("reads")

    async def read_logs(self, stream: str) -> list[str] | None:
        """All messages of the stream, None when it does not exist."""
        params = {"logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": True}
        document = await self._sure("GetLogEvents", params, accepted=("ResourceNotFoundException",))
        return [event["message"] for event in document["events"]] if "events" in document else None

    async def _attempts(self, operation: str, params: dict[str, Any], attempts: int) -> Answered | None:
        """The first answer that is final; None when it was given up."""
        for attempt in range(attempts):
            if attempt:
                await self.world.sleep(_RETRY_S * 2**attempt)
            try:
                answer = await self._caller.call(operation, params)
            except Unanswered:
                self._sim.count("unanswered")
                continue
            if answer.status == 503 or code_of(answer) == "ThrottlingException":
                self._sim.count("throttled")
                continue
            if answer.status != 200:
                self._sim.fail("refused", f"{operation}: {answer.document}")
            return answer
        return None


def code_of(answer: Answered) -> str:
    return str(answer.document.get("__type", "")).rpartition("#")[2]


def _registration(definition: dict[str, Any], account: str, *, real: bool) -> dict[str, Any]:
    options = {"awslogs-group": LOG_GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "sim"}
    containers = [
        {"image": "registry.example/web:1", "essential": True}
        | ({"logConfiguration": {"logDriver": "awslogs", "options": options}} if real else {})
        | container
        for container in definition["containers"]
    ]
    if real and definition["family"] in FAMILIES:
        family = definition["family"]
        containers[0]["secrets"] = [{"name": name, "valueFrom": parameter_of(family)} for name in (VARIABLE, OF_FILE)]
        containers[0]["dockerLabels"] = {files.SECRET_FILE + SECRET_FILE: OF_FILE, files.FILE + PLAIN_FILE: family}
    role = TASK_ROLES.get(definition["family"]) if real else None
    return {
        **({"taskRoleArn": f"arn:aws:iam::{account}:role/{role}"} if role is not None else {}),
        "family": definition["family"],
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": f"arn:aws:iam::{account}:role/ecsTaskExecutionRole",
        "cpu": definition["cpu"],
        "memory": definition.get("memory", "2048"),
        "containerDefinitions": containers,
    }


def _never(process: Process) -> None:
    raise AssertionError(f"{process.name} is not killed")
