"""Credentials of the task roles of this host's tasks: asked for at a launch, renewed at half of their life.

Owns who has which and when to ask. Must not know how they are asked for or served. Invariants: credentials are taken
only for a task that asked, they are forgotten with the task, and they lie in memory and, to outlive this process, in
files that live in memory too (`credential_files`). The server's silence takes nothing away before its time.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from ..link.messages import CredentialsIssued, CredentialsRefused
from ..model.knobs import Knobs
from ..world import World
from .credential_files import CredentialFiles
from .task_context import LaunchFailed
from .task_record import Phase, TaskRecord

LANE = "agent-credentials"


class TaskCredentials:
    """`ask` sends the question for one task; while there is no server nothing happens, and it is asked again."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        files: CredentialFiles | None,
        *,
        records: Callable[[], Iterable[TaskRecord]],
        ask: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._files = files
        self._records = records
        self._ask = ask
        self._note = note
        self._held: dict[str, CredentialsIssued] = {}
        self._asked: dict[str, float] = {}  # task id -> monotonic time of the last ask that was not answered
        self._refused: dict[str, tuple[str, float]] = {}  # task id -> why, and when to ask again
        self._heard = asyncio.Event()

    async def restore(self, alive: Mapping[str, TaskRecord]) -> None:
        """What an earlier process of the agent had for the tasks that go on; the rest is removed."""
        if self._files is None:
            return
        for task_id, held in (await self._world.offload(LANE, self._files.load)).items():
            record = alive.get(task_id)
            if record is not None and held is not None and held.role_arn == record.launch.task_role_arn:
                self._held[task_id] = held
            else:
                await self._world.offload(LANE, self._files.remove, task_id)

    async def ready(self, task_id: str) -> None:
        """Returns once the task has credentials. Raises LaunchFailed in AWS's words.

        What the server gives now is good: a host whose clock is hours ahead would ask for ever.
        """
        self._refused.pop(task_id, None)
        if self.current(task_id) is None:
            self._held.pop(task_id, None)
        while task_id not in self._held:
            if task_id in self._refused:
                raise LaunchFailed(self._refused[task_id][0])
            if task_id not in self._asked:
                self._ask_for(task_id)
            self._heard.clear()
            await self._heard.wait()

    def current(self, task_id: str) -> CredentialsIssued | None:
        """None: there are none, or their time is over."""
        held = self._held.get(task_id)
        return held if held is not None and held.expires_at > self._world.now() else None

    async def answered(self, answer: CredentialsIssued | CredentialsRefused) -> None:
        """What nobody asked for is nobody's."""
        task_id = answer.task_id
        if task_id not in self._asked:
            return
        if isinstance(answer, CredentialsIssued):
            await self._take(answer)
        elif answer.is_final:
            del self._asked[task_id]
            again = self._world.monotonic() + self._knobs.task_credentials_refused_retry_s
            self._refused[task_id] = (answer.message, again)
            self._note(f"task {task_id}: its role's credentials are refused: {answer.message}")
        self._heard.set()

    async def forget(self, task_id: str) -> None:
        """The task is over. Repeatable."""
        self._asked.pop(task_id, None)
        self._refused.pop(task_id, None)
        self._held.pop(task_id, None)
        if self._files is not None:
            await self._world.offload(LANE, self._files.remove, task_id)

    def connected(self) -> None:
        """A session stands: what is missing is asked for at once."""
        self._asked = dict.fromkeys(self._asked, float("-inf"))
        self._look()

    async def run(self) -> None:
        while True:
            await self._world.sleep(self._knobs.task_credentials_look_s)
            self._look()

    def _look(self) -> None:
        now = self._world.monotonic()
        for record in self._records():
            task_id = record.task_id
            if task_id in self._asked:
                is_time = now - self._asked[task_id] >= self._knobs.task_credentials_look_s
            else:
                is_time = self._is_due(record) and now >= self._refused.get(task_id, ("", now))[1]
            if is_time:
                self._ask_for(task_id)

    def _is_due(self, record: TaskRecord) -> bool:
        """A task that starts asks for its first by itself, and one that stops has what it has."""
        if not record.credentials_id or record.launch.task_role_arn is None:
            return False
        held = self._held.get(record.task_id)
        if held is None:
            return record.phase is Phase.RUNNING
        is_half_over = self._world.now() >= (held.issued_at + held.expires_at) / 2
        return is_half_over and record.phase in (Phase.STARTING, Phase.RUNNING)

    def _ask_for(self, task_id: str) -> None:
        self._asked[task_id] = self._world.monotonic()
        self._ask(task_id)

    async def _take(self, issued: CredentialsIssued) -> None:
        if self._files is not None:
            try:
                await self._world.offload(LANE, self._files.save, issued)
            except OSError as error:
                # They are good all the same, only not for the next process of the agent, which asks for its own.
                self._note(f"task {issued.task_id}: its role's credentials are in memory only: {error}")
        if self._asked.pop(issued.task_id, None) is not None:
            self._refused.pop(issued.task_id, None)
            self._held[issued.task_id] = issued
