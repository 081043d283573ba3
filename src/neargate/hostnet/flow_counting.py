"""Whether the kernel counts a router's flows: only while the VPC's plan has a flow log.

Owns two settings of the router's namespace. They hold for flows that begin afterwards. May be repeated; an agent that
comes after a killed one finds what was set.
"""

from ..model.network import VpcPlan
from ..vpc.rejections import HEADERS_BYTES, LOG_GROUP
from .flow_capture import LinuxFlowCapture
from .namespaces import Namespaces, read_sysctl, write_sysctl

_COUNTS, _TIMES = "netfilter/nf_conntrack_acct", "netfilter/nf_conntrack_timestamp"


class FlowCounting:
    def __init__(self, namespaces: Namespaces, namespace: str) -> None:
        self._namespaces = namespaces
        self._namespace = namespace
        self._is_on: bool | None = None  # None: as somebody left it
        self._was_on = False

    def follow(self, plan: VpcPlan) -> None:
        """The settings are there once rules asked for flows."""
        wanted = bool(plan.flow_logs)
        if wanted == self._is_on:
            return
        with self._namespaces.inside(self._namespace):
            self._was_on = read_sysctl(_COUNTS) == "1"
            if wanted != self._was_on:
                for name in (_TIMES, _COUNTS):
                    write_sysctl(name, "1" if wanted else "0")
        self._is_on = wanted

    def capture(self) -> LinuxFlowCapture:
        with self._namespaces.inside(self._namespace):
            made = LinuxFlowCapture(LOG_GROUP, HEADERS_BYTES, is_adopted=self._was_on)
        self._was_on = True
        return made
