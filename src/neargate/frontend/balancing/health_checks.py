"""Health checks of target groups as requests say them: AWS's defaults and limits for each protocol. Pure."""

import re

from msgspec import Struct
from msgspec.structs import replace

from ...model.balancing import HealthCheck
from .errors import InvalidConfigurationRequest, ValidationError

HTTP_PROTOCOLS = ("HTTP", "HTTPS")
TRAFFIC_PORT = "traffic-port"
_GRPC = "GRPC"
_PATH = re.compile(r"/[!-~]*", re.ASCII)
_CODES = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?)*", re.ASCII)
_INTERVAL_S = 30


class WantedCheck(Struct, frozen=True, kw_only=True):
    """What a request says. None: nothing. `http_codes`, `grpc_codes`: its Matcher's."""

    enabled: bool | None = None
    protocol: str | None = None
    port: str | None = None
    path: str | None = None
    interval_s: int | None = None
    timeout_s: int | None = None
    healthy: int | None = None
    unhealthy: int | None = None
    http_codes: str | None = None
    grpc_codes: str | None = None


class Checked(Struct, frozen=True, kw_only=True):
    """`matcher`: as it was given, None where there is none."""

    check: HealthCheck
    matcher: str | None


def new_check(protocol: str, version: str, wanted: WantedCheck) -> Checked:
    """Of a group of this protocol. Raises ValidationError, InvalidConfigurationRequest."""
    own = wanted.protocol or ("HTTP" if protocol in HTTP_PROTOCOLS else "TCP")
    default = HealthCheck(
        protocol=own,
        path="/AWS.ALB/healthcheck" if version == _GRPC else "/",
        interval_s=_INTERVAL_S,
        timeout_s=_timeout(protocol, own),
    )
    if wanted.timeout_s is None and wanted.interval_s is not None:
        least = wanted.interval_s - 1 if protocol in HTTP_PROTOCOLS else wanted.interval_s
        default = replace(default, timeout_s=min(default.timeout_s, least))
    elif wanted.interval_s is None and wanted.timeout_s is not None:
        most = wanted.timeout_s + 1 if protocol in HTTP_PROTOCOLS else wanted.timeout_s
        default = replace(default, interval_s=max(default.interval_s, most))
    matcher = _default_matcher(protocol, version) if own in HTTP_PROTOCOLS else None
    return _with(protocol, version, Checked(check=default, matcher=matcher), wanted)


def changed_check(protocol: str, version: str, have: Checked, wanted: WantedCheck) -> Checked:
    """Raises ValidationError, InvalidConfigurationRequest."""
    own = wanted.protocol or have.check.protocol
    if (own in HTTP_PROTOCOLS) != (have.check.protocol in HTTP_PROTOCOLS):
        matcher = _default_matcher(protocol, version) if own in HTTP_PROTOCOLS else None
        have = Checked(check=replace(have.check, path="/"), matcher=matcher)
    return _with(protocol, version, have, wanted)


def _with(protocol: str, version: str, have: Checked, wanted: WantedCheck) -> Checked:
    own = wanted.protocol or have.check.protocol
    if own not in (*HTTP_PROTOCOLS, "TCP") or (own == "TCP" and protocol in HTTP_PROTOCOLS):
        raise InvalidConfigurationRequest(
            f"Health check protocol '{own}' is not supported for target groups with the {protocol} protocol"
        )
    if wanted.enabled is False:
        raise ValidationError("Health check enabled must be true for target groups with target type 'ip'")
    matcher = _matcher(protocol, version, own, wanted) or have.matcher
    check = replace(
        have.check,
        protocol=own,
        port=_port(wanted.port) if wanted.port is not None else have.check.port,
        path=_path(own, wanted.path) if wanted.path is not None else have.check.path,
        codes=codes(matcher) if matcher is not None else (),
        interval_s=wanted.interval_s or have.check.interval_s,
        timeout_s=wanted.timeout_s or have.check.timeout_s,
        healthy=wanted.healthy or have.check.healthy,
        unhealthy=wanted.unhealthy or have.check.unhealthy,
    )
    _check_times(protocol, check)
    return Checked(check=check, matcher=matcher)


def codes(matcher: str) -> tuple[tuple[int, int], ...]:
    """Inclusive ranges."""
    found = (one.partition("-") for one in matcher.split(","))
    return tuple((int(first), int(last or first)) for first, _, last in found)


def _check_times(protocol: str, check: HealthCheck) -> None:
    is_strict = protocol in HTTP_PROTOCOLS
    if check.timeout_s > check.interval_s or (is_strict and check.timeout_s == check.interval_s):
        than = "smaller than" if is_strict else "smaller than or equal to"
        raise ValidationError(
            f"Health check timeout '{int(check.timeout_s)}' must be {than} the interval '{int(check.interval_s)}'"
        )


def _timeout(protocol: str, own: str) -> int:
    if protocol in HTTP_PROTOCOLS:
        return 5
    return 6 if own == "HTTP" else 10


def _default_matcher(protocol: str, version: str) -> str:
    if version == _GRPC:
        return "12"
    return "200" if protocol in HTTP_PROTOCOLS else "200-399"


def _matcher(protocol: str, version: str, own: str, wanted: WantedCheck) -> str | None:
    """Raises ValidationError, InvalidConfigurationRequest."""
    given = wanted.grpc_codes or wanted.http_codes
    if given is None:
        return None
    if own not in HTTP_PROTOCOLS:
        raise InvalidConfigurationRequest(
            f"Custom health check matchers are not supported for health checks with the {own} protocol"
        )
    if wanted.grpc_codes and wanted.http_codes:
        raise ValidationError("Only one of HttpCode and GrpcCode can be specified in the matcher")
    is_grpc = version == _GRPC
    if is_grpc != bool(wanted.grpc_codes):
        named = "a gRPC" if is_grpc else "an HTTP"
        raise ValidationError(f"The matcher must have {named} code for target groups of this protocol version")
    least, most = (0, 99) if is_grpc else (200, 499 if protocol in HTTP_PROTOCOLS else 599)
    good = _CODES.fullmatch(given) is not None and len(given) <= 255
    if not good or any(not least <= first <= last <= most for first, last in codes(given)):
        raise ValidationError(
            f"Health check matcher '{given[:255]}' must be a code, a list or a range of codes "
            f"between '{least}' and '{most}'"
        )
    return given


def _port(given: str) -> int | None:
    if given == TRAFFIC_PORT:
        return None
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    if not 1 <= number <= 65535:
        raise ValidationError(f"Health check port '{given[:255]}' must be '{TRAFFIC_PORT}' or a port from 1 to 65535")
    return number


def _path(own: str, given: str) -> str:
    if own not in HTTP_PROTOCOLS:
        raise InvalidConfigurationRequest(
            f"Health check paths are not supported for health checks with the {own} protocol"
        )
    if _PATH.fullmatch(given) is None:
        raise ValidationError(
            f"Health check path '{given[:255]}' must begin with a '/' character, and can only contain printable ASCII "
            "characters, without spaces"
        )
    return given
