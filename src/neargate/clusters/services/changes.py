"""CreateService, UpdateService, DeleteService and the tags of services: each decided on one row and made in one write.

Owns AWS's words for what cannot be. Invariants: of a name there is one service that is not INACTIVE; a service is made
only in an active cluster, in the same write that says so; whoever looked at an older `rev` changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from msgspec import UNSET
from msgspec.structs import replace

from ...interfaces.roles import TagChange, TagPairs
from ...interfaces.services import NewService, RevisionTemplate, ServiceChange
from ...interfaces.store import Refused, Statement, Store
from ...model.arn import cluster_arn, service_arn, service_deployment_arn, service_revision_arn
from ...model.errors import ClientError, InvalidParameter, ServiceNotActive, ServiceNotFound, ServiceUnavailable
from ...model.knobs import Knobs
from ...model.quotas import SERVICES_PER_CLUSTER, TASKS_PER_SERVICE, QuotaValues
from ...scheduling.services.messages import in_progress
from ...scheduling.services.state import Deployment, ServiceStatus
from ...world import World
from ..cluster_book import ClusterBook
from ..tagging import decoded, encoded
from ..task_table import encode_json
from ..writing import write
from .forgetting import forget_oldest
from .records import DELETED, REPLACED, Record, ended, new_record
from .snapshot import Templates
from .tables import (
    REV,
    DeploymentRow,
    Key,
    ServiceRow,
    ServiceState,
    deployment_id,
    deployments_of,
    digits,
    insert_deployment,
    insert_record,
    insert_revision,
    record_name,
    records_of,
    service_of,
    update_record,
)

_ATTEMPTS_MAX = 8
_NOT_IDEMPOTENT = "Creation of service was not idempotent."
_STILL_DRAINING = "Unable to Start a service that is still Draining."
_CLUSTER_GUARD = "SELECT 1 FROM clusters WHERE account = ? AND name = ? AND status = 'ACTIVE'"
_COUNT = "SELECT count(*) FROM services WHERE account = ? AND cluster = ? AND status <> 'INACTIVE'"
_BELOW = f"SELECT 1 WHERE ({_COUNT}) < ?"
_INSERT = (
    "INSERT INTO services (n, account, cluster, name, status, rev, created_at, desired, launch_type, scheduling, "
    "token, fingerprint, doc, tags, state) VALUES (?, ?, ?, ?, 'ACTIVE', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE services SET rev = rev + 1, status = ?, desired = ?, launch_type = ?, doc = ?, state = ? "
    "WHERE n = ? AND rev = ?"
)
_OF_TEMPLATE = (
    *("definition", "definition_tags", "launch_type", "strategy", "platform_version", "network", "shown"),
    *("log_mode", "gives_files"),
)


class Changes:
    """`changed` is told the service after each change that is durable."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        region: str,
        clusters: ClusterBook,
        quotas: QuotaValues,
        templates: Templates,
        changed: Callable[[Key], None],
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._region = region
        self._clusters = clusters
        self._quotas = quotas
        self._templates = templates
        self._changed = changed
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()  # of updates that are under way
        self._numbered = 0  # the last number that was given to a service, be it one that came to nothing

    async def create(self, new: NewService) -> Key:
        """Raises ClusterNotFound, ClientError (inactive cluster, quota), InvalidParameter."""
        key = (new.account, new.cluster, new.name)
        for _ in range(_ATTEMPTS_MAX):
            self._clusters.active(new.account, new.cluster)
            self._check_desired(new.account, new.desired_count)
            known = await service_of(self._store, key)
            if known is not None and known.status != ServiceStatus.INACTIVE:
                _check_repeated(known, new)
                return key
            await self._check_services(new.account, new.cluster)
            try:
                await self._insert(new)
            except Refused as refused:
                if refused.name == "cluster":
                    await self._clusters.load()
                continue  # another one was made at the same time
            self._changed(key)
            return key
        raise ServiceUnavailable

    async def update(self, key: Key, change: ServiceChange) -> None:
        """Raises ServiceNotFound, ServiceNotActive, InvalidParameter, ClusterNotFound."""
        async with self._turn(key):
            await self._update_in_turn(key, change)

    async def _update_in_turn(self, key: Key, change: ServiceChange) -> None:
        for _ in range(_ATTEMPTS_MAX):
            row = await self.found(key)
            if row.status != ServiceStatus.ACTIVE:
                raise ServiceNotActive
            if change.desired_count is not UNSET:
                self._check_desired(row.account, change.desired_count)
            deployments = await deployments_of(self._store, row.n)
            templates = await self._templates.of([deployment.revision for deployment in deployments])
            try:
                await write(self._store, await self._updated(row, deployments, templates, change))
            except Refused:
                continue
            self._changed(key)
            return
        raise ServiceUnavailable

    async def delete(self, key: Key, *, force: bool) -> None:
        """Raises ServiceNotFound, InvalidParameter, ClusterNotFound. Of a service that drains it changes nothing."""
        for _ in range(_ATTEMPTS_MAX):
            row = await self.found(key)
            if row.status == ServiceStatus.INACTIVE:
                raise ServiceNotFound
            if row.status == ServiceStatus.DRAINING:
                return
            deployments = await deployments_of(self._store, row.n)
            if not force and row.desired > 0:
                raise InvalidParameter("The service cannot be stopped while it is scaled above 0.")
            if not force and len(deployments) > 1:
                raise InvalidParameter("The service cannot be stopped while deployments are active.")
            state = replace(row.remembered(), is_steady=False)
            statements = [
                self._update(row, status=ServiceStatus.DRAINING, desired=0, doc=row.settings(), state=state),
                *await self._end_records(deployments, DELETED),
            ]
            try:
                await write(self._store, statements)
            except Refused:
                continue
            self._changed(key)
            return
        raise ServiceUnavailable

    async def tags(self, key: Key) -> TagPairs:
        """Raises ServiceNotFound, InvalidParameter (it is over), ClusterNotFound."""
        return decoded((await self._tagged(key)).tags)

    async def change_tags(self, key: Key, change: TagChange) -> None:
        for _ in range(_ATTEMPTS_MAX):
            row = await self._tagged(key)
            tags = encoded(change(decoded(row.tags)))
            if tags == row.tags:
                return
            sql = "UPDATE services SET tags = ?, rev = rev + 1 WHERE n = ? AND rev = ?"
            try:
                await write(self._store, [Statement(sql, (tags, row.n, row.rev), 1, REV)])
            except Refused:
                continue
            self._changed(key)
            return
        raise ServiceUnavailable

    def _turn(self, key: Key) -> asyncio.Lock:
        """Many updates of one service at the same time come one after another, and are not all refused but one."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def found(self, key: Key) -> ServiceRow:
        """Raises ClusterNotFound, ServiceNotFound."""
        self._clusters.named(key[0], key[1])
        row = await service_of(self._store, key)
        if row is None:
            raise ServiceNotFound
        return row

    async def _tagged(self, key: Key) -> ServiceRow:
        row = await self.found(key)
        if row.status == ServiceStatus.INACTIVE:
            raise InvalidParameter("The specified service is inactive. Specify an active service and try again.")
        return row

    def _check_desired(self, account: str, desired: int) -> None:
        limit = self._quotas.value(account, TASKS_PER_SERVICE)
        if limit is not None and desired > limit:
            raise InvalidParameter("Desired count exceeds limit.")

    async def _check_services(self, account: str, cluster: str) -> None:
        limit = self._quotas.value(account, SERVICES_PER_CLUSTER)
        count = (await self._store.read(_COUNT, (account, cluster)))[0][0]
        if limit is not None and count >= limit:
            raise ClientError(f"You've reached the limit on the number of services per cluster ({limit:.0f}).")

    async def _insert(self, new: NewService) -> None:
        """Raises Refused (`cluster`, `quota`, or a service of that name)."""
        now = self._world.now()
        stored = (await self._store.read("SELECT coalesce(max(n), 0) FROM services"))[0][0]
        self._numbered = n = max(self._numbered, stored) + 1  # those that are made at the same time have others
        settings = {**new.settings, "createdBy": new.created_by}
        row = (
            *(n, new.account, new.cluster, new.name, now, new.desired_count, new.template.launch_type or ""),
            *(settings.get("schedulingStrategy") or "REPLICA", new.client_token, new.request_fingerprint),
            *(encode_json(settings), encoded(new.tags), encode_json(ServiceState())),
        )
        made = self._new_deployment((new.account, new.cluster, new.name), n, settings, new.desired_count, new.template)
        guards = [Statement(_CLUSTER_GUARD, (new.account, new.cluster), 1, "cluster")]
        limit = self._quotas.value(new.account, SERVICES_PER_CLUSTER)
        if limit is not None:
            guards.append(Statement(_BELOW, (new.account, new.cluster, limit), 1, "quota"))
        await write(self._store, [*guards, Statement(_INSERT, row, 1, "service"), *made])

    async def _updated(
        self,
        row: ServiceRow,
        deployments: list[DeploymentRow],
        templates: Mapping[str, RevisionTemplate],
        change: ServiceChange,
    ) -> list[Statement]:
        settings = {**row.settings(), **change.settings}
        desired = row.desired if change.desired_count is UNSET else change.desired_count
        given = {name: getattr(change, name) for name in _OF_TEMPLATE if getattr(change, name) is not UNSET}
        template = replace(templates[deployments[0].revision], **given)
        state = replace(row.remembered(), is_steady=False, place_failures=0, place_retry_at=None)
        statements = [
            self._update(
                row, status=ServiceStatus.ACTIVE, desired=desired, doc=settings, state=state, template=template
            )
        ]
        if not given and not change.force_new_deployment:
            return statements
        made = self._new_deployment(row.key, row.n, settings, desired, template, before=deployments)
        return [
            *statements,
            *await self._end_records(deployments, REPLACED),
            *(_no_primary(deployment) for deployment in deployments),
            *made,
            *await forget_oldest(self._store, row, self._knobs.service_deployments_keep),
        ]

    def _update(
        self,
        row: ServiceRow,
        *,
        status: ServiceStatus,
        desired: int,
        doc: Mapping[str, Any],
        state: ServiceState,
        template: RevisionTemplate | None = None,
    ) -> Statement:
        launch_type = row.launch_type if template is None else template.launch_type or ""
        params = (status.value, desired, launch_type, encode_json(doc), encode_json(state), row.n, row.rev)
        return Statement(_UPDATE, params, 1, REV)

    def _new_deployment(
        self,
        key: Key,
        service: int,
        settings: Mapping[str, Any],
        desired: int,
        template: RevisionTemplate,
        before: "list[DeploymentRow] | tuple[DeploymentRow, ...]" = (),
    ) -> list[Statement]:
        """A revision, the deployment that brings it, and its record."""
        now, bits = self._world.now(), self._world.random.getrandbits
        account, cluster, name = key
        number = digits(bits)
        revision = service_revision_arn(self._region, account, cluster, name, number)
        ident = deployment_id(number)
        deployment = Deployment(
            deployment_id=ident,
            revision=revision,
            created_at=now,
            is_primary=True,
            rollout_state_reason=in_progress(ident),
        )
        record = new_record(
            arn=service_deployment_arn(self._region, account, cluster, name, record_name(bits)),
            service_arn=service_arn(self._region, account, cluster, name),
            cluster_arn=cluster_arn(self._region, account, cluster),
            settings=settings,
            desired=desired,
            target=revision,
            sources=list(dict.fromkeys(row.revision for row in before)),
            now=now,
        )
        return [
            insert_revision(service, revision, template, now),
            insert_deployment(service, deployment, record["serviceDeploymentArn"]),
            insert_record(service, record),
        ]

    async def _end_records(self, deployments: list[DeploymentRow], why: str) -> list[Statement]:
        """Of what was under way."""
        stored = await records_of(self._store, list(dict.fromkeys(row.record for row in deployments)))
        after: list[tuple[Record, Record]] = [
            (record, ended(record, "STOPPED", why, self._world.now())) for record in stored.values()
        ]
        return [update_record(changed) for record, changed in after if changed != record]


def _check_repeated(known: ServiceRow, new: NewService) -> None:
    """A service of that name is there. Only the very call that made it may be made again."""
    is_same = new.client_token is not None and known.token == new.client_token
    if is_same and known.fingerprint == new.request_fingerprint:
        return
    raise InvalidParameter(_STILL_DRAINING if known.status == ServiceStatus.DRAINING else _NOT_IDEMPOTENT)


def _no_primary(row: DeploymentRow) -> Statement:
    decided = replace(row.decided, is_primary=False)
    return Statement("UPDATE deployments SET state = ? WHERE id = ?", (encode_json(decided), row.id), 1, "deployment")
