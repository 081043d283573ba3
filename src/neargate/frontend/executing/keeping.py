"""What a session begins with besides its terminal: a log, where its cluster or its task's definition wants one.

Owns AWS's rule for logs that must be encrypted. Must not know terminals or clients. Invariant: a session that may be
logged only encrypted begins only when its group is; one whose log is refused goes on without, as on AWS, and the
server's log says so.
"""

from collections.abc import Callable

from ...interfaces.roles import ExecutedTask, TaskIdentity
from ...log import get_logger
from ...model.knobs import Knobs
from ...world import World
from .rules import NOT_ENCRYPTED, log_group
from .session_log import SessionLog
from .sessions import ExecSession
from .task_role import CallRefused, RoleCalls

_PAGES_MAX = 20  # of groups whose names begin alike
_log = get_logger(__name__)


class NotKept(Exception):
    """The session must not begin; the message is for its client."""


class Keeping:
    """`calls_of`: the means to call in the name of a task's role, from the task's address."""

    def __init__(
        self, world: World, knobs: Knobs, region: str, calls_of: Callable[[TaskIdentity, str], RoleCalls]
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._region = region
        self._calls_of = calls_of

    async def begin(self, session: ExecSession, task: ExecutedTask) -> SessionLog | None:
        """Its log; None: it has none. Raises NotKept."""
        group = log_group(session.rules, task, self._region)
        if not group:
            return None
        calls = self._calls_of(task.identity, session.place.address)
        if session.rules.needs_encrypted_group and not await _is_encrypted(calls, group):
            raise NotKept(NOT_ENCRYPTED)
        facts = {"session": session.id, "task": session.task_id, "group": group}
        log = SessionLog(
            self._world,
            self._knobs,
            calls,
            group=group,
            stream=session.id,
            note=lambda why: _log.warning("an executed command is not logged any more", **facts, why=why),
        )
        self._world.spawn(log.run(), f"log-{session.id}")
        return log


async def _is_encrypted(calls: RoleCalls, group: str) -> bool:
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
