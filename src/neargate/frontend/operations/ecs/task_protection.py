"""GetTaskProtection, UpdateTaskProtection: tasks of services that neither scale-in nor a deployment may stop.

Owns the checks of parameters; what is protected until when is the cell's. Invariant: an id reaches the cell only in its
plain form.
"""

from ....interfaces.roles import Documents
from ....model.errors import InvalidParameter
from ....model.task_protection import checked_minutes
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .answers import described
from .asking import cluster_key, task_resources
from .names import cluster_name, task_id

GET_MAX = 100
UPDATE_MAX = 10


async def get_task_protection(call: Call, services: Services, params: Params) -> Answer:
    cluster, identifiers = await _asked(call, services, params, GET_MAX)
    manager = services.services_of(call.account, cluster)
    return _answer(await manager.task_protection(call.account, cluster, identifiers))


async def update_task_protection(call: Call, services: Services, params: Params) -> Answer:
    cluster, identifiers = await _asked(call, services, params, UPDATE_MAX)
    if not identifiers:
        raise InvalidParameter("Tasks cannot be empty.")
    manager = services.services_of(call.account, cluster)
    found = await manager.protect_tasks(
        call.account,
        cluster,
        identifiers,
        enabled=params["protectionEnabled"],
        expires_in_minutes=checked_minutes(params.get("expiresInMinutes")),
    )
    return _answer(found)


async def _asked(call: Call, services: Services, params: Params, most: int) -> tuple[str, list[str]]:
    """(cluster, task ids), each once, with leave."""
    cluster = cluster_name(call, params["cluster"])
    given = params.get("tasks") or []
    if len(given) > most:
        raise InvalidParameter(f"tasks can have at most {most} items.")
    identifiers = list(dict.fromkeys(task_id(call, cluster, text) for text in given))
    resources = await task_resources(call, services, cluster, identifiers)
    everything = [call.arn("ecs", f"task/{cluster}/*")]
    authorize(call, f"ecs:{call.operation}", resources or everything, cluster_key(call, cluster))
    return cluster, identifiers


def _answer(found: Documents) -> Answer:
    return described("protectedTasks", found)
