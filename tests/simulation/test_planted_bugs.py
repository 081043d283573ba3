"""A simulator that finds no bug is broken: each of these, planted, must be found by the runs named beside it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from neargate.agent import adopt as adoption
from neargate.agent import container_config
from neargate.agent.channels.link import LinkClient
from neargate.agent.credential_files import CredentialFiles
from neargate.agent.credentials import TaskCredentials
from neargate.agent.execution.secret_values import SecretValues
from neargate.agent.hooks.credentials import CredentialsHook
from neargate.agent.hooks.secrets import SecretsHook
from neargate.agent.host_tasks import HostTasks
from neargate.agent.local_state import LocalState
from neargate.agent.logs.shipper import LogShipper
from neargate.agent.points import Point
from neargate.agent.task_context import Secrets
from neargate.capacity import ledger as ledgers
from neargate.capacity.ledger import Ledger
from neargate.capacity.manager import Capacity
from neargate.clusters import orders, recording, registrations, releases, reports
from neargate.clusters.gateway import Gateway
from neargate.clusters.host_boots import HostBoots
from neargate.clusters.launching import Launching
from neargate.clusters.reports import ReportOutcome, Reports
from neargate.clusters.restoring import Restoring
from neargate.clusters.spot import Spot
from neargate.clusters.sweepers import Sweepers
from neargate.frontend.callers.task_roles import AssumedTaskRoles
from neargate.link.server_session import ServerSession
from neargate.link.session import AgentSession, Disconnect
from neargate.placement.tenancy import Sharing
from neargate.scheduling import task_document
from neargate.store.sqlite import SqliteStore
from neargate.testing.sim.batch import Work, in_children
from neargate.testing.sim.faults import Fault
from neargate.testing.sim.points import Kill, NamedKill, Small, real, small
from neargate.testing.sim.run import (
    BALANCED,
    EMPTIED,
    NETWORK,
    REAL,
    SERVICES,
    SMALL,
    TENANTS,
    SeedResult,
    Setting,
    run_seed,
)
from neargate.wire.shapes import Models

from . import planted_in_networks as in_networks
from . import planted_in_services as in_services

Works = Callable[[Models], Iterable[Work]]


def effects(models: Models) -> Iterator[Work]:
    return (partial(small, models, Kill(target="server", effect=n)) for n in range(1, 160, 3))


def spot_effects(models: Models) -> Iterator[Work]:
    return (partial(Small(models, spot=True).play, Kill(target="server", effect=n)) for n in range(1, 120, 3))


def agent_points(models: Models) -> Iterator[Work]:
    return (partial(real, models, NamedKill(point=point, targets=("agent",))) for point in reversed(Point))


def ends_being_stored(models: Models) -> Iterator[Work]:
    return (
        partial(
            real,
            models,
            NamedKill(point=Point.STOPPED_SAVED, nth=nth, targets=("server",), delay_s=quarter_ms / 4000),
        )
        for quarter_ms in range(4, 20)
        for nth in range(1, 6)
    )


def with_faults(setting: Setting, *faults: Fault) -> Works:
    return lambda models: (
        partial(run_seed, str(seed), faults, setting=setting, models=models) for seed in range(1, 40)
    )


HOSTILE = with_faults(
    SMALL, *(Fault(at=2, kind="hostile", target=f"host-{n:02d}", duration_s=50, strength=1) for n in range(12))
)
LOST_COMMITS = with_faults(SMALL, *(Fault(at=at, kind="lost-commit", target="server") for at in (5, 15, 25)))
PAUSES = with_faults(
    REAL, *(Fault(at=3 + 5 * n, kind="pause", target=f"host-{n:02d}", duration_s=30) for n in range(3))
)
DEATHS = with_faults(SMALL, *(Fault(at=5, kind="death", target=f"host-{n:02d}") for n in range(3)))
REBOOTS = with_faults(
    REAL, *(Fault(at=8 + 4 * n, kind="reboot", target=f"host-{n:02d}", duration_s=2) for n in range(3))
)
RECORDS_LOST = with_faults(
    SMALL,
    *(Fault(at=6 + 3 * n, kind="reboot", target=f"host-{n:02d}", duration_s=2, strength=0.9) for n in range(12)),
)
POWER_CUTS = with_faults(
    SMALL, *(Fault(at=at, kind="power-cut", target="server", duration_s=0.3, strength=0.9) for at in (12, 24, 36))
)
HALF_OPEN = with_faults(SMALL, *(Fault(at=6 + n, kind="half-open", target=f"host-{n:02d}") for n in range(12)))
ONE_WAY = with_faults(
    SMALL, *(Fault(at=6 + 2 * n, kind="down", target=f"host-{n:02d}", duration_s=40) for n in range(12))
)
WRONG_CLOCKS = with_faults(
    SMALL, *(Fault(at=6 + n, kind="clock-jump", target=f"host-{n:02d}", strength=0.1) for n in range(12))
)
CLOCK_SET_BACK = with_faults(
    SMALL,
    *(Fault(at=at, kind="kill-effect", target="server", count=at, duration_s=0.2) for at in range(5, 29, 2)),
    Fault(at=30, kind="clock-jump", target="server", strength=0.1),
)
COPIES = with_faults(
    SMALL, *(Fault(at=6 + n, kind="second-agent", target=f"host-{n:02d}", duration_s=20) for n in range(12))
)
IMPOSTORS = with_faults(
    SMALL, *(Fault(at=8 + 4 * n, kind="impostor", target=f"host-{n:02d}", duration_s=0.5) for n in range(12))
)
FULL_ZONES = with_faults(
    structs.replace(SMALL, hosts=2, cpu_units=1024, calls=120, twice=0.7),
    Fault(at=3, kind="slow-disk", target="server", duration_s=120, strength=0.2),
)
SLOW_LINKS = with_faults(
    SMALL, *(Fault(at=2, kind="delay", target=f"host-{n:02d}", duration_s=50, strength=0.3) for n in range(12))
)
QUIET = with_faults(REAL)
ALONE_AND_KILLED = with_faults(
    REAL,
    Fault(at=12, kind="kill-step", target="server", count=1, duration_s=8),
    *(Fault(at=14 + n, kind="kill-step", target=f"host-{n:02d}", count=1, duration_s=0.5) for n in range(3)),
)
STALLS = with_faults(SMALL, *(Fault(at=at, kind="stall", target="server", duration_s=15) for at in (8, 26)))

CLIENTS_OF_VPCS = with_faults(NETWORK)
VPCS_AND_POWER_CUTS = with_faults(
    NETWORK, *(Fault(at=at, kind="power-cut", target="server", duration_s=0.3, strength=0.9) for at in (10, 20, 30, 40))
)
VPCS_AND_CUTS = with_faults(
    NETWORK, *(Fault(at=5 * n + m, kind="cut", target=f"host-{m:02d}") for n in range(1, 9) for m in range(6))
)
VPCS_AND_KILLS = with_faults(
    NETWORK,
    *(Fault(at=2 * n, kind="kill-step", target="server", count=1, duration_s=0.2) for n in range(2, 21)),
    Fault(at=3, kind="slow-disk", target="server", duration_s=40, strength=0.1),
)

CLIENTS_OF_SERVICES = with_faults(SERVICES)
SERVICES_AND_KILLS = with_faults(
    SERVICES, *(Fault(at=2 * n, kind="kill-step", target="server", count=1, duration_s=0.2) for n in range(2, 26))
)
CLIENTS_OF_BALANCED = with_faults(BALANCED)
EMPTIED_HOSTS = with_faults(EMPTIED)
TWO_ACCOUNTS = with_faults(TENANTS)


# -- the bugs


def sweeper_off() -> None:
    async def nothing(_: Sweepers) -> None:
        return None

    Sweepers.sweep_reservations = nothing  # type: ignore[method-assign]


def answered_before_commit() -> None:
    write = SqliteStore.write

    async def early(self: SqliteStore, statements: Any) -> list[Any]:
        if any("INSERT INTO tasks" in statement.sql for statement in statements):
            asyncio.get_running_loop().create_task(write(self, statements))
            return [[] for _ in statements]
        return await write(self, statements)

    SqliteStore.write = early  # type: ignore[method-assign]


def token_forgotten() -> None:
    record = recording.Recorder.record

    async def without(self: Any, launch: Any, placed: Any, failures: Any) -> Any:
        request = structs.replace(launch.request, client_token=None)
        return await record(self, structs.replace(launch, request=request), placed, failures)

    recording.Recorder.record = without  # type: ignore[method-assign]


def given_back_while_stopping() -> None:
    releases._UNRELEASED = releases._UNRELEASED.replace("last_status = 'STOPPED'", "desired_status = 'STOPPED'")


def begun_stops_not_repeated() -> None:
    """Takes the second line away, which asks again at each session: it heals what this file plants in the first."""
    to_stop = orders.Orders.to_stop

    async def fresh(self: orders.Orders, host_id: str, after: int, limit: int, *, begun: bool = False) -> Any:
        return await to_stop(self, host_id, after, limit)

    orders.Orders.to_stop = fresh  # type: ignore[method-assign]


def acknowledged_before_commit() -> None:
    begun_stops_not_repeated()
    submit = Reports.submit

    def early(self: Reports, host_id: str, report: Any, answer: Callable[[ReportOutcome], None]) -> None:
        submit(self, host_id, report, lambda _: None)
        answer(ReportOutcome.DURABLE)

    Reports.submit = early  # type: ignore[method-assign]


def failed_commit_ignored() -> None:
    SqliteStore._lost = lambda self, error: None  # type: ignore[method-assign]


def orders_said_once() -> None:
    check = ServerSession.check
    ServerSession.check = lambda self, now: [  # type: ignore[method-assign]
        action for action in check(self, now) if not hasattr(action, "data")
    ]


def room_remembered_for_ever() -> None:
    Ledger.remove = lambda self, claim: None  # type: ignore[method-assign]


def record_not_saved() -> None:
    async def lost(self: LocalState, record: Any) -> None:
        return None

    LocalState.save = lost  # type: ignore[method-assign]


def ends_not_kept() -> None:
    begun_stops_not_repeated()

    async def bury(self: LocalState, report: Any) -> None:
        await self._do(lambda db: db.execute("DELETE FROM records WHERE task_id = ?", (report.task_id,)))

    LocalState.bury = bury  # type: ignore[method-assign]


def orders_cut_off_with_their_link() -> None:
    async def at_once(self: LinkClient, action: Any, over: Any) -> None:
        if type(action).__name__ in ("Send", "Disconnect"):
            await act(self, action, over)
        else:
            await self._deliver(action)

    async def run(self: HostTasks, launch: Any) -> None:
        if self._known_report(launch.task_id) is None:
            runner = self._add(self._new_record(launch), resumed=False)
            await self._parts.state.save(runner.record)
            runner.begin()

    act = LinkClient._act
    LinkClient._act = at_once  # type: ignore[method-assign]
    HostTasks.run = run  # type: ignore[method-assign]


def logs_not_adopted() -> None:
    async def nothing(self: LogShipper, *_: Any) -> None:
        return None

    LogShipper.adopt = nothing  # type: ignore[method-assign]


def silence_never_counted() -> None:
    check = ServerSession.check
    ServerSession.check = lambda self, now: [  # type: ignore[method-assign]
        action for action in check(self, now) if not isinstance(action, Disconnect)
    ]


def silence_never_noticed() -> None:
    tick = AgentSession.tick
    AgentSession.tick = lambda self, now: [  # type: ignore[method-assign]
        action for action in tick(self, now) if not isinstance(action, Disconnect)
    ]


def restarted_host_trusted() -> None:
    async def nothing(self: HostBoots, host_id: str, boot_id: str) -> None:
        return None

    HostBoots.meet = nothing  # type: ignore[method-assign]


def restart_noticed_by_nobody() -> None:
    """Neither by the agent nor by the cell: what the machine did looks like the containers' own end."""
    adoption._lost_its_host = lambda *_: False
    restarted_host_trusted()


