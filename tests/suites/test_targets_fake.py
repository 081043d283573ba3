"""The fake target groups keep the promises of a region's own."""

from neargate.interfaces.balancing import TargetRef
from neargate.testing.fake_targets import ACCOUNT, FakeTargets
from neargate.testing.suites.targets import Story, TargetsSuite
from neargate.testing.virtual_time import run_virtual


class FakeHands:
    account = ACCOUNT
    ips = ("10.0.0.7", "10.0.0.8")

    def __init__(self, targets: FakeTargets) -> None:
        self.targets = targets

    async def make_group(self, name: str, *, is_used: bool) -> str:
        return self.targets.make_group(name, is_used=is_used)

    async def delete_group(self, arn: str) -> None:
        self.targets.delete_group(arn)

    async def say(self, target: TargetRef, state: str, reason: str, description: str) -> None:
        self.targets.say(target, state, reason, description)

    async def let_drain(self, group: str) -> None:
        del group
        self.targets.let_drain()


class TestFakeTargets(TargetsSuite):
    def play(self, story: Story) -> None:
        targets = FakeTargets(is_eager=False)
        run_virtual(story(targets, FakeHands(targets)))
