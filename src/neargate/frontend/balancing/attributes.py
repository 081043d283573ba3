"""Attributes of load balancers and target groups: AWS's keys of each kind, their defaults and what values they take.

Literal and pure. A value that AWS knows and that is not built is refused by name, never kept as if it held. Kept are
those that differ from the default.
"""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from .errors import InvalidConfigurationRequest, ValidationError
from .objects import Attributes, LoadBalancer, TargetGroup

Given = Iterable[tuple[str, str]]
BOOLEANS = ("true", "false")


class Key(Struct, frozen=True, kw_only=True):
    """`values`: all that AWS takes; `lowest`, `highest`: of numbers; neither: any text. `built`: the values that hold
    here, where these are not all; `instead`: a sentence for who wants another."""

    default: str
    values: tuple[str, ...] = ()
    lowest: int | None = None
    highest: int = 0
    besides: tuple[int, ...] = ()  # numbers outside of the range
    built: tuple[str, ...] = ()
    instead: str = ""  # what a refusal of another value adds
    is_own: bool = False  # Neargate's: shown only where it is set, so that the list is AWS's


def _bool(default: str, *built: str) -> Key:
    return Key(default=default, values=BOOLEANS, built=built)


def _number(default: int, lowest: int, highest: int, *besides: int) -> Key:
    return Key(default=str(default), lowest=lowest, highest=highest, besides=besides)


ACCESS_LOG = "access_logs.cloudwatch.log_group"  # ours: empty is off
_LOGGED_HERE = f"Access logs go to a log group of CloudWatch Logs, which '{ACCESS_LOG}' names"

_COMMON: Mapping[str, Key] = {
    "access_logs.s3.bucket": Key(default=""),
    "access_logs.s3.enabled": _bool("false", "false"),
    "access_logs.s3.prefix": Key(default=""),
    "deletion_protection.enabled": _bool("false"),
    "ipv6.deny_all_igw_traffic": _bool("false", "false"),
    "zonal_shift.config.enabled": _bool("false", "false"),
}
_APPLICATION: Mapping[str, Key] = {
    **_COMMON,
    ACCESS_LOG: Key(default="", is_own=True),
    "access_logs.s3.enabled": Key(default="false", values=BOOLEANS, built=("false",), instead=_LOGGED_HERE),
    "client_keep_alive.seconds": _number(3600, 60, 604800),
    "connection_logs.s3.bucket": Key(default=""),
    "connection_logs.s3.enabled": _bool("false", "false"),
    "connection_logs.s3.prefix": Key(default=""),
    "health_check_logs.s3.bucket": Key(default=""),
    "health_check_logs.s3.enabled": _bool("false", "false"),
    "health_check_logs.s3.prefix": Key(default=""),
    "idle_timeout.timeout_seconds": _number(60, 1, 4000),
    "load_balancing.cross_zone.enabled": _bool("true", "true"),
    "routing.http.desync_mitigation_mode": Key(
        default="defensive",
        values=("monitor", "defensive", "strictest"),
        built=("defensive",),
        instead="requests that are ambiguous close their connections, what is malformed is refused",
    ),
    "routing.http.drop_invalid_header_fields.enabled": _bool("false"),
    "routing.http.preserve_host_header.enabled": _bool("false"),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": _bool("false"),
    "routing.http.xff_client_port.enabled": _bool("false"),
    "routing.http.xff_header_processing.mode": Key(default="append", values=("append", "preserve", "remove")),
    "routing.http2.enabled": _bool("true"),
    "waf.fail_open.enabled": _bool("false"),
}
_NETWORK: Mapping[str, Key] = {
    **_COMMON,
    "dns_record.client_routing_policy": Key(
        default="any_availability_zone",
        values=("any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"),
        built=("any_availability_zone",),
    ),
    "load_balancing.cross_zone.enabled": _bool("false"),
    "secondary_ips.auto_assigned.per_subnet": Key(default="0", lowest=0, highest=7, built=("0",)),
}
BALANCERS: Mapping[str, Mapping[str, Key]] = {"application": _APPLICATION, "network": _NETWORK}

_STICKINESS_TYPES = ("app_cookie", "lb_cookie", "source_ip")
_ANY_GROUP: Mapping[str, Key] = {
    "deregistration_delay.timeout_seconds": _number(300, 0, 3600),
    "load_balancing.cross_zone.enabled": Key(
        default="use_load_balancer_configuration", values=("true", "false", "use_load_balancer_configuration")
    ),
    "stickiness.enabled": _bool("false"),
    "target_group_health.dns_failover.minimum_healthy_targets.count": Key(default="1", built=("1",)),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": Key(default="off", built=("off",)),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": Key(default="1", built=("1",)),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": Key(
        default="off", built=("off",)
    ),
}
_HTTP_GROUP: Mapping[str, Key] = {
    **_ANY_GROUP,
    "load_balancing.algorithm.anomaly_mitigation": Key(default="off", values=("on", "off"), built=("off",)),
    "load_balancing.algorithm.type": Key(
        default="round_robin", values=("round_robin", "least_outstanding_requests", "weighted_random")
    ),
    "slow_start.duration_seconds": _number(0, 30, 900, 0),
    "stickiness.app_cookie.cookie_name": Key(default=""),
    "stickiness.app_cookie.duration_seconds": _number(86400, 1, 604800),
    "stickiness.lb_cookie.duration_seconds": _number(86400, 1, 604800),
    "stickiness.type": Key(default="lb_cookie", values=_STICKINESS_TYPES),
}
_TCP_GROUP: Mapping[str, Key] = {
    **_ANY_GROUP,
    "deregistration_delay.connection_termination.enabled": _bool("false"),
    "preserve_client_ip.enabled": Key(
        default="false",
        values=BOOLEANS,
        built=("false",),
        instead="targets learn their clients' addresses by proxy_protocol_v2.enabled",
    ),
    "proxy_protocol_v2.enabled": _bool("false"),
    "stickiness.type": Key(default="source_ip", values=_STICKINESS_TYPES),
    "target_health_state.unhealthy.connection_termination.enabled": _bool("true"),
    "target_health_state.unhealthy.draining_interval_seconds": Key(default="0", lowest=0, highest=360000, built=("0",)),
}
GROUPS: Mapping[str, Mapping[str, Key]] = {
    "HTTP": _HTTP_GROUP,
    "HTTPS": _HTTP_GROUP,
    "TCP": _TCP_GROUP,
    "TLS": _TCP_GROUP,
}
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)
_RESERVED_COOKIES = ("AWSALB", "AWSALBAPP", "AWSALBTG")


