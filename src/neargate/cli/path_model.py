"""By which objects a packet of a task goes, or where it ends: EC2's Describe* answers, and AWS's rules over them.

The model (tracing) knows nothing of the rule sets on hosts: its word is what AWS documents, and tests hold packets to
it. Runs in the command, not in the server.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from ..model.network import REGION_ENDPOINT_ADDRESS
from ..tracing.description import Description, described
from ..tracing.flows import Answer as Found
from ..tracing.flows import Flow, NotModelled, Step
from ..tracing.model import ask as ask_model
from .problems import Problem

Members = dict[str, Any]
Ask = Callable[[str, Members], Members]  # an operation of EC2 with its parameters
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
PAGE = 200  # objects of one answer
# What a region is described by: operation -> the member of its answer that lists the objects.
LISTS = {
    "DescribeVpcs": "Vpcs",
    "DescribeSubnets": "Subnets",
    "DescribeRouteTables": "RouteTables",
    "DescribeInternetGateways": "InternetGateways",
    "DescribeEgressOnlyInternetGateways": "EgressOnlyInternetGateways",
    "DescribeNatGateways": "NatGateways",
    "DescribeAddresses": "Addresses",
    "DescribeSecurityGroups": "SecurityGroups",
    "DescribeSecurityGroupRules": "SecurityGroupRules",
    "DescribeNetworkAcls": "NetworkAcls",
    "DescribeNetworkInterfaces": "NetworkInterfaces",
    "DescribeVpcPeeringConnections": "VpcPeeringConnections",
    "DescribeVpcEndpoints": "VpcEndpoints",
    "DescribeManagedPrefixLists": "PrefixLists",
}


def traced(ask: Ask, begun: Members, address: str, port: int, protocol: str) -> Members:
    """`begun`: of the task, as desks/path.py tells it. What was found, as trace_path.py shows it. Raises Problem."""
    flow = _flow(str(begun["interface"]), address, port, protocol)
    description = describe(ask, int(begun["endpoint_port"]), tuple(begun.get("private_beyond") or ()))
    if flow.sender not in {one.network_interface_id for one in description.network_interfaces}:
        raise Problem(f"the interface of task {begun['task']} is gone: a path begins at a task that runs")
    try:
        return told(ask_model(description, flow))
    except NotModelled as unknown:
        raise Problem(f"what becomes of this packet is not known: {unknown}") from None


def describe(ask: Ask, endpoint_port: int, private_beyond: tuple[str, ...] = ()) -> Description:
    """All that decides where the account's packets go. `private_beyond`: networks that --uplink-networks names."""
    answers: Members = {member: _all(ask, operation, member, {}) for operation, member in LISTS.items()}
    answers["Vpcs"] = [vpc | {"EnableDnsSupport": _has_dns(ask, vpc["VpcId"])} for vpc in answers["Vpcs"]]
    answers["ManagedPrefixLists"] = [
        one | {"Entries": _all(ask, "GetManagedPrefixListEntries", "Entries", {"PrefixListId": one["PrefixListId"]})}
        for one in answers.pop("PrefixLists")
    ]
    answers["RegionEndpoint"] = {"Address": REGION_ENDPOINT_ADDRESS, "Port": endpoint_port}
    answers["PrivateBeyond"] = private_beyond
    return described(answers)


def _all(ask: Ask, operation: str, member: str, params: Members) -> list[Members]:
    """Of all pages."""
    found: list[Members] = []
    more: Members = {"MaxResults": PAGE}
    while True:
        answer = ask(operation, params | more)
        found += answer.get(member, [])
        if not answer.get("NextToken"):
            return found
        more["NextToken"] = answer["NextToken"]


def _has_dns(ask: Ask, vpc_id: str) -> bool:
    answer = ask("DescribeVpcAttribute", {"VpcId": vpc_id, "Attribute": "enableDnsSupport"})
    return bool(answer["EnableDnsSupport"]["Value"])


def _flow(sender: str, address: str, port: int, protocol: str) -> Flow:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise Problem(f"{address!r} is no address; write --to ADDRESS:PORT, with numbers") from None
    if protocol not in PROTOCOLS:
        raise Problem(f"{protocol!r} is none of {', '.join(PROTOCOLS)}")
    if protocol != "icmp" and not 0 < port < 65536:
        raise Problem("write the port too, 1 to 65535: --to ADDRESS:PORT")
    number = PROTOCOLS[protocol]
    if protocol == "icmp" and parsed.version == 6:
        return Flow(sender=sender, to=str(parsed), protocol=58, icmp_type=128)
    return Flow(sender=sender, to=str(parsed), protocol=number, port=port)


def told(found: Found) -> Members:
    """As trace_path.py shows it."""
    return {
        "delivered": found.delivered,
        "path": [_step(step) for step in found.path],
        "source": found.source,
        "reply": found.reply,
        "reply_path": [_step(step) for step in found.reply_path],
    }


def _step(step: Step) -> Members:
    return {"kind": str(step.kind), "ids": list(step.object_ids), "rule": step.rule, "passed": step.passed}


def step_line(step: Mapping[str, Any]) -> str:
    mark = " " if step["passed"] else "✗"
    what = " ".join([str(step["kind"]).replace("-", " "), *step["ids"]])
    return f"{mark} {what}" + (f": {step['rule']}" if step["rule"] else "")
