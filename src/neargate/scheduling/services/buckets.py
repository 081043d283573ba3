"""The tasks of a service, sorted: by the deployment that they are of, then by how they stand.

Owns nothing but the sorting; every decision after it looks at buckets instead of tasks. Invariant: each task that lives
is in exactly one bucket, those of a deployment that nobody knows any more included.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec import Struct

from ...model.knobs import Knobs
from .health import Standing, standing
from .state import Deployment, RolloutState, Service, ServiceTask


class Bucket(Struct, frozen=True, kw_only=True):
    """The tasks of one deployment that live. `deployment` None: it was left out, its tasks live on; or, retiring, they
    are the PRIMARY's and others of it take their places."""

    deployment: Deployment | None
    is_retiring: bool = False
    unhealthy: Sequence[ServiceTask] = ()
    coming: Sequence[ServiceTask] = ()
    settling: Sequence[ServiceTask] = ()
    healthy: Sequence[ServiceTask] = ()
    leaving: Sequence[ServiceTask] = ()

    @property
    def promising(self) -> int:
        """Those that are healthy, or may be."""
        return len(self.coming) + len(self.settling) + len(self.healthy)

    @property
    def wanted(self) -> int:
        return self.promising + len(self.unhealthy)

    @property
    def settled(self) -> int:
        """Those of which it is known how they are."""
        return len(self.healthy) + len(self.unhealthy)

    @property
    def is_empty(self) -> bool:
        return not (self.wanted or self.leaving)

    @property
    def is_settled(self) -> bool:
        return not (self.coming or self.settling)

    @property
    def was_completed(self) -> bool:
        return self.deployment is not None and self.deployment.rollout_state is RolloutState.COMPLETED


class Buckets(Struct, frozen=True, kw_only=True):
    """`others`: whose tasks go first is in front, the newest: whatever came after the one that was whole never was."""

    primary: Bucket
    others: tuple[Bucket, ...] = ()

    @property
    def healthy(self) -> int:
        return len(self.primary.healthy) + sum(len(other.healthy) for other in self.others)

    @property
    def wanted(self) -> int:
        return self.primary.wanted + sum(other.wanted for other in self.others)

    @property
    def source(self) -> Bucket | None:
        """What the PRIMARY takes the place of: the deployment that was COMPLETED."""
        return self.others[-1] if self.others and self.others[-1].was_completed else None


_Standings = Mapping[Standing, list[ServiceTask]]
Sorted = Mapping[str, _Standings]

_NONE: _Standings = {}


def primary_first(deployments: Sequence[Deployment]) -> list[Deployment]:
    """The others newest first."""
    return sorted(deployments, key=lambda one: (not one.is_primary, -one.created_at, one.deployment_id))


def sort(service: Service, knobs: Knobs) -> Sorted:
    """Deployment id -> standing -> tasks."""
    by_deployment: dict[str, dict[Standing, list[ServiceTask]]] = {}
    for task in service.tasks:
        by_deployment.setdefault(task.deployment_id, {}).setdefault(standing(task, service, knobs), []).append(task)
    return by_deployment


def fill(deployments: Sequence[Deployment], by_deployment: Sorted) -> Buckets:
    """`deployments`: the PRIMARY first, then the newest."""
    primary, *others = deployments
    known = {deployment.deployment_id for deployment in deployments}
    strays = [_bucket(None, tasks) for deployment_id, tasks in by_deployment.items() if deployment_id not in known]
    own = by_deployment.get(primary.deployment_id, _NONE)
    if primary.rollout_state is not RolloutState.FAILED:  # else nothing would be started in their place
        own, retiring = _parted(own)
        strays += [_bucket(None, retiring, is_retiring=True)] if retiring else []
    return Buckets(
        primary=_bucket(primary, own),
        others=tuple(
            chain(strays, (_bucket(other, by_deployment.get(other.deployment_id, _NONE)) for other in others))
        ),
    )


def _parted(tasks: Mapping[Standing, list[ServiceTask]]) -> tuple[_Standings, _Standings]:
    """Those that stay or have been asked to stop already, and those that retire."""
    staying: dict[Standing, list[ServiceTask]] = {}
    retiring: dict[Standing, list[ServiceTask]] = {}
    for how, some in tasks.items():
        for task in some:
            part = retiring if task.retires_by is not None and how < Standing.LEAVING else staying
            part.setdefault(how, []).append(task)
    return staying, retiring


def _bucket(deployment: Deployment | None, tasks: _Standings, *, is_retiring: bool = False) -> Bucket:
    return Bucket(
        deployment=deployment,
        is_retiring=is_retiring,
        unhealthy=tasks.get(Standing.UNHEALTHY, ()),
        coming=tasks.get(Standing.COMING, ()),
        settling=tasks.get(Standing.SETTLING, ()),
        healthy=tasks.get(Standing.HEALTHY, ()),
        leaving=tasks.get(Standing.LEAVING, ()),
    )
