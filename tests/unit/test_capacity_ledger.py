"""Random lives of a zone: whatever happens, in whatever order and with crashes between, the ledger in memory and the
database say the same, nothing is promised twice, and no address has two owners."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.capacity.manager import Capacity, open_capacity
from neargate.model.capacity import (
    HostCapacity,
    HostFacts,
    NoCapacity,
    RecordedReservation,
    Reservation,
    ReservationRequest,
    SubnetView,
    TaskOverhead,
    Tenancy,
)
from neargate.model.knobs import Knobs
from neargate.model.network import Eni
from neargate.placement.tenancy import Sharing, tenant_of
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ZONES = ("a", "b")
ACCOUNTS = ("111111111111", "222222222222")
KNOBS = Knobs(cpu_overcommit=2.0, disk_overcommit=1.0)

MACHINE = TaskOverhead(memory_mib=100, memory_part=10)

_tasks = st.integers(0, 9).map(lambda n: f"task-{n}")
_steps = st.one_of(
    st.tuples(
        st.just("reserve"),
        _tasks,
        st.sampled_from(ZONES),
        st.sampled_from([256, 1024]),
        st.booleans(),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["demand", "spot", "ahead"]),
    ),
    st.tuples(st.just("release"), _tasks, st.sampled_from(ZONES)),
    st.tuples(st.just("register"), st.sampled_from(["h1", "h2"]), st.sampled_from([1024, 4096]), st.booleans()),
    st.tuples(st.just("restore"), st.integers(0, 9), st.sampled_from(["h1", "h2"]), st.sampled_from(ACCOUNTS)),
    st.tuples(st.just("seen"), st.sampled_from(["h1", "h2"]), st.booleans()),
    st.tuples(st.just("restart"), st.sampled_from([Tenancy.STRICT, *Tenancy]), st.booleans()),
)
Claims = dict[str, set[tuple[str, str, str]]]  # host -> (task, zone, account) of those it has


async def _open(world: OsWorld, disk: MemoryDisk, tenancy: Tenancy = Tenancy.STRICT) -> Capacity:
    return await open_capacity(
        world,
        MemoryStores(world, KNOBS, disk),
        shard="zone-a",
        region="us-east-1",
        zones=ZONES,
        public_pool="198.18.0.0/30",
        knobs=KNOBS,
        tenancy=tenancy,
    )


def _request(
    task_id: str, zone: str, memory: int, public: bool, account: str, kind: str = "demand"
) -> ReservationRequest:
    cidr = {"a": "10.0.0.0/29", "b": "10.0.1.0/28"}[zone]
    subnet = SubnetView(subnet_id=f"subnet-{zone}", vpc_id="vpc-0", zone=zone, zone_id=zone, cidr=cidr)
    return ReservationRequest(
        task_id=task_id,
        account=account,
        zone=zone,
        subnet=subnet,
        security_groups=(),
        assign_public_ip=public,
        cpu_units=256,
        memory_mib=memory,
        disk_gib=20,
        is_spot=kind == "spot",
        may_reclaim=kind == "ahead",
    )


def _recorded(number: int, host_id: str, account: str) -> RecordedReservation:
    """Of a task that its cell knows and a crash of the zone has lost; the host may be unknown by now, too."""
    eni = Eni(
        eni_id=f"eni-{number}",
        attachment_id=f"attachment-{number}",
        mac=f"02:00:00:00:00:0{number}",
        vpc_id="vpc-0",
        subnet_id="subnet-lost",
        subnet_cidr="10.0.2.0/28",
        private_ipv4=f"10.0.2.{number + 4}",
    )
    return RecordedReservation(
        capacity_id=f"lost-{number}",
        task_id=f"task-{number}",
        zone="b",
        account=account,
        host_id=host_id,
        cpu_units=256,
        memory_mib=256,
        disk_gib=20,
        eni=eni,
        owner="",
        created_at=1.0,
    )


async def _do(capacity: Capacity, step: tuple[Any, ...], sandbox: str = "container") -> Reservation | NoCapacity | None:
    kind, *values = step
    if kind == "reserve":
        return await capacity.reserve(_request(*values))
    if kind == "release":
        await capacity.release(*values)
    elif kind == "register":
        host_id, memory, accepts = values
        facts = HostFacts(
            host_id=host_id,
            boot_id="boot",
            capacity=HostCapacity(cpu_units=1024, memory_mib=memory, disk_gib=100),
            sandbox="container" if host_id == "h1" else sandbox,
            overhead=TaskOverhead() if host_id == "h1" or sandbox == "container" else MACHINE,
            accepts_tasks=accepts,
        )
        await capacity.register_host(facts)
    elif kind == "restore":
        await capacity.restore([_recorded(*values)])
    else:
        await capacity.host_seen(*values)
    return None


def _check(disk: MemoryDisk, capacity: Capacity) -> None:
    rows = disk.databases["zone-a"].execute
    ledger = capacity._ledger
    live = rows(
        "SELECT task_id, zone, host, cpu, memory, disk, account, spot FROM reservations WHERE state = 'reserved'"
    )
    claims = live.fetchall()
    assert {(task, zone) for task, zone, *_ in claims} == set(ledger.claims)
    for host_id, cpu, memory, offered_disk, free_cpu, free_memory, free_disk, tasks, tenant in rows(
        "SELECT id, cpu, memory, disk, free_cpu, free_memory, free_disk, tasks, tenant FROM hosts"
    ).fetchall():
        own = [claim for claim in claims if claim[2] == host_id]
        assert free_cpu == cpu - sum(claim[3] for claim in own)
        assert free_memory == memory - sum(claim[4] for claim in own)
        assert free_disk == offered_disk - sum(claim[5] for claim in own)
        assert tasks == len(own)
        assert ledger.hosts[host_id].spot.memory_mib == sum(claim[4] for claim in own if claim[7])
        view = ledger.hosts[host_id].view
        assert (view.free_cpu_units, view.free_memory_mib, view.free_disk_gib) == (free_cpu, free_memory, free_disk)
        assert ledger.hosts[host_id].tasks == tasks
        accounts = {claim[6] for claim in own}
        assert view.tenant == tenant_of(ledger.hosts[host_id].sharing, accounts)
        # Once it had several it is marked so until it is empty.
        assert tenant in ({None} if not accounts else {*accounts, "*"} if len(accounts) == 1 else {"*"})
    kept = ledger.spot_room("")
    ledger._spot_rooms.clear()
    assert kept == ledger.spot_room("")
    assert {task.key for task in ledger.spot_tasks()} == {(claim[0], claim[1]) for claim in claims if claim[7]}
    for account in ACCOUNTS:
        for on_spot in (False, True):
            cpu = sum(claim[3] for claim in claims if claim[6] == account and bool(claim[7]) == on_spot)
            assert capacity.cpu_units_held(account, on_spot=on_spot) == cpu
    taken: dict[str, set[int]] = {}
    for subnet, address in rows("SELECT subnet, private_ip FROM enis").fetchall():
        assert address not in taken.setdefault(subnet, set())
        taken[subnet].add(address)
    assert {subnet: book.taken for subnet, book in ledger.subnets.items() if book.taken} == taken
    public = [row[0] for row in rows("SELECT public_ip FROM enis WHERE public_ip IS NOT NULL").fetchall()]
    assert len(set(public)) == len(public) and set(public) == ledger.public.taken


def _held(disk: MemoryDisk) -> Claims:
    held: Claims = {}
    query = "SELECT host, task_id, zone, account FROM reservations WHERE state = 'reserved'"
    for host, task_id, zone, account in disk.databases["zone-a"].execute(query).fetchall():
        held.setdefault(host, set()).add((task_id, zone, account))
    return held


def _check_tenancy(capacity: Capacity, before: Claims, after: Claims, restored: set[str]) -> None:
    """A host with more than its rule allows, from before the rule held, has got nothing new. The restored ask none."""
    for host_id, host in capacity._ledger.hosts.items():
        claims = after.get(host_id, set())
        crowded = {
            Sharing.ANYBODY: False,
            Sharing.ITS_ACCOUNT: len({account for _, _, account in claims}) > 1,
            Sharing.NOBODY: len(claims) > 1,
        }
        new = {task_id for task_id, _, _ in claims - before.get(host_id, set())}
        assert not crowded[host.sharing] or not new or new & restored


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_steps, min_size=1, max_size=8), max_size=8))
def test_ledger_and_database_say_the_same(rounds: list[list[tuple[Any, ...]]]) -> None:
    async def main() -> None:
        world, disk = OsWorld({}), MemoryDisk()
        capacity, sandbox = await _open(world, disk), "container"
        answers: dict[tuple[str, str], str] = {}
        released: set[tuple[str, str]] = set()
        for steps in rounds:
            restarts = [step for step in steps if step[0] == "restart"]
            before = _held(disk)
            together = [step for step in steps if step[0] != "restart"]
            results = await asyncio.gather(*(_do(capacity, step, sandbox) for step in together))
            for result in results:
                if isinstance(result, Reservation):
                    key = (result.task_id, result.zone)
                    assert key not in released
                    assert answers.setdefault(key, result.capacity_id) == result.capacity_id
            released |= {(step[1], step[2]) for step in together if step[0] == "release"}
            restored = {f"task-{step[1]}" for step in together if step[0] == "restore"}
            _check_tenancy(capacity, before, _held(disk), restored)
            for _, tenancy, is_microvm in restarts:
                capacity = await _open(world, disk, tenancy)
                if is_microvm != (sandbox == "microvm"):  # it was made anew, over what it has
                    sandbox = "microvm" if is_microvm else "container"
                    await _do(capacity, ("register", "h2", 4096, True), sandbox)
            _check(disk, capacity)
        # Whatever was there can all be given back.
        for task_id, zone in list(capacity._ledger.claims):
            await capacity.release(task_id, zone)
        _check(disk, capacity)
        assert not capacity._ledger.claims and not capacity._ledger.public.taken

    asyncio.run(asyncio.wait_for(main(), 60))


def test_what_a_host_needs_beside_a_task_is_reserved_with_it_and_given_back() -> None:
    async def main() -> None:
        world, disk = OsWorld({}), MemoryDisk()
        capacity = await _open(world, disk)
        row = "SELECT memory, free_memory FROM hosts"
        await _do(capacity, ("register", "h2", 2451, True), "microvm")
        made = [await capacity.reserve(_request(f"task-{n}", "b", 1024, False, ACCOUNTS[0])) for n in range(2)]
        assert isinstance(made[0], Reservation) and isinstance(made[1], NoCapacity), "two times 1024 + 100 + 102"
        await _do(capacity, ("register", "h2", 2452, True), "microvm")
        again = await capacity.reserve(_request("task-1", "b", 1024, False, ACCOUNTS[0]))
        assert isinstance(again, Reservation)
        assert disk.databases["zone-a"].execute(row).fetchall() == [(2452, 0)]
        # Another word of the host, and another process: what was taken is what is given back.
        await _do(capacity, ("register", "h2", 2452, True), "container")
        capacity = await _open(world, disk)
        _check(disk, capacity)
        for number in range(2):
            await capacity.release(f"task-{number}", "b")
        assert disk.databases["zone-a"].execute(row).fetchall() == [(2452, 2452)]
        _check(disk, capacity)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_crash_in_the_middle_of_many_leaves_all_or_nothing_of_each() -> None:
    async def main() -> None:
        world, disk = OsWorld(), MemoryDisk()
        capacity = await _open(world, disk)
        await _do(capacity, ("register", "h2", 4096, True))
        flights = [
            asyncio.ensure_future(capacity.reserve(_request(f"task-{n}", "b", 256, False, ACCOUNTS[0])))
            for n in range(8)
        ]
        await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
        reopened = await _open(world, disk)  # a new process over what the disk holds at this moment
        done, _ = await asyncio.wait(flights)
        later = await _open(world, disk)
        _check(disk, later)
        results = [flight.result() for flight in done]
        first = {result.capacity_id for result in results if isinstance(result, Reservation)}
        again = [await later.reserve(_request(f"task-{n}", "b", 256, False, ACCOUNTS[0])) for n in range(8)]
        assert first <= {answer.capacity_id for answer in again if isinstance(answer, Reservation)}
        assert len(reopened._ledger.claims) <= 8

    asyncio.run(asyncio.wait_for(main(), 60))
