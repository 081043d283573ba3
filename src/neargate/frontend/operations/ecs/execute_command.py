"""ExecuteCommand: leave to run a command in a container, given as a session that a client opens by itself.

Owns the order of the checks. Nothing runs before the client has come with its token. Invariant: a session is granted
only for a container that this caller named or that is the task's only one, and that policies were asked about by name.
"""

import re
from typing import Any

import msgspec

from ....model.arn import cluster_arn
from ....model.errors import ClusterNotFound, InvalidParameter, TargetNotConnected
from ...authorize import Values, authorize, reads_key
from ...call import Answer, Call, Params
from ...executing.rules import session_rules
from ...executing.sessions import PATH_PREFIX
from ...executing.target import checked_container, executed_place, only_container, words
from ...services import Services
from .asking import cluster_key, cluster_resources, task_resources
from .names import cluster_name, task_id

_HOST = re.compile(r"\A[A-Za-z0-9.-]{1,253}(?::\d{1,5})?\Z|\A\[[0-9A-Fa-f:]{2,45}\](?::\d{1,5})?\Z")


async def execute_command(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    identifier = task_id(call, cluster, params["task"])
    name, document = params.get("container") or None, None
    is_asked_for = name is None and reads_key(call, "ecs:container-name")
    if is_asked_for:
        document = await _document(call, services, cluster, identifier)
        name = only_container(document) if document else None
    resources = [
        *await cluster_resources(call, services, [cluster]),
        *await task_resources(call, services, cluster, [identifier]),
    ]
    keys: dict[str, Values] = {"ecs:container-name": name} if name else {}
    authorize(call, "ecs:ExecuteCommand", resources, keys | cluster_key(call, cluster))
    if not params["interactive"]:
        raise InvalidParameter("Interactive is the only mode supported currently.")
    args = words(params["command"])
    if not is_asked_for:  # else it is the one that policies were asked about
        document = await _document(call, services, cluster, identifier)
    rules = session_rules(await _cluster(call, services, cluster))
    if document is None:
        raise InvalidParameter("The referenced task was not found.")
    container = checked_container(document, name)
    if not await services.executing.is_reachable(identifier):
        raise TargetNotConnected
    granted = services.executing.grant(executed_place(document, container), args, rules)
    return {
        "clusterArn": cluster_arn(call.region, call.account, cluster),
        "containerArn": container["containerArn"],
        "containerName": container["name"],
        "interactive": True,
        "session": {
            "sessionId": granted.session_id,
            "streamUrl": stream_url(call.host, granted.session_id, secure=call.secure),
            "tokenValue": granted.token,
        },
        "taskArn": document["taskArn"],
    }


def stream_url(host: str, session_id: str, *, secure: bool) -> str:
    """Where the caller found the API is where it finds its session."""
    place = host if _HOST.match(host) else "127.0.0.1"
    return f"{'wss' if secure else 'ws'}://{place}{PATH_PREFIX}{session_id}?role=publish_subscribe"


async def _cluster(call: Call, services: Services, cluster: str) -> dict[str, Any]:
    """Raises ClusterNotFound."""
    cell = services.cell_of(call.account, cluster)
    found = await cell.describe_clusters(call.account, [cluster], frozenset({"CONFIGURATIONS"}))
    if not found.documents:
        raise ClusterNotFound
    document: dict[str, Any] = msgspec.json.decode(found.documents[0])
    return document


async def _document(call: Call, services: Services, cluster: str, identifier: str) -> dict[str, Any] | None:
    """None where there is no such task or cluster: who may not ask does not learn which."""
    try:
        found = await services.cell_of(call.account, cluster).describe_tasks(call.account, cluster, [identifier], False)
    except ClusterNotFound:
        return None
    if not found.documents:
        return None
    document: dict[str, Any] = msgspec.json.decode(found.documents[0])
    return document