def reservations_not_restored() -> None:
    async def nothing(self: Restoring) -> int:
        return 0

    Restoring.run = nothing  # type: ignore[method-assign]


def times_as_told() -> None:
    def put(changed: dict[str, Any], member: str, moment: float) -> None:
        changed.setdefault(member, moment)

    task_document._put_time = put


def future_waited_for() -> None:
    async def unclaimed(self: Capacity, older_than: float) -> list[tuple[str, str]]:
        return [key for key, at in self._ledger.unsettled.items() if at < older_than and key not in self._flights]

    Capacity.unclaimed = unclaimed  # type: ignore[method-assign]


def newest_agent_believed() -> None:
    Gateway._older = lambda self, connection, host_id: self._connections.get(host_id)  # type: ignore[method-assign]


def strangers_let_run() -> None:
    """Their reports change nothing, but nobody ends what they run."""
    right = reports._answer_to

    def silent(why: Any, report: Any) -> ReportOutcome:
        outcome = right(why, report)
        return ReportOutcome.REFUSED if outcome is ReportOutcome.STRANGER else outcome

    vars(reports)["_answer_to"] = silent


def any_host_believed() -> None:
    right = registrations.refusal
    vars(reports)["refusal"] = lambda row, host_id, report: right(row, row.host, report)


