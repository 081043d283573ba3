"""What hosts must know of load balancers' nodes as a VPC's plan says it: their interfaces. Pure.

Invariant: a node is here exactly while its zone holds its address for it.
"""

from collections.abc import Iterator

from ....model.balancing import NETWORK_LB
from ....model.network import PlannedBalancerNode, SecurityGroup, SecurityGroupRule
from ...regional.shelves import Shelf
from ..nodes import balancer_nodes as nodes
from ..records.balancers import LoadBalancer

# Of network load balancers that were made without groups: as on AWS, these let everything pass.
OPEN_GROUP = "sg-00000000000000000"
_ALL = (
    SecurityGroupRule(protocol="-1", cidr_ipv4="0.0.0.0/0"),
    SecurityGroupRule(protocol="-1", cidr_ipv6="::/0"),
)


def open_groups(shelf: Shelf, vpc_id: str) -> Iterator[SecurityGroup]:
    """The one that is no account's, where a node needs it."""
    if any(node.security_groups == (OPEN_GROUP,) for node in planned_nodes(shelf, vpc_id)):
        yield SecurityGroup(group_id=OPEN_GROUP, ingress=_ALL, egress=_ALL)


def planned_nodes(shelf: Shelf, vpc_id: str) -> Iterator[PlannedBalancerNode]:
    for balancer in shelf.all(LoadBalancer):
        if balancer.vpc_id != vpc_id:
            continue
        for one in nodes.there(balancer):
            yield PlannedBalancerNode(
                place=one.place,
                balancer=balancer.arn,
                eni_id=one.eni_id or "",
                mac=one.mac or "",
                subnet_id=one.subnet_id,
                private_ipv4=one.private_ip or "",
                public_ipv4=one.public_ip,
                security_groups=_groups(balancer),
                host_id=one.host_id or "",
            )


def _groups(balancer: LoadBalancer) -> tuple[str, ...]:
    return balancer.groups or ((OPEN_GROUP,) if balancer.lb_type == NETWORK_LB else ())
