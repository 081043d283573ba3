"""The proxies of load balancers on one host: what the agent asks of whoever runs them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..model.balancing import BalancerPlan, NodeReport


class BalancerRunner(Protocol):
    """Runs one proxy for each node of this host, in the node's namespace (`hostnet.balancers.namespace_of`)."""

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        """All plans of this host; of each only the nodes that are here. What is in none of them ends.

        Repeatable. Returns when it is under way: what becomes of it the reports say. A node's namespace may come a
        moment later; then the node is tried again until it is there.
        """

    def reports(self) -> Sequence[NodeReport]:
        """What each node would say now."""

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        """Called whenever a verdict or `is_serving` changes, and each period."""
