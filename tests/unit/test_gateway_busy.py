"""A cell whose database refuses reads for a while: orders wait, and the host's connection stands."""

from typing import Any

import pytest

from neargate.interfaces.store import Overloaded
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell

from .test_gateway import KNOBS, ONE_ZONE, Door


class Busy:
    """Refuses each of a store's reads as often as it is told to."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self.refusals = 0
        self.refused = 0

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.refused < self.refusals:
            self.refused += 1
            raise Overloaded("cell-0: 4096 commands are waiting")
        return await self._read(*arguments, **named)


@pytest.mark.parametrize("read", ["vpcs", "to_stop", "to_run"])
def test_orders_that_cannot_be_read_are_read_later_on_the_same_connection(
    read: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(rig: CellRig) -> None:
        orders = rig.cell.orders
        busy = Busy(getattr(orders, read))
        monkeypatch.setattr(orders, read, busy)
        door = Door(rig)
        [early] = await rig.run(**ONE_ZONE)
        busy.refusals = 3
        host = door.host()
        pipe = door.connect(host)
        await door.wait_for(early, "RUNNING")
        busy.refusals += 3
        await rig.cell.stop_task(ACCOUNT, "default", id_of(early), None)
        await door.wait_for(early, "STOPPED")
        assert busy.refused >= 3 and pipe.closed is None
        assert host.memory.violations == []

    in_cell(body, knobs=KNOBS)
    said = [record.getMessage() for record in caplog.records]
    assert any("orders wait for the cell's database" in line for line in said)
    assert not any("failed by a fault" in line for line in said)
