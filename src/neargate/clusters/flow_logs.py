"""Records of flow logs on their way from a host to the log store, in the name of the role that delivers them.

Owns who may store what. Must not know policies, nor what a record says beyond whose it is. Invariants: a host stores
records of interfaces that are or were on it, for flow logs that cover them; a batch is acknowledged only after the
store kept it, and one that comes twice is stored once; the role is judged as it is now, at each step.
"""

import uuid
from collections.abc import Mapping

from msgspec.structs import replace

from ..interfaces.roles import CapacityManager, FlowLogBook, FlowLogTarget, LogSink, LogSourceOpened, TaskRoles
from ..model.capacity import InterfacePlace
from ..model.errors import AccessDenied, InvalidParameter, ResourceNotFound, ServiceUnavailable, Throttling
from ..model.flow_logs import FlowLogBatch
from ..model.knobs import Knobs
from ..world import World
from .flow_arrivals import batch_problem, lines_problem
from .log_rights import ASSUME_ROLE, CREATE_GROUP, CREATE_STREAM, PUT_EVENTS, denial

NOT_HERE = "This host has no such interface with this flow log."
NOT_ASSUMED = "The role that delivers the flow log cannot be assumed by vpc-flow-logs.amazonaws.com."
# What DescribeFlowLogs says of a delivery; AWS's words.
ACCESS_ERROR, RATE_LIMITED, SUCCESS = "Access error", "Rate limited", ""
_ATTEMPTS = 3  # while somebody deletes the stream under it


class FlowLogWriter:
    """One for all hosts. `capacities`: by zone; zones may share one."""

    def __init__(
        self,
        world: World,
        capacities: Mapping[str, CapacityManager],
        book: FlowLogBook,
        sink: LogSink,
        roles: TaskRoles,
        knobs: Knobs,
    ) -> None:
        self._world = world
        self._capacities = list({id(one): one for one in capacities.values()}.values())
        self._book = book
        self._sink = sink
        self._roles = roles
        self._knobs = knobs

    async def store(self, host_id: str, counter: str, batch: FlowLogBatch) -> None:
        """Durable when it returns. `counter`: of the host's process, in which `batch.number` grows.

        Raises InvalidParameter, AccessDenied, Throttling, ServiceUnavailable, Overloaded.
        """
        wrong = batch_problem(batch, self._knobs, self._world.now())
        if wrong is not None:
            raise InvalidParameter(wrong)
        target = await self._target(host_id, batch)
        wrong = lines_problem(batch, target)
        if wrong is not None:
            raise InvalidParameter(wrong)
        source = f"{batch.flow_log_id}/{batch.eni_id}/{host_id}/{counter}"
        try:
            await self._deliver(target, source, batch)
        except AccessDenied:
            await self._book.told(target, ACCESS_ERROR)
            raise
        except Throttling:
            await self._book.told(target, RATE_LIMITED)
            raise
        await self._book.told(target, SUCCESS)

    async def _target(self, host_id: str, batch: FlowLogBatch) -> FlowLogTarget:
        """Another account's and another host's things do not exist for this host."""
        place = await self._place(batch.eni_id)
        if place is None or place.host_id != host_id:
            raise AccessDenied(NOT_HERE)
        target = self._book.target(batch.flow_log_id, place)
        if target is None:
            raise AccessDenied(NOT_HERE)
        return target

    async def _place(self, eni_id: str) -> InterfacePlace | None:
        for capacity in self._capacities:
            found = await capacity.interface_place(eni_id)
            if found is not None:
                return found
        return None

    async def _deliver(self, target: FlowLogTarget, source: str, batch: FlowLogBatch) -> None:
        """What the source has stored is the number of its next batch: it may skip some, and never goes back."""
        self._ask(target, PUT_EVENTS)
        runs = tuple((at, 1) for at, _ in batch.events)
        lines = "\n".join(line for _, line in batch.events).encode()
        end = batch.number + 1
        for _ in range(_ATTEMPTS):
            opened = await self._open(target, source)
            if opened.offset >= end:
                return
            try:
                stored = await self._sink.append(opened.stream_key, source, opened.offset, end, runs, lines)
            except ResourceNotFound:
                continue
            if stored >= end:
                return
        raise ServiceUnavailable

    async def _open(self, target: FlowLogTarget, source: str) -> LogSourceOpened:
        """The stream, and its group, are made when they are missing and the role may make them."""
        there = replace(target.log, create_group=False, create_stream=False)
        try:
            return await self._sink.open_source(there, source)
        except ResourceNotFound:
            self._ask(target, CREATE_STREAM)
        try:
            return await self._sink.open_source(replace(there, create_stream=True), source)
        except ResourceNotFound:
            self._ask(target, CREATE_GROUP)
        return await self._sink.open_source(target.log, source)

    def _ask(self, target: FlowLogTarget, operation: str) -> None:
        """Raises AccessDenied."""
        if target.access_of:
            return
        request_id = str(uuid.UUID(int=self._world.random.getrandbits(128), version=4))
        found = denial(self._roles, target.log, operation, request_id)
        if found is not None:
            raise AccessDenied(NOT_ASSUMED if found.operation == ASSUME_ROLE else found.message)
