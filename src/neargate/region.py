"""Assembles a region's control plane from its parts: the shard map, the roles, and who is handed whom.

The command line runs it over SQLite files and sockets; tests and the simulator over databases in memory. Nothing here
decides anything but which object stands behind which Protocol.
"""

from collections.abc import Mapping

from msgspec import Struct, structs

from .capacity import own_hosts as own_hosts_part
from .capacity import rollouts as rollouts_part
from .capacity import spot_share as spot_part
from .capacity.manager import open_capacity
from .capacity.own_hosts import DRAINING, GIVEN_UP, HostPools, OwnHosts, open_own_hosts
from .capacity.rollouts import Rollouts, open_rollouts
from .capacity.spot_share import SpotSetting, SpotShare, open_spot_share
from .clusters.cell import Cell, open_cell
from .clusters.flow_logs import FlowLogWriter
from .clusters.gateway import Gateway
from .clusters.services.manager import ServicesWay
from .clusters.services.starting import LaunchRate
from .frontend.app import FrontEnd
from .frontend.balancing import objects as balancing_objects
from .frontend.balancing.access_logs import AccessLogDelivery
from .frontend.balancing.book import BalancerBook
from .frontend.balancing.health import Verdicts
from .frontend.balancing.planner import KeyedPlanner
from .frontend.balancing.targets import GroupTargets
from .frontend.balancing.traffic import TrafficSums
from .frontend.balancing.watching import BalancerWatch
from .frontend.callers.authenticate import AuthMode
from .frontend.callers.credentials import Credentials
from .frontend.callers.oidc.fetch import Fetcher
from .frontend.callers.oidc.keys import ProviderKeys
from .frontend.callers.principals import Principals
from .frontend.callers.sessions import Sessions
from .frontend.callers.task_roles import FLOW_LOGS, AssumedTaskRoles
from .frontend.certificates import registry as certificates_part
from .frontend.cloudmap import registry as cloud_map_part
from .frontend.cloudmap.for_services import CloudMapTasks
from .frontend.cloudmap.plans import NamedPlans
from .frontend.envelope import Envelope
from .frontend.executing.calls import InsideCalls
from .frontend.executing.door import DataChannelDoor
from .frontend.executing.keeping import Keeping
from .frontend.executing.sessions import ExecSessions
from .frontend.identity import registry as identity_part
from .frontend.images import registry as images_part
from .frontend.images.backend import SocketBackend
from .frontend.images.door import ImageDoor
from .frontend.images.service import Images, open_images_service
from .frontend.images.sweeping import run_lifecycles
from .frontend.keys import registry as keys_part
from .frontend.limits import registry as quotas_part
from .frontend.limits.limits import Limits
from .frontend.limits.registry import QuotaRegistry
from .frontend.network import registry as network_part
from .frontend.network.flow_log_delivery import FlowLogDelivery
from .frontend.network.for_services import TaskNetworks
from .frontend.network.placing.loop import Placing, open_placing
from .frontend.operations.table import OPERATIONS
from .frontend.parameters import registry as parameters_part
from .frontend.parameters.public import PublicParameters
from .frontend.record.recorder import CallRecorder
from .frontend.regional import account_settings as account_settings_part
from .frontend.regional import kernel_grants as kernels_part
from .frontend.regional import task_definitions as definitions_part
from .frontend.regional.kernel_grants import KernelGrantRegistry
from .frontend.regional.looking import CALLERS, SecondLook
from .frontend.regional.retirement import RegionRules
from .frontend.secrets import registry as secrets_part
from .frontend.services import Services
from .interfaces.roles import CapacityManager
from .interfaces.store import Store, StoreFactory
from .interfaces.upstream import Upstream
from .logs.store import Logs
from .model.capacity import Tenancy
from .model.knobs import Knobs
from .model.quotas import QuotaMode
from .trail.store import Trail
from .vpc.addresses import pool_share
from .wire.shapes import Models
from .world import World

# One numbered line for the one database that several parts share: append only, never reorder.
REGIONAL_MIGRATIONS = (
    network_part.MIGRATIONS[0],
    definitions_part.MIGRATIONS[0],
    identity_part.MIGRATIONS[0],
    quotas_part.MIGRATIONS[0],
    own_hosts_part.MIGRATIONS[0],
    keys_part.MIGRATIONS[0],
    account_settings_part.MIGRATIONS[0],
    parameters_part.MIGRATIONS[0],
    images_part.MIGRATIONS[0],
    spot_part.MIGRATIONS[0],
    secrets_part.MIGRATIONS[0],
    images_part.MIGRATIONS[1],
    network_part.MIGRATIONS[1],
    cloud_map_part.MIGRATIONS[0],
    certificates_part.MIGRATIONS[0],
    own_hosts_part.MIGRATIONS[1],
    kernels_part.MIGRATIONS[0],
    rollouts_part.MIGRATIONS[0],
)


