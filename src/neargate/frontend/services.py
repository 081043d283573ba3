"""What operations may call: the roles behind the front end, handed over by the composition root."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct, field

from ..interfaces.balancing import Targets
from ..interfaces.roles import CapacityManager, ClusterManager, LogStore
from ..interfaces.services import ServiceManager
from ..interfaces.trail import TrailStore
from ..model.own_kernel import KernelGrants, NoGrants
from ..world import World
from .balancing.health import Verdicts
from .call import Answer, Call, Params
from .callers.oidc.keys import ProviderKeys
from .callers.sessions import Sessions
from .certificates.registry import CertificateRegistry
from .cloudmap.registry import CloudMapRegistry
from .executing.sessions import ExecSessions
from .identity.registry import IdentityRegistry
from .images.service import Images
from .keys.registry import KeyRegistry
from .limits.limits import Limits
from .network.registry import NetworkRegistry
from .parameters.registry import ParameterRegistry
from .record.seen import NoTrail
from .regional.account_settings import AccountSettings
from .regional.task_definitions import TaskDefinitionRegistry
from .secrets.registry import SecretRegistry


class Services(Struct, frozen=True, kw_only=True):
    """One region's roles. `cells` by cell name; `capacities` by zone name (zones may share one manager)."""

    world: World
    region: str
    zones: tuple[tuple[str, str], ...]  # (us-east-1a, use1-az1), in order
    cells: Mapping[str, ClusterManager]
    service_managers: Mapping[str, ServiceManager] = field(default_factory=dict)  # by cell name
    capacities: Mapping[str, CapacityManager]
    identity: IdentityRegistry
    sessions: Sessions
    provider_keys: ProviderKeys | None = None  # None: no OpenID Connect provider is ever asked
    network: NetworkRegistry
    task_definitions: TaskDefinitionRegistry
    logs: LogStore
    trail: TrailStore = field(default_factory=NoTrail)
    limits: Limits | None = None  # None: nothing is limited, for tests of other things
    account_settings: AccountSettings = field(default_factory=AccountSettings)  # AWS's defaults
    images: Images | None = None  # None: there is no image registry, for tests of other things
    key_registry: KeyRegistry | None = None  # None: for tests of other things
    parameter_registry: ParameterRegistry | None = None  # None: for tests of other things
    secret_registry: SecretRegistry | None = None  # None: for tests of other things
    cloud_map_registry: CloudMapRegistry | None = None  # None: for tests of other things
    targets: Targets | None = None  # None: there is no target group, for tests of other things
    certificate_registry: CertificateRegistry | None = None  # None: for tests of other things

    verdicts: Verdicts = field(default_factory=Verdicts)  # what load balancers' nodes say of targets
    exec_sessions: ExecSessions | None = None  # None: for tests of other things
    extensions: tuple[str, ...] = ()  # of model/extensions.py
    kernel_grants: KernelGrants = field(default_factory=NoGrants)

    @property
    def executing(self) -> ExecSessions:
        assert self.exec_sessions is not None
        return self.exec_sessions

    @property
    def keys(self) -> KeyRegistry:
        assert self.key_registry is not None
        return self.key_registry

    @property
    def parameters(self) -> ParameterRegistry:
        assert self.parameter_registry is not None
        return self.parameter_registry

    @property
    def secrets(self) -> SecretRegistry:
        assert self.secret_registry is not None
        return self.secret_registry

    @property
    def cloud_map(self) -> CloudMapRegistry:
        assert self.cloud_map_registry is not None
        return self.cloud_map_registry

    @property
    def certificates(self) -> CertificateRegistry:
        assert self.certificate_registry is not None
        return self.certificate_registry

    def cell_of(self, account: str, cluster: str) -> ClusterManager:
        """The cell that owns a cluster. With one cell there is one answer; the map joins with the second cell."""
        del account, cluster
        return self.cells["cell-0"]

    def services_of(self, account: str, cluster: str) -> ServiceManager:
        """The services of the cell that owns a cluster."""
        del account, cluster
        return self.service_managers["cell-0"]


Operation = Callable[[Call, Services, Params], Awaitable[Answer]]
