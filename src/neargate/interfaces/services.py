"""A cell's services, as the front end asks for them and as the cell asks the region for what their tasks need.

Owns Protocols and the frozen requests they take. Documents are wire-shaped JSON bytes, tags as the caller asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import UNSET, Struct, UnsetType

from ..model.capacity import SubnetView
from ..scheduling.strategy import StrategyItem
from .roles import Documents, TagChange, TagPairs


class RevisionTemplate(Struct, frozen=True, kw_only=True):
    """What every task of a deployment is made of. `definition`: the stored wire document of the revision, tags apart.

    `network`: the awsvpcConfiguration as given, checked. `launch_type` None: by `strategy`. Wire members that a
    service revision only shows (load balancers, service registries) are in `shown`.
    """

    definition: dict[str, Any]
    definition_tags: TagPairs
    launch_type: str | None
    strategy: tuple[StrategyItem, ...]
    platform_version: str
    network: dict[str, Any]
    shown: Mapping[str, Any]
    log_mode: str
    gives_files: bool


class NewService(Struct, frozen=True, kw_only=True):
    """CreateService as resolved by the front end. `settings`: the other members of the service's document, checked
    and with AWS's defaults, by their wire names (deploymentConfiguration, healthCheckGracePeriodSeconds,
    propagateTags, enableECSManagedTags, enableExecuteCommand, availabilityZoneRebalancing, ...)."""

    account: str
    region: str
    cluster: str  # name
    name: str
    desired_count: int
    template: RevisionTemplate
    settings: Mapping[str, Any]
    tags: TagPairs
    created_by: str  # ARN of the caller
    client_token: str | None = None
    request_fingerprint: str = ""  # of the parameters without the token


class ServiceChange(Struct, frozen=True, kw_only=True):
    """UpdateService: what is UNSET stays. Anything of the template, or `force_new_deployment`, makes a deployment."""

    desired_count: int | UnsetType = UNSET
    definition: dict[str, Any] | UnsetType = UNSET
    definition_tags: TagPairs | UnsetType = UNSET
    launch_type: str | UnsetType | None = UNSET
    strategy: tuple[StrategyItem, ...] | UnsetType = UNSET
    platform_version: str | UnsetType = UNSET
    network: dict[str, Any] | UnsetType = UNSET
    shown: Mapping[str, Any] | UnsetType = UNSET
    log_mode: str | UnsetType = UNSET
    gives_files: bool | UnsetType = UNSET
    settings: Mapping[str, Any] = {}
    force_new_deployment: bool = False


class ServiceFilter(Struct, frozen=True, kw_only=True):
    """ListServices' filters; None means any."""

    launch_type: str | None = None
    scheduling_strategy: str | None = None


class DeploymentFilter(Struct, frozen=True, kw_only=True):
    """ListServiceDeployments' filters; none means any. Times are epoch seconds, exclusive."""

    statuses: tuple[str, ...] = ()
    created_after: float | None = None
    created_before: float | None = None


class ServiceManager(Protocol):
    """The services of one cell. Raises AwsError subclasses (ClusterNotFound, ServiceNotFound, ServiceNotActive)."""

    async def create_service(self, new: NewService) -> bytes:
        """Raises InvalidParameter ("Creation of service was not idempotent.") for a name that an active one has; with
        the same client token and fingerprint it answers that service."""

    async def update_service(self, account: str, cluster: str, name: str, change: ServiceChange) -> bytes: ...

    async def delete_service(self, account: str, cluster: str, name: str, *, force: bool) -> bytes: ...

    async def describe_services(
        self, account: str, cluster: str, names: Sequence[str], *, include_tags: bool
    ) -> Documents: ...

    async def list_services(
        self, account: str, cluster: str, wanted: ServiceFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        """ARNs in the order of their making, and the token of the next page."""

    async def service_tags(self, account: str, cluster: str, name: str) -> TagPairs: ...

    async def change_service_tags(self, account: str, cluster: str, name: str, change: TagChange) -> None: ...

    async def list_service_deployments(
        self, account: str, cluster: str, name: str, wanted: DeploymentFilter, limit: int, after: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """ServiceDeploymentBrief members, the newest first."""

    async def describe_service_deployments(self, account: str, arns: Sequence[str]) -> Documents: ...

    async def describe_service_revisions(self, account: str, arns: Sequence[str]) -> Documents: ...

    async def stop_service_deployment(self, account: str, arn: str, stop_type: str) -> str:
        """`stop_type`: ABORT or ROLLBACK. The deployment's ARN."""

    async def task_protection(self, account: str, cluster: str, task_ids: Sequence[str]) -> Documents:
        """ProtectedTask members; of all tasks of services in the cluster when none are named."""

    async def protect_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], *, enabled: bool, expires_in_minutes: int
    ) -> Documents: ...

    async def explain_service(
        self, name: str, *, cluster: str | None = None, account: str | None = None
    ) -> dict[str, Any]:
        """For `neargate why`: what the scheduler sees and what it waits for, in members that a sentence is made of.

        Of any cluster and account where none is said. Raises ServiceNotFound; InvalidParameter, which names them, when
        there are several.
        """


class ServiceNetworks(Protocol):
    """The region's read model of networks, as the cell needs it when it launches a service's task. From memory."""

    def subnets(self, account: str, subnet_ids: Sequence[str]) -> tuple[SubnetView, ...]:
        """Those that are there."""

    def missing_groups(self, account: str, group_ids: Sequence[str]) -> tuple[str, ...]:
        """Those that are not there any more."""

    def default_groups(self, account: str, vpc_id: str) -> tuple[str, ...]:
        """For tasks whose network names no security group."""

    def addresses(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        """Elastic addresses that are the service's own by their tag, and that nothing of the network uses."""

    async def addresses_now(self, account: str, cluster: str, service: str) -> tuple[str, ...]:
        """The same, with all that any process of the region has changed until now."""