class RegionPlan(Struct, frozen=True, kw_only=True):
    """What to assemble. `zones`: (name, id) in order. `one_machine`: all zones share the machine's capacity shard.

    `oidc_hosts`: OpenID Connect providers that may be in a private network, as host or host:port.
    `tls_proxy`: a proxy on this machine ends TLS, and its headers are believed.
    `extensions`: what it does beyond AWS, of model/extensions.py.
    `tenancy`: whose tasks may be on a host together.
    `servers`: how many server processes serve the region; each gives an account its part of what it may draw.
    `images_domain`: behind `ACCOUNT.dkr.ecr.REGION.` in registries' names; `images_tls`: these are reached by TLS;
    `images_socket`: where the process listens that keeps images' bytes; `images_storage`: the directory where it keeps
    them, when it is on this machine.
    """

    region: str
    account: str
    zones: tuple[tuple[str, str], ...]
    public_pool: str
    one_machine: bool
    auth: AuthMode = AuthMode.ENFORCE
    oidc_hosts: tuple[str, ...] = ()
    tls_proxy: bool = False
    quotas: QuotaMode = QuotaMode.MACHINE
    servers: int = 1
    extensions: tuple[str, ...] = ()
    tenancy: Tenancy = Tenancy.STRICT
    images_domain: str = "localhost:4566"
    images_tls: bool = False
    images_socket: str = ""
    images_storage: str = ""


class Region(Struct, frozen=True, kw_only=True):
    """A control plane whose cell runs. Who owns the process starts the rest: `start_loops`, then the gateway's door."""

    frontend: FrontEnd
    door: ImageDoor
    data_channels: DataChannelDoor
    calls: InsideCalls
    cell: Cell
    capacities: Mapping[str, CapacityManager]
    gateway: Gateway
    logs: Logs
    trail: Trail
    services: Services
    quotas: QuotaRegistry
    kernels: KernelGrantRegistry
    own_hosts: OwnHosts
    rollouts: Rollouts
    spot_setting: SpotSetting
    recorder: CallRecorder
    placing: Placing
    balancer_watch: BalancerWatch
    traffic: TrafficSums

    def start_loops(self, world: World) -> None:
        """What works in the background by itself: the sweepers of the cell and of the logs, the record's writer."""
        self.cell.start_services()
        self.cell.start_sweepers(self.services.task_definitions.is_retired)
        world.spawn(self.logs.run(), "logs")
        world.spawn(self.trail.run(), "trail")
        world.spawn(self.trail.run_sweeps(), "trail-sweeps")
        world.spawn(self.services.identity.run(), "identity-uses")
        world.spawn(self.services.cloud_map.run(), "cloud-map-health")
        world.spawn(self.services.certificates.run(), "certificates")
        world.spawn(self.placing.run(), "placing")
        world.spawn(self.balancer_watch.run(), "balancers")
        if self.services.images is not None:
            world.spawn(run_lifecycles(self.services.images), "image-lifecycles")


