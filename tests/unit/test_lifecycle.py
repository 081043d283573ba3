"""The lifecycle as a table: every pair is either in it or an error, and every later status can be reached."""

import itertools

import pytest

from neargate.model.lifecycle import (
    TASK_TRANSITIONS,
    IllegalTransition,
    LastStatus,
    TaskInput,
    is_later,
    next_status,
    walk,
)

S, BY = LastStatus, TaskInput
# Written down a second time, on purpose: whoever changes the table says here what he means.
LEGAL = {
    (S.PROVISIONING, BY.ENI_ATTACHED, S.PENDING),
    (S.PENDING, BY.CONTAINERS_STARTED, S.ACTIVATING),
    (S.ACTIVATING, BY.ACTIVATED, S.RUNNING),
    (S.PROVISIONING, BY.STOP_BEGUN, S.DEPROVISIONING),
    (S.PENDING, BY.STOP_BEGUN, S.DEACTIVATING),
    (S.ACTIVATING, BY.STOP_BEGUN, S.DEACTIVATING),
    (S.RUNNING, BY.STOP_BEGUN, S.DEACTIVATING),
    (S.DEACTIVATING, BY.DEREGISTERED, S.STOPPING),
    (S.STOPPING, BY.CONTAINERS_STOPPED, S.DEPROVISIONING),
    (S.DEPROVISIONING, BY.RELEASED, S.STOPPED),
}
PAIRS = list(itertools.product(LastStatus, TaskInput))
STATUS_PAIRS = list(itertools.product(LastStatus, LastStatus))


@pytest.mark.parametrize(("status", "given"), PAIRS)
def test_every_pair_is_legal_or_refused(status: LastStatus, given: TaskInput) -> None:
    reached = {after for before, by, after in LEGAL if (before, by) == (status, given)}
    if reached:
        assert next_status(status, given) in reached
    else:
        with pytest.raises(IllegalTransition):
            next_status(status, given)


@pytest.mark.parametrize(("status", "target"), STATUS_PAIRS)
def test_a_walk_passes_only_legal_steps_and_ends_where_it_was_sent(status: LastStatus, target: LastStatus) -> None:
    passed = walk(status, target)
    if not is_later(target, status):
        assert passed == []
        return
    assert passed[-1] is target
    for before, after in itertools.pairwise([status, *passed]):
        assert any(TASK_TRANSITIONS.get((before, by)) is after for by in TaskInput)


def test_a_task_that_never_ran_does_not_pass_running_on_its_way_down() -> None:
    for status in (S.PROVISIONING, S.PENDING, S.ACTIVATING):
        assert S.RUNNING not in walk(status, S.STOPPED)


def test_every_transition_moves_forward() -> None:
    assert all(is_later(after, before) for (before, _), after in TASK_TRANSITIONS.items())
