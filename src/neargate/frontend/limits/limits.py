"""The limits of one server process: who may call now, and who may launch. Asked on every request, answered from memory.

Owns the buckets' levels and the calls under way. Must not know protocols but for the words of a refusal. Invariant:
a refusal changes nothing but a count, and comes before anything of the request was parsed.
"""

from ...model.errors import AwsError, RequestLimitExceeded, Throttling, TooManyRequests
from ...model.knobs import Knobs
from ...world import World
from .admission import Admission
from .api_buckets import LAUNCH_ON_DEMAND, LAUNCH_SPOT, OF_OPERATION, RUN_TASK, UNLISTED, Bucket
from .registry import QuotaRegistry
from .token_bucket import Level, take
from .unsigned import UNSIGNED, source_of, unsigned_room

Key = tuple[str, str, str]  # account or source, bucket, and the operation where its operations are counted apart
_LAUNCHES_AT_ONCE = 10.0  # of one RunTask: the smallest burst that lets every call through some time


class Limits:
    """`share`: of what an account may draw, this process's part; 1/n with n servers behind one endpoint."""

    def __init__(self, world: World, quotas: QuotaRegistry, knobs: Knobs, *, share: float = 1.0) -> None:
        self.quotas = quotas
        self.refused = 0
        self._world = world
        self._knobs = knobs
        self._share = share
        self._admission = Admission(knobs.calls_max)
        self._unsigned = unsigned_room(knobs.calls_max)
        self._levels: dict[Key, Level] = {}
        self._levels_unsigned: dict[Key, Level] = {}

    def enter(self, account: str, service: str, operation: str, peer: str = "") -> None:
        """Before a request is parsed; `leave` must follow. Raises Throttling, TooManyRequests, RequestLimitExceeded.

        `peer`: the caller's address, by which those without a signature (`account` empty) are told apart.
        """
        if not self._admission.enter(account):
            raise self._refusal(service)
        if account == UNSIGNED and not self._unsigned.enter(source_of(peer)):
            self._admission.leave(account)
            raise self._refusal(service)
        if not self._may_call(account or source_of(peer), service, operation, is_signed=account != UNSIGNED):
            self.leave(account, peer)
            raise self._refusal(service)

    def leave(self, account: str, peer: str = "") -> None:
        self._admission.leave(account)
        if account == UNSIGNED:
            self._unsigned.leave(source_of(peer))

    @property
    def under_way(self) -> int:
        return self._admission.under_way

    def launch(self, account: str, *, is_spot: bool, count: int) -> None:
        """Before `count` tasks are launched; all of them or none. Raises Throttling."""
        bucket = LAUNCH_SPOT if is_spot else LAUNCH_ON_DEMAND
        if not self._take(self._levels, account, bucket, "", count, _LAUNCHES_AT_ONCE):
            raise self._refusal("ecs")

    def _may_call(self, account: str, service: str, operation: str, *, is_signed: bool) -> bool:
        bucket = OF_OPERATION.get((service, operation), UNLISTED)
        # Tables apart: who can call from many addresses must not push out what is known of accounts.
        levels = self._levels if is_signed else self._levels_unsigned
        if not self._take(levels, account, bucket, operation if bucket.apart else ""):
            return False
        return (service, operation) != ("ecs", "RunTask") or self._take(levels, account, RUN_TASK, "")

    def _take(
        self,
        levels: dict[Key, Level],
        account: str,
        bucket: Bucket,
        operation: str,
        amount: float = 1.0,
        least: float = 1.0,
    ) -> bool:
        rate = self.quotas.rate(account, bucket)
        if rate is None:
            return True
        key = (account, bucket.key, operation)
        level, admitted = take(levels.pop(key, None), rate.shared(self._share, least), self._world.monotonic(), amount)
        if len(levels) >= self._knobs.buckets_max:
            del levels[next(iter(levels))]  # asked least lately, so it is full or nearly so
        levels[key] = level
        return admitted

    def _refusal(self, service: str) -> AwsError:
        self.refused += 1
        return throttled(service)


def throttled(service: str) -> AwsError:
    """In the service's own words; also for a call that met a full queue behind the front end."""
    if service == "service-quotas":
        return TooManyRequests()
    if service == "servicediscovery":
        return RequestLimitExceeded()
    return Throttling("Request limit exceeded." if service == "ec2" else "Rate exceeded")
