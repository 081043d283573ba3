"""Access logs of load balancers as those see them who store the lines that hosts send. Implements FlowLogBook.

Lines come as records of flow logs do, under a name of their own, and are stored in the load balancer's name: who named
the log group was asked then for leave to write there. Must not know hosts. Invariant: lines of an interface are stored
only for the load balancer of which it is a node, and only while its attribute names the group.
"""

from collections.abc import Iterator

from ...interfaces.roles import FlowLogBook, FlowLogTarget, LogTarget
from ...log import get_logger
from ...model.capacity import InterfacePlace
from ..network.records.balancers import LoadBalancer, balancers
from ..network.registry import NetworkRegistry
from ..regional.shelves import Shelf
from . import attributes

_log = get_logger(__name__)
_BEFORE = "access-"  # no flow log is called so


def name_of(balancer: LoadBalancer) -> str:
    """What its lines are sent by; empty where it has no access log."""
    return f"{_BEFORE}{balancer.arn.rpartition('/')[2]}" if group_of(balancer) else ""


def group_of(balancer: LoadBalancer) -> str:
    return attributes.of_balancer(balancer).get(attributes.ACCESS_LOG, "")


class AccessLogDelivery:
    """`flow_logs`: of whom the other records are."""

    def __init__(self, network: NetworkRegistry, flow_logs: FlowLogBook) -> None:
        self._network = network
        self._flow_logs = flow_logs

    def target(self, flow_log_id: str, place: InterfacePlace) -> FlowLogTarget | None:
        """A stream for each node: the load balancer as AWS's names of log files have it, and the node's interface."""
        if not flow_log_id.startswith(_BEFORE):
            return self._flow_logs.target(flow_log_id, place)
        shelf = self._network.shelf(place.account)
        for balancer in _of_interface(shelf, place.eni_id):
            if name_of(balancer) == flow_log_id:
                elb = balancer.arn.partition("loadbalancer/")[2]
                stream = LogTarget(
                    account=place.account,
                    region=self._network.region,
                    group=group_of(balancer),
                    stream=f"{elb.replace('/', '.')}_{place.eni_id}",
                    create_group=False,
                    task_arn=balancer.arn,
                )
                return FlowLogTarget(flow_log_id=flow_log_id, log=stream, fields=(), access_of=elb)
        return None

    async def told(self, target: FlowLogTarget, error: str) -> None:
        if not target.access_of:
            await self._flow_logs.told(target, error)
        elif error:
            _log.warning("an access log was not delivered", balancer=target.log.task_arn, why=error)


def _of_interface(shelf: Shelf, eni_id: str) -> Iterator[LoadBalancer]:
    return (one for one in balancers(shelf) if any(node.eni_id == eni_id for node in one.nodes))
