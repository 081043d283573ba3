"""What one RunTask call writes: its tasks' rows, their orders, their events, and what its client token remembers.

Owns how rows are made of a launch; decides nothing. Invariant: what is answered is what was written.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ..definitions.launch import TaskResources, task_launch
from ..interfaces.roles import Documents, Failure, RunTaskRequest
from ..interfaces.store import Statement, Store, Value
from ..link.messages import RunOrder
from ..link.messages import encode as encode_message
from ..model import ids
from ..model.arn import task_arn
from ..model.capacity import Reservation, SubnetView
from ..model.errors import Conflict
from ..model.lifecycle import LastStatus
from ..scheduling.task_document import Change, NewTask, hidden_facts, new_document
from ..store.events import NewEvent
from ..world import World
from .live_spread import LiveSpread
from .orders import RunTaskOrder
from .record_lane import Record, RecordLane
from .task_events import task_events
from .task_table import HELD, encode_json, rows_by_id, with_tags

ON_SPOT = "FARGATE_SPOT"
OWNER_GUARD = "owner"  # the name of the guards in an owner's statements


class _Answer(msgspec.Struct, frozen=True):
    """What a client token gave: the same call gets the same tasks again."""

    task_ids: tuple[str, ...]
    failures: tuple[str, ...]


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tasks are launched when nobody called RunTask. `spread`: its own counts, by `spread_key`.

    `besides`: what is written with these tasks, or nothing is. `public_addresses`: of its own, for its first tasks.
    `check`: asked when all have their places, before anything is written; raises Superseded or AwsError.
    """

    service: str  # its name
    has_targets: bool = False  # of load balancers
    spread: LiveSpread
    spread_key: tuple[str, str, str]
    besides: Callable[[Sequence["Placed"]], tuple[Statement, ...]]
    public_addresses: tuple[str, ...] = ()
    check: Callable[[Sequence["Placed"]], Awaitable[None]] | None = None

    def public_address_of(self, number: int) -> str | None:
        return self.public_addresses[number] if number < len(self.public_addresses) else None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One RunTask call with everything that its tasks share."""

    request: RunTaskRequest
    launch_type: str
    resources: TaskResources
    group: str
    tags: tuple[tuple[str, str], ...]
    created_at: float
    digest: str
    pins: Mapping[str, str]  # container -> digest that its image keeps
    spread: LiveSpread
    owner: Owner | None = None
    needs_kernel: bool = False  # they go only where each task has a kernel of its own

    @property
    def spread_key(self) -> tuple[str, str, str]:
        """Whose tasks are spread evenly over the zones."""
        if self.owner is not None:
            return self.owner.spread_key
        return (self.request.account, self.request.cluster, self.request.definition["family"])

    def provider_of(self, number: int) -> str | None:
        """The capacity provider of the call's n-th task; None where a launch type was given."""
        return self.request.providers[number] if self.request.providers else None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has a reservation and is not recorded yet. `public_address`: which one it was to have."""

    task_id: str
    attachment_id: str
    subnet: SubnetView
    reservation: Reservation
    provider: str | None = None
    public_address: str | None = None

    @property
    def has_own_address(self) -> bool:
        eni = self.reservation.eni
        return self.public_address is not None and eni is not None and eni.public_ipv4 == self.public_address

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Spot tasks that must be gone first. Who has no interface never runs, and needs nobody's room."""
        return self.reservation.waits_for if self.reservation.eni is not None else ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What a call's write made durable: the documents to answer, and for each task with an order its host.

    `waits`: some of its tasks got room of Spot tasks, and their orders wait for it.
    """

    documents: tuple[bytes, ...]
    orders: tuple[tuple[str, RunTaskOrder], ...]
    waits: bool = False


class _Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task about to be written. `order` None: it will never run, and carries its reason."""

    doc: bytes
    row: tuple[Value, ...]
    events: tuple[NewEvent, ...]
    order: RunTaskOrder | None


