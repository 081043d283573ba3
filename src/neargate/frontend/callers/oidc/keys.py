"""The keys of providers, fetched when a token needs them and kept for a while.

Owns when somebody is asked again: keys are old after an hour, and a token signed by a key that is not known asks once
a minute at most; a provider that does not answer is left alone for some seconds, and old keys serve a day meanwhile.
Bounded in providers, in fetches at a time, and each fetch in itself. Must not know tokens' claims or roles.
"""

import asyncio
from collections.abc import Callable

import msgspec

from ....model.lazy_dataclass import dataclass
from ....world import World
from .fetch import NotFetched
from .tokens import Key, NotKeys, Token, parse_keys, signed_by

FRESH_S = 3600.0
STALE_MAX_S = 86_400.0
UNKNOWN_KEY_PERIOD_S = 60.0
FAILURE_REST_S = 10.0
PROVIDERS_MAX = 1000
FETCHES_MAX = 16
LANE = "oidc"
LANE_THREADS = 4


class NoKeys(Exception):
    """The provider could not be reached, or has no keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """`keys` as fetched at `fetched`; the last attempt was at `tried`. Monotonic seconds."""

    keys: tuple[Key, ...] | None
    fetched: float
    tried: float


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class ProviderKeys:
    """`get` fetches a URL and blocks; raises NotFetched."""

    def __init__(self, world: World, get: Callable[[str], bytes]) -> None:
        self._world = world
        self._get = get
        self._kept: dict[str, _Kept] = {}
        self._under_way: dict[str, asyncio.Future[None]] = {}

    async def has_signed(self, issuer: str, token: Token) -> bool | None:
        """Whether the provider signed the token; None: by no key of its. `issuer`: URL with https. Raises NoKeys."""
        keys, age_s = await self._keys(issuer, FRESH_S)
        answer = signed_by(token, keys)
        if answer is None and age_s > UNKNOWN_KEY_PERIOD_S:
            keys, _ = await self._keys(issuer, UNKNOWN_KEY_PERIOD_S)
            answer = signed_by(token, keys)
        return answer

    async def _keys(self, issuer: str, fresh_s: float) -> tuple[tuple[Key, ...], float]:
        now = self._world.monotonic()
        kept = self._kept.get(issuer)
        due = kept is None or (
            now - kept.tried >= FAILURE_REST_S and (kept.keys is None or now - kept.fetched >= fresh_s)
        )
        if due:
            await self._fetched(issuer)
            kept = self._kept.get(issuer)
        if kept is None:
            raise NoKeys  # so many providers were asked meanwhile that this one was forgotten
        age_s = self._world.monotonic() - kept.fetched
        if kept.keys is None or age_s > STALE_MAX_S:
            raise NoKeys
        return kept.keys, age_s

    async def _fetched(self, issuer: str) -> None:
        """One fetch for all who wait for it; who goes away does not end it."""
        outcome = self._under_way.get(issuer)
        if outcome is None:
            if len(self._under_way) >= FETCHES_MAX:
                raise NoKeys
            outcome = self._under_way[issuer] = asyncio.get_running_loop().create_future()
            self._world.spawn(self._fetch(issuer, outcome), "oidc keys")
        await asyncio.shield(outcome)

    async def _fetch(self, issuer: str, outcome: "asyncio.Future[None]") -> None:
        try:
            self._keep(issuer, await self._world.offload(LANE, _load, self._get, issuer))
        except (NotFetched, NotKeys):
            self._keep(issuer, None)
        except Exception as error:
            outcome.set_exception(error)  # a bug: it is whoever waits that fails, not the process
            outcome.exception()  # marks it as read: all who waited may have gone
        finally:
            del self._under_way[issuer]
            if not outcome.done():
                outcome.set_result(None)

    def _keep(self, issuer: str, keys: tuple[Key, ...] | None) -> None:
        now = self._world.monotonic()
        before = self._kept.pop(issuer, None)
        if keys is not None or before is None:
            self._kept[issuer] = _Kept(keys=keys, fetched=now, tried=now)
        else:
            self._kept[issuer] = _Kept(keys=before.keys, fetched=before.fetched, tried=now)
        if len(self._kept) > PROVIDERS_MAX:
            self._kept.pop(next(iter(self._kept)))


def _load(get: Callable[[str], bytes], issuer: str) -> tuple[Key, ...]:
    """Discovery and the keys it names. A document of another issuer would let one provider speak for another."""
    try:
        found = msgspec.json.decode(get(f"{issuer.rstrip('/')}/.well-known/openid-configuration"), type=_Discovery)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NotKeys from None
    if found.issuer.rstrip("/") != issuer.rstrip("/"):
        raise NotKeys
    return parse_keys(get(found.jwks_uri))
