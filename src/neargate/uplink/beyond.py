"""`--uplink-networks`: private networks of the operator's that gateways carry tasks' packets to all the same. Pure."""

from ipaddress import IPv4Network, ip_network

_SHORTEST = 8  # a prefix of a whole private range; what is larger is a slip
_NEVER = {
    "0.0.0.0/8": "this network",
    "127.0.0.0/8": "a machine's loopback",
    "169.254.0.0/16": "link-local: a cloud's metadata service is there",
    "224.0.0.0/3": "multicast, or nobody's",
}


def objection(cidr: str) -> str:
    """Why tasks cannot be let there; empty where they can."""
    try:
        network = ip_network(cidr)
    except ValueError as error:
        return f"is no network ({error}); write for example 10.1.0.0/16"
    if not isinstance(network, IPv4Network):
        return "networks of IPv4 alone can be named"
    if network.prefixlen < _SHORTEST:
        return f"name networks one by one: a prefix of /{_SHORTEST} or longer"
    what = next((text for never, text in _NEVER.items() if network.overlaps(IPv4Network(never))), "")
    return f"is never carried: {what}" if what else ""
