"""The account itself: alias, summary, and what it has none of (passwords)."""

from ...call import Answer, Call, Params
from ...identity import rules
from ...identity.errors import EntityAlreadyExists, NoSuchEntity
from ...identity.records import Group, InstanceProfile, ManagedPolicy, OidcProvider, Role, User
from ...identity.tagging import set_alias
from ...services import Services
from .asking import ask_for, ask_for_account, book_of, user_meant

_QUOTAS_SHOWN = {
    "UsersQuota": "UsersPerAccount",
    "GroupsQuota": "GroupsPerAccount",
    "RolesQuota": "RolesPerAccount",
    "PoliciesQuota": "PoliciesPerAccount",
    "InstanceProfilesQuota": "InstanceProfilesPerAccount",
    "AccessKeysPerUserQuota": "AccessKeysPerUser",
    "GroupsPerUserQuota": "GroupsPerUser",
    "AttachedPoliciesPerUserQuota": "PoliciesPerUser",
    "AttachedPoliciesPerGroupQuota": "PoliciesPerGroup",
    "AttachedPoliciesPerRoleQuota": "PoliciesPerRole",
    "PolicySizeQuota": "PolicySize",
    "UserPolicySizeQuota": "PolicySizePerUser",
    "GroupPolicySizeQuota": "PolicySizePerGroup",
    "RolePolicySizeQuota": "PolicySizePerRole",
    "AssumeRolePolicySizeQuota": "ACLSizePerRole",
    "VersionsPerPolicyQuota": "VersionsPerPolicy",
}
# What IAM has and Neargate has not: there is none of it.
_NONE = (
    "AccountMFAEnabled",
    "AccountPasswordPresent",
    "AccountSigningCertificatesPresent",
    "MFADevices",
    "MFADevicesInUse",
    "ServerCertificates",
)


async def get_account_summary(call: Call, services: Services, params: Params) -> Answer:
    del params
    ask_for_account(call)
    book = book_of(call, services)
    summary = {
        "Users": book.count(User),
        "Groups": book.count(Group),
        "Roles": book.count(Role),
        "Policies": book.count(ManagedPolicy),
        "PolicyVersionsInUse": sum(len(policy.versions) for policy in book.all(ManagedPolicy)),
        "PolicyVersionsInUseQuota": 10_000,
        "InstanceProfiles": book.count(InstanceProfile),
        "Providers": book.count(OidcProvider),
        "AccountAccessKeysPresent": len(book.keys_of(None)),
        "GlobalEndpointTokenVersion": 1,
    }
    summary |= {shown: book.limit(quota) for shown, quota in _QUOTAS_SHOWN.items()}
    return {"SummaryMap": summary | dict.fromkeys(_NONE, 0)}


async def create_account_alias(call: Call, services: Services, params: Params) -> Answer:
    ask_for_account(call)
    alias = params["AccountAlias"]
    if any(one.alias == alias and one.number != call.account for one in services.identity.accounts()):
        raise EntityAlreadyExists(f"The account alias {alias} already exists.")
    await services.identity.change(call.account, lambda book: set_alias(book, alias))
    return {}


async def delete_account_alias(call: Call, services: Services, params: Params) -> Answer:
    ask_for_account(call)
    alias = params["AccountAlias"]
    if book_of(call, services).account.alias != alias:
        raise NoSuchEntity(f"The account alias with name {alias} cannot be found.")
    await services.identity.change(call.account, lambda book: set_alias(book, None))
    return {}


async def list_account_aliases(call: Call, services: Services, params: Params) -> Answer:
    del params
    ask_for_account(call)
    alias = book_of(call, services).account.alias
    return {"AccountAliases": [] if alias is None else [alias], "IsTruncated": False}


async def no_password_policy(call: Call, services: Services, params: Params) -> Answer:
    """There are no passwords, hence no policy for them: as in an account that never set one."""
    del services, params
    ask_for_account(call)
    raise NoSuchEntity(f"The Password Policy with domain name {call.account} cannot be found.")


async def no_login_profile(call: Call, services: Services, params: Params) -> Answer:
    """No user has a password."""
    book, name = book_of(call, services), user_meant(call, params) or rules.ADMINISTRATOR
    ask_for(call, book, User, name)
    raise NoSuchEntity(f"Login Profile for User {name} cannot be found.")
