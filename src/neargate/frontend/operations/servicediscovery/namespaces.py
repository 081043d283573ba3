"""Operations on namespaces."""

from functools import partial
from typing import Any

from ....model.quotas import NAMESPACES_PER_REGION
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...cloudmap import namespaces
from ...cloudmap.errors import InvalidInput
from ...cloudmap.records import HTTP, PRIVATE, SOA_TTL_S, Namespace, hosted_zone_id, namespace_id
from ...regional.shelves import Change, Shelf
from ...services import Services
from .asking import ask_for_namespace, namespace_meant
from .filters import matching_namespaces
from .outcomes import begun
from .paging import page
from .shapes import given_tags, namespace_summary, whole_namespace


async def create_http_namespace(call: Call, services: Services, params: Params) -> Answer:
    return await _create(call, services, params, HTTP)


async def create_private_dns_namespace(call: Call, services: Services, params: Params) -> Answer:
    return await _create(call, services, params, PRIVATE)


async def create_public_dns_namespace(call: Call, services: Services, params: Params) -> Answer:
    """Always refused: it needs a public hosted zone of Route 53."""
    del services
    ask_for_namespace(call, given_tags(params))
    raise InvalidInput(
        "Neargate has no public DNS namespaces: there are no public hosted zones. Create an HTTP or a private DNS "
        "namespace."
    )


async def _create(call: Call, services: Services, params: Params, kind: str) -> Answer:
    tags = given_tags(params)
    ask_for_namespace(call, tags)
    bits = services.world.random.getrandbits
    is_private = kind == PRIVATE
    soa = (params.get("Properties") or {}).get("DnsProperties", {}).get("SOA", {})
    new = Namespace(
        account=call.account,
        name=namespace_id(bits),
        called=params["Name"],
        type=kind,
        region=services.region,
        http_name=params["Name"],
        created=round(call.now, 3),
        request=params.get("CreatorRequestId") or "",
        description=params.get("Description") or None,
        vpc=params["Vpc"] if is_private else None,
        hosted_zone=hosted_zone_id(bits) if is_private else None,
        soa_ttl_s=soa.get("TTL", SOA_TTL_S),
        tags=tags,
    )
    outcome = begun(call, services, "CREATE_NAMESPACE", params, (("NAMESPACE", new.name),), namespace=new.name)

    def has_vpc(vpc_id: str) -> bool:
        return any(vpc.vpc_id == vpc_id for vpc in services.network.vpcs(call.account))

    most = services.cloud_map.quotas.value(call.account, NAMESPACES_PER_REGION) or 0
    made = await services.cloud_map.change(
        call.account, partial(namespaces.created, new=new, outcome=outcome, has_vpc=has_vpc, most=most)
    )
    return {"OperationId": made.id}


async def get_namespace(call: Call, services: Services, params: Params) -> Answer:
    found = namespace_meant(call, services, params["Id"])
    return {"Namespace": whole_namespace(found, _counts(call, services).get(found.name, 0))}


async def list_namespaces(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicediscovery:ListNamespaces", ["*"])
    found = matching_namespaces(services.cloud_map.namespaces(call.account), params.get("Filters") or [])
    chosen, more = page(call, params, found, lambda one: one.name)
    counts = _counts(call, services)
    return {"Namespaces": [namespace_summary(one, counts.get(one.name, 0)) for one in chosen], **more}


def _counts(call: Call, services: Services) -> dict[str, int]:
    """Services, by namespace."""
    found: dict[str, int] = {}
    for one in services.cloud_map.services(call.account):
        found[one.namespace] = found.get(one.namespace, 0) + 1
    return found


async def update_http_namespace(call: Call, services: Services, params: Params) -> Answer:
    return await _update(call, services, params, HTTP)


async def update_private_dns_namespace(call: Call, services: Services, params: Params) -> Answer:
    return await _update(call, services, params, PRIVATE)


async def update_public_dns_namespace(call: Call, services: Services, params: Params) -> Answer:
    return await _update(call, services, params, "DNS_PUBLIC")


async def _update(call: Call, services: Services, params: Params, kind: str) -> Answer:
    found = namespace_meant(call, services, params["Id"])
    change: dict[str, Any] = params["Namespace"]
    soa = (change.get("Properties") or {}).get("DnsProperties", {}).get("SOA", {})
    outcome = begun(call, services, "UPDATE_NAMESPACE", params, (("NAMESPACE", found.name),), namespace=found.name)
    made = await services.cloud_map.change(
        call.account,
        partial(
            namespaces.updated,
            name=found.name,
            outcome=outcome,
            of_type=kind,
            description=change.get("Description"),
            soa_ttl_s=soa.get("TTL"),
        ),
    )
    return {"OperationId": made.id}


async def delete_namespace(call: Call, services: Services, params: Params) -> Answer:
    found = namespace_meant(call, services, params["Id"])
    outcome = begun(call, services, "DELETE_NAMESPACE", params, (("NAMESPACE", found.name),), namespace=found.name)

    def decide(shelf: Shelf) -> Change[Any]:
        return namespaces.deleted(shelf, found.name, outcome)

    made = await services.cloud_map.change(call.account, decide)
    return {"OperationId": made.id}
