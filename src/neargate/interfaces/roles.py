"""What the running parts offer each other. The composition root hands each part the object behind these.

Running parts never import one another; these Protocols are the whole of what they may know of each other.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from ..model.balancing import BalancerPlan, NodeReport
from ..model.capacity import (
    NOTHING_KEPT,
    HostFacts,
    HostPlace,
    InterfacePlace,
    NoAddress,
    NoCapacity,
    PlacedRequest,
    RecordedReservation,
    Reservation,
    ReservationRequest,
    SubnetView,
)
from ..model.concealed import Concealed
from ..model.network import VpcPlan

TagPairs = tuple[tuple[str, str], ...]
TagChange = Callable[[TagPairs], TagPairs]


class RunTaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """RunTask as resolved by the front end. `definition` is the stored wire document of the revision, tags apart."""

    account: str
    region: str
    cluster: str  # name
    definition: dict[str, Any]
    definition_tags: tuple[tuple[str, str], ...]
    count: int
    launch_type: str | None
    providers: tuple[str, ...]  # the capacity provider of each task; none with a launch type
    platform_version: str
    subnets: tuple[SubnetView, ...]
    security_groups: tuple[str, ...]
    assign_public_ip: bool
    overrides: dict[str, Any]
    group: str | None
    started_by: str | None
    tags: tuple[tuple[str, str], ...]
    propagate_tags: str | None
    managed_tags: bool
    enable_execute_command: bool
    client_token: str | None
    log_mode: str = "non-blocking"  # of containers whose definition names none
    gives_files: bool = False  # the region has the extension of that name
    # Hash of the parameters, asked for with a token only: the same token with another one is a ConflictException.
    request_fingerprint: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    arn: str | None
    reason: str
    detail: str | None = None


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """Wire documents as JSON bytes, to be joined into an answer without being parsed."""

    documents: tuple[bytes, ...] = ()
    failures: tuple[Failure, ...] = ()
    next_token: str | None = None


class TaskFilter(Struct, frozen=True, kw_only=True):
    """ListTasks' filters; None means any. `desired_status` defaults to RUNNING as on AWS."""

    family: str | None = None
    started_by: str | None = None
    service_name: str | None = None
    desired_status: str = "RUNNING"
    launch_type: str | None = None
    container_instance: str | None = None


class ClusterManager(Protocol):
    """One cell: the clusters it owns and their tasks. Raises AwsError subclasses."""

    async def create_cluster(self, account: str, region: str, name: str, settings: dict[str, Any]) -> bytes:
        """Idempotent by name, as on AWS; the cluster's wire document. `settings`: the request's other members."""

    async def describe_clusters(self, account: str, names: Sequence[str], include: frozenset[str]) -> Documents:
        """Documents of the clusters found, with live counts spliced in; the missing are failures `MISSING`."""

    async def list_clusters(self, account: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """ARNs in order, and where to go on."""

    async def delete_cluster(self, account: str, name: str) -> bytes: ...

    async def change_cluster(self, account: str, name: str, changes: Mapping[str, Any]) -> bytes:
        """Members of the document by their wire names: `settings` by name, the others as a whole."""

    async def cluster_tags(self, account: str, name: str) -> TagPairs: ...

    async def change_cluster_tags(self, account: str, name: str, change: TagChange) -> None:
        """Decided by `change` on the tags that are there; it may be asked again and must be pure."""

    async def task_tags(self, account: str, cluster: str, task_id: str) -> TagPairs:
        """Of a task that runs: raises InvalidParameter for a stopped one, as AWS."""

    async def change_task_tags(self, account: str, cluster: str, task_id: str, change: TagChange) -> None: ...

    async def put_cluster_providers(self, account: str, name: str, changes: Mapping[str, Any]) -> bytes:
        """The cluster's document. Raises ResourceInUse while a task of a provider lives that would be taken away."""

    async def run_task(self, request: RunTaskRequest) -> Documents: ...

    async def stop_task(self, account: str, cluster: str, task_id: str, reason: str | None) -> bytes: ...

    async def describe_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], include_tags: bool
    ) -> Documents: ...

    async def list_tasks(
        self, account: str, cluster: str, wanted: TaskFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]: ...

    async def explain_task(self, task_id: str) -> dict[str, Any]:
        """For `neargate why`: the task's document, its events, its stages, where it ran."""


