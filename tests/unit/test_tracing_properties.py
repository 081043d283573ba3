"""What holds of the reference model for every region: less allowed never lets more through, answers are true to it."""

import ast
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from neargate import tracing
from neargate.testing.vpc_regions.setups import EVERYWHERE, EVERYWHERE6, entry
from neargate.testing.vpc_regions.strategies import OUTSIDERS, flows, regions
from neargate.tracing.description import described
from neargate.tracing.flows import Answer, Flow, Kind
from neargate.tracing.model import answer
from neargate.tracing.region import Region

Json = dict[str, Any]
SERVICES = (("169.254.169.253", 53), ("169.254.170.2", 80))
FEW = settings(deadline=None, max_examples=25)  # of regions; each is asked some seventy flows


@st.composite
def questions(draw: st.DrawFn) -> tuple[Json, list[Flow]]:
    region = draw(regions())
    return region, draw(flows(region))


def answers(region: Json, asked: list[Flow]) -> Iterator[tuple[Flow, Answer]]:
    known = Region(described(region))
    return ((flow, answer(known, flow)) for flow in asked)


def assert_lets_no_more_through(before: Json, after: Json, asked: list[Flow]) -> None:
    for (flow, one), (_, other) in zip(answers(before, asked), answers(after, asked), strict=True):
        assert one.delivered or not other.delivered, flow
        assert other.reply is not True or one.reply is True, flow


@given(questions())
@FEW
def test_an_answer_is_whole_and_every_object_in_it_is_in_the_region(question: tuple[Json, list[Flow]]) -> None:
    text = json.dumps(question[0])
    for _, found in answers(*question):
        event(f"delivered={found.delivered} reply={found.reply} stop={found.stop and found.stop.kind}")
        for step in (*found.path, *found.reply_path):
            assert all(f'"{object_id}"' in text for object_id in step.object_ids)
        assert [step.passed for step in found.path] == [True] * (len(found.path) - 1) + [found.delivered]
        assert found.delivered == bool(found.source) == (found.receiver is not None)
        assert found.delivered or (found.reply is None and not found.reply_path)
        last = [found.reply is True] if found.reply_path else []
        assert [step.passed for step in found.reply_path] == [True] * (len(found.reply_path) - 1) + last


@given(questions())
@FEW
def test_asking_changes_nothing(question: tuple[Json, list[Flow]]) -> None:
    region, asked = question
    before = copy.deepcopy(region)
    assert list(answers(region, asked)) == list(answers(region, asked)) and region == before


@given(questions(), st.data())
@FEW
def test_removing_a_permission_never_allows_more(question: tuple[Json, list[Flow]], data: st.DataObject) -> None:
    region, asked = question
    fewer = copy.deepcopy(region)
    every = [each[way] for each in fewer["SecurityGroups"] for way in ("IpPermissions", "IpPermissionsEgress")]
    if some := [each for each in every if each]:
        chosen = data.draw(st.sampled_from(some))
        chosen.pop(data.draw(st.integers(0, len(chosen) - 1)))
    assert_lets_no_more_through(region, fewer, asked)


@given(questions())
@FEW
def test_fewer_groups_never_allow_more(question: tuple[Json, list[Flow]]) -> None:
    region, asked = question
    fewer = copy.deepcopy(region)
    for each in fewer["NetworkInterfaces"]:
        each["Groups"] = each["Groups"][:-1]
    assert_lets_no_more_through(region, fewer, asked)


@given(questions(), st.data())
@FEW
def test_a_deny_with_the_lowest_number_never_allows_more(
    question: tuple[Json, list[Flow]], data: st.DataObject
) -> None:
    region, asked = question
    fewer = copy.deepcopy(region)
    acl = data.draw(st.sampled_from(fewer["NetworkAcls"]))
    cidr = data.draw(st.sampled_from([EVERYWHERE, EVERYWHERE6, "10.1.0.0/16", "192.0.2.0/24"]))
    ports = data.draw(st.sampled_from([None, (1024, 65535), (80, 80), (3389, 3389)]))
    egress = data.draw(st.booleans())
    acl["Entries"].insert(0, entry(0, "deny", "6" if ports else "-1", ports, cidr=cidr, egress=egress))
    assert_lets_no_more_through(region, fewer, asked)


@given(questions())
@FEW
def test_without_a_route_to_the_internet_gateway_nothing_passes_from_or_to_outside(
    question: tuple[Json, list[Flow]],
) -> None:
    region, asked = question
    for each in region["RouteTables"]:
        each["Routes"] = [one for one in each["Routes"] if not one.get("GatewayId", "").startswith("igw-")]
    for flow, found in answers(region, asked):
        assert not (flow.sender in OUTSIDERS and found.delivered)
        if found.receiver and found.receiver.kind is Kind.OUTSIDE:
            assert Kind.EGRESS_ONLY in {step.kind for step in found.path}


