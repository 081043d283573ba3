"""Records in IAM's wire shapes. Pure. Policy documents are URL-encoded (RFC 3986), as IAM sends them.

Lists of users, roles and policies leave out what only the Get operations tell (boundary, tags, last use).
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from ...identity.book import AccountBook
from ...identity.records import (
    AccessKey,
    Group,
    Holder,
    InstanceProfile,
    LastUsed,
    ManagedPolicy,
    PolicyVersion,
    Role,
    Tags,
    User,
)
from ...identity.registry import IdentityRegistry

Shape = dict[str, Any]


def document_shown(document: str) -> str:
    return quote(document, safe="-_.~")


def tags_shown(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]


def user_brief(user: User) -> Shape:
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.uid,
        "Arn": user.arn,
        "CreateDate": user.created,
    }


def user_shown(user: User) -> Shape:
    return user_brief(user) | _extras(user.boundary, user.tags)


def group_shown(group: Group) -> Shape:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.uid,
        "Arn": group.arn,
        "CreateDate": group.created,
    }


def role_brief(registry: IdentityRegistry, role: Role) -> Shape:
    described = {} if role.description is None else {"Description": role.description}
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.uid,
        "Arn": role.arn,
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": document_shown(registry.shown(role.trust)),
        **described,
        "MaxSessionDuration": role.max_session_s,
    }


def role_shown(registry: IdentityRegistry, role: Role) -> Shape:
    shown = role_brief(registry, role) | _extras(role.boundary, role.tags)
    return shown | {"RoleLastUsed": last_used_shown(registry.last_used(role.uid))}


def last_used_shown(used: LastUsed | None) -> Shape:
    return {} if used is None else {"LastUsedDate": used.at, "Region": used.region}


def policy_brief(book: AccountBook, policy: ManagedPolicy) -> Shape:
    attached, bounding = book.uses(policy.arn)
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.uid,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default}",
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": bounding,
        "IsAttachable": not policy.path.startswith("/aws-service-role/"),
        "CreateDate": policy.created,
        "UpdateDate": policy.updated,
    }


def policy_shown(book: AccountBook, policy: ManagedPolicy) -> Shape:
    described = {} if policy.description is None else {"Description": policy.description}
    return policy_brief(book, policy) | described | {"Tags": tags_shown(policy.tags)}


def version_shown(policy: ManagedPolicy, version: PolicyVersion, *, with_document: bool) -> Shape:
    document = {"Document": document_shown(version.document)} if with_document else {}
    return {
        **document,
        "VersionId": f"v{version.number}",
        "IsDefaultVersion": version.number == policy.default,
        "CreateDate": version.created,
    }


def key_brief(key: AccessKey, user_name: str) -> Shape:
    status = "Active" if key.is_active else "Inactive"
    return {"UserName": user_name, "AccessKeyId": key.name, "Status": status, "CreateDate": key.created}


def profile_shown(registry: IdentityRegistry, profile: InstanceProfile) -> Shape:
    roles = [registry.principal(uid) for uid in profile.roles]
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.uid,
        "Arn": profile.arn,
        "CreateDate": profile.created,
        "Roles": [role_brief(registry, role) for role in roles if isinstance(role, Role)],
        "Tags": tags_shown(profile.tags),
    }


def attached_shown(arns: Iterable[str]) -> list[dict[str, str]]:
    return [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in arns]


def inline_shown(holder: Holder) -> list[dict[str, str]]:
    return [{"PolicyName": name, "PolicyDocument": document_shown(document)} for name, document in holder.inline]


def boundary_shown(arn: str | None) -> Shape:
    """To be merged: nothing when there is none."""
    if arn is None:
        return {}
    return {"PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}}


def _extras(boundary: str | None, tags: Tags) -> Shape:
    return boundary_shown(boundary) | ({"Tags": tags_shown(tags)} if tags else {})
