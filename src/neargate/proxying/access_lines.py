"""A request as a line of an access log, in AWS's format of Application Load Balancers: its fields in their order.

Pure. From AWS's page "Access logs for your Application Load Balancer". Invariant: whatever a client sent, a line is
one line of printable ASCII and has as many fields as AWS's; a quoted field ends at its own quote.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from msgspec import Struct

from ..model.balancing import BalancerPlan, PlannedNode
from . import names
from .access_format import Entry

_CLIENT_CLOSED = 460
_NOTHING = "-"
_ODD = re.compile(r'[^ -~]|["\\]')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class Group(Struct, frozen=True, kw_only=True):
    arn: str
    is_grpc: bool


class Names(Struct, frozen=True, kw_only=True):
    """What a line says by AWS's names. `groups`: by backend; `certificates`: ARNs by the SHA-1 of what is shown."""

    balancer: str  # app/NAME/ID
    address: str
    groups: Mapping[str, Group]
    certificates: Mapping[str, str]


def names_of(plan: BalancerPlan, node: PlannedNode) -> Names:
    shown = {one.arn: one.pem for listener in plan.listeners for one in listener.certificates}
    prints = ((_fingerprint(pem), arn) for arn, pem in shown.items())
    return Names(
        balancer=plan.arn.partition("loadbalancer/")[2] or plan.name,
        address=node.public_ipv4 or node.private_ipv4,
        groups={names.backend(one.arn): Group(arn=one.arn, is_grpc=one.version == "GRPC") for one in plan.groups},
        certificates={key: arn for key, arn in prints if key},
    )


def also(new: Names, before: Names) -> Names:
    """With what was called so a moment ago: its last requests end now."""
    return Names(
        balancer=new.balancer,
        address=new.address,
        groups={**before.groups, **new.groups},
        certificates={**before.certificates, **new.certificates},
    )


def _fingerprint(pem: str) -> str:
    """Of the first certificate; empty where there is none."""
    body = pem.partition(_BEGIN)[2].partition(_END)[0]
    try:
        return sha1(b64decode(body), usedforsecurity=False).hexdigest() if body else ""
    except ValueError:
        return ""


def line(entry: Entry, known: Names) -> str:
    """Seconds have milliseconds, as the proxy counts."""
    group = known.groups.get(entry.backend.removesuffix(names.OPEN))
    target = entry.target or _NOTHING
    target_status = str(entry.status) if entry.target and entry.answer_ms >= 0 and entry.status else _NOTHING
    request_s, target_s, response_s = _times(entry)
    return " ".join(
        [
            _kind(entry, group),
            _time(entry.ended_us),
            known.balancer,
            entry.client,
            target,
            request_s,
            target_s,
            response_s,
            str(entry.status) if entry.status > 0 else _unanswered(entry),
            target_status,
            str(entry.received),
            str(entry.sent),
            quoted(_request(entry, known)),
            quoted(entry.agent),
            entry.cipher or _NOTHING,
            entry.tls_version or _NOTHING,
            group.arn if group is not None else _NOTHING,
            quoted(entry.trace),
            quoted(entry.server_name),
            quoted(known.certificates.get(entry.certificate, "").encode()),
            str(entry.rule[0]) if entry.rule is not None else _NOTHING,
            _time(entry.ended_us - max(0, entry.total_ms) * 1000),
            quoted(entry.rule[1].encode() if entry.rule is not None else b""),
            quoted(entry.location),
            quoted(b""),
            quoted(entry.target.encode()),
            quoted(target_status.encode()),
            quoted(b""),
            quoted(b""),
            f"TID_{entry.connection}" if entry.connection else _NOTHING,
        ]
    )


def quoted(value: bytes) -> str:
    """In quotes; what is not printable, and what could end the field, as its number: `\\x22`."""
    if not value:
        return f'"{_NOTHING}"'
    return f'"{_ODD.sub(_number, value.decode("latin-1"))}"'


def _number(odd: re.Match[str]) -> str:
    return f"\\x{ord(odd[0]):02x}"


def _time(epoch_us: int) -> str:
    """Of a clock that is far off the last second that there is."""
    moment = _EPOCH + timedelta(microseconds=min(max(0, epoch_us), 253_402_300_799_000_000))
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _kind(entry: Entry, group: Group | None) -> str:
    if entry.status == 101:
        return "wss" if entry.tls_version else "ws"
    if group is not None and group.is_grpc and entry.tls_version:
        return "grpcs"
    if entry.http_version == b"HTTP/2.0":
        return "h2"
    return "https" if entry.tls_version else "http"


def _times(entry: Entry) -> tuple[str, str, str]:
    """AWS's three; -1 each where the request was sent to nobody, or nobody answered."""
    if not entry.target or entry.connect_ms < 0 or entry.answer_ms < 0:
        return "-1", "-1", "-1"
    before = max(0, entry.read_ms) + max(0, entry.queue_ms) + entry.connect_ms
    after = max(0, entry.total_ms - before - entry.answer_ms)
    return _seconds(before), _seconds(entry.answer_ms), _seconds(after)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def _unanswered(entry: Entry) -> str:
    return str(_CLIENT_CLOSED) if entry.ending.startswith(("C", "c")) else _NOTHING


def _request(entry: Entry, known: Names) -> bytes:
    """METHOD scheme://host:port/path VERSION. Of what was no request AWS says where it came to."""
    scheme = b"https" if entry.tls_version else b"http"
    host, uri = entry.host, entry.uri
    if b"://" in uri and not uri.startswith(b"/"):
        authority, slash, path = uri.partition(b"://")[2].partition(b"/")
        host, uri = host or authority, slash + path
    host = host or known.address.encode()
    if not entry.method:
        return b"- %s://%s:%d- -" % (scheme, host, entry.port)
    place = host if _has_port(host) else b"%s:%d" % (host, entry.port)
    return b"%s %s://%s%s %s" % (entry.method, scheme, place, uri or b"/", entry.http_version or b"-")


def _has_port(host: bytes) -> bool:
    return host.rpartition(b":")[2].isdigit() and b":" in host and not host.endswith(b"]")
