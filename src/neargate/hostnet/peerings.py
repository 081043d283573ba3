"""Links between the routers of two VPCs of this host that are peered, and the kernel's routes over them.

Which packets go there is the rule set's decision, told by their marks: two peers of a VPC may have the same networks,
so a destination alone says nothing. Each peering has a routing table that leads all over its link. Every function may
be repeated; a link whose peering ended is removed by either side.
"""

from collections.abc import Iterable, Mapping

from ..vpc.table import peering_link
from . import netlink
from .namespaces import Namespaces
from .netlink import MarkRule, Netlink

PREFERENCE = 100  # of the rules: after the kernel's table of own addresses, before the main one
_HOP, _HOP_IPV6 = "169.254.251.1", "fe80::2"  # the other side, seen from either
_MACS = ("0e:ee:ee:ee:04:01", "0e:ee:ee:ee:04:02")
_TABLES = 1000


def ensure_link(namespaces: Namespaces, peering_id: str, ends: Mapping[str, Netlink], mtu: int) -> None:
    """`ends`: the two routers' namespaces by name, with a socket in each."""
    (_, here), (second, there) = sorted(ends.items())
    name = peering_link(peering_id)
    if here.link(name) is None:
        with namespaces.opened(second) as target:
            here.run([netlink.veth(name, _MACS[0], peer=name, peer_mac=_MACS[1], peer_namespace=target, mtu=mtu)])
    for links, mac in ((here, _MACS[1]), (there, _MACS[0])):
        index = links.existing(name).index
        links.run(
            [
                netlink.no_autoconf(index),
                netlink.link_up(index, arp=False),
                netlink.neighbour(index, _HOP, mac),
                netlink.neighbour(index, _HOP_IPV6, mac),
                netlink.route("0.0.0.0/0", index, via=_HOP, table=_table(index)),
                netlink.route("::/0", index, via=_HOP_IPV6, table=_table(index)),
            ]
        )
        links.settle(name)


def lead(links: Netlink, lookups: Mapping[int, str]) -> None:
    """Marks (-> peering) by which the kernel looks at peerings' tables instead of its own; those without link are not
    led anywhere, and their packets leave by no link that the rule set accepts."""
    indexes = {link.name: link.index for link in links.links() if link.name.startswith("p")}
    wanted = {
        (mark, _table(indexes[peering_link(peering_id)]))
        for mark, peering_id in lookups.items()
        if peering_link(peering_id) in indexes
    }
    for version in (4, 6):
        rules = {MarkRule(version=version, mark=mark, table=table, preference=PREFERENCE) for mark, table in wanted}
        known = links.mark_rules(version, PREFERENCE)
        links.run([netlink.mark_rule(rule) for rule in rules - known])
        links.run([netlink.mark_rule_gone(rule) for rule in known - rules])


def remove_others(links: Netlink, peerings: Iterable[str]) -> None:
    """Links of peerings that are no longer (not one of these): the tables' routes go with them."""
    wanted = {peering_link(peering_id) for peering_id in peerings}
    for link in links.links():
        if link.name.startswith("p") and link.name not in wanted:
            links.run([netlink.link_gone(link.name)])


def _table(index: int) -> int:
    return _TABLES + index
