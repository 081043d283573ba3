"""The task metadata endpoint, 169.254.170.2 port 80 in each VPC's router: who asks is known by the source address.

Owns routing, the rate limit and sampling; documents are shaped by `metadata_documents` and `docker_stats`. A task sees
only itself: the token in the path must be one of its own containers. Every request is bounded.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from ...interfaces.hostnet import DiskUsage, HostCgroups, HostDisks, HostError, HostNetwork, InterfaceStats
from ...model.knobs import Knobs
from ...world import World
from .. import metadata_credentials
from ..credentials import TaskCredentials
from ..guests import Guests, farewell, give, source_of
from ..rate_limit import Bucket, take
from ..task_context import Plans
from ..task_record import TaskRecord
from . import task_protection
from .docker_stats import Sample, docker_stats
from .documents import MIB, Measured, container_document, task_document
from .machine import Machine
from .task_protection import TaskProtection
from .task_tags import TaskTags

LANE = "agent-metadata"
_PATH = re.compile(r"^/v([34])/([0-9a-f]{32}-[0-9]{10})(/task|/taskWithTags|/stats|/task/stats)?/?\Z")
_SAMPLE_MIN_AGE_S = 0.5
_SAMPLE_MAX_AGE_S = 60.0
_FIRST_SAMPLE_S = 1.0
_START_RECORDED_S = 1.0
_START_LOOK_S = 0.05


class Reply(Struct, frozen=True, kw_only=True):
    status: int
    body: bytes


class Metadata:
    """`records`: the tasks of this host as they are now."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        *,
        records: Callable[[], Iterable[TaskRecord]],
        plans: Plans,
        network: HostNetwork,
        disks: HostDisks,
        cgroups: HostCgroups,
        machine: Machine,
        credentials: TaskCredentials,
        tags: TaskTags,
        protection: TaskProtection,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._records = records
        self._plans = plans
        self._network = network
        self._disks = disks
        self._cgroups = cgroups
        self._machine = machine
        self._credentials = credentials
        self._tags = tags
        self.protection = protection
        self._buckets: dict[str, Bucket] = {}
        self._samples: dict[str, Sample] = {}

    async def answer(self, vpc_id: str, source: str, path: str, body: bytes | None = None) -> Reply:
        """One GET from a task of this VPC with this address, or with a body a PUT."""
        record = self._task_at(vpc_id, source)
        if record is None:
            return _error(404, "no task of this host has this address")
        if not self._may_ask(record.task_id):
            return _error(429, "Too Many Requests")
        wanted = task_protection.PATH.match(path.partition("?")[0])
        if wanted is not None:
            if not any(item.runtime_id == wanted[1] for item in record.containers):
                return _error(404, "not found")
            return _refusal(*await self.protection.answer(record, body))
        if body is not None:
            return _error(405, "Method Not Allowed")
        secret = metadata_credentials.PATH.match(path.partition("?")[0])
        if secret is not None:
            return self._role_credentials(record, secret[1] or "")
        match = _PATH.match(path.partition("?")[0])
        if match is None:
            return _error(404, "not found")
        version, token, what = int(match[1]), match[2], match[3] or ""
        name = next((item.name for item in record.containers if item.runtime_id == token), None)
        if name is None or (what == "/taskWithTags" and version < 4):
            return _error(404, "not found")
        if what.endswith("/stats"):
            record = await self._when_started(record, name)
            return _reply(await self._stats(record, None if what.startswith("/task") else name))
        measured = await self._measure(record)
        if not what:
            return _reply(container_document(record, name, measured, version=version))
        tags = await self._tags.current(record) if what == "/taskWithTags" else ()
        return _reply(task_document(record, measured, version=version, tags=tags))

    def _role_credentials(self, record: TaskRecord, asked: str) -> Reply:
        if not asked:
            return _refusal(*metadata_credentials.no_id())
        if not metadata_credentials.is_own(record.credentials_id, asked):
            return _refusal(*metadata_credentials.unknown_id())
        held = self._credentials.current(record.task_id)
        if held is None:
            return _refusal(*metadata_credentials.not_there_yet())
        return _reply(metadata_credentials.credentials_document(held))

    def forget_absent(self) -> None:
        """Drop what is remembered of tasks that are gone."""
        alive = {record.task_id for record in self._records()}
        tokens = {item.runtime_id for record in self._records() for item in record.containers}
        self._tags.forget_absent(alive)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key in alive}
        self._samples = {key: sample for key, sample in self._samples.items() if key in tokens}

    def _task_at(self, vpc_id: str, source: str) -> TaskRecord | None:
        for record in self._records():
            eni = record.launch.eni
            if source and eni.vpc_id == vpc_id and eni.private_ipv4 == source:
                return record
        return None

    def _may_ask(self, task_id: str) -> bool:
        bucket, allowed = take(
            self._buckets.get(task_id),
            self._world.monotonic(),
            self._knobs.metadata_rate_per_s,
            self._knobs.metadata_burst,
        )
        self._buckets[task_id] = bucket
        return allowed

    async def _measure(self, record: TaskRecord) -> Measured:
        now = self._world.now()
        return Measured(
            plan=self._plans.plan(record.launch.eni.vpc_id),
            disk=await self._disk(record.task_id),
            clock=await self._world.offload(LANE, self._machine.clock_drift, now),
        )

    async def _disk(self, task_id: str) -> DiskUsage | None:
        try:
            return await self._disks.usage(task_id)
        except HostError:
            # The disk comes a moment after the task; the document is right without it.
            return None

    async def _when_started(self, record: TaskRecord, name: str) -> TaskRecord:
        """Who asks runs already, while its start may still be on the way into the record; the wait is bounded.

        A container that asks for another's, which was not started yet, is answered at the end of it.
        """
        until = self._world.monotonic() + _START_RECORDED_S
        while record.container(name).known_status == "PENDING" and self._world.monotonic() < until:
            await self._world.sleep(_START_LOOK_S)
            record = next((now for now in self._records() if now.task_id == record.task_id), record)
        return record

    async def _stats(self, record: TaskRecord, only: str | None) -> dict[str, Any] | None:
        """Of one container, or of all by their ids. A container that does not run has none (null), as on Fargate."""
        names = [only] if only is not None else [item.name for item in record.containers]
        running = [name for name in names if record.container(name).known_status == "RUNNING"]
        if any(self._earlier(record.container(name).runtime_id) is None for name in running):
            for name in running:
                await self._sample(record, name)
            await self._world.sleep(_FIRST_SAMPLE_S)
        found = {record.container(name).runtime_id: await self._pair(record, name) for name in running}
        if only is not None:
            return found.get(record.container(only).runtime_id)
        return {item.runtime_id: found.get(item.runtime_id) for item in record.containers}

    async def _pair(self, record: TaskRecord, name: str) -> dict[str, Any] | None:
        runtime_id = record.container(name).runtime_id
        before = self._samples.get(runtime_id)
        after = await self._sample(record, name)
        if before is None or after is None:
            return None
        return docker_stats(runtime_id, name, before, after, task_memory_bytes=record.launch.memory_mib * MIB)

    def _earlier(self, runtime_id: str) -> Sample | None:
        sample = self._samples.get(runtime_id)
        if sample is None or not _SAMPLE_MIN_AGE_S <= self._world.now() - sample.at <= _SAMPLE_MAX_AGE_S:
            return None
        return sample

    async def _sample(self, record: TaskRecord, name: str) -> Sample | None:
        try:
            counters = await self._cgroups.container_stats(record.task_id, name)
        except HostError:
            # As with a container that has just gone: there is nothing to show.
            return None
        if counters is None:
            return None
        cpu = await self._world.offload(LANE, self._machine.cpu)
        sample = Sample(
            at=self._world.now(),
            cgroup=counters,
            interface=await self._interface(record.task_id),
            host_cpu_ns=cpu.total_ns,
            online_cpus=cpu.online,
        )
        self._samples[record.container(name).runtime_id] = sample
        return sample

    async def _interface(self, task_id: str) -> InterfaceStats | None:
        try:
            return await self._network.interface_stats(task_id)
        except HostError:
            # Being detached: the other counters are still true.
            return None


