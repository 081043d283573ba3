"""ListServicesByNamespace: services that Service Connect put into a namespace of Cloud Map: none, it is not built.

Invariant: a namespace that is not there is told apart from one without services, after leave was given.
"""

from ....model.errors import NamespaceNotFound
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .paging import page_limit, page_start


async def list_services_by_namespace(call: Call, services: Services, params: Params) -> Answer:
    given = params["namespace"]
    registry = services.cloud_map_registry
    there = [] if registry is None else registry.namespaces(call.account)
    found = [one.arn for one in there if given in (one.called, one.arn)]
    authorize(call, "ecs:ListServicesByNamespace", ["*"], {"ecs:namespace": found or given})
    page_limit(params)
    page_start(call, params, str)
    if not found:
        raise NamespaceNotFound
    return {"serviceArns": []}
