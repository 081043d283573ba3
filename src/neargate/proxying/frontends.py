"""A listener as one of HAProxy's frontends: where it listens, what it adds to requests, and which rule decides.

Rules stand in the order of their priority, and the first whose conditions hold chooses; a listener that only forwards
to one group has none of that on a request's way.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..model.balancing import (
    BalancerPlan,
    FixedResponse,
    Forward,
    PlannedAction,
    PlannedCertificate,
    PlannedListener,
    PlannedNode,
    Redirect,
)
from ..model.tls_policies import DEFAULT_POLICY, TLS_POLICIES
from . import access_format, actions, conditions, forwarded, names, pages, refusals
from .words import quoted

_ALPN = {"HTTP1Only": "http/1.1", "HTTP2Only": "h2", "HTTP2Optional": "http/1.1,h2", "HTTP2Preferred": "h2,http/1.1"}
_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_IN_WORDS = {"TLSv1": "TLSv1.0"}
_BEFORE_TLS_1_2 = {"TLSv1", "TLSv1.1"}
# Their handshakes are signed with SHA-1, which OpenSSL refuses above this level: a policy that has them names it.
_SHA1_LEVEL = "@SECLEVEL=0"
_DRAIN_S = 30


def is_tls(listener: PlannedListener) -> bool:
    return listener.protocol in ("HTTPS", "TLS")


def section(plan: BalancerPlan, node: PlannedNode, listener: PlannedListener, at: str) -> list[str]:
    groups = {group.arn for group in plan.groups}
    begin = [f"frontend {names.frontend(listener.arn)}", f"bind {node.private_ipv4}:{int(listener.port)}"]
    begin[1] += _tls(plan, listener, at) if is_tls(listener) else ""
    if listener.protocol in ("HTTP", "HTTPS"):
        return [*begin, *_http(plan, listener, groups, at)]
    return [*begin, *_tcp(listener, groups)]


def certificates(listener: PlannedListener, at: str) -> str:
    """The crt-list: the first is for who asks for no name that another is good for."""
    lines = [f"{at}/certificates/{names.certificate(listener.certificates[0].arn)}"] if listener.certificates else []
    for one in listener.certificates:
        good = " ".join(name for name in one.names if _is_host(name))
        if good:
            lines.append(f"{at}/certificates/{names.certificate(one.arn)} {good}")
    return "".join(f"{line}\n" for line in lines)


def keys(listeners: Iterable[PlannedListener]) -> Mapping[str, PlannedCertificate]:
    return {names.certificate(one.arn): one for listener in listeners for one in listener.certificates}


def _is_host(name: str) -> bool:
    return bool(name) and all(letter.isascii() and (letter.isalnum() or letter in "*.-") for letter in name)


def _tls(plan: BalancerPlan, listener: PlannedListener, at: str) -> str:
    policy = TLS_POLICIES.get(listener.ssl_policy) or TLS_POLICIES[DEFAULT_POLICY]
    known = [version for version in _VERSIONS if version in policy.protocols]
    old = [cipher for cipher in policy.ciphers if not cipher.startswith("TLS_")]
    new = [cipher for cipher in policy.ciphers if cipher.startswith("TLS_")]
    old += [_SHA1_LEVEL] if _BEFORE_TLS_1_2 & set(known) else []
    words = f" ssl crt-list {quoted(f'{at}/certificates/{names.frontend(listener.arn)}.list')}"
    words += f" ssl-min-ver {_IN_WORDS.get(known[0], known[0])} ssl-max-ver {_IN_WORDS.get(known[-1], known[-1])}"
    words += f" ciphers {quoted(':'.join(old))}" if old else ""
    words += f" ciphersuites {quoted(':'.join(new))}" if new else ""
    if listener.protocol == "HTTPS":
        is_h2 = forwarded.attribute(plan, "routing.http2.enabled", "true") == "true"
        return words + (" alpn h2,http/1.1" if is_h2 else " alpn http/1.1")
    alpn = _ALPN.get(listener.alpn)
    return words + (f" alpn {alpn}" if alpn else "")


def _http(plan: BalancerPlan, listener: PlannedListener, groups: set[str], at: str) -> list[str]:
    idle = round(float(forwarded.attribute(plan, "idle_timeout.timeout_seconds", "60")) * 1000)
    life = int(float(forwarded.attribute(plan, "client_keep_alive.seconds", "3600")))
    scheme = "https" if is_tls(listener) else "http"
    is_simple = not listener.rules and single(listener.default) is not None and not plan.access_log
    return [
        "mode http",
        f"timeout client {idle}",
        f"timeout http-request {idle}",
        f"timeout http-keep-alive {idle}",
        # A process that was replaced answers one more request of each connection before it closes it.
        "option idle-close-on-response",
        actions.CHOSEN,
        "tcp-request session set-var(sess.born) date",
        forwarded.DRAWN,
        f"http-after-response set-header Connection close if {{ date,sub(sess.born) gt {life} }}",
        "http-after-response add-header Date '%[date,http_date]' if !{ res.fhdr(date) -m found }",
        *(access_format.lines(at) if plan.access_log else ()),
        *forwarded.always(plan, listener, scheme),
        # A usual request has come to the end of its rules here.
        forwarded.usual(plan, listener) if is_simple else "",
        *refusals.of_requests(at),
        "http-request set-var(txn.host) req.hdr(host),host_only,lower" if _asks_host(listener) else "",
        *forwarded.unusual(plan, listener),
        *(() if is_simple else forwarded.MISSING),
        access_format.TRACE if plan.access_log else "",
        *_rules(listener, groups, at, is_logged=bool(plan.access_log)),
        *_chosen(listener, groups),
    ]


def _asks_host(listener: PlannedListener) -> bool:
    acts = [listener.default, *(rule.action for rule in listener.rules)]
    fields = {condition.field for rule in listener.rules for condition in rule.conditions}
    return "host-header" in fields or not all(isinstance(act, Forward) for act in acts)


def _rules(listener: PlannedListener, groups: set[str], at: str, *, is_logged: bool) -> list[str]:
    scheme = "https" if is_tls(listener) else "http"
    found = [access_format.chosen(0, _kind(listener.default))] if is_logged else []
    for number, rule in enumerate(sorted(listener.rules, key=lambda rule: rule.priority)):
        labels = [f"r{number}c{index}" for index in range(len(rule.conditions))]
        for label, condition in zip(labels, rule.conditions, strict=True):
            found += conditions.lines(label, condition)
        if is_logged:
            found.append(access_format.chosen(rule.priority, _kind(rule.action), " ".join(labels)))
        found += actions.lines(rule.action, " ".join(labels), scheme, listener.port, groups, at)
    if single(listener.default) is None:
        found += actions.lines(listener.default, "", scheme, listener.port, groups, at)
    if any(_is_kept(act) for act in (listener.default, *(rule.action for rule in listener.rules))):
        kept = "%[var(txn.to)]; Expires=%[date,add(txn.sticky),http_date]; Path=/"
        found += [
            f"http-response add-header Set-Cookie '{cookie}' if {{ var(txn.sticky) -m found }}"
            for cookie in (f"AWSALBTG={kept}", f"AWSALBTGCORS={kept}; SameSite=None; Secure")
        ]
    return found


def _kind(action: PlannedAction) -> str:
    """As AWS calls it, in its access logs too."""
    match action:
        case Forward():
            return "forward"
        case Redirect():
            return "redirect"
        case FixedResponse():
            return "fixed-response"


def _is_kept(action: PlannedAction) -> bool:
    return isinstance(action, Forward) and action.stickiness_s is not None


def single(action: PlannedAction) -> str | None:
    """The ARN of the one group that an action always means."""
    if isinstance(action, Forward) and len(action.groups) == 1 and action.stickiness_s is None:
        return action.groups[0].arn
    return None


def _chosen(listener: PlannedListener, groups: set[str]) -> list[str]:
    """A group none of whose targets is healthy is asked for all of them."""
    acts: Sequence[PlannedAction] = [rule.action for rule in listener.rules]
    default = single(listener.default)
    if default is None:
        acts = [*acts, listener.default]
    meant = sorted({one.arn for act in acts if isinstance(act, Forward) for one in act.groups} & groups)
    found = [
        f"use_backend {name}{names.OPEN} if {{ var(txn.to) -m str {name} }} {_none_of(name)}"
        for name in map(names.backend, meant)
    ]
    if meant or acts:
        found.append("use_backend %[var(txn.to)] if chosen")
    return found + _default(default, groups)


def _default(arn: str | None, groups: set[str]) -> list[str]:
    if arn is None or arn not in groups:
        return [f"default_backend {names.NOWHERE}"]
    name = names.backend(arn)
    return [f"use_backend {name}{names.OPEN} if {_none_of(name)}", f"default_backend {name}"]


def _none_of(name: str) -> str:
    """A process that was replaced counts no target any more, though it can ask them for whom it still has."""
    return f"{{ nbsrv({name}) eq 0 }} !{{ stopping }}"


def _tcp(listener: PlannedListener, groups: set[str]) -> list[str]:
    idle = round(listener.idle_timeout_s * 1000)
    found = ["mode tcp", f"timeout client {idle}", f"timeout client-fin {_DRAIN_S}s"]
    if single(listener.default) is None and isinstance(listener.default, Forward):
        found.append(actions.CHOSEN)
        plain = Forward(groups=listener.default.groups)
        found += [f"tcp-request content {line}" for line in actions.forward(plain, "", groups)]
    return [*found, *_tcp_chosen(listener, groups)]


def _tcp_chosen(listener: PlannedListener, groups: set[str]) -> list[str]:
    if not isinstance(listener.default, Forward):
        return [f"default_backend {names.NOWHERE}tcp"]
    found = _chosen(listener, groups)
    return [f"{line}tcp" if line == f"default_backend {names.NOWHERE}" else line for line in found]


def errors(at: str) -> list[str]:
    return [f"errorfile {code} {quoted(f'{at}/pages/{code}.http')}" for code in pages.codes()]