def tokens_side_by_side() -> None:
    Launching.run = Launching._run  # type: ignore[method-assign]


def stop_waits_for_a_report() -> None:
    orders._TO_STOP = orders._TO_STOP.replace("ordered = 1", "ordered = 1 AND report_seq > 0")


def sessions_by_role() -> None:
    """A role's tasks share a session."""
    made: dict[str, Any] = {}
    assume = AssumedTaskRoles.credentials

    def remembered(self: AssumedTaskRoles, account: str, role_arn: str, task_arn: str, lifetime_s: float) -> Any:
        if role_arn not in made:
            made[role_arn] = assume(self, account, role_arn, task_arn, lifetime_s)
        return made[role_arn]

    AssumedTaskRoles.credentials = remembered  # type: ignore[method-assign]


def newest_credentials_for_everybody() -> None:
    TaskCredentials.current = lambda self, task_id: next(  # type: ignore[method-assign]
        (self._held[key] for key in reversed(self._held)), None
    )


def credentials_not_waited_for() -> None:
    async def at_once(self: CredentialsHook, task: Any) -> None:
        return None

    CredentialsHook.up = at_once  # type: ignore[method-assign]


def credentials_asked_for_by_nobody() -> None:
    HostTasks._new_credentials_id = lambda self: ""  # type: ignore[method-assign]


