"""GetOperation, ListOperations, and how an operation's record begins."""

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...cloudmap.errors import OperationNotFound
from ...cloudmap.records import Outcome, Pairs, digest, outcome_name
from ...services import Services
from .filters import matching_operations
from .paging import page
from .shapes import whole_operation

_REQUEST_IDS = ("CreatorRequestId", "UpdaterRequestId")


def begun(call: Call, services: Services, kind: str, params: Params, targets: Pairs) -> Outcome:
    """A new record, which holds when it is kept."""
    asked = {name: value for name, value in params.items() if name not in _REQUEST_IDS}
    return Outcome(
        account=call.account,
        name=outcome_name(call.now, services.world.random.getrandbits),
        type=kind,
        at=round(call.now, 3),
        targets=targets,
        request=params.get("CreatorRequestId") or "",
        digest=digest(asked),
    )


async def get_operation(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicediscovery:GetOperation", ["*"])
    found = services.cloud_map.operation(call.account, params["OperationId"])
    if found is None or params.get("OwnerAccount", call.account) != call.account:
        raise OperationNotFound
    return {"Operation": whole_operation(found)}


async def list_operations(call: Call, services: Services, params: Params) -> Answer:
    """The newest first."""
    authorize(call, "servicediscovery:ListOperations", ["*"])
    found = matching_operations(services.cloud_map.operations(call.account), params.get("Filters") or [])
    chosen, more = page(call, params, found[::-1], lambda one: one.name, descending=True)
    return {"Operations": [{"Id": one.id, "Status": one.status} for one in chosen], **more}
