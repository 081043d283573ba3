"""A region's real registries over databases in memory, with roles behind them that only note what was asked of them.

For tests of the front end: what an operation reads is real, what it would change in a cell, a zone or a log is caught.
"""

from typing import Any, cast

from msgspec import Struct, field

from ..frontend.balancing.objects import KINDS
from ..frontend.callers.sessions import Sessions
from ..frontend.certificates import registry as certificates_part
from ..frontend.cloudmap import registry as cloud_map_part
from ..frontend.envelope import Envelope
from ..frontend.identity import registry as identity_part
from ..frontend.identity.registry import IdentityRegistry, open_identity
from ..frontend.images import registry as images_part
from ..frontend.images.backend import SocketBackend
from ..frontend.images.service import open_images_service
from ..frontend.keys import registry as keys_part
from ..frontend.limits import registry
from ..frontend.limits.limits import Limits
from ..frontend.network.registry import MIGRATIONS as NETWORK_MIGRATIONS
from ..frontend.network.registry import NetworkRegistry, open_network
from ..frontend.parameters import registry as parameters_part
from ..frontend.parameters.public import PublicParameters
from ..frontend.regional import account_settings, task_definitions
from ..frontend.regional.task_definitions import TaskDefinitionRegistry, open_task_definitions
from ..frontend.secrets import registry as secrets_part
from ..frontend.services import Services
from ..interfaces.roles import CapacityManager, ClusterManager, LogStore
from ..interfaces.services import ServiceManager
from ..interfaces.trail import TrailStore
from ..model.errors import ClusterNotFound
from ..model.knobs import DEFAULT_KNOBS
from ..model.quotas import QuotaMode
from ..store.sqlite import MemoryDisk, MemoryStores
from ..world import World
from .stored import digest

ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))


_WEB = {
    "family": "web",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "web:1"}],
}


class Effects(Struct, kw_only=True):
    """Names of the role methods that were called, writes of the region's store among them."""

    seen: list[str] = field(default_factory=list)

    @property
    def writes(self) -> list[str]:
        return [name for name in self.seen if name.endswith(".write")]


class CatchingRole:
    """Stands for a role: every method notes its name and refuses, as a cell without that cluster would."""

    def __init__(self, effects: Effects, role: str) -> None:
        self._effects = effects
        self._role = role

    def __getattr__(self, name: str) -> Any:
        async def method(*args: Any, **kwargs: Any) -> Any:
            del args, kwargs
            self._effects.seen.append(f"{self._role}.{name}")
            if self._role == "capacity":
                return []
            if name == "list_clusters":
                return [], None
            raise ClusterNotFound

        return method


class Region(Struct, frozen=True, kw_only=True):
    services: Services
    identity: IdentityRegistry
    network: NetworkRegistry
    task_definitions: TaskDefinitionRegistry
    effects: Effects
    disk: MemoryDisk

    async def state(self) -> str:
        """A digest of all that is stored."""
        return await digest(self.services.world, self.disk)


async def open_region(world: World, *, region: str, account: str) -> Region:
    """The account has its default VPC and one ACTIVE revision `web:1`."""
    effects, disk = Effects(), MemoryDisk()
    stores = MemoryStores(world, DEFAULT_KNOBS, disk)
    network_store = await stores.open("network", NETWORK_MIGRATIONS)
    definition_store = await stores.open("definitions", task_definitions.MIGRATIONS)
    identity_store = await stores.open("identity", identity_part.MIGRATIONS)
    envelope = Envelope(bytes(32), world)
    identity = await open_identity(world, identity_store, envelope)
    await identity.ensure_account(account, "main")
    quota_store = await stores.open("quotas", registry.MIGRATIONS)
    quotas = await registry.open_quotas(world, quota_store, QuotaMode.MACHINE)
    network = await open_network(world, network_store, region=region, account=account, zones=ZONES, kinds=KINDS)
    definitions = await open_task_definitions(world, definition_store)
    await definitions.register(dict(_WEB), account=account, region=region, registered_by="arn:aws:iam::1:root", tags=())
    settings_store = await stores.open("settings", account_settings.MIGRATIONS)
    settings = await account_settings.open_account_settings(world, settings_store)
    _watch(effects, settings_store, "settings")
    key_store = await stores.open("keys", keys_part.MIGRATIONS)
    keys = await keys_part.open_keys(world, key_store, envelope, region=region)
    secret_store = await stores.open("secrets", secrets_part.MIGRATIONS)
    secrets = await secrets_part.open_secrets(world, secret_store, keys, region=region)
    _watch(effects, secret_store, "secrets")
    cloud_map_store = await stores.open("cloud-map", cloud_map_part.MIGRATIONS)
    cloud_map = await cloud_map_part.open_cloud_map(world, cloud_map_store, region=region)
    _watch(effects, cloud_map_store, "cloud-map")
    certificate_store = await stores.open("certificates", certificates_part.MIGRATIONS)
    certificates = await certificates_part.open_certificates(world, certificate_store, envelope, region=region)
    _watch(effects, certificate_store, "certificates")
    parameter_store = await stores.open("parameters", parameters_part.MIGRATIONS)
    public = PublicParameters(region, ZONES, (), world.now())
    parameters = await parameters_part.open_parameters(world, parameter_store, envelope, public)
    image_store = await stores.open("images", images_part.MIGRATIONS)
    backend = SocketBackend("", DEFAULT_KNOBS)  # where nobody listens
    images = await open_images_service(
        world, image_store, envelope, DEFAULT_KNOBS, region=region, backend=backend, domain="localhost:4566"
    )
    _watch(effects, image_store, "images")
    _watch(effects, key_store, "keys")
    _watch(effects, parameter_store, "parameters")
    _watch(effects, identity_store, "identity")
    _watch(effects, network_store, "network")
    _watch(effects, definition_store, "definitions")
    _watch(effects, quota_store, "quotas")
    cell = cast(ClusterManager, CatchingRole(effects, "cell"))
    services = Services(
        world=world,
        region=region,
        zones=ZONES,
        cells={"cell-0": cell},
        service_managers={"cell-0": cast(ServiceManager, CatchingRole(effects, "services"))},
        capacities={name: cast(CapacityManager, CatchingRole(effects, "capacity")) for name, _ in ZONES},
        identity=identity,
        sessions=Sessions(world, envelope, region=region),
        network=network,
        task_definitions=definitions,
        logs=cast(LogStore, CatchingRole(effects, "logs")),
        limits=Limits(world, quotas, DEFAULT_KNOBS),
        account_settings=settings,
        images=images,
        key_registry=keys,
        parameter_registry=parameters,
        secret_registry=secrets,
        cloud_map_registry=cloud_map,
        certificate_registry=certificates,
        trail=cast(TrailStore, CatchingRole(effects, "trail")),
    )
    return Region(
        services=services, identity=identity, network=network, task_definitions=definitions, effects=effects, disk=disk
    )


def _watch(effects: Effects, store: Any, name: str) -> None:
    original = store.write

    async def write(statements: Any) -> Any:
        effects.seen.append(f"{name}.write")
        return await original(statements)

    store.write = write
