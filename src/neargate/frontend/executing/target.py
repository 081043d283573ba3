"""Which container a command goes to, and whether one may go there at all, from the task's document. Pure.

Owns AWS's sentences for what cannot be. Must not know who asks. Invariant: what passes names a container that runs, of
a task that was started for this.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...model.errors import InvalidParameter
from .sessions import ExecPlace

COMMAND_MAX_CHARS = 8192
AGENT = "ExecuteCommandAgent"
_NOT_ENABLED = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn\u2019t running. Wait and try again or run a new task with execute command enabled and try again."
)


def only_container(document: Mapping[str, Any]) -> str | None:
    """The name that need not be given."""
    containers = document["containers"]
    return str(containers[0]["name"]) if len(containers) == 1 else None


def checked_container(document: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Raises InvalidParameter."""
    chosen = name or only_container(document)
    if chosen is None:
        raise InvalidParameter("A container name must be specified for a task that has more than one container.")
    found = next((item for item in document["containers"] if item["name"] == chosen), None)
    if found is None:
        raise InvalidParameter(f"The container {chosen[:255]} was not found in the task.")
    agents = [agent for agent in found.get("managedAgents", ()) if agent["name"] == AGENT]
    if not document.get("enableExecuteCommand") or not any(agent["lastStatus"] == "RUNNING" for agent in agents):
        raise InvalidParameter(_NOT_ENABLED)
    container: Mapping[str, Any] = found
    return container


def executed_place(document: Mapping[str, Any], container: Mapping[str, Any]) -> ExecPlace:
    """Of a task's document and one of its containers. The target is as the aws CLI puts it together for its plugin."""
    _, _, cluster = document["clusterArn"].rpartition("/")
    _, _, task_id = document["taskArn"].rpartition("/")
    addresses = [
        interface["privateIpv4Address"]
        for interface in container.get("networkInterfaces", ())
        if "privateIpv4Address" in interface
    ]
    return ExecPlace(
        account=document["taskArn"].split(":")[4],
        task_id=task_id,
        container=container["name"],
        address=addresses[0] if addresses else "",
        target=f"ecs:{cluster}_{task_id}_{container.get('runtimeId', '')}",
    )


def words(command: str) -> tuple[str, ...]:
    """As a shell would split them, but without one: the image may have none. Raises InvalidParameter."""
    if not command.strip():
        raise InvalidParameter("Command cannot be empty.")
    if len(command) > COMMAND_MAX_CHARS:
        raise InvalidParameter(f"command can have at most {COMMAND_MAX_CHARS} characters.")
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise InvalidParameter(f"The command cannot be split into words: {error}.") from None
    return checked_words(found)


def checked_words(given: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidParameter."""
    if not given or not given[0]:
        raise InvalidParameter("Command cannot be empty.")
    if any("\0" in word for word in given) or sum(map(len, given)) > COMMAND_MAX_CHARS:
        raise InvalidParameter(f"command can have at most {COMMAND_MAX_CHARS} characters and no NUL.")
    try:
        "".join(given).encode()
    except UnicodeEncodeError:  # of a terminal's bytes that are no text
        raise InvalidParameter("command must be text in UTF-8.") from None
    return tuple(given)
