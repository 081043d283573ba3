"""RunTask inside the cell: spread, reserve, record, answer (design section 4, steps 2 to 4).

Owns the order of those steps. Must not know hosts' sessions or protocols. Invariant: a task is answered only after its
row, its order for the host and its event are durable in one write; a reservation whose task was not recorded is given
back here when that is known, and by the sweeper when it is not.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..definitions.launch import TaskResources, task_launch, task_resources
from ..interfaces.roles import CapacityManager, Documents, Failure, RunTaskRequest
from ..interfaces.store import Refused, Statement, Store
from ..link.messages import RunOrder
from ..link.messages import encode as encode_message
from ..model import ids
from ..model.arn import Arn, task_arn
from ..model.capacity import NoCapacity, Reservation, ReservationRequest, SubnetView
from ..model.errors import Conflict, InvalidParameter, ServiceUnavailable, UnsupportedFeature
from ..model.lifecycle import LastStatus
from ..scheduling.task_document import Change, Document, NewTask, hidden_facts, new_document
from ..scheduling.zone_spread import subnet_in_zone, zones_in_order
from ..store.events import NewEvent, append_events
from ..world import World
from .cluster_book import Cluster, ClusterBook
from .live_spread import LiveSpread
from .task_events import task_events
from .task_table import encode_json, rows_by_id, with_tags
from .writing import write

NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"

_INSERT_TASK = (
    "INSERT INTO tasks (id, account, cluster, family, service, started_by, grp, last_status, desired_status, "
    "launch_type, host, zone, vpc, capacity_id, incarnation, rev, version, created_at, report_seq, ordered, released, "
    "definition, facts, doc, tags) "
    "SELECT ?, ?, ?, ?, NULL, ?, ?, 'PROVISIONING', 'RUNNING', ?, ?, ?, ?, ?, ?, 1, 1, ?, 0, ?, 0, ?, ?, ?, ? "
    "WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE task = ? AND zone = ?)"
)
_INSERT_LAUNCH = "INSERT INTO launches (task, message) SELECT n, ? FROM tasks WHERE id = ?"
_REMEMBER_CALL = (
    "INSERT INTO client_tokens (account, cluster, token, fingerprint, answer, created_at) VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_DEFINITION = "INSERT INTO definitions (digest, arn, doc) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
_CLUSTER_GUARD = "SELECT 1 FROM clusters WHERE account = ? AND name = ? AND status = 'ACTIVE'"
_DIGESTS_MAX = 10_000


class _Answer(msgspec.Struct, frozen=True):
    """What a client token gave: the same call gets the same tasks again."""

    task_ids: tuple[str, ...]
    failures: tuple[str, ...]


_decode_answer = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class _Launch:
    """One RunTask call with everything that its tasks share."""

    request: RunTaskRequest
    cluster: Cluster
    launch_type: str
    provider: str | None
    resources: TaskResources
    group: str
    tags: tuple[tuple[str, str], ...]
    created_at: float
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """A task that has a reservation and is not recorded yet."""

    task_id: str
    attachment_id: str
    subnet: SubnetView
    reservation: Reservation


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
    ) -> None:
        self._world = world
        self._store = store
        self._region = region
        self._incarnation = incarnation
        self._clusters = clusters
        self._capacities = capacities
        self._spread = spread
        self._digests: dict[str, str] = {}  # revision ARN -> digest of the copy that is stored

    async def run(self, request: RunTaskRequest) -> tuple[Documents, list[Reservation]]:
        """The answer, and the reservations whose hosts must now be told. Raises AwsError."""
        launch = await self._prepared(request)
        places = await self._place_all(launch)
        placed = [place for place in places if isinstance(place, _Placed)]
        failures = tuple(Failure(arn=None, reason=place.reason) for place in places if isinstance(place, NoCapacity))
        if not placed:
            return await self._recorded(request) or Documents(failures=failures), []
        try:
            documents = await self._record(launch, placed, failures)
        except Refused as refused:
            await self._give_back(launch, placed)
            return await self._refused(request, refused), []
        except ServiceUnavailable:
            await self._give_back(launch, placed)
            raise
        return Documents(documents=documents, failures=failures), [place.reservation for place in placed]

    async def _prepared(self, request: RunTaskRequest) -> _Launch:
        cluster = self._clusters.active(request.account, request.cluster)
        launch_type, provider = _where_to_run(request, cluster)
        definition = request.definition
        return _Launch(
            request=request,
            cluster=cluster,
            launch_type=launch_type,
            provider=provider,
            resources=task_resources(definition, request.overrides),
            group=request.group or f"family:{definition['family']}",
            tags=_task_tags(request),
            created_at=self._world.now(),
            digest=await self._digest(definition),
        )

    async def _digest(self, definition: dict[str, Any]) -> str:
        """The name of the cell's own copy of the revision, which is stored before the first task that uses it."""
        arn = definition["taskDefinitionArn"]
        digest = self._digests.get(arn)
        if digest is None:
            copy = {key: value for key, value in definition.items() if key not in ("status", "deregisteredAt")}
            doc = encode_json(copy)
            digest = hashlib.sha256(doc).hexdigest()
            await write(self._store, [Statement(_INSERT_DEFINITION, (digest, arn, doc))])
            if len(self._digests) >= _DIGESTS_MAX:
                self._digests.clear()
            self._digests[arn] = digest
        return digest

    async def _place_all(self, launch: _Launch) -> list["_Placed | NoCapacity"]:
        if launch.request.count == 1:
            return [await self._place(launch)]
        outcomes = await asyncio.gather(
            *(self._place(launch) for _ in range(launch.request.count)), return_exceptions=True
        )
        places = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            await self._give_back(launch, [place for place in places if isinstance(place, _Placed)])
            raise errors[0]
        return places

    async def _place(self, launch: _Launch) -> "_Placed | NoCapacity":
        """Zone after zone until one has room. The zone is counted before it is asked, so that callers side by side
        see each other; the count is taken back when it refuses."""
        request = launch.request
        task_id = ids.task_id(self._world.random.getrandbits)
        attachment_id = ids.uuid4(self._world.random.getrandbits)
        turn = self._world.random.getrandbits(16)
        refusal = NoCapacity(reason=NO_CAPACITY)
        key = (request.account, request.cluster, request.definition["family"])
        tried: set[str] = set()
        while len(tried) < len({subnet.zone for subnet in request.subnets}):
            zone = next(z for z in zones_in_order(request.subnets, self._spread.of(key), turn) if z not in tried)
            tried.add(zone)
            subnet = subnet_in_zone(request.subnets, zone, turn)
            self._spread.add(key, zone)
            try:
                claim = self._claim(launch, task_id, attachment_id, subnet)
                outcome = await self._capacities[zone].reserve(claim)
            except BaseException:
                self._spread.remove(key, zone)
                raise
            if isinstance(outcome, Reservation):
                return _Placed(task_id=task_id, attachment_id=attachment_id, subnet=subnet, reservation=outcome)
            self._spread.remove(key, zone)
            refusal = outcome
        return refusal

    def _claim(self, launch: _Launch, task_id: str, attachment_id: str, subnet: SubnetView) -> ReservationRequest:
        request = launch.request
        platform = request.definition.get("runtimePlatform") or {}
        return ReservationRequest(
            task_id=task_id,
            account=request.account,
            zone=subnet.zone,
            subnet=subnet,
            security_groups=request.security_groups,
            assign_public_ip=request.assign_public_ip,
            cpu_units=launch.resources.cpu_units,
            memory_mib=launch.resources.memory_mib,
            disk_gib=launch.resources.disk_gib,
            architecture=platform.get("cpuArchitecture", "X86_64"),
            owner=str(Arn("ecs", self._region, request.account, f"attachment/{attachment_id}")),
            attachment_id=attachment_id,
        )

    async def _record(
        self, launch: _Launch, placed: Sequence[_Placed], failures: Sequence[Failure]
    ) -> tuple[bytes, ...]:
        request = launch.request
        tags = encode_json([{"key": key, "value": value} for key, value in launch.tags])
        statements = [Statement(_CLUSTER_GUARD, (request.account, request.cluster), 1, "cluster")]
        events: list[NewEvent] = []
        documents = []
        for place in placed:
            document, task_statements = self._task_statements(launch, place, tags)
            statements += task_statements
            change = Change(document=document, passed=(LastStatus.PROVISIONING,), visible=True)
            events += task_events(place.task_id, change, launch.created_at)
            documents.append(with_tags(encode_json(document), tags))
        if request.client_token is not None:
            answer = _Answer(tuple(place.task_id for place in placed), tuple(failure.reason for failure in failures))
            params = (request.account, request.cluster, request.client_token, request.request_fingerprint)
            statements.append(Statement(_REMEMBER_CALL, (*params, encode_json(answer), launch.created_at), 1, "token"))
        await write(self._store, [*statements, *append_events(events)])
        return tuple(documents)

    def _task_statements(self, launch: _Launch, place: _Placed, tags: bytes) -> tuple[Document, list[Statement]]:
        request, reservation = launch.request, place.reservation
        containers = request.definition["containerDefinitions"]
        uuids = [ids.uuid4(self._world.random.getrandbits) for _ in containers]
        document = new_document(
            NewTask(
                region=request.region,
                account=request.account,
                cluster=request.cluster,
                task_id=place.task_id,
                definition=request.definition,
                overrides=request.overrides,
                cpu_units=launch.resources.cpu_units,
                memory_mib=launch.resources.memory_mib,
                disk_gib=launch.resources.disk_gib,
                created_at=launch.created_at,
                zone=place.subnet.zone,
                subnet_id=place.subnet.subnet_id,
                attachment_id=place.attachment_id,
                container_uuids=uuids,
                launch_type=launch.launch_type,
                capacity_provider=launch.provider,
                platform_version=request.platform_version,
                group=launch.group,
                started_by=request.started_by,
                enable_execute_command=request.enable_execute_command,
            )
        )
        facts = encode_json(hidden_facts(request.definition, reservation.eni))
        stops = None if reservation.eni is not None else (reservation.eni_error or _no_address(place, request))
        insert = Statement(
            _INSERT_TASK,
            (
                place.task_id,
                request.account,
                request.cluster,
                request.definition["family"],
                request.started_by,
                launch.group,
                launch.launch_type,
                reservation.host_id,
                place.subnet.zone,
                place.subnet.vpc_id,
                reservation.capacity_id,
                self._incarnation,
                launch.created_at,
                int(stops is None),
                launch.digest,
                facts,
                encode_json(document),
                tags,
                place.task_id,
                place.subnet.zone,
            ),
            1,
            "task",
        )
        return document, [insert, self._order(launch, place, uuids) if stops is None else _fate(place.task_id, stops)]

    def _order(self, launch: _Launch, place: _Placed, container_uuids: Sequence[str]) -> Statement:
        request = launch.request
        order = task_launch(
            definition=request.definition,
            overrides=request.overrides,
            task_id=place.task_id,
            task_arn=task_arn(request.region, request.account, request.cluster, place.task_id),
            incarnation=self._incarnation,
            reservation=place.reservation,
            account=request.account,
            region=request.region,
            zone=place.subnet.zone,
            zone_id=place.subnet.zone_id,
            cluster=request.cluster,
            group=launch.group,
            started_by=request.started_by,
            tags=launch.tags,
            created_at=launch.created_at,
            container_uuids=container_uuids,
        )
        return Statement(_INSERT_LAUNCH, (encode_message(RunOrder(launch=order)), place.task_id), 1, "launch")

    async def _give_back(self, launch: _Launch, placed: Sequence[_Placed]) -> None:
        """Nothing of these was recorded, and that is known: a guard refused, or the write was never queued."""
        key = (launch.request.account, launch.request.cluster, launch.request.definition["family"])
        for place in placed:
            self._spread.remove(key, place.subnet.zone)
            await self._capacities[place.subnet.zone].release(place.task_id, place.subnet.zone)

    async def _refused(self, request: RunTaskRequest, refused: Refused) -> Documents:
        if refused.name == "token":
            recorded = await self._recorded(request)
            if recorded is not None:
                return recorded
        if refused.name == "cluster":
            await self._clusters.load()
            self._clusters.active(request.account, request.cluster)
        # A sweeper voided a reservation that took too long to be recorded, or the token was just forgotten: again.
        raise ServiceUnavailable

    async def _recorded(self, request: RunTaskRequest) -> Documents | None:
        """What this client token gave before. Raises Conflict when it was used for something else."""
        if request.client_token is None:
            return None
        rows = await self._store.read(
            "SELECT fingerprint, answer FROM client_tokens WHERE account = ? AND cluster = ? AND token = ?",
            (request.account, request.cluster, request.client_token),
        )
        if not rows:
            return None
        fingerprint, answer = rows[0][0], _decode_answer(rows[0][1])
        tasks = await rows_by_id(self._store, answer.task_ids)
        if fingerprint != request.request_fingerprint:
            raise Conflict(
                "The clientToken was used in a previous request with other parameters.",
                resourceIds=[row.document()["taskArn"] for row in tasks.values()],
            )
        return Documents(
            documents=tuple(with_tags(row.doc, row.tags) for row in tasks.values()),
            failures=tuple(Failure(arn=None, reason=reason) for reason in answer.failures),
        )