class Recorder:
    def __init__(self, world: World, store: Store, incarnation: str) -> None:
        self._world = world
        self._store = store
        self._lane = RecordLane(world, store)
        self._incarnation = incarnation

    async def record(self, launch: Launch, placed: Sequence[Placed], failures: Sequence[Failure]) -> Recorded:
        """Raises Refused (`cluster`, `task`, `token`) and then nothing was written."""
        request = launch.request
        tags = encode_json([{"key": key, "value": value} for key, value in launch.tags])
        tasks = [self._task(launch, place, tags) for place in placed]
        tokens: tuple[tuple[Value, ...], ...] = ()
        if request.client_token is not None:
            answer = _Answer(tuple(place.task_id for place in placed), tuple(failure.reason for failure in failures))
            call = (request.account, request.cluster, request.client_token, request.request_fingerprint)
            tokens = ((*call, encode_json(answer), launch.created_at),)
        record = Record(
            cluster=(request.account, request.cluster),
            tasks=tuple(task.row for task in tasks),
            launches=tuple((task.order.task_id, task.order.message) for task in tasks if task.order is not None),
            tokens=tokens,
            events=tuple(event for task in tasks for event in task.events),
            spot=tuple((place.task_id,) for place in placed if place.provider == ON_SPOT),
            waits=tuple((place.task_id, victim) for place in placed for victim in place.waits_for),
            besides=launch.owner.besides(placed) if launch.owner is not None else (),
        )
        await self._lane.write(record)
        return Recorded(
            documents=tuple(with_tags(task.doc, tags) for task in tasks),
            orders=tuple(
                (place.reservation.host_id, task.order)
                for place, task in zip(placed, tasks, strict=True)
                if task.order is not None and not place.waits_for
            ),
            waits=bool(record.waits),
        )

    def _task(self, launch: Launch, place: Placed, tags: bytes) -> _Task:
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
                capacity_provider=place.provider,
                platform_version=request.platform_version,
                group=launch.group,
                started_by=request.started_by,
                enable_execute_command=request.enable_execute_command,
            )
        )
        doc = encode_json(document)
        has_targets = launch.owner is not None and launch.owner.has_targets
        facts = encode_json(replace(hidden_facts(request.definition, reservation.eni), has_targets=has_targets))
        # A task that will never be ordered carries its reason until the cell stops it.
        stops = None if reservation.eni is not None else (reservation.eni_error or _no_address(place, request))
        row = (
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
            HELD if place.waits_for else int(stops is None),
            stops,
            launch.digest,
            facts,
            doc,
            tags,
            launch.owner.service if launch.owner is not None else None,
        )
        change = Change(document=document, passed=(LastStatus.PROVISIONING,), visible=True)
        return _Task(
            doc=doc,
            row=row,
            events=tuple(task_events(place.task_id, change, launch.created_at)),
            order=self._order(launch, place, uuids) if stops is None else None,
        )

    def _order(self, launch: Launch, place: Placed, container_uuids: Sequence[str]) -> RunTaskOrder:
        request = launch.request
        order = task_launch(
            definition=request.definition,
            overrides=request.overrides,
            resources=launch.resources,
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
            log_mode=request.log_mode,
            executes_commands=request.enable_execute_command,
            pins=launch.pins,
            gives_files=request.gives_files,
        )
        if launch.owner is not None:
            order = replace(order, service_name=launch.owner.service)
        message = encode_message(RunOrder(launch=order))
        return RunTaskOrder(n=0, task_id=place.task_id, vpc_id=place.subnet.vpc_id, message=message)

    async def recorded(self, request: RunTaskRequest) -> Documents | None:
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
                "The RunTask request could not be processed due to conflicts. "
                "The provided clientToken is already in use with a different RunTask request.",
                resourceIds=[row.document()["taskArn"] for row in tasks.values()],
            )
        return Documents(
            documents=tuple(with_tags(row.doc, row.tags) for row in tasks.values()),
            failures=tuple(Failure(arn=None, reason=reason) for reason in answer.failures),
        )


def _no_address(place: Placed, request: RunTaskRequest) -> str:
    public = " with public IP assignment enabled" if request.assign_public_ip else ""
    return (
        f"Unexpected EC2 error while attempting to Create Network Interface{public} in subnet "
        f"'{place.subnet.subnet_id}': InsufficientFreeAddressesInSubnet"
    )
