"""DiscoverInstances and DiscoverInstancesRevision: a service's instances by the names of namespace and service."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...cloudmap.errors import NamespaceNotFound, ServiceNotFound
from ...cloudmap.records import Instance, Namespace, Service
from ...services import Services
from .asking import found_by_name
from .shapes import health

_DEFAULT_MAX = 100
_HEALTHY, _UNHEALTHY, _ALL, _ELSE_ALL = "HEALTHY", "UNHEALTHY", "ALL", "HEALTHY_OR_ELSE_ALL"


async def discover_instances(call: Call, services: Services, params: Params) -> Answer:
    """In no order, so that those who take the first share them."""
    namespace, service = _found(call, services, params)
    found = discovered(
        service,
        services.cloud_map.instances(service),
        query=params.get("QueryParameters") or {},
        optional=params.get("OptionalParameters") or {},
        status=params.get("HealthStatus") or _HEALTHY,
    )
    services.world.random.shuffle(found)
    chosen = found[: params.get("MaxResults") or _DEFAULT_MAX]
    return {
        "Instances": [_shown(namespace, service, one) for one in chosen],
        "InstancesRevision": service.revision,
    }


async def discover_instances_revision(call: Call, services: Services, params: Params) -> Answer:
    _, service = _found(call, services, params)
    return {"InstancesRevision": service.revision}


def _found(call: Call, services: Services, params: Params) -> tuple[Namespace, Service]:
    names = params["NamespaceName"], params["ServiceName"]
    keys = {"servicediscovery:NamespaceName": names[0], "servicediscovery:ServiceName": names[1]}
    is_own = params.get("OwnerAccount", call.account) == call.account
    namespace, service = services.cloud_map.named(call.account, *names) if is_own else (None, None)
    resources = [found_by_name(namespace, names[0]), found_by_name(service, names[1])]
    authorize(call, f"servicediscovery:{call.operation}", resources, keys)
    if namespace is None:
        raise NamespaceNotFound
    if service is None:
        raise ServiceNotFound
    return namespace, service


def discovered(
    service: Service,
    instances: Sequence[Instance],
    *,
    query: Mapping[str, str],
    optional: Mapping[str, str],
    status: str,
) -> list[Instance]:
    """All that `query` asks for; of these, those which `optional` asks for, too, where there are any.

    Health counts where a service has a custom check.
    """
    found = [one for one in instances if _has(one, query)]
    if service.has_custom_health:
        healthy = [one for one in found if one.is_healthy]
        if status == _UNHEALTHY:
            found = [one for one in found if not one.is_healthy]
        elif status == _HEALTHY or (status == _ELSE_ALL and healthy):
            found = healthy
    preferred = [one for one in found if _has(one, optional)]
    return preferred or found


def _has(instance: Instance, wanted: Mapping[str, str]) -> bool:
    return all(instance.attribute(key) == value for key, value in wanted.items())


def _shown(namespace: Namespace, service: Service, instance: Instance) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "NamespaceName": namespace.http_name,
        "ServiceName": service.called,
        "HealthStatus": health(service, instance),
        "Attributes": dict(instance.attributes),
    }
