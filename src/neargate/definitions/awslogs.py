"""The awslogs driver's options: their rules and their parsed form.

Owns nothing else of logging; where lines go is the logs package's. Invariant: an option that is accepted has an effect.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..model.errors import ClientError
from ..model.launch import AwsLogs
from .awslogs_events import DATETIME, PATTERN, check_event_start, event_start

NON_BLOCKING = "non-blocking"  # AWS's default since 25 June 2025
BUFFER_DEFAULT_BYTES = 10 * 1024 * 1024
BUFFER_MAX_BYTES = 1024 * 1024 * 1024

_GROUP = re.compile(r"\A[A-Za-z0-9_\-/.#]{1,512}\Z")
_REGION = re.compile(r"\A[a-z]{2}(-[a-z]+)+-\d\Z")
_PREFIX = re.compile(r"\A[^:*\x00-\x1f]{1,256}\Z")
_SIZE = re.compile(r"\A(?P<number>\d{1,12})\s*(?P<unit>[kmg]?)i?b?\Z", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

MODE_OPTIONS = frozenset({"mode", "max-buffer-size"})  # every driver's
_KNOWN = MODE_OPTIONS | {
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    PATTERN,
    DATETIME,
}
_REQUIRED = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")


def parse_buffer_size(text: str) -> int | None:
    """Bytes of `25m`, `1024k`, `10485760`; None when it is not such a size or out of bounds."""
    found = _SIZE.match(text.strip())
    if found is None:
        return None
    size = int(found["number"]) * _FACTORS[found["unit"].lower()]
    return size if 0 < size <= BUFFER_MAX_BYTES else None


def check_awslogs(container: str, options: Mapping[str, str]) -> None:
    """Raises ClientError. `options` are a container's logConfiguration.options."""
    for name in options:
        if name not in _KNOWN:
            raise ClientError(f"Log driver awslogs disallows options: {name}")
    missing = [name for name in _REQUIRED if not options.get(name)]
    if missing:
        raise ClientError(f"Log driver awslogs requires options: {', '.join(missing)}")
    _check_values(container, options)
    check_event_start(options)


def check_mode(container: str, options: Mapping[str, str]) -> None:
    """Raises ClientError."""
    if options.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise _invalid(container, options, "mode")
    if "max-buffer-size" in options:
        if options.get("mode") == "blocking":
            raise ClientError("The log option 'max-buffer-size' is only supported with mode non-blocking.")
        if parse_buffer_size(options["max-buffer-size"]) is None:
            raise _invalid(container, options, "max-buffer-size")


def _invalid(container: str, options: Mapping[str, str], name: str) -> ClientError:
    return ClientError(f"The value '{options[name]}' of log option '{name}' is not valid (container '{container}').")


def _check_values(container: str, options: Mapping[str, str]) -> None:
    refuse = partial(_invalid, container, options)

    if not _GROUP.match(options["awslogs-group"]):
        raise refuse("awslogs-group")
    if not _REGION.match(options["awslogs-region"]):
        raise refuse("awslogs-region")
    if not _PREFIX.match(options["awslogs-stream-prefix"]):
        raise refuse("awslogs-stream-prefix")
    if options.get("awslogs-create-group", "true").lower() not in ("true", "false"):
        raise refuse("awslogs-create-group")
    check_mode(container, options)


def awslogs_of(container: Mapping[str, Any], task_id: str, default_mode: str = NON_BLOCKING) -> AwsLogs | None:
    """The parsed driver of one container of one task; None when its output is not kept.

    `default_mode`: the account's, for a definition that names none.
    """
    configuration = container.get("logConfiguration")
    if not configuration or configuration["logDriver"] != "awslogs":
        return None
    options = configuration["options"]
    return AwsLogs(
        group=options["awslogs-group"],
        region=options["awslogs-region"],
        stream=f"{options['awslogs-stream-prefix']}/{container['name']}/{task_id}",
        create_group=options.get("awslogs-create-group", "false").lower() == "true",
        blocking=options.get("mode", default_mode) == "blocking",
        event_start=event_start(options),
        max_buffer_bytes=parse_buffer_size(options.get("max-buffer-size", "")) or BUFFER_DEFAULT_BYTES,
    )
