"""What every task of a service is made of, as CreateService and UpdateService ask for it: capacity, network.

Owns the checks and AWS's words; pure but for reads from memory. Must not know how a service runs. Services of EC2's
launch types are data here, as they are on AWS until an instance registers. Invariant: what FARGATE runs has a
definition that is made for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ....definitions.files import check_files
from ....definitions.rules import check_leave
from ....interfaces.services import RevisionTemplate
from ....model.errors import ClientError, InvalidParameter, UnsupportedFeature
from ....model.extensions import FILES
from ....scheduling.strategy import StrategyItem
from ...call import Call, Params
from ...regional.account_settings import LOG_MODE
from ...regional.task_definitions import ACTIVE, Revision
from ...services import Services
from .account_settings import own_principal
from .capacity_providers import (
    FARGATE,
    Capacity,
    check_exclusive,
    check_strategy,
    chosen_capacity,
    platform_version,
)
from .service_load_balancers import checked_load_balancers
from .service_registries import checked_registries
from .service_settings import DAEMON
from .task_network import resolve_network

EC2_TYPES = ("EC2", "EXTERNAL")
AWSVPC = "awsvpc"
NO_NETWORK = "Network Configuration must be provided when networkMode 'awsvpc' is specified."

Document = Mapping[str, Any]


def new_template(
    call: Call, services: Services, params: Params, cluster: Document, revision: Revision
) -> RevisionTemplate:
    """`cluster`: its document. Raises what CreateService answers."""
    definition = services.task_definitions.definition(revision)
    capacity = _new_capacity(params, cluster)
    check_placement(params, capacity.launch_type)
    check_kernel(call, services, definition, capacity.launch_type)
    network = checked_network(call, services, params, definition, capacity.launch_type)
    load_balancers = checked_load_balancers(call, services, params, definition, network)
    return RevisionTemplate(
        definition=definition,
        definition_tags=revision.tags,
        launch_type=capacity.launch_type,
        strategy=capacity.strategy,
        platform_version=checked_platform(params.get("platformVersion"), capacity.launch_type),
        network=network,
        shown={
            "loadBalancers": load_balancers,
            "serviceRegistries": checked_registries(call, services, params.get("serviceRegistries") or (), definition),
        },
        log_mode=log_mode(call, services),
        gives_files=gives_files(services, definition, capacity.launch_type),
    )


def active(revision: Revision | None) -> Revision:
    """Raises ClientError in AWS's words for one that a service cannot begin with."""
    if revision is None:
        raise ClientError("TaskDefinition not found.")
    if revision.status != ACTIVE:
        raise ClientError("TaskDefinition is inactive")
    return revision


def log_mode(call: Call, services: Services) -> str:
    return services.account_settings.effective(call.account, own_principal(call), LOG_MODE).value


def gives_files(services: Services, definition: Document, launch_type: str | None) -> bool:
    """Raises for a definition of Fargate's that the region cannot run: it may have had no files at registration."""
    if FILES not in services.extensions:
        return False
    if launch_type not in EC2_TYPES:
        check_files(dict(definition))
    return True


def check_kernel(call: Call, services: Services, definition: Document, launch_type: str | None) -> None:
    """Raises for a definition of Fargate's that the account's tasks have no leave for any more."""
    if launch_type not in EC2_TYPES:
        check_leave(definition, own_kernel=services.kernel_grants.has(call.account))


def check_compatible(definition: Document, launch_type: str | None) -> None:
    """`launch_type` None: a strategy of Fargate's providers."""
    wanted = launch_type or FARGATE
    if wanted not in definition["compatibilities"]:
        raise InvalidParameter(f"Task definition does not support launch_type {wanted}.")


def check_placement(params: Params, launch_type: str | None) -> None:
    if launch_type in EC2_TYPES:
        return
    if params.get("placementConstraints"):
        raise InvalidParameter("Placement constraints are not supported with FARGATE launch type.")
    if params.get("placementStrategy"):
        raise InvalidParameter("Placement strategies are not supported with FARGATE launch type.")


def checked_platform(wanted: str | None, launch_type: str | None) -> str:
    """The version that tasks will show."""
    if launch_type not in EC2_TYPES:
        return platform_version(wanted)
    if wanted:
        raise InvalidParameter(f"The platform version must be null when specifying an {launch_type} launch type.")
    return ""


def checked_network(
    call: Call, services: Services, params: Params, definition: Document, launch_type: str | None
) -> dict[str, Any]:
    """The awsvpcConfiguration, whole; empty where the definition has a network of another mode."""
    check_compatible(definition, launch_type)
    given = (params.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if definition.get("networkMode") != AWSVPC:
        if given:
            raise InvalidParameter(
                "Network Configuration is not valid for the given networkMode of this task definition."
            )
        return {}
    assign = (given or {}).get("assignPublicIp") or "DISABLED"
    if launch_type in EC2_TYPES and assign == "ENABLED":
        raise InvalidParameter("Assign public IP is not supported for this launch type.")
    resolve_network(call, services, params)
    assert given is not None  # else the line above has raised
    return {
        "subnets": list(dict.fromkeys(given["subnets"])),
        "securityGroups": list(dict.fromkeys(given.get("securityGroups") or ())),
        "assignPublicIp": assign,
    }


def _new_capacity(params: Params, cluster: Document) -> Capacity:
    launch_type, strategy = params.get("launchType"), params.get("capacityProviderStrategy") or []
    check_exclusive(launch_type, strategy)
    check_strategy(strategy)
    is_daemon = params.get("schedulingStrategy") == DAEMON
    default = cluster.get("defaultCapacityProviderStrategy")
    if is_daemon and (strategy or (launch_type is None and default)):
        raise InvalidParameter(
            "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON "
            "scheduling strategy."
        )
    if is_daemon and launch_type == FARGATE:
        raise InvalidParameter("The daemon scheduling strategy is not supported for the FARGATE launch type.")
    if launch_type in EC2_TYPES:
        return Capacity(launch_type=launch_type)
    if launch_type is None and not strategy and not default:
        return Capacity(launch_type="EC2")
    return chosen_capacity(launch_type, strategy, cluster)


def changed_capacity(
    strategy: Sequence[Mapping[str, Any]], service: Document, cluster: Document
) -> tuple[str | None, tuple[StrategyItem, ...]]:
    """UpdateService's strategy: (launch type, items). An empty one takes the service back to its launch type."""
    check_strategy(strategy)
    if service.get("schedulingStrategy") == DAEMON and strategy:
        raise InvalidParameter(
            "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON "
            "scheduling strategy."
        )
    if service.get("launchType") == "EXTERNAL" and strategy:
        raise UnsupportedFeature("A service of the launch type EXTERNAL cannot change to a capacity provider strategy.")
    if not strategy:
        return service.get("launchType") or FARGATE, ()
    return None, chosen_capacity(None, strategy, cluster).strategy
