"""Who waits for an answer about protection: a bounded number, and nobody who is gone."""

import asyncio
from typing import Any, cast

from neargate.agent.metadata import task_protection
from neargate.agent.metadata.task_protection import TaskProtection
from neargate.agent.task_record import TaskRecord
from neargate.link.messages import ProtectionAsk, ProtectionTold
from neargate.model.knobs import Knobs
from neargate.world import OsWorld


class Launched:
    task_arn = "arn:aws:ecs:us-east-1:123456789012:task/default/one"


class Record:
    task_id = "one"
    launch = Launched


RECORD = cast("TaskRecord", Record)


def test_tasks_that_are_cut_off_while_they_wait_take_nobody_s_place() -> None:
    async def body() -> None:
        asked: list[ProtectionAsk] = []

        def ask(one: ProtectionAsk) -> bool:
            asked.append(one)
            return True

        protection = TaskProtection(OsWorld(), Knobs(metadata_protection_wait_s=60.0), ask)
        for round_of in range(2):
            waiting = [
                asyncio.ensure_future(protection.answer(RECORD, None)) for _ in range(task_protection._WAITING_MAX)
            ]
            await asyncio.sleep(0)
            assert len(asked) == len(waiting) * (round_of + 1)
            status, _ = await protection.answer(RECORD, None)
            assert status == 500, "there is an end to how many wait"
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        last: asyncio.Future[tuple[int, dict[str, Any]]] = asyncio.ensure_future(protection.answer(RECORD, None))
        await asyncio.sleep(0)
        protection.answered(ProtectionTold(number=asked[-1].number))
        status, document = await last
        assert (status, document["protection"]["ProtectionEnabled"]) == (200, False)

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())
