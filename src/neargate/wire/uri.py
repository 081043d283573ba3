"""URI templates of rest-json, `/tags/{arn}/{rest+}?x=y`, and an index that finds the operation of a path. Pure.

A path is cut at its slashes before anything is decoded: `%2F` inside a label stays a part of the label.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

QUERY_PARAMETERS_MAX = 500
_LABEL = re.compile(r"\{([A-Za-z0-9_]+)(\+?)\}")


class MalformedUri(Exception):
    """Bytes of a path or query that are no text, or too many parameters."""


class Template:
    """One operation's. `rank` sorts templates so that the most specific one is tried first."""

    def __init__(self, uri: str) -> None:
        path, _, query = uri.partition("?")
        self._segments = [part for part in path.split("/") if part]
        self._greedy = next((n for n, part in enumerate(self._segments) if part.endswith("+}")), None)
        self._constants = parse_query(query.encode())
        labels = [_LABEL.fullmatch(part) is not None for part in self._segments]
        self.rank = (self._greedy is not None, labels, -len(labels), -len(self._constants))

    def match(self, parts: list[bytes], query: Mapping[str, list[str]]) -> dict[str, str] | None:
        """The labels, decoded; None for another path. Raises MalformedUri."""
        if any(value not in query.get(name, ()) for name, values in self._constants.items() for value in values):
            return None
        taken = self._taken(parts)
        if taken is None:
            return None
        labels = {}
        for segment, part in zip(self._segments, taken, strict=True):
            label = _LABEL.fullmatch(segment)
            if label is None:
                if part != segment.encode():
                    return None
            elif not part:
                return None
            else:
                labels[label[1]] = _text(part)
        return labels

    def _taken(self, parts: list[bytes]) -> list[bytes] | None:
        """As many parts as the template has segments; the greedy label takes what is left over."""
        more = len(parts) - len(self._segments)
        if self._greedy is None:
            return parts if more == 0 else None
        if more < 0:
            return None
        end = self._greedy + more + 1
        return [*parts[: self._greedy], b"/".join(parts[self._greedy : end]), *parts[end:]]


class Found(NamedTuple):
    service: str
    operation: str
    labels: dict[str, str]


class UriIndex:
    """Operations of all rest-json services by method and template."""

    def __init__(self, operations: Iterable[tuple[str, str, str, str]]) -> None:
        """`operations`: service, name, method, uri."""
        self._by_method: dict[str, list[tuple[Template, str, str]]] = {}
        for service, name, method, uri in operations:
            self._by_method.setdefault(method, []).append((Template(uri), service, name))
        for entries in self._by_method.values():
            entries.sort(key=lambda entry: (*entry[0].rank, entry[1], entry[2]))

    def find(self, method: str, path: bytes, query: bytes) -> list[Found]:
        """The best match of each service that has one. Raises MalformedUri."""
        entries = self._by_method.get(method)
        if not entries:
            return []
        parts = path.lstrip(b"/").split(b"/")
        if parts[-1] == b"":
            parts.pop()
        given = parse_query(query)
        found: dict[str, Found] = {}
        for template, service, name in entries:
            if service not in found:
                labels = template.match(parts, given)
                if labels is not None:
                    found[service] = Found(service, name, labels)
        return list(found.values())


def parse_query(query: bytes) -> dict[str, list[str]]:
    """All values of each name, in order. Raises MalformedUri."""
    found: dict[str, list[str]] = {}
    if query.count(b"&") >= QUERY_PARAMETERS_MAX:
        raise MalformedUri(f"The query string has more than {QUERY_PARAMETERS_MAX} parameters")
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            found.setdefault(_text(name.replace(b"+", b" ")), []).append(_text(value.replace(b"+", b" ")))
    return found


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise MalformedUri("The request's URI is not valid UTF-8") from None