async def open_region(
    world: World,
    stores: StoreFactory,
    plan: RegionPlan,
    *,
    models: Models,
    credentials: Credentials,
    envelope: Envelope,
    knobs: Knobs,
    upstream: Upstream | None = None,
) -> Region:
    """Open every shard, wire the roles together. `upstream`: the way to other registries. Raises what the stores do."""
    parts = await _open_regional(world, stores, plan, envelope, knobs, upstream)
    limits = Limits(world, parts.quotas, knobs, share=1 / plan.servers)
    sessions = Sessions(world, envelope, region=plan.region)
    capacities = await _open_zones(world, stores, plan, knobs, parts.own_hosts.pools, parts.spot.share)
    _tell_of_pools(parts, capacities)
    placing = await open_placing(world, parts.network, capacities, knobs)
    verdicts = Verdicts()
    targets = GroupTargets(parts.network, verdicts, world.now)
    services_way = _services_way(world, parts, targets, limits)
    cell = await _open_cell(world, stores, plan, knobs, parts, capacities, services_way)
    await placing.restore(lambda: cell.sweepers.settle_reservations(world.now()))
    logs = await Logs.open(world, stores, knobs, plan.region)
    trail = await Trail.open(world, stores, knobs, plan.region)
    roles = AssumedTaskRoles(world, parts.identity, sessions)
    plans = NamedPlans(world, parts.network, parts.cloud_map)
    flows = _flows(world, parts, capacities, logs, sessions, knobs)
    book = _balancer_book(parts, verdicts)
    gateway = Gateway(world, cell, capacities, plans, logs, roles, knobs, flows, book)
    exec_sessions = ExecSessions(world, envelope, knobs, gateway.terminals, region=plan.region)
    services = structs.replace(
        _services(world, plan, parts, cell, capacities, sessions, logs, trail, limits, exec_sessions),
        targets=targets,
        verdicts=verdicts,
    )
    second_look = _second_look(world, parts, knobs) if plan.servers > 1 else None
    principals = Principals(credentials, parts.identity, sessions)
    recorder = CallRecorder(world, trail, models, knobs, plan.region)
    frontend = _front_end(world, plan, models, knobs, services, principals, recorder, second_look)
    calls = _inside_calls(world, plan, knobs, roles, sessions, frontend)
    return Region(
        frontend=frontend,
        door=_door(world, plan, parts.images, limits, principals, recorder, second_look),
        data_channels=_data_channels(world, plan, knobs, exec_sessions, calls),
        calls=calls,
        cell=cell,
        capacities=capacities,
        gateway=gateway,
        logs=logs,
        trail=trail,
        services=services,
        quotas=parts.quotas,
        kernels=parts.kernels,
        own_hosts=parts.own_hosts,
        rollouts=parts.rollouts,
        spot_setting=parts.spot,
        recorder=recorder,
        placing=placing,
        balancer_watch=BalancerWatch(world, parts.network, book, verdicts, knobs),
        traffic=book.traffic,
    )


def _tell_of_pools(parts: "_Regional", capacities: Mapping[str, CapacityManager]) -> None:
    for manager in capacities.values():
        parts.network.on_pools(manager.use_public_pools)


async def _open_cell(
    world: World,
    stores: StoreFactory,
    plan: RegionPlan,
    knobs: Knobs,
    parts: "_Regional",
    capacities: Mapping[str, CapacityManager],
    services_way: ServicesWay,
) -> Cell:
    """It hears of what the operator says of hosts and their software."""
    pools, rollouts = parts.own_hosts.pools, parts.rollouts
    retirement = RegionRules(
        parts.account_settings,
        emptied=lambda: pools.said(DRAINING),
        given_up=lambda: pools.said(GIVEN_UP),
        rolled_out=lambda: rollouts.software,
    )
    cell = await open_cell(
        world,
        stores,
        name="cell-0",
        region=plan.region,
        capacities=capacities,
        knobs=knobs,
        quotas=parts.quotas,
        kernels=parts.kernels,
        services_way=services_way,
        retirement=retirement,
    )

    async def said(_: str) -> None:
        cell.retiring.wake()

    pools.on_change(said)
    rollouts.on_change(cell.retiring.wake)
    return cell


def _services_way(world: World, parts: "_Regional", targets: GroupTargets, limits: Limits) -> ServicesWay:
    """What services of ECS need of the rest of the region."""
    return ServicesWay(
        networks=TaskNetworks(parts.network),
        targets=targets,
        registries=CloudMapTasks(world, parts.cloud_map),
        rate=_launch_rate(limits),
    )


def _deliveries(world: World, parts: "_Regional", knobs: Knobs) -> AccessLogDelivery:
    """Where records of flow logs go, and lines of access logs."""
    return AccessLogDelivery(parts.network, FlowLogDelivery(world, parts.network, knobs))


def _flows(
    world: World,
    parts: "_Regional",
    capacities: Mapping[str, CapacityManager],
    logs: Logs,
    sessions: Sessions,
    knobs: Knobs,
) -> FlowLogWriter:
    roles = AssumedTaskRoles(world, parts.identity, sessions, FLOW_LOGS)
    return FlowLogWriter(world, capacities, _deliveries(world, parts, knobs), logs, roles, knobs)


def _balancer_book(parts: "_Regional", verdicts: Verdicts) -> BalancerBook:
    """Hosts hear of changes of both: of the network's records, and of certificates."""
    planner = KeyedPlanner(parts.certificates)
    book = BalancerBook(parts.network, verdicts, planner, planner.beside)
    parts.certificates.on_change(lambda _account, _arns: book.changed())
    return book


