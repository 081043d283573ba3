"""What a proxy says of each request that it answered: the words of its line, as it is told them and as they are read.

All that a client, a target or a user chose is in hexadecimal digits, so that no byte of it ends a word or a line.
Must not know what a reader makes of it. Invariant: what is not exactly such a line is nothing.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

SOCKET = "log.socket"
_VERSION = "1"
_LENGTH_MAX = 65_535  # of a line; what is longer loses its end, and is read as nothing
URI_MAX = 8190  # as much as a word of hexadecimal digits holds
_AGENT_MAX, _HOST_MAX, _TRACE_MAX = 2048, 256, 512

_WORDS: Mapping[str, str] = {
    "version": _VERSION,
    "process": "%pid",
    "frontend": "%f",
    "number": "%lc",
    "ended_us": "%[date(0,us)]",
    "client_ip": "%ci",
    "client_port": "%cp",
    "port": "%fp",
    "read_ms": "%TR",
    "queue_ms": "%Tw",
    "connect_ms": "%Tc",
    "answer_ms": "%Tr",
    "total_ms": "%Ta",
    "status": "%ST",
    "ending": "%tsc",
    "received": "%U",
    "sent": "%B",
    "backend": "%b",
    "target_ip": "%si",
    "target_port": "%sp",
    "cipher": "%sslc",
    "tls_version": "%sslv",
    "rule": "%[var(txn.rule)]",
    "connection": "%[var(sess.trace)]",
    "method": "%[capture.req.method,hex]",
    "http_version": "%[capture.req.ver,hex]",
    "server_name": "%[ssl_fc_sni,hex]",
    "certificate": "%[ssl_f_sha1,hex]",
    "location": "%[var(txn.location),hex]",
    "agent": "%[capture.req.hdr(0),hex]",
    "host": "%[capture.req.hdr(1),hex]",
    "trace": "%[capture.req.hdr(2),hex]",
    "uri": "%[capture.req.uri,hex]",
}
_HEX = ("method", "http_version", "server_name", "location", "agent", "host", "trace", "uri")
_PLAIN = re.compile(r"[A-Za-z0-9_.:~<>-]{1,128}")
_ADDRESS = re.compile(r"[0-9a-fA-F.:]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_MAYBE = re.compile(r"-?[0-9]{1,9}")
_DIGITS = re.compile(r"(?:[0-9A-F]{2})+")
_RULE = re.compile(r"([0-9]{1,9}):(forward|redirect|fixed-response)")


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
    """Of a frontend that logs; before anything in it that answers, after its headers are set."""
    return [
        f"log unix@{at}/{SOCKET} len {_LENGTH_MAX} format raw local0 info",
        "option dontlognull",
        f"log-format '{' '.join(_WORDS.values())}'",
        f"http-request capture req.fhdr(user-agent) len {_AGENT_MAX}",
        f"http-request capture req.fhdr(host) len {_HOST_MAX}",
        f"http-request capture req.fhdr(x-amzn-trace-id) len {_TRACE_MAX}",
        "http-after-response set-var(txn.location) res.fhdr(location) if { var(txn.rule) -m end :redirect }",
    ]


def chosen(priority: int, kind: str, when: str = "") -> str:
    """The line before those of a rule's action, or of the default one's. `when`: the rule's conditions."""
    line = f"http-request set-var(txn.rule) str({int(priority)}:{kind})"
    return f"{line} if !chosen {when}".rstrip() if priority else line


def entry(told: bytes) -> Entry | None:
    """None for what is no such line."""
    values = told.removesuffix(b"\n").decode("latin-1").split(" ")
    if len(values) != len(_WORDS):
        return None
    said = dict(zip(_WORDS, values, strict=True))
    try:
        return _read(said) if said["version"] == _VERSION else None
    except ValueError:
        return None


def _read(said: Mapping[str, str]) -> Entry:
    """Raises ValueError."""
    rule = _RULE.fullmatch(said["rule"])
    client = f"{_taken(_ADDRESS, said['client_ip'])}:{_number(said['client_port'])}"
    target = ""
    if said["target_ip"] not in ("-", "") and _NUMBER.fullmatch(said["target_port"]):
        target = f"{_taken(_ADDRESS, said['target_ip'])}:{_number(said['target_port'])}"
    certificate = "" if said["certificate"] == "-" else _taken(_DIGITS, said["certificate"]).lower()
    return Entry(
        source=(_taken(_PLAIN, said["process"]), _taken(_PLAIN, said["frontend"])),
        number=_number(said["number"]),
        ended_us=_number(said["ended_us"]),
        client=client,
        port=_number(said["port"]),
        read_ms=_maybe(said["read_ms"]),
        queue_ms=_maybe(said["queue_ms"]),
        connect_ms=_maybe(said["connect_ms"]),
        answer_ms=_maybe(said["answer_ms"]),
        total_ms=_maybe(said["total_ms"]),
        status=max(0, int(said["status"])) if _MAYBE.fullmatch(said["status"]) else 0,
        ending=_taken(_PLAIN, said["ending"]),
        received=_number(said["received"]),
        sent=_number(said["sent"]),
        backend=_taken(_PLAIN, said["backend"]),
        target=target,
        cipher=_word(said["cipher"]),
        tls_version=_word(said["tls_version"]),
        rule=None if rule is None else (int(rule[1]), rule[2]),
        connection=_word(said["connection"]),
        certificate=certificate,
        **{name: _bytes(said[name]) for name in _HEX},
    )


def _taken(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError("a word that is none of its kind")
    return text


def _number(text: str) -> int:
    return int(_taken(_NUMBER, text))


def _maybe(text: str) -> int:
    """A time; -1 also for one that ran backwards with the clock, and with HAProxy's sign for an early line."""
    return max(-1, int(_taken(_MAYBE, text.removeprefix("+"))))


def _word(text: str) -> str:
    return "" if text == "-" else _taken(_PLAIN, text)


def _bytes(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(_taken(_DIGITS, text))
