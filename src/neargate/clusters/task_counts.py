"""How many tasks were launched, refused and stopped since the process began. Memory only; nobody decides by it."""

from collections.abc import Iterable

from ..interfaces.roles import Documents
from ..model.lifecycle import StopCode
from .task_table import TaskRow

NO_CODE = "none"


class TaskCounts:
    """`refused`: tasks of RunTask that no zone had room for, or that were above a limit. `stopped`: by stop code."""

    def __init__(self) -> None:
        self.launched = 0
        self.refused = 0
        self.stopped = dict.fromkeys((*(code.value for code in StopCode), NO_CODE), 0)

    def answered(self, answer: Documents, *, is_repeated: bool) -> None:
        """`is_repeated`: a client token had given its tasks before."""
        if not is_repeated:
            self.refused += len(answer.failures)

    def ended(self, tasks: Iterable[TaskRow]) -> None:
        """As their rows are now."""
        for task in tasks:
            code = task.stop_code if task.stop_code in self.stopped else NO_CODE
            self.stopped[code or NO_CODE] += 1
