"""The tables of services as the parts of this package see them: rows, and the statements that several of them need.

Owns SQL and the stored forms; decides nothing. Invariant: whatever a decision rests on is changed only together with
the service's `rev`, so that a decision on an older state changes nothing; but for protections (`protection`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ...interfaces.services import RevisionTemplate
from ...interfaces.store import Statement, Store
from ...model import ids
from ...model.ids import Bits
from ...scheduling.services.state import Deployment, ServiceStatus
from ..task_table import encode_json

Key = tuple[str, str, str]  # account, cluster, name

REV = "rev"  # the guard of a service's state
_COLUMNS = (
    "n, account, cluster, name, status, rev, created_at, ended_at, desired, launch_type, scheduling, token, "
    "fingerprint, doc, tags, state"
)
_OF_KEY = f"SELECT {_COLUMNS} FROM services WHERE account = ? AND cluster = ? AND name = ? ORDER BY n DESC LIMIT 1"  # noqa: S608 - constant text
_BY_NUMBER = f"SELECT {_COLUMNS} FROM services WHERE n = ?"  # noqa: S608 - constant text
_NAMED = (
    f"SELECT {_COLUMNS} FROM services WHERE name = ? AND cluster = coalesce(?, cluster) "  # noqa: S608 - constant text
    "AND account = coalesce(?, account) ORDER BY status = 'INACTIVE', n DESC LIMIT 10"
)
_DEPLOYMENTS = (
    "SELECT n, id, service, record, revision, updated_at, state FROM deployments WHERE service = ? AND live = 1 "
    "ORDER BY n DESC"
)
EVENTS_SHOWN = 100
_DIGITS = 19
_NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


class ServiceState(Struct, frozen=True, kw_only=True):
    """What the scheduler remembers of a service. `completed`: the revision of the last deployment that was COMPLETED.

    `place_failures`: attempts in a row that found no place for a task; the next one is not made before
    `place_retry_at`. `place_zone`: it was for the balance of zones alone, for the sake of this one; what the service
    lacks does not wait for that. `place_told`: what was said of them -> when.
    """

    is_steady: bool = False
    rebalancing: bool = False
    told: dict[str, float] = {}
    completed: str | None = None
    place_failures: int = 0
    place_retry_at: float | None = None
    place_zone: str | None = None
    place_told: dict[str, float] = {}


class ServiceRow(NamedTuple):
    n: int
    account: str
    cluster: str
    name: str
    status: str
    rev: int
    created_at: float
    ended_at: float | None
    desired: int
    launch_type: str
    scheduling: str
    token: str | None
    fingerprint: str
    doc: bytes
    tags: bytes
    state: bytes

    @property
    def key(self) -> Key:
        return self.account, self.cluster, self.name

    def settings(self) -> dict[str, Any]:
        return _decode_document(self.doc)

    def remembered(self) -> ServiceState:
        return decode_state(self.state)


class DeploymentRow(NamedTuple):
    """`record`: ARN of the service deployment that it is part of."""

    n: int
    id: str
    service: int
    record: str
    revision: str
    updated_at: float
    decided: Deployment


_decode_document = msgspec.json.Decoder(dict[str, Any]).decode
decode_state = msgspec.json.Decoder(ServiceState).decode
decode_deployment = msgspec.json.Decoder(Deployment).decode
_decode_template = msgspec.json.Decoder(RevisionTemplate).decode


async def service_of(store: Store, key: Key) -> ServiceRow | None:
    """The newest of that name, whatever its status."""
    rows = await store.read(_OF_KEY, key)
    return ServiceRow(*rows[0]) if rows else None


async def service_numbered(store: Store, n: int) -> ServiceRow | None:
    rows = await store.read(_BY_NUMBER, (n,))
    return ServiceRow(*rows[0]) if rows else None


async def services_named(store: Store, name: str, cluster: str | None, account: str | None) -> list[ServiceRow]:
    """Of any cluster and account where none is said: those that are there, or else the one that was deleted last."""
    rows = [ServiceRow(*row) for row in await store.read(_NAMED, (name, cluster, account))]
    return [row for row in rows if row.status != ServiceStatus.INACTIVE] or rows[:1]


async def deployments_of(store: Store, service: int) -> list[DeploymentRow]:
    """Those that are not over: the PRIMARY, which there always is, then the others, the newest first."""
    rows = await store.read(_DEPLOYMENTS, (service,))
    found = [DeploymentRow(*row[:-1], decode_deployment(row[-1])) for row in rows]  # type: ignore[call-arg]
    return sorted(found, key=lambda row: (not row.decided.is_primary, -row.decided.created_at))


async def templates_of(store: Store, arns: Sequence[str]) -> dict[str, RevisionTemplate]:
    """Revisions by ARN."""
    if not arns:
        return {}
    marks = ", ".join("?" * len(arns))
    rows = await store.read(f"SELECT arn, doc FROM service_revisions WHERE arn IN ({marks})", tuple(arns))  # noqa: S608 - only question marks are joined in
    return {str(arn): _decode_template(doc) for arn, doc in rows}


def guard_rev(row: ServiceRow, rev: int, *, state: ServiceState | None = None, name: str = REV) -> Statement:
    """Raises the service's `rev`, if it is still this one."""
    if state is None:
        return Statement("UPDATE services SET rev = rev + 1 WHERE n = ? AND rev = ?", (row.n, rev), 1, name)
    sql = "UPDATE services SET rev = rev + 1, state = ? WHERE n = ? AND rev = ?"
    return Statement(sql, (encode_json(state), row.n, rev), 1, name)


