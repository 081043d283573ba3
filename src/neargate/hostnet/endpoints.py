"""Interface endpoints of VPCs on this host: each is an interface like a task's, in a namespace where the agent listens.

The class is load balancers' nodes' too (`balancers.py`). So what holds for tasks' interfaces holds for these: routes,
network ACLs, security groups and peers' ways to them are the rule set's, which knows no difference. Each host has its
own endpoint of the same address; nothing for it leaves the host. Nothing is recorded: what should be here follows from
the plan in force. Every method may be repeated.
"""

from collections.abc import Iterable

from ..model.network import Eni, VpcPlan
from .namespaces import Namespaces, write_sysctl
from .netlink import Netlink
from .router import Router, interface_name
from .task_link import configure_task


def namespace_of(eni_id: str) -> str:
    return f"endpoint-{eni_id}"


class Endpoints:
    def __init__(self, namespaces: Namespaces, *, mtu: int, beyond_mtu: int) -> None:
        self._namespaces = namespaces
        self._mtu = mtu
        self._beyond_mtu = beyond_mtu
        self._made: dict[str, dict[str, Eni]] = {}  # VPC -> namespace -> its interface

    def settle(self, router: Router) -> None:
        """Those of the router's plan are there, and no others."""
        made = self._made.setdefault(router.plan.vpc_id, {})
        wanted = {self._namespace_of(eni.eni_id): eni for eni in self._planned(router.plan)}
        for name in [name for name in made if name not in wanted]:
            self._remove(router, name, made[name])
            del made[name]
        for name, eni in wanted.items():
            if name not in made:
                self._make(router, name, eni)
            made[name] = eni

    def remove(self, router: Router) -> None:
        """All of a VPC that leaves this host."""
        made = self._made.get(router.plan.vpc_id, {})
        for name in list(made):
            self._remove(router, name, made[name])
            del made[name]
        self._made.pop(router.plan.vpc_id, None)

    def namespaces(self) -> set[str]:
        return {name for made in self._made.values() for name in made}

    def links(self) -> set[str]:
        """The routers' ends."""
        return {interface_name(eni.eni_id) for made in self._made.values() for eni in made.values()}

    def forget(self) -> None:
        """What is here stays, for who comes next."""
        self._made.clear()

    def _namespace_of(self, eni_id: str) -> str:
        return namespace_of(eni_id)

    def _planned(self, plan: VpcPlan) -> Iterable[Eni]:
        return plan.endpoint_enis

    def _prepare(self) -> None:
        """Inside the namespace."""
        write_sysctl("ipv4/icmp_echo_ignore_all", "1")  # AWS's answer no ping

    def _make(self, router: Router, name: str, eni: Eni) -> None:
        if self._namespaces.ensure(name):
            router.remove_link(interface_name(eni.eni_id))  # into a namespace that is gone
        router.connect(eni, name, mtu=self._mtu)
        with self._namespaces.inside(name):
            self._prepare()
            links = Netlink()
        with links:
            configure_task(links, eni, router.plan.cidrs, mtu=self._mtu, beyond_mtu=self._beyond_mtu)
        router.settle_link(eni)

    def _remove(self, router: Router, name: str, eni: Eni) -> None:
        """By hand: the agent's listener may hold the namespace, and with it the link."""
        router.disconnect(eni)
        router.remove_link(interface_name(eni.eni_id))
        self._namespaces.delete(name)
