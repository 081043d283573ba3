"""One seed from its first draw to its verdict: build, run with faults, come to rest, compare.

`run_seed` does it in this process and leaves the dead where they lie; `batch` runs it in children.
"""

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from ...frontend.balancing.objects import TargetGroup
from ...model.capacity import HostCapacity, HostFacts, TaskOverhead
from ...model.knobs import Knobs
from ...store.sqlite import MemoryDisk
from ...wire.shapes import Models
from .balanced_clients import BalancedClients
from .checkers import Checkers
from .endpoint import Endpoint
from .faults import Fault, Injector, draw_faults, noticed_from
from .hosts import Machine, RealMachine
from .knobs import draw_knobs
from .light import LightMachine
from .net import Net
from .region import ACCOUNT, SERVER, ZONES, Server
from .retiring_clients import RetiringClients
from .scratch import scratch
from .service_clients import ServiceClients
from .sim import Sim
from .tenant_clients import TenantClients
from .tenants import OTHERS
from .vpc_clients import VpcClients
from .workload import TASK_ROLES, Workload

REST_S = 240.0  # virtual: after the last fault, by then everything must have come to rest
_LOOK_S = 2.0
_CREDENTIALS_LOOK_S = 0.25
_UNOWNED_S = 5.0  # shorter than many a stall of a disk: an account's word decides, and no time
_PLACING_S = 2.0
_NETWORK_POOL = "198.18.0.0/27"  # few elastic addresses, so that clients wait for each other's
_NOTICED_S = 8.0  # beyond the time-out: ticks, delays and the way to the server


MACHINE_OVERHEAD = TaskOverhead(memory_mib=128, memory_part=50)  # of every second host whose tasks are machines


class Setting(Struct, frozen=True, kw_only=True):
    """How large a run is. `real`: machines with the real agent over fakes instead of light ones.

    `cpu_units` and `memory_mib` of a host; None: drawn, so that in some runs the zones fill up. `spot`: how many of the
    launches are on Spot. `twice`: how many of those with a token are called for by two at once. `network`: clients
    make, change and delete VPCs, elastic addresses and NAT gateways, and run tasks in them; `services`: services, which
    with `balanced` are behind a load balancer; with `emptied` hosts are emptied meanwhile. `tenants`: how many accounts
    have clients; with more than one all tasks of a host share its kernel.
    """

    hosts: int = 12
    calls: int = 45
    period_s: float = 1.0
    real: int = 0
    cpu_units: int | None = None
    memory_mib: int = 8192
    spot: float = 0.0
    twice: float = 0.1
    network: bool = False
    services: bool = False
    balanced: bool = False
    emptied: bool = False
    tenants: int = 1


SMALL = Setting()
SPOT = Setting(hosts=3, calls=40, period_s=2.0, cpu_units=1024, memory_mib=2048, spot=0.6)
REAL = Setting(hosts=3, calls=10, period_s=2.0, real=3)
NETWORK = Setting(hosts=6, calls=70, period_s=0.6, network=True)
SERVICES = Setting(hosts=6, calls=50, period_s=1.0, cpu_units=8192, memory_mib=16384, services=True)
BALANCED = replace(SERVICES, balanced=True)
EMPTIED = replace(SERVICES, emptied=True, calls=60, period_s=2.0)
REAL_TENANTS = replace(REAL, calls=12, tenants=2)
TENANTS = Setting(hosts=4, calls=40, period_s=1.5, cpu_units=4096, tenants=2)


class SeedResult(Struct, frozen=True, kw_only=True):
    """`error`: kind and text of the first failure. `digest` covers every step, frame and answer."""

    seed: str
    error: str | None
    digest: int
    steps: int
    faults: tuple[Fault, ...]
    coverage: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        return None if self.error is None else self.error.partition(":")[0]


