"""From what a running proxy has to what its plan says, as commands of HAProxy's runtime interface.

Level-triggered: the running process is asked what it has, so whatever was lost on the way is done by the next round.
The process is of the plan's shape (`configuration.Files.shape`); one of another is replaced, not commanded.
What leaves gets nothing new at once, keeps what is in flight, and is deleted when that has ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct

from ..model.balancing import HEALTHY, INITIAL, BalancerPlan, PlannedGroup, PlannedNode, PlannedTarget
from . import backends, names
from .stats import Known, Row

BATCH = 8  # commands of one line, far below what a line may hold
_FINE, _STILL = ("New server registered.", "Server deleted."), "still has connections"
_HEARD_MAX, _COMPLAINT_MAX = 65_536, 200  # of what a proxy says to a line; a complaint is a line of a log

Seen = Mapping[tuple[str, str], Row]  # by (backend, server)


def seen(found: Iterable[Row]) -> Seen:
    return {(row.backend, row.server): row for row in found}


class _Group(Struct, frozen=True, kw_only=True):
    plan: BalancerPlan
    group: PlannedGroup
    wanted: Mapping[str, PlannedTarget]
    ids: Mapping[str, int]
    draining: frozenset[str]
    seen: Seen
    known: Mapping[str, Known]

    @property
    def name(self) -> str:
        return names.backend(self.group.arn)


def commands(plan: BalancerPlan, node: PlannedNode, has: Seen, known: Mapping[str, Known]) -> list[list[str]]:
    """Each a few that belong together, in order. `known`: by server's name; who is not in it is fresh."""
    found: list[list[str]] = []
    for one in _groups(plan, node, has, known):
        for server in one.wanted:
            found += _joining(one, server)
        found += _leaving(one)
        found += _probing(one)
    return [batch for batch in found if batch]


def farewells(plan: BalancerPlan, node: PlannedNode, has: Seen) -> list[list[str]]:
    """For a process that was replaced and still has clients: they too find nobody who left."""
    return [batch for one in _groups(plan, node, has, {}) for batch in _leaving(one) if batch]


def _groups(plan: BalancerPlan, node: PlannedNode, has: Seen, known: Mapping[str, Known]) -> Iterator[_Group]:
    for group in plan.groups:
        live = names.live(plan, node, group)
        yield _Group(
            plan=plan,
            group=group,
            wanted={names.server(group, target): target for target in live},
            ids=names.server_ids(group, live),
            draining=frozenset(names.server(group, target) for target in group.targets if target.is_draining),
            seen=has,
            known=known,
        )


def _joining(one: _Group, server: str) -> Iterator[list[str]]:
    main = f"{one.name}/{server}"
    row = one.seen.get((one.name, server))
    if row is None:
        yield _added(one, one.name, server, backends.checked(one.group))
        yield _started(one, main)
    elif row.is_out:
        yield [f"set server {main} state ready", *_from_nothing(one, main)]
    twin = one.seen.get((one.name + names.OPEN, server))
    if twin is None:
        yield _added(one, one.name + names.OPEN, server, backends.unchecked(one.group))
    state = one.known[server].state if server in one.known else INITIAL
    if state != INITIAL and (twin is None or twin.is_out):
        yield [f"set server {one.name}{names.OPEN}/{server} state ready"]
    if state == HEALTHY and row is not None and not row.is_up and not row.is_out:
        yield [f"set server {main} health up"]  # its first pass, seen by the frequent tries


def _added(one: _Group, backend: str, server: str, words: str) -> list[str]:
    number = f" id {one.ids[server]}"
    return [f"add server {backend}/{server} {backends.address(one.wanted[server])} {words}{number}"]


def _started(one: _Group, name: str) -> list[str]:
    """In this order alone it has to pass a check before it is up."""
    if not one.group.check.enabled:
        return [f"enable server {name}"]
    return [f"enable server {name}", f"set server {name} health down", f"enable health {name}"]


