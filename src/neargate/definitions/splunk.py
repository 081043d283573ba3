"""The splunk driver's options: their rules, in Docker's words, and their parsed form. Pure.

Owns nothing else of logging; who sends is the agent's. An option may come from `options` or, as a secret's name, from
`secretOptions`: those are judged when their values are known, at the task's start. Invariant: an option that is
accepted has an effect, and no error shows a token.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..model.concealed import Concealed
from ..model.errors import ClientError
from ..model.launch import SplunkLogs
from ..regex.linear import LinearRegex
from ..regex.syntax import BadRegex
from .awslogs import BUFFER_DEFAULT_BYTES, MODE_OPTIONS, NON_BLOCKING, check_mode, parse_buffer_size
from .awslogs_events import EXPRESSION_MAX
from .reading import Document, members
from .secrets import check_value_from, injected_secrets

TOKEN = "splunk-token"  # noqa: S105 - an option's name
URL = "splunk-url"
FORMATS = ("inline", "json", "raw")
VALUE_MAX_CHARS = 4096
DEFAULT_TAG = "{{.ID}}"
TAG_FIELDS = ("ID", "FullID", "Name", "ImageName", "DaemonName")
TAG_FIELD = re.compile(r"\{\{\s*\.(" + "|".join(TAG_FIELDS) + r")\s*\}\}")

_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_PORTS = {"http": 80, "https": 443}
_GZIP_LEVELS = range(-1, 10)


class BadOption(Exception):
    """The sentence is Docker's."""


class Address(Concealed, frozen=True, kw_only=True):
    """Where a collector listens. `host` is a name or an address."""

    scheme: str
    host: str
    port: int


class SplunkOptions(Concealed, frozen=True, kw_only=True):
    """`gzip_level` None: nothing is compressed. `tag`: a template, empty for none."""

    address: Address
    token: str
    source: str
    sourcetype: str
    index: str
    server_name: str
    checks_certificate: bool
    verifies_connection: bool
    format: str
    gzip_level: int | None
    tag: str
    labels: tuple[str, ...]
    env: tuple[str, ...]
    env_regex: str


def check_splunk(container: str, configuration: Document, task: Document) -> None:
    """Raises ClientException. `configuration`: a container's logConfiguration."""
    options: Mapping[str, str] = configuration.get("options") or {}
    secret = [item.get("name") or "" for item in members(configuration, "secretOptions")]
    for name in (*options, *secret):
        if name not in _PARSERS and (name not in MODE_OPTIONS or name in secret):
            raise ClientError(f"Log driver splunk disallows options: {name}")
    twice = [name for at, name in enumerate(secret) if name in options or name in secret[:at]]
    if twice:
        raise ClientError(f"Log driver splunk has more than one value for options: {', '.join(twice)}")
    missing = [name for name in (TOKEN, URL) if not options.get(name) and name not in secret]
    if missing:
        raise ClientError(f"Log driver splunk requires options: {', '.join(missing)}")
    check_mode(container, options)
    for name, value in options.items():
        _check_value(container, name, value)
    for item in members(configuration, "secretOptions"):
        check_value_from(item["name"], item.get("valueFrom") or "")
    if secret and not task.get("executionRoleArn"):
        raise ClientError(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )


def splunk_of(container: Mapping[str, Any], default_mode: str = NON_BLOCKING) -> SplunkLogs | None:
    """The driver of one container as a launch carries it: secrets are names and references, never a value."""
    configuration = container.get("logConfiguration")
    if not configuration or configuration["logDriver"] != "splunk":
        return None
    options = configuration.get("options") or {}
    return SplunkLogs(
        options=tuple((name, value) for name, value in options.items() if name not in MODE_OPTIONS),
        secret_options=injected_secrets(configuration.get("secretOptions") or ()),
        blocking=options.get("mode", default_mode) == "blocking",
        max_buffer_bytes=parse_buffer_size(options.get("max-buffer-size", "")) or BUFFER_DEFAULT_BYTES,
    )