def _launch_rate(limits: Limits) -> LaunchRate:
    """Fargate's, of an account: it counts services' tasks as it counts RunTask's."""

    def launch(account: str, is_spot: bool, count: int) -> None:
        limits.launch(account, is_spot=is_spot, count=count)

    return launch


def _services(
    world: World,
    plan: RegionPlan,
    parts: "_Regional",
    cell: Cell,
    capacities: dict[str, CapacityManager],
    sessions: Sessions,
    logs: Logs,
    trail: Trail,
    limits: Limits,
    exec_sessions: ExecSessions,
) -> Services:
    """What operations may ask."""
    return Services(
        world=world,
        region=plan.region,
        zones=plan.zones,
        cells={"cell-0": cell},
        service_managers={"cell-0": cell.services},
        capacities=capacities,
        identity=parts.identity,
        sessions=sessions,
        provider_keys=ProviderKeys(world, Fetcher(monotonic=world.monotonic, named=plan.oidc_hosts).get),
        network=parts.network,
        task_definitions=parts.task_definitions,
        logs=logs,
        trail=trail,
        limits=limits,
        account_settings=parts.account_settings,
        key_registry=parts.keys,
        parameter_registry=parts.parameters,
        secret_registry=parts.secrets,
        cloud_map_registry=parts.cloud_map,
        certificate_registry=parts.certificates,
        images=parts.images,
        exec_sessions=exec_sessions,
        extensions=plan.extensions,
        kernel_grants=parts.kernels,
    )


class _Regional(Struct, frozen=True, kw_only=True):
    """What lies in the region's own database, each served from memory."""

    quotas: QuotaRegistry
    kernels: KernelGrantRegistry
    own_hosts: OwnHosts
    rollouts: Rollouts
    spot: SpotSetting
    network: network_part.NetworkRegistry
    task_definitions: definitions_part.TaskDefinitionRegistry
    identity: identity_part.IdentityRegistry
    keys: keys_part.KeyRegistry
    account_settings: account_settings_part.AccountSettings
    parameters: parameters_part.ParameterRegistry
    secrets: secrets_part.SecretRegistry
    cloud_map: cloud_map_part.CloudMapRegistry
    certificates: certificates_part.CertificateRegistry
    images: Images


async def _open_regional(
    world: World,
    stores: StoreFactory,
    plan: RegionPlan,
    envelope: Envelope,
    knobs: Knobs,
    upstream: Upstream | None,
) -> _Regional:
    store = await stores.open("region", REGIONAL_MIGRATIONS)
    quotas = await quotas_part.open_quotas(world, store, plan.quotas)
    public = PublicParameters(plan.region, plan.zones, OPERATIONS, world.now())
    keys = await keys_part.open_keys(world, store, envelope, region=plan.region)
    secrets = await secrets_part.open_secrets(world, store, keys, region=plan.region)
    opened = _Regional(
        quotas=quotas,
        kernels=await kernels_part.open_kernel_grants(world, store),
        own_hosts=await open_own_hosts(world, store),
        rollouts=await open_rollouts(world, store),
        spot=await open_spot_share(world, store),
        network=await network_part.open_network(
            world,
            store,
            region=plan.region,
            account=plan.account,
            zones=plan.zones,
            quotas=quotas,
            public_pool=plan.public_pool,
            pool_shares=1 if plan.one_machine else len(plan.zones),
            kinds=balancing_objects.KINDS,
        ),
        task_definitions=await definitions_part.open_task_definitions(world, store, quotas),
        identity=await identity_part.open_identity(world, store, envelope, knobs, quotas),
        keys=keys,
        account_settings=await account_settings_part.open_account_settings(world, store),
        secrets=secrets,
        parameters=await parameters_part.open_parameters(world, store, envelope, public),
        cloud_map=await cloud_map_part.open_cloud_map(world, store, region=plan.region, knobs=knobs, quotas=quotas),
        certificates=await certificates_part.open_certificates(world, store, envelope, region=plan.region, knobs=knobs),
        images=await _open_images(world, store, plan, envelope, knobs, upstream, secrets),
    )
    if plan.servers > 1:
        for part in (
            quotas,
            opened.kernels,
            opened.network,
            opened.own_hosts,
            opened.rollouts,
            opened.spot,
            opened.identity,
            opened.keys,
            opened.account_settings,
            opened.parameters,
            opened.secrets,
            opened.cloud_map,
            opened.certificates,
            opened.images.registry,
        ):
            world.spawn(part.follow(knobs.regional_reread_s), "what other servers change")
    await opened.identity.ensure_account(plan.account, "main")
    for account in opened.identity.accounts():
        await opened.network.ensure_defaults(account.number)  # also what a crash left of a new account
    return opened


