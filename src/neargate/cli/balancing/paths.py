"""What a network lets pass of a load balancer's traffic: from its clients to its nodes, from these to their targets.

AWS's rules over what EC2 describes (tracing), for packets of each kind that matter; runs in the command, not in the
server. Pure. Owns which packets are looked at, and the sentences of what stops them.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from ...tracing.filters import admitted
from ...tracing.flows import Answer, Flow, Kind, NotModelled, Step
from ...tracing.forward import is_private
from ...tracing.model import answer
from ...tracing.region import Region

Facts = Mapping[str, Any]
ANYBODY = "192.0.2.1"  # of documentation: an address of the internet that nobody here has
PORTS_MAX, TARGETS_MAX = 10, 20  # of one load balancer, of one group
Stopper = tuple[str, str, str]  # its kind, in words, its id
Found = dict[tuple[str, ...], list[str]]


def stops(region: Region, balancer: Facts, groups: Sequence[Facts]) -> list[str]:
    """Sentences; none where all passes. `groups`: that it leads to."""
    try:
        ways = [*_ways_in(region, balancer)]
        return [*ways, *(text for group in groups for text in _ways_to(region, balancer, group))]
    except NotModelled as unknown:
        return [f"What its network lets pass is not known: {unknown}."]


def _ways_in(region: Region, balancer: Facts) -> Iterator[str]:
    """From clients. What stands in an internal one's way depends on where they are: its own groups alone are looked
    at."""
    ids = balancer["security_groups"]
    ports = list(dict.fromkeys(one["port"] for one in balancer["listeners"]))[:PORTS_MAX]
    found: Found = {}
    for port in ports:
        sources = admitted(region, ids, port) if ids or balancer["kind"] == "application" else ("0.0.0.0/0",)
        if not sources:
            yield (
                f"Its security groups ({', '.join(ids)}) let nobody in at port {port}: aws ec2 "
                f"authorize-security-group-ingress --group-id {ids[0] if ids else 'ID'} --protocol tcp --port {port} "
                "--cidr CIDR."
            )
        elif balancer["scheme"] == "internet-facing" and all(map(_is_within, sources)):
            yield (
                f"Its security groups ({', '.join(ids)}) let nobody of the internet in at port {port}, only "
                f"{_listed(sources)}: aws ec2 authorize-security-group-ingress --group-id {ids[0]} --protocol tcp "
                f"--port {port} --cidr CIDR."
            )
        client = next(filter(None, map(_client, sources)), None)
        if client is None or balancer["scheme"] != "internet-facing":
            continue
        for node in balancer["nodes"]:
            flow = Flow(sender=client, to=node["public_address"], port=port)
            step = _stop(answer(region, flow)) if node["public_address"] else None
            if step is not None:
                found.setdefault((*step, _from_internet(step[0])), []).append(f"{node['zone']} at port {port}")
    for (_, what, _, hint), ways in found.items():
        yield f"From the internet its node in {_listed(ways)} is not reached: {what}{hint}."


def _client(source: str) -> str | None:
    """One of those who are let in, if they are on the internet."""
    if "/" not in source or ":" in source:
        return None
    network = ip_network(source)
    first = ip_address(ANYBODY)
    if first not in network:
        first = ip_address(str(next(iter(network.hosts()))))
    return None if is_private(first) else str(first)


def _is_within(source: str) -> bool:
    """Nobody of the internet: a group's members, private addresses. What a prefix list has is not looked at."""
    return source.startswith("sg-") or ("/" in source and ":" not in source and _client(source) is None)


def _from_internet(kind: str) -> str:
    if kind == Kind.ROUTE_TABLE:
        return "; subnets of an internet-facing load balancer need a route to the internet gateway"
    return ""


def _ways_to(region: Region, balancer: Facts, group: Facts) -> Iterator[str]:
    """From its nodes to the targets of a group."""
    found: Found = {}
    for node in balancer["nodes"]:
        if node["interface"] not in region.interfaces:
            continue
        for target in reached_targets(balancer, node, group)[:TARGETS_MAX]:
            for port in dict.fromkeys((target["port"], group["check"]["port"] or target["port"])):
                step = _stop(target_way(region, node, target["address"], port))
                if step is not None:
                    hint = _let_in(step, balancer, port)
                    found.setdefault((*step, str(port), hint), []).append(target["address"])
    for (_, what, _, port, hint), targets in found.items():
        name = f"target group {group['name']}"
        yield f"Its nodes do not reach {_listed(targets)} of {name} at port {port}: {what}{hint}."


def reached_targets(balancer: Facts, node: Facts, group: Facts) -> list[Facts]:
    """To which the node sends requests: in its own zone alone, where the group's traffic stays in zones."""
    is_across = balancer["arn"] in group["is_across"]
    return [
        one
        for one in group["targets"]
        if one["state"] not in ("draining", "unused") and (is_across or one["zone"] in (node["zone"], "all"))
    ]


def target_way(region: Region, node: Facts, address: str, port: int) -> Answer:
    return answer(region, Flow(sender=node["interface"], to=address, port=port))


def _let_in(step: Stopper, balancer: Facts, port: int) -> str:
    kind, what, group = step
    own = balancer["security_groups"]
    if kind != Kind.SECURITY_GROUP or not own:
        return ""
    if "no outbound rule" in what:
        return "; let them out of the load balancer's own group"
    return (
        "; let the load balancer's group in: aws ec2 authorize-security-group-ingress "
        f"--group-id {group} --protocol tcp --port {port} --source-group {own[0]}"
    )


def _stop(found: Answer) -> Stopper | None:
    """What stops a packet, or its answer."""
    step, before = (found.reply_stop, "the answer is stopped by ") if found.stop is None else (found.stop, "")
    if step is None:
        return None
    return step.kind, f"{before}{said(step)}", step.object_ids[0] if step.object_ids else ""


def said(step: Step) -> str:
    what = " ".join([step.kind.replace("-", " "), *step.object_ids])
    return f"{what}: {step.rule}" if step.rule else what


def _listed(words: Sequence[str]) -> str:
    different = list(dict.fromkeys(words))
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return ", ".join(different[:3]) + more
