"""Flow log records on their way to the region's server, which stores them in CloudWatch Logs.

Owns when a batch is said again and when it is given up. Must not know what a record says. Invariant: a batch that was
said twice has the same number and the same counter, so that it is stored once.
"""

from collections.abc import Callable

from ...link.messages import LogRefused
from ...model.flow_logs import FlowLogBatch
from ...model.knobs import Knobs
from ...world import World
from ..channels.bulk import BulkClient
from ..channels.link import Closed
from ..seldom import SeldomNote

# The server's trouble of the moment. After any other refusal the records are lost, as they are on AWS.
_PASSING = frozenset({"ServiceUnavailableException", "ThrottlingException"})


class FlowSender:
    def __init__(self, world: World, knobs: Knobs, bulk: BulkClient, note: Callable[[str], None]) -> None:
        self._world = world
        self._bulk = bulk
        self._retry_s = knobs.flow_retry_s
        self._losses_max = knobs.flow_losses_max
        self._counter = f"{world.random.getrandbits(128):032x}"
        self._note = SeldomNote(world, note)

    async def append_flows(self, batch: FlowLogBatch) -> None:
        """Returns when the batch is stored, or was refused for good; until then it waits for the server.

        One over which connection after connection is lost is given up: a server that was set back to an earlier release
        ends them for it, and containers' lines share them.

        Of one interface and one flow log the numbers must grow, from this object's first batch on, and the next batch
        must wait for the one before. A batch has at most `flow_batch_max_events` and `flow_batch_max_bytes` of lines.
        """
        losses = 0
        while losses < self._losses_max:
            await self._bulk.connected()
            try:
                answer = await self._bulk.send_flows(self._counter, batch)
            except Closed:
                answer = None
                losses += 1
            if isinstance(answer, LogRefused):
                self._note(
                    f"the server refused records of {batch.flow_log_id} and {batch.eni_id}: "
                    f"{answer.code}: {answer.message}"
                )
            if answer is not None and not (isinstance(answer, LogRefused) and answer.code in _PASSING):
                return
            # Also after a lost connection: until its reader gets a turn, sending on it fails without any pause.
            await self._world.sleep(self._retry_s)
        self._note(f"records of {batch.flow_log_id} and {batch.eni_id} are given up: {losses} connections were lost")
