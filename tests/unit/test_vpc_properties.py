"""For random VPCs the planner's plans, as compiled rule sets, decide exactly as the reference model of AWS's rules."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from neargate.model.network import REGION_ENDPOINT_ADDRESS
from neargate.testing.vpc_packets import ENDPOINT_PORT, OUTSIDE, SERVICE, Delivery, PacketRegion
from neargate.testing.vpc_regions.setups import (
    entry,
    everything,
    interface,
    private_tasks,
    public_tasks,
    route,
    subnet,
    table,
)
from neargate.testing.vpc_regions.strategies import flows, regions
from neargate.tracing.description import NetworkInterface, described
from neargate.tracing.flows import ICMP, ICMPV6, UDP, Answer, Flow, Kind, Step
from neargate.tracing.model import answer
from neargate.tracing.region import Region

Json = dict[str, Any]
STRAIGHT = ("local", "igw-", "eigw-", "pcx-")
REFUSING = (Kind.SECURITY_GROUP, Kind.NETWORK_ACL)
EXAMPLES = int(os.environ.get("NEARGATE_VPC_EXAMPLES", "300"))  # soak tries more


def is_comparable(flow: Flow, wanted: Answer, own: set[str]) -> bool:
    """What is left out, and why. `own`: addresses of the sender's, the public one included."""
    if flow.to in own and len(wanted.path) == 1:
        return False  # to itself by a private address: no packet leaves the interface
    # An error message about no connection is invalid for a stateful firewall; AWS's asks the rules.
    return not (flow.protocol in (ICMP, ICMPV6) and flow.icmp_type == 3)


def difference(flow: Flow, got: Delivery, wanted: Answer) -> str:
    """In words; empty where both say the same."""
    # What is behind gateway endpoints (S3, DynamoDB) is not in a region of this project.
    if not wanted.delivered or (wanted.receiver is not None and wanted.receiver.kind is Kind.ENDPOINT):
        return f"{flow}: came to {got.receiver}; reference: {wanted.path}" if got.receiver else ""
    assert wanted.receiver is not None
    receiver = {Kind.OUTSIDE: OUTSIDE, Kind.SERVICE: SERVICE}.get(wanted.receiver.kind, *wanted.receiver.object_ids[:1])
    if (got.receiver, got.source) != (receiver, wanted.source):
        return f"{flow}: {got}; reference: from {wanted.source} to {receiver} by {wanted.path}"
    if wanted.reply is not None and got.answered != wanted.reply and not is_for_some_port(wanted):
        return f"{flow}: {got}; reference: answered {wanted.reply} by {wanted.path}, {wanted.reply_path}"
    return ""


def must_be_told(stop: Step, got: Delivery, wanted: Answer) -> bool:
    """Of what a group or an ACL of an interface refused. Subnets of NAT gateways and of endpoints have ACLs too, and
    other ways than these there are none here."""
    ways = [step.rule for step in (*wanted.path, *wanted.reply_path) if step.kind is Kind.ROUTE_TABLE]
    if stop.kind not in REFUSING or not all(way.rpartition("-> ")[2].startswith(STRAIGHT) for way in ways):
        return False
    # Here groups are asked after the routes, so what has neither, or is for nobody, is lost earlier.
    return stop.kind is Kind.NETWORK_ACL or not any(place in got.lost for place in ("c_raw", "c_fwd", "route"))


def is_for_some_port(wanted: Answer) -> bool:
    """The reference lets an answer through a NAT gateway only where ACLs do for every port that it may have taken."""
    stop = wanted.reply_stop
    return stop is not None and stop.kind is Kind.NETWORK_ACL and Kind.NAT_GATEWAY in {s.kind for s in wanted.path}


def compared(
    region: Json, asked: list[Flow], before: PacketRegion | None = None, *, is_logged: bool = False
) -> Iterator[tuple[Flow, Delivery, Answer]]:
    description = described(region | {"RegionEndpoint": {"Address": REGION_ENDPOINT_ADDRESS, "Port": ENDPOINT_PORT}})
    packets, reference = PacketRegion(description, before, is_logged=is_logged), Region(description)
    own = {each.network_interface_id: addresses(each) for each in description.network_interfaces}
    for flow in asked:
        wanted = answer(reference, flow)
        if is_comparable(flow, wanted, own.get(flow.sender, set())):
            yield flow, packets.ask(flow), wanted


def addresses(interface: NetworkInterface) -> set[str]:
    public = {interface.association.public_ip} if interface.association else set()
    return {interface.private_ip_address, *(each.ipv6_address for each in interface.ipv6_addresses)} | public


