"""Which tasks retire, and when: those whose host is emptied, or whose machine runs older software than its host has.

Pure. A task of a service is noticed and its service does the rest at once (`services/`: another one first); a task of
no service is noticed, and stopped when the wait of its account is over. Invariants: nothing is stopped before the time
that its notice named; a notice is taken back only by what is known, never for want of it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct


class Cause(StrEnum):
    HOST = "host"  # its operator empties it
    MACHINE = "machine"  # it was begun with an older guest image or VMM than its host has, and these are rolled out


class Notice(Struct, frozen=True, kw_only=True):
    """`due_at`: a task of no service is stopped then, not before. Times are epoch seconds."""

    task_id: str
    noticed_at: float
    due_at: float
    cause: Cause


class PlacedTask(Struct, frozen=True, kw_only=True):
    """One that has not stopped. `service`: its name, None of a task of none. `is_to_stop`: it was asked to already."""

    task_id: str
    account: str
    host: str
    service: str | None
    is_to_stop: bool = False


class Hosts(Struct, frozen=True, kw_only=True):
    """What is known of hosts. `emptied`, `given_up`: their operator's word. `old`: host -> tasks in machines with older
    software, of the hosts that have said what they have; of those in `rolled_out` it is to go."""

    emptied: Collection[str] = frozenset()
    given_up: Collection[str] = frozenset()
    old: Mapping[str, Collection[str]] = {}
    rolled_out: Collection[str] = frozenset()
    is_called_off: bool = False  # no software is rolled out anywhere


class Retirement(Struct, frozen=True, kw_only=True):
    """`give`: new notices, which take the place of ones that the same tasks had. `take_back`, `stop`: ids of tasks."""

    give: tuple[Notice, ...] = ()
    take_back: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


def retire(
    tasks: Sequence[PlacedTask],
    notices: Mapping[str, Notice],
    hosts: Hosts,
    wait_s: Callable[[str], float],
    now: float,
) -> Retirement:
    """`tasks`: all on hosts that are emptied, in machines that are old, and with a notice, as far as they have not
    stopped. `wait_s`: of an account."""
    give: list[Notice] = []
    stop: list[str] = []
    take_back = sorted(set(notices).difference(task.task_id for task in tasks))
    for task in tasks:
        notice, cause = notices.get(task.task_id), _cause(task, hosts)
        if cause is None and notice is not None and not _may_hold(notice, task, hosts):
            take_back.append(task.task_id)
        elif notice is not None and notice.noticed_at <= now:
            if task.service is None and not task.is_to_stop and now >= notice.due_at:
                stop.append(task.task_id)
        elif not task.is_to_stop and (cause is not None or notice is not None):
            # One from the future was given before the clock was set back: it is given anew, with its whole wait.
            cause = cause or (notice.cause if notice is not None else Cause.HOST)
            give.append(_notice(task, cause, wait_s(task.account), now))
    return Retirement(give=tuple(give), take_back=tuple(take_back), stop=tuple(stop))


def _cause(task: PlacedTask, hosts: Hosts) -> Cause | None:
    if task.host in hosts.emptied:
        return Cause.HOST
    is_old = task.host in hosts.rolled_out and task.task_id in hosts.old.get(task.host, ())
    return Cause.MACHINE if is_old else None


def _may_hold(notice: Notice, task: PlacedTask, hosts: Hosts) -> bool:
    """Nothing says so now; but does anything say that it is not so any more?"""
    if notice.cause is Cause.HOST:
        return task.host in hosts.given_up
    return not hosts.is_called_off and task.host not in hosts.old


def _notice(task: PlacedTask, cause: Cause, wait_s: float, now: float) -> Notice:
    return Notice(task_id=task.task_id, noticed_at=now, due_at=now + wait_s, cause=cause)