def of_balancer(balancer: LoadBalancer) -> dict[str, str]:
    """All of them, by key."""
    return _whole(BALANCERS[balancer.lb_type], balancer.attributes)


def of_group(group: TargetGroup) -> dict[str, str]:
    """All of them, by key."""
    return _whole(GROUPS[group.protocol], group.attributes)


def balancer_changed(balancer: LoadBalancer, given: Given) -> Attributes:
    """What is kept then. Raises ValidationError, InvalidConfigurationRequest."""
    return changed(BALANCERS[balancer.lb_type], balancer.attributes, given, "Load balancer")


def group_changed(group: TargetGroup, given: Given) -> Attributes:
    """What is kept then. Raises ValidationError, InvalidConfigurationRequest."""
    given, table, protocol = tuple(given), GROUPS[group.protocol], group.protocol
    for key, value in given:
        if key == "stickiness.type":
            _check_stickiness_type(protocol, value)
    kept = changed(table, group.attributes, given, "Target group")
    whole = _whole(table, kept)
    if whole["stickiness.enabled"] == "true" and protocol == "TLS":
        raise InvalidConfigurationRequest("You cannot enable stickiness on target groups with the TLS protocol")
    if protocol in ("HTTP", "HTTPS"):
        _check_cookie(whole)
        if whole["slow_start.duration_seconds"] != "0" and whole["load_balancing.algorithm.type"] != "round_robin":
            raise InvalidConfigurationRequest(
                "Slow start mode is only supported with the 'round_robin' load balancing algorithm"
            )
    return kept


def changed(table: Mapping[str, Key], have: Attributes, given: Given, kind: str) -> Attributes:
    """What is kept then, sorted. `kind`: as sentences begin. Raises ValidationError, InvalidConfigurationRequest."""
    kept = dict(have)
    seen: set[str] = set()
    for key, value in given:
        known = table.get(key)
        if known is None:
            raise ValidationError(f"{kind} attribute key '{key[:255]}' is not recognized")
        if key in seen:
            raise ValidationError(f"{kind} attribute key '{key}' cannot be specified more than once")
        seen.add(key)
        _check(key, known, value)
        kept[key] = value
    return tuple(sorted((key, value) for key, value in kept.items() if value != table[key].default))


def _check(key: str, known: Key, value: str) -> None:
    if known.values and value not in known.values:
        name = "Stickiness type" if key == "stickiness.type" else key
        raise ValidationError(f"'{name}' must be one of [{', '.join(known.values)}]")
    if known.lowest is not None:
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
        if not known.lowest <= number <= known.highest and number not in known.besides:
            raise ValidationError(f"'{key}' value must be between '{known.lowest}' and '{known.highest}' inclusive")
    if known.built and value not in known.built:
        instead = f"; {known.instead}" if known.instead else ""
        raise InvalidConfigurationRequest(f"Neargate does not support the value '{value[:255]}' of '{key}'{instead}")


def _check_stickiness_type(protocol: str, kind: str) -> None:
    """Also of one that stays off."""
    _check("stickiness.type", Key(default="", values=_STICKINESS_TYPES), kind)
    if (kind == "source_ip") == (protocol in ("HTTP", "HTTPS")):
        raise InvalidConfigurationRequest(
            f"Stickiness type '{kind}' is not supported for target groups with the {protocol} protocol"
        )


def _check_cookie(whole: Mapping[str, str]) -> None:
    cookie = whole["stickiness.app_cookie.cookie_name"]
    if cookie and (_COOKIE_NAME.fullmatch(cookie) is None or cookie.upper().startswith(_RESERVED_COOKIES)):
        raise InvalidConfigurationRequest(f"The cookie name '{cookie[:255]}' is not valid")
    if whole["stickiness.enabled"] == "true" and whole["stickiness.type"] == "app_cookie" and not cookie:
        raise InvalidConfigurationRequest("A cookie name must be specified if the stickiness type is 'app_cookie'")


def _whole(table: Mapping[str, Key], kept: Attributes) -> dict[str, str]:
    shown = {key: known.default for key, known in table.items() if not known.is_own}
    return shown | {key: value for key, value in kept if key in table}
