"""UpdateService: from the request, over the service as it is, to what the cell is asked to change.

Owns the order of the checks, and which members make a deployment of a service: that needs a definition that is ACTIVE.
Invariant: what the request does not name stays as it is, and what it names as it is makes no deployment.
"""

from typing import Any

from ....interfaces.services import ServiceChange
from ....model.errors import InvalidParameter, ServiceNotActive, ServiceNotFound
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...regional.task_definitions import Revision
from ...services import Services
from .active_cluster import cluster_document
from .answers import single
from .asking import definition_resource
from .asking_services import service_document, service_resources, updating_keys
from .names import cluster_name, definition_reference, service_identifier
from .passing import authorize_roles, roles_of
from .service_load_balancers import check_containers, check_vpc, checked_load_balancers
from .service_registries import checked_registries
from .service_settings import DAEMON, changed_settings
from .service_template import (
    AWSVPC,
    NO_NETWORK,
    active,
    changed_capacity,
    check_compatible,
    check_kernel,
    check_placement,
    checked_network,
    checked_platform,
    gives_files,
    log_mode,
)
from .services import DAEMON_COUNT, check_count

Document = dict[str, Any]


async def update_service(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    name = service_identifier(call, cluster, params["service"])
    revision, arn = None, None
    if params.get("taskDefinition"):
        family, number = definition_reference(call, params["taskDefinition"])
        revision = services.task_definitions.find(call.account, family, number)
        arn = definition_resource(call, family, number, revision).arn
    resources = await service_resources(call, services, cluster, [name])
    authorize(call, "ecs:UpdateService", resources, updating_keys(call, cluster, params, arn))
    document = await cluster_document(call, services, cluster)
    service = await _service(call, services, cluster, name)
    settings = changed_settings(params, service)
    if arn is not None:
        authorize_roles(call, services, roles_of(call, services.task_definitions.definition(active(revision))))
    change = _change(call, services, params, settings, service, document, revision)
    manager = services.services_of(call.account, cluster)
    return single("service", await manager.update_service(call.account, cluster, name, change))


def _change(
    call: Call,
    services: Services,
    params: Params,
    settings: Document,
    service: Document,
    cluster: Document,
    revision: Revision | None,
) -> ServiceChange:
    """`revision`: the one that the request names."""
    changes: Document = {}
    if params.get("desiredCount") is not None:
        changes["desired_count"] = _count(params["desiredCount"], service)
    deployed, launch_type = _changed_capacity(params, service, cluster)
    check_placement(params, launch_type)
    wanted = params.get("platformVersion")
    version = checked_platform(wanted, launch_type) if wanted else ""
    if wanted and wanted != service.get("platformVersion"):
        deployed["platform_version"], settings["platformVersion"] = version, wanted
    is_named = (
        revision is not None
        or bool(params.get("networkConfiguration"))
        or params.get("serviceRegistries") is not None
        or _names_targets(params)
    )
    force = bool(params.get("forceNewDeployment"))
    if force or deployed or is_named:
        deployed |= _changed_template(call, services, params, service, launch_type, revision)
    return ServiceChange(settings=settings, force_new_deployment=force, **changes, **deployed)


def _changed_capacity(params: Params, service: Document, cluster: Document) -> tuple[Document, str | None]:
    """What changes, and the launch type from now on."""
    launch_type, strategy = service.get("launchType"), params.get("capacityProviderStrategy")
    if strategy is None:
        return {}, launch_type
    wanted, items = changed_capacity(strategy, service, cluster)
    present = [
        (one["capacityProvider"], one["base"], one["weight"]) for one in service.get("capacityProviderStrategy", ())
    ]
    if wanted == launch_type and [(one.provider, one.base, one.weight) for one in items] == present:
        return {}, wanted
    return {"launch_type": wanted, "strategy": items}, wanted


def _changed_template(
    call: Call,
    services: Services,
    params: Params,
    service: Document,
    launch_type: str | None,
    revision: Revision | None,
) -> Document:
    """The checks of what a deployment begins with, and what of it is another than now."""
    begun_with = active(revision or _present_revision(call, services, service))
    definition = services.task_definitions.definition(begun_with)
    changes: Document = {}
    if definition["taskDefinitionArn"] != service["taskDefinition"]:
        check_kernel(call, services, definition, launch_type)
        changes |= {
            "definition": definition,
            "definition_tags": begun_with.tags,
            "log_mode": log_mode(call, services),
            "gives_files": gives_files(services, definition, launch_type),
        }
    network = present = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if params.get("networkConfiguration"):
        network = checked_network(call, services, params, definition, launch_type)
        changes |= {} if network == present else {"network": network}
    else:
        check_compatible(definition, launch_type)
        if definition.get("networkMode") == AWSVPC and not present:
            raise InvalidParameter(NO_NETWORK)
    shown = {
        "loadBalancers": _targets(call, services, params, service, definition, network),
        "serviceRegistries": _registries(call, services, params, service, definition),
    }
    if any(shown[key] != (service.get(key) or []) for key in shown):
        changes["shown"] = shown
    return changes


def _names_targets(params: Params) -> bool:
    """An empty list names them, too: it takes all away."""
    return params.get("loadBalancers") is not None


def _targets(
    call: Call, services: Services, params: Params, service: Document, definition: Document, network: Document
) -> list[Document]:
    present: list[Document] = service.get("loadBalancers") or []
    if not _names_targets(params):
        check_containers(present, definition)
        check_vpc(call, services, [one["targetGroupArn"] for one in present], network)
        return present
    return checked_load_balancers(call, services, params, definition, network)


def _registries(
    call: Call, services: Services, params: Params, service: Document, definition: Document
) -> list[Document]:
    """Those that stay are to fit another definition, too; an empty list takes them away."""
    present: list[Document] = service.get("serviceRegistries") or []
    given = params.get("serviceRegistries")
    if given is None and definition["taskDefinitionArn"] == service["taskDefinition"]:
        return present
    return checked_registries(call, services, present if given is None else given, definition)


def _present_revision(call: Call, services: Services, service: Document) -> Revision | None:
    family, number = definition_reference(call, service["taskDefinition"])
    return services.task_definitions.find(call.account, family, number)


async def _service(call: Call, services: Services, cluster: str, name: str) -> Document:
    """Raises ServiceNotFound and ServiceNotActive."""
    document = await service_document(call, services, cluster, name)
    if document is None:
        raise ServiceNotFound
    if document["status"] != "ACTIVE":
        raise ServiceNotActive
    return document


def _count(count: int, service: Document) -> int:
    if service.get("schedulingStrategy") == DAEMON:
        raise InvalidParameter(DAEMON_COUNT)
    return check_count(count)
