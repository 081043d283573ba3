"""Which capacity providers a cluster has. A provider is taken from a cluster only when no task or service there has it.

Asks the tables of tasks and services, changes through the cluster book. A launch under way may be recorded with a
provider that is just being taken away; it runs all the same, as one that was recorded a moment before.
"""

from collections.abc import Mapping
from typing import Any

from ..interfaces.store import Store
from ..model.errors import ResourceInUse
from .cluster_book import ClusterBook, changed_cluster

_USED = (
    "SELECT DISTINCT json_extract(CAST(doc AS TEXT), '$.capacityProviderName') FROM tasks "
    "WHERE account = ? AND cluster = ? AND last_status <> 'STOPPED' "
    "UNION SELECT json_extract(item.value, '$.provider') FROM services v "
    "JOIN deployments d ON d.service = v.n AND d.live JOIN service_revisions r ON r.arn = d.revision, "
    "json_each(CAST(r.doc AS TEXT), '$.strategy') item "
    "WHERE v.account = ? AND v.cluster = ? AND v.status <> 'INACTIVE'"
)


async def put_providers(
    store: Store, clusters: ClusterBook, account: str, name: str, changes: Mapping[str, Any]
) -> bytes:
    """`changes`: the cluster's capacityProviders and defaultCapacityProviderStrategy, checked.

    Raises ClusterNotFound, ClientError (inactive), ResourceInUse.
    """
    taken = set(clusters.active(account, name).providers) - set(changes["capacityProviders"])
    if taken and taken & {row[0] for row in await store.read(_USED, (account, name, account, name))}:
        raise ResourceInUse("The specified capacity provider is in use and cannot be removed.")
    return await clusters.change(account, name, lambda cluster: changed_cluster(cluster, changes))
