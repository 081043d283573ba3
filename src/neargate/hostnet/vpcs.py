"""The VPCs of this host: their routers, the links between peers, and where public addresses of NAT gateways and of load
balancers' nodes lead.

Owns what one VPC's plan means for others: a peer's groups and members, an elastic address that moves. Which task has
which interface is `network`'s. Every method may be repeated.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from ..log import get_logger
from ..model.network import Eni, VpcPlan
from ..vpc.ruleset import PeerVpc
from .balancers import Balancers
from .edge import Edge
from .endpoints import Endpoints
from .namespaces import Namespaces
from .router import Router, namespace_name

log = get_logger(__name__)


class Vpcs:
    """`edge` may be asked for once the host's network is started. `is_for_tasks`: whether a public address is."""

    def __init__(
        self,
        namespaces: Namespaces,
        edge: Callable[[], Edge],
        *,
        endpoint_port: int,
        mtu: int,
        beyond_mtu: int,
        is_for_tasks: Callable[[str], bool],
    ) -> None:
        self.routers: dict[str, Router] = {}
        self.endpoints = Endpoints(namespaces, mtu=mtu, beyond_mtu=beyond_mtu)
        self.balancers = Balancers(namespaces, mtu=mtu, beyond_mtu=beyond_mtu)
        self._namespaces = namespaces
        self._edge = edge
        self._endpoint_port = endpoint_port
        self._mtu = mtu
        self._is_for_tasks = is_for_tasks
        self._gateways: dict[str, str] = {}  # public address -> VPC
        # VPCs whose peerings may have changed: they stay here until that is carried out, however often it fails.
        self._to_join: dict[str, None] = {}

    @property
    def gateway_publics(self) -> Collection[str]:
        return self._gateways.keys()

    def adopt(self, plan: VpcPlan, enis: Mapping[str, Eni]) -> None:
        """The router of a VPC, made or found. `settle` is to follow when all are there."""
        self.routers[plan.vpc_id] = Router.ensure(
            self._namespaces, self._edge(), plan, enis, self._endpoint_port, self._peers_of
        )

    def settle(self, taken: Collection[str]) -> None:
        for router in self.routers.values():
            self._publish(router.plan, taken)
            self._settle_planned(router)
        self._to_join |= dict.fromkeys(self.routers)
        self._join()

    def apply(self, plan: VpcPlan, taken: Collection[str]) -> None:
        """`taken`: public addresses of tasks."""
        router = self.routers.get(plan.vpc_id)
        for peering in (*(router.plan.peerings if router is not None else ()), *plan.peerings):
            self._to_join |= {plan.vpc_id: None, peering.peer_vpc: None}
        if router is None:
            self.adopt(plan, {})
        else:
            router.apply(plan)
        self._publish(plan, taken)
        self._settle_planned(self.routers[plan.vpc_id])
        self._join()

    def remove(self, vpc_id: str) -> None:
        """A VPC without tasks here. Its links are gone when this returns; the kernel frees the rest later."""
        router = self.routers.get(vpc_id)
        if router is not None:
            for peering in router.plan.peerings:
                self._to_join[peering.peer_vpc] = None
            self._unpublish(vpc_id, ())
            self.endpoints.remove(router)
            self.balancers.remove(router)
            router.leave()
            self._edge().leave_router(vpc_id)
            router.close()
            del self.routers[vpc_id]
        self._namespaces.delete(namespace_name(vpc_id))
        self._join()

    @property
    def namespaces(self) -> set[str]:
        """Of endpoints and of nodes."""
        return self.endpoints.namespaces() | self.balancers.namespaces()

    @property
    def links(self) -> set[str]:
        """The routers' ends of these."""
        return self.endpoints.links() | self.balancers.links()

    def _settle_planned(self, router: Router) -> None:
        self.endpoints.settle(router)
        self.balancers.settle(router)

    def cut_at_peers(self, router: Router, addresses: Collection[str]) -> None:
        """What peers' routers still know of addresses that are nobody's now."""
        for peering_id, other in self._peered(router.plan):
            other.cut_over(peering_id, addresses)

    def tell_peers(self, router: Router) -> None:
        """Of members that a group has won or lost."""
        for _, other in self._peered(router.plan):
            other.reload()

    def close(self) -> None:
        for router in self.routers.values():
            router.close()
        self.routers.clear()
        self.endpoints.forget()
        self.balancers.forget()
        self._gateways.clear()
        self._to_join.clear()

    def _peers_of(self, plan: VpcPlan) -> list[PeerVpc]:
        return [other.as_peer(peering_id) for peering_id, other in self._peered(plan)]

    def _peered(self, plan: VpcPlan) -> Iterator[tuple[str, Router]]:
        """Peerings with VPCs of this host whose plans know of them too."""
        for peering in plan.peerings:
            other = self.routers.get(peering.peer_vpc)
            back = other.plan.peerings if other is not None else ()
            if other is not None and (peering.peering_id, plan.vpc_id) in {(p.peering_id, p.peer_vpc) for p in back}:
                yield peering.peering_id, other

    def _join(self) -> None:
        routers = [self.routers[vpc_id] for vpc_id in self._to_join if vpc_id in self.routers]
        for router in routers:
            for peering_id, other in self._peered(router.plan):
                router.join(other, peering_id, mtu=self._mtu)
        for router in routers:
            router.reload()
            router.settle_peerings([peering_id for peering_id, _ in self._peered(router.plan)])
        self._to_join.clear()

    def _publish(self, plan: VpcPlan, taken: Collection[str]) -> None:
        """Public addresses of the VPC's gateways and nodes lead to its router, and those it no longer has do not."""
        wanted = {nat.public_ipv4: nat.nat_id for nat in plan.nats if nat.public_ipv4 is not None}
        wanted |= {node.public_ipv4: node.place for node in plan.nodes if node.public_ipv4 is not None}
        self._unpublish(plan.vpc_id, {public for public in wanted if self._is_for_tasks(public)})
        for public, holder in wanted.items():
            if public in taken or not self._is_for_tasks(public):
                log.warning("public address cannot be used", vpc_id=plan.vpc_id, holder=holder, address=public)
                continue
            self._gateways[public] = plan.vpc_id
            self._edge().add_public(plan.vpc_id, public)

    def _unpublish(self, vpc_id: str, kept: Collection[str]) -> None:
        for public in [held for held, owner in self._gateways.items() if owner == vpc_id and held not in kept]:
            self._edge().remove_public(public)
            del self._gateways[public]
