"""How a session begins once its client is there: its key from KMS, its log, its terminal, in this order.

Owns AWS's rules for logs and keys, asked for in the name of the task's role. Must not know how clients speak.
Invariants: a session that is to be encrypted, or logged only encrypted, begins only so; one whose log is refused goes
on without, as on AWS, and the server's log says so.
"""

import base64
from collections.abc import Callable

from msgspec import Struct

from ...interfaces.roles import ExecutedTask, TaskIdentity
from ...log import get_logger
from ...model.errors import TargetNotConnected
from ...model.knobs import Knobs
from ...wire.exec_encryption import HandshakeFailed, NeedsKey
from ...world import World
from .calls import ApiCalls, CallRefused
from .relay import Beginning, Begun, CannotBegin
from .rules import NOT_ENCRYPTED, log_group
from .session_log import SessionLog
from .sessions import ExecSession, ExecSessions

_PAGES_MAX = 20  # of groups whose names begin alike
_log = get_logger(__name__)


class Keeping(Struct, frozen=True, kw_only=True):
    """Makes Beginnings. `calls_of`: the means to call in the name of a task's role, from the task's address."""

    world: World
    knobs: Knobs
    region: str
    calls_of: Callable[[TaskIdentity, str], ApiCalls]

    def of(self, session: ExecSession, sessions: ExecSessions) -> Beginning:
        return _Beginning(self, session, sessions)


def key_context(session_id: str, target: str, challenge: str | None = None) -> dict[str, str]:
    """What KMS is told of a session's data key, by its client and by us."""
    context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": target}
    return context if challenge is None else {**context, "aws:ssm:RandomChallenge": challenge}


class _Beginning:
    def __init__(self, means: Keeping, session: ExecSession, sessions: ExecSessions) -> None:
        self._means = means
        self._session = session
        self._sessions = sessions
        self._task: ExecutedTask | None = None

    async def unlocked(self, needed: NeedsKey) -> bytes:
        session = self._session
        params = {
            "CiphertextBlob": base64.b64encode(needed.sealed_key).decode(),
            "KeyId": session.rules.key_id,
            "EncryptionContext": key_context(session.id, session.place.target, needed.challenge),
        }
        try:
            answer = await self._calls(await self._known()).ask("kms", "Decrypt", params)
        except CallRefused as refused:
            why = f"Fetching data key failed: Unable to retrieve data key, Error when decrypting data key {refused}"
            raise CannotBegin(str(HandshakeFailed(why))) from None
        return base64.b64decode(answer["Plaintext"])

    async def begin(self) -> Begun:
        log = await self._begin_log(await self._known())
        try:
            terminal = await self._sessions.open_terminal(self._session)
        except BaseException as error:
            if log is not None:
                await log.finish()
            if isinstance(error, TargetNotConnected):
                raise CannotBegin(error.message) from None
            raise
        return Begun(terminal=terminal, log=log)

    async def _known(self) -> ExecutedTask:
        """Raises CannotBegin."""
        if self._task is None:
            self._task = await self._sessions.task(self._session)
        if self._task is None:
            raise CannotBegin(TargetNotConnected().message)
        return self._task

    def _calls(self, task: ExecutedTask) -> ApiCalls:
        return self._means.calls_of(task.identity, self._session.place.address)

    async def _begin_log(self, task: ExecutedTask) -> SessionLog | None:
        """Raises CannotBegin."""
        session, means = self._session, self._means
        group = log_group(session.rules, task, means.region)
        if not group:
            return None
        calls = self._calls(task)
        if session.rules.needs_encrypted_group and not await _is_encrypted(calls, group):
            raise CannotBegin(NOT_ENCRYPTED)
        facts = {"session": session.id, "task": session.task_id, "group": group}
        log = SessionLog(
            means.world,
            means.knobs,
            calls,
            group=group,
            stream=session.id,
            note=lambda why: _log.warning("an executed command is not logged any more", **facts, why=why),
        )
        means.world.spawn(log.run(), f"log-{session.id}")
        return log


async def _is_encrypted(calls: ApiCalls, group: str) -> bool:
    """Who may not look cannot know, which AWS takes for no."""
    params = {"logGroupNamePrefix": group}
    for _ in range(_PAGES_MAX):
        try:
            page = await calls.ask("logs", "DescribeLogGroups", params)
        except CallRefused:
            return False
        for found in page.get("logGroups", ()):
            if found["logGroupName"] == group:
                return bool(found.get("kmsKeyId"))
        if not page.get("nextToken"):
            return False
        params["nextToken"] = page["nextToken"]
    return False
