"""Placement: the fast choice agrees with the full ranking, and each refusal is the sentence of what is missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.model.capacity import HostCapacity, TaskOverhead
from neargate.placement import feasible
from neargate.placement.feasible import HostView, Wanted, refusal
from neargate.placement.rank import choose, explain, rank
from neargate.placement.reserve import Room, give_back, offered, take, with_overhead
from neargate.placement.software import software_of
from neargate.placement.tenancy import ONE_TASK, SEVERAL

WANTED = Wanted(zone="a", account="111111111111", cpu_units=256, memory_mib=512, disk_gib=20)
ROOM = Room(cpu_units=256, memory_mib=512, disk_gib=20)
HOST = HostView(host_id="h", free_cpu_units=256, free_memory_mib=512, free_disk_gib=20)

hosts = st.builds(
    HostView,
    host_id=st.text("abcdef", min_size=1, max_size=3),
    free_cpu_units=st.integers(-1, 4).map(lambda n: n * 128),
    free_memory_mib=st.integers(-1, 4).map(lambda n: n * 256),
    free_disk_gib=st.integers(0, 4).map(lambda n: n * 10),
    architecture=st.sampled_from(["X86_64", "ARM64"]),
    software=st.sampled_from([(), ((0, 1),), ((0, 1), (6, 1)), ((0, 2),)]),
    zone=st.sampled_from([None, "a", "b"]),
    tenant=st.sampled_from([None, "111111111111", "222222222222", SEVERAL, ONE_TASK]),
    pool=st.sampled_from(["", "111111111111", "111111111111/a"]),
    overhead=st.sampled_from([TaskOverhead(), TaskOverhead(memory_mib=100, memory_part=50)]),
    connected=st.booleans(),
    accepts_tasks=st.booleans(),
    is_draining=st.booleans(),
)


@given(st.lists(hosts, max_size=8, unique_by=lambda host: host.host_id), st.sampled_from(["", "111111111111"]))
def test_the_fast_choice_is_the_first_of_the_ranking(views: list[HostView], pool: str) -> None:
    wanted = replace(WANTED, pool=pool)
    ranking = rank(views, wanted)
    assert choose(views, wanted) == (ranking[0] if ranking else None)
    assert {host.host_id for host in ranking} == {host.host_id for host in views if refusal(host, wanted) is None}


def test_who_has_hosts_of_his_own_goes_nowhere_else() -> None:
    wanted, own = replace(WANTED, pool="111111111111/a"), replace(HOST, pool="111111111111/a")
    common = replace(HOST, host_id="a-better-fit")
    assert choose([common, own], wanted) == own and choose([common], wanted) is None
    assert refusal(common, wanted) == feasible.NOT_ITS_OWN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"connected": False}, feasible.NOT_CONNECTED),
        ({"accepts_tasks": False}, feasible.NOT_ACCEPTING),
        ({"is_draining": True}, feasible.DRAINING),
        ({"zone": "b"}, feasible.OTHER_ZONE),
        ({"architecture": "ARM64"}, feasible.OTHER_ARCHITECTURE),
        ({"tenant": "222222222222"}, feasible.OTHER_ACCOUNT),
        ({"tenant": SEVERAL}, feasible.OTHER_ACCOUNT),
        ({"tenant": ONE_TASK}, feasible.HAS_ITS_TASK),
        ({"pool": "111111111111"}, feasible.KEPT_FOR_OTHERS),
        ({"free_memory_mib": 511}, feasible.NO_MEMORY),
        ({"free_cpu_units": 255}, feasible.NO_CPU),
        ({"free_disk_gib": 19}, feasible.NO_DISK),
    ],
)
def test_each_refusal_names_what_is_missing(change: dict[str, object], sentence: str) -> None:
    assert refusal(HOST, WANTED) is None
    refused = replace(HOST, **change)  # type: ignore[arg-type]
    assert refusal(refused, WANTED) == sentence
    assert choose([refused], WANTED) is None
    amounts = {
        feasible.NO_MEMORY: " (511 of 512 MiB)",
        feasible.NO_CPU: " (255 of 256 CPU units)",
        feasible.NO_DISK: " (19 of 20 GiB)",
    }
    assert explain([refused, refused], WANTED) == f"2 x {sentence}{amounts.get(sentence, '')}"


def test_the_log_names_the_most_that_a_host_has_left() -> None:
    told = explain([replace(HOST, free_disk_gib=left) for left in (3, 12, 0)], WANTED)
    assert told == "3 x the host has too little disk left (12 of 20 GiB)"


def test_newest_software_first_then_the_tightest_fit() -> None:
    old_tight = replace(HOST, host_id="old", software=software_of("0.9.1", None))
    new_wide = replace(HOST, host_id="new", software=software_of("0.10.0", None), free_memory_mib=4096)
    new_tight = replace(new_wide, host_id="tight", free_memory_mib=1024)
    ranked = rank([old_tight, new_wide, new_tight], WANTED)
    assert [host.host_id for host in ranked] == ["tight", "new", "old"]


def test_a_host_must_have_room_for_what_it_needs_beside_the_task() -> None:
    overhead = TaskOverhead(memory_mib=100, memory_part=50)
    enough = replace(HOST, overhead=overhead, free_memory_mib=622)
    short = replace(enough, free_memory_mib=621)
    assert refusal(enough, WANTED) is None and choose([enough], WANTED) == enough
    assert refusal(short, WANTED) == feasible.NO_MEMORY and choose([short], WANTED) is None
    assert explain([short], WANTED) == f"1 x {feasible.NO_MEMORY} (621 of 512 MiB and 110 MiB beside them)"
    assert with_overhead(ROOM, overhead) == replace(ROOM, memory_mib=622)


def test_nothing_to_refuse_is_said_too() -> None:
    assert explain([], WANTED) == "the zone has no host"


@given(hosts)
def test_taking_and_giving_back_is_nothing(host: HostView) -> None:
    taken = take(host, ROOM, tenant=WANTED.account)
    assert taken.tenant == WANTED.account and taken.free_memory_mib == host.free_memory_mib - 512
    assert give_back(taken, ROOM, tenant=host.tenant) == host


def test_cpu_and_disk_are_promised_more_than_once_and_memory_is_not() -> None:
    capacity = HostCapacity(cpu_units=2048, memory_mib=8000, disk_gib=50)
    assert offered(capacity, cpu_overcommit=4.0, disk_overcommit=8.0) == Room(
        cpu_units=8192, memory_mib=8000, disk_gib=400
    )


def test_a_tie_is_broken_by_the_id() -> None:
    twins = [replace(HOST, host_id=host_id) for host_id in ("c", "a", "b")]
    assert choose(twins, WANTED) == twins[1] == rank(twins, WANTED)[0]
