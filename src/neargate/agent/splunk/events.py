"""Lines of a container as events of Splunk's HTTP Event Collector, in the three forms of Docker's driver. Pure.

Owns the documents' members and the bound of a body. Invariant: an event is valid JSON whatever the container wrote, and
a body is no longer than its bound unless one event alone is.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import compressobj

import msgspec
from msgspec import Struct

from ...definitions.splunk import TAG_FIELD, SplunkOptions
from ...model.launch import ContainerLaunch
from ...regex.linear import LinearRegex, TooComplex

STREAM = "stdout"  # both streams of a container are one file
ATTRIBUTES_MAX_CHARS = 4096  # a tenant pays for its lines, this host for what is said beside each
_SHORT_ID_CHARS = 12
_DAEMON = "shim-loggers-for-containerd"
_GZIP_WINDOW = 31
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class EventForm(Struct, frozen=True, kw_only=True):
    """What all events of one container share. `fixed`: host, source and the like."""

    format: str
    fixed: dict[str, str]
    tag: str
    attributes: dict[str, str]


class TooManyAttributes(Exception):
    """Each event would carry them."""


def event_form(options: SplunkOptions, container: ContainerLaunch, runtime_id: str, host: str) -> EventForm:
    """Raises TooManyAttributes."""
    named = {"host": host, "source": options.source, "sourcetype": options.sourcetype, "index": options.index}
    attributes = _attributes(options, container)
    if sum(len(name) + len(value) for name, value in attributes.items()) > ATTRIBUTES_MAX_CHARS:
        raise TooManyAttributes
    return EventForm(
        format=options.format,
        fixed={name: value for name, value in named.items() if value or name == "host"},
        tag=_tag(options.tag, container, runtime_id),
        attributes=attributes,
    )


def events_body(form: EventForm, lines: Sequence[bytes], begin: int, at_ms: int, max_bytes: int) -> tuple[bytes, int]:
    """Events of the lines from `begin` on, at least one, and the index of the first that is not in it."""
    pieces: list[bytes] = []
    size = 0
    moment = f"{at_ms / 1000:.6f}"
    while begin < len(lines):
        event = _event(form, lines[begin])
        if event is not None:
            piece = msgspec.json.encode({"event": event, "time": moment, **form.fixed})
            if pieces and size + len(piece) > max_bytes:
                break
            pieces.append(piece)
            size += len(piece)
        begin += 1
    return b"".join(pieces), begin


def compressed(body: bytes, level: int) -> bytes:
    """As gzip. `level`: -1 (the library's own) to 9."""
    work = compressobj(level, wbits=_GZIP_WINDOW)
    return work.compress(body) + work.flush()


def _event(form: EventForm, line: bytes) -> Any:
    """None: the collector takes no event of blanks."""
    text = line.decode("utf-8", "replace")
    if form.format == "raw":
        return None if not text.strip() else _prefix(form) + text
    said: dict[str, Any] = {"line": _json_or(text, line) if form.format == "json" else text, "source": STREAM}
    if form.tag:
        said["tag"] = form.tag
    if form.attributes:
        said["attrs"] = form.attributes
    return said


def _json_or(text: str, line: bytes) -> Any:
    """A line that is JSON stays as it is."""
    try:
        msgspec.json.decode(line)
    except _NO_JSON:
        return text
    return msgspec.Raw(line)


def _prefix(form: EventForm) -> str:
    words = [form.tag, *(f"{name}={value}" for name, value in form.attributes.items())]
    return "".join(f"{word} " for word in words if word)


def _tag(template: str, container: ContainerLaunch, runtime_id: str) -> str:
    fields: Mapping[str, str] = {
        "ID": runtime_id[:_SHORT_ID_CHARS],
        "FullID": runtime_id,
        "Name": container.name,
        "ImageName": container.image,
        "DaemonName": _DAEMON,
    }
    return TAG_FIELD.sub(lambda found: fields[found[1]], template)


def _attributes(options: SplunkOptions, container: ContainerLaunch) -> dict[str, str]:
    """Labels and variables that the options name; a variable wins. Values of secrets are none of them."""
    labels, variables = dict(container.docker_labels), dict(container.environment)
    found = {name: labels[name] for name in options.labels if name in labels}
    found |= {name: variables[name] for name in options.env if name in variables}
    if options.env_regex:
        expression = LinearRegex(options.env_regex)
        found |= {name: value for name, value in variables.items() if _is_named(expression, name)}
    return found


def _is_named(expression: LinearRegex, name: str) -> bool:
    try:
        return expression.found_in(name)
    except TooComplex:
        return False
