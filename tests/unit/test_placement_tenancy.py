"""Who may be on a host together: two accounts never where tasks share a kernel, unless the operator trusts them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.model.capacity import Tenancy
from neargate.placement.tenancy import ONE_TASK, SEVERAL, Sharing, may_share, sharing, tenant_of

ACCOUNTS = ("111111111111", "222222222222", "333333333333")
_arrivals = st.lists(st.tuples(st.booleans(), st.sampled_from(ACCOUNTS)), max_size=30)
_sandboxes = st.sampled_from(["container", "microvm", "simulated", "gvisor", "microvm-emulated", ""])


@pytest.mark.parametrize(
    ("tenancy", "sandbox", "rule"),
    [
        (Tenancy.STRICT, "container", Sharing.ITS_ACCOUNT),
        (Tenancy.STRICT, "microvm", Sharing.ANYBODY),
        (Tenancy.STRICT, "simulated", Sharing.ANYBODY),
        (Tenancy.STRICT, "what a newer host says", Sharing.ITS_ACCOUNT),
        (Tenancy.SHARED, "container", Sharing.ANYBODY),
        (Tenancy.SHARED, "microvm", Sharing.ANYBODY),
        (Tenancy.ONE_TASK, "container", Sharing.NOBODY),
        (Tenancy.ONE_TASK, "microvm", Sharing.NOBODY),
    ],
)
def test_the_rule_follows_from_the_operators_word_and_the_isolation(
    tenancy: Tenancy, sandbox: str, rule: Sharing
) -> None:
    assert sharing(tenancy, sandbox) is rule


@given(st.sampled_from(Tenancy), _sandboxes, _arrivals)
def test_whoever_comes_and_goes_a_host_never_has_more_than_its_rule_says(
    tenancy: Tenancy, sandbox: str, arrivals: list[tuple[bool, str]]
) -> None:
    rule, there = sharing(tenancy, sandbox), list[str]()
    for comes, account in arrivals:
        if not comes and account in there:
            there.remove(account)
        elif comes and may_share(tenant_of(rule, set(there)), account):
            there.append(account)
        elif comes:
            assert there and rule is not Sharing.ANYBODY, "an empty host takes anybody's"
        if tenancy is Tenancy.ONE_TASK:
            assert len(there) <= 1
        if tenancy is Tenancy.STRICT and sandbox not in ("microvm", "simulated"):
            assert len(set(there)) <= 1


@given(st.sets(st.sampled_from(ACCOUNTS), min_size=2), st.sampled_from(ACCOUNTS))
def test_a_host_that_was_shared_before_takes_nobody_until_one_is_left(accounts: set[str], account: str) -> None:
    assert tenant_of(Sharing.ITS_ACCOUNT, accounts) == SEVERAL
    assert not may_share(SEVERAL, account) and not may_share(ONE_TASK, account)
    assert may_share(tenant_of(Sharing.ANYBODY, accounts), account)