def credentials_not_renewed() -> None:
    due = TaskCredentials._is_due
    TaskCredentials._is_due = lambda self, record: (  # type: ignore[method-assign]
        record.task_id not in self._held and due(self, record)
    )


def credentials_die_with_the_agent() -> None:
    CredentialFiles.load = lambda self: {}  # type: ignore[method-assign]


def credentials_outlive_their_task() -> None:
    CredentialFiles.remove = lambda self, task_id: None  # type: ignore[method-assign]


def secrets_not_waited_for() -> None:
    async def at_once(self: SecretsHook, task: Any) -> None:
        # Without any, the step that writes files would fail: that is no proof that anybody looks at values.
        task.resources.secrets = Secrets(
            by_container={
                container.name: tuple((secret.name, "") for secret in container.secrets)
                for container in task.launch.containers
            }
        )

    SecretsHook.up = at_once  # type: ignore[method-assign]


def secrets_in_files_are_variables_too() -> None:
    right = container_config.environment

    def all_of_them(task: Any, container: Any, runtime_id: str, image: Any, around: Any) -> Any:
        return *right(task, container, runtime_id, image, around), *around.looked_up

    vars(container_config)["environment"] = all_of_them


def secrets_looked_up_once_for_all() -> None:
    given: dict[str, Any] = {}
    look_up = SecretValues.environment

    async def remembered(self: SecretValues, task: Any) -> Any:
        return given.setdefault("first", await look_up(self, task))

    SecretValues.environment = remembered  # type: ignore[method-assign]


