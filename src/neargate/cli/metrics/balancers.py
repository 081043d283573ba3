"""Metrics of load balancers and their target groups, as CloudWatch would have them: from memory, nothing is written.

They are called as CloudWatch's dimensions call them (`app/NAME/ID`, `targetgroup/NAME/ID`). Must not know the form in
which they are shown. Invariant: so many load balancers and groups of each are shown one by one, and no more.
"""

from collections import Counter
from collections.abc import Iterator

from ...frontend.balancing.lookup import groups_of
from ...frontend.balancing.objects import LoadBalancer, TargetGroup
from ...frontend.balancing.target_states import states
from ...frontend.network.records.balancers import balancers
from ...frontend.regional.shelves import Shelf
from ...model.balancing import DRAINING, HEALTHY, INITIAL, UNHEALTHY, UNUSED
from ...region import Region
from .table import Readings

_STATES = (HEALTHY, UNHEALTHY, INITIAL, DRAINING, UNUSED)
_BALANCER, _GROUP = "neargate_load_balancer_", "neargate_target_group_"
_Sample = tuple[str, list[str], float]


def balancer_readings(region: Region, balancers_max: int, groups_max: int) -> Readings:
    found = sorted(_all(region), key=lambda pair: pair[1].created_at)
    readings: Readings = {"neargate_load_balancers_not_shown": [([], max(0, len(found) - balancers_max))]}
    for shelf, balancer in found[:balancers_max]:
        for name, labels, value in (*_of_balancer(region, balancer), *_of_groups(region, shelf, balancer, groups_max)):
            readings.setdefault(name, []).append((labels, value))
    return readings


def _all(region: Region) -> Iterator[tuple[Shelf, LoadBalancer]]:
    network = region.services.network
    for account in network.accounts():
        shelf = network.shelf(account)
        yield from ((shelf, one) for one in balancers(shelf))


def _of_balancer(region: Region, balancer: LoadBalancer) -> Iterator[_Sample]:
    label = balancer.arn.partition("loadbalancer/")[2]
    verdicts = region.services.verdicts
    reports = [(node.place, verdicts.report(node.place)) for node in balancer.nodes]
    serving = [place for place, report in reports if report is not None and report.is_serving]
    traffic = region.traffic.of(balancer.arn).traffic
    yield f"{_BALANCER}requests_total", [label], traffic.requests
    for status, count in zip(("3xx", "4xx", "5xx"), traffic.own, strict=True):
        yield f"{_BALANCER}responses_total", [label, status], count
    yield f"{_BALANCER}connections_total", [label], traffic.connections
    yield f"{_BALANCER}active_connections", [label], region.traffic.active(serving)
    yield f"{_BALANCER}bytes_total", [label, "in"], traffic.received
    yield f"{_BALANCER}bytes_total", [label, "out"], traffic.sent
    yield f"{_BALANCER}lost_log_lines_total", [label], traffic.lost_lines


def _of_groups(region: Region, shelf: Shelf, balancer: LoadBalancer, groups_max: int) -> Iterator[_Sample]:
    counted = region.traffic.of(balancer.arn).groups
    for arn in sorted(groups_of(shelf, balancer.arn))[:groups_max]:
        group = shelf.find(TargetGroup, arn)
        if group is None:
            continue
        labels = [balancer.arn.partition("loadbalancer/")[2], arn.rpartition(":")[2]]
        *answers, errors = counted.get(arn, (0, 0, 0, 0, 0))
        for status, count in zip(("2xx", "3xx", "4xx", "5xx"), answers, strict=True):
            yield f"{_GROUP}responses_total", [*labels, status], count
        yield f"{_GROUP}connection_errors_total", labels, errors
        now = Counter(one.state for one in states(shelf, group, region.services.verdicts).values())
        for state in _STATES:
            yield f"{_GROUP}targets", [*labels, state], now[state]
