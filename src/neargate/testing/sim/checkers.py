"""What must hold at every moment, and what must hold once everything has come to rest.

At the moment of change: SQLite TEMP triggers on the production tables and the hosts' own callbacks look at what changed
and nothing else. At rest: the whole of every shard is compared with every host. Must not know how the region works
inside: it reads tables, hosts and what clients were told.
"""

import sqlite3
from collections.abc import Mapping, Set
from typing import Any

import msgspec
from msgspec import Struct, field

from ...model.capacity import HostFacts, TaskOverhead
from ...model.launch import TaskLaunch
from ...model.lifecycle import DesiredStatus, LastStatus, walk
from ...model.network import Eni
from . import documents
from .service_checkers import ServiceChecks
from .sim import Sim
from .tenants import TenancyChecks
from .vpc_checkers import VpcChecks

_CELL_TRIGGERS = """
CREATE TEMP TRIGGER sim_task_changed AFTER UPDATE ON main.tasks BEGIN
    SELECT sim_task_changed(old.id, old.last_status, new.last_status, old.desired_status, new.desired_status,
        old.report_seq, new.report_seq, old.rev, new.rev, old.version, new.version);
    SELECT sim_released(new.id, new.last_status, new.released);
    SELECT sim_document(new.id, old.doc, new.doc);
END;
CREATE TEMP TRIGGER sim_task_recorded AFTER INSERT ON main.tasks BEGIN SELECT sim_recorded(new.id, new.zone); END;
CREATE TEMP TRIGGER sim_task_forgotten AFTER DELETE ON main.tasks BEGIN
    SELECT sim_released(old.id, old.last_status, old.released);
END;
"""
_ZONE_TRIGGERS = """
CREATE TEMP TRIGGER sim_room AFTER UPDATE ON main.hosts BEGIN
    SELECT sim_room(new.id, new.tasks, new.cpu, new.free_cpu, sum(cpu), new.memory, new.free_memory, sum(memory),
        new.disk, new.free_disk, sum(disk)) FROM reservations WHERE host = new.id AND state = 'reserved' AND spot = 1;
END;
CREATE TEMP TRIGGER sim_void AFTER UPDATE OF state ON main.reservations BEGIN
    SELECT sim_recorded(new.task_id, new.zone);
END;
"""


class Book(Struct):
    """What clients were told."""

    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)  # token -> ids of the first answer
    acknowledged: dict[str, str] = field(default_factory=dict)  # task id -> marker of the call
    stopped: set[str] = field(default_factory=set)  # ids whose StopTask was answered
    asked: dict[str, int] = field(default_factory=dict)  # marker -> tasks wanted
    versions: dict[str, int] = field(default_factory=dict)  # task id -> highest version a finished read has shown


