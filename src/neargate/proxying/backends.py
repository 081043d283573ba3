"""A target group as HAProxy's backends: the one that is checked, its twin for when no target is healthy, and one where
fresh targets are tried often, so that a target's first request does not wait for the next of its checks.

A target's words are the same in the file and in the command that adds it to a running process.
"""

from collections.abc import Sequence

from ..model.balancing import APPLICATION, BalancerPlan, HealthCheck, PlannedGroup, PlannedTarget
from . import forwarded, names, pages, refusals
from .words import is_name, quoted, url_part

PROBE_EVERY_MS = 500
CONNECT_MS = 3333  # times the attempts: AWS's ten seconds. Nodes' kernels give up after 3 s, before this
ATTEMPTS_AFTER = 2
PURGE_S = 10
# A target that refuses a connection is tried again after a second; one that says nothing takes longer than that.
_SILENT = "date(0,ms),sub(txn.asked),div(3000),bool"
_MARK = "x-unreached"  # of the proxy's own 503: a target's, or a rule's, is left as it is
UNREACHED = "pages/unreached.html"
_GRPC_OK = ((12, 12),)
_BALANCE = {"least_outstanding_requests": "leastconn", "weighted_random": "random(1)"}


def is_http(plan: BalancerPlan) -> bool:
    return plan.kind == APPLICATION


def files() -> dict[str, str]:
    """By the name of the file, below the node's directory."""
    return {UNREACHED: pages.unreached(_SILENT)}


def sections(plan: BalancerPlan, group: PlannedGroup, targets: Sequence[PlannedTarget], at: str) -> list[str]:
    """`targets`: those that the file has; the command interface may have made it more or fewer since."""
    name = names.backend(group.arn)
    common = _http(plan, group, at) if is_http(plan) else _tcp(group)
    ids = names.server_ids(group, targets)
    # Also where there is no target yet: who changes these words changes every server.
    words = f"# {checked(group)} / {probed(group)}" if group.check.enabled else f"# {unchecked(group)}"
    found = [f"backend {name}", words, *common, *_check(group)]
    found += [f"server {_named(group, one, ids)} {checked(group)}" for one in targets]
    found += [f"backend {name}{names.OPEN}", *common]
    if is_http(plan):
        found.insert(
            found.index(f"backend {name}{names.OPEN}") + 1,
            f"http-request {pages.answer(503, at)} if {{ nbsrv() eq 0 }} !{{ stopping }}",
        )
    found += [f"server {_named(group, one, ids)} {unchecked(group)}" for one in targets]
    return [*found, f"backend {name}{names.PROBE}", *common[:1], "balance roundrobin", *_check(group)]


def _named(group: PlannedGroup, target: PlannedTarget, ids: dict[str, int]) -> str:
    name = names.server(group, target)
    return f"{name} {address(target)} id {ids[name]}"


def address(target: PlannedTarget) -> str:
    return f"{target.ip}:{int(target.port)}"


def checked(group: PlannedGroup) -> str:
    if not group.check.enabled:
        return unchecked(group)
    check = group.check
    slow = f" slowstart {group.slow_start_s}s" if group.slow_start_s else ""
    ends = " on-marked-down shutdown-sessions" if not _speaks_http(group) and group.ends_when_unhealthy else ""
    return f"{unchecked(group)} {_checking(group, _ms(check.interval_s), check.healthy, check.unhealthy)}{slow}{ends}"


def probed(group: PlannedGroup) -> str:
    """One pass is enough, one failure too: so it is told again by the next."""
    return f"{unchecked(group)} {_checking(group, min(PROBE_EVERY_MS, _ms(group.check.interval_s)), 1, 1)}"


def _checking(group: PlannedGroup, every_ms: int, rise: int, fall: int) -> str:
    found = f"check inter {every_ms} rise {rise} fall {fall}"
    if group.check.port is not None:
        found += f" port {group.check.port}"
    if group.check.protocol == "HTTPS":
        found += " check-ssl" + ("" if is_tls(group) else " verify none")
    if group.proxy_protocol_v2:
        found += " check-send-proxy"
    if _is_h2(group) and group.check.protocol == "HTTP" and not _is_checked_plain(group):
        found += " check-proto h2"
    return found + (" check-alpn h2" if _is_h2(group) and group.check.protocol == "HTTPS" else "")


def unchecked(group: PlannedGroup) -> str:
    # A server that is added by a command keeps no connection for the next request unless it is told both.
    found = f"pool-purge-delay {PURGE_S}s pool-max-conn -1"
    if is_tls(group):
        found += " ssl verify none" + (" alpn h2" if _is_h2(group) else "")
    elif _is_h2(group):
        found += " proto h2"
    return found + (" send-proxy-v2" if group.proxy_protocol_v2 else "")


def is_tls(group: PlannedGroup) -> bool:
    return group.protocol in ("HTTPS", "TLS")


def _is_checked_plain(group: PlannedGroup) -> bool:
    """By another way than its requests go. Servers that are added by commands cannot say so, their backend can."""
    return is_tls(group) and group.check.protocol != "HTTPS"


def _speaks_http(group: PlannedGroup) -> bool:
    return group.protocol in ("HTTP", "HTTPS")