@st.composite
def questions(draw: st.DrawFn) -> tuple[Json, list[Flow]]:
    region = draw(regions())
    return region, draw(flows(region))


@pytest.mark.timeout(2 * EXAMPLES)  # of a machine with other work to do
@given(questions())
@settings(deadline=None, max_examples=EXAMPLES)
def test_the_rule_sets_decide_as_the_reference_model(question: tuple[Json, list[Flow]]) -> None:
    found = []
    for flow, got, wanted in compared(*question):
        event(f"delivered={wanted.delivered} reply={wanted.reply}")
        found.append(difference(flow, got, wanted))
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.timeout(2 * EXAMPLES)
@given(questions())
@settings(deadline=None, max_examples=EXAMPLES // 3)
def test_with_flow_logs_they_decide_alike_and_tell_of_what_groups_and_acls_refused(
    question: tuple[Json, list[Flow]],
) -> None:
    here = described(question[0]).network_interfaces
    interfaces = {address for each in here for address in addresses(each)}
    found = []
    for flow, got, wanted in compared(*question, is_logged=True):
        found.append(difference(flow, got, wanted))
        stop = wanted.stop if not wanted.delivered else wanted.reply_stop
        told = got.told + got.told_of_answer
        event(f"stopped at {stop.kind if stop is not None else ''}, told {told}")
        if len(told) > 1 or (told and stop is None):
            found.append(f"{flow}: told {told}; reference: {wanted.path}, {wanted.reply_path}")
        if told or stop is None or not must_be_told(stop, got, wanted):
            continue
        # Of what comes into a gateway's subnet, to an address of the gateway, flow logs of interfaces know nothing.
        if not (stop is wanted.stop and stop.rule.startswith("inbound") and flow.to not in interfaces):
            found.append(f"{flow}: not told; reference: {wanted.path}, {wanted.reply_path}")
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.timeout(2 * EXAMPLES)
@given(questions(), regions())
@settings(deadline=None, max_examples=EXAMPLES // 5)
def test_rule_sets_that_were_changed_step_by_step_decide_alike(question: tuple[Json, list[Flow]], before: Json) -> None:
    """From any region to any other: what was there before leaves nothing behind."""
    found = [
        difference(flow, got, wanted) for flow, got, wanted in compared(*question, PacketRegion(described(before)))
    ]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.parametrize("flow", [{"protocol": 47}, {"protocol": UDP, "port": 53, "source_port": 53}], ids=str)
def test_its_own_group_is_asked_of_what_a_task_sends_to_its_own_public_address(flow: Json) -> None:
    """Also of what looks the same in both directions: what comes back is to conntrack the answer to itself."""
    region = public_tasks()
    asked = Flow(sender="eni-task1", to="198.18.0.5", **flow)
    assert PacketRegion(described(region)).ask(asked).receiver == ""


def test_what_a_task_sends_to_its_own_public_address_comes_back_by_its_groups() -> None:
    packets = PacketRegion(described(public_tasks()))
    receivers = [packets.ask(Flow(sender="eni-task1", to="198.18.0.5", port=port)).receiver for port in (80, 81)]
    assert receivers == ["eni-task1", ""]


def _with_acl(region: Json, subnet_id: str, *entries: Json) -> Json:
    """All else may pass there."""
    own = {
        "NetworkAclId": "acl-own",
        "VpcId": "vpc-1",
        "IsDefault": False,
        "Associations": [{"SubnetId": subnet_id}],
        "Entries": [*entries, *everything(1000, "allow"), *everything(32767, "deny")],
    }
    return region | {"NetworkAcls": [*region["NetworkAcls"], own]}


@pytest.mark.parametrize(("denied", "answered"), [("10.0.2.0/24", True), ("198.18.0.6/32", False)])
def test_an_answer_to_a_nat_gateways_public_address_comes_to_its_subnet_from_outside(
    denied: str, *, answered: bool
) -> None:
    """The ACL there sees the answering task's public address, not the private one with which it left its own subnet."""
    region = private_tasks()
    region["Subnets"].append(subnet("subnet-2", "10.0.2.0/24"))
    region["RouteTables"].append(table("rtb-2", "vpc-1", route("0.0.0.0/0", "igw-1"), subnets=("subnet-2",)))
    region["NetworkInterfaces"].append(interface("eni-2", "subnet-2", "10.0.2.6", "sg-alb", public="198.18.0.6"))
    region = _with_acl(region, "subnet-public", entry(1, "deny", cidr=denied))
    ((flow, got, wanted),) = compared(region, [Flow(sender="eni-task1", to="198.18.0.6", port=80)])
    assert (got.receiver, got.answered) == ("eni-2", answered)
    assert not difference(flow, got, wanted)
