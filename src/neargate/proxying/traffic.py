"""What a node's proxy did for clients, added up over its processes, and over targets that came and left meanwhile.

Pure: a look's rows in, the sums out. What an answer was is counted where a target gave it; what clients got beyond that
the load balancer said itself. Invariant: no sum ever goes back, whatever process counts anew.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from ..model.balancing import NodeTraffic
from . import names
from .stats import Row

NONE = (0, 0, 0, 0, 0)
Five = tuple[int, int, int, int, int]
_Key = tuple[str, str]  # backend or frontend, server
_FRONT = ("requests", "connections", "received", "sent")


class Tally(Struct, frozen=True, kw_only=True):
    """`targets`: by backend (2xx, 3xx, 4xx, 5xx, failed connections). `answers`: of all that clients got.

    `last`: what each row of the process `pid` counted when it was looked at last.
    """

    pid: int = 0
    last: Mapping[_Key, tuple[int, ...]] = {}
    targets: Mapping[str, Five] = {}
    front: tuple[int, int, int, int] = (0, 0, 0, 0)
    answers: Five = NONE
    own: tuple[int, int, int] = (0, 0, 0)
    active: int = 0

    def of(self, arn: str) -> Five:
        """Of a target group."""
        return self.targets.get(names.backend(arn), NONE)

    def shown(self) -> NodeTraffic:
        requests, connections, received, sent = self.front
        return NodeTraffic(
            requests=requests, connections=connections, active=self.active, received=received, sent=sent, own=self.own
        )


def grown(tally: Tally, pid: int, rows: Iterable[Row], *, is_adopted: bool) -> Tally:
    """After a look at the process that serves. `is_adopted`: what it counted until now somebody else told of."""
    before = tally.last if pid == tally.pid else {}
    last: dict[_Key, tuple[int, ...]] = {}
    targets, front, answers, active = dict(tally.targets), tally.front, tally.answers, 0
    for row in rows:
        if row.backend.endswith(names.PROBE):
            continue
        key, counted = (row.backend, row.server), _counted(row)
        last[key] = counted
        more = _more(counted, counted if is_adopted else before.get(key, ()))
        if row.server == "FRONTEND":
            active += row.current
            requests, connections, received, sent = (have + new for have, new in zip(front, more[5:], strict=True))
            front = requests, connections, received, sent
            answers = _added(answers, more[:5])
            continue
        # A server's connection that fails is tried at another: the backend's row has each once.
        part = (0, 0, 0, 0, more[4]) if row.server == "BACKEND" else (*more[:4], 0)
        name = row.backend.removesuffix(names.OPEN)
        targets[name] = _added(targets.get(name, NONE), part)
    return Tally(
        pid=pid,
        last=last,
        targets=targets,
        front=front,
        answers=answers,
        own=_own(tally.own, answers, targets.values()),
        active=active,
    )


def _counted(row: Row) -> tuple[int, ...]:
    return *row.answers, *(getattr(row, name) for name in _FRONT)


def _more(now: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """One that counts less than before began anew: a server of the same name was added again."""
    if not before or any(new < old for new, old in zip(now, before, strict=True)):
        return now
    return tuple(new - old for new, old in zip(now, before, strict=True))


def _added(one: Five, other: tuple[int, ...]) -> Five:
    first, second, third, fourth, fifth = (a + b for a, b in zip(one, other, strict=True))
    return first, second, third, fourth, fifth


def _own(before: tuple[int, int, int], answers: Five, targets: Iterable[Five]) -> tuple[int, int, int]:
    """A target's answer counts when it begins, a client's when it has ended: so this lags, and never goes too far."""
    given = [sum(column) for column in zip(NONE, *targets, strict=True)]
    third, fourth, fifth = (max(before[at - 1], answers[at] - given[at]) for at in (1, 2, 3))
    return third, fourth, fifth
