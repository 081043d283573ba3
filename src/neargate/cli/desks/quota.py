"""What the operator's socket answers about limits: what holds, what was set, what accounts ask for; and changes them.

Owns the text form of a limit: a number for a quota, BURST/PER_SECOND or `none` for a rate. Must not print.
"""

import math
from collections.abc import Callable
from typing import Any

from ...frontend.limits.api_buckets import BY_KEY as BUCKETS
from ...frontend.limits.registry import ALL_ACCOUNTS, PENDING, QuotaRegistry, QuotaUnknown
from ...frontend.limits.token_bucket import Rate
from ...model.errors import IllegalArgument
from ...model.quotas import BY_KEY as QUOTAS
from ...region import Region
from ..admin import Handler

Answer = dict[str, Any]


class LimitRefused(Exception):
    """The key, the value or the account cannot be; the message says what can."""


def handlers(region: Region) -> dict[str, Handler]:
    services = region.services
    desk = QuotaDesk(
        region.quotas,
        is_known=lambda account: services.identity.account(account) is not None,
        refused=lambda: 0 if services.limits is None else services.limits.refused,
    )
    return {"quota-list": desk.listed, "quota-set": desk.change, "quota-reset": desk.reset}


class QuotaDesk:
    """`is_known`: whether there is such an account; `refused`: calls that were refused since the server started."""

    def __init__(self, quotas: QuotaRegistry, is_known: Callable[[str], bool], refused: Callable[[], int]) -> None:
        self._quotas = quotas
        self._is_known = is_known
        self._refused = refused

    async def listed(self, request: Answer) -> Answer:
        """Every limit with AWS's value and the one that holds; what accounts have of their own; open requests."""
        account = self._account(request)
        limits = []
        for key, quota in QUOTAS.items():
            value = self._quotas.value(account, quota)
            limits.append(
                self._row(account, key, quota.name, _number(quota.value), "hosts" if value is None else _number(value))
            )
        for key, bucket in BUCKETS.items():
            limits.append(self._row(account, key, "", _rate(bucket.rate), _rate(self._quotas.rate(account, bucket))))
        own = [
            {"account": owner, "key": key, "value": _number(value) if key in QUOTAS else _pair(value, per_s)}
            for owner, key, value, per_s in self._quotas.all_set()
            if owner != ALL_ACCOUNTS
        ]
        requests = [
            {"account": item.account, "key": item.quota, "desired": _number(item.desired), "requester": item.requester}
            for item in await self._quotas.requests(account, PENDING)
        ]
        return {
            "mode": self._quotas.mode.value,
            "limits": limits,
            "own": own,
            "requests": requests,
            "refused": self._refused(),
        }

    async def change(self, request: Answer) -> Answer:
        """Raises LimitRefused."""
        account, key, text = self._account(request), str(request["key"]), str(request["value"])
        if key not in BUCKETS and key not in QUOTAS:
            raise _unknown(key)  # before the value, which may be right for the limit that was meant
        try:
            if key in BUCKETS:
                await self._quotas.set_rate(account, key, parse_rate(text))
            else:
                await self._quotas.set_value(account, key, parse_number(text))
        except IllegalArgument as error:
            raise LimitRefused(error.message) from None
        return {}

    async def reset(self, request: Answer) -> Answer:
        """Raises LimitRefused."""
        key = str(request["key"])
        try:
            await self._quotas.reset(self._account(request), key)
        except QuotaUnknown:
            raise _unknown(key) from None
        return {}

    def _account(self, request: Answer) -> str:
        account = str(request.get("account") or ALL_ACCOUNTS)
        if account != ALL_ACCOUNTS and not self._is_known(account):
            raise LimitRefused(f"there is no account {account!r} in this region")
        return account

    def _row(self, account: str, key: str, name: str, aws: str, value: str) -> Answer:
        return {"key": key, "name": name, "aws": aws, "value": value, "is_set": self._quotas.is_set(account, key)}


def parse_number(text: str) -> float:
    """Raises LimitRefused."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LimitRefused(f"{text!r} is not a number")
    return value


def parse_rate(text: str) -> Rate | None:
    """`100/20`: a hundred at once, twenty a second from then on; `none` lifts it. Raises LimitRefused."""
    if text == "none":
        return None
    burst, slash, per_s = text.partition("/")
    if not slash:
        raise LimitRefused(f"{text!r} is not a rate; write BURST/PER_SECOND, for example 100/20, or none")
    return Rate(parse_number(burst), parse_number(per_s))


def _unknown(key: str) -> LimitRefused:
    return LimitRefused(f"there is no limit {key!r}; all of them: neargate quota list")


def _pair(burst: float, per_s: float | None) -> str:
    return "none" if per_s is None else _rate(Rate(burst, per_s))


def _rate(rate: Rate | None) -> str:
    return "none" if rate is None else f"{_number(rate.burst)}/{_number(rate.per_s)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"