_encode = msgspec.json.Encoder().encode


def _reply(document: dict[str, Any] | None) -> Reply:
    return Reply(status=200, body=_encode(document))


def _refusal(status: int, document: dict[str, Any]) -> Reply:
    return Reply(status=status, body=_encode(document))


def _error(status: int, text: str) -> Reply:
    return Reply(status=status, body=_encode(text))


class MetadataServer:
    """A minimal HTTP server on one VPC's listener: GET and PUT, one request per connection, everything bounded."""

    def __init__(self, knobs: Knobs, metadata: Metadata, vpc_id: str) -> None:
        self._knobs = knobs
        self._metadata = metadata
        self._vpc_id = vpc_id
        self._guests = Guests(each_max=knobs.metadata_connections_per_task, all_max=knobs.metadata_connections_max)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = source_of(writer)
        if not self._guests.admit(source):
            writer.transport.abort()
            return
        try:
            async with asyncio.timeout(self._knobs.metadata_request_timeout_s):
                await self._exchange(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A client that does not speak, or too much, is cut off; it learns nothing and holds nothing.
            writer.transport.abort()
        finally:
            await farewell(writer, self._knobs.metadata_request_timeout_s)
            self._guests.leave(source)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        parts = head.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not parts[1].isascii():
            reply = _error(400, "Bad Request")
        elif parts[0] == b"PUT":
            reply = await self._put(reader, source_of(writer), parts[1].decode(), head)
        elif parts[0] not in (b"GET", b"HEAD"):
            reply = _error(405, "Method Not Allowed")
        else:
            reply = await self._metadata.answer(self._vpc_id, source_of(writer), parts[1].decode())
        body = b"" if parts[0] == b"HEAD" else reply.body
        give(writer, _head(reply) + body)
        await writer.drain()

    async def _put(self, reader: asyncio.StreamReader, source: str, path: str, head: bytes) -> Reply:
        length = _LENGTH.search(head)
        if length is None:
            return _error(411, "Length Required")
        if int(length[1]) > self._knobs.metadata_request_max_bytes:
            return _error(413, "Payload Too Large")
        return await self._metadata.answer(self._vpc_id, source, path, await reader.readexactly(int(length[1])))


_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def _head(reply: Reply) -> bytes:
    return (
        f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
    ).encode()
