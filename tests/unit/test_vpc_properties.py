"""For random VPCs the planner's plans, as compiled rule sets, decide exactly as the reference model of AWS's rules."""

from collections.abc import Iterator
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from neargate.model.network import REGION_ENDPOINT_ADDRESS
from neargate.testing.vpc_packets import ENDPOINT_PORT, OUTSIDE, SERVICE, Delivery, PacketRegion
from neargate.testing.vpc_reference.description import described
from neargate.testing.vpc_reference.flows import ICMP, ICMPV6, Answer, Flow, Kind
from neargate.testing.vpc_reference.model import answer
from neargate.testing.vpc_reference.region import Region
from neargate.testing.vpc_reference.strategies import flows, regions

Json = dict[str, Any]


def is_comparable(flow: Flow, wanted: Answer) -> bool:
    """What is left out, and why."""
    if len(wanted.path) == 1 and wanted.delivered:
        return False  # to an address of the sender's own: no packet leaves the interface
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
    if wanted.reply is not None and got.answered != wanted.reply:
        return f"{flow}: {got}; reference: answered {wanted.reply} by {wanted.path}, {wanted.reply_path}"
    return ""


def compared(region: Json, asked: list[Flow]) -> Iterator[tuple[Flow, Delivery, Answer]]:
    description = described(region | {"RegionEndpoint": {"Address": REGION_ENDPOINT_ADDRESS, "Port": ENDPOINT_PORT}})
    packets, reference = PacketRegion(description), Region(description)
    for flow in asked:
        wanted = answer(reference, flow)
        if is_comparable(flow, wanted):
            yield flow, packets.ask(flow), wanted


@st.composite
def questions(draw: st.DrawFn) -> tuple[Json, list[Flow]]:
    region = draw(regions())
    return region, draw(flows(region))


@given(questions())
@settings(deadline=None, max_examples=300)
def test_the_rule_sets_decide_as_the_reference_model(question: tuple[Json, list[Flow]]) -> None:
    found = []
    for flow, got, wanted in compared(*question):
        event(f"delivered={wanted.delivered} reply={wanted.reply}")
        found.append(difference(flow, got, wanted))
    assert not any(found), "\n".join(filter(None, found))
