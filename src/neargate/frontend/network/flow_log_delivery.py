"""The region's flow logs as those see them who store the records that hosts send. Implements FlowLogBook.

Owns where records of an interface go, and when what came of a delivery is kept. Must not know hosts or rights.
Invariant: whatever hosts send, a flow log's record is written seldom.
"""

from ...interfaces.roles import FlowLogTarget, LogTarget
from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.arn import Arn
from ...model.capacity import InterfacePlace
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...world import World
from .flow_logs import covers, fields_of, with_error
from .records.objects import FlowLog
from .registry import NetworkRegistry

_log = get_logger(__name__)


class FlowLogDelivery:
    def __init__(self, world: World, network: NetworkRegistry, knobs: Knobs) -> None:
        self._world = world
        self._network = network
        self._period_s = knobs.flow_status_period_s
        self._changes_max = knobs.flow_status_changes
        self._changes: dict[str, tuple[float, int]] = {}  # flow log -> when its period ends (monotonic), changes in it

    def target(self, flow_log_id: str, place: InterfacePlace) -> FlowLogTarget | None:
        """The stream is named as AWS names it: by the interface and what is logged of it."""
        shelf = self._network.shelf(place.account)
        log = shelf.find(FlowLog, flow_log_id)
        if log is None or not covers(shelf, log, place.eni_id, place.subnet_id):
            return None
        region, account = self._network.region, place.account
        arn = Arn(service="ec2", region=region, account=account, resource=f"vpc-flow-log/{log.name}")
        stream = LogTarget(
            account=account,
            region=region,
            group=log.log_group,
            stream=f"{place.eni_id}-{log.traffic.lower()}",
            create_group=True,
            task_arn=str(arn),
            execution_role_arn=log.role_arn,
        )
        return FlowLogTarget(flow_log_id=log.name, log=stream, fields=fields_of(log.log_format))

    async def told(self, target: FlowLogTarget, error: str) -> None:
        account, flow_log_id = target.log.account, target.flow_log_id
        log = self._network.shelf(account).find(FlowLog, flow_log_id)
        if log is None or log.error == error or not self._may_change(flow_log_id):
            return
        try:
            await self._network.change(account, lambda shelf: with_error(shelf, flow_log_id, error))
        except (AwsError, Overloaded) as failed:
            _log.warning("what came of a flow log was not kept", flow_log=flow_log_id, why=str(failed))

    def _may_change(self, flow_log_id: str) -> bool:
        now = self._world.monotonic()
        self._changes = {one: change for one, change in self._changes.items() if change[0] > now}
        ends, changes = self._changes.get(flow_log_id, (now + self._period_s, 0))
        if changes >= self._changes_max:
            return False
        self._changes[flow_log_id] = ends, changes + 1
        return True
