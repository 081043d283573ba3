"""Target groups, as a cell asks the region for what its services' tasks need. Protocols and frozen words only."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct


class TargetRef(Struct, frozen=True, kw_only=True):
    """A container's port of a task, as a target of a group."""

    group: str  # ARN
    ip: str
    port: int


class TargetState(Struct, frozen=True, kw_only=True):
    """`state`: AWS's (initial, healthy, unhealthy, unused, draining). `is_gone`: it is no target any more: its delay is
    over, or nothing uses it."""

    state: str
    reason: str = ""
    description: str = ""
    is_gone: bool = False


class TargetGroupView(Struct, frozen=True, kw_only=True):
    """What CreateService checks of a group. `load_balancers`: ARNs of those whose listeners forward to it."""

    arn: str
    name: str
    vpc_id: str
    target_type: str
    protocol: str
    load_balancers: tuple[str, ...] = ()


class Targets(Protocol):
    """Reads are from memory and never wait. All may be repeated; what returned is durable."""

    def group(self, account: str, arn: str) -> TargetGroupView | None: ...

    async def register(self, account: str, targets: Sequence[TargetRef]) -> tuple[TargetRef, ...]:
        """Those that could not be, as their group is gone (the others are)."""

    async def deregister(self, account: str, targets: Sequence[TargetRef]) -> None:
        """They drain from now on; what is no target is none already."""

    def state(self, account: str, target: TargetRef) -> TargetState: ...

    def on_change(self, listener: Callable[[str, Sequence[str]], None]) -> None:
        """Called with (account, group ARNs) whenever what `state` or `group` says may be another."""
