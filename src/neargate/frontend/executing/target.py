"""Which container a command goes to, and whether one may go there at all, from the task's document. Pure.

Owns AWS's sentences for what cannot be. Must not know who asks. Invariant: what passes names a container that runs, of
a task that was started for this.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...model.errors import ClientError, InvalidParameter

COMMAND_MAX_CHARS = 8192
AGENT = "ExecuteCommandAgent"
_NOT_ENABLED = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn\u2019t running. Wait and try again or run a new task with execute command enabled and try again."
)
_NOT_LOGGED = (
    "The executeCommandConfiguration of this cluster wants sessions logged (logging OVERRIDE), which Neargate does "
    "not do yet. Set it to NONE or DEFAULT with UpdateCluster."
)
_NOT_ENCRYPTED = (
    "The executeCommandConfiguration of this cluster wants sessions encrypted with a KMS key, which Neargate does "
    "not do yet. Leave its kmsKeyId out with UpdateCluster."
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


def check_configuration(cluster: Mapping[str, Any]) -> None:
    """Who wants sessions logged or encrypted by a key gets none that are not. Raises ClientError."""
    asked = (cluster.get("configuration") or {}).get("executeCommandConfiguration") or {}
    if asked.get("logging") == "OVERRIDE":
        raise ClientError(_NOT_LOGGED)
    if asked.get("kmsKeyId"):
        raise ClientError(_NOT_ENCRYPTED)


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
