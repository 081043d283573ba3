"""Target groups as a cell asks for what its services' tasks need. Implements interfaces.balancing.Targets.

Reads the network's shelves and what nodes said, both from memory. Must not know services.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from ...interfaces.balancing import TargetGroupView, TargetRef, TargetState
from ...log import get_logger
from ...model.errors import AwsError, ServiceUnavailable
from ..network.registry import NetworkRegistry
from ..regional.shelves import Shelf
from . import registration
from .errors import TargetGroupNotFound
from .health import Verdicts
from .limits import Limits, limits
from .lookup import find_balancer, users
from .objects import LoadBalancer, Target, TargetGroup
from .registration import WantedTarget
from .target_states import NOT_A_TARGET, state_of

_log = get_logger(__name__)
Listener = Callable[[str, Sequence[str]], None]


class _Group(Struct, frozen=True):
    """`targets`: the group's, by key; a service asks for each of its tasks by itself."""

    group: TargetGroup
    balancers: tuple[LoadBalancer, ...]  # that lead to it
    targets: dict[str, Target]


class _Known(Struct, frozen=True):
    """What an account's shelf says, of one generation of it."""

    generation: int
    groups: dict[str, _Group]


class GroupTargets:
    def __init__(self, network: NetworkRegistry, verdicts: Verdicts, now: Callable[[], float]) -> None:
        self._network = network
        self._verdicts = verdicts
        self._now = now
        self._known: dict[str, _Known] = {}
        self._listeners: list[Listener] = []
        network.on_change(self._look)
        verdicts.listen(self._said)

    def group(self, account: str, arn: str) -> TargetGroupView | None:
        found = self._groups(account).get(arn)
        if found is None:
            return None
        group = found.group
        return TargetGroupView(
            arn=group.arn,
            name=group.label,
            vpc_id=group.vpc_id,
            target_type="ip",
            protocol=group.protocol,
            load_balancers=tuple(one.arn for one in found.balancers),
        )

    async def register(self, account: str, targets: Sequence[TargetRef]) -> tuple[TargetRef, ...]:
        """One that its group will not have counts as one whose group is gone; why is for the operator to read."""
        lost: list[TargetRef] = []
        for arn, refs in _by_group(targets).items():
            try:
                await self._register(account, arn, refs)
            except TargetGroupNotFound:
                lost += refs
            except ServiceUnavailable:
                raise  # too much to do: it is asked for again
            except AwsError as error:
                if len(refs) > 1:
                    lost += await self._one_by_one(account, refs)
                    continue
                _log.warning("a task cannot be a target", group=arn, target=refs[0].ip, why=error.message)
                lost += refs
        return tuple(lost)

    async def _one_by_one(self, account: str, refs: Sequence[TargetRef]) -> list[TargetRef]:
        return [one for ref in refs for one in await self.register(account, [ref])]

    async def _register(self, account: str, arn: str, refs: Sequence[TargetRef]) -> None:
        wanted, now = [WantedTarget(ip=ref.ip, port=ref.port) for ref in refs], self._now()
        most = self._limits(account)
        await self._network.change(account, lambda shelf: registration.register(shelf, arn, wanted, now, most))

    def _limits(self, account: str) -> Limits:
        return limits(lambda quota: self._network.quota(account, quota))

    async def deregister(self, account: str, targets: Sequence[TargetRef]) -> None:
        now, most = self._now(), self._limits(account)
        for arn, refs in _by_group(targets).items():
            wanted = [WantedTarget(ip=ref.ip, port=ref.port) for ref in refs]
            try:
                await self._network.change(
                    account,
                    lambda shelf, arn=arn, wanted=wanted: registration.deregister(shelf, arn, wanted, now, most),  # type: ignore[misc]
                )
            except TargetGroupNotFound:
                continue  # and its targets with it

    def state(self, account: str, target: TargetRef) -> TargetState:
        found = self._groups(account).get(target.group)
        key = f"{target.ip}:{target.port}"
        kept = None if found is None else found.targets.get(key)
        if found is None or kept is None:
            gone = NOT_A_TARGET
            return TargetState(state=gone.state, reason=gone.reason, description=gone.description, is_gone=True)
        told = state_of(found.group, kept, list(found.balancers), self._verdicts)
        return TargetState(state=told.state, reason=told.reason, description=told.description)

    def on_change(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _groups(self, account: str) -> dict[str, _Group]:
        shelf = self._network.shelf(account)
        known = self._known.get(account)
        if known is None or known.generation != shelf.generation:
            known = self._known[account] = _read(shelf, {} if known is None else known.groups)
        return known.groups

    def _look(self) -> None:
        """A shelf has changed: whose groups are others now is told."""
        for account in self._network.accounts():
            before = self._known.get(account)
            if before is not None and before.generation == self._network.shelf(account).generation:
                continue
            old, new = {} if before is None else before.groups, self._groups(account)
            changed = [arn for arn in (old | new) if old.get(arn) != new.get(arn)]
            if changed:
                self._tell(account, changed)

    def _said(self, groups: Sequence[str]) -> None:
        by_account: dict[str, list[str]] = {}
        for arn in groups:
            by_account.setdefault(arn.split(":")[4], []).append(arn)
        for account, arns in by_account.items():
            self._tell(account, arns)

    def _tell(self, account: str, arns: Sequence[str]) -> None:
        for listener in self._listeners:
            listener(account, arns)


def _read(shelf: Shelf, before: Mapping[str, _Group]) -> _Known:
    """`before`: whose targets need not be read again."""
    leading = users(shelf)
    groups: dict[str, _Group] = {}
    for group in shelf.all(TargetGroup):
        found = (find_balancer(shelf, arn) for arn in leading.get(group.arn, ()))
        known = before.get(group.arn)
        targets = (
            known.targets if known is not None and known.group is group else {one.key: one for one in group.targets}
        )
        groups[group.arn] = _Group(group, tuple(one for one in found if one is not None), targets)
    return _Known(shelf.generation, groups)


def _by_group(targets: Sequence[TargetRef]) -> dict[str, list[TargetRef]]:
    found: dict[str, list[TargetRef]] = {}
    for one in targets:
        found.setdefault(one.group, []).append(one)
    return found
