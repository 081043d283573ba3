"""CreateService, UpdateService, DeleteService, DescribeServices, ListServices.

Owns the order of the checks; services are the cell's. Invariant: nothing is changed before every check has passed and
leave was given.
"""

import re
from collections.abc import Mapping, Sequence

from ....definitions.tags import checked_tags
from ....interfaces.roles import Failure
from ....interfaces.services import NewService, ServiceFilter
from ....model.errors import InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...regional.task_definitions import Revision
from ...services import Services
from .account_settings import own_principal
from .active_cluster import cluster_document
from .answers import joined, single
from .asking import authorize_tagging, cluster_key, definition_resource, tag_keys
from .asking_services import creating_keys, service_arn, service_resources
from .names import cluster_name, definition_reference, new_service_name, service_identifier
from .paging import next_token, page_limit, page_start
from .passing import authorize_roles, roles_of
from .run_task import fingerprint
from .service_settings import DAEMON, new_settings
from .service_template import active, new_template

DESCRIBE_MAX = 10
DAEMON_COUNT = (
    "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and "
    "try again"
)

_CLIENT_TOKEN = re.compile(r"\A[\x21-\x7e]{1,36}\Z")


async def create_service(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    name = new_service_name(params["serviceName"])
    family, number, revision = _asked_revision(call, services, params)
    asked = definition_resource(call, family, number, revision).arn
    resources = [service_arn(call, cluster, name)]
    authorize(call, "ecs:CreateService", resources, creating_keys(call, cluster, params, asked) | tag_keys(params))
    authorize_tagging(call, params, resources[0])
    _check_token(params)
    _check_role(params)
    settings = new_settings(params) | {"platformVersion": params.get("platformVersion") or "LATEST"}
    document = await cluster_document(call, services, cluster)
    revision = active(revision)
    authorize_roles(call, services, roles_of(call, services.task_definitions.definition(revision)))
    template = new_template(call, services, params, document, revision)
    if not template.platform_version:
        del settings["platformVersion"]
    new = NewService(
        account=call.account,
        region=call.region,
        cluster=cluster,
        name=name,
        desired_count=_new_count(params),
        template=template,
        settings=settings,
        tags=checked_tags(params.get("tags")),
        created_by=own_principal(call),
        client_token=params.get("clientToken") or None,
        request_fingerprint=fingerprint(params) if params.get("clientToken") else "",
    )
    return single("service", await services.services_of(call.account, cluster).create_service(new))


async def delete_service(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    name = service_identifier(call, cluster, params["service"])
    resources = await service_resources(call, services, cluster, [name])
    authorize(call, "ecs:DeleteService", resources, cluster_key(call, cluster))
    manager = services.services_of(call.account, cluster)
    force = bool(params.get("force"))
    return single("service", await manager.delete_service(call.account, cluster, name, force=force))


async def describe_services(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    given = params["services"][: DESCRIBE_MAX + 1]  # one too many is refused, whatever follows it
    names = list(dict.fromkeys(service_identifier(call, cluster, text) for text in given))
    resources = await service_resources(call, services, cluster, names)
    everything = [service_arn(call, cluster, "*")]
    authorize(call, "ecs:DescribeServices", resources or everything, cluster_key(call, cluster))
    if not given or len(given) > DESCRIBE_MAX:
        await cluster_document(call, services, cluster)  # ECS looks for the cluster before it looks at this
        raise InvalidParameter(
            f"services can have at most {DESCRIBE_MAX} items." if given else "Services cannot be empty."
        )
    manager = services.services_of(call.account, cluster)
    with_tags = "TAGS" in (params.get("include") or ())
    found = await manager.describe_services(call.account, cluster, names, include_tags=with_tags)
    missing = {failure.arn for failure in found.failures}
    there = (name for name in names if service_arn(call, cluster, name) not in missing)
    return _in_order(call, cluster, given, dict(zip(there, found.documents, strict=True)))


def _in_order(call: Call, cluster: str, given: Sequence[str], there: Mapping[str, bytes]) -> Answer:
    """One that is named twice is shown twice. ECS calls what it does not know by an ARN without a cluster."""
    documents: list[bytes] = []
    failures: dict[str, Failure] = {}
    for text in given:
        name = service_identifier(call, cluster, text)
        if name in there:
            documents.append(there[name])
        else:
            arn = text if text.startswith("arn:") else call.arn("ecs", f"service/{name}")
            failures[arn] = Failure(arn=arn, reason="MISSING")
    return joined("services", documents, list(failures.values()))


async def list_services(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    authorize(call, "ecs:ListServices", ["*"], cluster_key(call, cluster))
    start = page_start(call, params, str)
    limit = page_limit(params)
    wanted = ServiceFilter(launch_type=params.get("launchType"), scheduling_strategy=params.get("schedulingStrategy"))
    if params.get("resourceManagementType") == "ECS":  # those of Express services, which are not there
        await cluster_document(call, services, cluster)
        return {"serviceArns": []}
    manager = services.services_of(call.account, cluster)
    arns, more = await manager.list_services(
        call.account, cluster, wanted, limit, None if start is None else str(start[0])
    )
    return {"serviceArns": arns} | ({"nextToken": next_token(call, (more,))} if more else {})


def check_count(count: int) -> int:
    if count < 0:
        raise InvalidParameter("Desired count must not be negative.")
    return count


def _asked_revision(call: Call, services: Services, params: Params) -> tuple[str, int | None, Revision | None]:
    """Resolved before leave is asked: policies are told the revision that `family` means now."""
    if not params.get("taskDefinition"):
        raise InvalidParameter("Task definition can not be blank.")
    family, number = definition_reference(call, params["taskDefinition"])
    return family, number, services.task_definitions.find(call.account, family, number)


def _new_count(params: Params) -> int:
    count = params.get("desiredCount")
    if params.get("schedulingStrategy") == DAEMON:
        if count is not None:
            raise InvalidParameter(DAEMON_COUNT)
        return 0
    if count is None:
        raise InvalidParameter("The replica scheduling strategy requires a desired count. Specify one and try again")
    return check_count(count)


def _check_token(params: Params) -> None:
    if params.get("clientToken") and not _CLIENT_TOKEN.match(params["clientToken"]):
        raise InvalidParameter("clientToken can have up to 36 characters in the range of ASCII 33-126.")


def _check_role(params: Params) -> None:
    """Only services behind load balancers whose definitions have another network than awsvpc have one."""
    if params.get("role"):
        raise InvalidParameter("You cannot specify an IAM role for services that require a service linked role.")
