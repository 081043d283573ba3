"""What calls make of load balancers and target groups, decided on a shelf without a server."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.frontend.balancing import attributes, health_checks, load_balancers, registration, target_groups
from neargate.frontend.balancing.errors import (
    InvalidConfigurationRequest,
    InvalidSubnet,
    InvalidTarget,
    TooManyTargets,
    ValidationError,
)
from neargate.frontend.balancing.objects import (
    DELETING,
    Action,
    GroupWeight,
    Listener,
    LoadBalancer,
    Rule,
    TargetGroup,
)
from neargate.frontend.balancing.registration import WantedTarget
from neargate.frontend.balancing.zones import Mapped
from neargate.frontend.network.records.objects import InternetGateway, Subnet, Vpc
from neargate.frontend.network.records.security_groups import SecurityGroupView
from neargate.frontend.regional.shelves import Change, Kept, Shelf

ACCOUNT, REGION, VPC = "123456789012", "us-east-1", "vpc-1"
NUMBERS: Iterator[int] = count(1)
MANY = 50.0


def bits(_: int) -> int:
    return next(NUMBERS)


def shelf_of(*more: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    subnets = [
        Subnet(account=ACCOUNT, name=f"subnet-{zone}", vpc_id=VPC, zone=f"z-{zone}", zone_id=zone, cidr=cidr)
        for zone, cidr in (("a", "10.0.0.0/24"), ("b", "10.0.1.0/24"), ("c", "10.0.2.0/24"))
    ]
    group = SecurityGroupView(account=ACCOUNT, name="sg-1", vpc_id=VPC, group_name="default", description="")
    gateway = InternetGateway(account=ACCOUNT, name="igw-1", vpc_id=VPC)
    vpc = Vpc(account=ACCOUNT, name=VPC, cidr="10.0.0.0/16")
    shelf.apply((vpc, group, gateway, *subnets, *more), ())
    return shelf


def done(shelf: Shelf, change: Change[Any]) -> None:
    shelf.apply(change.put, change.drop)


def wanted(*zones: str, lb_type: str = "application", label: str = "web") -> load_balancers.Wanted:
    return load_balancers.Wanted(
        label=label,
        lb_type=lb_type,
        scheme="internet-facing",
        subnets=tuple(Mapped(subnet_id=f"subnet-{zone}") for zone in zones),
        groups=None,
        address_type="ipv4",
    )


def made(shelf: Shelf, *zones: str, label: str = "web", lb_type: str = "application") -> LoadBalancer:
    new = wanted(*zones, label=label, lb_type=lb_type)
    change = load_balancers.create(shelf, new, REGION, f"{next(NUMBERS):016x}", 1.0, MANY, bits)
    done(shelf, change)
    return change.result


def group_of(shelf: Shelf, label: str = "tg", protocol: str = "HTTP") -> TargetGroup:
    new = target_groups.Wanted(label=label, target_type="ip", protocol=protocol, port=80, vpc_id=VPC)
    change = target_groups.create(shelf, new, REGION, f"{next(NUMBERS):016x}", 1.0, MANY)
    done(shelf, change)
    return change.result


def listener_to(balancer: LoadBalancer, group: TargetGroup, port: int = 80) -> Listener:
    return Listener(
        account=ACCOUNT,
        name=balancer.name.replace(":loadbalancer/", ":listener/") + f"/{port:016x}",
        load_balancer=balancer.name,
        port=port,
        protocol="HTTP",
        created_at=1.0,
        default=(Action(kind="forward", groups=(GroupWeight(arn=group.name),)),),
    )


# -- subnets


def test_nodes_stay_in_subnets_that_stay_and_leave_the_others() -> None:
    shelf = shelf_of()
    before = {one.subnet_id: one.place for one in made(shelf, "a", "b").nodes}
    arn = next(shelf.all(LoadBalancer)).name
    asked = [Mapped(subnet_id="subnet-b"), Mapped(subnet_id="subnet-c")]
    after = load_balancers.set_subnets(shelf, arn, asked, None, bits).result
    states = {one.subnet_id: (one.state, one.place == before.get(one.subnet_id)) for one in after.nodes}
    assert states == {
        "subnet-a": ("deleting", True),
        "subnet-b": ("pending", True),
        "subnet-c": ("pending", False),
    }


def test_the_same_subnets_again_change_nothing() -> None:
    shelf = shelf_of()
    arn = made(shelf, "a", "b").name
    asked = [Mapped(subnet_id="subnet-b"), Mapped(subnet_id="subnet-a")]
    assert load_balancers.set_subnets(shelf, arn, asked, None, bits).put == ()


def test_without_an_internet_gateway_of_its_vpc_none_faces_the_internet() -> None:
    shelf = shelf_of()
    gateway = next(shelf.all(InternetGateway))
    shelf.apply((replace(gateway, vpc_id="vpc-2"),), ())
    with pytest.raises(InvalidSubnet, match=f"VPC {VPC} has no internet gateway"):
        made(shelf, "a", "b")


def test_one_with_nodes_is_deleted_when_they_are_and_takes_its_parts_at_once() -> None:
    shelf = shelf_of()
    balancer, group = made(shelf, "a", "b"), group_of(shelf)
    listener = listener_to(balancer, group)
    rule = Rule(
        account=ACCOUNT,
        name=listener.name.replace(":listener/", ":listener-rule/") + "/" + "0" * 16,
        listener=listener.name,
        priority=1,
        conditions=(),
        shown=b"[]",
        actions=listener.default,
        created_at=1.0,
    )
    shelf.apply((listener, rule), ())
    change = load_balancers.delete(shelf, balancer.name)
    assert set(change.drop) == {listener, rule}
    [left] = change.put
    assert isinstance(left, LoadBalancer) and left.state == DELETING
    done(shelf, change)
    assert load_balancers.delete(shelf, balancer.name) == Change(result=())
    assert made(shelf, "a", "b").name != balancer.name, "its name is free"
    done(shelf, target_groups.delete(shelf, group.name))
    assert shelf.count(TargetGroup) == 0


# -- attributes


@pytest.mark.parametrize("lb_type", sorted(attributes.BALANCERS))
def test_setting_each_default_keeps_nothing(lb_type: str) -> None:
    table = attributes.BALANCERS[lb_type]
    assert attributes.changed(table, (), [(key, one.default) for key, one in table.items()], "Load balancer") == ()


@pytest.mark.parametrize("protocol", sorted(attributes.GROUPS))
def test_each_default_of_a_group_is_a_value_that_it_takes(protocol: str) -> None:
    group = group_of(shelf_of(), protocol=protocol)
    assert attributes.group_changed(group, attributes.of_group(group).items()) == ()


@given(st.text(max_size=8), st.sampled_from(sorted(attributes.BALANCERS["application"])))
def test_what_is_kept_is_what_is_shown(value: str, key: str) -> None:
    table = attributes.BALANCERS["application"]
    try:
        kept = attributes.changed(table, (), [(key, value)], "Load balancer")
    except (ValidationError, InvalidConfigurationRequest):
        return
    assert dict(kept).get(key, table[key].default) == value


def test_an_attribute_goes_back_to_its_default() -> None:
    table = attributes.BALANCERS["network"]
    kept = attributes.changed(table, (), [("load_balancing.cross_zone.enabled", "true")], "Load balancer")
    assert kept == (("load_balancing.cross_zone.enabled", "true"),)
    assert attributes.changed(table, kept, [("load_balancing.cross_zone.enabled", "false")], "Load balancer") == ()


def test_an_attribute_is_said_once() -> None:
    twice = [("idle_timeout.timeout_seconds", "1"), ("idle_timeout.timeout_seconds", "2")]
    with pytest.raises(ValidationError, match="more than once"):
        attributes.changed(attributes.BALANCERS["application"], (), twice, "Load balancer")


# -- health checks


@given(st.text(max_size=20), st.sampled_from(["HTTP", "TCP"]), st.sampled_from(["", "HTTP1", "GRPC"]))
def test_no_matcher_is_kept_that_is_no_list_of_codes(text: str, protocol: str, version: str) -> None:
    of_grpc, of_http = (text, None) if version == "GRPC" else (None, text)
    check = health_checks.WantedCheck(protocol="HTTP", grpc_codes=of_grpc, http_codes=of_http)
    try:
        found = health_checks.new_check(protocol, version, check)
    except (ValidationError, InvalidConfigurationRequest):
        return
    least = 0 if version == "GRPC" else 200
    assert found.check.codes and all(least <= first <= last <= 599 for first, last in found.check.codes)


@given(st.integers(5, 300), st.none() | st.integers(2, 120), st.sampled_from(target_groups.PROTOCOLS))
def test_a_check_that_is_taken_ends_before_the_next_begins(interval: int, timeout: int | None, protocol: str) -> None:
    wanted_check = health_checks.WantedCheck(interval_s=interval, timeout_s=timeout)
    try:
        found = health_checks.new_check(protocol, "", wanted_check).check
    except ValidationError:
        assert timeout is not None and timeout >= interval
        return
    assert found.timeout_s <= found.interval_s == interval


def test_codes_are_inclusive_ranges() -> None:
    assert health_checks.codes("200-299,301") == ((200, 299), (301, 301))


# -- targets


def test_a_target_has_the_zone_of_its_subnet() -> None:
    shelf = shelf_of()
    arn = group_of(shelf).name
    asked = [WantedTarget(ip="10.0.1.9"), WantedTarget(ip="10.0.1.9", port=81, zone="all")]
    done(shelf, registration.register(shelf, arn, asked, 5.0))
    [group] = shelf.all(TargetGroup)
    assert [(one.key, one.zone, one.registered_at) for one in group.targets] == [
        ("10.0.1.9:80", "z-b", 5.0),
        ("10.0.1.9:81", "all", 5.0),
    ]
    assert registration.register(shelf, arn, asked, 6.0).put == (), "who is registered stays as it is"


@pytest.mark.parametrize("ip", ["8.8.8.8", "10.0.77.1", "169.254.0.1", "224.0.0.1"])
def test_an_address_that_can_be_nobodys_here_is_no_target(ip: str) -> None:
    shelf = shelf_of()
    with pytest.raises(InvalidTarget):
        registration.register(shelf, group_of(shelf).name, [WantedTarget(ip=ip, zone="all")], 1.0)


def test_draining_begins_once_and_ends_for_those_alone_that_drained() -> None:
    shelf = shelf_of()
    group = group_of(shelf)
    shelf.apply((listener_to(made(shelf, "a", "b"), group),), ())
    one, two = WantedTarget(ip="10.0.0.9"), WantedTarget(ip="10.0.0.10")
    done(shelf, registration.register(shelf, group.name, [one, two], 1.0))
    done(shelf, registration.deregister(shelf, group.name, [one, two], 2.0))
    assert registration.deregister(shelf, group.name, [one], 3.0).put == ()
    done(shelf, registration.register(shelf, group.name, [two], 4.0))
    done(shelf, registration.forget(shelf, group.name, ["10.0.0.9:80", "10.0.0.10:80"]))
    [left] = next(shelf.all(TargetGroup)).targets
    assert (left.key, left.registered_at, left.draining_since) == ("10.0.0.10:80", 4.0, None)


def test_a_target_that_nothing_leads_to_goes_at_once() -> None:
    shelf = shelf_of()
    arn, one = group_of(shelf).name, WantedTarget(ip="10.0.0.9")
    done(shelf, registration.register(shelf, arn, [one], 1.0))
    done(shelf, registration.deregister(shelf, arn, [one], 2.0))
    assert next(shelf.all(TargetGroup)).targets == ()


def test_no_request_names_more_targets_than_a_group_can_have() -> None:
    """One by one they are looked for in all subnets of the VPC."""
    shelf = shelf_of()
    many = [WantedTarget(ip="10.0.0.9")] * 1001
    with pytest.raises(TooManyTargets):
        registration.register(shelf, group_of(shelf).name, many, 1.0)


def test_a_group_has_its_most_of_targets_and_not_one_more() -> None:
    shelf = shelf_of()
    arn = group_of(shelf).name
    many = [WantedTarget(ip="10.0.0.9", port=port) for port in range(1, 1001)]
    done(shelf, registration.register(shelf, arn, many, 1.0))
    with pytest.raises(TooManyTargets):
        registration.register(shelf, arn, [WantedTarget(ip="10.0.0.10")], 2.0)
    assert len(next(shelf.all(TargetGroup)).targets) == 1000
