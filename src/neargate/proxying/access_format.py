"""What a proxy says of each request that it answered: the words of its line, as it is told them and as they are read.

All that a client, a target or a user chose is in hexadecimal digits, so that no byte of it ends a word or a line.
Must not know what a reader makes of it. Invariant: what is not exactly such a line is nothing.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

SOCKET = "log.socket"
_VERSION = "1"
_LENGTH_MAX = 65_535  # of a line, by the bounds below; what were longer would lose its end
URI_MAX = 16 * 1024  # as long as a request's whole line may be
# A redirect's location may be longer than what it was made of. Together, two digits a byte, they leave 2 KiB for the
# rest of a line.
_AGENT_MAX, _HOST_MAX, _TRACE_MAX, _LOCATION_MAX = 2048, 256, 512, 12 * 1024

_PLAIN, _ADDRESS, _NUMBER = r"[A-Za-z0-9_.:~<>-]{1,128}", r"[0-9a-fA-F.:]{1,64}", r"[0-9]{1,18}"
_TIME, _HEX = r"[+-]?[0-9]{1,9}", r"(?:[0-9A-F]{2})+|-"
# What the proxy fills in, and what it can say then.
_WORDS: Mapping[str, tuple[str, str]] = {
    "version": (_VERSION, _VERSION),
    "process": ("%pid", _NUMBER),
    "frontend": ("%f", _PLAIN),
    "number": ("%lc", _NUMBER),
    "ended_us": ("%[date(0,us)]", _NUMBER),
    "client_ip": ("%ci", _ADDRESS),
    "client_port": ("%cp", _NUMBER),
    "port": ("%fp", _NUMBER),
    "read_ms": ("%TR", _TIME),
    "queue_ms": ("%Tw", _TIME),
    "connect_ms": ("%Tc", _TIME),
    "answer_ms": ("%Tr", _TIME),
    "total_ms": ("%Ta", _TIME),
    "status": ("%ST", r"-?[0-9]{1,3}|-"),
    "ending": ("%tsc", r"[A-Za-z-]{4}"),
    "received": ("%U", _NUMBER),
    "sent": ("%B", _NUMBER),
    "backend": ("%b", _PLAIN),
    "target_ip": ("%si", f"{_ADDRESS}|-"),
    "target_port": ("%sp", f"{_NUMBER}|-"),
    "cipher": ("%sslc", _PLAIN),
    "tls_version": ("%sslv", _PLAIN),
    "rule": ("%[var(txn.rule)]", r"[0-9]{1,9}:(?:forward|redirect|fixed-response)|-"),
    "connection": ("%[var(sess.trace)]", r"[0-9a-f]{1,64}|-"),
    "major": ("%[fc_http_major]", r"[0-9]|-"),
    "method": ("%[capture.req.method,hex]", _HEX),
    "http_version": ("%[capture.req.ver,hex]", _HEX),
    "server_name": ("%[ssl_fc_sni,hex]", _HEX),
    "certificate": ("%[ssl_f_sha1,hex]", _HEX),
    "location": ("%[var(txn.location),hex]", _HEX),
    "agent": ("%[capture.req.hdr(0),hex]", _HEX),
    "host": ("%[capture.req.hdr(1),hex]", _HEX),
    "trace": ("%[capture.req.hdr(2),hex]", _HEX),
    "uri": ("%[capture.req.uri,hex]", _HEX),
}
_LINE = re.compile(" ".join(f"({pattern})" for _, pattern in _WORDS.values()) + r"\n?", re.ASCII)

# The third of the words that are kept of a request: once its headers are set, which is after what is refused.
TRACE = f"http-request capture req.fhdr(x-amzn-trace-id) len {_TRACE_MAX}"


class Entry(Struct, frozen=True, kw_only=True):
    """Of one request. Times: `ended_us` epoch microseconds, the others milliseconds, -1 for what was not come to.

    Empty strings and None: there was none. `rule`: (priority, kind of action), 0 for the default one. `certificate`:
    the SHA-1 of what was shown, in small letters.
    """

    source: tuple[str, str]  # who numbers these lines: process, frontend
    number: int
    ended_us: int
    client: str  # address:port
    port: int
    read_ms: int
    queue_ms: int
    connect_ms: int
    answer_ms: int
    total_ms: int
    status: int  # 0: nothing was answered
    ending: str  # HAProxy's two letters and more: who ended it, and when
    received: int
    sent: int
    backend: str
    target: str  # address:port
    cipher: str
    tls_version: str
    rule: tuple[int, str] | None
    connection: str
    method: bytes
    http_version: bytes
    server_name: bytes
    certificate: str
    location: bytes
    agent: bytes
    host: bytes
    trace: bytes
    uri: bytes


def lines(at: str) -> list[str]:
    """Of a frontend that logs; before anything in it that answers. `TRACE` is for later."""
    return [
        f"log unix@{at}/{SOCKET} len {_LENGTH_MAX} format raw local0 info",
        "option dontlognull",
        f"log-format '{' '.join(word for word, _ in _WORDS.values())}'",
        f"http-request capture req.fhdr(user-agent) len {_AGENT_MAX}",
        f"http-request capture req.fhdr(host) len {_HOST_MAX}",
        f"http-after-response set-var(txn.location) res.fhdr(location),bytes(0,{_LOCATION_MAX})"
        " if { var(txn.rule) -m end :redirect }",
    ]


def chosen(priority: int, kind: str, when: str = "") -> str:
    """The line before those of a rule's action, or of the default one's. `when`: the rule's conditions."""
    line = f"http-request set-var(txn.rule) str({int(priority)}:{kind})"
    return f"{line} if !chosen {when}".rstrip() if priority else line


