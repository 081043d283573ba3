"""StopTask, DescribeTasks, ListTasks. RunTask has a file of its own.

Owns the checks of their parameters; tasks are the cell's. Invariant: an id reaches a cell only in its plain form.
"""

from ....interfaces.roles import TaskFilter
from ....model.errors import InvalidParameter
from ....model.lifecycle import REASON_MAX_CHARS
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .answers import described, single
from .asking import cluster_key, task_resources
from .names import cluster_name, service_identifier, task_id
from .paging import next_token, page_limit, page_start

DESCRIBE_MAX = 100


async def stop_task(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    identifier = task_id(call, cluster, params["task"])
    resources = await task_resources(call, services, cluster, [identifier])
    authorize(call, "ecs:StopTask", resources, cluster_key(call, cluster))
    reason = params.get("reason") or None
    if reason and len(reason) > REASON_MAX_CHARS:
        raise InvalidParameter(f"reason can have at most {REASON_MAX_CHARS} characters.")
    cell = services.cell_of(call.account, cluster)
    return single("task", await cell.stop_task(call.account, cluster, identifier, reason))


async def describe_tasks(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    given = params["tasks"]
    cell = services.cell_of(call.account, cluster)
    if not given:
        # ECS looks for the cluster before it looks at this.
        authorize(call, "ecs:DescribeTasks", [call.arn("ecs", f"task/{cluster}/*")], cluster_key(call, cluster))
        await cell.describe_tasks(call.account, cluster, [], False)
        raise InvalidParameter("Tasks cannot be empty.")
    if len(given) > DESCRIBE_MAX:
        raise InvalidParameter(f"tasks can have at most {DESCRIBE_MAX} items.")
    identifiers = list(dict.fromkeys(task_id(call, cluster, text) for text in given))
    # One task that may not be seen refuses the whole call, as on AWS.
    resources = await task_resources(call, services, cluster, identifiers)
    authorize(call, "ecs:DescribeTasks", resources, cluster_key(call, cluster))
    with_tags = "TAGS" in (params.get("include") or ())
    return described("tasks", await cell.describe_tasks(call.account, cluster, identifiers, with_tags))


async def list_tasks(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    authorize(call, "ecs:ListTasks", [_listed(call, cluster, params)], cluster_key(call, cluster))
    if params.get("daemonName"):
        raise InvalidParameter("Daemons are not supported.")
    start = page_start(call, params, str)
    named = service_identifier(call, cluster, params["serviceName"]) if params.get("serviceName") else None
    wanted = TaskFilter(
        family=params.get("family") or None,
        started_by=params.get("startedBy") or None,
        service_name=named,
        desired_status=params.get("desiredStatus") or "RUNNING",
        launch_type=params.get("launchType"),
        container_instance=params.get("containerInstance") or None,
    )
    cell = services.cell_of(call.account, cluster)
    arns, more = await cell.list_tasks(
        call.account, cluster, wanted, page_limit(params), None if start is None else str(start[0])
    )
    return {"taskArns": arns} | ({"nextToken": next_token(call, (more,))} if more else {})


def _listed(call: Call, cluster: str, params: Params) -> str:
    """Tasks are listed of a container instance or of everything: the cluster is but a condition key."""
    instance = params.get("containerInstance")
    return call.arn("ecs", f"container-instance/{cluster}/{instance.rpartition('/')[2]}") if instance else "*"