def _is_h2(group: PlannedGroup) -> bool:
    return _speaks_http(group) and group.version in ("HTTP2", "GRPC")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _check(group: PlannedGroup) -> list[str]:
    check = group.check
    if not check.enabled:
        return []
    found = [f"timeout check {_ms(check.timeout_s)}"]
    way = "connect default"
    if _is_checked_plain(group):
        way = "connect" + (" send-proxy" if group.proxy_protocol_v2 else "")
    if check.protocol == "TCP":
        return [*found, "option tcp-check", f"tcp-check {way}"]
    if _is_checked_plain(group) and _is_h2(group):
        way += " proto h2"
    is_grpc = group.version == "GRPC"
    method, version = ("POST", "HTTP/2") if is_grpc else ("GET", "HTTP/2" if _is_h2(group) else "HTTP/1.1")
    path = check.path if check.path.startswith("/") else "/" + check.path
    headers = "hdr Host '%[bc_dst]:%[bc_dst_port]' hdr User-Agent ELB-HealthChecker/2.0"
    if is_grpc:
        headers += " hdr Content-Type application/grpc hdr TE trailers"
    return [
        *found,
        "option httpchk",
        f"http-check {way}",
        f"http-check send meth {method} uri {quoted(url_part(path))} ver {version} {headers}",
        f"http-check expect {_expected(check, is_grpc)}",
    ]


def _expected(check: HealthCheck, is_grpc: bool) -> str:
    if not is_grpc:
        return "status " + ",".join(str(low) if low == high else f"{low}-{high}" for low, high in check.codes)
    codes = {str(code) for low, high in check.codes or _GRPC_OK for code in range(low, min(high, 99) + 1)}
    pattern = quoted(f"^({'|'.join(sorted(codes))})$")
    return f"hdr name grpc-status value -m reg {pattern}"


def _http(plan: BalancerPlan, group: PlannedGroup, at: str) -> list[str]:
    idle = _ms(float(dict(plan.attributes).get("idle_timeout.timeout_seconds", "60")))
    return [
        "mode http",
        f"balance {_BALANCE.get(group.algorithm, 'roundrobin')}",
        f"timeout connect {CONNECT_MS}",
        f"timeout server {idle}",
        f"timeout tunnel {idle}",
        f"retries {ATTEMPTS_AFTER}",
        "option redispatch 1",
        # What was sent is sent again only where that asks for nothing twice.
        "retry-on conn-failure empty-response",
        "http-request disable-l7-retry if !METH_GET !METH_OPTIONS",
        # Who refused a connection is a bad gateway, who did not answer one was waited for; that there is nobody is told
        # before anybody is tried.
        "http-request set-var(txn.asked) date(0,ms)",
        *forwarded.of_backend(plan),
        f"http-error status 503 content-type text/html lf-file {quoted(f'{at}/{UNREACHED}')}"
        f" hdr Server {pages.SERVER} hdr {_MARK} yes",
        "http-after-response allow if !{ status 503 }",
        f"http-after-response set-status 504 if {{ status 503 }} {{ res.hdr({_MARK}) -m found }} {{ {_SILENT} }}",
        f"http-after-response set-status 502 reason 'Bad Gateway' if {{ status 503 }} {{ res.hdr({_MARK}) -m found }}",
        f"http-after-response del-header {_MARK} if {{ status 502 504 }}",
        *refusals.of_version(group.version),
        *refusals.of_responses(),
        *_sticky(group),
    ]


def _sticky(group: PlannedGroup) -> list[str]:
    """A cookie names the target, so that every node of the load balancer, and this one after any end, knows it."""
    sticky = group.stickiness
    if sticky is None or sticky.kind not in ("lb_cookie", "app_cookie"):
        return []
    life = f"Expires=%[date({int(sticky.duration_s)}),http_date]; Path=/"
    if sticky.kind == "lb_cookie":
        return [
            "use-server %[req.cook(AWSALB)] if { req.cook(AWSALB) -m found }",
            # Who asks from another site's page may send this one alone.
            "use-server %[req.cook(AWSALBCORS)] if { req.cook(AWSALBCORS) -m found } !{ req.cook(AWSALB) -m found }",
            f"http-response add-header Set-Cookie 'AWSALB=%s; {life}'",
            f"http-response add-header Set-Cookie 'AWSALBCORS=%s; {life}; SameSite=None; Secure'",
        ]
    if not is_name(sticky.cookie):
        return []
    theirs = sticky.cookie
    both = f"{{ req.cook(AWSALBAPP-0) -m found }} {{ req.cook({theirs}) -m found }}"
    return [
        f"http-request set-var(txn.kept) bool(true) if {both}",
        f"use-server %[req.cook(AWSALBAPP-0)] if {both}",
        f"http-response add-header Set-Cookie 'AWSALBAPP-0=%s; {life}'"
        f" if {{ res.cook({theirs}) -m found }} or {{ var(txn.kept) -m bool }}",
    ]


def _tcp(group: PlannedGroup) -> list[str]:
    if group.stickiness is not None and group.stickiness.kind == "source_ip":
        balance = ["balance source", "hash-type consistent"]
    else:
        balance = ["balance roundrobin"]
    return ["mode tcp", *balance, f"timeout connect {CONNECT_MS}", f"retries {ATTEMPTS_AFTER}", "option redispatch 1"]