def entry(told: bytes) -> Entry | None:
    """None for what is no such line."""
    found = _LINE.fullmatch(told.decode("latin-1"))
    if found is None:
        return None
    said = dict(zip(_WORDS, found.groups(), strict=True))
    priority, _, kind = said["rule"].partition(":")
    has_target = said["target_ip"] != "-" and said["target_port"] != "-"
    return Entry(
        source=(said["process"], said["frontend"]),
        number=int(said["number"]),
        ended_us=int(said["ended_us"]),
        client=f"{said['client_ip']}:{said['client_port']}",
        port=int(said["port"]),
        read_ms=_time(said["read_ms"]),
        queue_ms=_time(said["queue_ms"]),
        connect_ms=_time(said["connect_ms"]),
        answer_ms=_time(said["answer_ms"]),
        total_ms=_time(said["total_ms"]),
        status=0 if said["status"].startswith("-") else int(said["status"]),
        ending=said["ending"],
        received=int(said["received"]),
        sent=int(said["sent"]),
        backend=said["backend"],
        target=f"{said['target_ip']}:{said['target_port']}" if has_target else "",
        cipher=_word(said["cipher"]),
        tls_version=_word(said["tls_version"]),
        rule=(int(priority), kind) if kind else None,
        connection=_word(said["connection"]),
        method=_bytes(said["method"]),
        # Inside of HAProxy every request is one of HTTP/1.1.
        http_version=b"HTTP/2.0" if said["major"] == "2" else _bytes(said["http_version"]),
        server_name=_bytes(said["server_name"]),
        certificate=_bytes(said["certificate"]).hex(),
        location=_bytes(said["location"]),
        agent=_bytes(said["agent"]),
        host=_bytes(said["host"]),
        trace=_bytes(said["trace"]),
        uri=_bytes(said["uri"]),
    )


def _time(text: str) -> int:
    """-1 also for one that ran backwards with the clock."""
    return max(-1, int(text))


def _word(text: str) -> str:
    return "" if text == "-" else text


def _bytes(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)
