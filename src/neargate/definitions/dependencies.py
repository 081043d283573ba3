"""The order of a task's containers: dependsOn, and volumesFrom, which orders as well.

Owns the graph's rules. Invariant: what passes has an order in which every container can be started.
"""

from collections.abc import Mapping, Sequence

from ..model.errors import ClientError
from .reading import Document, members


def check_dependencies(containers: Sequence[Document]) -> None:
    """Raises ClientException. Names of the containers are unique here."""
    by_name = {container["name"]: container for container in containers}
    for container in containers:
        for wanted in members(container, "dependsOn"):
            _check_dependency(wanted, by_name)
        for source in members(container, "volumesFrom"):
            if source.get("sourceContainer") not in by_name:
                raise ClientError(
                    f"Invalid 'volumesFrom' setting. Unknown container: '{source.get('sourceContainer')}'."
                )
    if _has_cycle({name: _before(container) for name, container in by_name.items()}):
        raise ClientError("Container dependencies should not have a cycle.")


def _check_dependency(wanted: Document, by_name: Mapping[str, Document]) -> None:
    target = by_name.get(wanted["containerName"])
    if target is None:
        # The plus sign is AWS's.
        raise ClientError(f"Cannot depend on container + '{wanted['containerName']}' because it does not exist")
    if wanted["condition"] in ("COMPLETE", "SUCCESS") and target.get("essential") is not False:
        raise ClientError("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
    if wanted["condition"] == "HEALTHY" and not target.get("healthCheck"):
        raise ClientError("A dependency container with HEALTHY condition must have health check configured")


def _before(container: Document) -> set[str]:
    """Containers that must exist before this one starts."""
    return {item["containerName"] for item in members(container, "dependsOn")} | {
        item["sourceContainer"] for item in members(container, "volumesFrom")
    }


def _has_cycle(before: Mapping[str, set[str]]) -> bool:
    """Take away what waits for nothing until nothing is left; what cannot be taken away is a cycle."""
    waiting = dict(before)
    while waiting:
        ready = [name for name, names in waiting.items() if not names & waiting.keys()]
        if not ready:
            return True
        for name in ready:
            del waiting[name]
    return False
