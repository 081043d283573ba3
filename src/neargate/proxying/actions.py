"""What rules do with a request, as lines of a frontend. A rule's lines do nothing once an earlier rule has chosen.

`if`: the words of a condition, empty for a listener's default. A choice is the name of a backend in `txn.to`.
"""

import re
from collections.abc import Callable, Collection
from hashlib import sha256

from ..model.balancing import FixedResponse, Forward, PlannedAction, Redirect
from . import names
from .pages import SERVER, answer
from .words import in_format, quoted, url_part

CHOSEN = "acl chosen var(txn.to) -m found"
TYPES = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")
_FIELD = re.compile(r"#\{(protocol|host|port|path|query)\}")
_FILLED = {"host": "%[var(txn.host)]", "path": "%[path,regsub(^/,)]", "query": "%[query]"}


def lines(action: PlannedAction, when: str, scheme: str, port: int, groups: Collection[str], at: str) -> list[str]:
    """`groups`: the ARNs that have a backend. `at`: the node's directory."""
    match action:
        case Forward():
            return [f"http-request {line}" for line in forward(action, when, groups)]
        case Redirect():
            return _redirect(action, when, scheme, port, at)
        case FixedResponse():
            return [_fixed(action, when, at)]


def forward(action: Forward, when: str, groups: Collection[str]) -> list[str]:
    """For `http-request` or `tcp-request content`."""

    def to(arn: str) -> str:
        return f"set-var(txn.to) str({names.backend(arn) if arn in groups else names.NOWHERE})"

    if len(action.groups) == 1 and action.stickiness_s is None:
        return [_if(to(action.groups[0].arn), when)]
    weighted = [one for one in action.groups if one.weight > 0]
    total = sum(one.weight for one in weighted)
    if not total:
        return [_if(f"set-var(txn.to) str({names.NOWHERE})", when)]
    found = []
    if action.stickiness_s is not None:
        found.append(_if(f"set-var(txn.sticky) int({int(action.stickiness_s)})", when))
        for cookie in ("AWSALBTG", "AWSALBTGCORS"):
            for one in weighted:
                stays = f"{{ req.cook({cookie}) -m str {names.backend(one.arn)} }}"
                found.append(_if(to(one.arn), f"{when} {stays}"))
    found.append(_if(f"set-var(txn.draw) rand({total})", when))
    below = 0
    for one in weighted:
        below += one.weight
        found.append(_if(to(one.arn), f"{when} {{ var(txn.draw) -m int lt {below} }}"))
    return found


def _if(line: str, when: str) -> str:
    return f"{line} if !chosen {when}".rstrip()


def _redirect(action: Redirect, when: str, scheme: str, port: int, at: str) -> list[str]:
    """AWS leaves the question mark out where no query follows it."""

    def filled(text: str, encode: Callable[[str], str] = url_part) -> str:
        parts = _FIELD.split(text)
        words = {"protocol": scheme, "port": str(port), **_FILLED}
        return "".join(words[part] if at % 2 else in_format(encode(part)) for at, part in enumerate(parts))

    protocol = filled(action.protocol).lower() if not _FIELD.search(action.protocol) else scheme
    path = filled(action.path)
    where = f"{protocol}://{filled(action.host)}:{filled(action.port)}{path if path.startswith('/') else '/' + path}"
    code = 301 if action.code == 301 else 302

    def line(location: str, condition: str) -> str:
        return _if(f"http-request {answer(code, at)} hdr Location {quoted(location)}", f"{when} {condition}")

    query = filled(action.query)
    if action.query == "#{query}":
        return [line(f"{where}?{query}", "{ query -m len gt 0 }"), line(where, "")]
    return [line(f"{where}?{query}" if query else where, "")]


def _fixed(action: FixedResponse, when: str, at: str) -> str:
    code = action.code if 200 <= action.code <= 599 else 503
    begin = f"http-request return status {code}"
    if not action.body:
        return _if(f"{begin} hdr Server {SERVER}", when)
    kind = action.content_type if action.content_type in TYPES else TYPES[0]
    return _if(f"{begin} content-type {kind} file {quoted(f'{at}/{body_file(action)}')} hdr Server {SERVER}", when)


def body_file(action: FixedResponse) -> str:
    """Its content is the user's, byte for byte: nothing reads it as configuration."""
    return f"bodies/{sha256(action.body.encode(errors='replace')).hexdigest()[:16]}"
