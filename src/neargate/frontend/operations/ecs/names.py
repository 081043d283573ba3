"""Names and ARNs as ECS takes them: short or full, of the caller's account and region.

Owns the parsing and AWS's words for what cannot be parsed. Knows no state. Invariant: what comes out is a plain name or
id of the caller's own account.
"""

import re

from ....model.arn import Arn
from ....model.errors import ClientError, InvalidParameter
from ...call import Call

DEFAULT_CLUSTER = "default"

_NAME = re.compile(r"\A[A-Za-z0-9_-]{1,255}\Z")
_TASK_ID = re.compile(r"\A[A-Za-z0-9-]+\Z")
_REVISION = re.compile(r"\A[1-9]\d{0,6}\Z", re.ASCII)


def cluster_name(call: Call, text: str | None) -> str:
    """The cluster's name from its name or ARN; absent means `default`."""
    if not text:
        return DEFAULT_CLUSTER
    name = own_resource(call, text, kind="cluster") if text.startswith("arn:") else text
    if not _NAME.match(name):
        raise InvalidParameter("Cluster Identifier is invalid")
    return name


def new_cluster_name(text: str | None) -> str:
    if not text:
        return DEFAULT_CLUSTER
    if not _NAME.match(text):
        raise InvalidParameter(
            "Cluster names have up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens."
        )
    return text


def task_id(call: Call, cluster: str, text: str) -> str:
    """The task's id from its id or its short or long ARN. A long ARN must name the same cluster."""
    identifier = _named_in(call, cluster, text, kind="task")
    if not _TASK_ID.match(identifier):
        raise InvalidParameter("Task Identifier is invalid")
    if len(identifier) not in (32, 36):
        raise InvalidParameter("taskId length should be one of [32,36]")
    return identifier


def _named_in(call: Call, cluster: str, text: str, *, kind: str) -> str:
    """What the text names, or the last part of its ARN."""
    if not text.startswith("arn:"):
        return text
    of_cluster, separator, name = own_resource(call, text, kind=kind).rpartition("/")
    if separator and of_cluster != cluster:
        raise InvalidParameter(f"Invalid identifier: Identifier is for cluster {of_cluster}. Your cluster is {cluster}")
    return name


def new_service_name(text: str) -> str:
    if not _NAME.match(text):
        raise InvalidParameter(
            "Service names have up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens."
        )
    return text


def service_identifier(call: Call, cluster: str, text: str) -> str:
    """The service's name from its name or its short or long ARN. A long ARN must name the same cluster."""
    name = _named_in(call, cluster, text, kind="service")
    if not _NAME.match(name):
        raise InvalidParameter("Service Identifier is invalid")
    return name


def definition_reference(call: Call, text: str) -> tuple[str, int | None]:
    """(family, revision) of `family`, `family:revision` or an ARN; the revision is None when it is not given."""
    name = own_resource(call, text, kind="task-definition") if text.startswith("arn:") else text
    family, separator, revision = name.partition(":")
    if not _NAME.match(family):
        raise ClientError("Family contains invalid characters.")
    if not separator:
        return family, None
    if not _REVISION.match(revision):
        raise ClientError(f"Invalid revision number. Number: {revision[:32]}")
    return family, int(revision)


def own_resource(call: Call, text: str, *, kind: str) -> str:
    """What follows `kind/` in an ARN of the caller's account and region."""
    arn = Arn.parse(text)
    prefix = f"{kind}/"
    if arn is None or arn.service != "ecs" or not arn.resource.startswith(prefix):
        raise InvalidParameter(f"{kind.replace('-', ' ').title()} Identifier is invalid")
    check_own(call, arn)
    return arn.resource[len(prefix) :]


def check_own(call: Call, arn: Arn) -> None:
    """Raises InvalidParameter for another account's or region's."""
    if arn.account != call.account:
        raise InvalidParameter("AccountIDs mismatch")
    if arn.region != call.region:
        raise InvalidParameter(f"Identifier is for region {arn.region}. Your region is {call.region}")
