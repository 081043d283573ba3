"""What calls make of an account's flow logs: shelf in, change out. Pure; `bits` is the randomness for new ids.

Owns which interfaces a flow log covers and what hosts hear of it. Invariant: of one resource no two flow logs say the
same to the same log group; a flow log covers interfaces of its own account only.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...flowlogs.lines import VERSIONS
from ...model import ids
from ...model.errors import AwsError
from ...model.flow_logs import DEFAULT_FIELDS, PlannedFlowLog
from ..regional.shelves import Change, Shelf
from .errors.common import (
    NetworkInterfaceIdMalformed,
    NetworkInterfaceNotFound,
    SubnetIdMalformed,
    SubnetNotFound,
    VpcIdMalformed,
    VpcNotFound,
)
from .errors.flow_logs import (
    FlowLogAlreadyExists,
    FlowLogsLimitExceeded,
    FlowLogsNotFound,
    InvalidFormat,
    UnknownFields,
)
from .errors.routing import IdempotentMismatch
from .records.objects import FlowLog, Subnet, Tags, Vpc
from .vpcs.defaults import Bits

# AWS publishes no quota any more (it was two). What a host adds up for one interface is bounded by this, and what it
# takes of a plan by the others.
PER_RESOURCE_MAX = 10
PER_ACCOUNT_MAX = 1000
FIELDS_MAX = 64
DEFAULT_FORMAT = " ".join(f"${{{name}}}" for name in DEFAULT_FIELDS)
_FORMAT = re.compile(r"\$\{[a-z0-9-]{1,64}\}(?: \$\{[a-z0-9-]{1,64}\})*")
_FORMAT_MAX = 4096
_ID = re.compile(r"[a-z]{1,8}-[0-9a-f]{8,17}")


class Target(Struct, frozen=True, kw_only=True):
    """What CreateFlowLogs' ResourceType stands for."""

    prefix: str
    malformed: Callable[[str], AwsError]
    missing: Callable[[list[str]], AwsError]


TARGETS: Mapping[str, Target] = {
    "VPC": Target(prefix="vpc", malformed=VpcIdMalformed, missing=VpcNotFound),
    "Subnet": Target(prefix="subnet", malformed=SubnetIdMalformed, missing=SubnetNotFound),
    "NetworkInterface": Target(prefix="eni", malformed=NetworkInterfaceIdMalformed, missing=NetworkInterfaceNotFound),
}


class WantedLogs(Struct, frozen=True, kw_only=True):
    """CreateFlowLogs' parameters, their shapes checked. `resource_type`: of TARGETS."""

    resource_type: str
    resource_ids: tuple[str, ...]
    traffic: str
    log_group: str
    log_destination: str
    role_arn: str
    log_format: str
    aggregation_s: int
    client_token: str | None
    tags: Tags


class Created(Struct, frozen=True, kw_only=True):
    """`unsuccessful`: by resource, why it has none."""

    flow_log_ids: tuple[str, ...]
    unsuccessful: tuple[tuple[str, AwsError], ...] = ()


def fields_of(log_format: str) -> tuple[str, ...]:
    """Of a format that was checked."""
    return tuple(re.findall(r"\$\{([^}]*)\}", log_format))


def check_format(given: str) -> None:
    """Raises InvalidFormat, UnknownFields."""
    if len(given) > _FORMAT_MAX or _FORMAT.fullmatch(given) is None:
        raise InvalidFormat(given, "logFormat")
    fields = fields_of(given)
    if len(fields) > FIELDS_MAX:
        raise InvalidFormat(given, "logFormat")
    unknown = [name for name in dict.fromkeys(fields) if name not in VERSIONS]
    if unknown:
        raise UnknownFields(unknown)


def check_ids(given: Sequence[str]) -> None:
    """Raises InvalidFormat."""
    for one in given:
        if not one.startswith("fl-") or _ID.fullmatch(one) is None:
            raise InvalidFormat(one, "flowLogId")


def create(shelf: Shelf, wanted: WantedLogs, interfaces: Mapping[str, str], now: float, bits: Bits) -> Change[Created]:
    """Repeatable with a token. `interfaces`: of those that are named, the account's, with their VPCs.

    Raises FlowLogAlreadyExists and makes none then, IdempotentMismatch.
    """
    before = _made_before(shelf, wanted)
    if before:
        return Change(result=Created(flow_log_ids=tuple(log.name for log in before)))
    made: list[FlowLog] = []
    unsuccessful: list[tuple[str, AwsError]] = []
    for resource_id in dict.fromkeys(wanted.resource_ids):
        why = _refusal(shelf, wanted, resource_id, interfaces, len(made))
        if why is not None:
            unsuccessful.append((resource_id, why))
        else:
            made.append(_new(shelf, wanted, resource_id, interfaces, now, bits))
    result = Created(flow_log_ids=tuple(log.name for log in made), unsuccessful=tuple(unsuccessful))
    return Change(result=result, put=tuple(made))


