"""What the agent answers its operator at a socket of its own, with or without a server: which tasks it holds, and stop.

Only root can open it. Invariant: it stops tasks only by the standing order that lies in a file; a request alone, which
a dying process could lose, stops nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ...agent.agent import Agent
from ...agent.task_record import TaskRecord
from ..admin import Handler

TASKS_SHOWN = 50
Answer = dict[str, Any]


def handlers(agent: Agent, consider_pools: Callable[[], Awaitable[None]]) -> dict[str, Handler]:
    """Request name -> handler. `ready` is false while the agent still looks for what it held before."""

    async def tasks(request: Answer) -> Answer:
        begins = str(request.get("task") or "")
        held = [record for record in agent.tasks.records() if record.task_id.startswith(begins)]
        return {"ready": agent.is_adopted, "count": len(held), "tasks": [_shown(item) for item in held[:TASKS_SHOWN]]}

    async def stop_all(_: Answer) -> Answer:
        """Obey the standing order. Answers how many have not stopped yet: ask again until 0."""
        if agent.is_adopted:
            await agent.obey_standing_order()
        return {"ready": agent.is_adopted, "left": sum(1 for _ in agent.tasks.records())}

    async def dns_look(_: Answer) -> Answer:
        """Hear lookups of this machine as the file says now. Answers the address; empty where nobody is to be heard."""
        return {"address": await agent.host_dns.look()}

    async def pools_look(_: Answer) -> Answer:
        """Let the region have the pools that the file allows now."""
        await consider_pools()
        return {}

    return {"tasks": tasks, "stop-all": stop_all, "dns-look": dns_look, "pools-look": pools_look}


def _shown(record: TaskRecord) -> Answer:
    return {
        "id": record.task_id,
        "definition": f"{record.launch.family}:{record.launch.revision}" if record.launch.family else "unknown",
        "status": record.known_status,
        "address": record.launch.eni.private_ipv4 or None,
        "stop_code": record.stop_code,
        "stopped_reason": record.stopped_reason,
        "containers": [
            {"name": item.name, "status": item.known_status, "exit_code": item.exit_code, "reason": item.reason}
            for item in record.containers
        ],
    }
