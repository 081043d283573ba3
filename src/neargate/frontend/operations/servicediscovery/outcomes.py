"""GetOperation, ListOperations, and how an operation's record begins."""

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...cloudmap.errors import OperationNotFound
from ...cloudmap.records import Outcome, Pairs, digest, namespace_arn, outcome_name, service_arn
from ...services import Services
from .filters import matching_operations
from .paging import page
from .shapes import whole_operation

_REQUEST_IDS = ("CreatorRequestId", "UpdaterRequestId")


def begun(call: Call, services: Services, kind: str, params: Params, targets: Pairs, *, namespace: str) -> Outcome:
    """A new record, which holds when it is kept. `namespace`: the id of the one that it is for."""
    asked = {name: value for name, value in params.items() if name not in _REQUEST_IDS}
    return Outcome(
        account=call.account,
        name=outcome_name(call.now, services.world.random.getrandbits),
        type=kind,
        at=round(call.now, 3),
        targets=targets,
        namespace=namespace,
        request=params.get("CreatorRequestId") or "",
        digest=digest(asked),
    )


async def get_operation(call: Call, services: Services, params: Params) -> Answer:
    found = services.cloud_map.operation(call.account, params["OperationId"])
    authorize(call, "servicediscovery:GetOperation", _resources(services, found))
    if found is None or params.get("OwnerAccount", call.account) != call.account:
        raise OperationNotFound
    return {"Operation": whole_operation(found)}


def _resources(services: Services, found: Outcome | None) -> list[Resource]:
    """The namespace that it was for, and the service; either may be gone."""
    if found is None:
        return [Resource(arn="*")]
    space = services.cloud_map.namespace(found.account, found.namespace)
    arn = namespace_arn(services.region, found.account, found.namespace)
    resources = [Resource(arn=arn, tags={} if space is None else dict(space.tags))]
    name = found.target("SERVICE")
    if name is not None:
        service = services.cloud_map.service(found.account, name)
        arn = service_arn(services.region, found.account, name)
        resources.append(Resource(arn=arn, tags={} if service is None else dict(service.tags)))
    return resources


async def list_operations(call: Call, services: Services, params: Params) -> Answer:
    """The newest first."""
    authorize(call, "servicediscovery:ListOperations", ["*"])
    found = matching_operations(services.cloud_map.operations(call.account), params.get("Filters") or [])
    chosen, more = page(call, params, found[::-1], lambda one: one.name, descending=True)
    return {"Operations": [{"Id": one.id, "Status": one.status} for one in chosen], **more}
