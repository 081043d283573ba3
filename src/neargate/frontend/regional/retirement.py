"""How long tasks may stay after they were told to retire, and what the operator has said of hosts and software.

Implements interfaces.retiring.RetirementRules for the cells; owns nothing. Must not know tasks.
"""

from collections.abc import Callable

from ...interfaces.retiring import Software
from .account_settings import AccountSettings, root_arn

WAIT_PERIOD = "fargateTaskRetirementWaitPeriod"
_DAY_S = 24 * 3600.0


class RegionRules:
    """`emptied`, `given_up`: hosts, `rolled_out`: software, as the operator has said last."""

    def __init__(
        self,
        settings: AccountSettings,
        *,
        emptied: Callable[[], frozenset[str]],
        given_up: Callable[[], frozenset[str]],
        rolled_out: Callable[[], frozenset[Software]],
    ) -> None:
        self._settings = settings
        self.emptied = emptied
        self.given_up = given_up
        self.rolled_out = rolled_out

    def wait_s(self, account: str) -> float:
        """The account's own setting in days, or AWS's default."""
        return int(self._settings.effective(account, root_arn(account), WAIT_PERIOD).value) * _DAY_S