def _from_nothing(one: _Group, name: str) -> list[str]:
    return [f"set server {name} health down"] if one.group.check.enabled else []


def _leaving(one: _Group) -> Iterator[list[str]]:
    for suffix in ("", names.OPEN):
        backend = one.name + suffix
        for row in _servers(one.seen, backend):
            if row.server in one.wanted:
                continue
            name = f"{backend}/{row.server}"
            # In maintenance also who has a cookie goes elsewhere; but it would end streams of a target that drains.
            out = "maint" if backends.is_http(one.plan) else "drain"
            stops = [] if row.is_out else [f"set server {name} state {out}"]
            if row.current == 0:
                yield [*stops, *_deleted(name)]
            elif row.server not in one.draining and _ends(one):
                yield [*stops, f"shutdown sessions server {name}"]
            else:
                yield stops


def _ends(one: _Group) -> bool:
    """Whether what is left when the delay is over ends with it."""
    return backends.is_http(one.plan) or one.group.ends_on_deregistration


def _deleted(name: str) -> list[str]:
    return [f"set server {name} state maint", f"del server {name}"]


def _probing(one: _Group) -> Iterator[list[str]]:
    backend = one.name + names.PROBE
    fresh = set()
    if one.group.check.enabled:
        fresh = {name for name in one.wanted if name not in one.known or one.known[name].state == INITIAL}
    running = {row.server for row in _servers(one.seen, backend)}
    for server in sorted(fresh - running):
        yield _added(one, backend, server, backends.probed(one.group))
        yield _started(one, f"{backend}/{server}")
    for server in sorted(running - fresh):
        yield _deleted(f"{backend}/{server}")


def _servers(has: Seen, backend: str) -> list[Row]:
    return [row for (name, server), row in has.items() if name == backend and server != "BACKEND"]


def in_lines(batches: Sequence[Sequence[str]]) -> list[str]:
    """As few lines as hold them, none of them long."""
    flat = [command for batch in batches for command in batch]
    return ["; ".join(flat[at : at + BATCH]) for at in range(0, len(flat), BATCH)]


def complaints(told: str) -> list[str]:
    """What a proxy did not do, a few of it. That a server still has connections is no complaint: it is asked again."""
    lines = (line.strip() for line in told[:_HEARD_MAX].splitlines())
    found = (line[:_COMPLAINT_MAX] for line in lines if line and line not in _FINE and _STILL not in line)
    return list(islice(found, BATCH))


def state_file(plan: BalancerPlan, node: PlannedNode, known: Mapping[str, Known]) -> str:
    """What the next process takes for true until its own checks have spoken: only who was healthy is asked."""
    found = ["1", f"# {_COLUMNS}"]
    for group in plan.groups:
        full = group.check.healthy + group.check.unhealthy - 1
        targets = names.live(plan, node, group)
        ids = names.server_ids(group, targets)
        for target in targets:
            server = names.server(group, target)
            state = known[server].state if server in known else INITIAL
            is_up = state == HEALTHY or not group.check.enabled
            at = f"{ids[server]} {server} {target.ip}"
            rest = f"1 1 {_LONG_S} {_CHECKED if is_up else _UNCHECKED}"
            tail = f"0 0 1 - {target.port} - {int(backends.is_tls(group))} 0 - - 0"
            name = names.backend(group.arn)
            found.append(f"0 {name} {at} {2 if is_up else 0} 0 {rest} {full if is_up else 0} 6 {tail}")
            found.append(f"0 {name}{names.OPEN} {at} 2 {int(state == INITIAL)} 1 1 {_LONG_S} 1 0 1 0 {tail}")
    return "\n".join(found) + "\n"


_LONG_S = 86400  # no slow start for who was here before
_CHECKED, _UNCHECKED = "15 3", "1 0"  # HAProxy's numbers of a check that passed, and of none yet
_COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)
