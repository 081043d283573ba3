"""What the clients of one of several accounts do: run and stop, so that hosts become empty and change hands.

Must not look into the region.
"""

from .workload import Workload


class TenantClients(Workload):
    """`calls` of them; as many stop a task as run some."""

    async def _act(self, marker: str) -> None:
        choice = self._rng.random()
        if choice < 0.45 or not self.tasks:
            await self.run_task(marker)
        elif choice < 0.9:
            await self.stop_task(self.tasks.pop(self._rng.randrange(len(self.tasks))))
        else:
            await self.describe(self._rng.sample(self.tasks, min(len(self.tasks), 5)))
