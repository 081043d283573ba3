"""Cloud Map's registry, as a cell needs it for the tasks of services that have one (`serviceRegistries`).

Owns the Protocol and the frozen values it speaks of. Invariant: what is asked here touches only instances that were
registered here, of the same service; those of others are never changed.
"""

from typing import NamedTuple, Protocol

from msgspec import Struct


class Owner(NamedTuple):
    """A service of ECS."""

    account: str
    cluster: str
    service: str


class Registered(Struct, frozen=True, kw_only=True):
    """A task that is an instance. `registry`: ARN of the service of Cloud Map."""

    registry: str
    task_id: str
    is_healthy: bool


class Registration(Struct, frozen=True, kw_only=True):
    """A task that is to be one. `attributes`: by Cloud Map's names. `is_healthy`: counts where there is a custom
    check."""

    registry: str
    task_id: str
    attributes: tuple[tuple[str, str], ...]
    is_healthy: bool


class TaskRegistries(Protocol):
    """What is read is from memory. What was changed is durable. All changes raise Overloaded and ServiceUnavailable."""

    def registered(self, owner: Owner) -> tuple[Registered, ...]: ...

    def owners(self) -> tuple[Owner, ...]:
        """Those that have instances."""

    def is_registered(self, task_id: str) -> bool: ...

    async def register(self, owner: Owner, new: Registration) -> None:
        """Again, it changes nothing. Raises AwsError: no such registry, no room in it, or somebody else's instance."""

    async def deregister(self, owner: Owner, one: Registered) -> None:
        """Of what is not there it changes nothing."""

    async def tell_health(self, owner: Owner, one: Registered, *, is_healthy: bool) -> None:
        """It holds at once. Of what is not there it changes nothing."""
