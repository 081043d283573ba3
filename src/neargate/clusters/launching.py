"""RunTask inside the cell: spread, reserve, record, answer (design section 4, steps 2 to 4).

Owns the order of those steps. Must not know hosts' sessions or protocols. Invariant: a task is answered only after its
row, its order for the host and its event are durable in one write; a reservation whose task was not recorded is given
back here when that is known, and by the sweeper when it is not.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..definitions.launch import task_resources
from ..definitions.own_kernel import needs_own_kernel
from ..definitions.tags import check_count
from ..interfaces.roles import CapacityManager, Documents, Failure, RunTaskRequest
from ..interfaces.store import Overloaded, Refused, Statement, Store
from ..log import get_logger
from ..model import ids
from ..model.arn import attachment_arn
from ..model.capacity import NoCapacity, Reservation, ReservationRequest, SubnetView
from ..model.errors import AwsError, InvalidParameter, ServiceUnavailable
from ..model.own_kernel import KernelGrants
from ..model.quotas import FARGATE_ON_DEMAND_VCPU, FARGATE_SPOT_VCPU, QuotaValues
from ..scheduling.zone_spread import subnet_in_zone, zones_in_order
from ..world import World
from .cluster_book import Cluster, ClusterBook
from .image_pins import ImagePins
from .live_spread import LiveSpread
from .recording import ON_SPOT, OWNER_GUARD, Launch, Owner, Placed, Recorded, Recorder
from .task_table import encode_json
from .writing import write

_log = get_logger(__name__)

_INSERT_DEFINITION = "INSERT INTO definitions (digest, arn, doc) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
_DIGESTS_MAX = 10_000
CPU_UNITS_PER_VCPU = 1024
CPU_LIMIT = "The requested CPU configuration is above your limit."
KERNEL_LEAVE = "The account's tasks may not have what only a kernel of their own gives: ask the operator of the region"
VCPU_LIMIT = "You've reached the limit on the number of vCPUs you can run concurrently"


class Superseded(Exception):
    """Whose tasks these were to be has changed meanwhile: nothing was launched."""


class Launching:
    def __init__(
        self,
        world: World,
        store: Store,
        *,
        region: str,
        incarnation: str,
        clusters: ClusterBook,
        capacities: Mapping[str, CapacityManager],
        spread: LiveSpread,
        quotas: QuotaValues,
        kernels: KernelGrants,
        pins: ImagePins,
    ) -> None:
        self._world = world
        self._store = store
        self._region = region
        self._recorder = Recorder(world, store, incarnation)
        self._clusters = clusters
        self._capacities = capacities
        self._spread = spread
        self._quotas = quotas
        self._kernels = kernels
        self._pins = pins
        self._managers = tuple({id(manager): manager for manager in capacities.values()}.values())
        self._tokens: dict[tuple[str, str, str], asyncio.Future[None]] = {}  # of calls that are under way
        self._digests: dict[str, str] = {}  # revision ARN -> digest of the copy that is stored

    async def run(self, request: RunTaskRequest) -> tuple[Documents, Recorded | None]:
        """The answer, and what was recorded now (nothing when a client token gave it before). Raises AwsError.

        Calls with one client token come one after another: a repetition must not be told that there is no room because
        the call that it repeats has just taken it.
        """
        if request.client_token is None:
            return await self._run(request)
        key = (request.account, request.cluster, request.client_token)
        while (before := self._tokens.get(key)) is not None:
            await asyncio.wait([before])
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tokens[key] = over
        try:
            return await self._run(request)
        finally:
            del self._tokens[key]
            over.set_result(None)

    async def run_owned(self, request: RunTaskRequest, owner: Owner) -> tuple[Documents, Recorded | None]:
        """The same for who keeps tasks running. Raises Superseded when a guard of the owner's statements refuses."""
        return await self._run(request, owner)

    async def _run(self, request: RunTaskRequest, owner: Owner | None = None) -> tuple[Documents, Recorded | None]:
        launch = await self._prepared(request, owner)
        places = await self._place_all(launch)
        placed = [place for place in places if isinstance(place, Placed)]
        refusals = [place for place in places if isinstance(place, NoCapacity)]
        failures = tuple(Failure(arn=None, reason=refusal.reason, detail=refusal.detail) for refusal in refusals)
        if not placed:
            return await self._recorder.recorded(request) or Documents(failures=failures), None
        try:
            if owner is not None and owner.check is not None:
                await owner.check(placed)
            recorded = await self._recorder.record(launch, placed, failures)
        except Superseded:
            await self._give_back(launch, placed)
            raise
        except Refused as refused:
            await self._give_back(launch, placed)
            if refused.name == OWNER_GUARD:
                raise Superseded from None
            return await self._refused(request, refused), None
        except ServiceUnavailable:
            await self._give_back(launch, placed)
            raise
        return Documents(documents=recorded.documents, failures=failures), recorded

    async def _prepared(self, request: RunTaskRequest, owner: Owner | None) -> Launch:
        cluster = self._clusters.active(request.account, request.cluster)
        _check_where_to_run(request, cluster)
        definition = request.definition
        return Launch(
            request=request,
            launch_type="FARGATE",
            resources=task_resources(definition, request.overrides),
            group=request.group or f"family:{definition['family']}",
            tags=_task_tags(request, owner),
            created_at=self._world.now(),
            digest=await self._digest(definition),
            pins=self._pins.of(definition["taskDefinitionArn"]),
            spread=self._spread if owner is None else owner.spread,
            owner=owner,
            needs_kernel=needs_own_kernel(definition),
        )

    async def _digest(self, definition: dict[str, Any]) -> str:
        """The name of the cell's own copy of the revision, which is stored before the first task that uses it."""
        arn = definition["taskDefinitionArn"]
        digest = self._digests.get(arn)
        if digest is None:
            copy = {key: value for key, value in definition.items() if key not in ("status", "deregisteredAt")}
            doc = encode_json(copy)
            digest = hashlib.sha256(doc).hexdigest()
            await write(
                self._store, [Statement(_INSERT_DEFINITION, (digest, arn, doc)), *self._pins.wanted(definition)]
            )
            self._pins.want(definition)
            if len(self._digests) >= _DIGESTS_MAX:
                self._digests.clear()
            self._digests[arn] = digest
        return digest

    async def _place_all(self, launch: Launch) -> list["Placed | NoCapacity"]:
        if launch.request.count == 1:
            return [await self._place(launch, 0)]
        outcomes = await asyncio.gather(
            *(self._place(launch, n) for n in range(launch.request.count)), return_exceptions=True
        )
        places = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            await self._give_back(launch, [place for place in places if isinstance(place, Placed)])
            raise errors[0]
        return places

    async def _place(self, launch: Launch, number: int) -> "Placed | NoCapacity":
        """Zone after zone until one has room. When none has, room of Spot tasks is taken for who is not on Spot.

        Raises ServiceUnavailable when no zone could even be asked.
        """
        provider = launch.provider_of(number)
        place = _Place(
            task_id=ids.task_id(self._world.random.getrandbits),
            attachment_id=ids.uuid4(self._world.random.getrandbits),
            turn=self._world.random.getrandbits(16),
            provider=provider,
            public_address=launch.owner.public_address_of(number) if launch.owner is not None else None,
        )
        outcome = await self._ask_zones(launch, place, may_reclaim=False)
        if not isinstance(outcome, Placed) and provider != ON_SPOT and any(m.holds_spot() for m in self._managers):
            outcome = await self._ask_zones(launch, place, may_reclaim=True) or outcome
        if outcome is None:
            raise ServiceUnavailable
        return outcome

    async def _ask_zones(self, launch: Launch, place: "_Place", *, may_reclaim: bool) -> "Placed | NoCapacity | None":
        request, turn = launch.request, place.turn
        refusal: NoCapacity | None = None
        untried = {subnet.zone for subnet in request.subnets}
        while untried:
            order = zones_in_order(request.subnets, launch.spread.of(launch.spread_key), turn)
            zone = next(zone for zone in order if zone in untried)
            untried.discard(zone)
            subnet = subnet_in_zone(request.subnets, zone, turn)
            outcome = await self._ask_zone(launch, self._claim(launch, place, subnet, may_reclaim=may_reclaim))
            if isinstance(outcome, Reservation):
                return Placed(
                    task_id=place.task_id,
                    attachment_id=place.attachment_id,
                    subnet=subnet,
                    reservation=outcome,
                    provider=place.provider,
                    public_address=place.public_address,
                )
            refusal = outcome or refusal
        return refusal

    async def _ask_zone(self, launch: Launch, claim: ReservationRequest) -> Reservation | NoCapacity | None:
        """The zone is counted before it is asked, so that callers side by side see each other. None: it did not answer;
        what it may have reserved all the same has no task, and the sweeper gives it back."""
        refusal = self._no_leave(launch) or self._over_vcpus(launch, is_spot=claim.is_spot)
        if refusal is not None:
            return NoCapacity(reason=refusal)
        launch.spread.add(launch.spread_key, claim.zone)
        outcome: Reservation | NoCapacity | None = None
        try:
            outcome = await self._capacities[claim.zone].reserve(claim)
        except (ServiceUnavailable, Overloaded) as busy:
            _log.warning("a zone could not be asked", zone=claim.zone, task=claim.task_id, why=str(busy))
        finally:
            if not isinstance(outcome, Reservation):
                launch.spread.remove(launch.spread_key, claim.zone)
        return outcome

    def _no_leave(self, launch: Launch) -> str | None:
        """Also services that began when the account had it: what was taken back holds for the next task."""
        return KERNEL_LEAVE if launch.needs_kernel and not self._kernels.has(launch.request.account) else None

    def _over_vcpus(self, launch: Launch, *, is_spot: bool) -> str | None:
        """ECS's words, or None. Just before a zone is asked, which counts what it takes at once: of callers side by
        side one is the last."""
        quota = FARGATE_SPOT_VCPU if is_spot else FARGATE_ON_DEMAND_VCPU
        account = launch.request.account
        limit = self._quotas.value(account, quota)
        if limit is None:
            return None
        if launch.resources.cpu_units > limit * CPU_UNITS_PER_VCPU:
            return CPU_LIMIT
        held = sum(manager.cpu_units_held(account, on_spot=is_spot) for manager in self._managers)
        return VCPU_LIMIT if held + launch.resources.cpu_units > limit * CPU_UNITS_PER_VCPU else None

    def _claim(self, launch: Launch, place: "_Place", subnet: SubnetView, *, may_reclaim: bool) -> ReservationRequest:
        request = launch.request
        platform = request.definition.get("runtimePlatform") or {}
        return ReservationRequest(
            task_id=place.task_id,
            account=request.account,
            cluster=request.cluster,
            zone=subnet.zone,
            subnet=subnet,
            security_groups=request.security_groups,
            assign_public_ip=request.assign_public_ip,
            cpu_units=launch.resources.cpu_units,
            memory_mib=launch.resources.memory_mib,
            disk_gib=launch.resources.disk_gib,
            architecture=platform.get("cpuArchitecture", "X86_64"),
            owner=attachment_arn(self._region, request.account, place.attachment_id),
            attachment_id=place.attachment_id,
            is_spot=place.provider == ON_SPOT,
            may_reclaim=may_reclaim,
            public_address=place.public_address,
            needs_kernel=launch.needs_kernel,
        )

    async def release(self, task_id: str, zone: str) -> None:
        """What a task that is durably STOPPED had, for who cannot wait until its turn comes. Repeatable. Raises
        ServiceUnavailable, Overloaded."""
        manager = self._capacities.get(zone)
        if manager is not None:
            await manager.release(task_id, zone)

    async def _give_back(self, launch: Launch, placed: Sequence[Placed]) -> None:
        """Nothing of these was recorded, and that is known: a guard refused, or the write was never queued."""
        for place in placed:
            zone = place.subnet.zone
            launch.spread.remove(launch.spread_key, zone)
            try:
                await self._capacities[zone].release(place.task_id, zone)
            except (AwsError, Overloaded) as busy:
                _log.warning("left to the sweeper: a reservation without a task", task=place.task_id, why=str(busy))

    async def _refused(self, request: RunTaskRequest, refused: Refused) -> Documents:
        if refused.name == "token":
            recorded = await self._recorder.recorded(request)
            if recorded is not None:
                return recorded
        if refused.name == "cluster":
            await self._clusters.load()
            self._clusters.active(request.account, request.cluster)
        # A sweeper voided a reservation that took too long to be recorded, or the token was just forgotten: again.
        raise ServiceUnavailable


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """One task that seeks a place."""

    task_id: str
    attachment_id: str
    turn: int
    provider: str | None
    public_address: str | None


def _check_where_to_run(request: RunTaskRequest, cluster: Cluster) -> None:
    """Everything here is Fargate's: by launch type, or by capacity providers of the cluster."""
    if not set(request.providers) <= set(cluster.providers):
        raise InvalidParameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster. Associate the capacity provider with the cluster and try again."
        )
    if not request.providers and request.launch_type != "FARGATE":
        raise InvalidParameter("No Container Instances were found in your cluster.")
    if not request.subnets:
        raise InvalidParameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")


def _task_tags(request: RunTaskRequest, owner: Owner | None) -> tuple[tuple[str, str], ...]:
    """The definition's when they are propagated, the request's over them, the managed ones on top.

    Raises InvalidParameter when together they are too many.
    """
    merged: dict[str, str] = {}
    if request.propagate_tags == "TASK_DEFINITION":
        merged.update(request.definition_tags)
    merged.update(request.tags)
    if request.managed_tags:
        merged["aws:ecs:clusterName"] = request.cluster
        if owner is not None:
            merged["aws:ecs:serviceName"] = owner.service
    check_count(tuple(merged))
    return tuple(merged.items())
