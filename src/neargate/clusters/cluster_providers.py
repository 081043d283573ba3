"""Which capacity providers a cluster has. A provider is taken from a cluster only when no task of it lives there.

Asks the tasks table, changes through the cluster book. A launch under way may be recorded with a provider that is just
being taken away; it runs all the same, as one that was recorded a moment before.
"""

from collections.abc import Mapping
from typing import Any

from ..interfaces.store import Store
from ..model.errors import ResourceInUse
from .cluster_book import ClusterBook, changed_cluster

_USED = (
    "SELECT DISTINCT json_extract(CAST(doc AS TEXT), '$.capacityProviderName') FROM tasks "
    "WHERE account = ? AND cluster = ? AND last_status <> 'STOPPED'"
)


async def put_providers(
    store: Store, clusters: ClusterBook, account: str, name: str, changes: Mapping[str, Any]
) -> bytes:
    """`changes`: the cluster's capacityProviders and defaultCapacityProviderStrategy, checked.

    Raises ClusterNotFound, ClientError (inactive), ResourceInUse.
    """
    taken = set(clusters.active(account, name).providers) - set(changes["capacityProviders"])
    if taken and taken & {row[0] for row in await store.read(_USED, (account, name))}:
        raise ResourceInUse("The specified capacity provider is in use and cannot be removed.")
    return await clusters.change(account, name, lambda cluster: changed_cluster(cluster, changes))
