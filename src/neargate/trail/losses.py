"""Calls that could not be recorded, counted, and the record that says so. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from ..interfaces.trail import TrailEntry

NO_ROOM = "the queue of the record was full"
TOO_MANY = "too many calls of unproven callers in a second"
BROKEN = "a call could not be described"
EVENT_NAME = "CallsNotRecorded"
EVENT_SOURCE = "neargate.internal"


class Loss(Struct, kw_only=True):
    """Times in epoch seconds."""

    since: float
    reason: str
    until: float = 0.0
    count: int = 0


def entries(lost: Mapping[str, Loss], region: str) -> list[tuple[str, TrailEntry]]:
    """One record for each account that misses calls: how many, from when to when."""
    return [(account, _entry(account, loss, region)) for account, loss in lost.items()]


def _entry(account: str, loss: Loss, region: str) -> TrailEntry:
    seed = f"{account}\0{loss.since}\0{loss.until}\0{loss.count}".encode()
    event_id = str(UUID(bytes=hashlib.blake2b(seed, digest_size=16).digest(), version=4))
    document = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AWSService", "invokedBy": EVENT_SOURCE},
        "eventTime": _moment(loss.until),
        "eventSource": EVENT_SOURCE,
        "eventName": EVENT_NAME,
        "awsRegion": region,
        "sourceIPAddress": EVENT_SOURCE,
        "userAgent": EVENT_SOURCE,
        "requestParameters": None,
        "responseElements": None,
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": account or None,
        "serviceEventDetails": {
            "count": loss.count,
            "from": _moment(loss.since),
            "to": _moment(loss.until),
            "reason": loss.reason,
        },
        "eventCategory": "Management",
    }
    return TrailEntry(
        at_ms=int(loss.until * 1000),
        event_id=event_id,
        name=EVENT_NAME,
        source=EVENT_SOURCE,
        read_only=False,
        username="",
        access_key_id="",
        resources=(),
        management=True,
        document=msgspec.json.encode(document).decode(),
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
