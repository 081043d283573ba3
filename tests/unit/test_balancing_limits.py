"""Limits of load balancers: what a message to a host has room for, whatever a quota says, and zones of names."""

import re

import pytest
from msgspec.structs import replace

from neargate.frontend.balancing import listeners
from neargate.frontend.balancing.errors import TooManyTargets
from neargate.frontend.balancing.hosted_zones import hosted_zone
from neargate.frontend.balancing.limits import AWS_LIMITS, limits, told
from neargate.frontend.balancing.listener_errors import TooManyCertificates
from neargate.frontend.balancing.listeners import WantedListener
from neargate.frontend.balancing.objects import Action, GroupWeight, Listener, LoadBalancer, Target, TargetGroup
from neargate.frontend.balancing.room import check_certificates
from neargate.frontend.certificates.records import Certificate, Facts
from neargate.frontend.regional.shelves import Shelf

ACCOUNT = "123456789012"
ELB = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}"
BALANCER = LoadBalancer(
    account=ACCOUNT,
    name=f"{ELB}:loadbalancer/app/web/0000000000000001",
    label="web",
    number="0000000000000001",
    lb_type="application",
    scheme="internal",
    vpc_id="vpc-1",
    created_at=0.0,
    dns_name="web",
)


def listener(port: int, *certificates: str) -> Listener:
    return Listener(
        account=ACCOUNT,
        name=f"{ELB}:listener/app/web/0000000000000001/{port:016x}",
        load_balancer=BALANCER.name,
        port=port,
        protocol="HTTPS",
        created_at=0.0,
        default=(),
        certificates=certificates,
    )


def large(arn: str) -> Certificate:
    facts = Facts(
        domain="a",
        names=("a",),
        serial="1",
        subject="a",
        issuer="a",
        not_before=0.0,
        not_after=1.0,
        key_algorithm="RSA_2048",
        signature_algorithm="SHA256WITHRSA",
    )
    part = "x" * 16 * 1024
    return Certificate(
        account=ACCOUNT, name=arn, origin="IMPORTED", facts=facts, pem=part, chain=part, sealed_key=b"", created_at=0.0
    )


def check(shelf: Shelf, after: Listener) -> None:
    check_certificates(shelf, BALANCER, after, large, AWS_LIMITS)


def test_the_largest_certificates_fit_as_many_as_aws_allows_and_once_more_for_each_listener_are_counted() -> None:
    shelf = Shelf(ACCOUNT)
    full = listener(443, "default", *(f"c{n}" for n in range(25)))
    check(shelf, full)
    shelf.apply((full,), ())
    check(shelf, listener(444, "default"))
    with pytest.raises(TooManyCertificates):
        check(shelf, listener(444, *(f"c{n}" for n in range(25))))
    with pytest.raises(TooManyCertificates):
        check(shelf, listener(444, "default", "another"))


def test_no_quota_can_be_set_beyond_what_a_host_is_told_in_one_message() -> None:
    found = limits(lambda _: 10**9)
    assert (found.targets_per_group, found.application.targets, found.network.targets) == (10_000, 10_000, 10_000)
    assert (found.rules, found.application.listeners, found.application.groups) == (2000, 200, 500)
    assert told(lambda _: 10**9)["targets-per-target-group"] == 10_000


def test_aws_s_regions_have_aws_s_zones_and_others_one_of_their_own_that_stays() -> None:
    assert hosted_zone("eu-central-1", "application") == "Z215JYRZR1TBD5"
    assert hosted_zone("eu-central-1", "network") == "Z3F0SRJ5LGBH90"
    kinds = ("application", "network")
    own = {hosted_zone(region, kind) for region in ("home-1", "home-2") for kind in kinds}
    assert len(own) == 4 and all(re.fullmatch("Z[0-9A-Z]{20}", one) for one in own)
    assert hosted_zone("home-1", "network") == hosted_zone("home-1", "network")


def group(name: str, targets: int) -> TargetGroup:
    found = tuple(Target(ip=f"10.0.{n // 250}.{n % 250}", port=80, zone="a", registered_at=1.0) for n in range(targets))
    return TargetGroup(
        account=ACCOUNT,
        name=f"{ELB}:targetgroup/{name}/0000000000000001",
        label=name,
        protocol="HTTP",
        port=80,
        vpc_id="vpc-1",
        created_at=0.0,
        targets=found,
    )


def forward(*groups: TargetGroup) -> tuple[Action, ...]:
    return (Action(kind="forward", groups=tuple(GroupWeight(arn=one.arn) for one in groups)),)


BLUE, GREEN = group("blue", 600), group("green", 600)
FRONT = replace(listener(80), protocol="HTTP", default=forward(BLUE))


def test_a_listener_may_lead_to_another_group_as_large_as_the_one_before_and_not_to_both() -> None:
    shelf = Shelf(ACCOUNT)
    shelf.apply((BALANCER, BLUE, GREEN, FRONT), ())
    wanted = WantedListener(actions=forward(GREEN))
    assert listeners.modify(shelf, FRONT.arn, wanted, large).result.default == forward(GREEN)
    with pytest.raises(TooManyTargets):
        listeners.modify(shelf, FRONT.arn, WantedListener(actions=forward(BLUE, GREEN)), large)
    shelf.apply((replace(FRONT, name=FRONT.name + "2", port=81),), ())  # leads to the first, too
    with pytest.raises(TooManyTargets):
        listeners.modify(shelf, FRONT.arn, wanted, large)


def test_a_limit_that_was_lowered_keeps_nobody_from_changing_what_is_there() -> None:
    shelf = Shelf(ACCOUNT)
    shelf.apply((BALANCER, BLUE, FRONT), ())
    low = limits(lambda quota: min(quota.value, 100))
    assert listeners.modify(shelf, FRONT.arn, WantedListener(port=8080), large, low).result.port == 8080