def _made_before(shelf: Shelf, wanted: WantedLogs) -> list[FlowLog]:
    if wanted.client_token is None:
        return []
    found = [log for log in shelf.all(FlowLog) if log.client_token == wanted.client_token]
    for log in found:
        same = (log.traffic, log.log_group, log.role_arn, log.log_format, log.aggregation_s)
        asked = (wanted.traffic, wanted.log_group, wanted.role_arn, wanted.log_format, wanted.aggregation_s)
        if same != asked or log.resource_id not in wanted.resource_ids:
            raise IdempotentMismatch(wanted.client_token)
    return found


def _refusal(
    shelf: Shelf, wanted: WantedLogs, resource_id: str, interfaces: Mapping[str, str], more: int
) -> AwsError | None:
    """Raises FlowLogAlreadyExists: AWS answers that for the whole call."""
    target = TARGETS[wanted.resource_type]
    if _ID.fullmatch(resource_id) is None or not resource_id.startswith(f"{target.prefix}-"):
        return target.malformed(resource_id[:255])
    if not _exists(shelf, resource_id, interfaces):
        return target.missing([resource_id])
    there = [log for log in shelf.all(FlowLog) if log.resource_id == resource_id]
    if any((log.traffic, log.log_group) == (wanted.traffic, wanted.log_group) for log in there):
        raise FlowLogAlreadyExists
    if len(there) >= PER_RESOURCE_MAX or shelf.count(FlowLog) + more >= PER_ACCOUNT_MAX:
        return FlowLogsLimitExceeded(resource_id)
    return None


def _exists(shelf: Shelf, resource_id: str, interfaces: Mapping[str, str]) -> bool:
    if resource_id.startswith("eni-"):
        return resource_id in interfaces
    kind = Vpc if resource_id.startswith("vpc-") else Subnet
    return shelf.find(kind, resource_id) is not None


def _new(
    shelf: Shelf, wanted: WantedLogs, resource_id: str, interfaces: Mapping[str, str], now: float, bits: Bits
) -> FlowLog:
    return FlowLog(
        account=shelf.account,
        name=ids.ec2_id("fl", bits),
        tags=wanted.tags,
        resource_id=resource_id,
        traffic=wanted.traffic,
        log_group=wanted.log_group,
        log_destination=wanted.log_destination,
        role_arn=wanted.role_arn,
        created_at=now,
        log_format=wanted.log_format,
        aggregation_s=wanted.aggregation_s,
        client_token=wanted.client_token,
        vpc_id=interfaces.get(resource_id, ""),
    )


def delete(shelf: Shelf, flow_log_ids: Sequence[str]) -> Change[None]:
    """Raises FlowLogsNotFound, and deletes none then."""
    wanted = tuple(dict.fromkeys(flow_log_ids))
    found = [log for one in wanted if (log := shelf.find(FlowLog, one)) is not None]
    if len(found) < len(wanted):
        there = {log.name for log in found}
        raise FlowLogsNotFound([one for one in wanted if one not in there])
    return Change(result=None, drop=tuple(found))


def with_error(shelf: Shelf, flow_log_id: str, error: str) -> Change[None]:
    """What came of the last delivery; nothing of a flow log that was deleted."""
    log = shelf.find(FlowLog, flow_log_id)
    if log is None or log.error == error:
        return Change(result=None)
    return Change(result=None, put=(replace(log, error=error),))


def covers(shelf: Shelf, log: FlowLog, eni_id: str, subnet_id: str) -> bool:
    """Whether the account's interface of that subnet is one of the flow log's."""
    if log.resource_id in (eni_id, subnet_id):
        return True
    subnet = shelf.find(Subnet, subnet_id)
    return subnet is not None and subnet.vpc_id == log.resource_id


def planned_flow_logs(shelf: Shelf, vpc_id: str) -> Iterator[PlannedFlowLog]:
    """As hosts with interfaces in the VPC hear of them."""
    for log in shelf.all(FlowLog):
        subnet = shelf.find(Subnet, log.resource_id)
        if vpc_id in (log.resource_id, log.vpc_id, subnet.vpc_id if subnet is not None else ""):
            yield PlannedFlowLog(
                flow_log_id=log.name,
                account=log.account,
                resource_id=log.resource_id,
                traffic=log.traffic,
                fields=fields_of(log.log_format),
                interval_s=log.aggregation_s,
            )