class Run:
    """A built topology. Tests of named points drive it by hand; `run_seed` drives it by seed."""

    def __init__(
        self,
        seed: str,
        setting: Setting,
        *,
        knobs: Knobs | None = None,
        root: Path | None = None,
        models: Models | None = None,
        log: Callable[[str], None] | None = None,
        workload: type[Workload] | None = None,
    ) -> None:
        rng = Sim(seed).stream("setting")
        self.sim = Sim(seed, any_order=rng.random() < 1 / 3, log=log)
        log_of_production = logging.getLogger("neargate")
        log_of_production.handlers = [_ErrorsFail(self.sim)]
        log_of_production.propagate = False
        self.net = Net(self.sim)
        self.disk = MemoryDisk()
        machines: dict[str, Machine] = {}
        self.injector = Injector(self.sim, self.net, self.disk, machines)
        self.sim.weather = self.injector
        self.checkers = Checkers(self.sim, self.disk.databases)
        knobs = knobs or draw_knobs(self.sim.stream("knobs"))
        if setting.network:
            knobs = replace(knobs, elastic_unowned_s=_UNOWNED_S, placing_period_s=_PLACING_S)
        self.knobs = knobs
        pool = rng.choice(("198.18.0.0/24", "198.18.0.0/28"))
        pool = _NETWORK_POOL if setting.network else pool
        self.checkers.network.pool_is(pool, len(ZONES))
        self.server = Server(
            self.sim,
            self.net,
            self.disk,
            self.checkers,
            models=models or Models(),
            knobs=knobs,
            public_pool=pool,
            task_roles=tuple(TASK_ROLES.values()) if setting.real else (),
            others=OTHERS[: setting.tenants - 1],
        )
        cpu_units = setting.cpu_units or rng.choice((1024, 4096))
        self.machines: list[Machine] = []
        for n in range(setting.hosts):
            has_containers = n < setting.real or setting.tenants > 1
            facts = _facts(n, cpu_units, setting.memory_mib, has_containers=has_containers)
            if n < setting.real:
                assert root is not None, "a real agent keeps files"
                home = root / facts.host_id
                home.mkdir()
                hinders = self.injector.hinders
                endpoints = partial(Endpoint, self.sim, self.server)
                self.machines.append(
                    RealMachine(self.sim, self.net, self.checkers, facts, knobs, home, hinders, endpoints)
                )
            else:
                self.machines.append(LightMachine(self.sim, self.net, self.checkers, facts, knobs))
            machines[facts.host_id] = self.machines[-1]
        self.checkers.tenancy.kernels = {one.facts.host_id for one in self.machines if one.facts.sandbox == "container"}
        self.workload, *self.others = self._made_clients(setting, workload or _clients(setting))

    def _made_clients(self, setting: Setting, kind: type[Workload]) -> list[Workload]:
        """Of the first account, and of the others."""
        made = partial(
            kind,
            self.sim,
            self.server,
            self.checkers,
            calls=setting.calls,
            period_s=setting.period_s,
            real=setting.real > 0,
            spot=setting.spot,
            twice=setting.twice,
        )
        others = enumerate(OTHERS[: setting.tenants - 1], start=2)
        return [made(), *(made(name=f"clients-{n}", tenant=tenant) for n, tenant in others)]

    def arm(self, faults: Sequence[Fault]) -> None:
        """The faults, and what must be seen of some while they last."""
        self.injector.arm(faults)
        for fault in faults:
            end = fault.at + fault.duration_s
            if fault.kind == "down" and end > noticed_from(fault, faults) + self.knobs.link_silence_s + _NOTICED_S:
                self.sim.at(end - 0.01, partial(self._must_be_away, fault.target))

    def _must_be_away(self, host_id: str) -> None:
        """A host that hears nothing of the server must have given its link up, else tasks are placed on it in vain."""
        alive = [self.sim.living.get(name) for name in (SERVER, host_id)]
        if self.server.region is None or any(world is None or world.process.is_paused for world in alive):
            return
        self.sim.count("looked-for-deaf")
        if host_id in self.server.connected():
            self.sim.fail("deaf", f"{host_id} hears nothing and counts as connected")

    def start(self) -> None:
        self.sim.add(self.server.program())
        for machine in self.machines:
            self.sim.add(machine.program())
        for clients in (self.workload, *self.others):
            self.sim.add(clients.program())
        self._look_at_credentials()

    def _look_at_credentials(self) -> None:
        real = [machine for machine in self.machines if isinstance(machine, RealMachine)]
        for machine in real:
            machine.look_at_credentials()
        if real:
            self.sim.at(_CREDENTIALS_LOOK_S, self._look_at_credentials)

    def problems(self) -> list[str]:
        """What keeps the region from being at rest."""
        if not all(clients.is_over for clients in (self.workload, *self.others)):
            return ["clients still wait for answers"]
        if self.server.region is None:
            return ["the server does not serve"]
        dead = self.injector.dead
        found = self.checkers.problems(dead) + self.checkers.document_problems()
        found += self.checkers.memory_problems(self.server.room())
        found += self._network_problems()
        found += self._target_problems()
        found += [f"{host_id} is dead and counts as connected" for host_id in sorted(dead & self.server.connected())]
        found += [f"the server holds a connection that {name} does not have" for name in self.net.abandoned()]
        for machine in self.machines:
            if machine.facts.host_id in dead:
                continue
            found += machine.problems(self.checkers.live_on(machine.facts.host_id))
            if isinstance(machine, RealMachine):
                found += machine.end_problems(self.checkers.stopped())
        return found

    def come_to_rest(self, at_s: float) -> None:
        """Run to `at_s`, then on until nothing is left to do. Fails the run when it never comes to rest."""
        self.sim.run(at_s)
        deadline = at_s + REST_S
        while self.sim.failure is None:
            problems = self.problems()
            if not problems:
                self._check_logs()
                self._check_addresses()
                return
            if self.sim.now >= deadline:
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                self.sim.fail("unrest", f"{problems[0]}{more}")
                return
            self.sim.run(self.sim.now + _LOOK_S)

    def _network_problems(self) -> list[str]:
        assert self.server.region is not None, "nobody serves"
        registry, checks = self.server.region.services.network, self.checkers.network
        plans = {vpc.name: registry.plan(vpc.name) for account in registry.accounts() for vpc in registry.vpcs(account)}
        dead = self.injector.dead
        found = checks.problems({one.facts.zone for one in self.machines if one.facts.host_id not in dead})
        for machine in self.machines:
            if machine.facts.host_id not in dead:
                found += checks.host_problems(machine.facts.host_id, machine.vpcs(), plans)
        return found

    def _target_problems(self) -> list[str]:
        """Who is a target of a load balancer's group is a task that lives, and all that should be are."""
        assert self.server.region is not None, "nobody serves"
        groups = self.server.region.services.network.shelf(ACCOUNT).all(TargetGroup)
        registered = {(group.arn, target.ip, target.port) for group in groups for target in group.targets}
        wanted = self.checkers.services.targets()
        found = [f"{ip} is a target of nobody" for _, ip, _ in sorted(registered - wanted)]
        return found + [f"{ip} should be a target" for _, ip, _ in sorted(wanted - registered)]

    def _check_addresses(self) -> None:
        """What DescribeSubnets says is left is what the tables leave."""
        if isinstance(self.workload, VpcClients):
            clients = self.sim.living["clients"]
            asking = clients.process.run(clients.spawn, self._compare_addresses(self.workload), "count-addresses")
            self.sim.run(self.sim.now + REST_S, asking.done)

    async def _compare_addresses(self, clients: VpcClients) -> None:
        for subnet_id, (cidr, shown) in (await clients.available_addresses() or {}).items():
            free = self.checkers.network.free_of(subnet_id, cidr)
            if shown != free:
                self.sim.fail("addresses", f"{subnet_id} is said to have {shown} addresses left and has {free}")
        self.sim.count("subnets-compared")

    def _check_logs(self) -> None:
        """What containers wrote is stored once and whole."""
        alive = [item for item in self.machines if item.facts.host_id not in self.injector.dead]
        outputs = [pair for item in alive if isinstance(item, RealMachine) for pair in item.outputs.items()]
        if outputs:
            clients = self.sim.living["clients"]
            reading = clients.process.run(clients.spawn, self._read_logs(outputs), "read-logs")
            self.sim.run(self.sim.now + 2 * REST_S, reading.done)

    async def _read_logs(self, outputs: Sequence[tuple[str, bytes]]) -> None:
        """The last lines of a task that has ended may follow a while later."""
        deadline = self.sim.now + REST_S
        of_account = {clients.account: clients for clients in (self.workload, *self.others)}
        for stream, output in outputs:
            wanted = output.decode().splitlines()
            owner = of_account[self.checkers.account_of(stream.rpartition("/")[2])]
            while (lines := await owner.read_logs(stream)) != wanted:
                if self.sim.now >= deadline or len(lines or ()) > len(wanted):
                    self.sim.fail("logs", f"{stream} holds {lines}, its container wrote {output!r}")
                    return
                await self.sim.living["clients"].sleep(_LOOK_S)


