"""What the operator's socket answers: hosts and tasks, a task's story, its last lines, and the stop of everything."""

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from ...interfaces.roles import EventRange, LogTarget
from ...model.arn import Arn
from ...model.errors import InvalidParameter, ResourceNotFound, ServiceNotFound
from ...region import Region
from ..admin import Handler
from .audit import task_calls
from .balancers import BalancersDesk
from .hosts_seen import all_hosts, held_off

TASKS_SHOWN, SERVICES_SHOWN = 50, 20
LINES_MAX = 10_000
LAST_LINES = 5
Answer = dict[str, Any]


class TaskNotNamed(Exception):
    """No task, or several, begin with what was given."""


def handlers(region: Region) -> dict[str, Handler]:
    """Request name -> handler. Each answers JSON-ready values."""
    desk = OperatorDesk(region)
    return {
        "ready": desk.ready,
        "status": desk.status,
        "why": desk.why,
        "logs": desk.logs,
        "stop-all": desk.stop_all,
    }


class OperatorDesk:
    """The handlers over one region. Reads; the only thing it changes is by the normal StopTask path."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._view = region.cell.operator
        self._balancers = BalancersDesk(region)

    async def ready(self, _: Answer) -> Answer:
        """A host is connected: launches will find room."""
        return {"ready": any(host["connected"] for host in await self._hosts())}

    async def status(self, _: Answer) -> Answer:
        tasks, count = await self._view.live_tasks(TASKS_SHOWN)
        return {
            "hosts": [_host(host) for host in await self._hosts()],
            "tasks": [asdict(task) for task in tasks],
            "task_count": count,
            "spot": await spot_facts(self._region),
            "services": await self._services(),
            "balancers": await self._balancers.brief(),
        }

    async def _services(self) -> Answer:
        shown, steady, count = await self._view.services(SERVICES_SHOWN)
        return {"shown": [asdict(one) for one in shown], "steady": steady, "count": count}

    async def why(self, request: Answer) -> Answer:
        """Of a service that has exactly this name, else of a load balancer or target group, else of a task."""
        name = str(request.get("task", ""))
        try:
            facts = await self._service(name)
        except ServiceNotFound:
            return await self._balancers.explain(name) or await self._task(request)
        except InvalidParameter as several:
            raise TaskNotNamed(several.message) from None
        also = self._balancers.arns(name)
        return facts | {"also": also} if also else facts

    async def _task(self, request: Answer) -> Answer:
        try:
            task_id = await self.task_id(request)
        except TaskNotNamed as unnamed:
            others = "no service, load balancer or target group has that name"
            raise TaskNotNamed(f"{unnamed}; and {others}") from None
        facts = await self._region.cell.explain_task(task_id)
        facts["placement"] = await self._view.placement(task_id)
        facts["calls"] = await task_calls(self._region.trail, facts["task"]["taskArn"])
        found = await self._tails(task_id, LAST_LINES, {})
        facts["last_lines"] = [line["message"] for line in found.lines[-LAST_LINES:]]
        return facts

    async def _service(self, text: str) -> Answer:
        """By its name, CLUSTER/NAME, or ARN. Raises ServiceNotFound, InvalidParameter (there are several)."""
        arn = Arn.parse(text)
        *cluster, name = (text if arn is None else arn.resource.removeprefix("service/")).split("/")
        facts = await self._region.cell.services.explain_service(
            name, cluster=cluster[-1] if cluster else None, account=None if arn is None else arn.account
        )
        if facts.get("place_failures"):
            account = facts["service"]["serviceArn"].split(":")[4]
            facts["held_off"] = held_off(await self._hosts(), account, self._definition(account, facts["service"]))
        return facts

    def _definition(self, account: str, service: Answer) -> Answer | None:
        family, _, number = service.get("taskDefinition", "").rpartition("/")[2].rpartition(":")
        definitions = self._region.services.task_definitions
        revision = definitions.find(account, family, int(number)) if number.isdigit() else None
        return None if revision is None else definitions.definition(revision)

    async def logs(self, request: Answer) -> Answer:
        """The last `lines` of each stream at first, then what came after `tokens`."""
        task_id = await self.task_id(request)
        facts = await self._region.cell.explain_task(task_id)
        wanted = min(int(request.get("lines") or LINES_MAX), LINES_MAX)
        found = await self._tails(task_id, wanted, request.get("tokens") or {})
        return {
            "lines": found.lines if request.get("tokens") else found.lines[-wanted:],
            "tokens": found.tokens,
            "containers": found.streams,
            "stopped": facts["task"]["lastStatus"] == "STOPPED",
            "note": None if found.streams else await self._why_no_lines(task_id),
        }

    async def _why_no_lines(self, task_id: str) -> str:
        ordered = await self._view.placement(task_id) or {"containers": ()}
        if any((item["log"] or "").startswith("splunk") for item in ordered["containers"]):
            return "this task's lines go to a collector of splunk's; none are kept here"
        return "no container of this task has a logConfiguration with awslogs"

    async def stop_all(self, request: Answer) -> Answer:
        """StopTask for every task that is not stopping yet. Answers how many have not stopped: ask again until 0."""
        return {"left": await self._view.stop_all(str(request.get("reason") or "Stopped by the operator."))}

    async def _tails(self, task_id: str, limit: int, tokens: dict[str, str]) -> "Tails":
        """The last lines of each of the task's streams, or those after its token, in order of time."""
        targets = await self._view.log_targets(task_id)
        lines: list[Answer] = []
        after: dict[str, str] = {}
        for container, target in targets:
            page = await _events(self._region, target, limit, tokens.get(container))
            after[container] = page["nextForwardToken"]
            lines += [
                {"container": container, "timestamp": event["timestamp"], "message": event["message"]}
                for event in page["events"]
            ]
        lines.sort(key=lambda line: int(line["timestamp"]))
        return Tails(lines=lines, tokens=after, streams=len(targets))

    async def task_id(self, request: Answer) -> str:
        return await task_named(self._region, str(request.get("task", "")))

    async def _hosts(self) -> list[Answer]:
        return await all_hosts(self._region)