def insert_revision(service: int, arn: str, template: RevisionTemplate, now: float) -> Statement:
    sql = "INSERT INTO service_revisions (arn, service, created_at, doc) VALUES (?, ?, ?, ?)"
    return Statement(sql, (arn, service, now, encode_json(template)), 1, "revision")


def insert_deployment(service: int, deployment: Deployment, record: str) -> Statement:
    sql = (
        "INSERT INTO deployments (id, service, record, revision, live, updated_at, state) VALUES (?, ?, ?, ?, 1, ?, ?)"
    )
    params = (
        deployment.deployment_id,
        service,
        record,
        deployment.revision,
        deployment.created_at,
        encode_json(deployment),
    )
    return Statement(sql, params, 1, "deployment")


def insert_record(service: int, record: Mapping[str, Any]) -> Statement:
    sql = "INSERT INTO service_deployments (arn, service, status, created_at, doc) VALUES (?, ?, ?, ?, ?)"
    params = (record["serviceDeploymentArn"], service, record["status"], record["createdAt"], encode_json(record))
    return Statement(sql, params, 1, "service deployment")


def update_record(record: Mapping[str, Any]) -> Statement:
    sql = "UPDATE service_deployments SET status = ?, doc = ? WHERE arn = ?"
    return Statement(
        sql, (record["status"], encode_json(record), record["serviceDeploymentArn"]), 1, "service deployment"
    )


def insert_events(service: int, messages: Sequence[str], now: float, bits: Bits) -> list[Statement]:
    """And forgets those that nobody is shown any more."""
    if not messages:
        return []
    sql = "INSERT INTO service_events (service, id, at, message) VALUES (?, ?, ?, ?)"
    trim = (
        "DELETE FROM service_events WHERE service = ? AND n <= "
        "(SELECT n FROM service_events WHERE service = ? ORDER BY n DESC LIMIT 1 OFFSET ?)"
    )
    return [
        *(Statement(sql, (service, ids.uuid4(bits), now, message), 1, "event") for message in messages),
        Statement(trim, (service, service, EVENTS_SHOWN)),
    ]


async def was_said_since(store: Store, service: int, message: str, since: float) -> bool:
    sql = "SELECT 1 FROM service_events WHERE service = ? AND at > ? AND message = ? LIMIT 1"
    return bool(await store.read(sql, (service, since, message)))


def deployment_id(number: str) -> str:
    """`number`: of `digits`. A deployment and the revision that was made for it share theirs, as on AWS: Terraform
    finds the service deployment that it waits for by it."""
    return f"ecs-svc/{number}"


def digits(bits: Bits) -> str:
    """Nineteen of them, the first one not 0, as AWS forms the ids of deployments and revisions."""
    return str(10 ** (_DIGITS - 1) + bits(64) % (9 * 10 ** (_DIGITS - 1)))


def record_name(bits: Bits) -> str:
    """The last part of a service deployment's ARN: 21 letters, digits, `_` and `-`."""
    drawn = bits(21 * 6)
    return "".join(_NAME_CHARS[drawn >> 6 * place & 63] for place in range(21))


async def records_of(store: Store, arns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Service deployments by ARN."""
    if not arns:
        return {}
    marks = ", ".join("?" * len(arns))
    rows = await store.read(f"SELECT arn, doc FROM service_deployments WHERE arn IN ({marks})", tuple(arns))  # noqa: S608 - only question marks are joined in
    return {str(arn): _decode_document(doc) for arn, doc in rows}
