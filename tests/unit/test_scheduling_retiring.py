"""Who retires, and when: whatever is known of hosts, in whichever order it comes."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from neargate.scheduling.retiring import Cause, Hosts, Notice, PlacedTask, retire

DAY_S = 86_400.0
HOSTS = ("h1", "h2", "h3")
TASKS = tuple(
    PlacedTask(task_id=f"t{n}", account=("a", "b")[n % 2], host=HOSTS[n % 3], service=(None, "web")[n // 3 % 2])
    for n in range(12)
)
WAITS = {"a": 0.0, "b": 7 * DAY_S}
NOW = 1_000_000.0
_hosts = st.frozensets(st.sampled_from(HOSTS))
KNOWN = st.builds(
    Hosts,
    emptied=_hosts,
    given_up=_hosts,
    old=st.dictionaries(st.sampled_from(HOSTS), st.frozensets(st.sampled_from([task.task_id for task in TASKS]))),
    rolled_out=_hosts,
    is_called_off=st.booleans(),
)
NOTICES = st.dictionaries(
    st.sampled_from([*(task.task_id for task in TASKS), "gone"]),
    st.tuples(st.floats(-30, 1), st.sampled_from([0.0, 7.0, 14.0]), st.sampled_from(list(Cause))),
)


def notices_of(drawn: dict[str, tuple[float, float, Cause]]) -> dict[str, Notice]:
    return {
        task_id: Notice(task_id=task_id, noticed_at=NOW + ago * DAY_S, due_at=NOW + (ago + wait) * DAY_S, cause=cause)
        for task_id, (ago, wait, cause) in drawn.items()
    }


@given(hosts=KNOWN, drawn=NOTICES, to_stop=st.frozensets(st.sampled_from([task.task_id for task in TASKS])))
def test_nothing_is_stopped_without_a_notice_whose_time_has_come(
    hosts: Hosts, drawn: dict[str, tuple[float, float, Cause]], to_stop: frozenset[str]
) -> None:
    notices = notices_of(drawn)
    tasks = [structs.replace(task, is_to_stop=task.task_id in to_stop) for task in TASKS]
    by_id = {task.task_id: task for task in tasks}
    plan = retire(tasks, notices, hosts, WAITS.__getitem__, NOW)
    given_anew = {notice.task_id for notice in plan.give}
    assert len(given_anew) == len(plan.give)
    assert not given_anew.intersection(plan.take_back) and not set(plan.stop).intersection(plan.take_back, given_anew)
    for task_id in plan.stop:
        task = by_id[task_id]
        assert task.service is None and not task.is_to_stop
        assert notices[task_id].noticed_at <= NOW and notices[task_id].due_at <= NOW
    for notice in plan.give:
        task = by_id[notice.task_id]
        assert (notice.noticed_at, notice.due_at) == (NOW, NOW + WAITS[task.account]) and not task.is_to_stop
        assert notice.task_id not in notices or notices[notice.task_id].noticed_at > NOW
        is_old = task.host in hosts.rolled_out and task.task_id in hosts.old.get(task.host, ())
        assert task.host in hosts.emptied or is_old or notice.task_id in notices, "nothing says that it should"
    assert "gone" not in notices or "gone" in plan.take_back
    for task in tasks:  # whoever is on an emptied host has a notice, or gets one
        if task.host in hosts.emptied and not task.is_to_stop:
            assert task.task_id in given_anew or task.task_id in notices
            assert task.task_id not in plan.take_back


@given(hosts=KNOWN, drawn=NOTICES)
def test_deciding_again_gives_and_takes_back_nothing(
    hosts: Hosts, drawn: dict[str, tuple[float, float, Cause]]
) -> None:
    notices = notices_of(drawn)
    plan = retire(TASKS, notices, hosts, WAITS.__getitem__, NOW)
    after = {task_id: notice for task_id, notice in notices.items() if task_id not in plan.take_back}
    after |= {notice.task_id: notice for notice in plan.give}
    again = retire(TASKS, after, hosts, WAITS.__getitem__, NOW)
    assert not again.give and not again.take_back


def one(cause: Cause, host: str = "h1", noticed_at: float = NOW - DAY_S) -> dict[str, Notice]:
    return {"t0": Notice(task_id="t0", noticed_at=noticed_at, due_at=NOW + DAY_S, cause=cause)}


def test_a_notice_is_taken_back_by_what_is_known_only() -> None:
    task = [TASKS[0]]
    wait = WAITS.__getitem__
    for notices, hosts, is_taken in (
        (one(Cause.HOST), Hosts(), True),  # its operator lets it take tasks again
        (one(Cause.HOST), Hosts(given_up=["h1"]), False),
        (one(Cause.MACHINE), Hosts(), False),  # its host has not said anything yet
        (one(Cause.MACHINE), Hosts(old={"h2": ["t0"]}), False),
        (one(Cause.MACHINE), Hosts(is_called_off=True), True),
        (one(Cause.MACHINE), Hosts(old={"h1": ["t9"]}, rolled_out=["h1"]), True),  # made of what new ones get, again
        (one(Cause.MACHINE), Hosts(old={"h1": ["t0"]}), True),  # something newer is installed, and not rolled out
        (one(Cause.MACHINE), Hosts(old={"h1": ["t0"]}, rolled_out=["h1"]), False),
        (one(Cause.MACHINE), Hosts(emptied=["h1"], is_called_off=True), False),
    ):
        plan = retire(task, notices, hosts, wait, NOW)
        assert (plan.take_back == ("t0",)) is is_taken, (notices, hosts)
        assert not plan.stop and not plan.give


def test_a_notice_of_the_future_is_given_anew_since_the_clock_was_set_back() -> None:
    notices = one(Cause.MACHINE, noticed_at=NOW + 5)
    [anew] = retire([TASKS[0]], notices, Hosts(), lambda _: DAY_S, NOW).give
    assert (anew.noticed_at, anew.due_at, anew.cause) == (NOW, NOW + DAY_S, Cause.MACHINE)
