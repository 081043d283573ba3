"""What every implementation of `interfaces/balancing.Targets` promises to a cell.

A subclass brings a region: `play` runs a story with it, and its `hands` do what users and load balancers do.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ...interfaces.balancing import TargetRef, Targets
from ...model.balancing import DRAINING, HEALTHY, INITIAL, NOT_IN_USE, NOT_REGISTERED, UNHEALTHY, UNUSED

GHOST = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/ghost/0123456789abcdef"


class Hands(Protocol):
    account: str
    ips: tuple[str, str]  # of the groups' VPC

    async def make_group(self, name: str, *, is_used: bool) -> str:
        """Its ARN; `is_used`: a load balancer's listener forwards to it."""

    async def delete_group(self, arn: str) -> None:
        """And the listener that uses it."""

    async def say(self, target: TargetRef, state: str, reason: str, description: str) -> None:
        """What all nodes say of the target from now on."""

    async def let_drain(self, group: str) -> None:
        """Nothing is in flight any more to those that drain."""


Story = Callable[[Targets, Hands], Awaitable[None]]


class TargetsSuite:
    def play(self, story: Story) -> None:
        raise AssertionError(f"a subclass plays {story}")

    def test_a_group_is_known_with_those_who_use_it(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            used, idle = await hands.make_group("used", is_used=True), await hands.make_group("idle", is_used=False)
            found, other = targets.group(hands.account, used), targets.group(hands.account, idle)
            assert found is not None and other is not None
            assert (found.arn, found.name, found.target_type, len(found.load_balancers)) == (used, "used", "ip", 1)
            assert other.load_balancers == ()
            assert targets.group(hands.account, GHOST) is None
            assert targets.group("999999999999", used) is None

        self.play(story)

    def test_what_is_registered_is_not_healthy_before_it_is_said(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            group = await hands.make_group("web", is_used=True)
            target = TargetRef(group=group, ip=hands.ips[0], port=80)
            before = targets.state(hands.account, target)
            assert (before.state, before.reason, before.is_gone) == (UNUSED, NOT_REGISTERED, True)
            for _ in range(2):
                assert await targets.register(hands.account, [target]) == ()
                registered = targets.state(hands.account, target)
                assert (registered.state, registered.is_gone) == (INITIAL, False)
            await hands.say(target, HEALTHY, "", "")
            assert targets.state(hands.account, target).state == HEALTHY
            why = "Health checks failed with these codes: [500]"
            await hands.say(target, UNHEALTHY, "Target.ResponseCodeMismatch", why)
            said = targets.state(hands.account, target)
            assert (said.state, said.reason, said.description) == (UNHEALTHY, "Target.ResponseCodeMismatch", why)

        self.play(story)

    def test_targets_of_groups_that_are_gone_are_named_and_the_others_are_registered(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            group, lost = await hands.make_group("web", is_used=True), await hands.make_group("lost", is_used=True)
            await hands.delete_group(lost)
            good, bad = (
                TargetRef(group=group, ip=hands.ips[0], port=80),
                TargetRef(group=lost, ip=hands.ips[0], port=80),
            )
            assert await targets.register(hands.account, [bad, good]) == (bad,)
            assert not targets.state(hands.account, good).is_gone
            assert targets.state(hands.account, bad).is_gone
            await targets.deregister(hands.account, [bad])

        self.play(story)

    def test_what_is_deregistered_drains_and_then_is_gone(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            group = await hands.make_group("web", is_used=True)
            one, two = (TargetRef(group=group, ip=ip, port=80) for ip in hands.ips)
            await targets.deregister(hands.account, [one])  # what is no target is none already
            await targets.register(hands.account, [one, two])
            await hands.say(one, HEALTHY, "", "")
            for _ in range(2):
                await targets.deregister(hands.account, [one])
                draining = targets.state(hands.account, one)
                assert (draining.state, draining.is_gone) == (DRAINING, False)
            await hands.let_drain(group)
            assert targets.state(hands.account, one).is_gone
            assert not targets.state(hands.account, two).is_gone
            assert await targets.register(hands.account, [one]) == ()
            assert targets.state(hands.account, one).state == INITIAL

        self.play(story)

    def test_what_nothing_uses_is_unused_and_gone_as_soon_as_it_is_deregistered(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            group = await hands.make_group("idle", is_used=False)
            target = TargetRef(group=group, ip=hands.ips[0], port=80)
            await targets.register(hands.account, [target])
            state = targets.state(hands.account, target)
            assert (state.state, state.reason, state.is_gone) == (UNUSED, NOT_IN_USE, False)
            await targets.deregister(hands.account, [target])
            assert targets.state(hands.account, target).is_gone

        self.play(story)

    def test_who_listens_hears_of_each_change(self) -> None:
        async def story(targets: Targets, hands: Hands) -> None:
            heard: list[tuple[str, str]] = []
            group = await hands.make_group("web", is_used=True)
            targets.on_change(lambda account, arns: heard.extend((account, arn) for arn in arns))
            target = TargetRef(group=group, ip=hands.ips[0], port=80)

            def hears() -> bool:
                is_heard = (hands.account, group) in heard
                heard.clear()
                return is_heard

            await targets.register(hands.account, [target])
            assert hears()
            await hands.say(target, HEALTHY, "", "")
            assert hears()
            await targets.deregister(hands.account, [target])
            assert hears()
            await hands.let_drain(group)
            assert hears()
            await hands.delete_group(group)
            assert hears()

        self.play(story)
