"""What DescribeTargetHealth says of a target: of its record, and of what each node said of it."""

import pytest
from msgspec.structs import replace

from neargate.frontend.balancing.health import Verdicts
from neargate.frontend.balancing.objects import LoadBalancer, Node, Target, TargetGroup
from neargate.frontend.balancing.target_states import State, state_of, states_of
from neargate.model.balancing import GroupVerdicts, NodeReport, TargetVerdict

ACCOUNT = "123456789012"
GROUP = TargetGroup(account=ACCOUNT, name="group", label="tg", protocol="HTTP", port=80, vpc_id="vpc-1", created_at=1.0)
TARGET = Target(ip="10.0.0.9", port=80, zone="z-a", registered_at=1.0)


def balancer(*zones: str, lb_type: str = "application") -> LoadBalancer:
    return LoadBalancer(
        account=ACCOUNT,
        name="balancer",
        label="web",
        number="0",
        lb_type=lb_type,
        scheme="internal",
        vpc_id="vpc-1",
        created_at=1.0,
        dns_name="web",
        nodes=tuple(Node(place=f"in-{zone}", subnet_id=f"s-{zone}", zone=zone, state="available") for zone in zones),
    )


def said(**verdicts: TargetVerdict | str | None) -> Verdicts:
    """Of nodes, by their places' last letter. None: it says nothing of the target; `ill`: it does not serve."""
    found = Verdicts()
    for letter, verdict in verdicts.items():
        if isinstance(verdict, str) and verdict != "ill":
            verdict = TargetVerdict(key=TARGET.key, state=verdict)
        targets = (verdict,) if isinstance(verdict, TargetVerdict) else ()
        found.heard(
            NodeReport(
                arn="balancer",
                place=f"in-z-{letter}",
                generation=1,
                is_serving=verdict != "ill",
                groups=(GroupVerdicts(group="group", targets=targets),),
            )
        )
    return found


def told(
    verdicts: Verdicts, *balancers: LoadBalancer, target: Target = TARGET, group: TargetGroup = GROUP
) -> tuple[str, str]:
    found = state_of(group, target, list(balancers), verdicts)
    return found.state, found.reason


BOTH = balancer("z-a", "z-b")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (said(), ("initial", "Elb.RegistrationInProgress")),
        (said(a="healthy"), ("healthy", "")),
        (said(a="healthy", b="healthy"), ("healthy", "")),
        (said(a="healthy", b="initial"), ("initial", "Elb.InitialHealthChecking")),
        (said(a="healthy", b=None), ("initial", "Elb.RegistrationInProgress")),
        (said(a="healthy", b="ill"), ("healthy", "")),
        (said(a="ill", b="ill"), ("initial", "Elb.RegistrationInProgress")),
        (said(a="healthy", b="unhealthy"), ("unhealthy", "Target.FailedHealthChecks")),
    ],
)
def test_a_target_is_healthy_when_all_that_send_it_requests_say_so(
    verdicts: Verdicts, expected: tuple[str, str]
) -> None:
    assert told(verdicts, BOTH) == expected


def test_an_unhealthy_one_has_the_nodes_reason_and_words() -> None:
    verdict = TargetVerdict(key=TARGET.key, state="unhealthy", reason="Target.Timeout")
    assert state_of(GROUP, TARGET, [BOTH], said(a=verdict)) == State(
        state="unhealthy", reason="Target.Timeout", description="Request timed out"
    )
    codes = replace(
        verdict, reason="Target.ResponseCodeMismatch", detail="Health checks failed with these codes: [500]"
    )
    assert state_of(GROUP, TARGET, [BOTH], said(a=codes)).description == codes.detail


def test_who_drains_is_draining_whatever_nodes_say() -> None:
    leaving = replace(TARGET, draining_since=2.0)
    assert told(said(a="healthy"), BOTH, target=leaving) == ("draining", "Target.DeregistrationInProgress")
    assert told(said(), target=leaving)[0] == "draining"


def test_what_nothing_leads_to_and_whose_zone_nobody_has_is_unused() -> None:
    assert told(said(a="healthy")) == ("unused", "Target.NotInUse")
    assert told(said(b="healthy"), balancer("z-b")) == ("unused", "Target.NotInUse")
    assert told(said(b="healthy"), balancer("z-b"), target=replace(TARGET, zone="all"))[0] == "healthy"


def test_without_cross_zone_the_nodes_of_its_own_zone_decide() -> None:
    net, verdicts = balancer("z-a", "z-b", lb_type="network"), said(a="healthy", b="unhealthy")
    tcp = replace(GROUP, protocol="TCP")
    assert told(verdicts, net, group=tcp) == ("healthy", "")
    across = replace(tcp, attributes=(("load_balancing.cross_zone.enabled", "true"),))
    assert told(verdicts, net, group=across)[0] == "unhealthy"
    near = replace(GROUP, attributes=(("load_balancing.cross_zone.enabled", "false"),))
    assert told(verdicts, BOTH, group=near) == ("healthy", "")


def test_a_node_that_leaves_is_not_asked() -> None:
    [one, two] = BOTH.nodes
    going = replace(BOTH, nodes=(one, replace(two, state="deleting")))
    assert told(said(a="healthy", b="unhealthy"), going) == ("healthy", "")


def test_of_several_load_balancers_each_must_find_it_so() -> None:
    other = replace(BOTH, name="other", nodes=(Node(place="in-z-c", subnet_id="s", zone="z-a", state="available"),))
    assert told(said(a="healthy", b="healthy", c="initial"), BOTH, other)[0] == "initial"
    assert told(said(a="healthy", b="healthy", c="healthy"), BOTH, other)[0] == "healthy"


def test_of_many_targets_together_is_told_what_is_told_of_each_and_who_is_asked_is_found_once_for_each_zone() -> None:
    asked: list[str] = []

    class Counting(Verdicts):
        def report(self, place: str) -> NodeReport | None:
            asked.append(place)
            return super().report(place)

    zones = ("z-a", "z-b", "z-c", "all")
    many = tuple(
        Target(
            ip=f"10.0.{n % 4}.{n // 4}",
            port=80,
            zone=zones[n % 4],
            registered_at=1.0,
            draining_since=1.0 if n % 5 == 0 else None,
        )
        for n in range(400)
    )
    group, balancers, verdicts = replace(GROUP, targets=many), [balancer("z-a", "z-b", lb_type="network")], Counting()
    for place, states in (("in-z-a", ("healthy", "unhealthy", "initial")), ("in-z-b", ("healthy", "healthy"))):
        told = tuple(TargetVerdict(key=one.key, state=states[n % len(states)]) for n, one in enumerate(many[:300]))
        groups = (GroupVerdicts(group="group", targets=told),)
        verdicts.heard(NodeReport(arn="balancer", place=place, generation=1, is_serving=True, groups=groups))
    asked.clear()
    together = states_of(group, balancers, verdicts)
    assert len(asked) <= len(zones) * 2
    assert together == {one.key: state_of(group, one, balancers, verdicts) for one in many}
    assert {one.state for one in together.values()} == {"healthy", "unhealthy", "initial", "draining", "unused"}
