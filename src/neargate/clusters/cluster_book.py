"""The clusters of this cell: create, describe, list, delete, and the read model that launches consult.

Owns the `clusters` table and its copy in memory (one server process writes the cell; each write re-checks the row).
Must not know how tasks run. Invariant: a cluster is deleted only while it has no live task; the write itself guards it.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..interfaces.roles import Documents, Failure
from ..interfaces.store import Refused, Statement, Store
from ..model.arn import cluster_arn
from ..model.errors import (
    ClientError,
    ClusterContainsServices,
    ClusterContainsTasks,
    ClusterNotFound,
    InvalidParameter,
    ServiceUnavailable,
)
from ..model.quotas import CLUSTERS_PER_ACCOUNT, DefaultQuotas, QuotaValues
from ..store.events import NewEvent, append_events
from ..world import World
from .page_token import decode_token, encode_token
from .task_events import CLUSTER_CHANGED
from .task_table import encode_json, with_tags
from .writing import write

ACTIVE = "ACTIVE"
INACTIVE = "INACTIVE"
PROVIDERS = ("FARGATE", "FARGATE_SPOT")

_LIVE_COUNTS = (
    "SELECT last_status, count(*) FROM tasks WHERE account = ? AND cluster = ? AND last_status <> 'STOPPED' "
    "GROUP BY last_status ORDER BY last_status"
)
_SERVICES = (
    "SELECT status, count(*) FROM services WHERE account = ? AND cluster = ? AND status <> 'INACTIVE' "
    "GROUP BY status ORDER BY status"
)
_PENDING = ("PROVISIONING", "PENDING", "ACTIVATING")
_STATISTICS = (
    *("runningEC2TasksCount", "pendingEC2TasksCount", "runningExternalTasksCount", "pendingExternalTasksCount"),
    *("activeEC2ServiceCount", "drainingEC2ServiceCount"),
    *("activeExternalServiceCount", "drainingExternalServiceCount"),
)
_DEFAULT_SETTINGS = MappingProxyType({"containerInsights": "disabled"})
_CHANGED_SHOWS = frozenset({"SETTINGS", "TAGS", "CONFIGURATIONS"})
_ATTEMPTS = 8  # of a change that met another one
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Cluster(Struct, frozen=True, kw_only=True):
    """One cluster as stored. `doc` has no counts, tags or status: those are spliced in at read."""

    account: str
    name: str
    status: str
    rev: int
    doc: Mapping[str, Any]
    tags: bytes

    @property
    def providers(self) -> Sequence[str]:
        return self.doc["capacityProviders"]  # type: ignore[no-any-return]


Decide = Callable[[Cluster], Cluster]


class ClusterBook:
    def __init__(self, world: World, store: Store, region: str, quotas: QuotaValues | None = None) -> None:
        self._world = world
        self._store = store
        self._region = region
        self._quotas: QuotaValues = quotas or DefaultQuotas()
        self._clusters: dict[tuple[str, str], Cluster] = {}

    async def load(self) -> None:
        """The read model, from nothing; also asked again when another writer was faster."""
        rows = await self._store.read("SELECT account, name, status, rev, doc, tags FROM clusters ORDER BY n")
        for account, name, status, rev, doc, tags in rows:
            self._keep(Cluster(account=account, name=name, status=status, rev=rev, doc=_decode(doc), tags=tags))

    def named(self, account: str, name: str) -> Cluster:
        """Raises ClusterNotFound. An inactive cluster is returned: its tasks stay describable."""
        cluster = self._clusters.get((account, name))
        if cluster is None:
            raise ClusterNotFound
        return cluster

    def active(self, account: str, name: str) -> Cluster:
        """For launches: raises ClusterNotFound, or ClientError for a deleted one."""
        cluster = self.named(account, name)
        if cluster.status != ACTIVE:
            raise ClientError("The referenced cluster was inactive.")
        return cluster

    async def create(self, account: str, name: str, settings: Mapping[str, Any]) -> bytes:
        known = self._clusters.get((account, name))
        if known is not None and known.status == ACTIVE:
            return await self._shown(known, frozenset({"SETTINGS", "TAGS", "CONFIGURATIONS"}))
        clusters_max = self._quotas.value(account, CLUSTERS_PER_ACCOUNT) or 0
        if known is None and sum(1 for owner, _ in self._clusters if owner == account) >= clusters_max:
            raise ClientError(f"You've reached the limit on the number of clusters ({clusters_max:.0f}).")
        cluster = Cluster(
            account=account,
            name=name,
            status=ACTIVE,
            rev=1 if known is None else known.rev + 1,
            doc=_stored_document(self._region, account, name, settings),
            tags=encode_json(
                [{"key": tag["key"], "value": tag.get("value", "")} for tag in settings.get("tags") or ()]
            ),
        )
        try:
            await write(self._store, [_insert(cluster), *self._told(cluster)])
            self._keep(cluster)
        except Refused:
            # Another create of the same name was committed first; the answer is what it made.
            await self.load()
            cluster = self.named(account, name)
        return await self._shown(cluster, frozenset({"SETTINGS", "TAGS", "CONFIGURATIONS"}))

    async def change(self, account: str, name: str, decide: Decide) -> bytes:
        """What `decide` makes of the cluster, durable, and then shown. Raises ClusterNotFound, ClientError (inactive)
        and what `decide` raises. It is asked again when somebody else was faster."""
        for _ in range(_ATTEMPTS):
            cluster = self.active(account, name)
            decided = decide(cluster)
            changed = replace(decided, rev=cluster.rev + 1)
            if decided == cluster:
                return await self._shown(cluster, _CHANGED_SHOWS)
            try:
                await write(self._store, [_replace(changed, cluster.rev)])
            except Refused:
                await self.load()
                continue
            self._keep(changed)
            return await self._shown(changed, _CHANGED_SHOWS)
        raise ServiceUnavailable

    async def describe(self, account: str, names: Sequence[str], include: frozenset[str]) -> Documents:
        found, missing = [], []
        for name in names:
            cluster = self._clusters.get((account, name))
            if cluster is None:
                missing.append(Failure(arn=cluster_arn(self._region, account, name), reason="MISSING"))
            else:
                found.append(await self._shown(cluster, include))
        return Documents(documents=tuple(found), failures=tuple(missing))

    def page(self, account: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        start = "" if after is None else str(decode_token(after, "clusters", account))
        names = sorted(
            name
            for owner, name in self._clusters
            if owner == account and name > start and self._clusters[owner, name].status == ACTIVE
        )
        page = [cluster_arn(self._region, account, name) for name in names[:limit]]
        more = encode_token(names[limit - 1], "clusters", account) if len(names) > limit else None
        return page, more

    async def delete(self, account: str, name: str) -> bytes:
        cluster = self.named(account, name)
        if cluster.status != ACTIVE:
            return await self._shown(cluster, frozenset({"SETTINGS", "CONFIGURATIONS"}))
        deleted = replace(cluster, status=INACTIVE, rev=cluster.rev + 1, tags=b"[]")
        try:
            await write(
                self._store,
                [_no_service(cluster), _no_live_task(cluster), _retire(deleted, cluster.rev), *self._told(deleted)],
            )
        except Refused as refused:
            if refused.name == "services":
                raise ClusterContainsServices from None
            if refused.name == "tasks":
                raise ClusterContainsTasks from None
            await self.load()
            raise ServiceUnavailable from None
        self._keep(deleted)
        return await self._shown(deleted, frozenset({"SETTINGS", "CONFIGURATIONS"}))

    def _keep(self, cluster: Cluster) -> None:
        known = self._clusters.get((cluster.account, cluster.name))
        if known is not None and known.rev > cluster.rev:
            return  # a later change was told first
        self._clusters[cluster.account, cluster.name] = cluster

    def _told(self, cluster: Cluster) -> list[Statement]:
        shown = {"clusterArn": cluster.doc["clusterArn"], "status": cluster.status}
        now = self._world.now()
        return append_events([NewEvent(kind=CLUSTER_CHANGED, key=cluster.name, at=now, body=encode_json(shown))])

    async def _shown(self, cluster: Cluster, include: frozenset[str]) -> bytes:
        rows = await self._store.read(_LIVE_COUNTS, (cluster.account, cluster.name))
        counts = {str(status): int(count) for status, count in rows}
        rows = await self._store.read(_SERVICES, (cluster.account, cluster.name))
        services = {str(status): int(count) for status, count in rows}
        running = counts.get("RUNNING", 0)
        pending = sum(counts.get(status, 0) for status in _PENDING)
        document: dict[str, Any] = {
            **cluster.doc,
            "status": cluster.status,
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "activeServicesCount": services.get("ACTIVE", 0),
            "statistics": _statistics(running, pending, services) if "STATISTICS" in include else [],
        }
        if "SETTINGS" not in include:
            document["settings"] = []
        if "CONFIGURATIONS" not in include:
            document.pop("configuration", None)
        if "ATTACHMENTS" in include:
            document["attachments"] = []
        return with_tags(encode_json(document), cluster.tags if "TAGS" in include else b"[]")


def _stored_document(region: str, account: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    providers = list(settings.get("capacityProviders") or ())
    strategy = list(settings.get("defaultCapacityProviderStrategy") or ())
    for provider in [*providers, *(item.get("capacityProvider") for item in strategy)]:
        if provider not in PROVIDERS:
            raise InvalidParameter(
                f"The specified capacity provider '{provider}' was not found. "
                "Specify a valid name or ARN and try again."
            )
    if settings.get("serviceConnectDefaults"):
        raise InvalidParameter("serviceConnectDefaults is not supported: this region has no Cloud Map.")
    chosen = dict(_DEFAULT_SETTINGS)
    for setting in settings.get("settings") or ():
        if setting.get("name") not in _DEFAULT_SETTINGS or setting.get("value") not in _INSIGHTS:
            raise InvalidParameter(f"Invalid setting: {setting.get('name')}={setting.get('value')}")
        chosen[setting["name"]] = setting["value"]
    document: dict[str, Any] = {
        "clusterArn": cluster_arn(region, account, name),
        "clusterName": name,
        "settings": [{"name": key, "value": value} for key, value in chosen.items()],
        "capacityProviders": providers,
        "defaultCapacityProviderStrategy": [
            {"capacityProvider": item["capacityProvider"], "weight": item.get("weight", 0), "base": item.get("base", 0)}
            for item in strategy
        ],
    }
    if settings.get("configuration"):
        document["configuration"] = settings["configuration"]
    return document


def changed_cluster(cluster: Cluster, changes: Mapping[str, Any]) -> Cluster:
    """`changes`: members of the document by their wire names, checked; settings by name, the others as a whole."""
    doc = {**cluster.doc, **{name: value for name, value in changes.items() if name != "settings"}}
    if "settings" in changes:
        chosen = {setting["name"]: setting["value"] for setting in [*cluster.doc["settings"], *changes["settings"]]}
        doc["settings"] = [{"name": name, "value": value} for name, value in chosen.items()]
    return replace(cluster, doc=doc)


_INSIGHTS = frozenset({"enabled", "disabled", "enhanced"})


def _statistics(running: int, pending: int, services: Mapping[str, int]) -> list[dict[str, str]]:
    named = {
        "runningFargateTasksCount": running,
        "pendingFargateTasksCount": pending,
        "activeFargateServiceCount": services.get("ACTIVE", 0),
        "drainingFargateServiceCount": services.get("DRAINING", 0),
        **dict.fromkeys(_STATISTICS, 0),
    }
    return [{"name": name, "value": str(value)} for name, value in named.items()]


def _insert(cluster: Cluster) -> Statement:
    """A new row, or the row of a deleted cluster of that name, which then begins again."""
    return Statement(
        "INSERT INTO clusters (account, name, status, rev, doc, tags) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (account, name) DO UPDATE SET status = excluded.status, rev = excluded.rev, doc = excluded.doc, "
        "tags = excluded.tags WHERE clusters.status = 'INACTIVE' AND clusters.rev = excluded.rev - 1",
        (cluster.account, cluster.name, cluster.status, cluster.rev, encode_json(cluster.doc), cluster.tags),
        1,
        "cluster",
    )


def _replace(cluster: Cluster, rev: int) -> Statement:
    return Statement(
        "UPDATE clusters SET doc = ?, tags = ?, rev = rev + 1 "
        "WHERE account = ? AND name = ? AND rev = ? AND status = 'ACTIVE'",
        (encode_json(cluster.doc), cluster.tags, cluster.account, cluster.name, rev),
        1,
        "rev",
    )


def _retire(cluster: Cluster, rev: int) -> Statement:
    """Tags go with what had them, as on AWS."""
    return Statement(
        "UPDATE clusters SET status = ?, tags = ?, rev = rev + 1 WHERE account = ? AND name = ? AND rev = ?",
        (cluster.status, cluster.tags, cluster.account, cluster.name, rev),
        1,
        "rev",
    )


def _no_service(cluster: Cluster) -> Statement:
    return Statement(
        "SELECT 1 FROM services WHERE account = ? AND cluster = ? AND status <> 'INACTIVE' LIMIT 1",
        (cluster.account, cluster.name),
        0,
        "services",
    )


def _no_live_task(cluster: Cluster) -> Statement:
    return Statement(
        "SELECT 1 FROM tasks WHERE account = ? AND cluster = ? AND last_status <> 'STOPPED' LIMIT 1",
        (cluster.account, cluster.name),
        0,
        "tasks",
    )
