"""What must hold of services: at the moment of each start, and once everything has come to rest.

Reads tables only. Invariants that it judges: no task is started for a service that is not ACTIVE, nor above the
service's maximum; every task of a service belongs to one; at rest each service has what is wanted, and was told so.
"""

import sqlite3
from collections.abc import Mapping, Set

import msgspec

from .sim import Sim

# On the row that comes after the guard of the same write: what is refused there was never started.
_TRIGGERS = """
CREATE TEMP TRIGGER sim_service_task AFTER INSERT ON main.service_tasks BEGIN
    SELECT sim_service_started(s.name, s.desired, s.doc, (SELECT count(*) FROM main.tasks t
        WHERE t.service = s.name AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING'))
        FROM main.services s WHERE s.n = new.service AND s.status = 'ACTIVE';
    SELECT sim_service_missing(new.task) WHERE NOT EXISTS
        (SELECT 1 FROM main.services s WHERE s.n = new.service AND s.status = 'ACTIVE');
END;
CREATE TEMP TRIGGER sim_retired AFTER UPDATE ON main.tasks
    WHEN old.desired_status = 'RUNNING' AND new.stop_reason LIKE '%ECS is performing maintenance%' BEGIN
    SELECT sim_retired(new.id, new.service, max(r.due_at - r.noticed_at)) FROM main.retirements r WHERE r.task = new.id;
END;
"""
_NOTICES = "SELECT task FROM retirements ORDER BY task"
_MEANT_S = 86_400.0  # a wait that is longer is not over within a run, however wrong a clock was
_OWNERLESS = (
    "SELECT t.id FROM tasks t WHERE t.service IS NOT NULL AND t.last_status <> 'STOPPED' AND NOT EXISTS "
    "(SELECT 1 FROM service_tasks s JOIN services v ON v.n = s.service WHERE s.task = t.id AND v.name = t.service "
    "AND v.status <> 'INACTIVE') ORDER BY t.n"
)
_COUNTED = (
    "SELECT task FROM service_tasks WHERE task NOT IN (SELECT id FROM tasks WHERE last_status <> 'STOPPED') "
    "ORDER BY task"
)
_SERVICES = "SELECT n, name, status, desired, state FROM services WHERE status <> 'INACTIVE' ORDER BY n"
_LIVE = (
    "SELECT t.host, t.last_status, t.desired_status, t.started_by FROM service_tasks s JOIN tasks t ON t.id = s.task "
    "WHERE s.service = ? AND t.last_status <> 'STOPPED' ORDER BY t.n"
)
_DEPLOYMENTS = "SELECT id FROM deployments WHERE service = ? AND live = 1"


class ServiceChecks:
    """`databases`: shard -> connection, the machine's disk."""

    def __init__(self, sim: Sim, databases: Mapping[str, sqlite3.Connection]) -> None:
        self._sim = sim
        self._databases = databases

    def watch(self, connection: sqlite3.Connection) -> None:
        """Of a cell's database, once."""
        connection.create_function("sim_service_started", 4, self._started)
        connection.create_function("sim_service_missing", 1, self._missing)
        connection.create_function("sim_retired", 3, self._retired)
        connection.executescript(_TRIGGERS)

    def _started(self, service: str, desired: int, doc: bytes, wanted: int) -> None:
        percent = msgspec.json.decode(doc)["deploymentConfiguration"]["maximumPercent"]
        ceiling = max(desired, desired * percent // 100)
        self._sim.count("service-tasks")
        if wanted > ceiling:
            self._sim.fail("maximum", f"{service} was brought to {wanted} tasks, {ceiling} are allowed")

    def _missing(self, task_id: str) -> None:
        self._sim.fail("service", f"{task_id} was started for a service that is not there")

    def _retired(self, task_id: str, service: str | None, wait_s: float | None) -> None:
        self._sim.count("retired-alone" if service is None else "retired-served")
        if service is None and (wait_s is None or wait_s > _MEANT_S):
            self._sim.fail("retired", f"{task_id} was stopped and had {wait_s} s to go on")

    def targets(self) -> set[tuple[str, str, int]]:
        """(group, address, port) of tasks that are, or may be, targets."""
        return set(self._databases["cell-0"].execute("SELECT grp, ip, port FROM task_targets").fetchall())

    def problems(self, dead: Set[str]) -> list[str]:
        """`dead`: hosts whose machine is gone; what their tasks have not done yet is not waited for."""
        cell = self._databases["cell-0"]
        found = [f"{task_id} is of no service" for (task_id,) in cell.execute(_OWNERLESS)]
        found += [f"{task_id} is over and its service has not counted it" for (task_id,) in cell.execute(_COUNTED)]
        found += [f"{task_id} may stay and has its notice still" for (task_id,) in cell.execute(_NOTICES)]
        for service, name, status, desired, state in cell.execute(_SERVICES).fetchall():
            tasks = cell.execute(_LIVE, (service,)).fetchall()
            if any(host in dead and (last, wanted) != ("RUNNING", "RUNNING") for host, last, wanted, _ in tasks):
                continue
            if status != "ACTIVE":
                found.append(f"{name} is {status}")
            elif len(tasks) != desired:
                found.append(f"{name} has {len(tasks)} tasks and wants {desired}")
            elif not msgspec.json.decode(state)["is_steady"]:
                found.append(f"{name} is not steady")
            elif len(cell.execute(_DEPLOYMENTS, (service,)).fetchall()) != 1:
                found.append(f"{name} has several deployments")
        return found
