"""By which way a flow left its interface, told by the mark that the flow remembers: for flow logs."""

from collections.abc import Mapping

from ..model.network import PlannedNat, VpcPlan
from .marks import marks
from .routing import EGRESS_ONLY, INTERNET, Routing

_WITHIN_VPC, _PEERING, _INTERNET_GATEWAY = 1, 4, 8  # AWS's numbers; 8 as interfaces of its newer machines have it
_SERVICES = 0  # the router's own, which answer as an endpoint in the VPC would


def traffic_paths(plan: VpcPlan) -> Mapping[int, int]:
    """A flow's mark -> AWS's number."""
    found = {_SERVICES: _WITHIN_VPC}
    peerings = {peering.peering_id for peering in plan.peerings}
    for way, mark in marks(Routing(plan).all_ways()).items():
        if way.nats:
            found[mark] = _WITHIN_VPC  # to the gateway
        elif way.exit in (INTERNET, EGRESS_ONLY):
            found[mark] = _INTERNET_GATEWAY
        else:
            found[mark] = _PEERING if way.exit in peerings else _WITHIN_VPC
    return found


def gateway_marks(plan: VpcPlan) -> Mapping[int, PlannedNat]:
    """The mark of flows through one NAT gateway alone -> that gateway."""
    nats = {nat.nat_id: nat for nat in plan.nats}
    found = {mark: way.nats for way, mark in marks(Routing(plan).all_ways()).items()}
    return {mark: nats[passed[0]] for mark, passed in found.items() if len(passed) == 1 and passed[0] in nats}