class CapacityManager(Protocol):
    """One zone's shard: hosts, reservations, addresses, ENIs."""

    async def reserve(self, request: ReservationRequest) -> Reservation | NoCapacity:
        """One transaction: room, address, interface, capacity id. Repeating it gives the same answer."""

    async def release(self, task_id: str, zone: str) -> None:
        """Give everything back. Repeatable; a later `reserve` of the same (task, zone) is refused."""

    async def place(self, request: PlacedRequest) -> Reservation | NoCapacity | NoAddress:
        """A host, an address and an interface for a thing that needs no room. It is named and given back as a task's
        reservation is, and no sweeper asks whose it is. Repeating it gives the same answer."""

    async def carry(self, request: PlacedRequest, host_id: str) -> Reservation | NoCapacity:
        """What was placed on this host is on another from now on, with the interface and the addresses that it has. One
        that is on another already stays there, so repeating it gives the same answer. Whoever calls knows that nothing
        answers on the first any more."""

    def host_places(self) -> Sequence[HostPlace]:
        """Hosts that have joined, or of which the operator has said something. From memory."""

    async def placed(self) -> list[tuple[str, str]]:
        """(object id, zone) of what `place` placed and nobody gave back; from memory, without what is under way."""

    async def public_addresses(self) -> list[str]:
        """Those that interfaces have."""

    def use_public_pools(self, cidrs: Sequence[str]) -> None:
        """From now on new public addresses come from these pools of the operator, in their order; with none of them,
        from the region's own block. From memory, like `public_holders`."""

    def public_holders(self, cidr: str) -> dict[str, str]:
        """Address -> task id, of this network; those whose launch is still under way too."""

    async def missing(self, claims: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those (task id, zone) of which this zone has no reservation: a crash of the machine may lose the last."""

    async def restore(self, recorded: Sequence[RecordedReservation]) -> None:
        """Take again what live tasks hold. Called before the first `reserve`; one that was released stays released."""

    async def register_host(self, facts: HostFacts) -> None: ...

    async def host_seen(self, host_id: str, seen: bool) -> None:
        """A session opened or was lost; a silent host gets no tasks and keeps what it has."""

    async def hosts(self) -> list[dict[str, Any]]:
        """For `neargate status`: facts, free room, running tasks, whether connected."""

    async def describe_enis(self, account: str, eni_ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """EC2-shaped NetworkInterface members (wire names) of the account in this zone; all of them, or those named."""

    async def interface_place(self, eni_id: str) -> InterfacePlace | None:
        """Also of one that was given back, while its reservation's tombstone is kept: its last records come later."""

    async def unclaimed(self, older_than: float) -> list[tuple[str, str]]:
        """(task id, zone) of reservations made before then, for the sweeper: those it has not called settled."""

    async def settled(self, claims: Sequence[tuple[str, str]]) -> None:
        """The cell has a live task for each: `unclaimed` need not name them again while this process lives."""

    def cpu_units_held(self, account: str, *, on_spot: bool = False) -> int:
        """By the account's reservations of Spot tasks or of the others, those under way too; from memory."""

    def holds_spot(self) -> bool:
        """Whether any Spot task has room here; from memory."""

    async def subnet_usage(
        self, subnet_ids: Sequence[str], kept: Mapping[str, Sequence[str]] = NOTHING_KEPT
    ) -> dict[str, int]:
        """Addresses taken in each subnet, without those in its networks of `kept`."""

    def close_subnet(self, subnet_id: str) -> bool:
        """Before it is deleted: from now on no interface is made in it. False, and nothing changed, while it has one.

        From memory: no launch that could still name the subnet outlives the process.
        """

    def open_subnet(self, subnet_id: str) -> None:
        """It is not deleted after all."""


class VpcPlans(Protocol):
    """The regional read model of VPC objects, as hosts need it."""

    def plan(self, vpc_id: str) -> VpcPlan: ...

    def changes(self) -> AsyncIterator[str]:
        """VPC ids whose plan got a new generation, or that were deleted."""


class Balancers(Protocol):
    """The region's load balancers, as hosts need them and tell of them."""

    def of_host(self, host_id: str) -> Sequence[BalancerPlan]:
        """Plans of those with a node there, as they are now. From memory."""

    def changes(self) -> AsyncIterator[None]:
        """Something of `of_host` may be another after this call; several changes may be told as one."""

    def heard(self, host_id: str, reports: Sequence[NodeReport]) -> None:
        """What a host says of nodes; of those that are not placed there nothing is believed."""


class NoBalancers:
    """Implements Balancers where there are none."""

    def of_host(self, host_id: str) -> Sequence[BalancerPlan]:
        del host_id
        return ()

    async def changes(self) -> AsyncIterator[None]:
        nothing: tuple[None, ...] = ()
        for one in nothing:
            yield one

    def heard(self, host_id: str, reports: Sequence[NodeReport]) -> None:
        """Nobody listens."""


class LogTarget(Struct, frozen=True, kw_only=True):
    """`is_begun`: the task's containers were started, so the stream was made for them then.

    Of a flow log `task_arn` is its own, and the role that delivers its `execution_role_arn`. `create_stream`: where it
    is missing; without it neither is made.
    """

    account: str
    region: str
    group: str
    stream: str
    create_group: bool
    task_arn: str = ""
    execution_role_arn: str | None = None
    is_begun: bool = False
    create_stream: bool = True


class FlowLogTarget(Struct, frozen=True, kw_only=True):
    """Where records of an interface go. `fields`: of a line, in its order.

    Of a load balancer's access log `access_of` is the word by which each line names it; it has no role: the account
    gave leave when it named the group.
    """

    flow_log_id: str
    log: LogTarget
    fields: tuple[str, ...]
    access_of: str = ""


class FlowLogBook(Protocol):
    """The region's flow logs, as those who store their records need them."""

    def target(self, flow_log_id: str, place: InterfacePlace) -> FlowLogTarget | None:
        """None unless the interface's account has this flow log and it covers the interface. From memory."""

    async def told(self, target: FlowLogTarget, error: str) -> None:
        """What came of a delivery, empty for success; shown by DescribeFlowLogs. Never raises."""


class TaskIdentity(Struct, frozen=True, kw_only=True):
    """Whose roles a live task has. Known by the cell, so that an agent cannot choose."""

    account: str
    task_arn: str
    task_role_arn: str | None
    execution_role_arn: str | None


class RoleCredentials(Concealed, frozen=True, kw_only=True):
    """Temporary credentials of a role. Times are epoch seconds."""

    access_key_id: str
    secret_access_key: str
    token: str
    issued_at: float
    expires_at: float


class TaskRoles(Protocol):
    """The region's identity as the gateway needs it: what tasks' roles are, now. Answers from memory.

    `role_arn` is one of the account's roles; `task_arn` ends in the task's id, which names the session.
    """

    def credentials(self, account: str, role_arn: str, task_arn: str, lifetime_s: float) -> RoleCredentials:
        """Raises RoleNotAssumable: no such role here, or it does not trust the service that assumes it."""

    def refusal(self, account: str, role_arn: str, task_arn: str, action: str, resource: str) -> str | None:
        """AWS's sentence when the role's session may not; None when it may. Raises RoleNotAssumable."""


class TerminalRequest(Concealed, frozen=True, kw_only=True):
    """`session`: small letters, digits, hyphens; never used twice. `container`: a name of the task's.

    A secret may be among the words of `args`.
    """

    session: str
    task_id: str
    container: str
    args: tuple[str, ...]


class TerminalEnd(Struct, frozen=True, kw_only=True):
    """`exit_code` None: the command did not end by itself, and `reason` says why."""

    exit_code: int | None = None
    reason: str = ""


class ExecutedTask(Struct, frozen=True, kw_only=True):
    """Whom commands are executed for. `log_group`: where the container's awslogs driver writes, in `log_region`."""

    identity: TaskIdentity
    log_group: str | None = None
    log_region: str = ""


class RemoteTerminal(Protocol):
    """A command's terminal in a container, wherever its host is. One reader, one writer."""

    async def read(self) -> bytes | TerminalEnd:
        """The next output, or the end. While nobody reads the command waits."""

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more. After the end it is dropped."""

    async def resize(self, columns: int, rows: int) -> None: ...

    async def close(self) -> None:
        """The command ends, and with it all that it started."""


class Terminals(Protocol):
    """Terminals in containers of live tasks. Nothing here asks whether somebody may have one."""

    async def is_reachable(self, task_id: str) -> bool:
        """Whether the task's host is connected now."""

    async def task(self, task_id: str, container: str) -> ExecutedTask | None:
        """As it was launched; None when it has stopped."""

    async def open(self, request: TerminalRequest) -> RemoteTerminal:
        """Raises TargetNotConnected. What the container says to the command is told by its end."""


class LogSourceOpened(Struct, frozen=True, kw_only=True):
    stream_key: int
    offset: int  # bytes of this source already stored


class LogSink(Protocol):
    """Where containers' output goes: stored once, whatever crashes. Raises AwsError (missing group)."""

    async def open_source(self, target: LogTarget, source: str) -> LogSourceOpened:
        """`source` names the task's container; makes the stream."""

    async def append(
        self,
        stream_key: int,
        source: str,
        start: int,
        end: int,
        runs: Sequence[tuple[int, int]],
        lines: bytes,
        sizes: Sequence[int] = (),
    ) -> int:
        """Lines joined by newline, `runs` = (timestamp ms, number of lines), bytes [start, end) of the source.

        With `sizes` (bytes) an event is not one line: `lines` are such pieces, and `runs` count them.

        Returns the offset stored so far; a chunk that was stored before is acknowledged and not stored again.
        """


class GroupFilter(Struct, frozen=True, kw_only=True):
    """DescribeLogGroups' filters; None means any. `pattern` is a substring, case counts."""

    prefix: str | None = None
    pattern: str | None = None
    names: tuple[str, ...] | None = None


class StreamOrder(Struct, frozen=True, kw_only=True):
    """DescribeLogStreams' filter and order: by name, or by the last event's time."""

    prefix: str | None = None
    by_last_event: bool = False
    descending: bool = False


class EventRange(Struct, frozen=True, kw_only=True):
    """Which events are wanted. `start_ms` is inclusive, `end_ms` exclusive; a token goes on where a page ended."""

    start_ms: int | None = None
    end_ms: int | None = None
    limit: int = 10_000
    from_head: bool = False
    token: str | None = None


class TailRequest(Struct, frozen=True, kw_only=True):
    """What a live tail shows: groups by name; of their streams those named, or with such a beginning, or all."""

    groups: tuple[str, ...]
    streams: frozenset[str] | None = None
    prefixes: tuple[str, ...] | None = None
    pattern: str = ""


class TailUpdate(Struct, frozen=True, kw_only=True):
    """LiveTailSessionLogEvent members; a sample of them when there were too many for one update."""

    events: list[dict[str, Any]]
    is_sampled: bool


class LogTail(Protocol):
    async def read(self) -> TailUpdate:
        """What was stored since the last read. Raises AwsError; then it is over."""

    def close(self) -> None: ...


class LogStore(LogSink, Protocol):
    """CloudWatch Logs' store: names in, wire members out (times in epoch milliseconds). Raises AwsError subclasses.

    Groups belong to an account; no method reaches those of another. The caller has checked the shapes of names.
    """

    async def create_group(self, account: str, name: str, tags: Mapping[str, str]) -> None: ...

    async def delete_group(self, account: str, name: str) -> None:
        """The group, its streams and events are gone at once; their space is given back in the background."""

    async def describe_groups(
        self, account: str, wanted: GroupFilter, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """LogGroup members by name, and the token of the next page."""

    async def group_tags(self, account: str, name: str) -> Mapping[str, str]:
        """For decisions on the group; empty for one that is not there."""

    async def set_retention(self, account: str, name: str, days: int | None) -> None:
        """None: events are kept for ever."""

    async def list_tags(self, account: str, name: str) -> Mapping[str, str]:
        """Raises ResourceNotFound."""

    async def tag_group(self, account: str, name: str, tags: Mapping[str, str]) -> None: ...

    async def untag_group(self, account: str, name: str, keys: Sequence[str]) -> None: ...

    async def test_filter(self, pattern: str, messages: Sequence[str]) -> list[dict[str, Any]]:
        """MetricFilterMatchRecord members of the messages that match."""

    async def open_tail(self, account: str, request: TailRequest) -> LogTail:
        """What is stored from now on. Raises LimitExceeded when the account has too many."""

    async def create_stream(self, account: str, group: str, name: str) -> None: ...

    async def delete_stream(self, account: str, group: str, name: str) -> None: ...

    async def describe_streams(
        self, account: str, group: str, order: StreamOrder, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """LogStream members, and the token of the next page."""

    async def put_events(
        self, account: str, group: str, stream: str, events: Sequence[tuple[int, str]]
    ) -> dict[str, Any]:
        """Store (timestamp ms, message) pairs durably; the answer's members, rejected ones told by index."""

    async def get_events(self, account: str, group: str, stream: str, wanted: EventRange) -> bytes:
        """GetLogEvents' answer as JSON."""

    async def filter_events(
        self,
        account: str,
        group: str,
        streams: Sequence[str] | None,
        stream_prefix: str | None,
        pattern: str,
        wanted: EventRange,
    ) -> bytes:
        """FilterLogEvents' answer as JSON: events of all streams in the order of their times."""
