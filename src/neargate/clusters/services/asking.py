"""What a service asks of a launch: a deployment's revision as a RunTask request, and which zones and providers it has.

Decides nothing but the words of what is missing. Invariant: what a task is made of is its deployment's revision alone;
only whether commands may be executed in it, and its tags, are the service's as it is now.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...interfaces.roles import RunTaskRequest
from ...interfaces.services import ServiceNetworks
from ...model.arn import Arn
from ...model.capacity import SubnetView
from ...scheduling.services.state import Start
from ...scheduling.strategy import split_beside
from ..live_spread import LiveSpread
from ..recording import ON_SPOT
from ..tagging import decoded
from .snapshot import Snapshot

NO_INSTANCES = "No Container Instances were found in your cluster."
_PLATFORM = "1.4.0"  # what LATEST is
_FARGATE = "FARGATE"


class NoPlace(Exception):
    """Why a task cannot be launched now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Asking:
    """What is to be launched of one deployment within one turn. `replaces`: of those that are left, how many stand for
    unhealthy ones."""

    def __init__(self, snapshot: Snapshot, start: Start, networks: ServiceNetworks) -> None:
        """Raises NoPlace."""
        self.start = start
        self.replaces = start.replaces
        deployment_id = start.deployment_id
        self._snapshot = snapshot
        self._template = snapshot.template(deployment_id)
        row = snapshot.row
        if self._template.launch_type not in (None, _FARGATE) or not (
            self._template.launch_type or self._template.strategy
        ):
            raise NoPlace(NO_INSTANCES)
        self._subnets = _subnets(row.account, self._template.network.get("subnets") or (), networks, start.zone)
        self._groups = _groups(row.account, self._template.network, self._subnets[0].vpc_id, networks)
        wanted = [
            task
            for task in snapshot.service.tasks
            if task.deployment_id == deployment_id and task.is_wanted and task.retires_by is None
        ]
        self.spread_key = (row.account, row.cluster, deployment_id)
        self.spread = LiveSpread()
        self.spread.begin(self.spread_key, Counter(task.zone for task in wanted))
        self._running = Counter(ON_SPOT if task.task_id in snapshot.on_spot else _FARGATE for task in wanted)

    @property
    def wants_public(self) -> bool:
        return self._template.network.get("assignPublicIp") == "ENABLED"

    @property
    def load_balancers(self) -> Sequence[Mapping[str, Any]]:
        """As the revision shows them."""
        return self._template.shown.get("loadBalancers") or ()

    def request(self, count: int, turn: float) -> RunTaskRequest:
        """`turn` in [0, 1) is drawn for the call."""
        row, settings, template = self._snapshot.row, self._snapshot.settings, self._template
        strategy = template.strategy
        propagates = settings.get("propagateTags")
        definition = template.definition
        parsed = Arn.parse(definition["taskDefinitionArn"])
        assert parsed is not None, "a revision has an ARN"
        return RunTaskRequest(
            account=row.account,
            region=parsed.region,
            cluster=row.cluster,
            definition=definition,
            definition_tags=template.definition_tags,
            count=count,
            launch_type=template.launch_type,
            providers=split_beside(strategy, self._running, count, turn) if strategy else (),
            platform_version=_PLATFORM,
            subnets=self._subnets,
            security_groups=self._groups,
            assign_public_ip=self.wants_public,
            overrides={},
            group=f"service:{row.name}",
            started_by=self.start.deployment_id,
            tags=decoded(row.tags) if propagates == "SERVICE" else (),
            propagate_tags=propagates if propagates == "TASK_DEFINITION" else None,
            managed_tags=bool(settings.get("enableECSManagedTags")),
            enable_execute_command=bool(settings.get("enableExecuteCommand")),
            client_token=None,
            log_mode=template.log_mode,
            gives_files=template.gives_files,
            request_fingerprint="",
        )

    def launched(self, request: RunTaskRequest) -> None:
        """All of it."""
        self._running.update(request.providers)
        self.replaces = max(self.replaces - request.count, 0)


def _subnets(account: str, named: Sequence[str], networks: ServiceNetworks, zone: str | None) -> tuple[SubnetView, ...]:
    """Those that are there. The others may have been deleted; AWS, too, goes on with the rest."""
    found = tuple(subnet for subnet in networks.subnets(account, named) if zone in (None, subnet.zone))
    if not found and named:
        raise NoPlace(f"The subnet ID '{named[0]}' does not exist")
    if not found:
        raise NoPlace(NO_INSTANCES)
    return found


def _groups(account: str, network: Mapping[str, Any], vpc_id: str, networks: ServiceNetworks) -> tuple[str, ...]:
    named = tuple(network.get("securityGroups") or ())
    if not named:
        return networks.default_groups(account, vpc_id)
    missing = networks.missing_groups(account, named)
    if missing:
        raise NoPlace(f"The security group '{missing[0]}' does not exist")
    return named
