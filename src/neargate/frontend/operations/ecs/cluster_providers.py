"""PutClusterCapacityProviders, and DescribeCapacityProviders of the two that there are.

Owns the checks of their parameters and how a provider is shown; clusters are the cell's. Invariant: a provider stays
with its cluster while a task of it lives.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ....model.errors import ClusterNotFound, InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .answers import single
from .asking import cluster_resources, provider_keys
from .capacity_providers import FARGATE, FARGATE_SPOT, cluster_providers
from .names import cluster_name
from .paging import next_token, page_start

_ALL = (FARGATE, FARGATE_SPOT)
_NAMED_MAX = 100
_PAGE_MAX = 10


async def put_cluster_capacity_providers(call: Call, services: Services, params: Params) -> Answer:
    name = cluster_name(call, params["cluster"])
    named = [{"capacityProvider": provider} for provider in params["capacityProviders"]]
    keys = provider_keys(call, [*named, *params["defaultCapacityProviderStrategy"]])
    authorize(call, "ecs:PutClusterCapacityProviders", await cluster_resources(call, services, [name]), keys)
    changes = cluster_providers(params)
    cell = services.cell_of(call.account, name)
    return single("cluster", await cell.put_cluster_providers(call.account, name, changes))


async def describe_capacity_providers(call: Call, services: Services, params: Params) -> Answer:
    given = params.get("capacityProviders") or []
    if len(given) > _NAMED_MAX:
        raise InvalidParameter(f"capacityProviders can have at most {_NAMED_MAX} items.")
    limit = params.get("maxResults") or _PAGE_MAX
    if not 1 <= limit <= _PAGE_MAX or params.get("maxResults") == 0:
        raise InvalidParameter(f"maxResults should be between 1 and {_PAGE_MAX}")
    wanted = list(dict.fromkeys(_arn(call, text) for text in given or _ALL))
    own = [arn for arn in wanted if arn.startswith(_arn(call, ""))]
    authorize(call, "ecs:DescribeCapacityProviders", own or [_arn(call, name) for name in _ALL])
    there = await _of_cluster(call, services, params["cluster"]) if params.get("cluster") else _ALL
    shown = [name for arn in wanted for name in there if arn == _arn(call, name)]
    missing = [arn for arn in wanted if given and arn not in {_arn(call, name) for name in there}]
    start = page_start(call, params, int)
    first = 0 if start is None else max(0, int(start[0]))
    page = shown[first : first + limit]
    answer: dict[str, Any] = {"capacityProviders": [_shown(call, name) for name in page]}
    answer["failures"] = [{"arn": arn, "reason": "MISSING"} for arn in missing if first == 0]
    if first + limit < len(shown):
        answer["nextToken"] = next_token(call, (first + limit,))
    return answer


def _arn(call: Call, name: str) -> str:
    """An ARN is taken as it is: one of another account or kind is looked for, and is missing."""
    return name if name.startswith("arn:") else call.arn("ecs", f"capacity-provider/{name}")


async def _of_cluster(call: Call, services: Services, text: str) -> Sequence[str]:
    name = cluster_name(call, text)
    found = await services.cell_of(call.account, name).describe_clusters(call.account, [name], frozenset())
    if not found.documents:
        raise ClusterNotFound
    providers: list[str] = msgspec.json.decode(found.documents[0])["capacityProviders"]
    return providers


def _shown(call: Call, name: str) -> dict[str, Any]:
    """Nobody can tag the predefined ones, so their tags are empty whether they are included or not."""
    return {"capacityProviderArn": _arn(call, name), "name": name, "status": "ACTIVE", "tags": [], "type": name}
