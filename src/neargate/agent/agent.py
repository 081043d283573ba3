"""One host's agent: assembles its parts, adopts what runs, then serves the cell's orders until it is killed.

Read `run` for the order of things after a start. Must not know how any part does its work. Invariant: no order is taken
before everything found on the host is either a runner's or was removed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from ..interfaces.hostnet import HostCgroups, HostDisks, HostError, HostNetwork, Strays
from ..interfaces.proxies import BalancerRunner
from ..interfaces.sandbox import EngineUnavailable, Sandbox, SandboxError
from ..link.host_identity import HostKey
from ..link.messages import EXECUTION_ROLE, TASK_ROLE, RunOrder, ToAgent, VpcPush
from ..link.session import (
    Acknowledged,
    AgentAction,
    ApplyBalancer,
    ApplyVpc,
    CredentialsAnswered,
    Established,
    OpenTerminal,
    ProtectionAnswered,
    RunTask,
    StopTask,
    TagsAnswered,
    WithdrawBalancer,
    WithdrawVpc,
)
from ..log import get_logger
from ..model.capacity import OLD_MACHINES_MAX, HostFacts, HostPlatform
from ..model.flow_logs import FlowLogBatch
from ..model.knobs import Knobs
from ..model.lifecycle import StopCode
from ..model.network import REGION_ENDPOINT_ADDRESS, VpcPlan
from ..world import World
from . import host_key
from .adopt import AdoptionPlan, Observed, adopt
from .arrivals.messages import is_task
from .balancers.keys import KeyFiles
from .balancers.orders import BalancerOrders
from .channels.bulk import BulkClient
from .channels.link import LinkClient, Transport
from .channels.transport import UnixTransport
from .credential_files import CredentialFiles
from .credentials import TaskCredentials
from .disk.watch import DiskWatch
from .execution.exchange import EndpointExchange, Exchange
from .execution.work import ExecutionWork
from .flow_logs.intervals import FlowLogs
from .flow_logs.sender import FlowSender
from .flow_logs.spool import FlowSpool
from .host_tasks import HostTasks
from .host_use import UseWatch
from .local_state import Loaded, LocalState
from .logs.awslogs import AwsLogsDriver
from .logs.drivers import LogDrivers
from .logs.shipper import LogShipper
from .metadata.endpoint import Metadata
from .metadata.machine import LinuxMachine, Machine
from .metadata.task_protection import TaskProtection
from .metadata.task_tags import TaskTags
from .names.for_the_host import HOST_DNS_FILE, HostDns
from .names.resolver import Resolver
from .names.upstream import Upstream
from .points import Reached, nothing
from .splunk.collector import Collector, TaskCollector
from .splunk.driver import SplunkDriver
from .standing_order import StandingOrder
from .task_context import HostParts, start_gate
from .terminals import HostTerminals
from .vpc_listeners import VpcListeners
from .vpc_plans import VpcPlans

T = TypeVar("T")
DEFAULT_API_PORT = 80


class Agent:
    """`endpoint`: URL of the region's API. `api_socket`: its own for calls of tasks, empty where they reach no API.

    `state_dir`: the agent's own, kept over restarts. `pulls_by_task`: of images whose registry is asked in the task's
    network; the others' is asked by the host. `strays`: those of the underlay, and `refused_pools`: what the host has
    against pools of public addresses: both asked at each look at the host. `balancers`: runs nodes of load balancers;
    None: this host has none, and the server is told so. `balancer_keys`: where their certificates' keys outlive the
    agent.
    """

    def __init__(
        self,
        world: World,
        *,
        facts: HostFacts,
        socket_path: str,
        sandbox: Sandbox,
        network: HostNetwork,
        disks: HostDisks,
        cgroups: HostCgroups,
        state_dir: Path,
        endpoint: str,
        knobs: Knobs,
        api_socket: str = "",
        registry_domain: str = "",
        transport: Transport | None = None,
        machine: Machine | None = None,
        credential_files: CredentialFiles | None = None,
        exchange: Exchange | None = None,
        collector: Collector | None = None,
        reached: Reached = nothing,
        pulls_by_task: Callable[[str], bool] = lambda _: False,
        strays: Callable[[], Strays] = Strays,
        refused_pools: Callable[[], str] = str,
        balancers: BalancerRunner | None = None,
        balancer_keys: KeyFiles | None = None,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._facts = facts
        self._sandbox = sandbox
        self._network = network
        self._disks = disks
        self._cgroups = cgroups
        self._pulls_by_task = pulls_by_task
        self._strays = strays
        self._refused_pools = refused_pools
        self._standing = StandingOrder(state_dir)
        self.is_adopted = False  # whether `tasks` holds all that was found on the host
        self._removing: set[str] = set()  # task ids of which something is being removed
        self._log = get_logger(__name__).bind(host=facts.host_id)
        key = HostKey(host_key.load_or_make(world, state_dir))
        channel = transport or UnixTransport(socket_path, knobs)
        self._state = LocalState(world, state_dir / "agent.db")
        self._bulk = BulkClient(world, knobs, channel, facts.host_id, key)
        self._logs = self._log_drivers(state_dir, collector or TaskCollector(world, network, knobs))
        self._plans = self._vpc_plans()
        self._credentials = self._task_credentials(credential_files)
        self._tags = TaskTags(world, knobs, lambda task_id: self._link.ask_tags(task_id))
        api_port = urlsplit(endpoint).port or DEFAULT_API_PORT
        self._execution = self._execution_work(exchange or EndpointExchange(network, knobs, api_port), registry_domain)
        self._tasks = HostTasks(self._host_parts(reached, f"http://{REGION_ENDPOINT_ADDRESS}:{api_port}"))
        self._disk_watch = self._watch_of_disks()
        self._use = UseWatch(self._facts.capacity)
        self._flow_sender: FlowSender | None = None
        self._flows = self._flow_logs()
        self._metadata = self._task_metadata(machine or LinuxMachine())
        self.host_dns = HostDns(
            world, knobs, state_dir / HOST_DNS_FILE, self._plans.plan, self._tasks.interfaces, self._note
        )
        self._upstream = Upstream(world, knobs, self._note, hidden=lambda: self.host_dns.hidden)
        self._balancers = self._balancer_orders(balancers, balancer_keys)
        self._listeners = VpcListeners(knobs, network, self._metadata, api_socket, api_port, self._resolver_of)
        self._link = self._link_client(channel, key)
        self._terminals = self._host_terminals(channel, key)

    def _host_terminals(self, channel: Transport, key: HostKey) -> HostTerminals:
        return HostTerminals(
            self._world,
            self._knobs,
            channel,
            self._facts.host_id,
            key,
            sandbox=self._sandbox,
            records=self._tasks.records,
            note=self._note,
        )

    def _balancer_orders(self, runner: BalancerRunner | None, keys: KeyFiles | None) -> BalancerOrders | None:
        if runner is None:
            return None
        room = replace(self._knobs, flow_spool_max_bytes=self._knobs.access_log_spool_max_bytes)
        runner.on_access_lines(FlowSpool(self._world, room, self._append_flows).put)
        return BalancerOrders(
            self._world,
            self._knobs,
            runner,
            self._state,
            self._plans,
            say=lambda reports: self._link.report_nodes(reports),
            note=self._note,
            keys=keys,
        )

    def _flow_logs(self) -> FlowLogs:
        return FlowLogs(
            self._world,
            self._knobs,
            self._facts.host_id,
            self._network,
            plan=self._plans.plan,
            records=self._tasks.records,
            append=self._append_flows,
            note=self._note,
        )

    async def _append_flows(self, batch: FlowLogBatch) -> None:
        if self._flow_sender is None:  # made when it is needed: hosts without flow logs draw no name for it
            self._flow_sender = FlowSender(self._world, self._knobs, self._bulk, self._note)
        await self._flow_sender.append_flows(batch)

    def _vpc_plans(self) -> VpcPlans:
        return VpcPlans(
            self._world,
            self._knobs,
            self._network,
            self._state,
            self._serve_vpc,
            self._note,
            shut=self._leave_vpc,
            is_inhabited=lambda vpc_id: any(one.launch.eni.vpc_id == vpc_id for one in self._tasks.records()),
            host_id=self._facts.host_id,
        )

    def _task_metadata(self, machine: Machine) -> Metadata:
        return Metadata(
            self._world,
            self._knobs,
            records=self._tasks.records,
            plans=self._plans,
            network=self._network,
            disks=self._disks,
            cgroups=self._cgroups,
            machine=machine,
            credentials=self._credentials,
            tags=self._tags,
            protection=TaskProtection(self._world, self._knobs, lambda ask: self._link.ask_protection(ask)),
        )

    def _log_drivers(self, state_dir: Path, collector: Collector) -> LogDrivers:
        splunk = SplunkDriver(
            self._world,
            self._knobs,
            collector,
            state_dir / "splunk",
            options=lambda launch, container: self._execution.log_options(launch, container),
            forget=lambda task_id: self._execution.forget(task_id),
            note=self._note,
        )
        awslogs = AwsLogsDriver(self._knobs, self._bulk)
        shared = (self._world, self._knobs, self._sandbox)
        return LogDrivers(
            awslogs=LogShipper(*shared, awslogs, state_dir / "logs", self._note),
            splunk=LogShipper(*shared, splunk, state_dir / "splunk", self._note),
        )

    def _task_credentials(self, files: CredentialFiles | None) -> TaskCredentials:
        return TaskCredentials(
            self._world,
            self._knobs,
            files,
            records=lambda: self._tasks.records(),
            ask=lambda task_id: self._link.ask_credentials(task_id, TASK_ROLE),
            note=self._note,
        )

    def _execution_work(self, exchange: Exchange, registry_domain: str) -> ExecutionWork:
        return ExecutionWork(
            self._world,
            self._knobs,
            exchange,
            ask=lambda task_id: self._link.ask_credentials(task_id, EXECUTION_ROLE),
            registry_domain=registry_domain,
        )

    async def _serve_vpc(self, plan: VpcPlan) -> None:
        await self._listeners.open(plan.vpc_id, plan.endpoints)
        await self._flows.follow(plan)

    async def _leave_vpc(self, vpc_id: str) -> None:
        self._flows.leave(vpc_id)
        await self._listeners.close(vpc_id)

    def _resolver_of(self, vpc_id: str) -> Resolver:
        return Resolver(self._world, self._knobs, vpc_id, lambda: self._plans.plan(vpc_id), self._upstream, self._note)

    def _watch_of_disks(self) -> DiskWatch:
        return DiskWatch(
            self._world,
            self._knobs,
            disks=self._disks,
            task_ids=lambda: [record.task_id for record in self._tasks.records()],
            freeze=self._tasks.freeze,
            note=self._note,
        )

    def _link_client(self, channel: Transport, key: HostKey) -> LinkClient:
        return LinkClient(
            self._world,
            self._knobs,
            channel,
            key,
            facts=lambda: self._facts,
            reports=self._tasks.reports,
            deliver=self._deliver,
            refused=self._refused,
            note=self._note,
            plans=self._plans.held,
            balancers=lambda: None if self._balancers is None else self._balancers.held(),
        )

    def _host_parts(self, reached: Reached, endpoint_url: str) -> HostParts:
        """What every task's runner shares. `endpoint_url`: the region as a task sees it."""
        return HostParts(
            world=self._world,
            knobs=self._knobs,
            sandbox=self._sandbox,
            network=self._network,
            disks=self._disks,
            cgroups=self._cgroups,
            state=self._state,
            logs=self._logs,
            plans=self._plans,
            credentials=self._credentials,
            execution=self._execution,
            start_gate=start_gate(self._knobs),
            endpoint_url=endpoint_url,
            pulls_by_task=self._pulls_by_task,
            publish=lambda report: self._link.report(report),
            reached=reached,
            note=self._note,
        )

    @property
    def tasks(self) -> HostTasks:
        return self._tasks

    @property
    def credentials(self) -> TaskCredentials:
        return self._credentials

    @property
    def tags(self) -> TaskTags:
        return self._tags

    @property
    def metadata(self) -> Metadata:
        return self._metadata

    async def obey_standing_order(self) -> None:
        """Stop every task if the operator's order to do so stands. Returns when the stops are durable."""
        reason = self._standing.reason()
        if reason is not None:
            self._note(f"every task stops by the operator's order: {reason}")
            await self._tasks.stop_all(StopCode.USER_INITIATED.value, reason)
            self._standing.fulfilled()

    async def run(self) -> None:
        """Never returns; whatever cannot go on ends the process, which starts again from what is durable."""
        loaded = await self._state.load()
        # An engine that starts with us takes a while, and so may the host's uplink.
        await asyncio.gather(
            self._until_ready(self._sandbox.start, "the engine"),
            self._until_ready(self._network.start, "the host's network"),
        )
        # Exits are not replayed: whoever lists before subscribing misses those in between.
        self._world.spawn(self._follow_exits(), "agent-exits")
        await self._world.sleep(0)
        await self._adopt(loaded)
        await self.host_dns.begin()
        await self._check_host()
        self._logs.begin(self._world)
        self._world.spawn(self._bulk.run(), "agent-bulk")
        self._world.spawn(self._credentials.run(), "agent-credentials")
        if self._balancers is not None:
            await self._balancers.restore(loaded.balancers)
            self._world.spawn(self._balancers.run(), "agent-balancers")
        self._world.spawn(self._relist(), "agent-relist")
        self._world.spawn(self._watch_host(), "agent-host")
        self._world.spawn(self._watch_flows(), "agent-flows")
        self._world.spawn(self._collect_images(), "agent-images")
        await self._link.run()

    async def _deliver(self, action: AgentAction) -> None:
        match action:
            case ApplyVpc():
                await self._plans.push(action.plan)
            case WithdrawVpc():
                self._plans.withdraw(action.vpc_id, action.generation)
            case ApplyBalancer() if self._balancers is not None:
                await self._balancers.push(action.plan)
            case WithdrawBalancer() if self._balancers is not None:
                await self._balancers.withdraw(action.arn, action.generation)
            case RunTask() if action.launch.task_id in self._removing:
                # What is left of an earlier life of this task must go first; the order is repeated.
                self._note(f"task {action.launch.task_id} waits for its remains to be removed")
            case RunTask():
                await self._tasks.run(action.launch)
            case StopTask() if action.order.task_id in self._removing:
                # Told to be stopped now, its address would be given away while its interface is still here.
                self._note(f"task {action.order.task_id} is stopped when its remains are removed")
            case StopTask():
                await self._tasks.stop(action.order)
            case Acknowledged():
                await self._tasks.acknowledged(action.task_id, action.report_seq)
            case Established():
                self._note(f"in session {action.session}")
                self._credentials.connected()
                self._execution.connected()
                if self._balancers is not None:
                    self._balancers.connected()
            case CredentialsAnswered() if action.answer.kind == EXECUTION_ROLE:
                self._execution.answered(action.answer)
            case CredentialsAnswered():
                await self._credentials.answered(action.answer)
            case TagsAnswered():
                self._tags.answered(action.answer)
            case ProtectionAnswered():
                self._metadata.protection.answered(action.answer)
            case OpenTerminal():
                self._terminals.begin(action.order)

    async def _refused(self, message: ToAgent, why: str) -> None:
        """The cell hears of a task that will never begin here; anything else is only for this host's operator."""
        self._note(f"refused what the server sent: {why}")
        self._plans.refusals += isinstance(message, VpcPush)
        if isinstance(message, RunOrder) and is_task(message.launch.task_id, message.launch.incarnation):
            await self._tasks.refuse(message.launch.task_id, message.launch.incarnation, why)

    # -- adoption

    async def _adopt(self, loaded: Loaded) -> None:
        seen = Observed(
            records=loaded.records,
            tombstones=frozenset(item.report.task_id for item in loaded.tombstones),
            containers=await self._until_ready(self._sandbox.list_containers, "the engine"),
            networks=await self._until_ready(self._network.list_tasks, "the host's network"),
            disks=await self._until_ready(self._disks.list_disks, "the host's disks"),
            cgroups=await self._until_ready(self._cgroups.list_tasks, "the host's cgroups"),
            same_boot=loaded.boot_id in (None, self._facts.boot_id),
            now=self._world.now(),
            stop_reason=self._standing.reason(),
        )
        plan = adopt(seen)
        for record in plan.changed:
            await self._state.save(record)
        # Only now: a crash before this line finds the old boot id and decides the same again.
        await self._state.set_boot_id(self._facts.boot_id)
        if seen.stop_reason is not None:
            self._standing.fulfilled()
        await self._remove(plan)
        await self._plans.restore(loaded.plans, {record.launch.eni.vpc_id for record in plan.resume})
        for record in plan.resume:
            # In every phase: a launch that is stopped before its logs are opened again leaves its files to nobody else.
            for container in record.containers:
                try:
                    await self._logs.adopt(record.launch, container.name, container.runtime_id)
                except OSError as error:
                    self._note(f"the output of {container.runtime_id} is not followed by this agent: {error}")
        await self._logs.restore(frozenset(record.task_id for record in plan.resume))
        await self._credentials.restore({record.task_id: record for record in plan.resume})
        self._tasks.restore(plan.resume, loaded.tombstones)
        self.is_adopted = True
        self._note(
            f"adopted {len(plan.resume)} tasks; removed {len(plan.delete_containers)} containers, "
            f"{len(plan.detach)} interfaces, {len(plan.delete_disks)} disks, {len(plan.delete_cgroups)} cgroups"
        )

    async def _remove(self, plan: AdoptionPlan) -> None:
        """Containers first: they hold the rest. What resists is tried on in the background, for the others' sake."""
        sandbox, disks, network, cgroups = self._sandbox, self._disks, self._network, self._cgroups
        for remove, names in (
            (sandbox.delete_container, plan.delete_containers),
            (disks.delete_disk, plan.delete_disks),
            (network.detach_eni, plan.detach),
            (cgroups.delete_task, plan.delete_cgroups),
        ):
            for name in names:
                try:
                    await remove(name)
                except (EngineUnavailable, HostError, SandboxError, OSError) as error:
                    self._note(f"{name} is not removed yet: {error}")
                    self._removing.add(name.partition("-")[0])
                    self._world.spawn(self._remove_later(remove, name), f"remove-{name}")

    async def _remove_later(self, remove: Callable[[str], Awaitable[None]], name: str) -> None:
        await self._until_ready(lambda: remove(name), f"removal of {name}")
        self._removing.discard(name.partition("-")[0])

    async def _until_ready(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        while True:
            try:
                return await call()
            except (EngineUnavailable, HostError, SandboxError, OSError) as error:
                self._note(f"{what} is not ready, tried again: {error}")
                await self._world.sleep(self._knobs.engine_retry_s)

    # -- loops

    async def _follow_exits(self) -> None:
        async for exit_event in self._sandbox.exits():
            self._tasks.exited(exit_event)

    async def _relist(self) -> None:
        """Level-triggered: what an event stream lost is found by looking."""
        while True:
            await self._world.sleep(self._knobs.relist_period_s)
            try:
                self._tasks.listed(await self._sandbox.list_containers())
            except EngineUnavailable:
                # The engine restarts; its containers run on and are listed next time.
                continue
            await self._tasks.trim()
            self._metadata.forget_absent()

    async def _collect_images(self) -> None:
        while True:
            await self._world.sleep(self._knobs.image_look_period_s)
            try:
                gone = await self._sandbox.collect_images(self._tasks.image_digests())
            except EngineUnavailable:
                continue  # it restarts, and so do its looks
            except OSError as error:
                self._note(f"no image is removed for now: {error}")
                continue
            for name in gone:
                self._note(f"image {name} was removed: the disk runs low and no task here uses it")

    async def _watch_host(self) -> None:
        while True:
            await self._world.sleep(self._disk_watch.next_look_s)
            await self._check_host()

    async def _watch_flows(self) -> None:
        while True:
            await self._world.sleep(self._knobs.flows_look_s)
            try:
                await self._network.relieve_flows()
            except HostError as error:
                self._note(f"how full tables of flows are is not known: {error}")

    async def _check_host(self) -> None:
        reason = await self._until_ready(self._disk_watch.look, "the host's disks")
        strays, engine = self._strays(), self._sandbox.facts
        used = await self._until_ready(self._cgroups.used_memory, "the memory that tasks use")
        cpu_ns = await self._until_ready(self._cgroups.used_cpu_ns, "the processor time of tasks")
        below = replace(self._facts.platform or HostPlatform(), guest_image=engine.guest_image, vmm=engine.vmm)
        told = replace(
            self._facts,
            sandbox=engine.kind,
            overhead=engine.overhead,
            machines=engine.machines,
            used_memory_mib=self._use.memory_mib(used),
            use=self._use.look(self._world.monotonic(), cpu_ns, self._disk_watch.used_bytes, engine),
            old_machines=engine.old_machines[:OLD_MACHINES_MAX],
            platform=below if self._facts.platform else None,
            accepts_tasks=reason is None,
            reason=reason,
            strays=strays.packets,
            last_stray=strays.last,
            refused_plans=self._plans.refusals,
            flow_log_skips=self._flows.skips,
            refused_pools=self._refused_pools(),
        )
        if told != self._facts:
            self._facts = told
            self._link.host_changed()

    def _note(self, text: str) -> None:
        self._log.info(text)