def orders_do_not_wait_for_spot() -> None:
    vars(recording)["HELD"] = 1


def interruptions_forgotten() -> None:
    """What a killed process had promised is not asked for by the next one."""
    made = Spot.__init__

    def without(self: Spot, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        self._due.clear()

    Spot.__init__ = without  # type: ignore[method-assign]


def spot_room_given_twice() -> None:
    """Who is leaving already is counted as if its room were nobody's yet."""
    ledger_free = Ledger._hold

    def hold(self: Ledger, host: Any, claim: Any) -> None:
        if not claim.waits_for:
            ledger_free(self, host, claim)

    Ledger._hold = hold  # type: ignore[method-assign]


def hosts_shared_by_accounts() -> None:
    vars(ledgers)["sharing"] = lambda *_: Sharing.ANYBODY


@dataclass(frozen=True)
class Planted:
    bug: Callable[[], None]
    works: Works
    kinds: frozenset[str]  # of failure, one of which must be seen


PLANTED = [
    Planted(sweeper_off, effects, frozenset({"unrest"})),
    Planted(answered_before_commit, effects, frozenset({"lost", "unrecorded"})),
    Planted(token_forgotten, effects, frozenset({"token", "unrest"})),
    Planted(given_back_while_stopping, effects, frozenset({"capacity", "released", "address"})),
    Planted(room_remembered_for_ever, effects, frozenset({"unrest"})),
    Planted(orders_do_not_wait_for_spot, spot_effects, frozenset({"crowded"})),
    Planted(interruptions_forgotten, spot_effects, frozenset({"unrest"})),
    Planted(spot_room_given_twice, spot_effects, frozenset({"unrest", "crowded", "room"})),
    Planted(acknowledged_before_commit, ends_being_stored, frozenset({"unrest"})),
    Planted(orders_cut_off_with_their_link, PAUSES, frozenset({"unrest"})),
    Planted(failed_commit_ignored, LOST_COMMITS, frozenset({"unrest"})),
    Planted(orders_said_once, HOSTILE, frozenset({"unrest"})),
    Planted(record_not_saved, agent_points, frozenset({"unrest", "doubled"})),
    Planted(ends_not_kept, agent_points, frozenset({"unrest"})),
    Planted(logs_not_adopted, agent_points, frozenset({"logs", "unrest"})),
    Planted(silence_never_counted, DEATHS, frozenset({"unrest"})),
    Planted(silence_never_noticed, HALF_OPEN, frozenset({"unrest"})),
    Planted(silence_never_noticed, ONE_WAY, frozenset({"deaf"})),
    Planted(restart_noticed_by_nobody, REBOOTS, frozenset({"unrest"})),
    Planted(restarted_host_trusted, RECORDS_LOST, frozenset({"unrest"})),
    Planted(reservations_not_restored, POWER_CUTS, frozenset({"unrest", "capacity", "address"})),
    Planted(times_as_told, WRONG_CLOCKS, frozenset({"document"})),
    Planted(future_waited_for, CLOCK_SET_BACK, frozenset({"unrest"})),
    Planted(newest_agent_believed, COPIES, frozenset({"doubled", "unrest", "lifecycle", "address"})),
    Planted(strangers_let_run, IMPOSTORS, frozenset({"unrest"})),
    Planted(any_host_believed, IMPOSTORS, frozenset({"unrest", "revived", "lifecycle", "released", "address"})),
    Planted(token_forgotten, STALLS, frozenset({"token", "unrest"})),
    Planted(tokens_side_by_side, FULL_ZONES, frozenset({"token"})),
    Planted(stop_waits_for_a_report, SLOW_LINKS, frozenset({"unrest"})),
    Planted(sessions_by_role, QUIET, frozenset({"foreign-credentials"})),
    Planted(newest_credentials_for_everybody, QUIET, frozenset({"foreign-credentials"})),
    Planted(credentials_not_waited_for, QUIET, frozenset({"no-credentials"})),
    Planted(credentials_asked_for_by_nobody, QUIET, frozenset({"no-credentials"})),
    Planted(credentials_not_renewed, QUIET, frozenset({"no-credentials"})),
    Planted(credentials_die_with_the_agent, ALONE_AND_KILLED, frozenset({"no-credentials"})),
    Planted(credentials_outlive_their_task, QUIET, frozenset({"unrest"})),
    Planted(secrets_not_waited_for, QUIET, frozenset({"no-secret"})),
    Planted(secrets_in_files_are_variables_too, QUIET, frozenset({"files"})),
    Planted(secrets_looked_up_once_for_all, QUIET, frozenset({"foreign-secret"})),
    Planted(in_networks.gateway_in_memory_before_it_is_durable, VPCS_AND_KILLS, frozenset({"network"})),
    Planted(in_networks.address_given_at_once, CLIENTS_OF_VPCS, frozenset({"network"})),
    Planted(in_networks.lost_claims_not_restored, VPCS_AND_POWER_CUTS, frozenset({"unrest"})),
    Planted(in_networks.claims_that_came_back_kept, VPCS_AND_POWER_CUTS, frozenset({"unrest", "logged"})),
    Planted(in_networks.generation_of_another_plan, CLIENTS_OF_VPCS, frozenset({"plan", "unrest"})),
    Planted(in_networks.plans_not_told_again, VPCS_AND_CUTS, frozenset({"unrest"})),
    Planted(in_networks.subnet_deleted_under_its_interfaces, CLIENTS_OF_VPCS, frozenset({"network"})),
    Planted(in_networks.address_with_two_gateways, CLIENTS_OF_VPCS, frozenset({"network"})),
    Planted(in_networks.address_lost_between_pool_and_account, VPCS_AND_KILLS, frozenset({"unrest"})),
    Planted(in_services.ends_never_counted, CLIENTS_OF_SERVICES, frozenset({"unrest"})),
    Planted(in_services.ends_wake_nobody, CLIENTS_OF_SERVICES, frozenset({"unrest"})),
    Planted(in_services.services_forgotten_by_a_new_process, SERVICES_AND_KILLS, frozenset({"unrest"})),
    Planted(in_services.one_more_than_planned, CLIENTS_OF_SERVICES, frozenset({"maximum"})),
    Planted(in_services.notices_taken_for_stops, EMPTIED_HOSTS, frozenset({"retired"})),
    Planted(hosts_shared_by_accounts, TWO_ACCOUNTS, frozenset({"tenancy"})),
    Planted(in_services.targets_left_behind, CLIENTS_OF_BALANCED, frozenset({"unrest"})),
]


def with_bug(bug: Callable[[], None], work: Work) -> SeedResult:
    """Only ever called in a child."""
    bug()
    return work()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.bug.__name__)
def test_is_found(planted: Planted, models: Models) -> None:
    runs = 0
    first = partial(small, models, None)  # the planted is not there yet
    for result in in_children((partial(with_bug, planted.bug, work) for work in planted.works(models)), first):
        runs += 1
        if result.error is not None:
            assert result.kind in planted.kinds, result.error
            return
    raise AssertionError(f"{runs} runs did not find it")
