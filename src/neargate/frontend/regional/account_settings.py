"""ECS's account settings: what there are, their values, who has set which, and what holds for whom.

Owns the settings of all accounts and the rules of their values, in ECS's words. Must not know operations. Invariant:
a principal's own setting goes before the account's (root's), and that before AWS's default.
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from ...interfaces.store import Store
from ...model.errors import InvalidParameter
from ...world import World
from .shelves import Change, Kept, Shelf, Shelves, migration

MIGRATIONS = (migration("account_settings"),)
SETTINGS_MAX = 10_000  # of one account
LOG_MODE = "defaultLogDriverMode"

_SWITCH = ("enabled", "disabled")


class Known(Struct, frozen=True, kw_only=True):
    """`settled`: can no longer be anything but the default. `refused`: values that this region cannot make true yet."""

    values: tuple[str, ...]
    default: str
    of_account: bool = False  # only the root user or PutAccountSettingDefault sets it
    settled: str = ""
    refused: Mapping[str, str] = {}
    is_managed: bool = False  # by AWS, for the account


_LONG_ARN = Known(values=_SWITCH, default="enabled", settled="You can no longer disable Long Arn settings.")
_INSIGHTS = "Neargate does not support containerInsights yet: its value must be disabled."
_FIPS = "Neargate does not support fargateFIPSMode: its value must be disabled."
KNOWN: Mapping[str, Known] = {
    "awsvpcTrunking": Known(values=_SWITCH, default="disabled"),
    "containerInsights": Known(
        values=("enabled", "disabled", "enhanced"),
        default="disabled",
        refused={"enabled": _INSIGHTS, "enhanced": _INSIGHTS},
    ),
    "containerInstanceLongArnFormat": _LONG_ARN,
    LOG_MODE: Known(values=("blocking", "non-blocking"), default="non-blocking"),
    "fargateEventWindows": Known(values=_SWITCH, default="disabled", of_account=True),
    "fargateFIPSMode": Known(values=_SWITCH, default="disabled", of_account=True, refused={"enabled": _FIPS}),
    "fargateTaskRetirementWaitPeriod": Known(values=("0", "7", "14"), default="7", of_account=True),
    "guardDutyActivate": Known(values=("on", "off"), default="off", of_account=True, is_managed=True),
    "serviceLongArnFormat": _LONG_ARN,
    "tagResourceAuthorization": Known(
        values=("on", "off"),
        default="on",
        of_account=True,
        settled="You can no longer disable tagResourceAuthorization.",
    ),
    "taskLongArnFormat": _LONG_ARN,
}


class Setting(Struct, frozen=True, kw_only=True):
    """What holds: `principal` is the ARN of who has set it, root's for a default."""

    name: str
    value: str
    principal: str


class _Record(Kept, frozen=True, kw_only=True):
    """`name`: the principal's ARN and the setting's name."""

    kind: ClassVar[str] = "setting"
    setting: str
    principal: str
    value: str


def root_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def check_value(name: str, value: str) -> None:
    """Raises InvalidParameter for what nobody may set."""
    known = KNOWN[name]
    if value not in known.values:
        raise InvalidParameter("Invalid setting 'value'")
    if known.is_managed:
        raise InvalidParameter(f"The setting {name} is read-only: Amazon GuardDuty controls it.")
    if known.settled and value != known.default:
        raise InvalidParameter(known.settled)
    if value in known.refused:
        raise InvalidParameter(known.refused[value])


class AccountSettings:
    """Reads are from memory. Without shelves (tests of other things) the defaults hold, and nothing can be set."""

    def __init__(self, shelves: Shelves | None = None) -> None:
        self._shelves = shelves

    async def follow(self, period_s: float) -> None:
        """With several servers: what another one changed. Never returns."""
        assert self._shelves is not None
        await self._shelves.follow(period_s)

    def own(self, account: str, principal: str, name: str) -> Setting | None:
        """What this principal has set."""
        found = self._shelf(account).find(_Record, _key(principal, name))
        return None if found is None else Setting(name=name, value=found.value, principal=principal)

    def effective(self, account: str, principal: str, name: str) -> Setting:
        root = root_arn(account)
        default = Setting(name=name, value=KNOWN[name].default, principal=root)
        return self.own(account, principal, name) or self.own(account, root, name) or default

    async def put(self, account: str, principal: str, name: str, value: str) -> None:
        """`value` passed `check_value`."""
        assert self._shelves is not None
        record = _Record(account=account, name=_key(principal, name), setting=name, principal=principal, value=value)

        def decide(shelf: Shelf) -> Change[None]:
            if shelf.find(_Record, record.name) == record:
                return Change(result=None)
            if shelf.find(_Record, record.name) is None and shelf.count(_Record) >= SETTINGS_MAX:
                raise InvalidParameter(f"An account can have at most {SETTINGS_MAX} settings of its principals.")
            return Change(result=None, put=(record,))

        await self._shelves.change(account, decide)

    async def delete(self, account: str, principal: str, name: str) -> None:
        """Repeatable."""
        assert self._shelves is not None

        def decide(shelf: Shelf) -> Change[None]:
            found = shelf.find(_Record, _key(principal, name))
            return Change(result=None, drop=() if found is None else (found,))

        await self._shelves.change(account, decide)

    def _shelf(self, account: str) -> Shelf:
        return Shelf(account) if self._shelves is None else self._shelves.shelf(account)


async def open_account_settings(world: World, store: Store) -> AccountSettings:
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    shelves = Shelves(world, store, "account_settings", (_Record,))
    await shelves.load()
    return AccountSettings(shelves)


def _key(principal: str, name: str) -> str:
    return f"{principal} {name}"
