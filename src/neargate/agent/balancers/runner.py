"""All nodes of load balancers on this host, each with its own runner; what is in no plan ends.

Implements BalancerRunner. Nothing is ended before the first plans came: what a killed agent left runs on until then.
"""

from collections.abc import Callable, Sequence

from ...interfaces.hostnet import HostError
from ...interfaces.proxies import AccessLines, ProxyHost
from ...log import get_logger
from ...model.balancing import BalancerPlan, NodeReport
from ...model.knobs import Knobs
from ...world import World
from .node import LANE, NodeRunner


class ProxyRunner:
    """`connections_max`: of one node's clients at a time."""

    def __init__(
        self, world: World, knobs: Knobs, host: ProxyHost, host_id: str, *, connections_max: int = 20_000
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._host = host
        self._host_id = host_id
        self._connections_max = connections_max
        self._log = get_logger(__name__).bind(host=host_id)
        self._nodes: dict[str, NodeRunner] = {}
        self._listeners: list[Callable[[NodeReport], None]] = []
        self._ship: AccessLines = _nowhere

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        wanted = {node.eni_id: (plan, node) for plan in plans for node in plan.nodes if node.host_id == self._host_id}
        for eni_id in [eni_id for eni_id in self._nodes if eni_id not in wanted]:
            self._nodes.pop(eni_id).end()
        for eni_id in await self._world.offload(LANE, self._host.nodes):
            if eni_id not in wanted:
                await self._end(eni_id)
        for eni_id, (plan, node) in wanted.items():
            if eni_id not in self._nodes:
                self._nodes[eni_id] = self._begun(eni_id)
            self._nodes[eni_id].give(plan, node)

    async def _end(self, eni_id: str) -> None:
        """One that cannot be ended keeps no other from its plan; it is tried again with the next ones."""
        try:
            await self._world.offload(LANE, self._host.end, eni_id)
        except (HostError, OSError) as error:
            self._log.warning("a proxy of no plan is not ended yet", interface=eni_id, why=str(error))

    def _begun(self, eni_id: str) -> NodeRunner:
        runner = NodeRunner(
            self._world,
            self._knobs,
            self._host,
            eni_id,
            self._connections_max,
            self._heard,
            self._log.info,
            lambda sent_by, eni_id, lines: self._ship(sent_by, eni_id, lines),
        )
        self._world.spawn(runner.run(), f"balancer-{eni_id}")
        return runner

    def reports(self) -> Sequence[NodeReport]:
        return [told for runner in self._nodes.values() if (told := runner.report()) is not None]

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        self._listeners.append(listener)

    def on_access_lines(self, ship: AccessLines) -> None:
        self._ship = ship

    def _heard(self, report: NodeReport) -> None:
        for listener in self._listeners:
            listener(report)


def _nowhere(sent_by: str, eni_id: str, lines: Sequence[tuple[int, str]]) -> bool:
    del sent_by, eni_id, lines
    return False
