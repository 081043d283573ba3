"""A region's target groups keep what cells are promised: the suite, before real records and what nodes say of them."""

from itertools import count

from msgspec.structs import replace

from neargate.frontend.balancing.objects import Action, GroupWeight, TargetGroup
from neargate.interfaces.balancing import TargetRef
from neargate.model.balancing import GroupVerdicts, NodeReport, TargetVerdict
from neargate.testing.suites.targets import Story, TargetsSuite

from .test_balancer_book import LISTENER, Stage, listener, staged
from .test_placing import ACCOUNT, run
from .test_placing_balancers import ARN


class RecordHands:
    account = ACCOUNT

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._vpc_id = stage.group.vpc_id
        self._numbers = count(1)
        self._said: dict[TargetRef, TargetVerdict] = {}
        self.ips = (stage.ip, stage.ip.replace(".200", ".201"))

    async def make_group(self, name: str, *, is_used: bool) -> str:
        number = next(self._numbers)
        arn = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/{name}/{number:016x}"
        group = TargetGroup(
            account=ACCOUNT,
            name=arn,
            label=name,
            protocol="HTTP",
            port=80,
            vpc_id=self._vpc_id,
            created_at=1.0,
        )
        forward = Action(kind="forward", groups=(GroupWeight(arn=arn),))
        uses = replace(listener(), name=_listener(arn), port=8000 + number, default=(forward,))
        await self._stage.put(group, *((uses,) if is_used else ()))
        return arn

    async def delete_group(self, arn: str) -> None:
        shelf = self._stage.process.network.shelf(ACCOUNT)
        [group] = [one for one in shelf.all(TargetGroup) if one.arn == arn]
        await self._stage.drop(group, replace(listener(), name=_listener(arn)))

    async def say(self, target: TargetRef, state: str, reason: str, description: str) -> None:
        verdict = TargetVerdict(key=f"{target.ip}:{target.port}", state=state, reason=reason, detail=description)
        self._said[target] = verdict
        self._report()

    def _report(self) -> None:
        groups = {ref.group for ref in self._said}
        told = tuple(
            GroupVerdicts(group=arn, targets=tuple(one for ref, one in self._said.items() if ref.group == arn))
            for arn in sorted(groups)
        )
        generation = self._stage.plan().generation
        self._stage.book.heard(
            "host-1",
            [
                NodeReport(arn=ARN, place=place, generation=generation, is_serving=True, groups=told)
                for place in self._stage.places
            ],
        )

    async def let_drain(self, group: str) -> None:
        """Its delay is over."""
        del group
        self._said.clear()
        self._stage.now[0] += 3601.0
        await self._stage.watch.look()
        self._report()  # of a plan without them


def _listener(group: str) -> str:
    return f"{LISTENER[:-16]}{group[-16:]}"


class TestTargetsOfRecords(TargetsSuite):
    def play(self, story: Story) -> None:
        async def main() -> None:
            stage = await staged()
            await story(stage.targets, RecordHands(stage))

        run(main)
