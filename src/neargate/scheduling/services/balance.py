"""AZ rebalancing: one more task where there are few, then one fewer where there are many; never the other way round.

Owns what happens to a steady service whose zones differ by more than one. Must not know how tasks are launched.
Invariant: the service has its desired count of healthy tasks all the while, and no more than `ceiling`. What is
started for a zone is started there or not at all, so a round always brings the zones nearer to each other.
"""

from collections.abc import Mapping

from msgspec import Struct

from . import messages, zones
from .back_off import waits
from .buckets import Buckets
from .limits import ceiling
from .messages import Teller
from .rollout import is_protected
from .state import Service, ServiceTask, Start


class Balancing(Struct, frozen=True, kw_only=True):
    """What is to be done instead of a rollout's moves, while tasks are on their way for the sake of balance."""

    is_under_way: bool
    stops: tuple[ServiceTask, ...] = ()
    starts: tuple[Start, ...] = ()


def rebalance(service: Service, buckets: Buckets, teller: Teller) -> Balancing | None:
    """None: there is something else to do first, or nothing to do."""
    surplus = buckets.primary.promising - service.desired_count
    if not _is_calm(service, buckets, surplus):
        return None
    counts = zones.in_zones(service.zones, zones.occupied(_tasks(buckets)))
    if surplus == 0:
        return _begin(service, buckets, counts, teller)
    if not service.rebalancing:
        return None
    if not buckets.primary.is_settled:
        return Balancing(is_under_way=True)
    return _end(service, buckets, counts, surplus, teller)


def _is_calm(service: Service, buckets: Buckets, surplus: int) -> bool:
    primary = buckets.primary
    assert primary.deployment is not None
    return (
        service.zone_rebalancing
        and len(service.zones) > 1
        and surplus >= 0
        and not buckets.others
        and not primary.unhealthy
        and not waits(primary.deployment, service.now)
        and {task.zone for task in _tasks(buckets)} <= set(service.zones)
    )


def _begin(service: Service, buckets: Buckets, counts: Mapping[str, int], teller: Teller) -> Balancing | None:
    """Of a steady service, or of one whose replacement was lost on its way."""
    assert buckets.primary.deployment is not None
    if not (service.is_steady or service.rebalancing) or not buckets.primary.is_settled or zones.is_balanced(counts):
        return None
    more = zones.moves(counts, ceiling(service) - service.desired_count)
    if not more:
        return None
    if not service.rebalancing:
        teller.complain(messages.not_balanced(service.name, counts))
    deployment_id = buckets.primary.deployment.deployment_id
    starts = tuple(Start(deployment_id=deployment_id, count=count, zone=zone) for zone, count in more.items())
    return Balancing(is_under_way=True, starts=starts)


def _end(
    service: Service, buckets: Buckets, counts: Mapping[str, int], surplus: int, teller: Teller
) -> Balancing | None:
    """The replacements are healthy: as many go from where most are."""
    free = [task for task in buckets.primary.healthy if not is_protected(task, service.now)]
    stops = zones.first_to_go((free,), counts, surplus)
    if len(stops) < surplus:
        return None
    by_zone: dict[str, list[str]] = {}
    for task in stops:
        by_zone.setdefault(task.zone, []).append(task.task_id)
    for zone, task_ids in sorted(by_zone.items()):
        teller.say(messages.stopped_for_balance(service.name, zone, task_ids))
    left = {zone: count - len(by_zone.get(zone, ())) for zone, count in counts.items()}
    if zones.is_balanced(left):
        teller.say(messages.balanced(service.name, left))
    return Balancing(is_under_way=False, stops=tuple(stops))


def _tasks(buckets: Buckets) -> list[ServiceTask]:
    primary = buckets.primary
    return [*primary.coming, *primary.settling, *primary.healthy]
