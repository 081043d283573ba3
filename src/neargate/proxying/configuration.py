"""All files of a node's proxy, from its plan. What is in them but for the targets is the *shape*: a process of another
shape has to be replaced, one of the same takes targets by commands.

Every line with a word of a user's in it comes from `words`. Invariant: a configuration of any plan that the API lets
in is one that HAProxy takes.
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from ..model.balancing import BalancerPlan, FixedResponse, PlannedNode
from . import access_format, actions, backends, frontends, names, pages, refusals

MAIN = "haproxy.cfg"
STATE = "state"
API, MASTER = "sockets/api", "sockets/master"
HARD_STOP_S = 3600  # a process that was replaced ends the connections that it still has after so long
RELOADS_MAX = 50  # or when so many came after it: each has its own memory


class Place(Struct, frozen=True, kw_only=True):
    """`directory`: absolute, of this node alone, of a path without spaces or quotes."""

    directory: str
    connections_max: int = 20_000


class Files(Struct, frozen=True, kw_only=True):
    """`content`: by path below the directory. `shape`: what a process says that it runs."""

    content: Mapping[str, str]
    shape: str


def files(plan: BalancerPlan, node: PlannedNode, place: Place) -> Files:
    bare = replace(plan, groups=tuple(replace(group, targets=()) for group in plan.groups))
    content = _beside(plan, place)
    all_of_it = "\0".join([*_lines(bare, node, place, ""), *(f"{name}\0{content[name]}" for name in sorted(content))])
    shape = sha256(all_of_it.encode(errors="replace")).hexdigest()[:32]
    text = "\n".join(line for line in _lines(plan, node, place, shape) if line) + "\n"
    return Files(content={**content, MAIN: text}, shape=shape)


def _beside(plan: BalancerPlan, place: Place) -> dict[str, str]:
    found = {**pages.files(), **backends.files()}
    for listener in plan.listeners:
        for action in (listener.default, *(rule.action for rule in listener.rules)):
            if isinstance(action, FixedResponse) and action.body:
                found[actions.body_file(action)] = action.body
        if frontends.is_tls(listener):
            path = f"certificates/{names.frontend(listener.arn)}.list"
            found[path] = frontends.certificates(listener, place.directory)
    for name, one in frontends.keys(plan.listeners).items():
        found[f"certificates/{name}"] = one.pem
    return found


def _lines(plan: BalancerPlan, node: PlannedNode, place: Place, shape: str) -> list[str]:
    at = place.directory
    found = [
        "global",
        f"description shape-{shape}",
        "nbthread 1",
        f"maxconn {place.connections_max}",
        f"stats socket {at}/{API} mode 600 level admin expose-fd listeners",
        "stats timeout 60s",
        f"hard-stop-after {HARD_STOP_S}s",
        f"mworker-max-reloads {RELOADS_MAX}",
        f"server-state-file {at}/{STATE}",
        "tune.ssl.default-dh-param 2048",
        "tune.pipesize 65536",
        f"tune.http.logurilen {access_format.URI_MAX}" if plan.access_log else "",
        *(refusals.limits() if backends.is_http(plan) else ()),
        "defaults",
        "load-server-state-from-file global",
        f"timeout connect {backends.CONNECT_MS}",
        f"timeout server {_idle_ms(plan)}",
        f"timeout client {_idle_ms(plan)}",
        "timeout server-fin 30s",
        "option clitcpka" if not backends.is_http(plan) else "",
        *frontends.errors(at),
    ]
    for listener in plan.listeners:
        found += frontends.section(plan, node, listener, at)
    for group in plan.groups:
        found += backends.sections(plan, group, names.live(plan, node, group), at)
    found += [f"backend {names.NOWHERE}", "mode http", f"backend {names.NOWHERE}tcp", "mode tcp"]
    return found


def _idle_ms(plan: BalancerPlan) -> int:
    """Of a network load balancer the longest of its listeners': which one a connection came by the client's side
    knows, and its own time-out ends both."""
    if backends.is_http(plan):
        return round(float(dict(plan.attributes).get("idle_timeout.timeout_seconds", "60")) * 1000)
    return round(max((listener.idle_timeout_s for listener in plan.listeners), default=350.0) * 1000)
