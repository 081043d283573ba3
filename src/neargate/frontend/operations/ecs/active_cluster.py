"""The cluster that something is to be run in: its document, for who looks at more of it than its name."""

from typing import Any

import msgspec

from ....model.errors import ClientError, ClusterNotFound
from ...call import Call
from ...services import Services


async def cluster_document(call: Call, services: Services, cluster: str) -> dict[str, Any]:
    """Raises ClusterNotFound, and ClientError for one that was deleted."""
    found = await services.cell_of(call.account, cluster).describe_clusters(call.account, [cluster], frozenset())
    if not found.documents:
        raise ClusterNotFound
    document: dict[str, Any] = msgspec.json.decode(found.documents[0])
    if document.get("status") == "INACTIVE":
        raise ClientError("The referenced cluster was inactive.")
    return document
