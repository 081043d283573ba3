"""Operations on services, and on their attributes."""

from functools import partial
from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...cloudmap import services as decisions
from ...cloudmap.errors import InvalidInput, NamespaceNotFound
from ...cloudmap.records import HTTP, MULTIVALUE, Dns, Service, service_arn, service_id
from ...services import Services
from .asking import ask_for_service, namespace_named, service_meant
from .filters import matching_services
from .outcomes import begun
from .paging import page
from .shapes import given_tags, service_summary, whole_service


async def create_service(call: Call, services: Services, params: Params) -> Answer:
    tags = given_tags(params)
    namespace, resource = namespace_named(call, services, _namespace_id(params))
    new_id = service_id(services.world.random.getrandbits)
    ask_for_service(call, resource, service_arn(services.region, call.account, new_id), tags)
    if namespace is None:
        raise NamespaceNotFound
    _check_health(params, is_private=namespace.vpc is not None)
    new = Service(
        account=call.account,
        name=new_id,
        called=params["Name"],
        namespace=namespace.name,
        region=services.region,
        created=round(call.now, 3),
        request=params.get("CreatorRequestId") or "",
        description=params.get("Description") or None,
        dns=_dns(params),
        has_custom_health=params.get("HealthCheckCustomConfig") is not None,
        tags=tags,
    )
    made = await services.cloud_map.change(call.account, partial(decisions.created, new=new))
    return {"Service": whole_service(made)}


def _namespace_id(params: Params) -> str:
    """Beside the service's own member there is an older one, in its DnsConfig. Raises InvalidInput."""
    own, older = params.get("NamespaceId"), (params.get("DnsConfig") or {}).get("NamespaceId")
    if own and older and own.rpartition("/")[2] != older.rpartition("/")[2]:
        raise InvalidInput("The service and its DnsConfig name different namespaces.")
    found: str | None = own or older
    if not found:
        raise InvalidInput("A NamespaceId is required.")
    return found


def _dns(params: Params) -> Dns | None:
    """Raises InvalidInput."""
    given: dict[str, Any] | None = params.get("DnsConfig")
    if given is None:
        return None
    if params.get("Type") == HTTP:
        raise InvalidInput("When you specify an HTTP service, you can't include a DnsConfig element.")
    return Dns(policy=given.get("RoutingPolicy") or MULTIVALUE, records=_records(given))


def _records(given: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((one["Type"], one["TTL"]) for one in given["DnsRecords"])


def _check_health(params: Params, *, is_private: bool) -> None:
    if params.get("HealthCheckConfig") is None:
        return
    if params.get("HealthCheckCustomConfig") is not None:
        raise InvalidInput("You can specify either HealthCheckConfig or HealthCheckCustomConfig, but not both.")
    if is_private:
        raise InvalidInput("You can't specify a HealthCheckConfig for a service in a private DNS namespace.")
    raise InvalidInput("Neargate has no Route 53 health checks: use a HealthCheckCustomConfig.")


async def get_service(call: Call, services: Services, params: Params) -> Answer:
    return {"Service": whole_service(service_meant(call, services, params["Id"]))}


async def list_services(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicediscovery:ListServices", ["*"])
    found = matching_services(services.cloud_map.services(call.account), params.get("Filters") or [])
    chosen, more = page(call, params, found, lambda one: one.name)
    return {"Services": [service_summary(one) for one in chosen], **more}


async def update_service(call: Call, services: Services, params: Params) -> Answer:
    found = service_meant(call, services, params["Id"])
    change: dict[str, Any] = params["Service"]
    if change.get("HealthCheckConfig") is not None:
        raise InvalidInput("Neargate has no Route 53 health checks.")
    given = change.get("DnsConfig")
    outcome = begun(call, services, "UPDATE_SERVICE", params, (("SERVICE", found.name),), namespace=found.namespace)
    made = await services.cloud_map.change(
        call.account,
        partial(
            decisions.updated,
            name=found.name,
            outcome=outcome,
            description=change.get("Description"),
            records=None if given is None else _records(given),
        ),
    )
    return {"OperationId": made.id}


async def delete_service(call: Call, services: Services, params: Params) -> Answer:
    found = service_meant(call, services, params["Id"])
    await services.cloud_map.change(call.account, partial(decisions.deleted, name=found.name))
    return {}


async def get_service_attributes(call: Call, services: Services, params: Params) -> Answer:
    found = service_meant(call, services, params["ServiceId"])
    return {
        "ServiceAttributes": {
            "ServiceArn": found.arn,
            "ResourceOwner": found.account,
            "Attributes": dict(found.attributes),
        }
    }


async def update_service_attributes(call: Call, services: Services, params: Params) -> Answer:
    found = service_meant(call, services, params["ServiceId"])
    await services.cloud_map.change(
        call.account, partial(decisions.with_attributes, name=found.name, given=params["Attributes"])
    )
    return {}


async def delete_service_attributes(call: Call, services: Services, params: Params) -> Answer:
    found = service_meant(call, services, params["ServiceId"])
    await services.cloud_map.change(
        call.account, partial(decisions.without_attributes, name=found.name, keys=params["Attributes"])
    )
    return {}