def _where_to_run(request: RunTaskRequest, cluster: Cluster) -> tuple[str, str | None]:
    """Launch type and capacity provider, as ECS resolves them."""
    provider = request.capacity_provider
    if provider is None and request.launch_type is None:
        weighted = [item for item in cluster.default_strategy if item["weight"] or item["base"]]
        named = [str(item["capacityProvider"]) for item in weighted or cluster.default_strategy]
        if not named:
            raise InvalidParameter("No Container Instances were found in your cluster.")
        provider = "FARGATE" if "FARGATE" in named else named[0]
    elif provider is not None and provider not in cluster.providers:
        raise InvalidParameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster. Associate the capacity provider with the cluster and try again."
        )
    if provider == "FARGATE_SPOT":
        raise UnsupportedFeature("The capacity provider FARGATE_SPOT is not available in this region.")
    if provider is None and request.launch_type != "FARGATE":
        raise InvalidParameter("No Container Instances were found in your cluster.")
    if not request.subnets:
        raise InvalidParameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    return "FARGATE", provider


def _task_tags(request: RunTaskRequest) -> tuple[tuple[str, str], ...]:
    """The definition's when they are propagated, the request's over them, the managed ones on top."""
    merged: dict[str, str] = {}
    if request.propagate_tags == "TASK_DEFINITION":
        merged.update(request.definition_tags)
    merged.update(request.tags)
    if request.managed_tags:
        merged["aws:ecs:clusterName"] = request.cluster
    return tuple(merged.items())


def _no_address(place: _Placed, request: RunTaskRequest) -> str:
    public = " with public IP assignment enabled" if request.assign_public_ip else ""
    return (
        f"Unexpected EC2 error while attempting to Create Network Interface{public} in subnet "
        f"'{place.subnet.subnet_id}': InsufficientFreeAddressesInSubnet"
    )


def _fate(task_id: str, reason: str) -> Statement:
    """A task that will never be ordered carries its reason until the cell stops it (launch_failures)."""
    return Statement("UPDATE tasks SET stop_reason = ? WHERE id = ?", (reason, task_id), 1, "task")