def parse_splunk(options: Mapping[str, str], secret: Collection[str] = ()) -> SplunkOptions:
    """All options of a container. The values of those in `secret` are shown in no error. Raises BadOption."""
    for name in options:
        if name not in _PARSERS:
            raise BadOption(f"unknown log opt '{name}' for splunk log driver")
    for name in (URL, TOKEN):
        if name not in options:
            raise BadOption(f"splunk: {name} is expected")
    found = {name: _parsed(name, options[name], is_secret=name in secret) for name in options}
    compresses = found.get("splunk-gzip", False)
    return SplunkOptions(
        address=found[URL],
        token=found[TOKEN],
        source=found.get("splunk-source", ""),
        sourcetype=found.get("splunk-sourcetype", ""),
        index=found.get("splunk-index", ""),
        server_name=found.get("splunk-caname", ""),
        checks_certificate=not found.get("splunk-insecureskipverify", False),
        verifies_connection=found.get("splunk-verify-connection", True),
        format=found.get("splunk-format", "inline"),
        gzip_level=found.get("splunk-gzip-level", -1) if compresses else None,
        tag=found.get("tag", DEFAULT_TAG),
        labels=found.get("labels", ()),
        env=found.get("env", ()),
        env_regex=found.get("env-regex", ""),
    )


def is_splunk_option(name: str) -> bool:
    return name in _PARSERS


def _check_value(container: str, name: str, value: str) -> None:
    parse = _PARSERS.get(name)
    if parse is None:
        return
    try:
        parse(value)
    except BadOption:
        said = "" if name == TOKEN else f"'{value}' "
        raise ClientError(f"The value {said}of log option '{name}' is not valid (container '{container}').") from None


def _parsed(name: str, value: str, *, is_secret: bool) -> Any:
    try:
        return _PARSERS[name](value)
    except BadOption:
        if is_secret and name != TOKEN:
            raise BadOption(f"splunk: the value of {name} is not valid") from None
        raise


def _address(text: str) -> Address:
    expected = BadOption(f"splunk: expected format scheme://dns_name_or_ip:port for {URL}")
    try:
        parts = urlsplit(_text(text))
        port = parts.port
    except (BadOption, ValueError):
        raise expected from None
    host = parts.hostname or ""
    is_plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in _PORTS or not is_plain or not _HOST.fullmatch(host) or port == 0 or "?" in text:
        raise expected
    return Address(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme])


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise BadOption('net/http: invalid header field value for "Authorization"')
    return text


def _text(text: str) -> str:
    if len(text) > VALUE_MAX_CHARS or any(not sign.isprintable() for sign in text):
        raise BadOption("splunk: an option has a value that cannot be sent")
    return text


def _server_name(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise BadOption(f"splunk: {text[:100]!r} is no name of a server")
    return text


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise BadOption(f'strconv.ParseBool: parsing "{text[:100]}": invalid syntax')
    return _BOOLEANS[text]


def _format(text: str) -> str:
    if text not in FORMATS:
        raise BadOption(f"Unknown format specified {text[:100]}, supported formats are inline, json and raw")
    return text


def _gzip_level(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,3}", text):
        raise BadOption(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax')
    if int(text) not in _GZIP_LEVELS:
        raise BadOption(f"not supported level '{text}' for splunk-gzip-level (supported values between -1 and 9)")
    return int(text)


def _tag(text: str) -> str:
    if "{{" in TAG_FIELD.sub("", _text(text)):
        raise BadOption(f'template: log-tag: fields of "{text}" are none of {", ".join(TAG_FIELDS)}')
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in _text(text).split(",") if name)


def _expression(text: str) -> str:
    if len(text) > EXPRESSION_MAX:
        raise BadOption("error parsing regexp: expression too large")
    try:
        LinearRegex(text)
    except BadRegex as bad:
        raise BadOption(f"error parsing regexp: {bad}") from None
    return text


# What is not in it is refused: `splunk-capath` names a file of a host that nobody sees.
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    TOKEN: _token,
    URL: _address,
    "splunk-source": _text,
    "splunk-sourcetype": _text,
    "splunk-index": _text,
    "splunk-caname": _server_name,
    "splunk-insecureskipverify": _boolean,
    "splunk-verify-connection": _boolean,
    "splunk-format": _format,
    "splunk-gzip": _boolean,
    "splunk-gzip-level": _gzip_level,
    "tag": _tag,
    "labels": _names,
    "env": _names,
    "env-regex": _expression,
}
