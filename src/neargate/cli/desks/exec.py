"""What the operator's socket answers to `neargate exec`: a session in a container of any account's task.

Owns what is recorded of it: the operator's sessions stand in the account's record of calls beside those of the API.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...frontend.callers.credentials import administrator
from ...frontend.executing.calls import CallRefused
from ...frontend.executing.keeping import key_context
from ...frontend.executing.rules import session_rules
from ...frontend.executing.sessions import PATH_PREFIX
from ...frontend.executing.target import checked_container, checked_words, executed_place
from ...frontend.record.seen import SeenCall
from ...model.arn import Arn
from ...model.errors import ClientError, TargetNotConnected
from ...model.ids import uuid4
from ...region import Region
from ...wire.session_cipher import DATA_KEY_BYTES
from ...world import World
from ..admin import Handler
from .operator import OperatorDesk

OPERATOR = "neargate exec"
Answer = dict[str, Any]


def handlers(region: Region, world: World) -> dict[str, Handler]:
    """Request name -> handler. Each answers JSON-ready values."""
    desk = OperatorDesk(region)

    async def execute(request: Answer) -> Answer:
        """Raises what the desk raises, InvalidParameter, TargetNotConnected, ClientError."""
        task_id = await desk.task_id(request)
        document = (await region.cell.explain_task(task_id))["task"]
        arn = Arn.parse(document["taskArn"])
        assert arn is not None, "a task's document has its ARN"
        cluster = document["clusterArn"].rpartition("/")[2]
        found = await region.cell.describe_clusters(arn.account, [cluster], frozenset({"CONFIGURATIONS"}))
        rules = session_rules(msgspec.json.decode(found.documents[0]) if found.documents else {})
        args = checked_words([str(word) for word in request.get("command") or ()])
        container = checked_container(document, str(request.get("container") or "") or None)
        executing = region.services.executing
        if not await executing.is_reachable(task_id):
            raise TargetNotConnected("The host of this task is not connected.")
        place = executed_place(document, container)
        granted = executing.grant(place, args, rules, tells_exit_code=True)
        _record(region, world, arn.account, document, container["name"], args, granted.session_id)
        answer: Answer = {"path": f"{PATH_PREFIX}{granted.session_id}", "token": granted.token}
        if rules.key_id:
            answer["key"] = await _data_key(region, arn.account, rules.key_id, granted.session_id, place.target)
        return answer

    return {"exec": execute}


async def _data_key(region: Region, account: str, key_id: str, session_id: str, target: str) -> Answer:
    """As the client of any session has KMS make it, in the name of the account's administrator. Raises ClientError."""
    params = {"KeyId": key_id, "NumberOfBytes": DATA_KEY_BYTES, "EncryptionContext": key_context(session_id, target)}
    try:
        made = await region.calls.of_administrator(account).ask("kms", "GenerateDataKey", params)
    except CallRefused as refused:
        raise ClientError(f"Error calling KMS GenerateDataKey API: {refused}") from None
    return {"plain": made["Plaintext"], "sealed": made["CiphertextBlob"]}


def _record(
    region: Region,
    world: World,
    account: str,
    document: Mapping[str, Any],
    container: str,
    args: Sequence[str],
    session_id: str,
) -> None:
    region.recorder.record(
        SeenCall(
            request_id=uuid4(world.random.getrandbits),
            user_agent=OPERATOR,
            service="ecs",
            operation="ExecuteCommand",
            principal=administrator(account, ""),
            params={
                "cluster": document["clusterArn"],
                "task": document["taskArn"],
                "container": container,
                "command": shlex.join(args),
                "interactive": True,
            },
            asked=[document["clusterArn"], document["taskArn"]],
            answer={
                "clusterArn": document["clusterArn"],
                "taskArn": document["taskArn"],
                "containerName": container,
                "interactive": True,
                "session": {"sessionId": session_id},
            },
        )
    )
