"""ListServices, DescribeServices, UpdateService, DeleteService: what ECS answers an account that has no service.

CreateService is not built, so there is none. Owns the answers. Invariant: leave is asked for and the cluster looked up
as if there could be one.
"""

from ....model.errors import ClusterNotFound, InvalidParameter, ServiceNotFound
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .asking import cluster_key
from .names import cluster_name, service_name
from .paging import page_limit, page_start

DESCRIBE_MAX = 10


async def list_services(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    authorize(call, "ecs:ListServices", ["*"], cluster_key(call, cluster))
    page_limit(params)
    page_start(call, params, str)
    await _look_up(call, services, cluster)
    return {"serviceArns": []}


async def describe_services(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    given = params["services"][: DESCRIBE_MAX + 1]  # one too many is refused, whatever follows it
    arns = [_arn(call, cluster, text) for text in given]
    authorize(call, "ecs:DescribeServices", arns or [_arn(call, cluster, "*")], cluster_key(call, cluster))
    await _look_up(call, services, cluster)
    if not arns:
        raise InvalidParameter("Services cannot be empty.")
    if len(arns) > DESCRIBE_MAX:
        raise InvalidParameter(f"services can have at most {DESCRIBE_MAX} items.")
    return {"services": [], "failures": [{"arn": arn, "reason": "MISSING"} for arn in dict.fromkeys(arns)]}


async def change_service(call: Call, services: Services, params: Params) -> Answer:
    """UpdateService and DeleteService."""
    cluster = cluster_name(call, params.get("cluster"))
    arn = _arn(call, cluster, params["service"])
    authorize(call, f"ecs:{call.operation}", [arn], cluster_key(call, cluster))
    await _look_up(call, services, cluster)
    raise ServiceNotFound


def _arn(call: Call, cluster: str, text: str) -> str:
    return call.arn("ecs", f"service/{cluster}/{service_name(text) or '*'}")


async def _look_up(call: Call, services: Services, cluster: str) -> None:
    found = await services.cell_of(call.account, cluster).describe_clusters(call.account, [cluster], frozenset())
    if not found.documents:
        raise ClusterNotFound
