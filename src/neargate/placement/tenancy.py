"""Whose a host is, and who else may come to it: the operator's tenancy, by what isolates the host's tasks.

Pure. Must not know databases or ledgers, which both ask here (the database's guards repeat the rule and decide).
Invariant: where tasks share a kernel and the operator has not said otherwise, a host is one account's at a time.
"""

from collections.abc import Collection
from enum import Enum

from ..model.capacity import Tenancy

# Every task has a kernel of its own, behind a boundary. Whatever else a host says of itself is taken for one kernel for
# all: an `emulated` machine has its own, but an emulator is no security boundary by its makers' own word.
OWN_KERNEL = frozenset({"microvm", "simulated"})
# The same, be it a boundary or not: an emulated machine is for development, by its operator's word (--allow-emulated).
GIVES_KERNEL = OWN_KERNEL | {"emulated"}
SEVERAL = "several accounts"  # a tenant that no account is
ONE_TASK = "one task"


class Sharing(Enum):
    """Who may come to a host beside whom it has."""

    ANYBODY = "anybody"
    ITS_ACCOUNT = "its account"
    NOBODY = "nobody"


def sharing(tenancy: Tenancy, sandbox: str) -> Sharing:
    """`sandbox`: what the host says isolates its tasks."""
    if tenancy is Tenancy.ONE_TASK:
        return Sharing.NOBODY
    return Sharing.ANYBODY if tenancy is Tenancy.SHARED or sandbox in OWN_KERNEL else Sharing.ITS_ACCOUNT


def tenant_of(rule: Sharing, accounts: Collection[str]) -> str | None:
    """Whose the host is with tasks of these accounts on it; None: it may be anybody's."""
    if not accounts or rule is Sharing.ANYBODY:
        return None
    if rule is Sharing.NOBODY:
        return ONE_TASK
    return next(iter(accounts)) if len(accounts) == 1 else SEVERAL


def may_share(tenant: str | None, account: str) -> bool:
    """May a task of the account come to a host of this tenant?"""
    return tenant is None or tenant == account
