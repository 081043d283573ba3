"""Several accounts in one simulated region: who they are, what each of their clients does, and what is checked of them.

The check is of the machine as much as of the database: no host whose tasks share its kernel ever has two accounts'.
"""

import sqlite3
from collections.abc import Collection, Mapping

from ...frontend.identity.book import AccountBook
from ...frontend.identity.records import AccessKey
from ...frontend.identity.registry import Change
from ...model.concealed import Concealed
from ...region import Region
from ...world import World
from ..execution_role import let_read_parameters, make_execution_role, make_task_role
from .sim import Sim

_TRIGGER = """
CREATE TEMP TRIGGER sim_reserved AFTER INSERT ON main.reservations WHEN new.state = 'reserved' AND new.placed = 0 BEGIN
    SELECT sim_came(new.host);
END;
"""


class Tenant(Concealed, frozen=True, kw_only=True):
    """An account with its administrator's key."""

    account: str
    key: str
    secret: str


OTHERS = (
    Tenant(account="210987654321", key="AKIASIMULATED0000002", secret="another-secret-of-a-simulation"),  # noqa: S106
)


async def make_tenant(region: Region, world: World, tenant: Tenant, task_roles: Collection[str]) -> None:
    """At every start of a server. Raises Overloaded."""
    identity = region.services.identity
    await identity.ensure_account(tenant.account, "another")
    await region.services.network.ensure_defaults(tenant.account)
    await make_execution_role(identity, world, tenant.account)
    if task_roles:
        await let_read_parameters(identity, tenant.account)
    for role in task_roles:
        await make_task_role(identity, world, tenant.account, role)
    if identity.key(tenant.key) is not None:
        return
    made = AccessKey(
        account=tenant.account,
        name=tenant.key,
        uid=tenant.key,
        created=int(world.now()),
        user=None,
        is_active=True,
        sealed=identity.seal_secret(tenant.account, tenant.key, tenant.secret),
    )

    def decide(_: AccountBook) -> Change[None]:
        return Change(result=None, put=(made,))

    await identity.change(tenant.account, decide)


class TenancyChecks:
    """`databases`: shard -> connection. `kernels`: hosts whose tasks share their kernel."""

    def __init__(self, sim: Sim, databases: Mapping[str, sqlite3.Connection]) -> None:
        self.kernels: Collection[str] = ()
        self._sim = sim
        self._databases = databases
        self._there: dict[str, dict[str, str]] = {}  # host -> task -> account, as the machine has them
        self._last: dict[str, str] = {}  # host -> account of the last task that came

    def watch(self, connection: sqlite3.Connection) -> None:
        """A zone's, once, after its migrations."""
        connection.create_function("sim_came", 1, self._reserved)
        connection.executescript(_TRIGGER)

    def _reserved(self, host_id: str) -> None:
        """Looked at after the commit: a trigger sees what may still be rolled back."""
        if host_id in self.kernels:
            self._sim.loop.call_soon(self._look, host_id, context=self._sim.loop.outside.context)

    def _look(self, host_id: str) -> None:
        query = "SELECT DISTINCT account FROM reservations WHERE host = ? AND state = 'reserved' AND placed = 0"
        for shard, database in self._databases.items():
            if shard.startswith("zone"):
                accounts = sorted(account for (account,) in database.execute(query, (host_id,)))
                if len(accounts) > 1:
                    self._sim.fail("tenancy", f"{host_id} is promised to {' and '.join(accounts)}")

    def came(self, host_id: str, task_id: str) -> None:
        """Something of the task is on the machine."""
        if host_id not in self.kernels:
            return
        found = self._databases["cell-0"].execute("SELECT account FROM tasks WHERE id = ?", (task_id,)).fetchone()
        if found is None:
            return  # another check's matter
        account = str(found[0])
        there = self._there.setdefault(host_id, {})
        there[task_id] = account
        if set(there.values()) != {account}:
            self._sim.fail("tenancy", f"{host_id} has tasks of {' and '.join(sorted(set(there.values())))}")
        if self._last.setdefault(host_id, account) != account:
            self._last[host_id] = account
            self._sim.count("hosts-changed-account")

    def went(self, host_id: str, task_id: str) -> None:
        self._there.get(host_id, {}).pop(task_id, None)