async def task_named(region: Region, text: str) -> str:
    """A task's full id from an ARN, an id, or the first digits of one. Raises TaskNotNamed."""
    given = text.rpartition("/")[2]
    if not given:
        raise TaskNotNamed("no task was named; their ids: neargate status")
    found = await region.cell.operator.tasks_that_begin_with(given)
    if len(found) == 1:
        return found[0]
    raise TaskNotNamed(
        f"several tasks begin with {given!r}; give more digits"
        if found
        else f"no task begins with {given!r}; a stopped one is forgotten after a day"
    )


async def spot_facts(region: Region) -> Answer:
    """The share in percent, Spot tasks, and what they hold (CPU units, MiB, GiB) of what connected hosts offer."""
    hosts = await all_hosts(region)
    facts: Answer = {"percent": region.spot_setting.share.percent, "tasks": await region.cell.spot.count()}
    for name in ("cpu_units", "memory_mib", "disk_gib"):
        facts[name] = sum(host["spot"][name] for host in hosts)
        facts[f"all_{name}"] = sum(host["offered"][name] for host in hosts if host["connected"])
    return facts


class Tails(Struct, frozen=True, kw_only=True):
    lines: list[Answer]
    tokens: dict[str, str]  # container -> where to go on
    streams: int


async def _events(region: Region, target: LogTarget, limit: int, token: str | None) -> Answer:
    """A page of a stream; a stream that does not exist yet is an empty one."""
    wanted = EventRange(limit=limit, token=token or None)
    try:
        page = await region.logs.get_events(target.account, target.group, target.stream, wanted)
    except ResourceNotFound:
        return {"events": [], "nextForwardToken": ""}
    answer: Answer = msgspec.json.decode(page)
    return answer


def _host(host: Answer) -> Answer:
    offered, reserved = host["offered"], host["reserved"]
    room = {}
    for name in ("cpu_units", "memory_mib", "disk_gib"):
        room[name] = offered[name]
        room[f"free_{name}"] = max(0, offered[name] - reserved[name])  # below: promised, and held by Spot tasks yet
    shown = ["host_id", "zone", "connected", "accepts_tasks", "reason", "tasks", "software", "sandbox", "pool"]
    shown += ["tenant", "sharing"]
    return {name: host[name] for name in shown} | room
