"""What the operator's socket answers about Spot: how much is spare and how much is held, a new share, a reclaim."""

from typing import Any

from ...region import Region
from ..admin import Handler
from .operator import spot_facts, task_named

RECLAIM_MAX = 500  # of one request
Answer = dict[str, Any]


class SpotRefused(Exception):
    """The share, the count or the task cannot be; the message says what can."""


def handlers(region: Region) -> dict[str, Handler]:
    desk = SpotDesk(region)
    return {"spot-show": desk.show, "spot-share": desk.share, "spot-reclaim": desk.reclaim}


class SpotDesk:
    def __init__(self, region: Region) -> None:
        self._region = region
        self._spot = region.cell.spot

    async def show(self, _: Answer) -> Answer:
        return await spot_facts(self._region)

    async def share(self, request: Answer) -> Answer:
        """Raises SpotRefused."""
        text = str(request.get("percent", ""))
        if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 100:
            raise SpotRefused(f"{text!r} is not a share; write a whole number of percent from 0 to 100")
        await self._region.spot_setting.set(int(text))
        return await spot_facts(self._region)

    async def reclaim(self, request: Answer) -> Answer:
        """`task`: one, by the first digits of its id; else `count`: the newest. Answers the ids. Raises SpotRefused."""
        if request.get("task"):
            task_id = await task_named(self._region, str(request["task"]))
            if not await self._spot.is_on_spot(task_id):
                raise SpotRefused(f"task {task_id} is not on Spot; StopTask ends any task")
            found = [task_id]
        else:
            count = request.get("count")
            if not isinstance(count, int) or not 1 <= count <= RECLAIM_MAX:
                raise SpotRefused(f"{count!r} is not a number of tasks from 1 to {RECLAIM_MAX}")
            found = await self._spot.newest(count)
        await self._spot.reclaim(found)
        return {"tasks": found}