def _clients(setting: Setting) -> type[Workload]:
    if setting.balanced:
        return BalancedClients
    if setting.emptied:
        return RetiringClients
    if setting.tenants > 1:
        return TenantClients
    return VpcClients if setting.network else ServiceClients if setting.services else Workload


def run_seed(
    seed: str,
    faults: Sequence[Fault] | None = None,
    *,
    setting: Setting = SMALL,
    models: Models | None = None,
    log: Callable[[str], None] | None = None,
) -> SeedResult:
    """In this process, whose memory then holds everything that was killed: end it with os._exit (see `batch`)."""
    gc.disable()  # what is collected would run the `finally` of the dead
    with scratch() as root:
        run = Run(seed, setting, root=root, models=models, log=log)
        busy_s = setting.calls * setting.period_s
        names = [machine.facts.host_id for machine in run.machines]
        drawn = (
            draw_faults(run.sim.stream("faults"), names, until_s=busy_s, real=setting.real > 0)
            if faults is None
            else list(faults)
        )
        run.arm(drawn)
        run.start()
        over_at = max([busy_s, *(fault.at + fault.duration_s for fault in drawn)])
        run.come_to_rest(over_at + 5)
    return SeedResult(
        seed=seed,
        error=run.sim.failure,
        digest=run.sim.loop.digest,
        steps=run.sim.loop.steps,
        faults=tuple(drawn),
        coverage=run.sim.coverage,
    )


class _ErrorsFail(logging.Handler):
    """What production calls an error in its log is a failure of the run; the rest is part of the trace."""

    def __init__(self, sim: Sim) -> None:
        super().__init__()
        self._sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} ({record.exc_info[1]!r})"
        if record.levelno >= logging.ERROR:
            self._sim.fail("logged", text)
        else:
            self._sim.say("log", text)


def _facts(n: int, cpu_units: int, memory_mib: int, *, has_containers: bool) -> HostFacts:
    zone = ZONES[n % len(ZONES)][0]
    return HostFacts(
        host_id=f"host-{n:02d}",
        boot_id="boot-1",
        capacity=HostCapacity(cpu_units=cpu_units, memory_mib=memory_mib, disk_gib=400),
        sandbox="container" if has_containers else "simulated",
        overhead=TaskOverhead() if has_containers or n % 2 == 0 else MACHINE_OVERHEAD,
        zone=zone,
    )
