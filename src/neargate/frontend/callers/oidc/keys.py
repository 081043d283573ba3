"""The keys of providers, fetched when a token needs them and kept for a while.

Owns when somebody is asked again: keys are old after an hour, and a token signed by a key that is not known asks once
a minute at most; a provider that does not answer is left alone for some seconds, and old keys serve a day meanwhile.
Bounded in providers, in fetches at a time, and each fetch in itself. Must not know tokens' claims or roles.
"""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from ....world import World
from .fetch import NotFetched, NotTrusted
from .tokens import Key, NotKeys, Token, parse_keys, signed_by

FRESH_S = 3600.0
STALE_MAX_S = 86_400.0
UNKNOWN_KEY_PERIOD_S = 60.0
FAILURE_REST_S = 10.0
PROVIDERS_MAX = 1000
FETCHES_MAX = 16
LANE = "oidc"
LANE_THREADS = 4


Thumbprints = tuple[str, ...]
Get = Callable[[str, Thumbprints], bytes]
Provider = tuple[str, Thumbprints]  # what one account trusts by a thumbprint must not speak for another's provider


class NoKeys(Exception):
    """The provider could not be reached, or has no keys."""


class Mistrusted(NoKeys):
    """Its certificate is of no authority that is known, and of no thumbprint."""


class _Kept(Struct, frozen=True, kw_only=True):
    """`keys` as fetched at `fetched`; the last attempt was at `tried`. Monotonic seconds."""

    keys: tuple[Key, ...] | None
    fetched: float
    tried: float
    mistrusted: bool = False


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class ProviderKeys:
    """`get` fetches a URL and blocks; raises NotFetched. It is handed what may vouch for an unknown authority."""

    def __init__(self, world: World, get: Get) -> None:
        self._world = world
        self._get = get
        self._kept: dict[Provider, _Kept] = {}
        self._under_way: dict[Provider, asyncio.Future[None]] = {}

    async def has_signed(self, issuer: str, token: Token, thumbprints: Thumbprints = ()) -> bool | None:
        """Whether the provider signed the token; None: by no key of its. `issuer`: URL with https. Raises NoKeys."""
        provider = (issuer, thumbprints)
        keys, age_s = await self._keys(provider, FRESH_S)
        answer = signed_by(token, keys)
        if answer is None and age_s > UNKNOWN_KEY_PERIOD_S:
            keys, _ = await self._keys(provider, UNKNOWN_KEY_PERIOD_S)
            answer = signed_by(token, keys)
        return answer

    async def _keys(self, provider: Provider, fresh_s: float) -> tuple[tuple[Key, ...], float]:
        now = self._world.monotonic()
        kept = self._kept.get(provider)
        due = kept is None or (
            now - kept.tried >= FAILURE_REST_S and (kept.keys is None or now - kept.fetched >= fresh_s)
        )
        if due:
            await self._fetched(provider)
            kept = self._kept.get(provider)
        if kept is None:
            raise NoKeys  # so many providers were asked meanwhile that this one was forgotten
        age_s = self._world.monotonic() - kept.fetched
        if kept.keys is None or age_s > STALE_MAX_S:
            raise Mistrusted if kept.mistrusted else NoKeys
        return kept.keys, age_s

    async def _fetched(self, provider: Provider) -> None:
        """One fetch for all who wait for it; who goes away does not end it."""
        outcome = self._under_way.get(provider)
        if outcome is None:
            if len(self._under_way) >= FETCHES_MAX:
                raise NoKeys
            outcome = self._under_way[provider] = asyncio.get_running_loop().create_future()
            self._world.spawn(self._fetch(provider, outcome), "oidc keys")
        await asyncio.shield(outcome)

    async def _fetch(self, provider: Provider, outcome: "asyncio.Future[None]") -> None:
        try:
            self._keep(provider, await self._world.offload(LANE, _load, self._get, *provider))
        except (NotFetched, NotKeys) as failure:
            self._keep(provider, None, mistrusted=isinstance(failure, NotTrusted))
        except Exception as error:
            outcome.set_exception(error)  # a bug: it is whoever waits that fails, not the process
            outcome.exception()  # marks it as read: all who waited may have gone
        finally:
            del self._under_way[provider]
            if not outcome.done():
                outcome.set_result(None)

    def _keep(self, provider: Provider, keys: tuple[Key, ...] | None, *, mistrusted: bool = False) -> None:
        now = self._world.monotonic()
        before = self._kept.pop(provider, None)
        if keys is not None or before is None:
            self._kept[provider] = _Kept(keys=keys, fetched=now, tried=now, mistrusted=mistrusted)
        else:
            self._kept[provider] = _Kept(keys=before.keys, fetched=before.fetched, tried=now, mistrusted=mistrusted)
        if len(self._kept) > PROVIDERS_MAX:
            self._kept.pop(next(iter(self._kept)))


def _load(get: Get, issuer: str, thumbprints: Thumbprints) -> tuple[Key, ...]:
    """Discovery and the keys it names. A document of another issuer would let one provider speak for another."""
    try:
        shown = get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", thumbprints)
        found = msgspec.json.decode(shown, type=_Discovery)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NotKeys from None
    if found.issuer.rstrip("/") != issuer.rstrip("/"):
        raise NotKeys
    return parse_keys(get(found.jwks_uri, thumbprints))
