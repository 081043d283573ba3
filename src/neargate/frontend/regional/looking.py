"""A second look for what a call did not find: with several servers another one may just have made it.

Owns how often the database is looked into for that. Must not know what is kept there. Invariant: however many calls
find nothing, each service's records are looked through at most once in a period; a bounded number of calls waits, each
for a look that began after it had asked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from ...interfaces.store import Overloaded
from ...model.errors import AwsError
from ...world import World

CALLERS = "callers"  # no service's name: access keys and who holds them. Whoever waits for these has proved nothing.

# What says that something is not there, or cannot be used since its key is not. Other services have such codes, too,
# for what every server reads where it is kept.
_MISSING = frozenset(
    {
        *("NotFoundException", "ResourceNotFoundException", "EncryptionFailure", "DecryptionFailure"),
        "InvalidCiphertextException",
        *("ParameterNotFound", "ParameterVersionNotFound", "InvalidResourceId", "InvalidKeyId"),
        *("RepositoryNotFoundException", "ImageNotFoundException", "NoSuchEntity"),
        *("LoadBalancerNotFound", "TargetGroupNotFound", "ListenerNotFound", "RuleNotFound"),
        *("NamespaceNotFound", "ServiceNotFound", "InstanceNotFound", "OperationNotFound"),
    }
)
# Of operations that answer what is there and list what is not, and change nothing: the list.
_LISTS = {
    ("ecr", "BatchGetImage"): "failures",
    ("secretsmanager", "BatchGetSecretValue"): "Errors",
    ("ssm", "GetParameters"): "InvalidParameters",
}


class Followed(Protocol):
    async def catch_up(self) -> None:
        """Afterwards memory holds what the database held when it began. May raise Overloaded."""


class _Looks(Struct, kw_only=True, eq=False):
    """`is_whole`: the last one read everything."""

    begun: int = 0
    begun_at: float = float("-inf")
    is_whole: bool = False
    waiting: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SecondLook:
    """`parts`: of each service, by its name in a call, and of CALLERS. `waiting_max`: calls, for each of them."""

    def __init__(
        self, world: World, parts: Mapping[str, Sequence[Followed]], period_s: float, waiting_max: int
    ) -> None:
        self._world = world
        self._parts = parts
        self._period_s = period_s
        self._waiting_max = waiting_max
        self._looks = {service: _Looks() for service in parts}

    def is_worth(self, service: str, error: AwsError) -> bool:
        return service in self._parts and error.code in _MISSING

    def is_partial(self, service: str, operation: str, answer: Mapping[str, Any] | bytes) -> bool:
        member = _LISTS.get((service, operation))
        return member is not None and isinstance(answer, Mapping) and bool(answer.get(member))

    async def look(self, service: str) -> bool:
        """Whether it is worth asking again: memory is as the database was at a moment after this was called."""
        looks = self._looks.get(service)
        if looks is None or looks.waiting >= self._waiting_max:
            return False
        asked = looks.begun
        looks.waiting += 1
        try:
            async with looks.lock:
                if looks.begun == asked:
                    await self._begin(looks, self._parts[service])
                return looks.is_whole
        finally:
            looks.waiting -= 1

    async def _begin(self, looks: _Looks, parts: Sequence[Followed]) -> None:
        pause_s = looks.begun_at + self._period_s - self._world.monotonic()
        if pause_s > 0:
            await self._world.sleep(pause_s)
        looks.begun += 1
        looks.begun_at = self._world.monotonic()
        looks.is_whole = False
        try:
            for part in parts:
                await part.catch_up()
        except Overloaded:
            return
        looks.is_whole = True