@given(questions())
@FEW
def test_a_detached_internet_gateway_carries_nothing(question: tuple[Json, list[Flow]]) -> None:
    region, asked = question
    for each in region["InternetGateways"]:
        each["Attachments"] = []
    for _, found in answers(region, asked):
        assert Kind.INTERNET_GATEWAY not in {step.kind for step in found.path if step.passed}


@given(questions())
@FEW
def test_a_deleted_peering_connection_keeps_private_addresses_apart(question: tuple[Json, list[Flow]]) -> None:
    region, asked = question
    region["VpcPeeringConnections"][0]["Status"]["Code"] = "deleted"
    vpcs = {
        each[key]: each["VpcId"]
        for each in region["NetworkInterfaces"]
        for key in ("NetworkInterfaceId", "PrivateIpAddress")
    }
    for flow, found in answers(region, asked):
        if found.delivered and flow.sender in vpcs and flow.to in vpcs:
            assert vpcs[flow.sender] == vpcs[flow.to]


@given(questions())
@FEW
def test_the_source_that_is_seen_is_the_senders_or_a_gateways(question: tuple[Json, list[Flow]]) -> None:
    region, asked = question
    interfaces = {each["NetworkInterfaceId"]: each for each in region["NetworkInterfaces"]}
    gateways = [address for each in region["NatGateways"] for address in each["NatGatewayAddresses"]]
    for flow, found in answers(region, asked):
        if not found.delivered:
            continue
        kinds = {step.kind for step in found.path}
        outside = Kind.INTERNET_GATEWAY in kinds and ":" not in flow.to
        if flow.sender in OUTSIDERS:
            assert found.source == flow.sender
        elif Kind.NAT_GATEWAY in kinds:
            assert found.source in {each.get("PublicIp") if outside else each["PrivateIp"] for each in gateways}
        elif outside:
            assert found.source == interfaces[flow.sender]["Association"]["PublicIp"]
        else:
            own = interfaces[flow.sender]
            assert found.source in {own["PrivateIpAddress"], *(a["Ipv6Address"] for a in own.get("Ipv6Addresses", ()))}


@given(regions())
@FEW
def test_no_filter_or_route_keeps_the_resolver_and_metadata_from_an_interface(region: Json) -> None:
    senders = [each["NetworkInterfaceId"] for each in region["NetworkInterfaces"]]
    asked = [Flow(sender=sender, to=to, port=port) for sender in senders for to, port in SERVICES]
    assert all(found.delivered and found.reply for _, found in answers(region, asked))


@given(regions(vpcs=3))
@FEW
def test_the_random_regions_are_of_what_ec2_accepts(region: Json) -> None:
    owners = {each["GroupId"]: each["VpcId"] for each in region["SecurityGroups"]}
    peers = {frozenset(("vpc-1", "vpc-2"))}
    for each in region["SecurityGroups"]:
        for permissions in (each["IpPermissions"], each["IpPermissionsEgress"]):
            assert len({json.dumps(one) for one in permissions}) == len(permissions), "InvalidPermission.Duplicate"
            named = {pair["GroupId"] for one in permissions for pair in one.get("UserIdGroupPairs", ())}
            assert all(len(pair := {owners[one], each["VpcId"]}) == 1 or pair in peers for one in named)
    for acl in region["NetworkAcls"]:
        rules = [(one["RuleNumber"], one["Egress"]) for one in acl["Entries"]]
        assert len(rules) == len(set(rules)), "NetworkAclEntryAlreadyExists"
    for each in region["RouteTables"]:
        destinations = [str(next(iter(one.values()))) for one in each["Routes"]]
        assert len(destinations) == len(set(destinations)), "RouteAlreadyExists"
    private = [each["PrivateIpAddress"] for each in region["NetworkInterfaces"]]
    public = [each["Association"]["PublicIp"] for each in region["NetworkInterfaces"] if "Association" in each]
    for nat in region["NatGateways"]:
        private += [each["PrivateIp"] for each in nat["NatGatewayAddresses"]]
        public += [each["PublicIp"] for each in nat["NatGatewayAddresses"] if "PublicIp" in each]
    assert len(private) == len(set(private)) and len(public) == len(set(public))


def test_the_model_knows_nothing_of_what_it_is_to_judge() -> None:
    """Of the project it imports only itself: what it had from the planner or data plane, it could not find wrong."""
    for file in Path(tracing.__path__[0]).glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not [node.module for node in imports if node.level > 1], file.name
