"""Decisions about flow logs: formats, what they cover, what plans say of them, how many there may be."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.flows import check_flow_logs
from neargate.agent.arrivals.judging import LIST_MAX
from neargate.flowlogs.lines import VERSIONS
from neargate.frontend.network import flow_logs
from neargate.frontend.network.errors.common import InvalidParameterValue
from neargate.frontend.network.errors.flow_logs import FlowLogAlreadyExists, FlowLogsNotFound, UnknownFields
from neargate.frontend.network.errors.routing import IdempotentMismatch
from neargate.frontend.network.flow_logs import (
    DEFAULT_FORMAT,
    FIELDS_MAX,
    PER_ACCOUNT_MAX,
    PER_RESOURCE_MAX,
    WantedLogs,
)
from neargate.frontend.network.records.objects import FlowLog, Subnet, Vpc
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.flow_logs import DEFAULT_FIELDS

ACCOUNT = "123456789012"
BITS = random.Random(5).getrandbits
VPC, OTHER_VPC, SUBNET, ENI = "vpc-01234567", "vpc-89abcdef", "subnet-01234567", "eni-01234567"
RECORDS: tuple[Kept, ...] = (
    Vpc(account=ACCOUNT, name=VPC, cidr="10.0.0.0/16"),
    Vpc(account=ACCOUNT, name=OTHER_VPC, cidr="10.1.0.0/16"),
    Subnet(account=ACCOUNT, name=SUBNET, vpc_id=VPC, zone="a", zone_id="a1", cidr="10.0.0.0/24"),
)
WANTED = WantedLogs(
    resource_type="VPC",
    resource_ids=(VPC,),
    traffic="ALL",
    log_group="/flows",
    log_destination="",
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/flows",
    log_format=DEFAULT_FORMAT,
    aggregation_s=600,
    client_token=None,
    tags=(),
)


def shelf_of(*more: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply((*RECORDS, *more), ())
    return shelf


def applied(shelf: Shelf, change: Change[Any]) -> Any:
    shelf.apply(change.put, change.drop)
    return change.result


def create(shelf: Shelf, **changes: Any) -> flow_logs.Created:
    wanted = replace(WANTED, **changes)
    made: flow_logs.Created = applied(shelf, flow_logs.create(shelf, wanted, {ENI: VPC}, 100.0, BITS))
    return made


def one(shelf: Shelf, **changes: Any) -> FlowLog:
    [name] = create(shelf, **changes).flow_log_ids
    found = shelf.find(FlowLog, name)
    assert found is not None
    return found


def test_the_default_format_is_that_of_version_two() -> None:
    assert flow_logs.fields_of(DEFAULT_FORMAT) == DEFAULT_FIELDS
    assert {name for name, version in VERSIONS.items() if version == 2} == set(DEFAULT_FIELDS)


@pytest.mark.parametrize("name", sorted(VERSIONS))
def test_every_field_of_aws_may_be_asked_for(name: str) -> None:
    flow_logs.check_format(f"${{{name}}}")


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "version", "$version", "${}", "${version}${end}", "${version},${end}", "${version} ", " ${version}"),
        *("${version}  ${end}", "${version}\n", "${Version}", "${version} ${end", "${version} " * 1000 + "${end}"),
    ],
)
def test_what_is_no_format_is_refused(given: str) -> None:
    with pytest.raises(InvalidParameterValue, match="at 'logFormat' has an invalid format"):
        flow_logs.check_format(given)


def test_what_may_be_asked_for_is_taken_by_every_host() -> None:
    longest = " ".join(["${end}"] * FIELDS_MAX)
    flow_logs.check_format(longest)
    with pytest.raises(InvalidParameterValue):
        flow_logs.check_format(f"{longest} ${{end}}")
    shelf = shelf_of()
    for log_format in (longest, " ".join(f"${{{name}}}" for name in VERSIONS)):
        one(shelf, log_format=log_format, log_group=f"/{len(log_format)}")
    check_flow_logs(tuple(flow_logs.planned_flow_logs(shelf, VPC)))
    assert PER_ACCOUNT_MAX <= LIST_MAX, "of one plan"


def test_unknown_fields_are_named_once_each() -> None:
    with pytest.raises(UnknownFields, match=r"Unknown fields provided: \[colour, size\]"):
        flow_logs.check_format("${colour} ${version} ${size} ${colour}")


def test_ids_of_other_things_are_no_flow_logs() -> None:
    flow_logs.check_ids(["fl-01234567", "fl-0123456789abcdef0"])
    for wrong in ("fl-0", "vpc-01234567", "fl-01234567\n", "", "fl-" + "0" * 200):
        with pytest.raises(InvalidParameterValue):
            flow_logs.check_ids([wrong])


def test_a_flow_log_covers_its_vpcs_its_subnets_or_its_interface() -> None:
    shelf = shelf_of()
    whole, part = one(shelf), one(shelf, resource_type="Subnet", resource_ids=(SUBNET,))
    single = one(shelf, resource_type="NetworkInterface", resource_ids=(ENI,))
    other = one(shelf, resource_ids=(OTHER_VPC,))
    covered = [flow_logs.covers(shelf, log, ENI, SUBNET) for log in (whole, part, single, other)]
    assert covered == [True, True, True, False]
    assert [flow_logs.covers(shelf, log, "eni-89abcdef", SUBNET) for log in (part, single)] == [True, False]
    assert not flow_logs.covers(shelf, whole, ENI, "subnet-89abcdef")
    planned = {log.flow_log_id: log for log in flow_logs.planned_flow_logs(shelf, VPC)}
    assert planned.keys() == {whole.name, part.name, single.name}
    assert planned[single.name].resource_id == ENI and planned[whole.name].fields == DEFAULT_FIELDS
    assert [log.flow_log_id for log in flow_logs.planned_flow_logs(shelf, OTHER_VPC)] == [other.name]


def test_what_came_of_a_delivery_changes_no_plan() -> None:
    shelf = shelf_of()
    log = one(shelf)
    before = list(flow_logs.planned_flow_logs(shelf, VPC))
    applied(shelf, flow_logs.with_error(shelf, log.name, "Access error"))
    assert shelf.find(FlowLog, log.name) == replace(log, error="Access error")
    assert list(flow_logs.planned_flow_logs(shelf, VPC)) == before
    assert flow_logs.with_error(shelf, log.name, "Access error").put == ()
    assert flow_logs.with_error(shelf, "fl-89abcdef", "").put == ()


def test_one_that_exists_already_stops_the_whole_call() -> None:
    shelf = shelf_of()
    create(shelf)
    with pytest.raises(FlowLogAlreadyExists):
        flow_logs.create(shelf, replace(WANTED, resource_ids=(OTHER_VPC, VPC)), {}, 100.0, BITS)
    create(shelf, traffic="REJECT")
    create(shelf, log_group="/others")
    assert shelf.count(FlowLog) == 3


def test_one_resource_named_twice_is_logged_once() -> None:
    shelf = shelf_of()
    assert len(create(shelf, resource_ids=(VPC, VPC)).flow_log_ids) == 1


def test_an_interface_that_is_not_the_accounts_is_not_there() -> None:
    made = create(shelf_of(), resource_type="NetworkInterface", resource_ids=(ENI, "eni-89abcdef", VPC))
    assert len(made.flow_log_ids) == 1
    codes = [(resource_id, error.code) for resource_id, error in made.unsuccessful]
    assert codes == [
        ("eni-89abcdef", "InvalidNetworkInterfaceID.NotFound"),
        (VPC, "InvalidNetworkInterfaceId.Malformed"),
    ]


def test_a_resource_has_a_bounded_number_of_them() -> None:
    shelf = shelf_of()
    for number in range(PER_RESOURCE_MAX):
        create(shelf, log_group=f"/{number}")
    made = create(shelf, log_group="/over", resource_ids=(VPC, OTHER_VPC))
    assert [resource_id for resource_id, _ in made.unsuccessful] == [VPC] and len(made.flow_log_ids) == 1


def test_a_token_names_one_call() -> None:
    shelf = shelf_of()
    made = create(shelf, client_token="t", resource_ids=(VPC, OTHER_VPC))
    again = create(shelf, client_token="t", resource_ids=(VPC, OTHER_VPC))
    assert set(again.flow_log_ids) == set(made.flow_log_ids) and shelf.count(FlowLog) == 2
    for changes in ({"log_group": "/x"}, {"aggregation_s": 60}, {"resource_ids": (VPC,)}, {"traffic": "REJECT"}):
        with pytest.raises(IdempotentMismatch):
            create(shelf, client_token="t", **changes)


def test_of_those_to_delete_none_goes_when_one_is_missing() -> None:
    shelf = shelf_of()
    log = one(shelf)
    with pytest.raises(FlowLogsNotFound, match="TotalCount: 1"):
        flow_logs.delete(shelf, [log.name, "fl-89abcdef"])
    assert flow_logs.delete(shelf, [log.name, log.name]).drop == (log,)
