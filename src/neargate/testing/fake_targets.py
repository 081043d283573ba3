"""A region's target groups in memory: implements `interfaces/balancing.Targets`, with verdicts that a test says.

For the tests of a cell's services. Owns what is registered where; nothing checks or drains by itself. Invariant: what
was registered outlives `restarted`, what load balancers had said of it need not.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from ..interfaces.balancing import TargetGroupView, TargetRef, TargetState
from ..model.balancing import (
    DEREGISTERING,
    DRAINING,
    HEALTHY,
    INITIAL,
    INITIAL_CHECKS,
    NOT_IN_USE,
    NOT_REGISTERED,
    UNUSED,
)

REGION, ACCOUNT, VPC = "us-east-1", "123456789012", "vpc-0main"
NOT_CONFIGURED = "Target group is not configured to receive traffic from the load balancer"
_BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/front/50dc6c495c0c9188"
_INITIAL = TargetState(state=INITIAL, reason=INITIAL_CHECKS, description="Initial health checks in progress")


class FakeTargets:
    """`is_eager`: what is registered is healthy at once, what is deregistered gone. `fails`: what calls raise;
    `poisoned`: what those raise that name one of these targets, `unreadable`: what its state raises. `calls`: each that
    came, in order."""

    def __init__(self, *, is_eager: bool = True) -> None:
        self.is_eager = is_eager
        self.fails: Exception | None = None
        self.poisoned: dict[TargetRef, Exception] = {}
        self.unreadable: dict[TargetRef, Exception] = {}
        self.calls: list[tuple[str, TargetRef]] = []
        self._groups: dict[str, TargetGroupView] = {}
        self._registered: dict[TargetRef, bool] = {}  # whether it drains
        self._said: dict[TargetRef, TargetState] = {}
        self._listeners: list[Callable[[str, Sequence[str]], None]] = []

    # -- Targets

    def group(self, account: str, arn: str) -> TargetGroupView | None:
        return self._groups.get(arn) if account == ACCOUNT else None

    async def register(self, account: str, targets: Sequence[TargetRef]) -> tuple[TargetRef, ...]:
        self._called("register", targets)
        there = [target for target in targets if self.group(account, target.group) is not None]
        for target in there:
            if self._registered.get(target, True):
                self._registered[target] = False
                self._said[target] = TargetState(state=HEALTHY) if self.is_eager else _INITIAL
        self._tell(target.group for target in there)
        return tuple(target for target in targets if target not in there)

    async def deregister(self, account: str, targets: Sequence[TargetRef]) -> None:
        del account
        self._called("deregister", targets)
        for target in targets:
            if target in self._registered:
                self._registered[target] = True
        if self.is_eager:
            self._forget(targets)
        self._tell(target.group for target in targets)

    def state(self, account: str, target: TargetRef) -> TargetState:
        if target in self.unreadable:
            raise self.unreadable[target]
        group = self.group(account, target.group)
        is_draining = self._registered.get(target)
        if group is None or is_draining is None:
            return TargetState(state=UNUSED, reason=NOT_REGISTERED, is_gone=True)
        if is_draining:
            return TargetState(state=DRAINING, reason=DEREGISTERING, is_gone=not group.load_balancers)
        if not group.load_balancers:
            return TargetState(state=UNUSED, reason=NOT_IN_USE, description=NOT_CONFIGURED)
        return self._said.get(target, _INITIAL)

    def on_change(self, listener: Callable[[str, Sequence[str]], None]) -> None:
        self._listeners.append(listener)

    # -- what tests say

    def make_group(self, name: str = "web", *, is_used: bool = True, **members: str) -> str:
        """Its ARN. `members`: of the view."""
        arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/{len(self._groups) + 1:016x}"
        values = {"name": name, "vpc_id": VPC, "target_type": "ip", "protocol": "HTTP"} | members
        balancers = (_BALANCER,) if is_used else ()
        self._groups[arn] = TargetGroupView(arn=arn, load_balancers=balancers, **values)
        return arn

    def use_group(self, arn: str, *, is_used: bool) -> None:
        """A listener begins to forward to it, or the last one ends."""
        balancers = (_BALANCER,) if is_used else ()
        self._groups[arn] = msgspec.structs.replace(self._groups[arn], load_balancers=balancers)
        self._tell([arn])

    def move_group(self, arn: str, vpc_id: str) -> None:
        """To another VPC, which no real one can: for who was asked of before."""
        self._groups[arn] = msgspec.structs.replace(self._groups[arn], vpc_id=vpc_id)

    def delete_group(self, arn: str) -> None:
        del self._groups[arn]
        self._forget([target for target in self._registered if target.group == arn])
        self._tell([arn])

    def say(self, target: TargetRef, state: str, reason: str = "", description: str = "") -> None:
        """What load balancers say of it from now on."""
        self._said[target] = TargetState(state=state, reason=reason, description=description)
        self._tell([target.group])

    def let_drain(self) -> None:
        """Nothing is in flight any more to those that drain."""
        over = [target for target, is_draining in self._registered.items() if is_draining]
        self._forget(over)
        self._tell(target.group for target in over)

    def restarted(self) -> None:
        """Another process of the region: load balancers have said nothing to it yet, but for eager ones."""
        if not self.is_eager:
            self._said.clear()
        self._listeners.clear()

    @property
    def registered(self) -> set[TargetRef]:
        """Those that do not drain."""
        return {target for target, is_draining in self._registered.items() if not is_draining}

    @property
    def draining(self) -> set[TargetRef]:
        return {target for target, is_draining in self._registered.items() if is_draining}

    def _called(self, name: str, targets: Sequence[TargetRef]) -> None:
        if self.fails is not None:
            raise self.fails
        for target in targets:
            if target in self.poisoned:
                raise self.poisoned[target]
        self.calls += [(name, target) for target in targets]

    def _forget(self, targets: Sequence[TargetRef]) -> None:
        for target in targets:
            self._registered.pop(target, None)
            self._said.pop(target, None)

    def _tell(self, groups: Iterable[str]) -> None:
        arns = sorted(set(groups))
        for listener in self._listeners:
            listener(ACCOUNT, arns)
