"""What a call makes of target groups: shelf in, change out. Pure.

Who its targets are, registration.py decides. Invariants: a name is one group's of the account; a group that a
listener or a rule leads to stays.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ..network.records.objects import Tags, Vpc
from ..regional.shelves import Change, Shelf
from . import arns, attributes
from .checks import check_group_name
from .errors import (
    DuplicateTargetGroupName,
    InvalidConfigurationRequest,
    ResourceInUse,
    TooManyTargetGroups,
    ValidationError,
)
from .health_checks import HTTP_PROTOCOLS, Checked, WantedCheck, changed_check, new_check
from .lookup import required_group, users_of
from .objects import TargetGroup

PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS")
_VERSIONS = ("GRPC", "HTTP1", "HTTP2")


class Wanted(Struct, frozen=True, kw_only=True):
    """CreateTargetGroup's parameters. None: the request does not say it."""

    label: str
    target_type: str = "instance"
    protocol: str | None = None
    version: str | None = None
    port: int | None = None
    vpc_id: str | None = None
    address_type: str = "ipv4"
    check: WantedCheck = WantedCheck()
    tags: Tags = ()


def create(
    shelf: Shelf, wanted: Wanted, region: str, number: str, now: float, groups_max: float
) -> Change[TargetGroup]:
    """One of the same name and settings: that one. `number`: 16 hex digits, the end of its ARN. Raises ValidationError,
    InvalidConfigurationRequest, DuplicateTargetGroupName, TooManyTargetGroups.
    """
    made = _made(shelf, wanted, arns.group_arn(region, shelf.account, wanted.label, number), now)
    same = next((one for one in shelf.all(TargetGroup) if one.label == wanted.label), None)
    if same is not None:
        if _settings(same) != _settings(made):
            raise DuplicateTargetGroupName(wanted.label)
        return Change(result=same)
    if shelf.count(TargetGroup) >= groups_max:
        raise TooManyTargetGroups
    return Change(result=made, put=(made,))


def check(wanted: Wanted) -> None:
    """What is wrong whatever there is. Raises ValidationError, InvalidConfigurationRequest."""
    check_group_name(wanted.label)
    if wanted.target_type == "lambda":
        for word, given in (("Port", wanted.port), ("VPC ID", wanted.vpc_id), ("Protocol", wanted.protocol)):
            if given is not None:
                raise ValidationError(f"{word} cannot be specified for target groups with target type 'lambda'")
        raise _not_built(wanted.target_type)
    if not wanted.protocol:
        raise ValidationError("A protocol must be specified")
    if wanted.port is None:
        raise ValidationError("A port must be specified")
    if not wanted.vpc_id:
        raise ValidationError("A VPC ID must be specified")


def modify(shelf: Shelf, arn: str, wanted: WantedCheck) -> Change[TargetGroup]:
    """Raises TargetGroupNotFound, ValidationError, InvalidConfigurationRequest."""
    group = required_group(shelf, arn)
    have = Checked(check=group.check, matcher=group.matcher)
    found = changed_check(group.protocol, group.version, have, wanted)
    return _changed(group, replace(group, check=found.check, matcher=found.matcher))


def set_attributes(shelf: Shelf, arn: str, given: Iterable[tuple[str, str]]) -> Change[TargetGroup]:
    """Raises TargetGroupNotFound, ValidationError, InvalidConfigurationRequest."""
    group = required_group(shelf, arn)
    return _changed(group, replace(group, attributes=attributes.group_changed(group, given)))


def delete(shelf: Shelf, arn: str) -> Change[None]:
    """One that is not there is gone already. Raises ResourceInUse."""
    group = shelf.find(TargetGroup, arn)
    if users_of(shelf, arn):
        raise ResourceInUse(f"Target group '{arn}' is currently in use by a listener or a rule")
    return Change(result=None, drop=() if group is None else (group,))


def _made(shelf: Shelf, wanted: Wanted, arn: str, now: float) -> TargetGroup:
    check(wanted)
    protocol, version = wanted.protocol or "", _version(wanted)
    if shelf.find(Vpc, wanted.vpc_id or "") is None:
        raise ValidationError(f"The VPC ID '{(wanted.vpc_id or '')[:255]}' is not found")
    checked = new_check(protocol, version, wanted.check)
    if protocol not in PROTOCOLS:
        raise InvalidConfigurationRequest(f"Neargate does not support target groups with the {protocol} protocol")
    if wanted.target_type != "ip":
        raise _not_built(wanted.target_type)
    if wanted.address_type != "ipv4":
        raise InvalidConfigurationRequest(
            f"Neargate does not support target groups with the IP address type '{wanted.address_type}'"
        )
    return TargetGroup(
        account=shelf.account,
        name=arn,
        label=wanted.label,
        protocol=protocol,
        port=wanted.port or 0,
        vpc_id=wanted.vpc_id or "",
        created_at=now,
        version=version,
        check=checked.check,
        matcher=checked.matcher,
        tags=wanted.tags,
    )


def _not_built(target_type: str) -> InvalidConfigurationRequest:
    return InvalidConfigurationRequest(
        f"Neargate does not support target groups with target type '{target_type}': tasks are targets of type 'ip'"
    )


def _version(wanted: Wanted) -> str:
    if wanted.protocol not in HTTP_PROTOCOLS:
        if wanted.version:
            raise ValidationError(
                f"Protocol version cannot be specified for target groups with the {wanted.protocol} protocol"
            )
        return ""
    if wanted.version and wanted.version not in _VERSIONS:
        raise ValidationError(f"Protocol version '{wanted.version[:255]}' must be one of [{', '.join(_VERSIONS)}]")
    return wanted.version or "HTTP1"


def _settings(group: TargetGroup) -> tuple[object, ...]:
    """What a second request of the same name must say, too. Tags make no difference."""
    return (group.protocol, group.version, group.port, group.vpc_id, group.check, group.matcher)


def _changed(before: TargetGroup, after: TargetGroup) -> Change[TargetGroup]:
    return Change(result=after, put=(after,) if after != before else ())
