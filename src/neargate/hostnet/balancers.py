"""Load balancers' nodes on this host: each is an interface like a task's, in a namespace where its proxy runs.

What endpoints share with tasks these share with endpoints. Must not know proxies: who runs one enters the namespace.
Inside, the proxy binds every port without a privilege, and a packet is taken only for the interface's own address.
"""

from collections.abc import Iterable

from ..model.network import Eni, VpcPlan
from .endpoints import Endpoints
from .namespaces import write_sysctl


def namespace_of(eni_id: str) -> str:
    return f"balancer-{eni_id}"


class Balancers(Endpoints):
    def _namespace_of(self, eni_id: str) -> str:
        return namespace_of(eni_id)

    def _planned(self, plan: VpcPlan) -> Iterable[Eni]:
        return plan.node_enis

    def _prepare(self) -> None:
        write_sysctl("ipv4/ip_unprivileged_port_start", "0")
        write_sysctl("ipv4/ip_forward", "0")
        for scope in ("all", "default"):
            write_sysctl(f"ipv4/conf/{scope}/rp_filter", "1")
            write_sysctl(f"ipv4/conf/{scope}/accept_redirects", "0")
            write_sysctl(f"ipv4/conf/{scope}/accept_source_route", "0")
