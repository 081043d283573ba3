"""RunTask: from the request to what the cluster manager is asked for.

Owns the order of the checks. Invariant: nothing is changed before every check has passed and leave was given.
"""

import hashlib
import re

import msgspec

from ....definitions.files import check_files
from ....definitions.overrides import checked_overrides
from ....definitions.rules import check_leave
from ....definitions.tags import checked_tags
from ....interfaces.roles import RunTaskRequest
from ....model.errors import ClientError, InvalidParameter, UnsupportedFeature
from ....model.extensions import FILES
from ....scheduling.strategy import split
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...regional.account_settings import LOG_MODE
from ...regional.task_definitions import ACTIVE, Revision
from ...services import Services
from .account_settings import own_principal
from .active_cluster import cluster_document
from .answers import described
from .asking import authorize_tagging, definition_resource, running_keys
from .capacity_providers import (
    FARGATE,
    FARGATE_SPOT,
    Capacity,
    check_exclusive,
    check_strategy,
    chosen_capacity,
    platform_version,
)
from .names import cluster_name, definition_reference
from .passing import authorize_roles, check_assumable, roles_of
from .task_network import resolve_network

COUNT_MAX = 10
GROUP_MAX_CHARS = 255
REFERENCE_MAX_CHARS = 1024

_STARTED_BY = re.compile(r"\A[A-Za-z0-9_/-]{1,128}\Z")
_CLIENT_TOKEN = re.compile(r"\A[\x21-\x7e]{1,64}\Z")


async def run_task(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    revision = _allowed_revision(call, services, cluster, params)
    definition = services.task_definitions.definition(revision)
    roles = roles_of(call, params.get("overrides") or {}, definition)
    authorize_roles(call, services, roles)
    _check_simple_members(params)
    capacity = await _capacity(call, services, cluster, params)
    if FARGATE not in definition["compatibilities"]:
        raise InvalidParameter("Task definition does not support launch_type FARGATE.")
    check_leave(definition, own_kernel=services.kernel_grants.has(call.account))
    overrides = checked_overrides(definition, params.get("overrides") or {}, account=call.account)
    if gives_files := FILES in services.extensions:
        check_files(definition)  # it may have been registered while the region had no files
    network = resolve_network(call, services, params)
    check_assumable(call, services, cluster, roles)
    count = params.get("count") or 1
    request = RunTaskRequest(
        account=call.account,
        region=call.region,
        cluster=cluster,
        definition=definition,
        definition_tags=revision.tags,
        count=count,
        launch_type=capacity.launch_type,
        providers=split(capacity.strategy, count, services.world.random.random()) if capacity.strategy else (),
        platform_version=platform_version(params.get("platformVersion")),
        subnets=network.subnets,
        security_groups=network.security_groups,
        assign_public_ip=network.assign_public_ip,
        overrides=overrides,
        group=params.get("group") or None,
        started_by=params.get("startedBy") or None,
        tags=checked_tags(params.get("tags")),
        propagate_tags=params.get("propagateTags"),
        managed_tags=bool(params.get("enableECSManagedTags")),
        enable_execute_command=bool(params.get("enableExecuteCommand")),
        log_mode=services.account_settings.effective(call.account, own_principal(call), LOG_MODE).value,
        gives_files=gives_files,
        client_token=params.get("clientToken") or None,
        request_fingerprint=fingerprint(params) if params.get("clientToken") else "",
    )
    _count_launches(call, services, request)
    return described("tasks", await services.cell_of(call.account, cluster).run_task(request))


def _count_launches(call: Call, services: Services, request: RunTaskRequest) -> None:
    """Fargate's own limits of launches, on-demand and Spot each."""
    if services.limits is None:
        return
    spot = request.providers.count(FARGATE_SPOT)
    for is_spot, count in ((False, request.count - spot), (True, spot)):
        if count:
            services.limits.launch(call.account, is_spot=is_spot, count=count)


def fingerprint(params: Params) -> str:
    """The same for the same request, whatever the order of its members; the token itself is not part of it."""
    others = {name: value for name, value in params.items() if name != "clientToken"}
    return hashlib.sha256(msgspec.json.encode(others, order="deterministic")).hexdigest()


def _allowed_revision(call: Call, services: Services, cluster: str, params: Params) -> Revision:
    """Leave is asked before the caller learns whether there is such a revision."""
    family, number = definition_reference(call, params["taskDefinition"])
    revision = services.task_definitions.find(call.account, family, number)
    resource = definition_resource(call, family, number, revision)
    authorize(call, "ecs:RunTask", [resource], running_keys(call, cluster, params))
    authorize_tagging(call, params, call.arn("ecs", f"task/{cluster}/*"))
    if revision is None:
        raise ClientError("TaskDefinition not found.")
    if revision.status != ACTIVE:
        raise InvalidParameter("TaskDefinition is inactive")
    return revision


def _check_simple_members(params: Params) -> None:
    count = params.get("count")
    if count is not None and not 1 <= count <= COUNT_MAX:
        raise InvalidParameter(f"count should be between 1 and {COUNT_MAX}")
    if params.get("startedBy") and not _STARTED_BY.match(params["startedBy"]):
        raise InvalidParameter(
            "startedBy can have up to 128 letters (uppercase and lowercase), numbers, hyphens, forward slashes, "
            "and underscores."
        )
    if params.get("clientToken") and not _CLIENT_TOKEN.match(params["clientToken"]):
        raise InvalidParameter("clientToken can have up to 64 characters in the range of ASCII 33-126.")
    group = params.get("group") or ""
    if len(group) > GROUP_MAX_CHARS:
        raise InvalidParameter(f"group can have at most {GROUP_MAX_CHARS} characters.")
    if group.startswith("service:"):
        raise InvalidParameter("Invalid namespace for group.")
    if len(params.get("referenceId") or "") > REFERENCE_MAX_CHARS:
        raise InvalidParameter(f"referenceId can have at most {REFERENCE_MAX_CHARS} characters.")
    if params.get("propagateTags") == "SERVICE":
        raise InvalidParameter("propagateTags SERVICE is not supported when running a task.")
    if params.get("volumeConfigurations"):
        raise UnsupportedFeature("volumeConfigurations are not supported yet.")


async def _capacity(call: Call, services: Services, cluster: str, params: Params) -> Capacity:
    launch_type, strategy = params.get("launchType"), params.get("capacityProviderStrategy") or []
    check_exclusive(launch_type, strategy)
    check_strategy(strategy)
    # With a launch type the cluster's providers do not matter, and the cell finds out by itself whether it exists.
    document = {} if launch_type == FARGATE else await cluster_document(call, services, cluster)
    assigns = ((params.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}).get("assignPublicIp")
    if launch_type in ("EC2", "EXTERNAL") and assigns == "ENABLED":
        raise InvalidParameter("Assign public IP is not supported for this launch type.")
    capacity = chosen_capacity(launch_type, strategy, document)
    if params.get("placementConstraints"):
        raise InvalidParameter("Placement constraints are not supported with FARGATE launch type.")
    if params.get("placementStrategy"):
        raise InvalidParameter("Placement strategies are not supported with FARGATE launch type.")
    return capacity
