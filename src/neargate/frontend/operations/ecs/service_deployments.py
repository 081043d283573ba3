"""Service deployments and revisions: listing, describing, stopping.

Owns the form of their ARNs and the checks of parameters; the records are the cell's. Invariant: an ARN reaches the cell
only when it is one of the caller's account and region.
"""

import re
from collections.abc import Sequence

from ....interfaces.services import DeploymentFilter
from ....model.arn import Arn
from ....model.errors import InvalidParameter, ServiceDeploymentNotFound, UnsupportedFeature
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .answers import described
from .asking import cluster_key
from .asking_services import service_arn, service_resources
from .names import check_own, cluster_name, service_identifier
from .paging import next_token, page_limit, page_start

DESCRIBE_MAX = 20
DEPLOYMENT, REVISION = "service-deployment", "service-revision"

_PLACE = re.compile(r"\A[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,64}\Z")


async def list_service_deployments(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    name = service_identifier(call, cluster, params["service"])
    resources = await service_resources(call, services, cluster, [name])
    authorize(call, "ecs:ListServiceDeployments", resources, cluster_key(call, cluster))
    between = params.get("createdAt") or {}
    wanted = DeploymentFilter(
        statuses=tuple(params.get("status") or ()),
        created_after=between.get("after"),
        created_before=between.get("before"),
    )
    start = page_start(call, params, str)
    manager = services.services_of(call.account, cluster)
    briefs, more = await manager.list_service_deployments(
        call.account, cluster, name, wanted, page_limit(params), None if start is None else str(start[0])
    )
    return {"serviceDeployments": briefs} | ({"nextToken": next_token(call, (more,))} if more else {})


async def describe_service_deployments(call: Call, services: Services, params: Params) -> Answer:
    arns = _arns(call, DEPLOYMENT, params["serviceDeploymentArns"], "serviceDeploymentArns")
    _authorize(call, arns)
    manager = services.services_of(call.account, "")
    return described("serviceDeployments", await manager.describe_service_deployments(call.account, arns))


async def describe_service_revisions(call: Call, services: Services, params: Params) -> Answer:
    arns = _arns(call, REVISION, params["serviceRevisionArns"], "serviceRevisionArns")
    _authorize(call, arns)
    manager = services.services_of(call.account, "")
    return described("serviceRevisions", await manager.describe_service_revisions(call.account, arns))


async def stop_service_deployment(call: Call, services: Services, params: Params) -> Answer:
    [arn] = _arns(call, DEPLOYMENT, [params["serviceDeploymentArn"]], "serviceDeploymentArn")
    _authorize(call, [arn])
    kind = params.get("stopType") or "ROLLBACK"
    if kind != "ROLLBACK":
        raise UnsupportedFeature(f"The stop type {kind} is not supported. Use ROLLBACK.")
    manager = services.services_of(call.account, "")
    return {"serviceDeploymentArn": await manager.stop_service_deployment(call.account, arn, kind)}


async def continue_service_deployment(call: Call, services: Services, params: Params) -> Answer:
    """Nothing pauses here: no deployment has a hook that waits."""
    [arn] = _arns(call, DEPLOYMENT, [params["serviceDeploymentArn"]], "serviceDeploymentArn")
    _authorize(call, [arn])
    manager = services.services_of(call.account, "")
    found = await manager.describe_service_deployments(call.account, [arn])
    if not found.documents:
        raise ServiceDeploymentNotFound
    raise InvalidParameter("The service deployment is not paused at a lifecycle hook.")


def _arns(call: Call, kind: str, given: Sequence[str], member: str) -> list[str]:
    """Each once, whole. Raises InvalidParameter for what is no such ARN of this account and region."""
    if not given:
        raise InvalidParameter(f"{member} can not be empty.")
    if len(given) > DESCRIBE_MAX:
        raise InvalidParameter(f"{member} can have at most {DESCRIBE_MAX} items.")
    for text in given:
        arn = Arn.parse(text)
        place = "" if arn is None else arn.resource.removeprefix(f"{kind}/")
        if arn is None or arn.service != "ecs" or place == arn.resource or not _PLACE.match(place):
            raise InvalidParameter(f"{kind.replace('-', ' ').capitalize()} ARN is invalid.")
        check_own(call, arn)
    return list(dict.fromkeys(given))


def _authorize(call: Call, arns: Sequence[str]) -> None:
    """Asked for each by itself: their services may be of several clusters."""
    for arn in arns:
        cluster, name, _ = arn.split(":", 5)[5].split("/")[1:]
        keys = {**cluster_key(call, cluster), "ecs:service": service_arn(call, cluster, name)}
        authorize(call, f"ecs:{call.operation}", [arn], keys)
