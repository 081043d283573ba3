"""DescribeServices, ListServices and the reads of deployments and revisions. Only reads.

Invariant: counts are those of the moment; a service that is over is described until it is forgotten, and never listed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...interfaces.roles import Documents, Failure
from ...interfaces.services import DeploymentFilter, ServiceFilter
from ...interfaces.store import Store
from ...model.arn import Arn, service_arn
from ...model.errors import ServiceNotFound
from ..cluster_book import ClusterBook
from ..image_pins import ImagePins
from ..page_token import decode_token, encode_token
from ..task_table import encode_json, with_tags
from .documents import (
    Counts,
    Shown,
    record_brief,
    record_document,
    revision_document,
    service_document,
)
from .records import Record
from .snapshot import Templates
from .tables import EVENTS_SHOWN, Key, ServiceRow, deployments_of, service_numbered, service_of

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_COUNTS = (
    "SELECT s.deployment, t.last_status, t.desired_status, count(*) FROM service_tasks s JOIN tasks t ON t.id = s.task "
    "WHERE s.service = ? AND t.last_status <> 'STOPPED' GROUP BY s.deployment, t.last_status, t.desired_status"
)
_EVENTS = "SELECT id, at, message FROM service_events WHERE service = ? ORDER BY n DESC LIMIT ?"
_OF_ARNS = "SELECT arn, service, doc FROM service_deployments WHERE arn IN ({marks})"
_REVISIONS = "SELECT arn, service, created_at FROM service_revisions WHERE arn IN ({marks})"
# Any task of the revision that ran tells which images it had.
_RAN = (
    "SELECT doc FROM tasks WHERE n = (SELECT max((SELECT max(t.n) FROM tasks t WHERE t.started_by = d.id "
    "AND t.service IS NOT NULL AND t.started_at IS NOT NULL)) "
    "FROM deployments d WHERE d.service = ? AND d.revision = ?)"
)


class ServiceReading:
    def __init__(
        self, store: Store, *, region: str, clusters: ClusterBook, templates: Templates, pins: ImagePins
    ) -> None:
        self._store = store
        self._region = region
        self._clusters = clusters
        self._templates = templates
        self._pins = pins

    async def describe(self, account: str, cluster: str, names: Sequence[str], *, include_tags: bool) -> Documents:
        """Raises ClusterNotFound."""
        self._clusters.named(account, cluster)
        found, missing = [], []
        for name in names:
            row = await service_of(self._store, (account, cluster, name))
            if row is None:
                missing.append(Failure(arn=service_arn(self._region, account, cluster, name), reason="MISSING"))
            else:
                found.append(await self.shown(row, include_tags=include_tags))
        return Documents(documents=tuple(found), failures=tuple(missing))

    async def shown(self, row: ServiceRow, *, include_tags: bool = True) -> bytes:
        deployments = await self.deployments(row)
        events = [
            {"id": ident, "createdAt": at, "message": message}
            for ident, at, message in await self._store.read(_EVENTS, (row.n, EVENTS_SHOWN))
        ]
        document = service_document(self._region, row, deployments, events)
        return with_tags(encode_json(document), row.tags if include_tags else b"[]")

    async def deployments(self, row: ServiceRow) -> list[Shown]:
        """Those that are not over, the PRIMARY first, with counts of now."""
        rows = await deployments_of(self._store, row.n)
        templates = await self._templates.of([deployment.revision for deployment in rows])
        counts: dict[str, Counts] = {}
        for deployment, last, desired, count in await self._store.read(_COUNTS, (row.n,)):
            counts[deployment] = counts.get(deployment, Counts()).with_tasks(last, desired, count)
        shown = []
        for deployment in rows:
            has = counts.get(deployment.id, Counts())
            desired = row.desired if deployment.decided.is_primary else has.wanted
            shown.append(Shown(row=deployment, template=templates[deployment.revision], counts=has, desired=desired))
        return shown

    async def page(
        self, account: str, cluster: str, wanted: ServiceFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        """Raises ClusterNotFound, InvalidParameter (the token)."""
        self._clusters.named(account, cluster)
        question = ("services", account, cluster, wanted)
        conditions = ["account = ?", "cluster = ?", "status = 'ACTIVE'", "n > ?"]
        params: list[Any] = [account, cluster, 0 if after is None else decode_token(after, *question)]
        for column, value in (("launch_type", wanted.launch_type), ("scheduling", wanted.scheduling_strategy)):
            if value is not None:
                conditions.append(f"{column} = ?")
                params.append(value)
        sql = f"SELECT n, name FROM services WHERE {' AND '.join(conditions)} ORDER BY n LIMIT ?"  # noqa: S608 - fixed column names
        rows = await self._store.read(sql, (*params, limit + 1))
        page = rows[:limit]
        more = encode_token(page[-1][0], *question) if len(rows) > limit else None
        return [service_arn(self._region, account, cluster, name) for _, name in page], more

    async def page_of_records(
        self, key: Key, wanted: DeploymentFilter, limit: int, after: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Raises ClusterNotFound, ServiceNotFound, InvalidParameter (the token)."""
        self._clusters.named(key[0], key[1])
        row = await service_of(self._store, key)
        if row is None:
            raise ServiceNotFound
        question = ("service deployments", *key, wanted)
        conditions, params = ["service = ?"], [row.n]  # type: tuple[list[str], list[Any]]
        if after is not None:
            conditions.append("n < ?")
            params.append(decode_token(after, *question))
        if wanted.statuses:
            conditions.append(f"status IN ({', '.join('?' * len(wanted.statuses))})")
            params += wanted.statuses
        for sign, moment in ((">", wanted.created_after), ("<", wanted.created_before)):
            if moment is not None:
                conditions.append(f"created_at {sign} ?")
                params.append(moment)
        sql = f"SELECT n, doc FROM service_deployments WHERE {' AND '.join(conditions)} ORDER BY n DESC LIMIT ?"  # noqa: S608 - fixed column names
        rows = await self._store.read(sql, (*params, limit + 1))
        page = rows[:limit]
        more = encode_token(page[-1][0], *question) if len(rows) > limit else None
        return [record_brief(_decode(doc)) for _, doc in page], more

    async def describe_records(self, account: str, arns: Sequence[str]) -> Documents:
        found = await self._by_arn(_OF_ARNS, account, arns)
        documents, missing = [], []
        for arn in arns:
            if arn not in found:
                missing.append(Failure(arn=arn, reason="MISSING"))
                continue
            row, doc = found[arn]
            record: Record = _decode(doc)
            documents.append(encode_json(record_document(record, await self.deployments(row))))
        return Documents(documents=tuple(documents), failures=tuple(missing))

    async def describe_revisions(self, account: str, arns: Sequence[str]) -> Documents:
        found = await self._by_arn(_REVISIONS, account, arns)
        templates = await self._templates.of(list(found))
        documents, missing = [], []
        for arn in arns:
            if arn not in found:
                missing.append(Failure(arn=arn, reason="MISSING"))
                continue
            row, created_at = found[arn]
            template = templates[arn]
            digests = await self._digests(row, arn, template.definition)
            documents.append(encode_json(revision_document(self._region, row, arn, template, created_at, digests)))
        return Documents(documents=tuple(documents), failures=tuple(missing))

    async def record(self, account: str, arn: str) -> tuple[ServiceRow, Record] | None:
        """A service deployment and its service."""
        found = await self._by_arn(_OF_ARNS, account, [arn])
        return None if arn not in found else (found[arn][0], _decode(found[arn][1]))

    async def _by_arn(self, sql: str, account: str, arns: Sequence[str]) -> dict[str, tuple[ServiceRow, Any]]:
        """ARN -> its service, and the row's last column; those of that account."""
        mine = [arn for arn in dict.fromkeys(arns) if (parsed := Arn.parse(arn)) and parsed.account == account]
        if not mine:
            return {}
        rows = await self._store.read(sql.format(marks=", ".join("?" * len(mine))), tuple(mine))
        found = {}
        for arn, n, value in rows:
            row = await service_numbered(self._store, n)
            if row is not None and row.account == account:
                found[str(arn)] = (row, value)
        return found

    async def _digests(self, row: ServiceRow, arn: str, definition: Mapping[str, Any]) -> dict[str, str]:
        """Container -> digest: what the revision keeps, else what a task of it had."""
        rows = await self._store.read(_RAN, (row.n, arn))
        containers = _decode(rows[0][0])["containers"] if rows else []
        ran = {container["name"]: container["imageDigest"] for container in containers if "imageDigest" in container}
        return {**ran, **self._pins.of(definition["taskDefinitionArn"])}
