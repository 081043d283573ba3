"""Managed policies: the customer's, with their versions, and AWS's, which nobody changes. Decisions; pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from msgspec.structs import replace

from ...iam.managed import MANAGED_POLICIES
from ...model.arn import Arn
from ...model.ids import Bits
from . import unique_ids
from .book import AccountBook
from .errors import DeleteConflict, InvalidInput, LimitExceeded, NoSuchEntity, OutsideAccount
from .records import ManagedPolicy, PolicyVersion
from .registry import Change
from .rules import check_document, check_new, check_path, exceeds, tags_of


@cache
def aws_policy(arn: str) -> ManagedPolicy:
    """As a record of the account `aws`, with the one version that is known. Raises KeyError."""
    known = MANAGED_POLICIES[arn]
    number = int(known.version_id[1:])
    updated = int(datetime.fromisoformat(known.updated).timestamp())
    document = json.dumps(known.document, indent=4)
    return ManagedPolicy(
        account="aws",
        name=known.name,
        uid=known.policy_id,
        created=int(datetime.fromisoformat(known.created).timestamp()),
        path=known.path,
        updated=updated,
        default=number,
        latest=number,
        versions=(PolicyVersion(number=number, document=document, created=updated),),
    )


def find_policy(book: AccountBook, arn: str) -> ManagedPolicy:
    """The account's own or AWS's. Raises NoSuchEntity, InvalidInput."""
    if arn in MANAGED_POLICIES:
        return aws_policy(arn)
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service != "iam" or not parsed.resource.startswith("policy/"):
        raise InvalidInput(f"ARN {arn} is not valid.")
    found = book.policy(arn)
    if found is None:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return found


def find_version(policy: ManagedPolicy, version_id: str) -> PolicyVersion:
    """`version_id`: `v7`, as its shape holds it to be."""
    number = version_id[1:].partition(".")[0]
    found = policy.version(int(number)) if len(number) <= 9 and number == version_id[1:] else None
    if found is None:
        raise NoSuchEntity(f"Policy {policy.arn} version {version_id} does not exist or is not attachable.")
    return found


def create_policy(
    book: AccountBook,
    name: str,
    *,
    path: str,
    document: str,
    description: str | None,
    tags: Sequence[Mapping[str, str]] | None,
    now: int,
    bits: Bits,
) -> Change[ManagedPolicy]:
    """Raises EntityAlreadyExists, LimitExceeded, MalformedPolicy, InvalidInput."""
    _check(book, document)
    check_new(book, ManagedPolicy, name)
    policy = ManagedPolicy(
        account=book.account.number,
        name=name,
        uid=unique_ids.unique_id(unique_ids.POLICY, bits),
        created=now,
        path=check_path(path),
        updated=now,
        default=1,
        latest=1,
        versions=(PolicyVersion(number=1, document=document, created=now),),
        description=description,
        tags=tags_of(ManagedPolicy, tags),
    )
    return Change(result=policy, put=(policy,))


def create_version(
    book: AccountBook, arn: str, *, document: str, is_default: bool, now: int
) -> Change[tuple[ManagedPolicy, PolicyVersion]]:
    policy = own_policy(book, arn)
    _check(book, document)
    limit = book.limit("VersionsPerPolicy")
    if len(policy.versions) >= limit:
        raise LimitExceeded(
            f"A managed policy can have up to {limit} versions. Before you create a new version,"
            " you must delete an existing version."
        )
    version = PolicyVersion(number=policy.latest + 1, document=document, created=now)
    changed = replace(
        policy,
        versions=(*policy.versions, version),
        latest=version.number,
        default=version.number if is_default else policy.default,
        updated=now,
    )
    return Change(result=(changed, version), put=(changed,))


def delete_version(book: AccountBook, arn: str, version_id: str, *, now: int) -> Change[None]:
    policy = own_policy(book, arn)
    version = find_version(policy, version_id)
    if version.number == policy.default:
        raise DeleteConflict("Cannot delete the default version of a policy.")
    kept = tuple(one for one in policy.versions if one is not version)
    return Change(result=None, put=(replace(policy, versions=kept, updated=now),))


def set_default(book: AccountBook, arn: str, version_id: str, *, now: int) -> Change[None]:
    policy = own_policy(book, arn)
    version = find_version(policy, version_id)
    return Change(result=None, put=(replace(policy, default=version.number, updated=now),))


def delete_policy(book: AccountBook, arn: str) -> Change[None]:
    """Raises NoSuchEntity, DeleteConflict, OutsideAccount."""
    policy = own_policy(book, arn)
    if any(book.uses(arn)):
        raise DeleteConflict("Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        raise DeleteConflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions."
            " The default version is deleted with the policy."
        )
    return Change(result=None, drop=(policy,))


def own_policy(book: AccountBook, arn: str) -> ManagedPolicy:
    """One that the account may change. Raises NoSuchEntity, InvalidInput, OutsideAccount."""
    parsed = Arn.parse(arn)
    if parsed is not None and parsed.account != book.account.number:
        raise OutsideAccount
    return find_policy(book, arn)


def _check(book: AccountBook, document: str) -> None:
    check_document(document)
    limit = book.limit("PolicySize")
    if exceeds([document], limit):
        raise LimitExceeded.of("PolicySize", limit)
