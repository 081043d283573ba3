"""What must hold of a task's document as DescribeTasks shows it: at each change, and once everything is at rest.

Pure: documents in, sentences out. Must not know where they come from.
"""

from collections.abc import Mapping
from typing import Any

# Time -> those that are not later, where both are shown.
_NOT_LATER = {
    "pullStartedAt": ("createdAt",),
    "pullStoppedAt": ("createdAt", "pullStartedAt"),
    "connectivityAt": ("createdAt",),
    "startedAt": ("createdAt", "pullStoppedAt"),
    "stoppingAt": ("createdAt", "startedAt"),
    "executionStoppedAt": ("createdAt", "startedAt"),
    "stoppedAt": ("createdAt", "pullStoppedAt", "connectivityAt", "startedAt", "stoppingAt", "executionStoppedAt"),
}
_LATER_THAN_RUNNING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED")


def at_each_change(before: Mapping[str, Any], document: Mapping[str, Any]) -> str | None:
    """`before`: the same task's document until now."""
    for member, earlier in _NOT_LATER.items():
        if member in before and document.get(member) != before[member]:
            return f"{member} was {before[member]} and became {document.get(member)}"
        for other in earlier:
            if member in document and other in document and document[other] > document[member]:
                return f"{member} {document[member]} is before {other} {document[other]}"
    if document["lastStatus"] in _LATER_THAN_RUNNING and document["desiredStatus"] != "STOPPED":
        return f"it is {document['lastStatus']} and wanted {document['desiredStatus']}"
    return None


def at_rest(document: Mapping[str, Any]) -> str | None:
    """Of a task that is stopped."""
    for member in ("stoppedAt", "stoppingAt", "stopCode", "stoppedReason"):
        if not document.get(member):
            return f"it is stopped without {member}"
    going = [container["name"] for container in document["containers"] if container["lastStatus"] != "STOPPED"]
    if going:
        return f"it is stopped and its container {going[0]} is not"
    if document["stopCode"] == "EssentialContainerExited" and all(
        "exitCode" not in container for container in document["containers"]
    ):
        return "a container ended it, and none has an exit code"
    return None