def _second_look(world: World, parts: _Regional, knobs: Knobs) -> SecondLook:
    by_service = {
        "kms": (parts.keys,),
        "secretsmanager": (parts.secrets, parts.keys),
        "ssm": (parts.parameters, parts.secrets, parts.keys),
        "ecr": (parts.images.registry,),
        "servicediscovery": (parts.cloud_map,),
        "acm": (parts.certificates, parts.network),
        "elasticloadbalancing": (parts.network, parts.certificates),
        "iam": (parts.identity,),
        CALLERS: (parts.identity,),
    }
    return SecondLook(world, by_service, knobs.regional_look_s, knobs.regional_looks_waiting_max)


def _inside_calls(
    world: World, plan: RegionPlan, knobs: Knobs, roles: AssumedTaskRoles, sessions: Sessions, frontend: FrontEnd
) -> InsideCalls:
    return InsideCalls(
        world=world, knobs=knobs, region=plan.region, roles=roles, sessions=sessions, handle=frontend.handle
    )


def _data_channels(
    world: World, plan: RegionPlan, knobs: Knobs, exec_sessions: ExecSessions, calls: InsideCalls
) -> DataChannelDoor:
    keeping = Keeping(world=world, knobs=knobs, region=plan.region, calls_of=calls.of_task)
    return DataChannelDoor(world, knobs, exec_sessions, keeping)


def _front_end(
    world: World,
    plan: RegionPlan,
    models: Models,
    knobs: Knobs,
    services: Services,
    principals: Principals,
    recorder: CallRecorder,
    second_look: SecondLook | None,
) -> FrontEnd:
    return FrontEnd(
        world=world,
        region=plan.region,
        knobs=knobs,
        models=models,
        services=services,
        operations=OPERATIONS,
        credentials=principals,
        auth=plan.auth,
        limits=services.limits,
        recorder=recorder,
        tls_proxy=plan.tls_proxy,
        second_look=second_look,
    )


def _door(
    world: World,
    plan: RegionPlan,
    images: Images,
    limits: Limits,
    principals: Principals,
    recorder: CallRecorder,
    second_look: SecondLook | None,
) -> ImageDoor:
    return ImageDoor(
        world=world,
        images=images,
        holders=principals,
        auth=plan.auth,
        limits=limits,
        recorder=recorder,
        tls_proxy=plan.tls_proxy,
        second_look=second_look,
    )


async def _open_images(
    world: World,
    store: Store,
    plan: RegionPlan,
    envelope: Envelope,
    knobs: Knobs,
    upstream: Upstream | None,
    secrets: secrets_part.SecretRegistry,
) -> Images:
    return await open_images_service(
        world,
        store,
        envelope,
        knobs,
        region=plan.region,
        backend=SocketBackend(plan.images_socket, knobs, is_remote=not plan.images_storage),
        domain=plan.images_domain,
        is_tls=plan.images_tls,
        storage=plan.images_storage,
        upstream=upstream,
        secrets=secrets,
    )


async def _open_zones(
    world: World, stores: StoreFactory, plan: RegionPlan, knobs: Knobs, pools: HostPools, spot: SpotShare
) -> dict[str, CapacityManager]:
    """Zone name -> its capacity manager: one shard for the machine, or one shard a zone with its share of the pool."""
    names = tuple(name for name, _ in plan.zones)
    if plan.one_machine:
        machine = await open_capacity(
            world,
            stores,
            shard="zone-machine",
            region=plan.region,
            zones=names,
            public_pool=plan.public_pool,
            knobs=knobs,
            pools=pools,
            spot=spot,
            tenancy=plan.tenancy,
        )
        return dict.fromkeys(names, machine)
    return {
        name: await open_capacity(
            world,
            stores,
            shard=f"zone-{name}",
            region=plan.region,
            zones=(name,),
            public_pool=pool_share(plan.public_pool, n, len(names)),
            share=(n, len(names)),
            knobs=knobs,
            pools=pools,
            spot=spot,
            tenancy=plan.tenancy,
        )
        for n, name in enumerate(names)
    }
