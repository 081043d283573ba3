"""CreateCluster, DescribeClusters, ListClusters, DeleteCluster.

Owns the checks of their parameters; clusters are the cell's. Invariant: what a cluster cannot do yet is refused when it
is asked for, not when it is missed.
"""

from collections.abc import Sequence
from typing import Any

from ....definitions.tags import checked_tags, wire_tags
from ....interfaces.roles import Documents, Failure
from ....model.arn import cluster_arn
from ....model.errors import AwsError, InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...identity.roles import ensure_ecs_role
from ...services import Services
from .answers import described, single
from .asking import authorize_tagging, cluster_resources, provider_keys, tag_keys
from .capacity_providers import cluster_providers
from .cluster_changes import checked_changes
from .names import cluster_name, new_cluster_name
from .paging import next_token, page_limit, page_start

CLUSTERS_MAX = 100


async def create_cluster(call: Call, services: Services, params: Params) -> Answer:
    name = new_cluster_name(params.get("clusterName"))
    [resource] = await cluster_resources(call, services, [name])
    keys = tag_keys(params) | provider_keys(call, _named_providers(params))
    authorize(call, "ecs:CreateCluster", [resource], keys)
    authorize_tagging(call, params, resource.arn)
    settings = _settings(params)
    cell = services.cell_of(call.account, name)
    made = await cell.create_cluster(call.account, call.region, name, settings)
    await _ensure_service_role(call, services)
    return single("cluster", made)


async def _ensure_service_role(call: Call, services: Services) -> None:
    """ECS has a role of its own in each account, from its first cluster on. Nothing here acts by it; IAM shows it."""
    bits = services.world.random.getrandbits
    await services.identity.change(call.account, lambda book: ensure_ecs_role(book, now=int(call.now), bits=bits))


def _named_providers(params: Params) -> list[dict[str, Any]]:
    """Of the cluster and of its default strategy."""
    named = [{"capacityProvider": name} for name in params.get("capacityProviders") or ()]
    return [*named, *(params.get("defaultCapacityProviderStrategy") or ())]


def _settings(params: Params) -> dict[str, Any]:
    """The request's other members, checked."""
    return {
        **checked_changes(params),
        **cluster_providers(params),
        "tags": wire_tags(checked_tags(params.get("tags"))),
    }


async def describe_clusters(call: Call, services: Services, params: Params) -> Answer:
    given = params.get("clusters") or ["default"]
    if len(given) > CLUSTERS_MAX:
        raise InvalidParameter(f"clusters can have at most {CLUSTERS_MAX} items.")
    names, failures = _known(call, given)
    authorize(call, "ecs:DescribeClusters", await cluster_resources(call, services, names) or ["*"])
    found = Documents()
    if names:
        cell = services.cell_of(call.account, names[0])
        found = await cell.describe_clusters(call.account, names, frozenset(params.get("include") or ()))
    return described("clusters", found, failures)


def _known(call: Call, given: Sequence[str]) -> tuple[list[str], list[Failure]]:
    """Names that can exist, each once; the others are missing, as on AWS."""
    names: dict[str, None] = {}
    failures: list[Failure] = []
    for text in given:
        try:
            names[cluster_name(call, text)] = None
        except AwsError:
            arn = text if text.startswith("arn:") else cluster_arn(call.region, call.account, text)
            failures.append(Failure(arn=arn, reason="MISSING"))
    return list(names), failures


async def list_clusters(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecs:ListClusters", ["*"])
    start = page_start(call, params, str)
    cell = services.cell_of(call.account, "")
    arns, more = await cell.list_clusters(call.account, page_limit(params), None if start is None else str(start[0]))
    return {"clusterArns": arns} | ({"nextToken": next_token(call, (more,))} if more else {})


async def delete_cluster(call: Call, services: Services, params: Params) -> Answer:
    name = cluster_name(call, params["cluster"])
    authorize(call, "ecs:DeleteCluster", await cluster_resources(call, services, [name]))
    return single("cluster", await services.cell_of(call.account, name).delete_cluster(call.account, name))
