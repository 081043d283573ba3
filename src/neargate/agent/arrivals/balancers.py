"""What a server says of load balancers, bounded before a proxy is configured by it. A part of `messages.py`.

Invariant: what passes names files by ids alone, and has counts, addresses and numbers that a proxy can have. That no
text gets out of its place in a proxy's configuration is the configuration's own business.
"""

from collections.abc import Iterable

from ...model.balancing import (
    APPLICATION,
    NETWORK_LB,
    BalancerPlan,
    Condition,
    FixedResponse,
    Forward,
    PlannedAction,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    Redirect,
)
from .judging import (
    INTEGER_MAX,
    LIST_MAX,
    check_between,
    check_count,
    check_id,
    check_plain,
    need,
    read_address,
    read_ipv4,
)

_ARN_MAX = 512
_TEXT_MAX = 4096
_PEM_MAX = 1 << 18
_TARGETS_MAX = 20_000  # of all groups
_TIME_MAX_S = 604_800  # a week: stickiness
_LISTENER_PROTOCOLS = frozenset({"HTTP", "HTTPS", "TCP", "TLS"})


def check_balancer(plan: BalancerPlan) -> None:
    check_plain("arn", plan.arn, _ARN_MAX)
    check_plain("name", plan.name, 64)
    check_id("vpc_id", plan.vpc_id)
    check_between("generation", plan.generation, 0, INTEGER_MAX)
    need(plan.kind in (APPLICATION, NETWORK_LB), "a load balancer is of no kind")
    if plan.access_log:
        check_id("access_log", plan.access_log)
    check_count("nodes", plan.nodes, LIST_MAX)
    for node in plan.nodes:
        _check_node(node)
    check_count("listeners", plan.listeners, LIST_MAX)
    for listener in plan.listeners:
        _check_listener(listener)
    check_count("groups", plan.groups, LIST_MAX)
    need(sum(len(group.targets) for group in plan.groups) <= _TARGETS_MAX, "there are too many targets")
    for group in plan.groups:
        _check_group(group)
    check_count("attributes", plan.attributes, LIST_MAX)
    _check_texts("attributes", (text for pair in plan.attributes for text in pair))


def _check_node(node: PlannedNode) -> None:
    for name in ("place", "eni_id"):
        check_id(name, getattr(node, name))
    check_plain("zone", node.zone, 64)
    read_ipv4("private_ipv4", node.private_ipv4)
    if node.public_ipv4 is not None:
        read_ipv4("public_ipv4", node.public_ipv4)
    if node.host_id:
        check_id("host_id", node.host_id)


def _check_listener(listener: PlannedListener) -> None:
    check_plain("arn", listener.arn, _ARN_MAX)
    check_between("port", listener.port, 1, 65535)
    need(listener.protocol in _LISTENER_PROTOCOLS, "a listener is of no protocol")
    _check_action(listener.default)
    check_count("rules", listener.rules, LIST_MAX)
    for rule in listener.rules:
        check_between("priority", rule.priority, 1, 1_000_000)
        check_count("conditions", rule.conditions, LIST_MAX)
        for condition in rule.conditions:
            _check_condition(condition)
        _check_action(rule.action)
    check_count("certificates", listener.certificates, LIST_MAX)
    for certificate in listener.certificates:
        check_plain("arn", certificate.arn, _ARN_MAX)
        _check_texts("names", certificate.names)
        need(len(certificate.pem) <= _PEM_MAX and "\0" not in certificate.pem, "a certificate is too long")
    _check_texts("policy", (listener.ssl_policy, listener.alpn))
    need(0 < listener.idle_timeout_s <= _TIME_MAX_S, "a listener's time-out is none")


def _check_condition(condition: Condition) -> None:
    """Values may be any text: where it stands in a proxy's configuration is not said here."""
    check_plain("field", condition.field, 64)
    check_count("values", condition.values, LIST_MAX)
    check_count("pairs", condition.pairs, LIST_MAX)
    texts = [condition.name, *condition.values, *(value for _, value in condition.pairs)]
    texts += [key for key, _ in condition.pairs if key is not None]
    need(all(len(text) <= _TEXT_MAX and "\0" not in text for text in texts), "a condition has a value that is none")


def _check_action(action: PlannedAction) -> None:
    match action:
        case Forward():
            check_count("groups", action.groups, LIST_MAX)
            for group in action.groups:
                check_plain("arn", group.arn, _ARN_MAX)
                check_between("weight", group.weight, 0, 999)
            check_between("stickiness", action.stickiness_s or 0, 0, _TIME_MAX_S)
        case Redirect():
            check_between("code", action.code, 300, 399)
            texts = (action.protocol, action.host, action.port, action.path, action.query)
            need(all(len(text) <= _TEXT_MAX and "\0" not in text for text in texts), "a redirect leads nowhere")
        case FixedResponse():
            check_between("code", action.code, 200, 599)
            check_plain("content_type", action.content_type, 256)
            need(len(action.body) <= _TEXT_MAX and "\0" not in action.body, "a response is too long")


def _check_group(group: PlannedGroup) -> None:
    check_plain("arn", group.arn, _ARN_MAX)
    need(group.protocol in _LISTENER_PROTOCOLS, "a group is of no protocol")
    check_plain("version", group.version, 16)
    for target in group.targets:
        read_address("ip", target.ip)
        check_between("port", target.port, 1, 65535)
        check_plain("zone", target.zone or "", 64)
    check = group.check
    check_plain("path", check.path, _TEXT_MAX)
    check_between("port", check.port or 1, 1, 65535)
    check_count("codes", check.codes, LIST_MAX)
    for first, last in check.codes:
        check_between("code", first, 0, 999)
        check_between("code", last, first, 999)
    need(1 <= check.interval_s <= 3600 and 1 <= check.timeout_s <= 3600, "a health check has no time")
    check_between("healthy", check.healthy, 1, 100)
    check_between("unhealthy", check.unhealthy, 1, 100)
    check_between("slow_start_s", group.slow_start_s, 0, 3600)
    check_between("deregistration_delay_s", group.deregistration_delay_s, 0, 3600)
    if group.stickiness is not None:
        check_between("stickiness", group.stickiness.duration_s, 1, _TIME_MAX_S)
        _check_texts("stickiness", (group.stickiness.kind, group.stickiness.cookie))


def _check_texts(name: str, texts: Iterable[str]) -> None:
    for text in texts:
        check_plain(name, text, _TEXT_MAX)
