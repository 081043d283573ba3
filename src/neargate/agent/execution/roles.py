"""Credentials of the execution roles of this host's tasks: what the platform does for a task is done with them.

Owns who has which, for as long as the task is here. Must not know what they are used for. Invariants: they are asked
for when something needs them, they lie in this process's memory only, and no container, file or report ever gets them.
A next process of the agent asks for its own.
"""

import asyncio
from collections.abc import Callable

from ...link.messages import CredentialsIssued, CredentialsRefused
from ...model.concealed import Concealed
from ...model.knobs import Knobs
from ...world import World, within
from ..task_context import LaunchFailed


class Held(Concealed, frozen=True, kw_only=True):
    """`received_at`: monotonic. With it the server's clock is known: a host whose own is wrong signs all the same."""

    issued: CredentialsIssued
    received_at: float

    def server_time(self, monotonic: float) -> float:
        """Epoch seconds, about a second late."""
        return self.issued.issued_at + monotonic - self.received_at


class ExecutionRoles:
    """`ask` sends the question for one task; while there is no server nothing happens, and it is asked again."""

    def __init__(self, world: World, knobs: Knobs, *, ask: Callable[[str], None]) -> None:
        self._world = world
        self._knobs = knobs
        self._ask = ask
        self._held: dict[str, Held] = {}
        self._waiting: dict[str, int] = {}  # task id -> how many steps of its launch wait
        self._refused: dict[str, str] = {}
        self._heard = asyncio.Event()

    async def ready(self, task_id: str) -> Held:
        """Returns once there are credentials. Raises LaunchFailed in AWS's words."""
        held = self._held.get(task_id)
        if held is not None and held.issued.expires_at > held.server_time(self._world.monotonic()):
            return held
        if task_id not in self._waiting:
            self._held.pop(task_id, None)
            self._refused.pop(task_id, None)
        self._waiting[task_id] = self._waiting.get(task_id, 0) + 1
        try:
            return await self._answer(task_id, is_first=self._waiting[task_id] == 1)
        finally:
            self._waiting[task_id] -= 1
            if not self._waiting[task_id]:
                del self._waiting[task_id]

    def answered(self, answer: CredentialsIssued | CredentialsRefused) -> None:
        """What nobody waits for is nobody's."""
        if answer.task_id not in self._waiting:
            return
        if isinstance(answer, CredentialsIssued):
            self._held[answer.task_id] = Held(issued=answer, received_at=self._world.monotonic())
        elif answer.is_final:
            self._refused[answer.task_id] = answer.message
        self._tell()

    def connected(self) -> None:
        """A session stands: what is missing is asked for at once."""
        for task_id in self._waiting:
            self._ask(task_id)

    def forget(self, task_id: str) -> None:
        """The task is over. Repeatable."""
        self._held.pop(task_id, None)
        self._refused.pop(task_id, None)

    async def _answer(self, task_id: str, *, is_first: bool) -> Held:
        if is_first:
            self._ask(task_id)
        while task_id not in self._held:
            if task_id in self._refused:
                raise LaunchFailed(self._refused[task_id])
            try:
                await within(self._knobs.task_credentials_look_s, self._heard.wait())
            except TimeoutError:
                self._ask(task_id)
        return self._held[task_id]

    def _tell(self) -> None:
        """Whoever waits looks again; who comes later waits for the next."""
        self._heard.set()
        self._heard = asyncio.Event()