class Checkers:
    """`databases`: shard -> connection, the machine's disk."""

    def __init__(self, sim: Sim, databases: Mapping[str, sqlite3.Connection]) -> None:
        self.book = Book()
        self.network = VpcChecks(sim, databases)
        self.services = ServiceChecks(sim, databases)
        self.tenancy = TenancyChecks(sim, databases)
        self._sim = sim
        self._databases = databases
        self._watched: set[str] = set()
        self._hosts: dict[str, str] = {}  # task id -> the host that holds it
        self._sizes: dict[str, int] = {}  # task id -> MiB
        self._addresses: dict[tuple[str, str], str] = {}  # (VPC or "public", address) -> task id
        self._due: set[tuple[str, str]] = set()

    # -- at the moment of change

    def watch(self, shard: str) -> None:
        """Once per database, after its migrations."""
        if shard in self._watched:
            return
        self._watched.add(shard)
        connection = self._databases[shard]
        self.network.watch(shard, connection)
        if shard.startswith("cell"):
            connection.create_function("sim_task_changed", 11, self._task_changed)
            connection.create_function("sim_released", 3, self._released)
            connection.create_function("sim_document", 3, self._document_changed)
            connection.create_function("sim_recorded", 2, self._look_later)
            connection.executescript(_CELL_TRIGGERS)
            self.services.watch(connection)
        elif shard.startswith("zone"):
            connection.create_function("sim_room", 11, self._room)
            connection.create_function("sim_recorded", 2, self._look_later)
            connection.executescript(_ZONE_TRIGGERS)
            self.tenancy.watch(connection)

    def _task_changed(self, task_id: str, *pairs: Any) -> None:
        last, new_last, desired, new_desired, seq, new_seq, rev, new_rev, version, new_version = pairs
        if last != new_last and not walk(LastStatus(last), LastStatus(new_last)):
            self._sim.fail("lifecycle", f"{task_id} went from {last} to {new_last}")
        if desired == DesiredStatus.STOPPED and new_desired != DesiredStatus.STOPPED:
            self._sim.fail("lifecycle", f"the stop of {task_id} was taken back")
        if new_seq < seq or new_version < version or new_rev < rev:
            self._sim.fail("lifecycle", f"{task_id} was put back to an older state")

    def _document_changed(self, task_id: str, before: bytes, doc: bytes) -> None:
        was, document = msgspec.json.decode(before), msgspec.json.decode(doc)
        if "stopCode" not in was and document.get("stopCode") == "SpotInterruption":
            self._sim.count("interrupted")
        wrong = documents.at_each_change(was, document)
        if wrong is not None:
            self._sim.fail("document", f"{task_id}: {wrong}")

    def _released(self, task_id: str, last_status: str, released: int) -> None:
        if released and last_status != LastStatus.STOPPED:
            self._sim.fail("released", f"{task_id} was given back while {last_status}")

    def _room(self, host: str, tasks: int, *sizes: int | None) -> None:
        """Of each resource: all, what is free, and what Spot tasks hold, which may be promised to others already."""
        for size, free, spot in zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True):
            assert size is not None and free is not None
            if not -(spot or 0) <= free <= size or tasks < 0:
                self._sim.fail("room", f"{host} has {free} of {size} free, {tasks} tasks")

    def _look_later(self, task_id: str, zone: str) -> None:
        """After the commit: a trigger sees what may still be rolled back."""
        self._due.add((task_id, zone))
        self._sim.loop.call_soon(self._look, task_id, zone, context=self._sim.loop.outside.context)

    def _look(self, task_id: str, zone: str) -> None:
        """A live task has its reservation; it was not given away under it."""
        self._due.discard((task_id, zone))
        if self.status_of(task_id, zone) in (None, LastStatus.STOPPED):
            return
        for shard, database in self._databases.items():
            if shard.startswith("zone"):
                query = "SELECT state FROM reservations WHERE task_id = ? AND zone = ?"
                if ("reserved",) in database.execute(query, (task_id, zone)).fetchall():
                    return
        self._sim.fail("capacity", f"{task_id} lives in {zone} without a reservation")

    def status_of(self, task_id: str, zone: str | None = None) -> str | None:
        """Its last status in the cell's database; None when it is not recorded (for that zone)."""
        found = self._databases["cell-0"].execute("SELECT last_status, zone FROM tasks WHERE id = ?", (task_id,))
        row = found.fetchone()
        return None if row is None or zone not in (None, row[1]) else str(row[0])

    def family_of(self, task_id: str) -> str:
        return self._of_task("family", task_id)

    def account_of(self, task_id: str) -> str:
        return self._of_task("account", task_id)

    def wanted_of(self, task_id: str) -> str:
        """Its desired status."""
        return self._of_task("desired_status", task_id)

    def _of_task(self, column: str, task_id: str) -> str:
        query = f"SELECT {column} FROM tasks WHERE id = ?"  # noqa: S608 a column's name from above
        return str(self._databases["cell-0"].execute(query, (task_id,)).fetchone()[0])

    # -- hosts

    def began(self, host_id: str, launch: TaskLaunch) -> None:
        self.attached(host_id, launch.task_id, launch.eni)
        self.runs(host_id, launch.task_id)
        offered, overhead = self._memory_of(host_id)
        self._sizes[launch.task_id] = launch.memory_mib + overhead.of(launch.memory_mib)
        held = sum(self._sizes.get(task_id, 0) for task_id, host in self._hosts.items() if host == host_id)
        if offered is not None and held > offered:
            self._sim.fail("crowded", f"{host_id} runs tasks of {held} MiB and has {offered}")

    def _memory_of(self, host_id: str) -> tuple[int | None, TaskOverhead]:
        """What it offers, and what it needs beside each task."""
        for shard, database in self._databases.items():
            if shard.startswith("zone"):
                for memory, doc in database.execute("SELECT memory, doc FROM hosts WHERE id = ?", (host_id,)):
                    return int(memory), msgspec.json.decode(doc, type=HostFacts).overhead
        return None, TaskOverhead()

    def attached(self, host_id: str, task_id: str, eni: Eni) -> None:
        """The task and its addresses are on this host now."""
        self.tenancy.came(host_id, task_id)
        other = self._hosts.setdefault(task_id, host_id)
        if other != host_id:
            self._sim.fail("doubled", f"{task_id} is on {host_id} and on {other}")
        addresses = [(eni.vpc_id, eni.private_ipv4)]
        if eni.public_ipv4 is not None:
            addresses.append(("public", eni.public_ipv4))
        for address in addresses:
            holder = self._addresses.setdefault(address, task_id)
            if holder != task_id:
                self._sim.fail("address", f"{address} is held by {holder} and by {task_id}")

    def runs(self, host_id: str, task_id: str) -> None:
        status = self.status_of(task_id)
        if status is None:
            self._sim.fail("unrecorded", f"{host_id} runs {task_id}, which the cell never recorded")
        elif status == LastStatus.STOPPED:
            self._sim.fail("revived", f"{host_id} starts {task_id}, which is stopped")

    def ended(self, host_id: str, task_id: str) -> None:
        self.tenancy.went(host_id, task_id)
        if self._hosts.get(task_id) == host_id:
            del self._hosts[task_id]
        for address in [key for key, holder in self._addresses.items() if holder == task_id]:
            del self._addresses[address]

    # -- clients

    def ran(self, marker: str, token: str | None, task_ids: tuple[str, ...]) -> None:
        """RunTask was answered with these tasks: they are durable at this moment, and a token has one answer."""
        for task_id in task_ids:
            if self.status_of(task_id) is None:
                self._sim.fail("lost", f"{task_id} was acknowledged and is not recorded")
            self.book.acknowledged[task_id] = marker
        if token is None or (not task_ids and token not in self.book.tokens):
            return  # a call that placed nothing is not remembered: repeated, it may find room
        if self.book.tokens.setdefault(token, task_ids) != task_ids:
            self._sim.fail("token", f"{token} gave {self.book.tokens[token]}, then {task_ids}")

    def read(self, before: Mapping[str, int], task_id: str, version: int) -> None:
        """A read that began when `before` was known shows nothing older."""
        if version < before.get(task_id, 0):
            self._sim.fail("stale", f"{task_id} was shown in version {version} after {before[task_id]}")
        self.book.versions[task_id] = max(version, self.book.versions.get(task_id, 0))

    # -- at rest

    def problems(self, dead: Set[str]) -> list[str]:
        """What is still unfinished or wrong in the databases, in a stable order.

        `dead`: hosts whose machine is gone. Their tasks keep room and address, and wait for an end that nobody tells.
        """
        cell = self._databases["cell-0"]
        rows = cell.execute(
            "SELECT id, zone, host, last_status, desired_status, released, ordered, started_by FROM tasks ORDER BY n"
        ).fetchall()
        found = [
            f"{task_id} is {last}, wanted {desired}, released {released}"
            for task_id, _, host, last, desired, released, _, _ in rows
            if (last != desired and host not in dead) or (last == LastStatus.STOPPED and not released)
        ]
        live = {(task_id, zone) for task_id, zone, _, last, *_ in rows if last != LastStatus.STOPPED}
        found += self._zone_problems(live)
        found += self.services.problems(dead)
        found += self._promise_problems({row[0] for row in rows}, [str(row[7]) for row in rows])
        return found

    def live_on(self, host_id: str) -> frozenset[str]:
        query = "SELECT id FROM tasks WHERE host = ? AND last_status <> 'STOPPED' ORDER BY n"
        return frozenset(task_id for (task_id,) in self._databases["cell-0"].execute(query, (host_id,)))

    def memory_problems(self, remembered: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Does a zone's process remember of its hosts (tasks, CPU, memory, disk) what its database holds?"""
        found = []
        for shard in sorted(self._databases):
            if shard.startswith("zone"):
                query = "SELECT id, tasks, cpu - free_cpu, memory - free_memory, disk - free_disk FROM hosts ORDER BY n"
                found += [
                    f"{shard}: {host_id} has {held} taken, remembered are {remembered.get(host_id)}"
                    for host_id, *held in self._databases[shard].execute(query)
                    if tuple(held) != remembered.get(host_id)
                ]
        return found

    def stopped(self) -> dict[str, dict[str, Any]]:
        """Stopped task -> its document as DescribeTasks shows it."""
        query = "SELECT id, doc FROM tasks WHERE last_status = 'STOPPED' ORDER BY n"
        return {task_id: msgspec.json.decode(doc) for task_id, doc in self._databases["cell-0"].execute(query)}

    def document_problems(self) -> list[str]:
        judged = [(task_id, documents.at_rest(document)) for task_id, document in self.stopped().items()]
        return [f"{task_id}: {wrong}" for task_id, wrong in judged if wrong is not None]

    def _zone_problems(self, live: set[tuple[str, str]]) -> list[str]:
        found = []
        reserved: set[tuple[str, str]] = set()
        for shard in sorted(self._databases):
            if not shard.startswith("zone"):
                continue
            database = self._databases[shard]
            held = database.execute("SELECT task_id, zone FROM reservations WHERE state = 'reserved'").fetchall()
            placed = set(database.execute("SELECT task_id, zone FROM reservations WHERE placed = 1").fetchall())
            reserved.update(set(held) - placed)
            found += [
                f"{shard}: interface of {task_id} without a reservation"
                for task_id, zone in database.execute("SELECT task_id, zone FROM enis ORDER BY n")
                if (task_id, zone) not in held
            ]
            sums = database.execute(
                "SELECT h.id, h.tasks - count(r.n), h.cpu - h.free_cpu - coalesce(sum(r.cpu), 0), "
                "h.memory - h.free_memory - coalesce(sum(r.memory), 0), h.disk - h.free_disk - coalesce(sum(r.disk), 0)"
                " FROM hosts h LEFT JOIN reservations r ON r.host = h.id AND r.state = 'reserved' AND r.placed = 0"
                " GROUP BY h.id"
            ).fetchall()
            found += [f"{shard}: {row[0]} is off by {row[1:]}" for row in sorted(sums) if any(row[1:])]
        found += [f"{task_id} lives without capacity in {zone}" for task_id, zone in sorted(live - reserved)]
        found += [f"capacity of {task_id} in {zone} has no task" for task_id, zone in sorted(reserved - live)]
        return found

    def _promise_problems(self, recorded: set[str], markers: list[str]) -> list[str]:
        found = [f"{task_id} was acknowledged and is gone" for task_id in self.book.acknowledged.keys() - recorded]
        found += [
            f"call {marker} made {markers.count(marker)} tasks, wanted at most {wanted}"
            for marker, wanted in self.book.asked.items()
            if markers.count(marker) > wanted
        ]
        for task_id in sorted(self.book.stopped):
            query = "SELECT desired_status FROM tasks WHERE id = ?"
            if self._databases["cell-0"].execute(query, (task_id,)).fetchone() != ("STOPPED",):
                found.append(f"{task_id}: its stop was acknowledged and is gone")
        return sorted(found)
