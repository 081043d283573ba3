"""GetAccountAuthorizationDetails: every user, group, role and policy of the account with what it carries, in pages."""

from collections.abc import Callable
from typing import Any

from ....iam.managed import MANAGED_POLICIES
from ...call import Answer, Call, Params
from ...identity import policies
from ...identity.book import AccountBook
from ...identity.records import Group, InstanceProfile, ManagedPolicy, Record, Role, User
from ...services import Services
from .asking import ask_for_account, book_of
from .paging import page
from .shapes import (
    Shape,
    attached_shown,
    document_shown,
    group_shown,
    inline_shown,
    last_used_shown,
    policy_brief,
    profile_shown,
    user_shown,
    version_shown,
)
from .shapes import boundary_shown as boundary
from .shapes import tags_shown as tags

DETAILS_MAX = 100  # on one page: each may have all its policies with it
# Filter, answer's member, in the order in which pages tell them.
_KINDS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


async def get_account_authorization_details(call: Call, services: Services, params: Params) -> Answer:
    ask_for_account(call)
    book, wanted = book_of(call, services), params.get("Filter") or list(_KINDS)
    found = [(kind, record) for kind in _KINDS if kind in wanted for record in _records(book, kind)]
    order = list(_KINDS)
    chosen, more = page(call, params, found, lambda pair: f"{order.index(pair[0])}{pair[1].key}", at_most=DETAILS_MAX)
    answer: dict[str, Any] = {member: [] for member in _KINDS.values()}
    for kind, record in chosen:
        answer[_KINDS[kind]].append(_detail(services, book, record))
    return answer | more


def _records(book: AccountBook, kind: str) -> list[Record]:
    match kind:
        case "User":
            return list(book.all(User))
        case "Group":
            return list(book.all(Group))
        case "Role":
            return list(book.all(Role))
        case "LocalManagedPolicy":
            return list(book.all(ManagedPolicy))
    # Of AWS's own, only what is in use: as on AWS, the rest would only repeat its documentation.
    used = [policies.aws_policy(arn) for arn in MANAGED_POLICIES if any(book.uses(arn))]
    return sorted(used, key=_key)


_key: Callable[[Record], str] = lambda record: record.key  # noqa: E731  one place for the order


def _detail(services: Services, book: AccountBook, record: Record) -> Shape:
    registry = services.identity
    match record:
        case User():
            groups = {"GroupList": [group.name for group in book.groups_of(record)]}
            carried = {
                "UserPolicyList": inline_shown(record),
                "AttachedManagedPolicies": attached_shown(record.attached),
            }
            return user_shown(record) | groups | carried | {"Tags": tags(record.tags)}
        case Group():
            carried = {
                "GroupPolicyList": inline_shown(record),
                "AttachedManagedPolicies": attached_shown(record.attached),
            }
            return group_shown(record) | carried
        case Role():
            profiles = [one for one in book.all(InstanceProfile) if record.uid in one.roles]
            return {
                "Path": record.path,
                "RoleName": record.name,
                "RoleId": record.uid,
                "Arn": record.arn,
                "CreateDate": record.created,
                "AssumeRolePolicyDocument": document_shown(registry.shown(record.trust)),
                "InstanceProfileList": [profile_shown(registry, one) for one in profiles],
                "RolePolicyList": inline_shown(record),
                "AttachedManagedPolicies": attached_shown(record.attached),
                "Tags": tags(record.tags),
                "RoleLastUsed": last_used_shown(registry.last_used(record.uid)),
            } | boundary(record.boundary)
        case ManagedPolicy():
            versions = [version_shown(record, one, with_document=True) for one in reversed(record.versions)]
            return policy_brief(book, record) | {"PolicyVersionList": versions}
    raise AssertionError(f"{record.kind} has no details")
