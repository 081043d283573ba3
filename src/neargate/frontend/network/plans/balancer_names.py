"""Names of load balancers in the resolvers of their account's VPCs: which addresses each leads to. Pure.

As on AWS a name says public addresses of one that faces the internet, whoever asks, and private ones of an internal
one. It lists the nodes that serve and have a healthy target, and all that serve where none has. Network load balancers
have a name for each zone beside it, which says that zone's node whatever becomes of the others.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from ....model.balancing import NETWORK_LB
from ....model.network import VpcDns
from ...regional.shelves import Shelf
from ..nodes import balancer_nodes as nodes
from ..records.balancers import LoadBalancer, Node, balancers


def with_balancers(dns: VpcDns, shelf: Shelf) -> VpcDns:
    found = tuple(pair for balancer in balancers(shelf) for pair in names(balancer))
    return replace(dns, endpoints=(*dns.endpoints, *found)) if found else dns


def names(balancer: LoadBalancer) -> Iterator[tuple[str, str]]:
    """(name, address)."""
    name = balancer.dns_name.lower()
    yield from ((name, address) for one in nodes.led_to(balancer) if (address := _address(balancer, one)))
    if balancer.lb_type == NETWORK_LB:
        there = nodes.led_to_in_zones(balancer)
        yield from ((f"{one.zone}.{name}", address) for one in there if (address := _address(balancer, one)))


def _address(balancer: LoadBalancer, node: Node) -> str | None:
    return node.public_ip if balancer.scheme == "internet-facing" else node.private_ip
