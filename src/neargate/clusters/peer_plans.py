"""Which VPCs a host needs beside those of its tasks: peers with interface endpoints, which each host serves. Pure.

Invariant: peers of peers are none: nothing goes through a VPC to a third.
"""

from collections.abc import Container, Iterator

from ..interfaces.roles import VpcPlans
from ..model.network import VpcPlan


def served_peers(plan: VpcPlan, plans: VpcPlans) -> Iterator[VpcPlan]:
    """Plans of the peers that have endpoints."""
    for peering in plan.peerings:
        try:
            peer = plans.plan(peering.peer_vpc)
        except KeyError:
            continue  # deleted, and the peering with it
        if peer.endpoints:
            yield peer


def is_served_to(plan: VpcPlan, inhabited: Container[str]) -> bool:
    """Whether tasks in one of these VPCs may reach endpoints of this one."""
    return bool(plan.endpoints) and any(peering.peer_vpc in inhabited for peering in plan.peerings)
