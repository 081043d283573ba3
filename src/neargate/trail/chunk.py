"""Calls packed together, and what they are found by. Pure; runs on a lane of its own, since it takes milliseconds.

A quiet region writes chunks of one call: a dictionary of what every record says lets also those shrink to a quarter.
Invariant: the dictionary of a format number never changes, or what was written with it could not be read any more.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..interfaces.trail import TrailEntry

SPAN_MAX_MS = 60_000  # a chunk covers no more time, so that a search by time knows where to begin
_TERM_OVERHEAD = 40  # bytes of a row of trail_terms, about
_CHUNK_OVERHEAD = 120

_FORMAT_1 = (
    b'"sharedEventID":"","vpcEndpointId":"","errorCode":"AccessDenied","errorMessage":"User: is not authorized to '
    b'perform: on resource: because no identity-based policy allows the action","containerDefinitions":[{"name":"",'
    b'"image":""}],"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-"],"securityGroups":["sg-"],'
    b'"assignPublicIp":"ENABLED"}},"launchType":"FARGATE","platformVersion":"LATEST","overrides":{"containerOverrides":'
    b'[{"environment":"HIDDEN_DUE_TO_SECURITY_REASONS"}]},"taskDefinition":"","count":1,"cluster":"default",'
    b'"lastStatus":"PROVISIONING","desiredStatus":"RUNNING","sessionContext":{"sessionIssuer":{"type":"Role",'
    b'"principalId":"AROA","arn":"arn:aws:iam:::role/","accountId":"","userName":""},"attributes":{"creationDate":"",'
    b'"mfaAuthenticated":"false"}},ecs.amazonaws.com iam.amazonaws.com sts.amazonaws.com logs.amazonaws.com '
    b"ec2.amazonaws.com AWS::ECS::Task AWS::ECS::Cluster AWS::ECS::TaskDefinition arn:aws:ecs:us-east-1::task/default/"
    b'{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam:::user/",'
    b'"accountId":"","accessKeyId":"AKIA","userName":"administrator"},"eventTime":"2026-","eventSource":'
    b'"ecs.amazonaws.com","eventName":"Describe","awsRegion":"us-east-1","sourceIPAddress":"127.0.0.1","userAgent":'
    b'"aws-cli/2. Botocore/1.","requestParameters":{"cluster":"","tasks":[""]},"responseElements":null,"requestID":"",'
    b'"eventID":"","readOnly":true,"resources":[{"accountId":"","type":"AWS::ECS::Cluster","ARN":"arn:aws:ecs:"}],'
    b'"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"","eventCategory":"Management"}'
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[TrailEntry]).decode


class Chunk(NamedTuple):
    """Ready to be written. `terms`: the hashes of all attributes of its calls."""

    account: str
    first_ms: int
    last_ms: int
    entries: int
    terms: tuple[int, ...]
    body: bytes

    @property
    def size(self) -> int:
        """What it takes on the disk, about."""
        return len(self.body) + len(self.terms) * (_TERM_OVERHEAD + 8) + _CHUNK_OVERHEAD


def pack(account: str, entries: Sequence[TrailEntry]) -> Chunk:
    """One chunk, its entries in order of time."""
    ordered = sorted(entries, key=lambda entry: entry.at_ms)
    squeeze = zlib.compressobj(1, zdict=_FORMAT_1)
    found = {pair for entry in ordered for pair in attributes(entry)}
    return Chunk(
        account=account,
        first_ms=ordered[0].at_ms,
        last_ms=ordered[-1].at_ms,
        entries=len(ordered),
        terms=tuple(sorted({term(account, *pair) for pair in found})),
        body=b"\x01" + squeeze.compress(_encode(ordered)) + squeeze.flush(),
    )


def unpack(body: bytes) -> list[TrailEntry]:
    expand = zlib.decompressobj(zdict=_FORMAT_1)
    return _decode(expand.decompress(body[1:]) + expand.flush())


def split(entries: Iterable[TrailEntry], most: int) -> Iterator[list[TrailEntry]]:
    """In runs of at most `most` entries and SPAN_MAX_MS."""
    run: list[TrailEntry] = []
    for entry in sorted(entries, key=lambda entry: entry.at_ms):
        if run and (len(run) >= most or entry.at_ms - run[0].at_ms > SPAN_MAX_MS):
            yield run
            run = []
        run.append(entry)
    if run:
        yield run


def attributes(entry: TrailEntry) -> Iterator[tuple[str, str]]:
    """LookupEvents' attributes of a call. A resource is found by its ARN and by the id at the end of it."""
    yield "EventId", entry.event_id
    yield "EventName", entry.name
    yield "EventSource", entry.source
    yield "ReadOnly", "true" if entry.read_only else "false"
    if entry.username:
        yield "Username", entry.username
    if entry.access_key_id:
        yield "AccessKeyId", entry.access_key_id
    for kind, name in entry.resources:
        yield "ResourceType", kind
        yield "ResourceName", name
        if name.startswith("arn:"):
            yield "ResourceName", short_name(name)


def short_name(arn: str) -> str:
    return arn.rpartition(":")[2].rpartition("/")[2]


def term(account: str, key: str, value: str) -> int:
    """A hash that fits a signed 64-bit column. Two values may share one: who reads a chunk compares again."""
    text = f"{account}\0{key}\0{value}".encode("utf-8", "surrogatepass")
    number: int = struct.unpack("<q", hashlib.blake2b(text, digest_size=8).digest())[0]
    return number


def pack_terms(terms: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(terms)}q", *terms)


def unpack_terms(body: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(body) // 8}q", body)
