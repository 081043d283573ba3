"""Network ACLs as chains: stateless, in the order of their numbers, asked on the border of a subnet.

Owns what a numbered line becomes, and for which subnets there is anything to ask: the ACL that lets everything pass,
which most subnets have, costs nothing. An allowed packet `return`s, a denied one is dropped, and so is what no line
speaks of. A subnet whose ACL is not in the plan is shut; a line that cannot be read denies from there on.
"""

from ipaddress import ip_address, ip_network

from ..model.network import AclRule, NetworkAcl, VpcPlan
from .matches import plain, protocol_match
from .table import content_name

_FAMILIES = {4: "ip", 6: "ip6"}


class Borders:
    """The chains of one plan's ACLs, made as they are asked for."""

    def __init__(self, plan: VpcPlan) -> None:
        acls = {acl.acl_id: acl for acl in plan.acls}
        self._of = {subnet.subnet_id: acls.get(subnet.acl) for subnet in plan.subnets}
        has_ipv6 = any(subnet.ipv6_cidr is not None for subnet in plan.subnets)
        self._versions = (4, 6) if has_ipv6 else (4,)
        self.chains: dict[str, tuple[str, ...]] = {}
        both = (False, True)
        self.are_open = all(self.chain(subnet_id, egress=egress) is None for subnet_id in self._of for egress in both)

    def chain(self, subnet_id: str, *, egress: bool, peer: str | None = None, refusal: str = "drop") -> str | None:
        """To jump to with a packet that crosses the border, or None where everything may.

        `peer`: the address at the other end where the packet, as the rules have it, does not show it yet or any more.
        `refusal`: what happens to a packet that may not.
        """
        acl = self._of.get(subnet_id)
        if acl is not None and is_open(acl, egress=egress, versions=self._versions):
            return None
        lines = acl_lines(acl, egress=egress, peer=peer, refusal=refusal)
        name = content_name("a", lines)
        self.chains[name] = lines
        return name


def is_open(acl: NetworkAcl, *, egress: bool, versions: tuple[int, ...]) -> bool:
    """Whether all of these families may pass, whatever else the ACL says."""
    undecided = set(versions)
    for rule in _ordered(acl, egress=egress):
        network = ip_network(rule.cidr)
        if not rule.allow and network.version in undecided:
            return False
        if network.prefixlen == 0 and rule.protocol == "-1":
            undecided.discard(network.version)
    return not undecided


def acl_lines(
    acl: NetworkAcl | None, *, egress: bool, peer: str | None = None, refusal: str = "drop"
) -> tuple[str, ...]:
    lines: list[str] = []
    for rule in _ordered(acl, egress=egress) if acl is not None else ():
        try:
            line = _line(rule, peer, refusal)
        except ValueError:
            break
        if line is not None:
            lines.append(line)
    return (*lines, refusal)


def unusable_lines(plan: VpcPlan) -> list[str]:
    """One sentence per line that cannot be expressed; nothing passes by it or by a later one."""
    sentences = []
    for acl in plan.acls:
        for rule in acl.rules:
            try:
                _line(rule, None, "drop")
            except ValueError as error:
                sentences.append(f"{acl.acl_id}: rule {rule.number} and those after it deny: {error}")
    return sentences


def _ordered(acl: NetworkAcl, *, egress: bool) -> list[AclRule]:
    return sorted((rule for rule in acl.rules if rule.is_egress == egress), key=lambda rule: rule.number)


def _line(rule: AclRule, peer: str | None, refusal: str) -> str | None:
    """None for a line that matches nothing: of ICMP of the other family, or of others than the peer."""
    network = ip_network(plain(rule.cidr))
    match = protocol_match(rule.protocol, rule.from_port, rule.to_port, network.version)
    if match is None or (peer is not None and ip_address(peer) not in network):
        return None
    family = _FAMILIES[network.version]
    if network.prefixlen == 0 or peer is not None:
        whom = f"meta nfproto ipv{network.version} "
    else:
        whom = f"{family} {'daddr' if rule.is_egress else 'saddr'} {network} "
    return f"{whom}{match}{'return' if rule.allow else refusal}"
